"""Ops that pick elements by position and put them back: take, scatter_add, take_along_axis, and x[…]."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.errors import DataError, DTypeError, GraphError, ShapeError
from kedja.graph.dtypes import BOOL, DType
from kedja.graph.node import CONSTANT, Array, Tensor, tensor
from kedja.graph.shapes import Shape, as_axis, broadcast
from kedja.ops.elementwise import astype
from kedja.ops.notation import ATOM, Notation
from kedja.ops.op import Op, linear
from kedja.ops.samples import Sample, distinct
from kedja.ops.shaping import arange, broadcast_to, change_shape, cut, flip, permute_axes, reshape, reverse, stretch

SUBSCRIPT = Notation("{0}_{{{1}}}", ATOM, (ATOM, 0))


def _checked(indices: Tensor, n: int) -> None:
    """Refuse what can be refused while the graph is built: positions of the wrong type, known ones out of range."""
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"indices must be integers, got {indices.dtype.name}. Use kj.cast(i, 'int64').")
    if indices.op is CONSTANT:
        outside = first_outside(indices.attrs["value"], n)
        if outside is not None:
            raise ShapeError(out_of_range(outside, n))


def first_outside(indices: Any, n: int) -> int | None:
    """The first position that an axis of size n does not have."""
    array = np.asarray(indices)
    if not array.size or (-n <= int(array.min()) and int(array.max()) < n):
        return None
    return int(array[(array < -n) | (array >= n)].flat[0])


def out_of_range(position: int, n: int) -> str:
    """What to say of it."""
    return f"position {position} is out of range for an axis of size {n}, whose positions are {-n} to {n - 1}"


def _inside(indices: Any, n: int) -> Any:
    """The positions, when an engine has their values; XLA's are checked before the program is run."""
    outside = first_outside(indices, n)
    if outside is not None:
        raise DataError(out_of_range(outside, n))
    return indices


# --- take: whole slices along one axis ------------------------------------------------------------------------------
def _take_spec(x: Tensor, indices: Tensor, axis: int) -> tuple[Shape, DType]:
    _checked(indices, x.shape[axis])
    return x.shape[:axis] + indices.shape + x.shape[axis + 1 :], x.dtype


def _take_samples(rng: np.random.Generator) -> Any:
    for shape, indices, axis in (
        ((5, 3), [0, 4, 4, -1], 0), ((3, 5), [[1, 2], [0, 0]], 1), ((4,), 2, 0), ((2, 3, 4), [1], 1), ((3, 2), [], 0),
    ):  # fmt: skip
        yield Sample((distinct(rng, shape), np.array(indices, dtype=np.int64)), {"axis": axis})


gather = linear(
    "take", lambda x, indices, axis: np.take(x, _inside(indices, x.shape[axis]), axis=axis), _take_spec, fixed=(1,),
    samples=_take_samples,
    adjoint=lambda node, g: (scatter_add(node.inputs[0].shape, node.inputs[1], g, node.attrs["axis"]), None),
    tex=SUBSCRIPT, text="take({0}, {1}, axis={axis})",
    doc="y = a[b]: the entries of an axis of a at the places b.",
)  # fmt: skip


