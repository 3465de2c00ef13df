"""What each neuron answers to: its output as a curve or as a map over the inputs (scope 1.2, 10)."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import GraphError, ShapeError
from kedja.explain.pictures.marks import number
from kedja.explain.pictures.passing import as_model
from kedja.explain.pictures.picture import INK, LINES, Plotted, quiet, returned, signed
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor
from kedja.graph.variables import Variable
from kedja.nn.model import Module

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Responses", "responses"]

MOST, CURVES, ROWS = 36, 8, 200


class Responses(Plotted):
    """The outputs of one layer's neurons: `values` (places, neurons) at `x`.

    Of one input a curve each, of two a map each (`shape` is that of the grid), of more a row for every example.
    """

    def __init__(self, layer: str, x: Array, values: Array, shape: tuple[int, ...], shown: Array) -> None:
        self.layer, self.x, self.values, self.shape, self.shown = layer, x, values, shape, shown
        if len(shape) == 2:
            columns = min(len(shown), 6)
            self.figure_size = (0.9 + 1.55 * columns, 0.6 + 1.6 * math.ceil(len(shown) / columns))

    @property
    def table(self) -> Table:
        """How far each neuron's answers reach, and at how many places it answers nothing (a ReLU that is off)."""
        rows = [
            (str(j + 1), number(float(v.min()), 3), number(float(v.max()), 3), f"{100 * float((v == 0).mean()):.0f} %")
            for j, v in ((int(j), self.values[:, j]) for j in self.shown)
        ]
        return Table((_("neuron"), _("least"), _("most"), _("silent")), rows, right=(1, 2, 3))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: places and answers."""
        return {"layer": self.layer, "x": self.x.tolist(), "values": self.values.tolist()}

    def paint(self, figure: Figure) -> None:
        total = self.values.shape[1]
        chosen = (
            ""
            if len(self.shown) == total
            else _(", the {n} of {total} that vary most").format(n=len(self.shown), total=total)
        )
        figure.suptitle(_("answers of {layer}").format(layer=self.layer) + chosen, x=0.01, ha="left", fontsize=10,
                        fontweight="bold")  # fmt: skip
        if len(self.shape) == 1:
            ax = figure.add_subplot()
            for k, j in enumerate(self.shown):
                colour, dashes = LINES[k % len(LINES)]
                ax.plot(self.x[:, 0], self.values[:, j], color=colour, linestyle=dashes, label=str(j + 1))
            quiet(ax, xlabel="x", ylabel=_("output"))
            ax.legend(title=_("neuron"), frameon=False, fontsize=8, ncols=2)
            return
        reach = float(np.abs(self.values[:, self.shown]).max()) or 1.0
        if len(self.shape) == 2:
            self._maps(figure, reach)
            return
        ax = figure.add_subplot()
        image = ax.imshow(self.values[:, self.shown], cmap=signed(), vmin=-reach, vmax=reach, aspect="auto")
        quiet(ax, xlabel=_("neuron"), ylabel=_("example"))
        ax.set_xticks(range(len(self.shown)), [str(j + 1) for j in self.shown] if len(self.shown) <= 24 else None)
        figure.colorbar(image, ax=ax, label=_("output"))

    def _maps(self, figure: Figure, reach: float) -> None:
        columns = min(len(self.shown), 6)
        rows = math.ceil(len(self.shown) / columns)
        across, up = self.x[: self.shape[1], 0], self.x[:: self.shape[1], 1]
        extent = (across[0], across[-1], up[0], up[-1])
        axes = []
        for k, j in enumerate(self.shown):
            ax = figure.add_subplot(rows, columns, k + 1)
            axes.append(ax)
            grid = self.values[:, j].reshape(self.shape)
            image = ax.imshow(
                grid, origin="lower", extent=extent, cmap=signed(), vmin=-reach, vmax=reach, aspect="auto"
            )
            middle = 0.0 if grid.min() < 0 < grid.max() else 0.5
            if grid.min() < middle < grid.max():
                ax.contour(across, up, grid, levels=[middle], colors=INK, linewidths=1)
            ax.set_title(str(j + 1), fontsize=9)
            ax.set(xticks=[], yticks=[])
            if k == (rows - 1) * columns:
                ax.set_xlabel("x₁", fontsize=8)
                ax.set_ylabel("x₂", fontsize=8)
        figure.colorbar(image, ax=axes, label=_("output"), shrink=0.8)


def responses(
    model: Any, x: Any, layer: str | None = None, *, points: int = 60, most: int = MOST,
    path: str | os.PathLike[str] | None = None,
) -> Responses:  # fmt: skip
    """What every neuron of a layer answers, over the range of the inputs `x` (n, features).

    Of one input a curve for each neuron, of two a map (the line is where it answers 0, or ½ where it is never
    negative), of more its answers to these examples. `layer`: a path, as in `model.summary()`; by default the first
    layer with weights. Of many neurons the `most` that vary most are shown.

    Raises GraphError for what is no model, ShapeError for layers that answer with maps (use `feature_maps`).

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(2, "relu"), kj.nn.Dense(1)]).build((None, 1))
    >>> net.set_weights([[[1, -1]], [0, 0], [[1], [1]], [0]])  # |x|
    >>> print(responses(net, [[-2.0], [1.0]], points=4))
    neuron  least  most  silent
    ───────────────────────────
    1           0     1    75 %
    2           0     2    50 %
    """
    model = as_model(model, "responses")
    rows = np.asarray(x.numpy() if isinstance(x, Tensor) else x, dtype=np.float32)
    if rows.ndim != 2 or not len(rows):
        raise ShapeError(f"responses: x is (n, features), got shape {rows.shape}")
    model.expect_weights()
    name = layer or first_with_weights(model)
    least, most_ = rows.min(0), rows.max(0)
    shape: tuple[int, ...] = (0, 0, 0)
    if rows.shape[1] == 1:
        rows = np.linspace(least, most_, points * 4 if points >= 50 else points).astype(np.float32)
        shape = (len(rows),)
    elif rows.shape[1] == 2:
        across, up = (np.linspace(a, b, points) for a, b in zip(least, most_, strict=True))
        rows, shape = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2).astype(np.float32), (points, points)
    else:
        rows = rows[:ROWS]
    values = np.asarray(model.outputs_of(name, rows).numpy())
    if values.ndim != 2:
        raise ShapeError(
            f'responses: "{name}" answers with {values.shape[1:]} for an example; use kj.explain.feature_maps'
        )
    limit = min(most, CURVES) if len(shape) == 1 else most
    varied = np.argsort(-np.ptp(values, axis=0), kind="stable")[:limit]
    return returned(Responses(name, rows, values, shape, np.sort(varied)), path)


def first_with_weights(model: Module) -> str:
    """The path of the first layer that has weights of its own."""
    for name, layer in model.layers_by_path():
        if any(isinstance(v, Variable) for _n, v in layer.members()):
            return name
    raise GraphError("the model has no layer with weights; say which layer is meant, layer=")
