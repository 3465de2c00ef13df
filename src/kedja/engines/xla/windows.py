"""Convolution for the compiler.

XLA's own convolutions are good on GPU and TPU. On CPU they are weak, and the gradient of a kernel is up to 60 times
slower inside a loop than outside, so there a convolution is a kernel of our own (`kernels`), or patches and matrix
products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kedja.engines.xla import kernels
from kedja.engines.xla.devices import product_precision
from kedja.graph.shapes import Shape, size
from kedja.ops.convolution import collect, correlate, spread
from kedja.ops.op import Op
from kedja.ops.pooling import first_real, give_back, largest, least, pick, window_spread, window_sum
from kedja.ops.windows import Windows, count, spans

Lowering = Callable[..., Any]
HIGHEST = lax.Precision.HIGHEST


_barrier: Callable[[Any], Any] = lax.optimization_barrier


def _native(x: Any) -> bool:
    """Whether XLA's convolutions serve: they do off the CPU, for floats."""
    return jax.default_backend() != "cpu" and bool(jnp.issubdtype(x.dtype, jnp.floating))


def _served(native: Lowering, kernel: Lowering, patches: Lowering) -> Lowering:
    """XLA's own off the CPU; there a kernel of ours where one serves, else patches."""

    def lowered(a: Any, b: Any, **attrs: Any) -> Any:
        if _native(a):
            return native(a, b, **attrs)
        found = kernel(a, b, **attrs)
        return patches(a, b, **attrs) if found is None else found

    return lowered


def _pooled(kernel: Lowering, plain: Lowering) -> Lowering:
    """A kernel of ours where one serves."""

    def lowered(*xs: Any, **attrs: Any) -> Any:
        found = kernel(*xs, **attrs)
        return plain(*xs, **attrs) if found is None else found

    return lowered


# --- XLA's own ------------------------------------------------------------------------------------------------------
def _letters(rank: int) -> tuple[str, str, str]:
    axes = "".join(chr(ord("0") + i) for i in range(rank))
    return f"N{axes}C", f"{axes}IO", f"N{axes}C"


def native_conv(x: Any, w: Any, groups: int, **p: Shape) -> Any:
    """y from x and w."""
    return lax.conv_general_dilated(
        x, w, p["stride"], list(zip(p["low"], p["high"], strict=True)), rhs_dilation=p["dilation"],
        dimension_numbers=_letters(x.ndim - 2), feature_group_count=groups,
        precision=product_precision(x.dtype),
    )  # fmt: skip


