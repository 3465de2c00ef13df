"""Writers of ops that move elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import helper

from kedja.errors import FormatError
from kedja.formats.onnx.exporting.sites import Site
from kedja.formats.onnx.exporting.sizes import Dim, Size
from kedja.formats.onnx.exporting.writer import Writer, writes

__all__ = ["reshaped"]

LAST = np.iinfo(np.int64).max


@writes("reshape")
def reshape(w: Writer, s: Site) -> str:
    return reshaped(w, w.of(s.inputs[0]), s.inputs[0].shape, s.shape)


def reshaped(w: Writer, x: str, before: Sequence[Dim], after: Sequence[Dim]) -> str:
    """Sizes that depend on the batch are copied (0) where they stand at the same axis, or left open (−1) once."""
    target: list[Dim] = list(after)
    if 0 not in target:
        target = [0 if isinstance(n, Size) and i < len(before) and before[i] == n else n for i, n in enumerate(target)]
        loose = [i for i, n in enumerate(target) if isinstance(n, Size)]
        if len(loose) == 1:
            target[loose[0]] = -1
        return w.add("Reshape", x, w.sizes(target))
    return w.add("Reshape", x, w.sizes(target), allowzero=1)


@writes("transpose")
def transpose(w: Writer, s: Site) -> str:
    return w.add("Transpose", w.of(s.inputs[0]), perm=list(s.attrs["axes"]))


@writes("broadcast_to")
def broadcast_to(w: Writer, s: Site) -> str:
    before = s.inputs[0].shape
    ahead = s.ndim - len(before)
    grown = [n if i < ahead or before[i - ahead] != n else 1 for i, n in enumerate(s.shape)]
    return w.add("Expand", w.of(s.inputs[0]), w.sizes(grown))


@writes("slice")
def cut(w: Writer, s: Site) -> str:
    parts = zip(s.attrs["start"], s.attrs["stop"], s.attrs["step"], s.inputs[0].shape, strict=True)
    asked = [(i, a, b, c) for i, (a, b, c, n) in enumerate(parts) if (a, b, c) != (0, n, 1)]
    if not asked:
        return w.of(s.inputs[0])
    axes, starts, stops, steps = zip(*asked, strict=True)
    return w.add("Slice", w.of(s.inputs[0]), w.sizes(starts), w.sizes(stops), w.sizes(axes), w.sizes(steps))


@writes("flip")
def flip(w: Writer, s: Site) -> str:
    axes = s.attrs["axes"]
    k = len(axes)
    return w.add(
        "Slice", w.of(s.inputs[0]), w.whole(*[-1] * k), w.whole(*[-LAST] * k), w.whole(*axes), w.whole(*[-1] * k)
    )


@writes("pad")
def pad(w: Writer, s: Site) -> str:
    """Zeros between elements first: each gets them behind it, on an axis of its own; the last one's are cut off."""
    x, sizes = w.of(s.inputs[0]), list(s.inputs[0].shape)
    zero = w.constant(np.zeros((), s.dtype))
    for axis, gap in enumerate(s.attrs["interior"]):
        if gap:
            n = sizes[axis]
            if not isinstance(n, int):
                raise FormatError(f'the layer "{s.layer}" puts zeros between the examples of a batch')
            apart = [*sizes[: axis + 1], 1, *sizes[axis + 1 :]]
            x = reshaped(w, x, sizes, apart)
            x = w.add("Pad", x, w.whole(0, gap), zero, w.whole(axis + 1))
            apart[axis + 1] = gap + 1
            sizes[axis] = n * (gap + 1)
            x = reshaped(w, x, apart, sizes)
            sizes[axis] = max((n - 1) * (gap + 1) + 1, 0)
            x = w.add("Slice", x, w.whole(0), w.sizes([sizes[axis]]), w.whole(axis))
    around = [(i, a, b) for i, (a, b) in enumerate(zip(s.attrs["low"], s.attrs["high"], strict=True)) if a or b]
    if not around:
        return x
    axes, low, high = zip(*around, strict=True)
    return w.add("Pad", x, w.sizes((*low, *high)), zero, w.sizes(axes))


@writes("concatenate")
def concatenate(w: Writer, s: Site) -> str:
    return w.add("Concat", *map(w.of, s.inputs), axis=s.attrs["axis"])


@writes("arange")
def arange(w: Writer, s: Site) -> str:
    n = s.attrs["n"]
    if isinstance(n, int):
        return w.constant(np.arange(n, dtype=s.dtype))
    stop = w.add("Squeeze", w.root.size(n), w.whole(0))
    counted = w.add("Range", w.constant(0, np.int64), stop, w.constant(1, np.int64))
    if s.dtype == np.int64:
        return counted
    return w.add("Cast", counted, to=int(helper.np_dtype_to_tensor_dtype(s.dtype)))
