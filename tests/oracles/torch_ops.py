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


def _channels_first(x: Any) -> Any:
    return x.movedim(-1, 1)


def _conv(x: Any, w: Any, stride: Any, low: Any, high: Any, dilation: Any, groups: int) -> Any:
    rank = x.ndim - 2
    around = [n for a, b in zip(reversed(low), reversed(high), strict=True) for n in (a, b)]
    x = torch.nn.functional.pad(_channels_first(x), around)
    w = torch.permute(w, (rank + 1, rank, *range(rank)))
    function = getattr(torch.nn.functional, f"conv{rank}d")
    return function(x, w, stride=stride, dilation=dilation, groups=groups).movedim(1, -1)


def _conv_transpose(g: Any, w: Any, sizes: Any, stride: Any, low: Any, high: Any, dilation: Any, groups: int) -> Any:
    rank = g.ndim - 2
    w = torch.permute(w, (rank + 1, rank, *range(rank)))
    function = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    x = function(_channels_first(g), w, stride=stride, dilation=dilation, groups=groups)
    short = [a + n + b - m for a, n, b, m in zip(low, sizes, high, x.shape[2:], strict=True)]
    x = torch.nn.functional.pad(x, [n for k in reversed(short) for n in (0, k)])
    return x[(..., *(slice(a, a + n) for a, n in zip(low, sizes, strict=True)))].movedim(1, -1)


def _conv_kernel(x: Any, g: Any, kernel: Any, groups: int, **place: Any) -> Any:
    w = torch.zeros((*kernel, x.shape[-1] // groups, g.shape[-1]), dtype=x.dtype, requires_grad=True)
    return torch.autograd.grad(_conv(x, w, groups=groups, **place), w, g, create_graph=True)[0] + _nothing(x, g)


def _places(x: Any, axis: int) -> Any:
    """(places, features)."""
    return x.movedim(axis, -1).reshape(-1, x.shape[axis])


def _moments(x: Any, axis: int) -> Any:
    spread, middle = torch.var_mean(_places(x, axis), 0, correction=0)
    return torch.stack([middle, spread])


def _centred_sums(g: Any, x: Any, m: Any, axis: int) -> Any:
    g, x = _places(g, axis), _places(x, axis)
    return torch.stack([g.sum(0), torch.einsum("pc,pc->c", g, x) - torch.einsum("pc,c->c", g, m)])


def _normalised(x: Any, both: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    scale = gamma * torch.rsqrt(both[1] + epsilon)
    return torch.addcmul(beta, x.movedim(axis, -1) - both[0], scale).movedim(-1, axis)


def _max_winners(x: Any, v: Any, size: Any, stride: Any, low: Any, high: Any, dilation: Any) -> tuple[Any, Any]:
    """The largest of each window of x, and what stands there in v."""
    rank = x.ndim - 2
    x, v = _channels_first(x), _channels_first(v)
    own = low if low == high else 0  # PyTorch's own padding is the same on both sides
    if low != high:
        around = [n for a, b in zip(reversed(low), reversed(high), strict=True) for n in (a, b)]
        least = -torch.inf if x.dtype.is_floating_point else torch.iinfo(x.dtype).min
        x, v = torch.nn.functional.pad(x, around, value=least), torch.nn.functional.pad(v, around)
    exact = x if x.dtype.is_floating_point else x.double()
    function = getattr(torch.nn.functional, f"max_pool{rank}d")
    y, at = function(exact, size, stride, own, dilation, return_indices=True)
    picked = v.flatten(2).gather(2, at.flatten(2)).reshape(at.shape)
    return y.to(x.dtype).movedim(1, -1), picked.movedim(1, -1)


def _max_pick(x: Any, v: Any, **attrs: Any) -> Any:
    return _max_winners(x, v, **attrs)[1] + _nothing(x)


def _nothing(*xs: Any) -> Any:
    """Zero, with a gradient of zeros for inputs that have none."""
    return sum((torch.nan_to_num(x, 0, 0, 0) * 0).sum() for x in xs)


def _max_scatter(x: Any, g: Any, **attrs: Any) -> Any:
    v = torch.zeros(x.shape, dtype=g.dtype, requires_grad=True)
    return torch.autograd.grad(_max_winners(x, v, **attrs)[1], v, g, create_graph=True)[0] + _nothing(x)


def _sum_pool(x: Any, size: Any, **place: Any) -> Any:
    w = torch.ones((*size, 1, x.shape[-1]), dtype=x.dtype)
    return _conv(x, w, groups=x.shape[-1], **place)


def _sum_spread(g: Any, sizes: Any, size: Any, **place: Any) -> Any:
    w = torch.ones((*size, 1, g.shape[-1]), dtype=g.dtype)
    return _conv_transpose(g, w, sizes, groups=g.shape[-1], **place)


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
    "erf",
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
    "fmod",
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
        "centred_sums": _centred_sums,
        "concatenate": lambda *parts, axis: torch.cat(parts, dim=axis),
        "conv": _conv,
        "conv_kernel": _conv_kernel,
        "conv_transpose": _conv_transpose,
        "cumsum": lambda x, axis: torch.cumsum(x, dim=axis),
        "equal": torch.eq,
        "flip": lambda x, axes: torch.flip(x, axes),
        "max": _axes(torch.amax),
        "max_pool": lambda x, **attrs: _max_winners(x, x, **attrs)[0],
        "max_pool_pick": _max_pick,
        "max_pool_scatter": _max_scatter,
        "min": _axes(torch.amin),
        "moments": _moments,
        "normalised": _normalised,
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
        "sum_pool": _sum_pool,
        "sum_pool_transpose": _sum_spread,
        "take": _take,
        "take_along_axis": lambda x, indices, axis: torch.take_along_dim(x, indices, dim=axis),
        "transpose": lambda x, axes: torch.permute(x, axes),
    }
)
