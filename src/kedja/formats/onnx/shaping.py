"""Shapes, joins, splits, padding, constants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kedja import ops
from kedja.errors import FormatError
from kedja.formats.onnx.registry import define, operator
from kedja.formats.onnx.values import Value, Words, element_type, value_of
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, tensor
from kedja.graph.shapes import as_axes, as_axis, broadcast, size


def numbers(values: Any) -> list[int]:
    """An input that holds sizes or axes, as Python's whole numbers."""
    return [int(v) for v in np.asarray(values).reshape(-1)]


@operator("Identity", coded=True)
def identity(x: Value) -> Value:
    """x."""
    return x


@operator("Constant")
def constant(*, words: Words, **attributes: Any) -> Value:
    """A constant, given in one of several ways."""
    ((name, value),) = attributes.items()
    if name == "value":
        return value_of(value, words)
    kinds = {"value_float": "float32", "value_floats": "float32", "value_int": "int64", "value_ints": "int64"}
    if name in kinds:
        return tensor(np.asarray(value), dtype=kinds[name])
    if name in ("value_string", "value_strings"):
        return value_of(np.asarray(value, dtype=object), words)
    raise FormatError(f"a constant given as {name} is sparse, which kedja has not")


@operator("ConstantOfShape", known=("shape",))
def constant_of_shape(shape: Any, *, value: Any = None) -> Tensor:
    """One number everywhere."""
    number = np.zeros(1, np.float32) if value is None else np.asarray(value)
    return ops.broadcast_to(tensor(number.reshape(()), dtype=number.dtype), numbers(shape))


@operator("Shape", coded=True)
def shape(x: Any, *, start: int = 0, end: int | None = None) -> Tensor:
    """The sizes of x from axis `start` to before `end`."""
    return tensor(np.array(x.shape[start:end], np.int64))


@operator("Size", coded=True)
def how_many(x: Any) -> Tensor:
    """The number of elements."""
    return tensor(np.array(size(x.shape), np.int64))


@operator("Reshape", known=("shape",))
def reshape(x: Tensor, shape: Any, *, allowzero: int = 0) -> Tensor:
    """The elements in another shape; a 0 copies the size unless `allowzero`."""
    sizes = numbers(shape)
    return ops.reshape(x, [x.shape[i] if n == 0 and not allowzero else n for i, n in enumerate(sizes)])


