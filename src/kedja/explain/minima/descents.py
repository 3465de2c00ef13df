"""Which start and which learning rate lead gradient descent into which minimum (scope 1.9, 8.4)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kedja.diff.critical import CriticalPoint, Field, Vector, classified, critical_point, distinct
from kedja.errors import DataError
from kedja.explain.minima.critical import fitting, named, place, places
from kedja.explain.minima.surface import draw_function
from kedja.explain.show.table import Table, Tabular
from kedja.explain.words import _
from kedja.graph.node import Tensor
from kedja.optim.curve import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Descent", "Descents", "descents"]

STEPS, MOST_STEPS, MOST_RUNS = 500, 100_000, 400
FAR = 1e8  # away from the start, in units of 1 + |start|: that is no descent any more
NEAR = 1e-2
SWING = 6  # last steps looked at for a swing to and fro


class Descent(NamedTuple):
    """One run: the points on the way and what became of it.

    `end` is "minimum", "maximum", "saddle" or "degenerate" where it arrived (`reached` counts the places, lowest value
    first), "diverged", "swings" to and fro, or "moving" still after all steps.
    """

    start: Vector
    rate: float
    path: Vector
    values: Vector
    end: str
    reached: int | None

    @property
    def steps(self) -> int:
        """Steps made."""
        return len(self.path) - 1


class Descents(Tabular):
    """All runs, a row for each start and a column for each learning rate; the places reached are called A, B, …"""

    def __init__(
        self, field: Field, names: list[str], starts: Vector, rates: list[float], runs: list[list[Descent]],
        points: list[CriticalPoint],
    ) -> None:  # fmt: skip
        self.field, self.names, self.starts, self.rates = field, names, starts, rates
        self.runs, self.points = runs, points

    @property
    def table(self) -> Table:
        """The table that all ways to show it share."""
        head = (_("start"), *(f"ε = {rate:g}" for rate in self.rates))
        rows = [
            (", ".join(place(v) for v in start), *(self.told(run) for run in line))
            for start, line in zip(self.starts, self.runs, strict=True)
        ]
        kinds = {
            "minimum": _("minimum"),
            "maximum": _("maximum"),
            "saddle": _("saddle point"),
            "degenerate": _("degenerate"),
        }
        told = _("{letter}: {kind} at {names} = {at}, f = {value}")
        notes = [
            told.format(
                letter=_letter(i), kind=kinds[p.kind], names=", ".join(self.names), value=place(p.value),
                at=", ".join(place(v) for v in p.x),
            )
            for i, p in enumerate(self.points)
        ]  # fmt: skip
        return Table(head, rows, notes=tuple(notes))

    def told(self, run: Descent) -> str:
        """What became of a run, in words."""
        if run.reached is not None:
            if not run.steps:
                return _("stays at {letter}").format(letter=_letter(run.reached))
            return _("{letter} after {n} steps").format(letter=_letter(run.reached), n=run.steps)
        words = {
            "diverged": _("diverges, {n} steps"),
            "swings": _("swings to and fro"),
            "rises": _("rises instead of falling"),
            "moving": _("not there after {n} steps"),
        }
        return words[run.end].format(n=run.steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the places reached, and every run with its end and its number of steps."""
        return {
            "names": self.names,
            "points": [{"x": p.x.tolist(), "value": p.value, "kind": p.kind} for p in self.points],
            "runs": [
                {
                    "start": r.start.tolist(), "rate": r.rate, "end": r.end, "reached": r.reached, "steps": r.steps,
                    "last": r.path[-1].tolist() if np.isfinite(r.path[-1]).all() else None,
                }
                for line in self.runs
                for r in line
            ],
        }  # fmt: skip

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Axes | None = None) -> Figure:
        """The paths on the curve, or on lines of equal value, a colour for each learning rate; returns the Figure.

        `path` also writes it to a file. Raises DataError for functions of more than two numbers.
        """
        if self.field.size > 2:
            raise DataError(
                _("plot: a function of {n} numbers cannot be drawn; of 1 or 2 it can").format(n=self.field.size)
            )
        anchors = [*self.starts, *(p.x for p in self.points)]
        low, high = np.min(anchors, axis=0), np.max(anchors, axis=0)
        room = np.maximum(0.25 * (high - low), 0.5)
        bounds = [(float(a), float(b)) for a, b in zip(low - room, high + room, strict=True)]

        def draw(axes: Axes) -> None:
            draw_function(axes, self.field, bounds, self.names)
            shown = axes.get_ylim()
            if self.field.size == 1:  # a steep wall beyond the starts would hide the valleys
                first = [run.values[0] for line in self.runs for run in line]
                lowest = min([*first, *(p.value for p in self.points)])
                shown = (lowest - 0.15 * (max(first) - lowest) - 1e-3, max(first) + 0.15 * (max(first) - lowest) + 1e-3)
            for line in self.runs:
                for i, run in enumerate(line):
                    style: dict[str, Any] = {"color": f"C{i % 10}", "linewidth": 1.2, "markersize": 3.5, "alpha": 0.85}
                    gone = np.flatnonzero(((run.path < low - 2 * room) | (run.path > high + 2 * room)).any(axis=1))
                    end = int(gone[0]) + 1 if gone.size else len(run.path)  # to the first point outside, no further
                    x = run.path[:end]
                    y = x[:, 1] if self.field.size == 2 else run.values[:end]
                    label = f"ε = {run.rate:g}" if line is self.runs[0] else None
                    axes.plot(x[:, 0], y, "o-", label=label, **style)
            for start in self.starts:
                y0 = start[1] if self.field.size == 2 else self.field.value(start)[0]
                axes.plot([start[0]], [y0], "o", color="black", markersize=6, zorder=5)
            axes.set(xlim=bounds[0], ylim=shown)
            axes.legend(frameon=False, ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))

        return drawn(draw, path, ax)


