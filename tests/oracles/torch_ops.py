"""The ops as PyTorch has them: name → function of torch tensors and the op's attributes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

DTYPES = {name: getattr(torch, name) for name in ("float32", "float64", "int32", "int64", "bool", "uint8")}


def _axes(reduce: Callable[..., Any]) -> Callable[..., Any]:
    """torch takes () for all axes; here it means none."""
    return lambda x, axes: reduce(x, axes) if axes else x


def _each(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def over(x: Any, axes: tuple[int, ...]) -> Any:
        for axis in sorted(axes, reverse=True):
            x = reduce(x, axis)
        return x

    return over


def _pad(x: Any, low: Any, high: Any, interior: Any) -> Any:
    shape = [a + n + b + i * max(n - 1, 0) for n, a, b, i in zip(x.shape, low, high, interior, strict=True)]
    places = [a + (i + 1) * torch.arange(n) for n, a, i in zip(x.shape, low, interior, strict=True)]
    return torch.zeros(shape, dtype=x.dtype).index_put(tuple(torch.meshgrid(*places, indexing="ij")), x)


def _slice(x: Any, start: Any, stop: Any, step: Any) -> Any:
    return x[tuple(slice(a, b, s) for a, b, s in zip(start, stop, step, strict=True))]


def _take(x: Any, indices: Any, axis: int) -> Any:
    return x[(slice(None),) * axis + (indices,)]


def _scatter_add(updates: Any, indices: Any, shape: Any, axis: int) -> Any:
    flat = (indices % shape[axis]).reshape(-1)
    rows = updates.reshape(*shape[:axis], flat.numel(), *shape[axis + 1 :])
    return torch.zeros(shape, dtype=updates.dtype).index_add(axis, flat, rows)


def _put_along(updates: Any, indices: Any, n: int, axis: int) -> Any:
    shape = list(updates.shape)
    shape[axis] = n
    return torch.zeros(shape, dtype=updates.dtype).scatter_add(axis, indices, updates)


SAME_NAME = [
    "add",
    "subtract",
    "negative",
    "multiply",
    "divide",
    "reciprocal",
    "square",
    "sqrt",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "tanh",
    "sigmoid",
    "relu",
    "absolute",
    "maximum",
    "minimum",
    "floor",
    "ceil",
    "round",
    "floor_divide",
    "remainder",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isnan",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
    "where",
    "matmul",
]
TORCH: dict[str, Callable[..., Any]] = {name: getattr(torch, name) for name in SAME_NAME}
TORCH.update(
    {
        "all": _each(lambda x, axis: torch.all(x, dim=axis)),
        "any": _each(lambda x, axis: torch.any(x, dim=axis)),
        "arange": lambda n, dtype: torch.arange(n, dtype=DTYPES[np.dtype(dtype).name]),
        "argmax": lambda x, axis: torch.argmax(x, dim=axis),
        "argmin": lambda x, axis: torch.argmin(x, dim=axis),
        "argsort": lambda x, axis: torch.argsort(x, dim=axis, stable=True),
        "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
        "cast": lambda x, dtype: x.to(DTYPES[np.dtype(dtype).name]),
        "concatenate": lambda *parts, axis: torch.cat(parts, dim=axis),
        "cumsum": lambda x, axis: torch.cumsum(x, dim=axis),
        "equal": torch.eq,
        "flip": lambda x, axes: torch.flip(x, axes),
        "max": _axes(torch.amax),
        "min": _axes(torch.amin),
        "pad": _pad,
        "power": torch.pow,
        "put_along_axis": _put_along,
        "reshape": lambda x, shape: torch.reshape(x, shape),
        "scatter_add": _scatter_add,
        "slice": _slice,
        "softmax": lambda x, axis: torch.softmax(x, dim=axis),
        "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
        "stop_gradient": lambda x: x.detach(),
        "sum": _axes(torch.sum),
        "take": _take,
        "take_along_axis": lambda x, indices, axis: torch.take_along_dim(x, indices, dim=axis),
        "transpose": lambda x, axes: torch.permute(x, axes),
    }
)
