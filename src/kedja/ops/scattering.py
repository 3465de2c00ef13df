"""Elements read and written at positions: `gather_nd`, `scatter_nd` and `put_along_axis`, composed of take and scatter.

Writing adds, replaces, multiplies, or keeps the larger or smaller number. Adding and replacing cost as much as the
updates; the others compare every update with every place along the axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import DTypeError, ShapeError, one_of
from kedja.graph.dtypes import BOOL, is_float
from kedja.graph.node import CONSTANT, Tensor, tensor
from kedja.graph.shapes import Shape, as_axis, size
from kedja.ops.elementwise import cast, maximum, minimum, where
from kedja.ops.indexing import index_tensor, put_along, take
from kedja.ops.products import prod
from kedja.ops.reductions import max, min
from kedja.ops.shaping import arange, broadcast_to, expand_dims, full, pad_zeros, reshape

HOW = ("add", "max", "min", "mul", "set")


def put_along_axis(x: Any, indices: Any, updates: Any, axis: int = -1, reduce: str = "set") -> Tensor:
    """`x` with each update written to its position along the axis: y[i, indices[i, j]] = updates[i, j] for a matrix.

    `reduce` says what becomes of the number there: "set" replaces it (positions must not repeat), "add", "mul", "max"
    and "min" combine. `indices` and `updates` have one shape, along other axes at most that of x.

    >>> x = tensor([[1.0, 2.0, 3.0]])
    >>> put_along_axis(x, [[0, 2]], tensor([[10.0, 20.0]])).numpy().tolist()
    [[10.0, 2.0, 20.0]]
    >>> put_along_axis(x, [[0, 0]], tensor([[10.0, 20.0]]), reduce="add").numpy().tolist()
    [[31.0, 2.0, 3.0]]
    """
    x, indices = tensor(x), index_tensor(indices)
    updates = tensor(updates)
    at = as_axis(axis, x.ndim)
    if reduce not in HOW:
        raise one_of("reduce", reduce, HOW)
    fits = indices.ndim == x.ndim and all(
        k <= n for i, (k, n) in enumerate(zip(indices.shape, x.shape, strict=True)) if i != at
    )
    if not fits or updates.shape != indices.shape:
        raise ShapeError(
            f"put_along_axis: indices {indices.shape} and updates {updates.shape} must have one shape, with as many "
            f"axes as x {x.shape} and no longer than it except along axis {axis}"
        )
    n = x.shape[at]
    if reduce == "add":
        total: Tensor = x + _grown(put_along(updates, indices, n=n, axis=at), x.shape, 0)
        return total
    if not indices.shape[at]:
        return tensor(x)
    if reduce == "set":
        _refuse_repeats(indices, n, at)
        hit = put_along(full(indices.shape, 1, "int32"), indices, n=n, axis=at) > 0
        return where(_grown(hit, x.shape, False), _grown(_added(updates, indices, n, at), x.shape, 0), x)
    neutral, over, combine = _folds(x)[reduce]
    counted = take(arange(n, indices.dtype), indices)  # from the front, and checked
    places = reshape(arange(n, indices.dtype), (n, *(1,) * (x.ndim - 1 - at)))
    spread = where(expand_dims(counted, at + 1) == places, expand_dims(updates, at + 1), tensor(neutral, x.dtype))
    combined: Tensor = combine(x, _grown(over(spread, at), x.shape, neutral))
    return combined


def _added(updates: Tensor, indices: Tensor, n: int, axis: int) -> Tensor:
    if updates.dtype == BOOL:
        return put_along(cast(updates, "int32"), indices, n=n, axis=axis) > 0
    return put_along(updates, indices, n=n, axis=axis)


def _folds(x: Tensor) -> dict[str, Any]:
    if x.dtype == BOOL:
        raise DTypeError("put_along_axis: booleans can only be set")
    lowest, highest = (-np.inf, np.inf) if is_float(x.dtype) else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    return {
        "mul": (1, prod, lambda a, b: a * b), "max": (lowest, max, maximum), "min": (highest, min, minimum),
    }  # fmt: skip


def _grown(y: Tensor, shape: Shape, value: Any) -> Tensor:
    """`y` in the corner of a tensor of this shape that holds `value` elsewhere."""
    if y.shape == shape:
        return y
    none, high = (0,) * y.ndim, tuple(n - k for n, k in zip(shape, y.shape, strict=True))
    padded = pad_zeros(y, low=none, high=high, interior=none)
    if value == 0:
        return padded
    inside = pad_zeros(full(y.shape, True, "bool"), low=none, high=high, interior=none)
    return where(inside, padded, tensor(value, y.dtype))


def _refuse_repeats(indices: Tensor, n: int, axis: int) -> None:
    if indices.op is not CONSTANT:
        return
    lines = np.sort(np.moveaxis(indices.attrs["value"] % np.asarray(n or 1, indices.dtype), axis, -1), axis=-1)
    if (lines[..., 1:] == lines[..., :-1]).any():
        raise ShapeError('with reduce="set" a position must not occur twice: nobody could say which update stays')


def gather_nd(x: Any, positions: Any, batch_axes: int = 0) -> Tensor:
    """Elements or slices at positions of several numbers: y[…] = x[positions[…, 0], positions[…, 1], …].

    Shapes: x (b…, n₁, …, n_k, rest…), positions (b…, p…, k) → (b…, p…, rest…); `batch_axes` counts the b.

    >>> gather_nd(tensor([[1.0, 2.0], [3.0, 4.0]]), [[0, 1], [1, 0]]).numpy().tolist()
    [2.0, 3.0]
    """
    x, positions = tensor(x), index_tensor(positions)
    flat, rows, rest = _flattened("gather_nd", x.shape, positions, batch_axes)
    y = take(reshape(x, (rows, *rest)), flat, 0)
    return reshape(y, (*positions.shape[:-1], *rest))


def scatter_nd(x: Any, positions: Any, updates: Any, reduce: str = "set") -> Tensor:
    """`x` with elements or slices written at positions of several numbers: y[positions[…, 0], …] = updates[…].

    Shapes: x (n₁, …, n_k, rest…), positions (p…, k), updates (p…, rest…). `reduce` as in `put_along_axis`.

    >>> scatter_nd(tensor([0.0, 0.0, 0.0]), [[2], [0]], tensor([5.0, 6.0])).numpy().tolist()
    [6.0, 0.0, 5.0]
    """
    x, positions, updates = tensor(x), index_tensor(positions), tensor(updates)
    flat, rows, rest = _flattened("scatter_nd", x.shape, positions, 0)
    if updates.shape != (*positions.shape[:-1], *rest):
        raise ShapeError(
            f"scatter_nd: updates {updates.shape} do not fit: positions {positions.shape} in x {x.shape} need "
            f"{(*positions.shape[:-1], *rest)}"
        )
    width = size(rest)
    lines = broadcast_to(reshape(flat, (flat.size, 1)), (flat.size, width))
    y = put_along_axis(reshape(x, (rows, width)), lines, reshape(updates, (flat.size, width)), 0, reduce)
    return reshape(y, x.shape)


def _flattened(name: str, shape: Shape, positions: Tensor, batch_axes: int) -> tuple[Tensor, int, Shape]:
    """Positions in the leading axes taken as one; how long that one is; the axes that remain."""
    if not positions.ndim or batch_axes + positions.shape[-1] > len(shape) or batch_axes >= positions.ndim:
        raise ShapeError(f"{name}: positions {positions.shape} name more axes than x has, {shape}")
    if positions.shape[:batch_axes] != shape[:batch_axes]:
        raise ShapeError(f"{name}: the first {batch_axes} axes of x {shape} and positions {positions.shape} differ")
    k = positions.shape[-1]
    flat = full((1,) * (positions.ndim - 1), 0, positions.dtype)
    for axis in range(batch_axes):
        rows = reshape(arange(shape[axis], positions.dtype), [-1 if i == axis else 1 for i in range(flat.ndim)])
        flat = flat * shape[axis] + rows
    for j in range(k):
        n = shape[batch_axes + j]
        flat = flat * n + take(arange(n, positions.dtype), positions[..., j])  # from the front, and checked
    return (
        broadcast_to(flat, positions.shape[:-1]), size(shape[: batch_axes + k]), shape[batch_axes + k :],
    )  # fmt: skip


__all__ = ["gather_nd", "put_along_axis", "scatter_nd"]
