"""Models too small, about right and too large on the same points: under- and overfitting (scope 8.4)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kedja.errors import DataError, ShapeError
from kedja.explain.pictures.marks import number
from kedja.explain.pictures.picture import BLUE, INK, ORANGE, Plotted, quiet, returned
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor
from kedja.nn.layers import Dense
from kedja.nn.model import Module, Sequential
from kedja.optim import Adam

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Fit", "Fits", "fits"]

LINE = 201
USUAL = (1, 2, 64)


class Fit(NamedTuple):
    """One model: its curve over `Fits.line`, and its mean squared errors on its own rows and on the others."""

    name: str
    curve: Array
    own: float
    other: float | None


class Fits(Plotted):
    """Several models on the same points of one input; `models` are the fits, `line` the places of their curves."""

    def __init__(
        self,
        models: Sequence[Fit],
        x: Array,
        y: Array,
        line: Array,
        truth: Array | None,
        other: tuple[Array, Array] | None,
    ) -> None:
        self.models, self.x, self.y, self.line, self.truth, self.other = list(models), x, y, line, truth, other
        self.figure_size = (0.8 + 2.9 * len(models), 3.2)

    @property
    def table(self) -> Table:
        """The errors: a model too small is wrong on its own rows, one too large on the others."""
        rows = [(m.name, number(m.own, 3), *([] if m.other is None else [number(m.other, 3)])) for m in self.models]
        head = (_("model"), _("error, own rows"), _("error, other rows"))
        return Table(head[: len(rows[0])], rows, right=(1, 2)[: len(rows[0]) - 1])

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the points, and the curves with their errors."""
        return {
            "x": self.x.tolist(), "y": self.y.tolist(), "line": self.line.tolist(),
            "models": {m.name: {"curve": m.curve.tolist(), "own": m.own, "other": m.other} for m in self.models},
        }  # fmt: skip

    def paint(self, figure: Figure) -> None:
        axes = np.ravel(figure.subplots(1, len(self.models), sharey=True, squeeze=False))
        air = 0.25 * float(np.ptp(self.y)) or 0.5
        for k, (ax, fit) in enumerate(zip(axes, self.models, strict=True)):
            if self.other is not None:
                ax.plot(*self.other, "o", color="#c3cad3", markersize=2, zorder=1, label=_("other rows"))
            dots: dict[str, Any] = {"color": BLUE, "markersize": 4, "markeredgecolor": "white", "markeredgewidth": 0.5}
            ax.plot(self.x, self.y, "o", zorder=3, label=_("own rows"), **dots)
            if self.truth is not None:
                ax.plot(self.line, self.truth, color=INK, linewidth=0.9, linestyle=":", label=_("truth"))
            ax.plot(self.line, fit.curve, color=ORANGE, linewidth=1.8, zorder=4, label=_("model"))
            errors = _("error {own}").format(own=number(fit.own, 2))
            if fit.other is not None:
                errors = _("error {own}, on others {other}").format(own=number(fit.own, 2), other=number(fit.other, 2))
            quiet(ax, fit.name, xlabel="x")
            ax.text(0.02, 0.99, errors, transform=ax.transAxes, fontsize=8, va="top")
            ax.set(xlim=(self.line[0], self.line[-1]), ylim=(self.y.min() - air, self.y.max() + 1.6 * air))
            if k == 0:
                ax.set_ylabel("y")
        lines, labels = axes[0].get_legend_handles_labels()
        figure.legend(lines, labels, frameon=False, fontsize=8, loc="outside lower center", ncols=len(labels))


def fits(
    x: Any, y: Any, models: Any = None, *, other: Any = None, truth: Callable[[Any], Any] | None = None,
    epochs: int = 2000, seed: int = 0, path: str | os.PathLike[str] | None = None,
) -> Fits:  # fmt: skip
    """The curves of several models of one input over the points they learned from, with their mean squared errors.

    `models`: a dict of trained models (or functions of x (n, 1)) by title. A list of whole numbers, by default 1, 2 and
    64, stands for networks with two hidden layers of that many tanh units, which are trained here with Adam on all
    points at once. `other` is (x, y) of rows not learned from; `truth` a function of NumPy arrays that the points stem
    from.

    Raises ShapeError for more than one input, DataError where rows do not fit.
    Source: scope 8.4.

    >>> points = np.array([[0.0], [1.0], [2.0]])
    >>> print(fits(points, points**2, {"line": lambda x: 2 * x - 1 / 3, "square": lambda x: x**2}))
    model   error, own rows
    ───────────────────────
    line              0.222
    square                0
    """
    rows, targets = _points(x, y, "x", "y")
    held = None if other is None else _points(other[0], other[1], "other x", "other y")
    if truth is not None and not callable(truth):
        raise DataError(f"fits: truth is a function of x, got {type(truth).__name__}")
    known = _models(models, rows, targets, epochs, seed)
    air = 0.05 * float(np.ptp(rows)) or 0.5
    line = np.linspace(rows.min() - air, rows.max() + air, LINE)
    found = []
    for name, model in known.items():
        errors = [
            None if part is None else float(np.mean(np.square(_answers(model, part[0]) - part[1])))
            for part in ((rows, targets), held)
        ]
        assert errors[0] is not None
        found.append(Fit(name, _answers(model, line), errors[0], errors[1]))
    true = None if truth is None else np.asarray(truth(line), np.float64)
    return returned(Fits(found, rows, targets, line, true, held), path)


def _points(x: Any, y: Any, name: str, goal: str) -> tuple[Array, Array]:
    """One number for x and one for y in every row."""
    arrays = [np.asarray(v.numpy() if isinstance(v, Tensor) else v, np.float64) for v in (x, y)]
    for a, what in zip(arrays, (name, goal), strict=True):
        if a.size != len(a) if a.ndim else True:
            raise ShapeError(f"fits draws curves of one input and one output; {what} has shape {a.shape}")
    if len(arrays[0]) != len(arrays[1]):
        raise DataError(f"fits: {name} has {len(arrays[0])} rows and {goal} has {len(arrays[1])}")
    return arrays[0].reshape(-1), arrays[1].reshape(-1)


def _models(models: Any, x: Array, y: Array, epochs: int, seed: int) -> dict[str, Any]:
    if isinstance(models, Mapping):
        if not models:
            raise DataError("fits: there is no model")
        return {str(name): model for name, model in models.items()}
    sizes = USUAL if models is None else tuple(models)
    if not sizes or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes):
        raise DataError(f"fits: models is a dict of models by title, or a list of numbers of units; got {models!r}")
    made: dict[str, Any] = {}
    for n in sizes:
        net = Sequential([Dense(n, "tanh"), Dense(n, "tanh"), Dense(1)], dtype="float64")
        net.fit(
            x[:, None], y[:, None], loss="mse", optimizer=Adam(0.01), epochs=epochs, batch_size=None, seed=seed,
            verbose=0,
        )  # fmt: skip
        made[_("{n} + {n} units").format(n=n)] = net
    return made


def _answers(model: Any, x: Array) -> Array:
    ask = model.predict if isinstance(model, Module) or hasattr(model, "predict") else model
    found = ask(x[:, None])
    values = np.asarray(found.numpy() if isinstance(found, Tensor) else found, np.float64)
    if values.size != len(x):
        raise ShapeError(f"fits: a model gave shape {values.shape} for {len(x)} rows; one number each is needed")
    return values.reshape(-1)
