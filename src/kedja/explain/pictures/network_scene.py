"""Columns of units with lines between them: how a chain of dense layers is drawn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kedja.errors import ShapeError
from kedja.explain.pictures.diagram import overlap
from kedja.explain.pictures.marks import number, short, width_of
from kedja.explain.pictures.scene import Circle, Line, Scene, Text
from kedja.explain.words import _, counted

__all__ = ["Array", "NetworkLayer", "network_scene"]

MOST_UNITS = 14  # circles drawn in one layer
MOST_EDGES = 160  # lines drawn between two layers
LABELLED_EDGES = 16  # no more lines than these between two layers have their weights written on them, if there is room
LARGE = 12  # circles of this radius have their values written under them
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
    pitch = 54.0 if rows <= 5 else 36.0 if rows <= 10 else 27.0
    radius = min(15, 0.36 * pitch)
    if any(layer.values is not None for layer in layers) and radius >= LARGE:
        pitch = max(pitch, 2 * radius + 22)  # a value stands under each circle
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
        free = next((b for b in boxes if not any(overlap(b, other) for other in taken)), None)
        if free is None:  # all or none: a weight without its number would look like one that is 0
            return
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
        if layer.values is not None and radius >= LARGE:
            value = number(float(layer.values[unit]), 3)
            size = "small" if width_of(value, 10.5) < 5 * radius else ""
            scene.add(Text(x, y + radius + 11, value, f"weight {size} mid"))
