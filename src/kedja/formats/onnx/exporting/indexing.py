"""Writers of ops that pick elements by position and put them back."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from kedja.formats.onnx.exporting.shaping import reshaped
from kedja.formats.onnx.exporting.sites import Site
from kedja.formats.onnx.exporting.sizes import Dim, Shape, Size
from kedja.formats.onnx.exporting.writer import Writer, writes


def positions(w: Writer, s: Site) -> str:
    """Positions in one of the two types ONNX takes."""
    name = w.of(s)
    return name if s.dtype.name in ("int32", "int64") else w.add("Cast", name, to=int(TensorProto.INT64))


@writes("take")
def take(w: Writer, s: Site) -> str:
    x, indices = s.inputs
    return w.add("Gather", w.of(x), positions(w, indices), axis=s.attrs["axis"])


@writes("take_along_axis")
def take_along_axis(w: Writer, s: Site) -> str:
    x, indices = s.inputs
    return w.add("GatherElements", w.of(x), positions(w, indices), axis=s.attrs["axis"])


def zeros(w: Writer, s: Site) -> str:
    """Zeros in the shape of the result."""
    return w.add("Expand", w.constant(np.zeros((), s.dtype)), w.sizes(s.shape))


@writes("put_along_axis")
def put_along_axis(w: Writer, s: Site) -> str:
    updates, indices = s.inputs
    places = positions(w, indices)
    return w.add("ScatterElements", zeros(w, s), places, w.of(updates), axis=s.attrs["axis"], reduction="add")


@writes("scatter_add")
def scatter_add(w: Writer, s: Site) -> str:
    """All axes of the positions become one, along which the updates are scattered."""
    updates, indices = s.inputs
    axis = s.attrs["axis"]
    before, after = s.shape[:axis], s.shape[axis + 1 :]
    flat: Shape = (*before, _times(indices.shape), *after)
    values = reshaped(w, w.of(updates), updates.shape, flat)
    column: Shape = (*[1] * len(before), flat[axis], *[1] * len(after))
    places = reshaped(w, positions(w, indices), indices.shape, column)
    places = w.add("Expand", places, w.sizes(flat))
    return w.add("ScatterElements", zeros(w, s), places, values, axis=axis, reduction="add")


def _times(shape: Shape) -> Dim:
    total: Dim = 1
    for n in shape:
        if isinstance(n, Size) or isinstance(total, Size):
            line, k = (n, total) if isinstance(n, Size) else (total, n)
            if isinstance(k, int) and isinstance(line, Size):
                total = Size(line.times * k, line.plus * k)
                continue
            raise ValueError("the batch is an axis of the positions twice")
        total *= n
    return total
