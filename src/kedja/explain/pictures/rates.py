"""The learning rate too low, about right, too high: on a function of one number, or on a model (scope 4.1, 8.4)."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kedja.diff import grad
from kedja.engines import get_engine
from kedja.errors import DataError, DivergedError, GraphError, ShapeError
from kedja.explain.pictures.marks import number
from kedja.explain.pictures.picture import BLUE, FAINT, ORANGE, Plotted, quiet, returned
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor, placeholder
from kedja.graph.trace import Graph
from kedja.nn.model import Module
from kedja.ops import reshape, square
from kedja.optim import SGD
from kedja.optim import get as get_optimizer
from kedja.optim.minimizer import Minimizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["RateRun", "Rates", "rates"]

USUAL = (0.03, 0.35, 1.03)  # for w², where above 1 every step lands further out
FAR = 1e6


class RateRun(NamedTuple):
    """One learning rate: the points (None for a model), and the losses, from before the first step on."""

    rate: float
    points: Array | None
    losses: Array

    @property
    def verdict(self) -> str:
        """What came of it, in a word."""
        first, last = float(self.losses[0]), float(self.losses[-1])
        if not math.isfinite(last) or last > 1.001 * first:
            return _("diverges")
        return _("falls")


class Rates(Plotted):
    """One run for every learning rate, all from the same start: `runs`. A function's `curve` is (x, f(x))."""

    def __init__(self, runs: Sequence[RateRun], curve: tuple[Array, Array] | None, what: str) -> None:
        self.runs, self.curve, self.what = list(runs), curve, what
        self.figure_size = (0.8 + 2.9 * len(runs), 3.1)

    @property
    def table(self) -> Table:
        """The loss at the start and at the end of every run."""
        rows = [
            (
                number(r.rate),
                str(len(r.losses) - 1),
                number(float(r.losses[0]), 3),
                number(float(r.losses[-1]), 3),
                r.verdict,
            )
            for r in self.runs
        ]
        head = (_("learning rate"), _("steps") if self.curve is not None else _("epochs"), _("loss at the start"),
                _("at the end"), "")  # fmt: skip
        return Table(head, rows, right=(0, 1, 2, 3))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the runs."""
        return {
            "runs": [
                {"rate": r.rate, "points": None if r.points is None else r.points.tolist(), "losses": r.losses.tolist()}
                for r in self.runs
            ]
        }

    def paint(self, figure: Figure) -> None:
        axes = np.ravel(figure.subplots(1, len(self.runs), sharey=True, squeeze=False))
        for k, (ax, run) in enumerate(zip(axes, self.runs, strict=True)):
            if self.curve is None:
                self._losses(ax, run, first=k == 0)
            else:
                self._steps(ax, run, first=k == 0)
            quiet(ax, _("ε = {rate}: {what}").format(rate=number(run.rate), what=self._said(k)))

    def _said(self, k: int) -> str:
        """Too low, about right, too high: for three runs in that order of which the middle one is best."""
        if len(self.runs) == 3:
            ends = [float(r.losses[-1]) if np.isfinite(r.losses[-1]) else math.inf for r in self.runs]
            ordered = self.runs[0].rate < self.runs[1].rate < self.runs[2].rate
            if ordered and ends[1] == min(ends):
                return (_("too low"), _("about right"), _("too high"))[k]
        return self.runs[k].verdict

    def _steps(self, ax: Axes, run: RateRun, *, first: bool) -> None:
        assert self.curve is not None and run.points is not None
        ax.plot(*self.curve, color=FAINT, linewidth=1.4)
        low, high = ax.get_ylim()
        x = self.curve[0]
        inside = np.flatnonzero((run.points < x[0]) | (run.points > x[-1]))
        end = int(inside[0]) + 1 if inside.size else len(run.points)
        ax.plot(run.points[:end], run.losses[:end], "-", color=ORANGE, linewidth=0.9)
        ax.plot(run.points[:end], run.losses[:end], "o", color=ORANGE, markersize=4.5, markeredgecolor="white")
        ax.plot(
            run.points[0], run.losses[0], "s", color=BLUE, markersize=6.5, markeredgecolor="white", label=_("start")
        )
        ax.set(xlim=(x[0], x[-1]), ylim=(low, high), xlabel="w")
        if first:
            ax.set_ylabel(self.what)
            ax.legend(frameon=False, fontsize=8)

    def _losses(self, ax: Axes, run: RateRun, *, first: bool) -> None:
        ax.plot(np.arange(len(run.losses)), run.losses, color=ORANGE, linewidth=1.6)
        every = np.concatenate([r.losses[np.isfinite(r.losses)] for r in self.runs])
        low, high = float(every.min()), min(float(every.max()), 10 * max(float(r.losses[0]) for r in self.runs))
        air = 0.05 * (high - low)
        if low > 0 and high > 30 * low:
            ax.set_yscale("log")
            ax.set_ylim(low / 1.5, high * 1.5)
        else:
            ax.set_ylim(low - air, high + air)
        if not np.isfinite(run.losses[-1]):
            ax.annotate(_("not a number any more"), (0.5, 0.9), xycoords="axes fraction", ha="center", fontsize=8)
        ax.set(xlabel=_("epoch"), xlim=(0, max(len(r.losses) for r in self.runs) - 1))
        ax.grid(axis="y", alpha=0.25, linewidth=0.8)
        if first:
            ax.set_ylabel(_("loss"))


def rates(
    of: Any = None, x: Any = None, y: Any = None, *, rates: Sequence[float] = USUAL, loss: Any = None,
    optimizer: Any = None, start: float | None = None, steps: int = 20, batch_size: int | None = None, seed: int = 0,
    path: str | os.PathLike[str] | None = None,
) -> Rates:  # fmt: skip
    """What a learning rate that is too low, about right, or too high does; a panel for each of `rates`.

    `of`: a function of one number, given a tensor (by default w², from w = −1): the points of plain descent are drawn
    on its curve. Or a model, with examples `x`, `y` and a `loss`: a copy of it is trained from the same weights on the
    same batches with each rate, `steps` epochs long, by plain descent or another `optimizer`; the model stays as it is.

    Raises DataError for rates that are not above 0, GraphError for what is neither function nor model.
    Source: scope 8.4.

    >>> print(rates())
    learning rate  steps  loss at the start  at the end
    ─────────────────────────────────────────────────────────────
             0.03     20                  1      0.0842  falls
             0.35     20                  1  1.22×10⁻²¹  falls
             1.03     20                  1        10.3  diverges
    """
    known = [float(r) for r in rates]
    if not known or not all(math.isfinite(r) and r > 0 for r in known):
        raise DataError(f"rates are numbers above 0, got {list(rates)}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise DataError(f"rates: steps is a whole number, at least 1; got {steps!r}")
    if isinstance(of, Module):
        if x is None or y is None:
            raise DataError("rates: a model is trained on examples, so it needs x and y")
        runs = [_trained(of, x, y, loss, optimizer, r, steps, batch_size, seed) for r in known]
        return returned(Rates(runs, None, ""), path)
    if of is not None and not callable(of):
        raise GraphError(f"rates takes a function of one number, or a model; got {type(of).__name__}")
    function = square if of is None else of
    begin = -1.0 if start is None else float(start)
    runs = [_descended(function, begin, r, steps) for r in known]
    within = np.concatenate([r.points[np.abs(r.points - begin) < FAR] for r in runs[:2] if r.points is not None])
    reach = max(float(np.abs(within).max()), abs(begin), 1e-3) * 1.45
    across = np.linspace(-reach, reach, 301)
    values = _values(function, across)
    name = "w²" if of is None else getattr(of, "__name__", "f").replace("<lambda>", "f") + "(w)"
    return returned(Rates(runs, (across, values), name), path)


def _one(function: Callable[[Tensor], Any], w: Tensor) -> Tensor:
    value = function(w)
    if not isinstance(value, Tensor):
        raise GraphError(f"rates: the function gave {value!r}, which does not depend on w through kedja's ops")
    if value.size != 1:
        raise ShapeError(f"rates: the function must give one number for one number, got shape {value.shape}")
    return reshape(value, ())


def _descended(function: Callable[[Tensor], Any], start: float, rate: float, steps: int) -> RateRun:
    """Plain descent: w ← w − ε f′(w)."""
    w = placeholder((), "float64", "w")
    value = _one(function, w)
    program = get_engine("reference").program(Graph([w], [value, grad(value, w)]))
    points, losses = [start], []
    with np.errstate(all="ignore"):
        while True:
            height, slope = (float(v) for v in program([], [np.asarray(points[-1])])[1])
            losses.append(height)
            if len(points) > steps or not math.isfinite(height) or abs(points[-1]) > FAR:
                return RateRun(rate, np.array(points), np.array(losses))
            points.append(points[-1] - rate * slope)


def _values(function: Callable[[Tensor], Any], places: Array) -> Array:
    w = placeholder((), "float64", "w")
    program = get_engine("reference").program(Graph([w], [_one(function, w)]))
    with np.errstate(all="ignore"):
        return np.array([float(program([], [np.asarray(p)])[1][0]) for p in places])


def _trained(
    model: Any, x: Any, y: Any, loss: Any, optimizer: Any, rate: float, epochs: int, batch_size: int | None, seed: int
) -> RateRun:  # fmt: skip
    """A copy of the model trained at this rate; the losses are those over all examples after every epoch."""
    if not model.built:
        rows = np.asarray(x.numpy() if isinstance(x, Tensor) else x)
        model.build((None, *rows.shape[1:]), seed=seed)
    trial = copy.deepcopy(model)
    rule = copy.deepcopy(get_optimizer(SGD(rate) if optimizer is None else optimizer))
    if isinstance(rule, Minimizer):
        raise DataError(f"rates: {type(rule).__name__} finds its own steps and has no learning rate to compare")
    rule.learning_rate = rate
    losses = [trial.evaluate(x, y, loss=loss)["loss"]]
    with np.errstate(all="ignore"):
        for _epoch in range(epochs):
            try:
                trial.fit(x, y, loss=loss, optimizer=rule, epochs=1, batch_size=batch_size, seed=seed, verbose=0)
                losses.append(trial.evaluate(x, y)["loss"])
            except DivergedError:
                losses.append(math.nan)
            if not math.isfinite(losses[-1]):
                break
    return RateRun(rate, None, np.array(losses))
