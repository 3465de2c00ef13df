"""Minima, maxima and saddle points of a function, found and classified (scope 1.9)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.diff.critical import CriticalPoint, Field, Vector, search, spread
from kedja.errors import DataError
from kedja.explain.derivatives.expression import Expression
from kedja.explain.derivatives.grammar import parse
from kedja.explain.minima.surface import draw_function
from kedja.explain.show.table import Table, Tabular
from kedja.explain.words import _
from kedja.graph.node import Tensor, tensor
from kedja.optim.curve import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CriticalPoints", "critical_points"]

TRIES, MOST_TRIES, LARGEST = 64, 10_000, 50
MANY_FLAT = 6  # degenerate places; so many lie on a line or a plane
MARKS = {"minimum": "v", "maximum": "^", "saddle": "X", "degenerate": "s"}


class CriticalPoints(Tabular, Sequence[CriticalPoint]):
    """The critical points found, lowest value first; it prints as a table and can be indexed like a list."""

    def __init__(
        self, field: Field, names: list[str], points: list[CriticalPoint], tries: int, reached: int, outside: int,
        bounds: list[tuple[float, float]],
    ) -> None:  # fmt: skip
        self.field, self.names, self.points = field, names, points
        self.tries, self.reached, self.outside, self.bounds = tries, reached, outside, bounds

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, i: Any) -> Any:
        return self.points[i]

    def __iter__(self) -> Iterator[CriticalPoint]:
        return iter(self.points)

    def of_kind(self, kind: str) -> list[CriticalPoint]:
        """Those that are "minimum", "maximum", "saddle" or "degenerate"."""
        return [p for p in self.points if p.kind == kind]

    @property
    def minima(self) -> list[CriticalPoint]:
        """The minima, lowest first."""
        return self.of_kind("minimum")

    @property
    def maxima(self) -> list[CriticalPoint]:
        """The maxima."""
        return self.of_kind("maximum")

    @property
    def saddles(self) -> list[CriticalPoint]:
        """The saddle points."""
        return self.of_kind("saddle")

    @property
    def shown(self) -> list[CriticalPoint]:
        """Those the table shows: all, but of many degenerate ones the first few."""
        few = self.of_kind("degenerate")[:MANY_FLAT]
        return [p for p in self.points if p.kind != "degenerate" or any(p is q for q in few)]

    # --- showing ------------------------------------------------------------------------------------------------
    @property
    def table(self) -> Table:
        """The table that all ways to show it share."""
        rows = []
        for p in self.shown:
            eigenvalues = ", ".join(
                f"{v + 0.0:.4g}" for v in np.where(np.abs(p.eigenvalues) < 1e-12, 0.0, p.eigenvalues)
            )
            dust = 1e-5 if p.kind == "degenerate" else 1e-9  # where all is flat the place is less sharp
            rows.append((self.kind(p), ", ".join(place(v, dust) for v in p.x), place(p.value), eigenvalues))
        head = (_("kind"), ", ".join(self.names), "f", _("eigenvalues of the Hessian"))
        return Table(head, rows, notes=tuple(self._notes()))

    def kind(self, p: CriticalPoint) -> str:
        """The kind in words; of a degenerate one what lies around it; of the minima which is the lowest found."""
        if p.kind == "degenerate":
            words = {
                "higher": _("degenerate: no value near it is lower"),
                "lower": _("degenerate: no value near it is higher"),
                "higher and lower": _("degenerate: higher on one side, lower on another"),
                "equal": _("degenerate: flat all around"),
            }
            return words[p.nearby]
        words = {"minimum": _("minimum"), "maximum": _("maximum"), "saddle": _("saddle point")}
        if p.kind == "minimum" and len(self.minima) > 1:
            lowest = p.value <= self.minima[0].value + 1e-9 * max(1.0, abs(p.value))
            return _("minimum, the lowest found") if lowest else _("minimum, local")
        return words[p.kind]

    def _notes(self) -> list[str]:
        told = _("{reached} of {tries} starts led to a place where the gradient is zero")
        notes = [told.format(reached=self.reached, tries=self.tries)]
        if self.outside:
            notes[0] += _("; {n} of the places lie outside the bounds").format(n=self.outside)
        flat = self.of_kind("degenerate")
        if flat:
            notes.append(_("degenerate: an eigenvalue is zero, so the second derivative does not decide"))
        if len(flat) > MANY_FLAT:
            told = _(
                "{n} of them, not all shown: they are part of a line or an area, and each start finds another point"
            )
            notes.append(told.format(n=len(flat)))
        if not self.points:
            notes.append(_("a function may have none: 2x + 1 falls for ever, and |x| has a kink where its minimum is"))
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Plain data: a dict for every point."""
        return {
            "names": self.names,
            "tries": self.tries,
            "reached": self.reached,
            "points": [
                {
                    "x": p.x.tolist(), "value": p.value, "kind": p.kind, "nearby": p.nearby,
                    "eigenvalues": p.eigenvalues.tolist(), "gradient": p.gradient,
                }
                for p in self.points
            ],
        }  # fmt: skip

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Axes | None = None) -> Figure:
        """The function of one or two numbers with its critical points marked by kind; returns the Figure.

        `path` also writes it to a file. Raises DataError for functions of more numbers.
        """

        def draw(axes: Axes) -> None:
            draw_function(axes, self.field, self.bounds, self.names)
            for i, (kind, mark) in enumerate(MARKS.items()):
                here = self.of_kind(kind)
                if here:
                    x = np.array([p.x for p in here])
                    y = x[:, 1] if self.field.size == 2 else [p.value for p in here]
                    axes.plot(
                        x[:, 0],
                        y,
                        mark,
                        color=f"C{i + 1}",
                        markeredgecolor="white",
                        markersize=9,
                        label=_(kind),
                        zorder=5,
                    )
            if self.points:
                axes.legend(frameon=False, ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))

        if self.field.size > 2:
            raise DataError(
                _("plot: a function of {n} numbers cannot be drawn; of 1 or 2 it can").format(n=self.field.size)
            )
        return drawn(draw, path, ax)