def take(x: Any, indices: Any, axis: int = 0) -> Tensor:
    """The slices of `x` at these positions along the axis; negative positions count from the end.

    >>> take(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([1, 1, 0], dtype="int64")).numpy().tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    x = tensor(x)
    return gather(x, index_tensor(indices), axis=as_axis(axis, x.ndim))


# --- scatter_add: the adjoint of take -------------------------------------------------------------------------------
def _scatter(updates: Array, indices: Array, shape: Shape, axis: int) -> Array:
    y = np.zeros(shape, updates.dtype)
    np.add.at(y, (slice(None),) * axis + (_inside(indices, shape[axis]),), updates)
    return y


def _scatter_spec(updates: Tensor, indices: Tensor, shape: Shape, axis: int) -> tuple[Shape, DType]:
    _checked(indices, shape[axis])
    needed = shape[:axis] + indices.shape + shape[axis + 1 :]
    if updates.shape != needed:
        raise ShapeError(f"updates {updates.shape} do not fit: indices {indices.shape} into {shape} need {needed}")
    return shape, updates.dtype


def _scatter_samples(rng: np.random.Generator) -> Any:
    for shape, indices, axis in (
        ((5, 3), [0, 4, 4, -1], 0), ((3, 5), [[1, 2], [0, 0]], 1), ((4,), 2, 0), ((3, 2), [], 0),
    ):  # fmt: skip
        i = np.array(indices, dtype=np.int64)
        yield Sample((distinct(rng, shape[:axis] + i.shape + shape[axis + 1 :]), i), {"shape": shape, "axis": axis})


scatter = linear(
    "scatter_add", _scatter, _scatter_spec, fixed=(1,), samples=_scatter_samples,
    adjoint=lambda node, g: (gather(g, node.inputs[1], axis=node.attrs["axis"]), None), accepts="number",
    doc="y[b] += a, beginning with zeros: the adjoint of take, entries of a added up at the places b of an axis.",
)  # fmt: skip


def scatter_add(shape: Any, indices: Any, updates: Any, axis: int = 0) -> Tensor:
    """Zeros of this shape with each update added at its position along the axis; repeated positions add up.

    >>> scatter_add((3,), tensor([0, 2, 2], dtype="int64"), tensor([1.0, 2.0, 3.0])).numpy().tolist()
    [1.0, 0.0, 5.0]
    """
    return scatter(tensor(updates), index_tensor(indices), shape=tuple(shape), axis=as_axis(axis, len(shape)))


# --- one element per position ---------------------------------------------------------------------------------------
def _along_spec(x: Tensor, indices: Tensor, axis: int) -> tuple[Shape, DType]:
    _checked(indices, x.shape[axis])
    rest = [s[:axis] + s[axis + 1 :] for s in (x.shape, indices.shape)]
    if x.ndim != indices.ndim or rest[0] != rest[1]:
        raise ShapeError(f"indices {indices.shape} must have the shape of x, {x.shape}, except along axis {axis}")
    return indices.shape, x.dtype


def _along_samples(rng: np.random.Generator) -> Any:
    for shape, indices, axis in (((3, 4), [[0, 1], [3, 3], [2, 0]], 1), ((3, 2), [[2, 0]], 0), ((4,), [3, 3, 0], 0)):
        yield Sample((distinct(rng, shape), np.array(indices, dtype=np.int64)), {"axis": axis})


pick_along = linear(
    "take_along_axis", lambda x, indices, axis: np.take_along_axis(x, _inside(indices, x.shape[axis]), axis),
    _along_spec, fixed=(1,),
    adjoint=lambda node, g: (put_along(g, node.inputs[1], n=_length(node), axis=node.attrs["axis"]), None),
    samples=_along_samples, tex=SUBSCRIPT,
    doc="y[i, j] = a[i, b[i, j]]: along an axis, the entries at the places b.",
)  # fmt: skip


def _length(node: Tensor) -> int:
    n: int = node.inputs[0].shape[node.attrs["axis"]]
    return n


def _put(updates: Array, indices: Array, n: int, axis: int) -> Array:
    y = np.zeros((*updates.shape[:axis], n, *updates.shape[axis + 1 :]), updates.dtype)
    where_ = list(np.ogrid[tuple(slice(k) for k in updates.shape)])
    where_[axis] = _inside(indices, n)
    np.add.at(y, tuple(where_), updates)
    return y


def _put_spec(updates: Tensor, indices: Tensor, n: int, axis: int) -> tuple[Shape, DType]:
    _checked(indices, n)
    if updates.shape != indices.shape:
        raise ShapeError(f"updates {updates.shape} and indices {indices.shape} must have the same shape")
    return (*updates.shape[:axis], n, *updates.shape[axis + 1 :]), updates.dtype


def _put_samples(rng: np.random.Generator) -> Any:
    for indices, n, axis in (([[0, 1], [3, 3], [2, 0]], 4, 1), ([[2, 0]], 3, 0), ([3, 3, 0], 4, 0)):
        i = np.array(indices, dtype=np.int64)
        yield Sample((distinct(rng, i.shape), i), {"n": n, "axis": axis})


put_along: Op = linear(
    "put_along_axis", _put, _put_spec, fixed=(1,), samples=_put_samples, accepts="number",
    adjoint=lambda node, g: (pick_along(g, node.inputs[1], axis=node.attrs["axis"]), None),
    doc="y[i, b[i, j]] += a[i, j], beginning with zeros: the adjoint of take_along_axis.",
)  # fmt: skip


def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Tensor:
    """For each position one element along the axis: y[i, j] = x[i, indices[i, j]] for the last axis of a matrix.

    >>> take_along_axis(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([[1], [0]], dtype="int64")).numpy().tolist()
    [[2.0], [3.0]]
    """
    x = tensor(x)
    return pick_along(x, index_tensor(indices), axis=as_axis(axis, x.ndim))


# --- x[…] -----------------------------------------------------------------------------------------------------------
def index_tensor(indices: Any) -> Tensor:
    """Positions as an integer tensor; Python ints become int64."""
    return indices if isinstance(indices, Tensor) else tensor(_integers(indices))


def _integers(indices: Any) -> Array:
    array = np.asarray(indices)
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise DTypeError(f"indices must be whole numbers, got {array.dtype}")
    return array


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key] with numbers, slices, …, None, and integer arrays or tensors, as NumPy does; no boolean masks."""
    parts = list(key) if isinstance(key, tuple) else [key]
    used = sum(1 for p in parts if p is not None and p is not Ellipsis)
    if used > x.ndim:
        raise ShapeError(f"too many indices: {used} for a tensor of shape {x.shape}")
    if not any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)
    at = next(i for i, p in enumerate(parts) if p is Ellipsis)
    parts[at : at + 1] = [slice(None)] * (x.ndim - used)
    if any(p is Ellipsis for p in parts):
        raise GraphError("an index can have only one '...'")
    return _picked(x, parts)


