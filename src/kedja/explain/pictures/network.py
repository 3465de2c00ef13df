"""The network as a picture: units as circles, weights as lines, with values and gradients to be read (scope 10)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kedja.errors import DataError, GraphError
from kedja.explain.pictures.flows import Flows
from kedja.explain.pictures.marks import number, width_of
from kedja.explain.pictures.network_scene import Array, NetworkLayer, network_scene
from kedja.explain.pictures.passing import passed
from kedja.explain.pictures.picture import Drawn, returned
from kedja.explain.pictures.scene import Scene, Text
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Tensor
from kedja.nn.layers.dense import Dense
from kedja.nn.model import Module, Sequential
from kedja.ops import sum as total

__all__ = ["NetworkDrawing", "draw_network"]


class NetworkDrawing(Drawn):
    """A network of dense layers with its weights; `layers` holds what is drawn, the input first."""

    def __init__(self, layers: Sequence[NetworkLayer], inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> None:
        self.layers, self.inputs, self.outputs = list(layers), list(inputs), list(outputs)
        self.figure_size = (self.scene.width / 72, self.scene.height / 72)

    @property
    def scene(self) -> Scene:
        scene = network_scene(self.layers, self.inputs, self.outputs)
        said = _("Blue lines: positive weights, orange: negative; thicker is larger.")
        said += " " + (
            _("Circles: biases in the same colours.")
            if self.layers[0].values is None
            else _("Circles: values in the same colours.")
        )
        scene.height += 22
        scene.add(Text(scene.width / 2, scene.height - 6, said, "tick small mid"))
        scene.width = max(scene.width, width_of(said, 10.5))
        return scene

    @property
    def table(self) -> Table:
        """Each layer's units, how far its weights and their gradients reach, and the values of the example."""
        head = (_("layer"), _("units"), _("weights"), _("gradients"), _("values"))
        rows = [(r.name, f"{r.size:,}", *map(_reach, (r.kernel, r.kernel_gradient, r.values))) for r in self.layers]
        used = [i for i in range(5) if i < 2 or any(row[i] for row in rows)]
        return Table(tuple(head[i] for i in used), [tuple(row[i] for i in used) for row in rows], right=(1,))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the arrays of every layer."""
        plain = [
            {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in r._asdict().items()} for r in self.layers
        ]
        return {"layers": plain, "inputs": self.inputs, "outputs": self.outputs}


def draw_network(
    model: Any, x: Any = None, y: Any = None, *, loss: Any = None, inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None, path: str | os.PathLike[str] | None = None,
) -> NetworkDrawing:  # fmt: skip
    """A network of dense layers drawn as one draws it on a board; lines are weights, circles units.

    Blue lines are positive weights, orange ones negative, the thicker the larger; a circle is filled by its bias, or
    with an example `x` by its value, in the same way. With a target `y` and a `loss` every weight, bias and value also
    has its gradient: it is read under the mouse, as all numbers are; a small network has its weights written. Of a wide
    layer the units with the strongest weights are shown around a "⋮". `inputs` and `outputs` are names of features and
    classes (by default those the model was trained with).

    Raises GraphError for a model that is no chain of dense layers (`draw_graph` draws those).

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(2, "relu"), kj.nn.Dense(1)]).build((None, 2))
    >>> net.set_weights([[[1, 1], [1, 1]], [0, -1], [[1], [-2]], [0]])
    >>> print(draw_network(net, [1, 1], [0], loss="sse"))
    layer    units  weights  gradients  values
    ──────────────────────────────────────────
    input        2                      1 to 1
    dense_1      2  1 to 1   0 to 0     1 to 2
    dense_2      1  −2 to 1  0 to 0     0 to 0
    """
    layers = _layers(model)
    given: dict[Tensor, Array] = {}
    records: list[tuple[Dense, Tensor]] = []
    gradients: Mapping[Tensor, Array] = {}
    x_row: Array | None = None
    if x is not None or y is not None:
        x_row, records, given, gradients = _example(model, x, y, loss)
    columns = [NetworkLayer(_("input"), layers[0][1].n_in, values=x_row)]
    for name, layer in layers:
        out = next((o for found, o in records if found is layer), None)
        value = given[out][0] if out is not None else None
        slope = gradients[out][0] if out is not None and out in gradients else None
        kernel = np.asarray(layer.kernel.value) if layer.mask is None else np.asarray(layer.kernel.value) * layer.mask
        columns.append(
            NetworkLayer(
                name,
                layer.units,
                kernel,
                None if layer.bias is None else np.asarray(layer.bias.value),
                gradients.get(layer.kernel),
                gradients.get(layer.bias) if layer.bias is not None else None,
                value,
                slope,
            )
        )
    info = getattr(model, "info", {})
    known = [info.get(key) or () for key in ("feature_names", "class_names")] if isinstance(info, dict) else [(), ()]
    drawing = NetworkDrawing(columns, inputs or known[0], outputs or known[1])
    return returned(drawing, path)


def _layers(model: Any) -> list[tuple[str, Dense]]:
    """The dense layers of a chain; what lies between them may have no weights and change no sizes."""
    if not isinstance(model, Module):
        raise GraphError(f"draw_network draws a model, got {type(model).__name__}")
    if not isinstance(model, Sequential):
        raise GraphError(
            f"draw_network draws a chain of dense layers, kj.Sequential([...]), and {type(model).__name__} may branch. "
            "kj.explain.draw_graph(model) draws any model, a box for each layer."
        )
    model.expect_weights()
    found = []
    for name, layer in model.members():
        if isinstance(layer, Dense):
            found.append((name, layer))
        elif layer.count_parameters():
            raise GraphError(
                f'draw_network: "{name}" is a {type(layer).__name__}, whose weights are not lines between units. '
                "kj.explain.draw_graph(model) draws it as a box; kj.explain.filters(model) shows the weights of a "
                "convolution."
            )
    if not found:
        raise GraphError("draw_network: the model has no dense layer, so there are no weights to draw")
    for (_n, before), (name, after) in itertools.pairwise(found):
        if before.units != after.n_in:
            raise GraphError(
                f'draw_network: "{name}" has {after.n_in} inputs and the layer before it {before.units} units: a layer '
                "between them changes the size, so they are not a chain. kj.explain.draw_graph(model) draws it."
            )
    return found


def _example(model: Module, x: Any, y: Any, loss: Any) -> tuple[Array, list[Any], Any, Any]:
    """The values of one example, and with a target the gradients."""
    found = passed(model, x, y, loss, who="draw_network")
    if len(found.inputs[0]) != 1:
        raise DataError(f"draw_network shows the values of one example, and x holds {len(found.inputs[0])}: give x[0]")
    records: list[tuple[Dense, Tensor]] = []
    for call in found.calls:
        if isinstance(call.layer, Dense):
            records.append((call.layer, call.output))
        elif records and call.inputs[0] is records[-1][1] and call.output.shape == call.inputs[0].shape:
            records[-1] = (records[-1][0], call.output)  # an activation that is a layer of its own
    wrt = [v for v in model.parameters if v.trainable] if found.goal is not None else []
    also = [out for _layer, out in records]  # a loss of logits does not use the last
    flows = Flows(total(found.output) if found.goal is None else found.goal, wrt, also)
    return found.inputs[0].numpy().reshape(-1), records, flows.values, flows.gradients


def _reach(numbers: Array | None) -> str:
    if numbers is None or not np.size(numbers):
        return ""
    low, high = number(float(np.min(numbers)), 3), number(float(np.max(numbers)), 3)
    return _("{low} to {high}").format(low=low, high=high)
