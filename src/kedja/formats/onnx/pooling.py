"""Pooling."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kedja import ops
from kedja.formats.onnx.linear import Pairs, padding, per_axis
from kedja.formats.onnx.registry import operator
from kedja.formats.onnx.shaping import channels_first, channels_last
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, tensor


class Laid(NamedTuple):
    """How windows lie: `around` is the padding asked for, `extra` what rounding up adds at the end."""

    size: list[int]
    stride: list[int]
    dilation: list[int]
    around: Pairs
    extra: list[int]

    @property
    def padded(self) -> Pairs:
        """All places added."""
        return [(a, b + e) for (a, b), e in zip(self.around, self.extra, strict=True)]


def laid(x: Tensor, kernel_shape: Any, strides: Any, pads: Any, dilations: Any, auto_pad: str, ceil_mode: int) -> Laid:
    """The windows over the spatial axes of (N, C, *n)."""
    size, d = [int(k) for k in kernel_shape], x.ndim - 2
    stride, dilation = per_axis(strides, d), per_axis(dilations, d)
    extent = [q * (k - 1) + 1 for k, q in zip(size, dilation, strict=True)]
    around = padding(x.shape[2:], extent, stride, pads, auto_pad)
    extra = [0] * d
    for i, (n, e, s, (a, b)) in enumerate(zip(x.shape[2:], extent, stride, around, strict=True)):
        if ceil_mode and not auto_pad.startswith("SAME"):
            out = -(-(n + a + b - e) // s) + 1
            out -= (out - 1) * s >= n + a  # a window that starts behind the elements is left out
            extra[i] = max((out - 1) * s + e - (n + a + b), 0)
    return Laid(size, stride, dilation, around, extra)


@operator("AveragePool")
def average_pool(
    x: Tensor, *, kernel_shape: Any, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
    dilations: Any = None, pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    """Means of windows, over their elements or (count_include_pad) over padding too, but not what rounding up adds."""
    w = laid(x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    y, around = channels_last(x), w.padded
    if count_include_pad:
        y, around = ops.pad(y, [(0, 0), *w.around, (0, 0)]), [(0, e) for e in w.extra]
    return channels_first(ops.mean_pool(y, w.size, w.stride, around, w.dilation))


@operator("LpPool")
def lp_pool(
    x: Tensor, *, kernel_shape: Any, p: int = 2, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Any = None,
    pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    """(Σ |x|ᵖ)^(1/p) of windows."""
    w = laid(x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    powers = ops.power(ops.absolute(channels_last(x)), int(p))
    return channels_first(ops.power(ops.sum_pool(powers, w.size, w.stride, w.padded, w.dilation), 1.0 / p))


@operator("MaxPool")
def max_pool(
    x: Tensor, *, kernel_shape: Any, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Any = None,
    pads: Any = None, storage_order: int = 0, strides: Any = None, outputs: int,
) -> Any:  # fmt: skip
    """Largest of windows; as a second output their positions in the flattened input, counted row by row or column by
    column (storage_order 1)."""
    w = laid(x, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    y = channels_first(ops.max_pool(channels_last(x), w.size, w.stride, w.padded, w.dilation))
    return (y, positions(x, y, w, bool(storage_order))) if outputs > 1 else y


def positions(x: Tensor, y: Tensor, w: Laid, by_columns: bool) -> Tensor:
    """Where the first of the largest stands: the elements of every window side by side, and their places in a table."""
    sizes, rank = x.shape[2:], x.ndim - 2
    order = "F" if by_columns else "C"
    at, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)
    numbered = np.zeros((1, 1), np.int64)
    for i, n in enumerate(sizes):
        starts = np.arange(y.shape[2 + i]) * w.stride[i] - w.around[i][0]
        places = starts[:, None] + np.arange(w.size[i]) * w.dilation[i]
        held = np.clip(places, 0, n - 1)
        step = int(np.prod(sizes[:i])) if order == "F" else int(np.prod(sizes[i + 1 :]))
        at = _joint(at * n, held, np.add)
        numbered = _joint(numbered, held * step, np.add)
        inside = _joint(inside, (places >= 0) & (places < n), np.logical_and)
    lines = ops.reshape(x, (x.shape[0] * x.shape[1], -1))
    seen = ops.take(lines, at, 1)  # (N·C, windows, places)
    lowest = -np.inf if is_float(x.dtype) else np.iinfo(x.dtype).min
    seen = ops.where(tensor(inside), seen, tensor(lowest, dtype=x.dtype))
    first = ops.argmax(seen, -1) + ops.arange(len(at)) * at.shape[1]
    found = ops.reshape(ops.take(tensor(numbered.reshape(-1)), first), y.shape)
    image = ops.arange(x.shape[0] * x.shape[1]) * int(np.prod(sizes))
    return found + ops.reshape(image, (*x.shape[:2], *(1,) * rank))


def _joint(a: Any, b: Any, how: Any) -> Any:
    """Tables [window, place] of two axes as one of both."""
    both = how(a[:, None, :, None], b[None, :, None, :])
    return both.reshape(a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])


@operator("GlobalAveragePool")
def global_average(x: Tensor) -> Tensor:
    """Means over all spatial axes."""
    return ops.mean(x, tuple(range(2, x.ndim)), keepdims=True)


@operator("GlobalMaxPool")
def global_max(x: Tensor) -> Tensor:
    """Largest over all spatial axes."""
    return ops.max(x, tuple(range(2, x.ndim)), keepdims=True)


@operator("GlobalLpPool")
def global_lp(x: Tensor, *, p: int = 2) -> Tensor:
    """(Σ |x|ᵖ)^(1/p) over all spatial axes."""
    return ops.power(ops.sum(ops.power(ops.absolute(x), int(p)), tuple(range(2, x.ndim)), keepdims=True), 1.0 / p)
