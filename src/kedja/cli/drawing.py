"""The network as a picture: units as circles, weights as lines; and arrays of numbers as small PNG images."""

from __future__ import annotations

import base64
import itertools
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from kedja.cli.charts import number, plain
from kedja.errors import ShapeError

__all__ = ["draw_network", "png", "png_uri"]

MOST_UNITS = 14  # circles drawn in one layer
MOST_EDGES = 160  # lines drawn between two layers
LABELLED_EDGES = 24  # a network of no more edges than this has its weights written on them
COLUMN_GAP, MARGIN, HEAD = 220, 140, 54
LABEL_LENGTH = 18


def draw_network(
    weights: Sequence[tuple[np.ndarray, np.ndarray | None]],
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    layers: Sequence[str] = (),
) -> str:
    """A chain of dense layers as SVG, from (kernel, bias) pairs; a kernel has shape (in, out).

    Blue lines are positive weights, orange ones negative, and the thicker the larger; a circle is filled by its bias
    in the same way. Of a wide layer the units with the strongest weights are shown, in their order, around a "⋮".
    `inputs` and `outputs` label the first and last units, `layers` names the layers after the input.

    >>> svg = draw_network([(np.array([[1.0], [-2.0]]), np.array([0.5]))], inputs=["x", "y"])
    >>> svg.count('<circle class="unit'), "weight −2" in svg
    (3, True)
    """
    pairs = [_checked(index, kernel, bias) for index, (kernel, bias) in enumerate(weights)]
    if not pairs:
        raise ShapeError("a network without weights cannot be drawn; give one (kernel, bias) pair per layer.")
    for index, (before, after) in enumerate(itertools.pairwise(pairs)):
        if before[0].shape[1] != after[0].shape[0]:
            raise ShapeError(
                f"kernel {index} ends in {before[0].shape[1]} units, kernel {index + 1} starts from "
                f"{after[0].shape[0]}: they are not a chain of dense layers."
            )
    sizes = [pairs[0][0].shape[0], *(kernel.shape[1] for kernel, _ in pairs)]
    shown = [_strongest(layer, size, pairs) for layer, size in enumerate(sizes)]
    rows = max(len(units) + (len(units) < size) for units, size in zip(shown, sizes, strict=True))
    pitch = 54 if rows <= 5 else 36 if rows <= 10 else 27
    radius = min(15, 0.36 * pitch)
    height = HEAD + rows * pitch + 12
    width = 2 * MARGIN + COLUMN_GAP * (len(sizes) - 1)
    places = [
        _places(units, size, MARGIN + COLUMN_GAP * layer, HEAD + (height - HEAD - 12) / 2, pitch)
        for layer, (units, size) in enumerate(zip(shown, sizes, strict=True))
    ]
    names = [_unit_names(layer, size, len(pairs), inputs, outputs) for layer, size in enumerate(sizes)]
    parts = []
    for layer, (kernel, _) in enumerate(pairs):
        parts.append(_edges(kernel, places[layer], places[layer + 1], names[layer], names[layer + 1], radius))
    for layer, size in enumerate(sizes):
        parts.append(_units(layer, places[layer], names[layer], pairs[layer - 1][1] if layer else None, radius))
        x = MARGIN + COLUMN_GAP * layer
        title = "input" if layer == 0 else layers[layer - 1] if layer <= len(layers) else f"layer {layer}"
        count = f"{size:,} unit{'s' if size != 1 else ''}"
        if len(shown[layer]) < size:
            y = HEAD + (height - HEAD - 12) / 2
            parts.append(f'<text class="ellipsis mid" x="{x}" y="{y + 7:.1f}">⋮</text>')
            count = f"{len(shown[layer])} of {size:,} shown"
        parts.append(f'<text class="heading mid" x="{x}" y="15">{plain(_short(title, 26))}</text>')
        parts.append(f'<text class="tick mid" x="{x}" y="32">{count}</text>')
        parts.append(_side_labels(layer, len(pairs), places[layer], names[layer], inputs, outputs, x, radius))
    spoken = f"The network as a graph: {' to '.join(f'{size:,}' for size in sizes)} units"
    # On a phone the drawing scrolls sideways rather than becoming too small to read.
    fixed = f'viewBox="0 0 {width} {height:.0f}" style="min-width:{min(width, 640)}px;max-width:{width}px"'
    return f'<svg class="network" role="img" aria-label="{plain(spoken)}" {fixed}>{"".join(parts)}</svg>'


