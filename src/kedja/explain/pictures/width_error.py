"""How well one hidden layer approximates a function, against its width (scope 2.4)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kedja.errors import DataError
from kedja.explain.pictures.marks import number
from kedja.explain.pictures.picture import BLUE, FAINT, INK, LINES, Plotted, decades, quiet, returned
from kedja.explain.show.table import Table
from kedja.explain.words import _, counted
from kedja.graph.node import Array
from kedja.nn.layers import Dense
from kedja.nn.model import Sequential
from kedja.optim import LBFGS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["WidthError", "WidthRow", "width_error"]

WIDTHS = (1, 2, 4, 8, 16)
POINTS, LINE = 64, 401


class WidthRow(NamedTuple):
    """One width: the errors of all starts, and the curve of the best."""

    width: int
    errors: Array
    curve: Array

    @property
    def best(self) -> float:
        """The smallest of the errors."""
        return float(self.errors.min())


class WidthError(Plotted):
    """Root mean square errors against width; `rows` has each width, `line` and `truth` the function."""

    figure_size = (8.6, 3.4)

    def __init__(self, rows: Sequence[WidthRow], line: Array, truth: Array, activation: str) -> None:
        self.rows, self.line, self.truth, self.activation = list(rows), line, truth, activation

    @property
    def table(self) -> Table:
        """The best and the worst error of each width."""
        rows = [(str(r.width), number(r.best, 3), number(float(r.errors.max()), 3)) for r in self.rows]
        return Table((_("units"), _("best error"), _("worst error")), rows, right=(0, 1, 2))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the function, and of each width the errors and the best curve."""
        return {
            "line": self.line.tolist(), "truth": self.truth.tolist(),
            "rows": [{"width": r.width, "errors": r.errors.tolist(), "curve": r.curve.tolist()} for r in self.rows],
        }  # fmt: skip

    def paint(self, figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        left.plot(self.line, self.truth, color=FAINT, linewidth=5, alpha=0.5, label=_("the function"))
        for k, r in enumerate(self.rows[:3]):  # wider ones lie on the function
            colour, dashes = LINES[k]
            label = counted("{n} unit", "{n} units", r.width)
            left.plot(self.line, r.curve, color=colour, linestyle=dashes, linewidth=1.5, label=label)
        quiet(left, _("a hidden layer of {name}").format(name=self.activation), xlabel="x", ylabel="y")
        left.legend(frameon=False, fontsize=8)
        widths = [r.width for r in self.rows]
        for r in self.rows:
            right.plot([r.width] * len(r.errors), r.errors, "o", color=FAINT, markersize=3.5)
        right.plot(widths, [r.best for r in self.rows], "o-", color=BLUE, markersize=5, label=_("best of all starts"))
        quiet(right, _("error against width"), xlabel=_("units"), ylabel=_("root mean square error"))
        right.set(xscale="log", yscale="log")
        decades(right)
        right.set_xticks(widths, [str(w) for w in widths])
        right.minorticks_off()
        right.grid(axis="y", alpha=0.25, linewidth=0.8)
        right.legend(frameon=False, fontsize=8)
        right.tick_params(colors=INK)


def width_error(
    function: Callable[[Array], Any] | None = None, *, widths: Sequence[int] = WIDTHS, activation: str = "tanh",
    span: tuple[float, float] = (-1.0, 1.0), starts: int = 3, epochs: int = 400, seed: int = 0,
    path: str | os.PathLike[str] | None = None,
) -> WidthError:  # fmt: skip
    """Networks with one hidden layer of growing width, each fitted to the same function of one number.

    `function` takes and gives NumPy arrays; by default sin(7x)·e⁻ˣ. Each width is fitted from `starts` different
    starting values, with L-BFGS on 64 points in float64; its error is the root mean square over 401 places of `span`.
    More units can only approximate better, but a fit may end in a local minimum or before it is done: so all starts are
    drawn, and the line is the best.

    Raises DataError for widths that are no whole numbers above 0, or a function that gives other than a number each.
    Source: scope 2.4; Cybenko 1989; Hornik, Stinchcombe, White 1989.

    >>> found = width_error(np.cos, widths=(1, 8), starts=1, epochs=100)
    >>> found.rows[0].best > 2 * found.rows[1].best
    True
    """
    if not widths or not all(isinstance(w, int) and not isinstance(w, bool) and w > 0 for w in widths):
        raise DataError(f"width_error: widths are whole numbers above 0, got {widths!r}")
    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise DataError(f"width_error: starts is a whole number, at least 1; got {starts!r}")
    low, high = (float(v) for v in span)
    if not low < high:
        raise DataError(f"width_error: span goes from small to large, got {span!r}")
    wanted = _usual if function is None else function
    points, line = np.linspace(low, high, POINTS)[:, None], np.linspace(low, high, LINE)
    targets, truth = (_given(wanted, v) for v in (points[:, 0], line))
    rows = []
    for width in sorted(set(widths)):
        net = Sequential([Dense(width, activation), Dense(1)], dtype="float64")
        rule = LBFGS(change_tolerance=1e-14, gradient_tolerance=1e-10)
        errors, curves = [], []
        for s in range(starts):
            if s:
                net.reset(seed=seed + s)
            net.fit(
                points, targets[:, None], loss="mse", optimizer=rule, epochs=epochs, batch_size=None, seed=seed + s,
                verbose=0,
            )  # fmt: skip
            curves.append(np.asarray(net.predict(line[:, None]))[:, 0])
            errors.append(float(np.sqrt(np.mean(np.square(curves[-1] - truth)))))
        rows.append(WidthRow(width, np.array(errors), curves[int(np.argmin(errors))]))
    return returned(WidthError(rows, line, truth, activation), path)


def _usual(x: Array) -> Array:
    found: Array = np.sin(7 * x) * np.exp(-x)
    return found


def _given(function: Callable[[Array], Any], x: Array) -> Array:
    found = np.asarray(function(x), np.float64)
    if found.shape != x.shape or not np.isfinite(found).all():
        raise DataError(
            f"width_error: the function gives one finite number for each x; for {x.shape} it gave shape {found.shape}"
        )
    return found
