"""Products over axes and running products, by repeated halving: the gradient is exact, also where factors are 0."""

from __future__ import annotations

from typing import Any

from kedja.errors import DTypeError
from kedja.graph.dtypes import BOOL
from kedja.graph.node import Tensor, tensor
from kedja.graph.shapes import as_axes, as_axis, size
from kedja.ops.shaping import along, concatenate, full, reshape, transpose


def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Product over the axes (all by default): Π x. The derivative by one factor is the product of the others.

    >>> prod(tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1).numpy().tolist()
    [2.0, 12.0]
    """
    x = numeric("prod", x)
    axes = as_axes(axis, x.ndim)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    shape = tuple(x.shape[i] for i in kept)
    y = reshape(transpose(x, (*kept, *axes)) if x.ndim else x, (*shape, size(tuple(x.shape[i] for i in axes))))
    n, last = y.shape[-1], y.ndim - 1
    if not n:
        y = full((*shape, 1), 1, x.dtype)
    while n > 1:
        half = n // 2
        pairs = along(y, last, 0, half) * along(y, last, half, 2 * half)
        y = concatenate([pairs, along(y, last, 2 * half, n)], last) if n % 2 else pairs
        n = half + n % 2
    return reshape(y, tuple(1 if i in axes else m for i, m in enumerate(x.shape)) if keepdims else shape)


def cumprod(x: Any, axis: int = -1) -> Tensor:
    """Running product along the axis: y_k = x_0 · … · x_k.

    >>> cumprod(tensor([1.0, 2.0, 3.0])).numpy().tolist()
    [1.0, 2.0, 6.0]
    """
    y = numeric("cumprod", x)
    at = as_axis(axis, y.ndim)
    n, step = y.shape[at], 1
    while step < n:  # after each round y_k is the product of the last 2·step numbers up to k
        y = concatenate([along(y, at, 0, step), along(y, at, step, n) * along(y, at, 0, n - step)], at)
        step *= 2
    return y


def numeric(name: str, x: Any) -> Tensor:
    """`x` as a tensor of numbers."""
    found = tensor(x)
    if found.dtype == BOOL:
        raise DTypeError(f"{name} of booleans: use kj.all(x), or kj.cast(x, 'int64') first.")
    return found


__all__ = ["cumprod", "prod"]
