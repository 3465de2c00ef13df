"""The network as a picture: units as circles, weights as lines, with values and gradients to be read (scope 10)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kedja.errors import DataError, GraphError, ShapeError
from kedja.explain.pictures.diagram import overlap
from kedja.explain.pictures.flows import Flows
from kedja.explain.pictures.marks import number, short, width_of
from kedja.explain.pictures.passing import passed
from kedja.explain.pictures.picture import Drawn, returned
from kedja.explain.pictures.scene import Circle, Line, Scene, Text
from kedja.explain.table import Table
from kedja.explain.words import _, counted
from kedja.graph.node import Tensor
from kedja.nn.layers.dense import Dense
from kedja.nn.model import Module, Sequential
from kedja.ops import sum as total

__all__ = ["NetworkDrawing", "NetworkLayer", "draw_network", "network_scene"]

MOST_UNITS = 14  # circles drawn in one layer
MOST_EDGES = 160  # lines drawn between two layers
LABELLED_EDGES = 24  # a network of no more edges than this has its weights written on them
COLUMN_GAP, MARGIN, HEAD = 220, 140, 54
LABEL_LENGTH = 18

Array = np.ndarray[Any, Any]


class NetworkLayer(NamedTuple):
    """A column of units: what comes into it and, of one example, its values; None where it is not known."""

    name: str
    size: int
    kernel: Array | None = None
    bias: Array | None = None
    kernel_gradient: Array | None = None
    bias_gradient: Array | None = None
    values: Array | None = None
    gradients: Array | None = None


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


def network_scene(
    layers: Sequence[NetworkLayer], inputs: Sequence[str] = (), outputs: Sequence[str] = ()
) -> Scene:  # fmt: skip
    """The drawing of a chain of layers, the input first."""
    pairs = [_checked(index, layer.kernel, layer.bias) for index, layer in enumerate(layers[1:])]
    if not pairs:
        raise ShapeError("a network without weights cannot be drawn; give one (kernel, bias) pair per layer.")
    for index, (before, after) in enumerate(itertools.pairwise(pairs)):
        if before.shape[1] != after.shape[0]:
            raise ShapeError(
                f"kernel {index} ends in {before.shape[1]} units, kernel {index + 1} starts from "
                f"{after.shape[0]}: they are not a chain of dense layers."
            )
    sizes = [pairs[0].shape[0], *(kernel.shape[1] for kernel in pairs)]
    shown = [_strongest(layer, size, pairs) for layer, size in enumerate(sizes)]
    rows = max(len(units) + (len(units) < size) for units, size in zip(shown, sizes, strict=True))
    pitch = 54 if rows <= 5 else 36 if rows <= 10 else 27
    radius = min(15, 0.36 * pitch)
    height = HEAD + rows * pitch + 12
    names = [_unit_names(layer, size, len(pairs), inputs, outputs) for layer, size in enumerate(sizes)]
    lefts = [MARGIN + COLUMN_GAP * layer for layer in range(len(sizes))]
    spoken = _("The network as a graph: {sizes} units").format(sizes="-".join(map(str, sizes)))
    scene = Scene(2 * MARGIN + COLUMN_GAP * (len(sizes) - 1), height, spoken)
    middle = HEAD + (height - HEAD - 12) / 2
    places = [
        _places(units, size, x, middle, pitch) for units, size, x in zip(shown, sizes, lefts, strict=True)
    ]  # fmt: skip
    for layer, kernel in enumerate(pairs):
        slope = layers[layer + 1].kernel_gradient
        _edges(scene, kernel, slope, places[layer], places[layer + 1], names[layer], names[layer + 1], radius)
    for layer, size in enumerate(sizes):
        _units(scene, layers[layer], places[layer], names[layer], radius)
        x = lefts[layer]
        title = layers[layer].name or (_("input") if layer == 0 else _("layer {n}").format(n=layer))
        count = counted("{n} unit", "{n} units", size)
        if len(shown[layer]) < size:
            scene.add(Text(x, middle + 7, "⋮", "ellipsis mid"))
            count = _("{n} of {total} shown").format(n=len(shown[layer]), total=f"{size:,}")
        scene.add(Text(x, 15, short(title, 26), "heading mid"), Text(x, 32, count, "tick mid"))
        given = inputs if layer == 0 else outputs if layer == len(pairs) else ()
        if len(given) == size:
            side, aside = ("end", -radius - 8) if layer == 0 else ("start", radius + 8)
            for unit, (_x, y) in places[layer].items():
                scene.add(Text(x + aside, y + 4, short(names[layer][unit], LABEL_LENGTH), f"tick {side}"))
    return scene


def _checked(index: int, kernel: Any, bias: Any) -> Array:
    kernel = np.asarray(kernel, dtype=float)
    if kernel.ndim != 2 or 0 in kernel.shape:
        raise ShapeError(f"kernel {index} has shape {kernel.shape}; only dense kernels (in, out) can be drawn.")
    if bias is not None and np.shape(bias) != kernel.shape[1:]:
        raise ShapeError(
            f"bias {index} has shape {np.shape(bias)}, its kernel {kernel.shape}: expected {kernel.shape[1:]}."
        )
    found: Array = kernel
    return found


def _strongest(layer: int, size: int, kernels: Sequence[Array]) -> Array:
    """The units worth showing: those with the largest weights, in and out, in their own order."""
    if size <= MOST_UNITS + 2:
        return np.arange(size)
    strength = np.zeros(size)
    if layer < len(kernels):
        strength += np.abs(np.nan_to_num(kernels[layer])).sum(axis=1)
    if layer > 0:
        strength += np.abs(np.nan_to_num(kernels[layer - 1])).sum(axis=0)
    return np.sort(np.argsort(-strength, kind="stable")[:MOST_UNITS])


def _places(units: Array, size: int, x: float, middle: float, pitch: float) -> dict[int, tuple[float, float]]:
    """Where each shown unit stands; a wide layer leaves the middle row free for its "⋮"."""
    rows = len(units) + (len(units) < size)
    half = len(units) // 2
    places = {}
    for row, unit in enumerate(units):
        row += len(units) < size and row >= half
        places[int(unit)] = (x, middle + (row - (rows - 1) / 2) * pitch)
    return places


def _unit_names(layer: int, size: int, last: int, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
    given = inputs if layer == 0 else outputs if layer == last else ()
    word = _("input") if layer == 0 else _("output") if layer == last else _("unit")
    return [str(given[unit]) if len(given) == size else f"{word} {unit + 1}" for unit in range(size)]


def _edges(
    scene: Scene,
    kernel: Array,
    slope: Array | None,
    sources: dict[int, tuple[float, float]],
    targets: dict[int, tuple[float, float]],
    source_names: list[str],
    target_names: list[str],
    radius: float,
) -> None:
    """The strongest weights between the shown units, the strongest on top; a masked (zero) weight has no line."""
    largest = float(np.abs(kernel[np.isfinite(kernel)]).max(initial=0.0)) or 1.0
    edges = [(kernel[i, j], i, j) for i in sources for j in targets if np.isfinite(kernel[i, j]) and kernel[i, j]]
    edges = sorted(edges, key=lambda edge: abs(edge[0]))[-MOST_EDGES:]
    taken: list[tuple[float, float, float, float]] = []
    labels = []
    for value, i, j in edges:
        share = abs(value) / largest
        (x0, y0), (x1, y1) = sources[i], targets[j]
        sign = "plus" if value > 0 else "minus"
        told = f"{source_names[i]} → {target_names[j]}: {_('weight')} {number(float(value))}"
        if slope is not None:
            told += f"\n{_('gradient')} {number(float(slope[i, j]))}"
        ends = ((x0 + radius, y0), (x1 - radius, y1))
        scene.add(Line(ends, f"edge {sign}", 0.5 + 4 * share, 0.18 + 0.72 * share, told))
    for value, i, j in edges if kernel.size <= LABELLED_EDGES else ():
        # A label stands near the side with more units, and makes way for those that stand already.
        (x0, y0), (x1, y1) = sources[i], targets[j]
        few = len(sources) <= len(targets)
        best = 0.66 if few else 0.34
        text = number(float(value), 3)
        w = width_of(text, 10.5)
        places = sorted(np.linspace(0.2, 0.8, 25), key=lambda t: abs(t - best))
        boxes = [(x0 + t * (x1 - x0) - w / 2, y0 + t * (y1 - y0) - 6.5, w, 13.0) for t in places]
        free = next((b for b in boxes if not any(overlap(b, other) for other in taken)), boxes[0])
        taken.append(free)
        labels.append(Text(free[0] + w / 2, free[1] + 10, text, f"weight mid {'plus' if value > 0 else 'minus'}"))
    scene.add(*labels)


def _units(
    scene: Scene, layer: NetworkLayer, places: dict[int, tuple[float, float]], names: list[str], radius: float
) -> None:  # fmt: skip
    """Circles, tinted by the value of the example where there is one, else by the bias."""
    tint = layer.bias if layer.values is None else layer.values
    tint = None if tint is None else np.asarray(tint, dtype=float)
    largest = 0.0 if tint is None else float(np.abs(tint[np.isfinite(tint)]).max(initial=0.0))
    parts = [(_("value"), layer.values), (_("bias"), layer.bias), (_("gradient of the value"), layer.gradients),
             (_("gradient of the bias"), layer.bias_gradient)]  # fmt: skip
    for unit, (x, y) in places.items():
        told = [f"{said} {number(float(numbers[unit]))}" for said, numbers in parts if numbers is not None]
        title = names[unit] + (": " + "\n".join(told) if told else "")
        tone, share = "", 0.0
        if tint is not None and largest and np.isfinite(tint[unit]):
            tone, share = "plus" if tint[unit] > 0 else "minus", 0.75 * abs(float(tint[unit])) / largest
        scene.add(Circle(x, y, radius, "unit", tone, share, title))
        if layer.values is not None and radius >= 12:
            value = number(float(layer.values[unit]), 3)
            size = "small" if width_of(value, 10.5) < 5 * radius else ""
            scene.add(Text(x, y + radius + 11, value, f"weight {size} mid"))


def _reach(numbers: Array | None) -> str:
    if numbers is None or not np.size(numbers):
        return ""
    low, high = number(float(np.min(numbers)), 3), number(float(np.max(numbers)), 3)
    return _("{low} to {high}").format(low=low, high=high)
