"""Sorted tensors and their largest elements."""

from __future__ import annotations

from typing import Any

from kedja.errors import ShapeError
from kedja.graph.node import Tensor, tensor
from kedja.graph.shapes import as_axis
from kedja.ops.indexing import take_along_axis
from kedja.ops.reductions import argsort
from kedja.ops.shaping import along, flip


def sort(x: Any, axis: int = -1, descending: bool = False) -> Tensor:
    """The elements along the axis in ascending (or descending) order. The gradient goes back to where each stood.

    >>> sort(tensor([3.0, 1.0, 2.0])).numpy().tolist(), sort(tensor([3.0, 1.0, 2.0]), descending=True).numpy().tolist()
    ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    """
    x = tensor(x)
    return take_along_axis(x, order(x, axis, descending), axis)


def order(x: Tensor, axis: int, descending: bool) -> Tensor:
    """Positions that sort; of equal elements the first comes first, in both directions."""
    if not descending:
        return argsort(x, axis)
    at = as_axis(axis, x.ndim)  # −x would not do: of unsigned numbers there is none
    return x.shape[at] - 1 - flip(argsort(flip(x, at), at), at)


def top_k(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest (or smallest) elements along the axis, in order, and their positions (int64).

    Of equal elements the first comes first. Shapes: (…, n, …) → twice (…, k, …).

    >>> values, positions = top_k(tensor([1.0, 4.0, 4.0, 2.0]), 3)
    >>> values.numpy().tolist(), positions.numpy().tolist()
    ([4.0, 4.0, 2.0], [1, 2, 3])
    """
    x = tensor(x)
    at = as_axis(axis, x.ndim)
    if not 0 <= k <= x.shape[at]:
        raise ShapeError(f"top_k: k = {k}, but axis {axis} of shape {x.shape} has {x.shape[at]} elements")
    positions = along(order(x, at, largest), at, 0, k)
    return take_along_axis(x, positions, at), positions


__all__ = ["sort", "top_k"]