def critical_points(
    f: Callable[[Tensor], Any] | str, bounds: Any = None, starts: Any = None, *, tries: int = TRIES, seed: int = 0
) -> CriticalPoints:
    """The places where the gradient of f is zero, classified by the eigenvalues of the Hessian.

    f takes a tensor (n,), or a single number, and gives one number; or it is an expression, "x**4 - 2*x**2 + y**2",
    whose letters are taken in alphabetical order. `bounds` says where to look: (low, high) for one number, a pair for
    each of several. `tries` starts are spread there; or give `starts` yourself: (k,) numbers or (k, n) places.
    Damped Newton steps in float64 lead from each start to a place without slope. Nothing proves that all were found.

    Kinks are not found: |x| has its minimum where it has no derivative. Raises DataError without bounds and starts.
    Source: scope 1.9; Levenberg 1944, Marquardt 1963.

    >>> print(critical_points("x**3 - 3*x + y**2", bounds=[(-3, 3), (-3, 3)]))
    kind          x, y   f   eigenvalues of the Hessian
    ───────────────────────────────────────────────────
    minimum       1, 0   -2  2, 6
    saddle point  -1, 0  2   -6, 2
    ───────────────────────────────────────────────────
    ... of 64 starts led to a place where the gradient is zero
    """
    function, names = named(f)
    box = _box(bounds)
    if isinstance(tries, bool) or not isinstance(tries, int) or not 1 <= tries <= MOST_TRIES:
        raise DataError(
            _("critical_points: tries is a number from 1 to {most}, got {n!r}").format(most=MOST_TRIES, n=tries)
        )
    given = None if starts is None else places("critical_points", starts)
    if given is not None:
        size = None if given.ndim == 1 else given.shape[1]
    elif box is not None:
        size = None if np.ndim(bounds[0]) == 0 else len(box)
    else:
        raise DataError(_("critical_points: say where to look: bounds=(low, high), or starts=[…]"))
    size = fitting("critical_points", names, size)
    field = Field(function, size)
    at = spread(box, tries, seed) if given is None else given.reshape(len(given), -1)  # type: ignore[arg-type]
    if box is not None and len(box) != field.size:
        raise DataError(_("critical_points: {n} pairs of bounds for {m} numbers").format(n=len(box), m=field.size))
    found, reached = search(field, at)
    inside = found if box is None else [p for p in found if _within(p.x, box)]
    window = box or _window([*at, *(p.x for p in found)])
    return CriticalPoints(field, _letters(names, field), inside, len(at), reached, len(found) - len(inside), window)


