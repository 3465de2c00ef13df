"""Ops that move elements and compute nothing: reshape, transpose, stretch, cut, pad, join. All are linear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.errors import ShapeError
from kedja.graph.dtypes import DType, as_dtype, get_default_dtype
from kedja.graph.node import Array, Tensor, same_dtype, tensor
from kedja.graph.shapes import Shape, as_axes, as_axis, as_shape, broadcast, reshaped
from kedja.ops.elementwise import cast
from kedja.ops.notation import ATOM, POWER, Notation
from kedja.ops.op import Op, linear, nondifferentiable
from kedja.ops.samples import Sample, arrays

AS_IS = Notation("{0}", ATOM, (ATOM,))  # formulas show what is multiplied, not how it is laid out

# --- reshape --------------------------------------------------------------------------------------------------------
change_shape = linear(
    "reshape", lambda x, shape: np.reshape(x, shape), lambda x, shape: (reshaped(x.shape, shape), x.dtype),
    adjoint=lambda node, g: reshape(g, node.inputs[0].shape), tex=AS_IS,
    samples=arrays(([(3, 4)], {"shape": (2, 6)}), ([(3, 4)], {"shape": (12,)}), ([()], {"shape": (1, 1)}),
                   ([(0, 3)], {"shape": (3, 0)}), ([(1,)], {"shape": ()})),
    doc="y = a in another shape, its numbers in the same order, row by row.",
)  # fmt: skip


def reshape(x: Any, *shape: Any) -> Tensor:
    """The same elements, row by row, in another shape; one size may be -1.

    >>> reshape(tensor([[1.0, 2.0], [3.0, 4.0]]), (4,)).numpy().tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    x = tensor(x)
    target = reshaped(x.shape, shape[0] if len(shape) == 1 else shape)
    return x if target == x.shape else change_shape(x, shape=target)


def expand_dims(x: Any, axis: int) -> Tensor:
    """A new axis of size 1 at this position.

    >>> expand_dims(tensor([1.0, 2.0]), -1).shape
    (2, 1)
    """
    x = tensor(x)
    at = as_axis(axis, x.ndim + 1)
    return reshape(x, (*x.shape[:at], 1, *x.shape[at:]))


def squeeze(x: Any, axis: Any = None) -> Tensor:
    """Without the axes of size 1 (all of them, or the ones named).

    >>> squeeze(tensor([[1.0, 2.0]])).shape
    (2,)
    """
    x = tensor(x)
    axes = as_axes(axis, x.ndim) if axis is not None else tuple(i for i, n in enumerate(x.shape) if n == 1)
    if any(x.shape[a] != 1 for a in axes):
        raise ShapeError(f"squeeze: axis {axis} of shape {x.shape} is not of size 1")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


# --- transpose ------------------------------------------------------------------------------------------------------
permute_axes: Op = linear(
    "transpose", lambda x, axes: np.transpose(x, axes), lambda x, axes: (tuple(x.shape[a] for a in axes), x.dtype),
    adjoint=lambda node, g: permute_axes(g, axes=tuple(int(i) for i in np.argsort(node.attrs["axes"]))),
    tex=Notation(r"{0}^{{T}}", POWER, (ATOM,)), text=Notation("{0}.T", ATOM, (ATOM,)),
    samples=arrays(([(3, 4)], {"axes": (1, 0)}), ([(2, 3, 4)], {"axes": (2, 0, 1)}), ([(0, 2)], {"axes": (1, 0)}),
                   ([(1, 1)], {"axes": (1, 0)})),
    doc="y[j, i] = a[i, j]: the axes in another order.",
)  # fmt: skip


def transpose(x: Any, *axes: Any) -> Tensor:
    """Axes in another order, reversed by default.

    >>> transpose(tensor([[1.0, 2.0, 3.0]])).shape
    (3, 1)
    """
    x = tensor(x)
    order = axes[0] if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes
    found = tuple(as_axis(a, x.ndim) for a in order) if order else tuple(reversed(range(x.ndim)))
    if sorted(found) != list(range(x.ndim)):
        raise ShapeError(f"transpose: {tuple(order)} is not an order of the {x.ndim} axes of shape {x.shape}")
    return x if found == tuple(range(x.ndim)) else permute_axes(x, axes=found)