def _picked(x: Tensor, parts: list[Any]) -> Tensor:
    start, stop, step, flips, shape = [], [], [], [], []
    advanced: list[tuple[int, Tensor]] = []  # (axis in the result so far, indices)
    axis = 0
    for part in parts:
        if part is None:
            shape.append(1)
            continue
        n = x.shape[axis]
        if isinstance(part, slice):
            a, b, s = part.indices(n)
            count = len(range(a, b, s))
            if s < 0:
                flips.append(axis)
                a, b, s = (a + (count - 1) * s, a + 1, -s) if count else (0, 0, 1)
            start.append(a)
            stop.append(max(a, b))
            step.append(s)
            shape.append(count)
        elif _is_number(part):
            i = operator.index(part)
            if not -n <= i < n:
                raise ShapeError(f"index {i} is out of range for axis {axis} of size {n} (shape {x.shape})")
            start.append(i % n)
            stop.append(i % n + 1)
            step.append(1)
        else:
            _refuse_mask(part)
            start.append(0)
            stop.append(n)
            step.append(1)
            advanced.append((len(shape), index_tensor(part)))
            shape.append(n)
        axis += 1
    y = x
    if any((a, b, s) != (0, n, 1) for a, b, s, n in zip(start, stop, step, x.shape, strict=True)):
        y = cut(y, start=tuple(start), stop=tuple(stop), step=tuple(step))
    y = flip(y, tuple(flips)) if flips else y
    y = reshape(y, tuple(shape))
    if len(advanced) == 1:
        return take(y, advanced[0][1], advanced[0][0])
    return _points(y, advanced) if advanced else y


def _is_number(part: Any) -> bool:
    if isinstance(part, bool | np.bool_ | Tensor) or (isinstance(part, np.ndarray) and part.ndim):
        return False
    try:
        operator.index(part)
    except TypeError:
        return False
    return True


def _refuse_mask(part: Any) -> None:
    dtype = part.dtype if hasattr(part, "dtype") else np.asarray(part).dtype
    if dtype == BOOL:
        raise GraphError(
            "x[mask] has a shape that depends on values, which a graph cannot have. "
            "Use kj.where(mask, x, 0), or pick rows with integer positions."
        )


def _points(x: Tensor, advanced: list[tuple[int, Tensor]]) -> Tensor:
    """x[i, j]: neighbouring axes indexed together become one axis, and the indices one number each."""
    axes = [a for a, _ in advanced]
    if axes != list(range(axes[0], axes[0] + len(axes))):
        raise GraphError("integer arrays must index neighbouring axes; transpose first, or use kj.take twice")
    shape = broadcast([i.shape for _, i in advanced])
    sizes = [x.shape[a] for a in axes]
    flat: Tensor | None = None
    for (_, index), n in zip(advanced, sizes, strict=True):
        counted = take(arange(n, index.dtype), index)  # from the front, and checked one axis at a time
        inside = broadcast_to(counted, shape)
        flat = inside if flat is None else flat * n + inside
    assert flat is not None
    before, after = x.shape[: axes[0]], x.shape[axes[-1] + 1 :]
    return take(reshape(x, (*before, int(np.prod(sizes)), *after)), flat, axes[0])


def read_as_positions(order: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, int]]:
    """(node, index op, axis size) for the nodes whose elements an op takes as positions, moved about or not."""
    found = []
    for op_node in order:
        if op_node.op in SIZE_OF_AXIS:
            n = SIZE_OF_AXIS[op_node.op](op_node)
            node = op_node.inputs[1]
            while node.op in MOVES_ONLY:
                node = node.inputs[0]
            found.append((node, op_node, n))
    return found


SIZE_OF_AXIS: dict[Any, Any] = {
    gather: _length,
    scatter: lambda node: node.attrs["shape"][node.attrs["axis"]],
    pick_along: _length,
    put_along: lambda node: node.attrs["n"],
}
MOVES_ONLY = {astype, change_shape, permute_axes, reverse, stretch}  # positions stay what they are, to whole numbers

__all__ = ["scatter_add", "take", "take_along_axis"]