@operator("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """A matrix: the axes before `axis` as rows, the others as columns."""
    at = axis + x.ndim if axis < 0 else axis
    return ops.reshape(x, (size(x.shape[:at]), size(x.shape[at:])))


@operator("Squeeze", known=("axes",))
def squeeze(x: Tensor, axes: Any = None) -> Tensor:
    """Without axes of size 1."""
    return ops.squeeze(x, None if axes is None else numbers(axes))


@operator("Unsqueeze", known=("axes",))
def unsqueeze(x: Tensor, axes: Any) -> Tensor:
    """With new axes of size 1 at these places of the result."""
    places = as_axes(numbers(axes), x.ndim + len(numbers(axes)))
    rest = iter(x.shape)
    return ops.reshape(x, [1 if i in places else next(rest) for i in range(x.ndim + len(places))])


@operator("Expand", known=("shape",))
def expand(x: Tensor, shape: Any) -> Tensor:
    """x stretched to what its shape and this one broadcast to."""
    return ops.broadcast_to(x, broadcast([x.shape, tuple(numbers(shape))]))


@operator("Transpose")
def transpose(x: Tensor, *, perm: list[int] | None = None) -> Tensor:
    """Axes in another order, reversed by default."""
    return ops.transpose(x, perm) if perm and x.ndim > 1 else ops.transpose(x) if x.ndim > 1 else x


@operator("Concat")
def concat(*xs: Tensor, axis: int) -> Tensor:
    """Joined along an axis."""
    return ops.concatenate(xs, axis)


@operator("Split", known=("split",))
def split(
    x: Tensor, split: Any = None, *, axis: int = 0, num_outputs: int | None = None, outputs: int
) -> tuple[Tensor, ...]:
    """Pieces of these sizes, or equal ones; the last may be smaller."""
    n = x.shape[as_axis(axis, x.ndim)]
    if split is not None:
        return tuple(ops.split(x, numbers(split), axis))
    parts = num_outputs or outputs
    step = -(-n // parts)
    return tuple(ops.split(x, [max(min(step, n - i * step), 0) for i in range(parts)], axis))


@operator("Slice", known=("starts", "ends", "axes", "steps"))
def cut(x: Tensor, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Tensor:
    """From start to before end in steps, along each named axis."""
    first = numbers(starts)
    over = list(range(len(first))) if axes is None else [as_axis(a, x.ndim) for a in numbers(axes)]
    every = [1] * len(first) if steps is None else numbers(steps)
    key = [slice(None)] * x.ndim
    for a, *bounds in zip(over, first, numbers(ends), every, strict=True):
        key[a] = slice(*bounds)
    return x[tuple(key)] if x.ndim else x


@operator("Tile", known=("repeats",))
def tile(x: Tensor, repeats: Any) -> Tensor:
    """Copies side by side."""
    return ops.tile(x, numbers(repeats))


@operator("Pad", known=("pads", "axes"))
def pad(x: Tensor, pads: Any, value: Any = None, axes: Any = None, *, mode: str = "constant") -> Tensor:
    """A border; negative widths cut instead."""
    widths = numbers(pads)
    over = list(range(x.ndim)) if axes is None else [as_axis(a, x.ndim) for a in numbers(axes)]
    pairs = [(0, 0)] * x.ndim
    for i, a in enumerate(over):
        pairs[a] = (widths[i], widths[i + len(over)])
    kept = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, x.shape, strict=True))
    y = x[kept] if any(min(p) < 0 for p in pairs) else x
    return ops.pad(y, [(max(a, 0), max(b, 0)) for a, b in pairs], mode, _number(value))


def _number(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return 0 if value is None else value
    return ops.reshape(value, ()) if value.shape else value


@operator("Range", known=("start", "limit", "delta"))
def count(start: Any, limit: Any, delta: Any, *, stash_type: int = 1) -> Tensor:
    """start, start + delta, … to before the limit; 16-bit floats are counted in a wider type."""
    dtype = start.dtype
    wide = element_type(stash_type) if is_float(dtype) and dtype.itemsize == 2 else dtype
    a, b, d = (np.asarray(v).astype(np.float64 if is_float(dtype) else np.int64).item() for v in (start, limit, delta))
    n = max(math.ceil((b - a) / d), 0)
    step, first = tensor(np.asarray(d), dtype=wide), tensor(np.asarray(a), dtype=wide)
    return ops.cast(ops.arange(n, wide) * step + first, dtype)


@operator("EyeLike")
def eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    """Ones on a diagonal, in the shape of x."""
    return ops.eye(x.shape[0], x.shape[1], k, x.dtype if dtype is None else element_type(dtype))


@operator("Trilu", known=("k",))
def triangle(x: Tensor, k: Any = 0, *, upper: int = 1) -> Tensor:
    """The part of each matrix above or below a diagonal."""
    return (ops.triu if upper else ops.tril)(x, int(np.asarray(k).item()))


def channels_last(x: Tensor) -> Tensor:
    """ONNX's (N, C, *spatial) as ours, (N, *spatial, C)."""
    return ops.moveaxis(x, 1, -1)


def channels_first(x: Tensor) -> Tensor:
    """Back to ONNX's."""
    return ops.moveaxis(x, -1, 1)


@operator("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Channels laid out as blocks of pixels."""
    return channels_first(ops.depth_to_space(channels_last(x), blocksize, mode))


@operator("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Blocks of pixels laid out as channels."""
    return channels_first(ops.space_to_depth(channels_last(x), blocksize, mode))


define("Einsum", lambda *xs, equation: ops.einsum(equation, *xs))