def _checked(index: int, kernel: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    kernel = np.asarray(kernel, dtype=float)
    if kernel.ndim != 2 or 0 in kernel.shape:
        raise ShapeError(f"kernel {index} has shape {kernel.shape}; only dense kernels (in, out) can be drawn.")
    bias = None if bias is None else np.asarray(bias, dtype=float)
    if bias is not None and bias.shape != kernel.shape[1:]:
        raise ShapeError(
            f"bias {index} has shape {bias.shape}, its kernel {kernel.shape}: expected {kernel.shape[1:]}."
        )
    return kernel, bias


def _strongest(layer: int, size: int, pairs: Sequence[tuple[np.ndarray, np.ndarray | None]]) -> np.ndarray:
    """The units worth showing: those with the largest weights, in and out, in their own order."""
    if size <= MOST_UNITS + 2:
        return np.arange(size)
    strength = np.zeros(size)
    if layer < len(pairs):
        strength += np.abs(np.nan_to_num(pairs[layer][0])).sum(axis=1)
    if layer > 0:
        strength += np.abs(np.nan_to_num(pairs[layer - 1][0])).sum(axis=0)
    return np.sort(np.argsort(-strength, kind="stable")[:MOST_UNITS])


def _places(units: np.ndarray, size: int, x: float, middle: float, pitch: float) -> dict[int, tuple[float, float]]:
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
    word = "input" if layer == 0 else "output" if layer == last else "unit"
    return [str(given[unit]) if len(given) == size else f"{word} {unit + 1}" for unit in range(size)]


def _edges(
    kernel: np.ndarray,
    sources: dict[int, tuple[float, float]],
    targets: dict[int, tuple[float, float]],
    source_names: list[str],
    target_names: list[str],
    radius: float,
) -> str:
    """The strongest weights between the shown units, the strongest on top; a masked (zero) weight has no line."""
    largest = float(np.abs(kernel[np.isfinite(kernel)]).max(initial=0.0)) or 1.0
    edges = [(kernel[i, j], i, j) for i in sources for j in targets if np.isfinite(kernel[i, j]) and kernel[i, j]]
    edges = sorted(edges, key=lambda edge: abs(edge[0]))[-MOST_EDGES:]
    written = kernel.size <= LABELLED_EDGES
    lines, labels = [], []
    for value, i, j in edges:
        share = abs(value) / largest
        (x0, y0), (x1, y1) = sources[i], targets[j]
        sign = "plus" if value > 0 else "minus"
        told = f"{source_names[i]} → {target_names[j]}: weight {number(float(value))}"
        style = f'stroke-width="{0.5 + 4 * share:.2f}" stroke-opacity="{0.18 + 0.72 * share:.2f}"'
        path = f'd="M{x0 + radius:.1f} {y0:.1f}L{x1 - radius:.1f} {y1:.1f}"'
        lines.append(f'<path class="edge {sign}" {path} {style}><title>{plain(told)}</title></path>')
        if written:
            # Labels keep apart when they stand near the side with more units, and each line of a fan a little
            # further along than the one before.
            if len(sources) <= len(targets):
                along = 0.48 + 0.36 * (list(sources).index(i) + 0.5) / len(sources)
            else:
                along = 0.52 - 0.36 * (list(targets).index(j) + 0.5) / len(targets)
            x, y = x0 + along * (x1 - x0), y0 + along * (y1 - y0)
            labels.append(
                f'<text class="weight mid {sign}" x="{x:.1f}" y="{y + 3.5:.1f}">{number(float(value), 3)}</text>'
            )
    return "".join(lines + labels)


def _units(
    layer: int, places: dict[int, tuple[float, float]], names: list[str], bias: np.ndarray | None, radius: float
) -> str:
    circles = []
    largest = 0.0 if bias is None else float(np.abs(bias[np.isfinite(bias)]).max(initial=0.0))
    for unit, (x, y) in places.items():
        told, tone = names[unit], ""
        if bias is not None:
            told += f": bias {number(float(bias[unit]))}"
            if largest and np.isfinite(bias[unit]):
                sign = "plus" if bias[unit] > 0 else "minus"
                share = 0.75 * abs(bias[unit]) / largest
                tone = f'<circle class="tone {sign}" cx="{x}" cy="{y:.1f}" r="{radius}" fill-opacity="{share:.2f}"/>'
        circles.append(
            f'<g><title>{plain(told)}</title><circle class="unit" cx="{x}" cy="{y:.1f}" r="{radius}"/>{tone}</g>'
        )
    return "".join(circles)


def _side_labels(
    layer: int,
    last: int,
    places: dict[int, tuple[float, float]],
    names: list[str],
    inputs: Sequence[str],
    outputs: Sequence[str],
    x: float,
    radius: float,
) -> str:
    given = inputs if layer == 0 else outputs if layer == last else ()
    if len(given) != len(names):
        return ""
    side, shift = ("end", -radius - 8) if layer == 0 else ("start", radius + 8)
    labels = []
    for unit, (_, y) in places.items():
        label = plain(_short(names[unit], LABEL_LENGTH))
        labels.append(f'<text class="tick {side}" x="{x + shift:.1f}" y="{y + 4:.1f}">{label}</text>')
    return "".join(labels)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def png(image: np.ndarray) -> bytes:
    """A PNG file of an image (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    Whole numbers are taken as 0…255. Other numbers between 0 and 1 are scaled from there; if any lies outside, from
    the image's own smallest to its largest.

    >>> png(np.zeros((2, 2)))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise ShapeError(f"an image has shape (H, W), or (H, W, C) with 1, 3 or 4 channels; got {np.shape(image)}.")
    if pixels.dtype.kind in "ui":
        pixels = pixels.clip(0, 255)
    else:
        pixels = np.nan_to_num(pixels.astype(float), nan=0.0, posinf=0.0, neginf=0.0)
        low, high = min(pixels.min(), 0.0), max(pixels.max(), 1.0)
        if low < 0 or high > 1:
            low, high = pixels.min(), pixels.max()
        pixels = np.rint((pixels - low) / (high - low or 1.0) * 255)
    pixels = pixels.astype(np.uint8)
    height, width, channels = pixels.shape
    colour_type = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.zeros((height, 1 + width * channels), dtype=np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def png_uri(image: np.ndarray) -> str:
    """The same PNG as a ``data:`` address, to stand in a page.

    >>> png_uri(np.zeros((1, 1)))[:22]
    'data:image/png;base64,'
    """
    return "data:image/png;base64," + base64.b64encode(png(image)).decode("ascii")