def native_transpose(g: Any, w: Any, sizes: Shape, groups: int, **p: Shape) -> Any:
    """x from y and w: y spread by the stride, met by the flipped kernel with its channels swapped."""
    kernel, axes = w.shape[:-2], tuple(range(len(sizes)))
    wide = [(n - 1) * s + 1 for n, s in zip(g.shape[1:-1], p["stride"], strict=True)]
    reach = [d * (k - 1) for k, d in zip(kernel, p["dilation"], strict=True)]
    low = [r - a for r, a in zip(reach, p["low"], strict=True)]
    high = [n - v - a + r for n, v, a, r in zip(sizes, wide, low, reach, strict=True)]
    c, outs = w.shape[-2:]
    letters, flipped = _letters(len(sizes)), lax.rev(w, axes)
    if groups == 1:  # the channels change places by name alone: the form XLA's GPU compiler knows as a gradient
        letters = letters[0], letters[1][:-2] + "OI", letters[2]
    else:
        split = flipped.reshape(*kernel, c, groups, outs // groups)
        flipped = jnp.moveaxis(split, (-1, -2, -3), (-3, -2, -1)).reshape(*kernel, outs // groups, groups * c)
    return lax.conv_general_dilated(
        g, flipped, (1,) * len(sizes), list(zip(low, high, strict=True)), lhs_dilation=p["stride"],
        rhs_dilation=p["dilation"], dimension_numbers=letters, feature_group_count=groups,
        precision=product_precision(g.dtype),
    )  # fmt: skip


def native_kernel(x: Any, g: Any, kernel: Shape, groups: int, **p: Shape) -> Any:
    """w from x and y: batch and channels change places, and so do stride and dilation."""
    wide = [(n - 1) * s + 1 for n, s in zip(g.shape[1:-1], p["stride"], strict=True)]
    reach = [d * (k - 1) for k, d in zip(kernel, p["dilation"], strict=True)]
    high = [v + r - n - a for v, r, n, a in zip(wide, reach, x.shape[1:-1], p["low"], strict=True)]
    axes = _letters(len(kernel))[1][:-2]
    return lax.conv_general_dilated(
        x, g, p["dilation"], list(zip(p["low"], high, strict=True)), rhs_dilation=p["stride"],
        dimension_numbers=(f"C{axes}N", f"I{axes}O", f"{axes}NC"), batch_group_count=groups,
        precision=product_precision(x.dtype),
    )  # fmt: skip


# --- patches and matrix products ------------------------------------------------------------------------------------
FEW_CHANNELS = 16  # up to here patches are built axis by axis: copying so few numbers at a time is slow
PATCH_BYTES = 1 << 21  # more examples than have patches of this size are taken in portions, which stay in the cache


def _pad(x: Any, low: Any, high: Any, fill: Any) -> Any:
    return lax.pad(x, fill, [(0, 0, 0), *((a, b, 0) for a, b in zip(low, high, strict=True)), (0, 0, 0)])


def _patches(x: Any, windows: Windows) -> Any:
    """(N, *windows, places · channels). Behind a barrier: XLA would build patches anew for each use of one."""
    rank = len(windows.size)
    out = count(x.shape[1:-1], windows)
    x = _pad(x, windows.low, windows.high, np.zeros((), x.dtype))
    axes = range(rank)
    for stage in [[i] for i in reversed(axes)] if x.shape[-1] <= FEW_CHANNELS else [list(axes)]:
        only = [slice(0, n, 1) for n in x.shape[1:-1]]
        parts = []
        for q in product(*(range(windows.size[i]) for i in stage)):
            for i, k in zip(stage, q, strict=True):
                start = k * windows.dilation[i]
                only[i] = slice(start, start + windows.stride[i] * (out[i] - 1) + 1, windows.stride[i])
            parts.append(lax.slice(x, *_bounds(x, tuple(only))))
        x = _barrier(lax.concatenate(parts, rank + 1)) if len(parts) > 1 else parts[0]
    return x


def _product(a: Any, b: Any) -> Any:
    return jnp.matmul(a, b, precision=HIGHEST)


def _in_portions(f: Callable[..., Any], size_of_one: int, *xs: Any) -> Any:
    """f(*xs) of a few examples at a time."""
    n = xs[0].shape[0]
    k = _portion(n, size_of_one * xs[0].dtype.itemsize)
    if k == n:
        return f(*xs)
    y = lax.map(lambda part: f(*part), tuple(x.reshape(n // k, k, *x.shape[1:]) for x in xs))
    return y.reshape(n, *y.shape[2:])


def _patch_size(out: Shape, windows: Windows, channels: int) -> int:
    """How many numbers the patches of one example are; none are built for a kernel of one place."""
    places = size(windows.size)
    return size(out) * places * channels if places > 1 else 0


def _portion(n: int, bytes_of_one: int) -> int:
    """The largest divisor of n, examples of which fit."""
    most = max(1, PATCH_BYTES // max(1, bytes_of_one))
    return next(k for k in range(min(n, most), 0, -1) if n % k == 0) if n else 0


def patch_conv(x: Any, w: Any, groups: int, **p: Shape) -> Any:
    """y from x and w."""
    windows = Windows(w.shape[:-2], **p)
    out, c, outs = count(x.shape[1:-1], windows), w.shape[-2], w.shape[-1]
    if c == 1:  # each channel by itself: shifted multiply-adds
        each = w.reshape(-1, groups, outs // groups)
        parts = (s[..., None] * each[i] for i, s in enumerate(_places(x, windows, np.zeros((), x.dtype))))
        return reduce(lax.add, parts).reshape(*x.shape[:1], *out, outs)
    if groups > 1:
        return _by_group(lambda a, b: patch_conv(a, b, 1, **p), groups, x, w)
    matrix = w.reshape(-1, outs)
    return _in_portions(lambda x: _product(_patches(x, windows), matrix), _patch_size(out, windows, c), x)


def _by_group(f: Callable[..., Any], groups: int, x: Any, w: Any) -> Any:
    """One group of channels after the other; the last axis of all three is split."""
    return jnp.concatenate(
        [f(a, b) for a, b in zip(jnp.split(x, groups, -1), jnp.split(w, groups, -1), strict=True)], -1
    )


def patch_transpose(g: Any, w: Any, sizes: Shape, groups: int, **p: Shape) -> Any:
    """x from y and w."""
    windows = Windows(w.shape[:-2], **p)
    places, c, outs = size(windows.size), w.shape[-2], w.shape[-1]
    if c == 1 and outs == groups:
        each = w.reshape(-1, outs)
        return _put_back([g * each[i] for i in range(places)], sizes, windows)
    if groups > 1:
        return _by_group(lambda a, b: patch_transpose(a, b, sizes, 1, **p), groups, g, w)
    matrix = w.reshape(-1, outs).T

    def send(g: Any) -> Any:
        sent = _product(g, matrix)
        return _put_back([sent[..., i * c : (i + 1) * c] for i in range(places)], sizes, windows)

    return _in_portions(send, _patch_size(g.shape[1:-1], windows, c), g)


def patch_kernel(x: Any, g: Any, kernel: Shape, groups: int, **p: Shape) -> Any:
    """w from x and y."""
    windows, c, outs = Windows(kernel, **p), x.shape[-1] // groups, g.shape[-1]
    if c == 1 and groups > 1:
        over = tuple(range(g.ndim - 1))
        each = g.reshape(*g.shape[:-1], groups, outs // groups)
        parts = [(s[..., None] * each).sum(over) for s in _places(x, windows, np.zeros((), x.dtype))]
        return jnp.stack(parts).reshape(*kernel, 1, outs)
    if groups > 1:
        return _by_group(lambda a, b: patch_kernel(a, b, kernel, 1, **p), groups, x, g)

    def met(x: Any, g: Any) -> Any:
        seen = _patches(x, windows)
        return _product(seen.reshape(-1, seen.shape[-1]).T, g.reshape(-1, outs))

    n = x.shape[0]
    k = _portion(n, _patch_size(g.shape[1:-1], windows, c) * x.dtype.itemsize)
    if k == n:
        return met(x, g).reshape(*kernel, c, outs)
    zeros = jnp.zeros((size(kernel) * c, outs), x.dtype)
    portions = tuple(a.reshape(n // k, k, *a.shape[1:]) for a in (x, g))
    total, _ = lax.scan(lambda t, part: (t + met(*part), None), zeros, portions)
    return total.reshape(*kernel, c, outs)


# --- pooling --------------------------------------------------------------------------------------------------------
def _tiles(windows: Windows) -> bool:
    """Whether the windows lie side by side without padding, so that a reshape separates them."""
    return windows.stride == windows.size and windows.is_bare and not any(d > 1 for d in windows.dilation)


def _reshaped(x: Any, out: Shape, kernel: Shape) -> Any:
    """(N, m₁, k₁, m₂, k₂, …, C), without what is left over at the ends."""
    x = x[(slice(None), *(slice(0, m * k) for m, k in zip(out, kernel, strict=True)))]
    return x.reshape(x.shape[0], *(n for pair in zip(out, kernel, strict=True) for n in pair), x.shape[-1])


def _places(x: Any, windows: Windows, fill: Any) -> list[Any]:
    """For each place in a window, what all windows have there."""
    sizes = x.shape[1:-1]
    out = count(sizes, windows)
    if _tiles(windows):
        x = _reshaped(x, out, windows.size)
        each = spans(out, windows)
        return [x[(slice(None), *(i for a in q for i in (slice(None), a)))] for q, _ in each]
    x = _pad(x, windows.low, windows.high, fill)
    return [lax.slice(x, *_bounds(x, where)) for _, where in spans(out, windows)]


def _bounds(x: Any, where: tuple[slice, ...]) -> tuple[Any, Any, Any]:
    start, stop, step = zip(*((s.start, s.stop, s.step) for s in where), strict=True)
    return (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *step, 1)


def _max_pool(x: Any, **attrs: Shape) -> Any:
    windows = Windows(**attrs)
    sizes = x.shape[1:-1]
    if _tiles(windows):
        split = _reshaped(x, count(sizes, windows), windows.size)
        return jnp.max(split, axis=tuple(range(2, split.ndim - 1, 2)))
    return reduce(lax.max, _places(x, windows, least(x.dtype)))


def _winners(x: Any, windows: Windows) -> Any:
    """The number of the place where each window's largest stands first; a missing number is the largest."""
    parts = _places(x, windows, least(x.dtype))
    best = jnp.full_like(parts[0], least(x.dtype))
    place = jnp.zeros(best.shape, np.int32)
    if not windows.is_bare:
        place = reduce(lax.add, (jnp.broadcast_to(a, best.shape) for a in first_real(x.shape[1:-1], windows)))
    for i, here in enumerate(parts):
        larger = (here > best) | ((here != here) & (best == best))
        best, place = jnp.where(larger, here, best), jnp.where(larger, np.int32(i), place)
    return place


def _pick(x: Any, v: Any, **attrs: Shape) -> Any:
    windows = Windows(**attrs)
    place, zero = _winners(x, windows), np.zeros((), v.dtype)
    y = jnp.full(place.shape, zero)
    for i, here in enumerate(_places(v, windows, zero)):
        y = jnp.where(place == np.int32(i), here, y)
    return y


def _scatter(x: Any, g: Any, **attrs: Shape) -> Any:
    windows = Windows(**attrs)
    sizes, zero = x.shape[1:-1], np.zeros((), g.dtype)
    place = _winners(x, windows)
    if not _tiles(windows):
        return _gathered(place, g, sizes, windows)
    numbers = np.arange(size(windows.size), dtype=np.int32).reshape([n for k in windows.size for n in (1, k)] + [1])
    return _joined(jnp.where(_apart(place) == numbers, _apart(g), zero), sizes, windows)


def _gathered(place: Any, g: Any, sizes: Shape, windows: Windows) -> Any:
    """For each element of the input the numbers of the windows it won, added up.

    Windows and numbers are spread over the input first, so that what is added are plain slices: adding padded
    pieces instead was up to 60 times slower.
    """
    zero = np.zeros((), g.dtype)
    reach = [e - 1 for e in windows.extent]
    low = [r - a for r, a in zip(reach, windows.low, strict=True)]
    spread_over = [(m - 1) * s + 1 for m, s in zip(place.shape[1:-1], windows.stride, strict=True)]
    high = [n + r - v - a for n, r, v, a in zip(sizes, reach, spread_over, low, strict=True)]
    inside = [(a, b, s - 1) for a, b, s in zip(low, high, windows.stride, strict=True)]
    wide = [(0, 0, 0), *inside, (0, 0, 0)]
    place, g = _barrier((lax.pad(place, np.int32(-1), wide), lax.pad(g, zero, wide)))
    ones, none = (1,) * len(sizes), (0,) * len(sizes)
    back = list(spans(sizes, Windows(windows.size, ones, none, none, windows.dilation)))
    parts = []
    for i, (_, where) in enumerate(reversed(back)):
        here = (slice(None), *where)
        parts.append(jnp.where(place[here] == np.int32(i), g[here], zero))
    return reduce(lax.add, parts)


def _apart(y: Any) -> Any:
    """(N, m₁, 1, m₂, 1, …, C): ready to be stretched over the places of windows that tile the input."""
    return y.reshape(y.shape[0], *(n for m in y.shape[1:-1] for n in (m, 1)), y.shape[-1])


def _joined(x: Any, sizes: Shape, windows: Windows) -> Any:
    """The input of which (N, m₁, k₁, m₂, k₂, …, C) are the windows, with zeros where there are none."""
    covered = [m * k for m, k in zip(count(sizes, windows), windows.size, strict=True)]
    x = x.reshape(x.shape[0], *covered, x.shape[-1])
    left_over = [n - m for n, m in zip(sizes, covered, strict=True)]
    return _pad(x, (0,) * len(sizes), left_over, np.zeros((), x.dtype))


def _put_back(parts: Sequence[Any], sizes: Shape, windows: Windows) -> Any:
    """Each part, one per place in a window, added where the windows read it."""
    padded = [n + a + b for n, a, b in zip(sizes, windows.low, windows.high, strict=True)]
    zero = np.zeros((), parts[0].dtype)
    total: Any = None
    for part, (_, where) in zip(parts, spans(count(sizes, windows), windows), strict=True):
        around = [(s.start, n - s.stop, s.step - 1) for s, n in zip(where, padded, strict=True)]
        wide = lax.pad(part, zero, [(0, 0, 0), *around, (0, 0, 0)])
        total = wide if total is None else total + wide
    return total[(slice(None), *(slice(a, a + n) for a, n in zip(windows.low, sizes, strict=True)))]


def _sum_pool(x: Any, **attrs: Shape) -> Any:
    return reduce(lax.add, _places(x, Windows(**attrs), np.zeros((), x.dtype)))


def _sum_spread(g: Any, sizes: Shape, **attrs: Shape) -> Any:
    windows = Windows(**attrs)
    if not _tiles(windows):
        return _put_back([g] * size(windows.size), sizes, windows)
    split = [n for pair in zip(g.shape[1:-1], windows.size, strict=True) for n in pair]
    return _joined(jnp.broadcast_to(_apart(g), (g.shape[0], *split, g.shape[-1])), sizes, windows)


WINDOWS: dict[Op, Callable[..., Any]] = {
    correlate: _served(native_conv, kernels.conv, patch_conv),
    spread: _served(native_transpose, kernels.transpose, patch_transpose),
    collect: _served(native_kernel, kernels.weights, patch_kernel),
    largest: _pooled(kernels.max_pool, _max_pool), pick: _pick, give_back: _pooled(kernels.give_back, _scatter),
    window_sum: _sum_pool, window_spread: _sum_spread,
}  # fmt: skip
