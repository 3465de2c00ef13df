"""Tensors rearranged: tiled, split, cut to triangles, space folded into channels; all from the moves of `shaping`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kedja.errors import ShapeError, one_of
from kedja.graph.dtypes import get_default_dtype
from kedja.graph.node import Tensor, tensor
from kedja.graph.shapes import as_axis, as_shape
from kedja.ops.elementwise import cast, greater_equal, less_equal, where
from kedja.ops.shaping import along, arange, broadcast_to, expand_dims, full, reshape, transpose


def moveaxis(x: Any, source: int, target: int) -> Tensor:
    """One axis moved to another place; the others keep their order.

    >>> moveaxis(tensor([[[1.0], [2.0]]]), 0, -1).shape
    (2, 1, 1)
    """
    x = tensor(x)
    axes = list(range(x.ndim))
    axes.insert(as_axis(target, x.ndim), axes.pop(as_axis(source, x.ndim)))
    return transpose(x, axes) if x.ndim > 1 else x


def tile(x: Any, times: Any) -> Tensor:
    """`x` laid side by side, `times` for each axis; more numbers than axes put new axes in front.

    >>> tile(tensor([1.0, 2.0]), 2).numpy().tolist()
    [1.0, 2.0, 1.0, 2.0]
    """
    x, counts = tensor(x), as_shape(times)
    if min(counts, default=1) < 0:
        raise ShapeError(f"tile: the numbers of copies must be at least 0, got {counts}")
    counts = (1,) * (x.ndim - len(counts)) + counts
    sizes = (1,) * (len(counts) - x.ndim) + x.shape
    apart = [n for size in sizes for n in (1, size)]
    copied = [n for pair in zip(counts, sizes, strict=True) for n in pair]
    return reshape(broadcast_to(reshape(x, apart), copied), [c * n for c, n in zip(counts, sizes, strict=True)])


def split(x: Any, parts: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """`x` in pieces along the axis: a number of equal ones, or pieces of these sizes.

    >>> [p.numpy().tolist() for p in split(tensor([1.0, 2.0, 3.0]), [1, 2])]
    [[1.0], [2.0, 3.0]]
    """
    x = tensor(x)
    at = as_axis(axis, x.ndim)
    n = x.shape[at]
    if isinstance(parts, int):
        if parts < 1 or n % parts:
            raise ShapeError(f"split: {n} slices along axis {axis} of shape {x.shape} do not make {parts} equal parts")
        parts = [n // parts] * parts
    sizes = as_shape(parts)
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise ShapeError(f"split: sizes {sizes} add up to {sum(sizes)}, but axis {axis} of shape {x.shape} has {n}")
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [along(x, at, end - k, end) for k, end in zip(sizes, ends, strict=True)]


def tril(x: Any, k: int = 0) -> Tensor:
    """Each matrix with zeros above its k-th diagonal (0 is the main one, positive ones lie above it).

    >>> tril(tensor([[1.0, 2.0], [3.0, 4.0]])).numpy().tolist()
    [[1.0, 0.0], [3.0, 4.0]]
    """
    return _triangle("tril", x, k, less_equal)


def triu(x: Any, k: int = 0) -> Tensor:
    """Each matrix with zeros below its k-th diagonal.

    >>> triu(tensor([[1.0, 2.0], [3.0, 4.0]])).numpy().tolist()
    [[1.0, 2.0], [0.0, 4.0]]
    """
    return _triangle("triu", x, k, greater_equal)


def _triangle(name: str, x: Any, k: int, keep: Any) -> Tensor:
    x = tensor(x)
    if x.ndim < 2:
        raise ShapeError(f"{name} needs a matrix or a stack of them, got shape {x.shape}")
    rows, columns = expand_dims(arange(x.shape[-2]), 1), arange(x.shape[-1])
    return where(keep(columns - rows, int(k)), x, tensor(0, dtype=x.dtype))


def eye(rows: int, columns: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere; square unless `columns` is given.

    >>> eye(2).numpy().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    columns = rows if columns is None else columns
    there = arange(columns) - expand_dims(arange(rows), 1) == int(k)
    return cast(there, get_default_dtype() if dtype is None else dtype)


def diagonal(x: Any, axis1: int = -2, axis2: int = -1) -> Tensor:
    """The elements where the two axes have the same position, as a new last axis.

    >>> diagonal(tensor([[1.0, 2.0], [3.0, 4.0]])).numpy().tolist()
    [1.0, 4.0]
    """
    x = tensor(x)
    a, b = as_axis(axis1, x.ndim), as_axis(axis2, x.ndim)
    if a == b:
        raise ShapeError(f"diagonal needs two different axes, got {axis1} and {axis2} of shape {x.shape}")
    rest = [i for i in range(x.ndim) if i not in (a, b)]
    shape, n, m = tuple(x.shape[i] for i in rest), x.shape[a], x.shape[b]
    lines = reshape(transpose(x, (*rest, a, b)), (*shape, n * m))
    return lines[..., : min(n, m) * (m + 1) : m + 1] if n and m else full((*shape, 0), 0, x.dtype)


def depth_to_space(x: Any, block: int, mode: str = "DCR") -> Tensor:
    """Channels laid out as blocks of pixels: (N, *spatial, C·bᵈ) → (N, *spatial·b, C).

    In the channel axis the position in the block comes before C ("DCR", depth-column-row) or after it ("CRD", the order
    of a pixel shuffle).

    >>> depth_to_space(tensor([[[1.0, 2.0]]]), 2).numpy().tolist()
    [[[1.0], [2.0]]]
    """
    x = _spatial("depth_to_space", x, block, mode)
    d = x.ndim - 2
    n, *sizes, channels = x.shape
    if channels % block**d:
        raise ShapeError(f"depth_to_space: {channels} channels of shape {x.shape} are no multiple of {block}^{d}")
    folded = (*(block,) * d, channels // block**d) if mode == "DCR" else (channels // block**d, *(block,) * d)
    y = reshape(x, (n, *sizes, *folded))
    first = d + 1 if mode == "DCR" else d + 2
    order = [0, *(i for s in range(d) for i in (1 + s, first + s)), 2 * d + 1 if mode == "DCR" else d + 1]
    return reshape(transpose(y, order), (n, *(s * block for s in sizes), channels // block**d))


def space_to_depth(x: Any, block: int, mode: str = "DCR") -> Tensor:
    """Blocks of pixels laid out as channels: (N, *spatial·b, C) → (N, *spatial, C·bᵈ); undoes `depth_to_space`.

    >>> space_to_depth(tensor([[[1.0], [2.0]]]), 2).numpy().tolist()
    [[[1.0, 2.0]]]
    """
    x = _spatial("space_to_depth", x, block, mode)
    d = x.ndim - 2
    n, *sizes, channels = x.shape
    if any(s % block for s in sizes):
        raise ShapeError(f"space_to_depth: blocks of {block} do not fill the spatial axes of shape {x.shape}")
    y = reshape(x, (n, *(k for s in sizes for k in (s // block, block)), channels))
    outer, inner = [1 + 2 * s for s in range(d)], [2 + 2 * s for s in range(d)]
    order = [0, *outer, *inner, 2 * d + 1] if mode == "DCR" else [0, *outer, 2 * d + 1, *inner]
    return reshape(transpose(y, order), (n, *(s // block for s in sizes), channels * block**d))


def _spatial(name: str, x: Any, block: int, mode: str) -> Tensor:
    found = tensor(x)
    if mode not in ("DCR", "CRD"):
        raise one_of("mode", mode, ("CRD", "DCR"))
    if found.ndim < 3 or block < 1:
        raise ShapeError(f"{name} needs (N, *spatial, C) and a block of at least 1, got {found.shape} and {block}")
    return found


__all__ = [
    "depth_to_space", "diagonal", "eye", "moveaxis", "space_to_depth", "split", "tile", "tril", "triu",
]  # fmt: skip