def swap_last(x: Tensor) -> Tensor:
    """Each matrix of a stack, transposed."""
    n = x.ndim
    return permute_axes(x, axes=(*range(n - 2), n - 1, n - 2))


# --- stretch --------------------------------------------------------------------------------------------------------
def _stretched(x: Tensor, shape: Shape) -> tuple[Shape, DType]:
    if broadcast([x.shape, shape]) != shape:
        raise ShapeError(f"cannot stretch {x.shape} to {shape}: an axis may grow from 1 only")
    return shape, x.dtype


stretch = linear(
    "broadcast_to", lambda x, shape: np.broadcast_to(x, shape), _stretched, tex=AS_IS,
    adjoint=lambda node, g: g,  # the walk sums every message back to the shape of its input
    samples=arrays(([(3, 1)], {"shape": (3, 4)}), ([()], {"shape": (2, 2)}), ([(4,)], {"shape": (0, 4)}),
                   ([(2, 1, 1)], {"shape": (2, 3, 4)})),
    doc="y[i, j] = a[j], stretched: a is repeated along axes that are new or of size 1.",
)  # fmt: skip


def broadcast_to(x: Any, shape: Any) -> Tensor:
    """`x` repeated along axes of size 1 until it has this shape.

    >>> broadcast_to(tensor([[1.0], [2.0]]), (2, 3)).numpy().tolist()
    [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    x, target = tensor(x), as_shape(shape)
    return x if x.shape == target else stretch(x, shape=target)


# --- cut and pad ----------------------------------------------------------------------------------------------------
def _cut(x: Array, start: Shape, stop: Shape, step: Shape) -> Array:
    return x[tuple(slice(a, b, s) for a, b, s in zip(start, stop, step, strict=True))]


def _cut_spec(x: Tensor, start: Shape, stop: Shape, step: Shape) -> tuple[Shape, DType]:
    return tuple(len(range(a, b, s)) for a, b, s in zip(start, stop, step, strict=True)), x.dtype


def _cut_adjoint(node: Tensor, g: Tensor) -> Tensor:
    start, step = node.attrs["start"], node.attrs["step"]
    interior = tuple(s - 1 for s in step)
    spans = [(n - 1) * s + 1 if n else 0 for n, s in zip(g.shape, step, strict=True)]
    high = tuple(n - a - w for n, a, w in zip(node.inputs[0].shape, start, spans, strict=True))
    return pad_zeros(g, low=start, high=high, interior=interior)


cut = linear(
    "slice", _cut, _cut_spec, adjoint=_cut_adjoint, tex=Notation("{0}", ATOM, (ATOM,)),
    samples=arrays(([(5, 4)], {"start": (1, 0), "stop": (4, 4), "step": (1, 2)}),
                   ([(6,)], {"start": (0,), "stop": (6,), "step": (3,)}),
                   ([(6,)], {"start": (2,), "stop": (2,), "step": (1,)}),
                   ([()], {"start": (), "stop": (), "step": ()})),
    doc="y[i] = a[start + step·i] along every axis, up to a stop.",
)  # fmt: skip


def _pad(x: Array, low: Shape, high: Shape, interior: Shape) -> Array:
    sizes = _padded_shape(x.shape, low, high, interior)
    y = np.zeros(sizes, x.dtype)
    spans = zip(low, x.shape, interior, strict=True)
    y[tuple(slice(a, a + (n - 1) * (i + 1) + 1 if n else a, i + 1) for a, n, i in spans)] = x
    return y


def _padded_shape(shape: Shape, low: Shape, high: Shape, interior: Shape) -> Shape:
    return tuple(a + n + b + i * max(n - 1, 0) for n, a, b, i in zip(shape, low, high, interior, strict=True))


def _pad_adjoint(node: Tensor, g: Tensor) -> Tensor:
    x, low, interior = node.inputs[0], node.attrs["low"], node.attrs["interior"]
    step = tuple(i + 1 for i in interior)
    stop = tuple(a + (n - 1) * s + 1 if n else a for a, n, s in zip(low, x.shape, step, strict=True))
    return cut(g, start=low, stop=stop, step=step)


pad_zeros = linear(
    "pad", _pad, lambda x, low, high, interior: (_padded_shape(x.shape, low, high, interior), x.dtype),
    adjoint=_pad_adjoint, tex=Notation("{0}", ATOM, (ATOM,)),
    samples=arrays(([(2, 3)], {"low": (1, 0), "high": (0, 2), "interior": (0, 0)}),
                   ([(3,)], {"low": (0,), "high": (1,), "interior": (2,)}),
                   ([(0,)], {"low": (1,), "high": (1,), "interior": (0,)})),
    doc="y[low + (1 + interior)·i] = a[i] along every axis, and zeros elsewhere: around a, and between its entries.",
)  # fmt: skip


reverse: Op = linear(
    "flip", lambda x, axes: np.flip(x, axes), lambda x, axes: (x.shape, x.dtype),
    adjoint=lambda node, g: reverse(g, **node.attrs),
    samples=arrays(([(3, 4)], {"axes": (0,)}), ([(3, 4)], {"axes": (0, 1)}), ([(0,)], {"axes": (0,)})),
    doc="yᵢ = aₙ₋ᵢ: read backwards along these axes.",
)  # fmt: skip


def flip(x: Any, axis: Any = None) -> Tensor:
    """Elements in reverse order along the axes (all by default).

    >>> flip(tensor([1.0, 2.0, 3.0])).numpy().tolist()
    [3.0, 2.0, 1.0]
    """
    x = tensor(x)
    axes = as_axes(axis, x.ndim)
    return reverse(x, axes=axes) if axes else x


# --- join -----------------------------------------------------------------------------------------------------------
def _joined(*parts: Tensor, axis: int) -> tuple[Shape, DType]:
    first = parts[0].shape
    for p in parts[1:]:
        if len(p.shape) != len(first) or p.shape[:axis] != first[:axis] or p.shape[axis + 1 :] != first[axis + 1 :]:
            raise ShapeError(f"shapes {first} and {p.shape} do not join along axis {axis}: the others must be equal")
    n = sum(p.shape[axis] for p in parts)
    return (*first[:axis], n, *first[axis + 1 :]), same_dtype(parts)


def _split_back(node: Tensor, g: Tensor) -> list[Tensor]:
    axis, at, messages = node.attrs["axis"], 0, []
    for part in node.inputs:
        messages.append(along(g, axis, at, at + part.shape[axis]))
        at += part.shape[axis]
    return messages


join = linear(
    "concatenate", lambda *parts, axis: np.concatenate(parts, axis=axis), _joined, adjoint=_split_back,
    tex=Notation(r"\left[{*}\right]", ATOM, (0,)),
    samples=arrays(([(2, 3), (4, 3)], {"axis": 0}), ([(2, 1), (2, 3), (2, 0)], {"axis": 1}), ([(2,)], {"axis": 0})),
    doc="y = [a, b, …], side by side along an axis.",
)  # fmt: skip


def along(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    """`x[..., start:stop, ...]` on one axis."""
    if start == 0 and stop == x.shape[axis]:
        return x
    starts = tuple(start if i == axis else 0 for i in range(x.ndim))
    stops = tuple(stop if i == axis else n for i, n in enumerate(x.shape))
    return cut(x, start=starts, stop=stops, step=(1,) * x.ndim)


def sum_of_pads(parts: Sequence[Tensor]) -> Tensor | None:
    """The sum of zeros around pieces that fill one axis side by side, as the pieces joined; None for other parts.

    Every number of the sum is one a of a piece and zeros: a + 0 = a, but for −0 + 0, which is 0 and here stays −0.
    """
    if any(p.op is not pad_zeros or p.name or any(p.attrs["interior"]) for p in parts):
        return None
    axes = {i for p in parts for i, width in enumerate(zip(p.attrs["low"], p.attrs["high"], strict=True)) if any(width)}
    if len(axes) != 1:
        return None
    (axis,) = axes
    ordered, at = sorted(parts, key=lambda p: p.attrs["low"][axis]), 0
    for p in ordered:
        if p.attrs["low"][axis] != at:
            return None
        at += p.inputs[0].shape[axis]
    return join(*(p.inputs[0] for p in ordered), axis=axis) if at == parts[0].shape[axis] else None


def concatenate(parts: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors joined along an existing axis.

    >>> concatenate([tensor([1.0]), tensor([2.0, 3.0])]).numpy().tolist()
    [1.0, 2.0, 3.0]
    """
    tensors = [tensor(p) for p in parts]
    if not tensors:
        raise ShapeError("concatenate needs at least one tensor")
    if not tensors[0].ndim:
        raise ShapeError("concatenate joins along an existing axis; use kj.stack for single numbers")
    return join(*tensors, axis=as_axis(axis, tensors[0].ndim))