def descents(
    f: Callable[[Tensor], Any] | str, starts: Any, rates: Any, *, steps: int = STEPS, tolerance: float = 1e-6
) -> Descents:
    """Plain gradient descent, x ← x − ε ∇f, from every start with every learning rate: where does each end?

    f as in `kj.critical_points`; `starts` are (k,) numbers or (k, n) places, `rates` one ε or several. A run has
    arrived when no entry of the gradient is above `tolerance`. The places are classified by their Hessian, so a run
    that is caught on a saddle point says so. Source: scope 1.9.

    >>> print(descents("x**4 - 2*x**2 + 0.3*x", starts=[-2, 0, 0.5], rates=[0.01, 0.1, 0.4]))
    start  ε = 0.01           ε = 0.1           ε = 0.4
    ─────────────────────────────────────────────────────────────
    -2     A after 161 steps  B after 17 steps  diverges, 3 steps
    0      A after 233 steps  A after 16 steps  swings to and fro
    0.5    B after 221 steps  B after 15 steps  swings to and fro
    ─────────────────────────────────────────────────────────────
    A: minimum at x = -1.03558, f = -1.30543
    B: minimum at x = 0.96015, f = -0.705854
    """
    function, names = named(f)
    at = places("descents", starts)
    size = fitting("descents", names, None if at.ndim == 1 else at.shape[1])
    given = _rates(rates)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST_STEPS:
        raise DataError(_("descents: steps is a number from 1 to {most}, got {n!r}").format(most=MOST_STEPS, n=steps))
    if len(at) * len(given) > MOST_RUNS:
        raise DataError(
            _("descents: {n} runs are too many to read, {most} at most").format(n=len(at) * len(given), most=MOST_RUNS)
        )
    field = Field(function, size)
    at = at.reshape(len(at), -1)
    runs = [[_descended(field, start, rate, steps, tolerance) for rate in given] for start in at]
    points = _places(field, [r for line in runs for r in line])
    placed = [[_placed(r, points) for r in line] for line in runs]
    letters = names or (["x"] if field.size == 1 else [f"x{i}" for i in range(field.size)])
    return Descents(field, letters, at, given, placed, points)


def _rates(rates: Any) -> list[float]:
    found = list(rates) if isinstance(rates, Iterable) else [rates]
    fits = found and all(isinstance(r, int | float | np.number) and not isinstance(r, bool) for r in found)
    if not fits or not all(np.isfinite(r) and r > 0 for r in found):
        raise DataError(_("descents: rates are numbers above 0, got {rates!r}").format(rates=rates))
    return [float(r) for r in found]


def _descended(field: Field, start: Vector, rate: float, steps: int, tolerance: float) -> Descent:
    """One run."""
    x = np.array(start, np.float64)
    path, values, end = [x], [], "moving"
    for i in range(steps + 1):
        y, g = field.value(x)
        values.append(y)
        if not np.isfinite(y) or not np.isfinite(g).all() or np.linalg.norm(x) > FAR * (1 + np.linalg.norm(start)):
            end = "diverged"
            break
        if float(np.abs(g).max(initial=0.0)) <= tolerance:
            end = "arrived"
            break
        if i < steps:
            x = x - rate * g
            path.append(x)
    if end == "moving" and _swings(values):
        end = "swings"
    if end == "moving" and values[-1] > values[-2] > values[0]:
        end = "rises"
    return Descent(start, rate, np.array(path), np.array(values), end, None)


def _swings(values: Sequence[float]) -> bool:
    """Whether the last steps went up as well as down, or over the same values again and again."""
    last = np.diff(values[-2 * SWING :])
    same = len(values) > SWING and abs(values[-1] - values[-3]) <= 1e-9 * (1 + abs(values[-1]))
    return bool((last > 0).any() and (last < 0).any()) or same


def _places(field: Field, runs: Sequence[Descent]) -> list[CriticalPoint]:
    """Where the runs arrived, each place once: polished by Newton's method where that stays close."""
    found = []
    for run in runs:
        if run.end == "arrived":
            x = run.path[-1]
            exact = critical_point(field, x, max(float(np.linalg.norm(field.value(run.start)[1])), 1e-3))
            near = exact is not None and np.linalg.norm(exact.x - x) <= NEAR * (1 + np.linalg.norm(x))
            found.append(exact if near and exact is not None else classified(field, x, *field.curved(x)))
    return distinct(found)


def _placed(run: Descent, points: Sequence[CriticalPoint]) -> Descent:
    if run.end != "arrived":
        return run
    away = [float(np.linalg.norm(p.x - run.path[-1])) for p in points]
    best = int(np.argmin(away))
    return run._replace(end=points[best].kind, reached=best)


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else f"A{i}"
