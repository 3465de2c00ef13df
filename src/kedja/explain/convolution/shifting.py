"""What a small shift of the input does to every layer: much in the detector stage, less after pooling (scope 2.6)."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kedja import nn
from kedja.errors import DataError, GraphError, ShapeError
from kedja.explain.show.table import Table, Tabular
from kedja.graph.node import Array, Tensor
from kedja.graph.shapes import Shape, as_axis

__all__ = ["Shift", "ShiftRow", "shift"]

NOTICED = 0.01  # a number has changed when it moved by more than this part of the layer's largest


class ShiftRow(NamedTuple):
    """A layer: the share of its numbers that changed, and the length of the change over the length of what it was."""

    name: str
    kind: str
    output: Shape
    changed: float
    relative: float


class Shift(Tabular):
    """How much every layer's output changed; it prints as a table, and is indexed by the layer's name."""

    def __init__(self, by: int, axis: int, rows: Sequence[ShiftRow]) -> None:
        self.by, self.axis, self.rows = by, axis, list(rows)

    def __getitem__(self, name: str) -> ShiftRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r} is none of {', '.join(row.name for row in self.rows)}")

    @property
    def table(self) -> Table:
        """What is shown."""
        rows = [
            (f"{r.name} ({r.kind})" if r.kind else r.name, "×".join(map(str, r.output)), f"{100 * r.changed:.0f} %",
             f"{100 * r.relative:.0f} %")
            for r in self.rows
        ]  # fmt: skip
        return Table(("layer", "output", "numbers changed", "change"), rows, right=(2, 3))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the shift, and a dict for every layer."""
        plain = [{**row._asdict(), "output": list(row.output)} for row in self.rows]
        return {"by": self.by, "axis": self.axis, "layers": plain}


def shift(net: Any, x: Any, by: int = 1, axis: int = -2) -> Shift:
    """Moves the images `x` by some pixels and measures how much the output of every layer changes, place by place.

    x (n, height, width, channels), or sequences (n, steps, features); `axis` is the one to move along: −2, the
    columns or the steps. Zeros come in where the image has moved away. A number has changed when it differs by more
    than 1 % of the largest of its layer; "change" is ‖a′ − a‖ / ‖a‖. Both are taken over all images.

    Raises GraphError for a model without weights, ShapeError or DataError for a shift that leaves nothing.
    Source: scope 2.6; Goodfellow, Bengio and Courville 2016, figure 9.8.

    >>> import kedja as kj
    >>> pool = kj.Sequential([kj.nn.MaxPool1D(3, stride=1, padding="same")]).build((None, 4, 1))
    >>> row = np.float32([[0.1, 1.0, 0.2, 0.1]]).reshape(1, 4, 1)
    >>> print(shift(pool, row))
    layer                     output  numbers changed  change
    ─────────────────────────────────────────────────────────
    input                     4×1               100 %   118 %
    max_pool1d_1 (MaxPool1D)  4×1                50 %    69 %
    """
    if not isinstance(net, nn.Module):
        raise GraphError(f"shift: takes a model, got {type(net).__name__}")
    image = np.asarray(x.numpy() if isinstance(x, Tensor) else x)
    if image.dtype.kind not in "fiu":
        raise DataError(f"shift: x is an array of images, got {type(x).__name__} of type {image.dtype}")
    if image.ndim < 3 or not image.size:
        raise ShapeError(f"shift: x has axes (n, *sizes, channels) and at least one example, got shape {image.shape}")
    along = as_axis(axis, image.ndim)
    if along in (0, image.ndim - 1):
        raise ShapeError(f"shift: axis {axis} of {image.shape} holds the examples or the channels; move along another")
    moved = _moved(image, by, along)
    names = [name for name, layer in net.layers_by_path() if not list(layer.layers_by_path())]
    net.expect_weights()
    before, after = (net.outputs_of(names, a.astype(np.float32) if a.dtype.kind != "f" else a) for a in (image, moved))
    kinds = dict(net.layers_by_path())
    rows = [_row("input", "", image, moved)]
    for name in names:
        a, b = (np.asarray(found[name].numpy()) for found in (before, after))
        rows.append(_row(name, type(kinds[name]).__name__, a, b))
    return Shift(operator.index(by), along, rows)


def _moved(x: Array, by: Any, axis: int) -> Array:
    try:
        n = operator.index(by)
    except TypeError:
        raise DataError(f"shift: by is a whole number of pixels, got {by!r}") from None
    size = x.shape[axis]
    if not 0 < abs(n) < size:
        raise DataError(f"shift: by {n} of {size} places: move by at least one, and leave some of the image")
    moved = np.roll(x, n, axis)
    empty: list[Any] = [slice(None)] * x.ndim
    empty[axis] = slice(0, n) if n > 0 else slice(size + n, size)
    moved[tuple(empty)] = 0
    return moved


def _row(name: str, kind: str, a: Array, b: Array) -> ShiftRow:
    far = np.abs(b.astype(np.float64) - a)
    most, length = float(np.abs(a).max()), float(np.linalg.norm(a.astype(np.float64)))
    changed = float((far > NOTICED * most).mean())
    return ShiftRow(name, kind, a.shape[1:], changed, float(np.linalg.norm(far)) / length if length else 0.0)