def stack(parts: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis.

    >>> stack([tensor([1.0, 2.0]), tensor([3.0, 4.0])]).shape
    (2, 2)
    """
    tensors = [tensor(p) for p in parts]
    if not tensors:
        raise ShapeError("stack needs at least one tensor")
    return concatenate([expand_dims(t, axis) for t in tensors], as_axis(axis, tensors[0].ndim + 1))


# --- made of nothing ------------------------------------------------------------------------------------------------
def _iota_samples(rng: np.random.Generator) -> Any:
    for n, dtype in ((5, "int64"), (3, "float32"), (0, "int32")):
        yield Sample((), {"n": n, "dtype": np.dtype(dtype)})


counting = nondifferentiable(
    "arange", lambda n, dtype: np.arange(n, dtype=dtype), lambda n, dtype: ((n,), dtype), samples=_iota_samples,
    text="arange({n})", tex=Notation(r"\left(0, \ldots, {n}-1\right)", ATOM, ()),
    doc="y = (0, 1, …, n − 1).",
)  # fmt: skip


def arange(n: int, dtype: Any = "int64") -> Tensor:
    """0, 1, …, n − 1.

    >>> arange(3).numpy().tolist()
    [0, 1, 2]
    """
    return counting(n=as_shape(n)[0], dtype=as_dtype(dtype))


def full(shape: Any, value: float, dtype: Any = None) -> Tensor:
    """A tensor that holds one number everywhere.

    >>> full((2, 2), 7.0).numpy().tolist()
    [[7.0, 7.0], [7.0, 7.0]]
    """
    return broadcast_to(tensor(value, dtype=get_default_dtype() if dtype is None else dtype), as_shape(shape))


def zeros(shape: Any, dtype: Any = None) -> Tensor:
    """Zeros.

    >>> zeros(2).numpy().tolist()
    [0.0, 0.0]
    """
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = None) -> Tensor:
    """Ones.

    >>> ones(2).numpy().tolist()
    [1.0, 1.0]
    """
    return full(shape, 1, dtype)


def one_hot(labels: Any, classes: int, dtype: Any = None) -> Tensor:
    """1 at the position each label names, 0 elsewhere: (…) → (…, classes).

    >>> one_hot(tensor([0, 2], dtype="int64"), 3).numpy().tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    labels = tensor(labels)
    if labels.dtype.kind not in "iu":
        raise ShapeError(f"one_hot needs integer labels, got {labels.dtype.name}. Use kj.cast(labels, 'int64').")
    hit = expand_dims(labels, -1) == arange(classes, labels.dtype)
    return cast(hit, get_default_dtype() if dtype is None else dtype)


__all__ = [
    "arange", "broadcast_to", "concatenate", "expand_dims", "flip", "full", "one_hot", "ones", "reshape",
    "squeeze", "stack", "transpose", "zeros",
]  # fmt: skip