# --- functions and places, as people give them; shared with descents -------------------------------------------------
def named(f: Any) -> tuple[Callable[[Tensor], Any], list[str] | None]:
    """The function and its letters, when it is an expression."""
    if not isinstance(f, str):
        if not callable(f):
            raise DataError(_("f is a function or an expression, got {kind}").format(kind=type(f).__name__))
        return f, None
    e: Expression = parse(f)
    names = sorted(e.names) or ["x"]

    def function(x: Tensor) -> Tensor:
        y = e.graph({n: x[i] for i, n in enumerate(names)} if x.ndim else {names[0]: x})
        return y if isinstance(y, Tensor) else tensor(y, "float64")

    return function, names


def places(what: str, starts: Any) -> Vector:
    """Starts as an array of finite numbers: (k,) or (k, n)."""
    try:
        found = np.array(starts, np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim not in (1, 2) or not found.size or not np.isfinite(found).all():
        raise DataError(
            _("{what}: starts are finite numbers, (k,) or (k, n); got {got!r}").format(what=what, got=starts)
        )
    return found


def fitting(what: str, names: list[str] | None, size: int | None) -> int | None:
    """How many numbers the function takes; an expression of one letter may be given pairs or numbers."""
    if names is not None and len(names) != (size or 1):
        told = _("{what}: the expression has {n} letters ({names}), and the bounds or starts are for {m}")
        raise DataError(told.format(what=what, n=len(names), names=", ".join(names), m=size or 1))
    if size is not None and size > LARGEST:
        raise DataError(_("{what}: {n} numbers are too many, {most} at most").format(what=what, n=size, most=LARGEST))
    return size


def place(value: float, dust: float = 1e-9) -> str:
    """A coordinate, to six digits, without a minus before zero and without the dust of rounding."""
    return f"{0.0 if abs(value) < dust else value:.6g}"


def _letters(names: list[str] | None, field: Field) -> list[str]:
    if names is not None:
        return names
    return ["x"] if field.size == 1 else [f"x{i}" for i in range(field.size)]


def _box(bounds: Any) -> list[tuple[float, float]] | None:
    if bounds is None:
        return None
    try:
        pairs = np.array(bounds, np.float64)
    except (TypeError, ValueError):
        pairs = np.empty(0)
    pairs = pairs[None] if pairs.ndim == 1 else pairs
    fits = pairs.ndim == 2 and pairs.shape[1:] == (2,) and len(pairs) > 0 and np.isfinite(pairs).all()
    if not fits or not (pairs[:, 0] < pairs[:, 1]).all():
        told = _("critical_points: bounds are (low, high) with low < high, or a pair for each number; got {got!r}")
        raise DataError(told.format(got=bounds))
    return [(float(a), float(b)) for a, b in pairs]


def _within(x: Vector, box: list[tuple[float, float]]) -> bool:
    room = 1e-6
    return all(a - room * (b - a) <= v <= b + room * (b - a) for v, (a, b) in zip(x, box, strict=True))


def _window(points: list[Vector]) -> list[tuple[float, float]]:
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    room = np.maximum(0.2 * (high - low), 0.5)
    return [(float(a), float(b)) for a, b in zip(low - room, high + room, strict=True)]
