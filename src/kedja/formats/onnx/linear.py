"""Matrix products and convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kedja import ops
from kedja.errors import one_of
from kedja.formats.onnx.registry import define, operator
from kedja.formats.onnx.shaping import channels_first, channels_last
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape

Pairs = list[tuple[int, int]]
AUTO_PADS = ("NOTSET", "SAME_LOWER", "SAME_UPPER", "VALID")

define("MatMul", lambda a, b: ops.matmul(a, b))


@operator("Gemm")
def gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, *, alpha: float = 1.0, beta: float = 1.0,
    transA: int = 0, transB: int = 0,
) -> Tensor:  # fmt: skip
    """α a b + β c, with a and b transposed where asked for."""
    y = ops.matmul(a.T if transA else a, b.T if transB else b)
    y = scaled(y, alpha)
    return y if c is None else y + scaled(c, beta)


def scaled(x: Tensor, by: float) -> Tensor:
    """x times a number; whole numbers are multiplied by whole ones."""
    return x if by == 1 else x * (by if is_float(x.dtype) else int(by))


def padding(
    sizes: Shape, extent: Sequence[int], strides: Sequence[int], pads: Sequence[int] | None, auto_pad: str
) -> Pairs:
    """(before, after) for every spatial axis; `extent` is how far a window reaches."""
    d = len(sizes)
    if auto_pad not in AUTO_PADS:
        raise one_of("auto_pad", auto_pad, AUTO_PADS)
    if auto_pad == "NOTSET":
        given = list(pads or [0] * (2 * d))
        return [(int(given[i]), int(given[d + i])) for i in range(d)]
    if auto_pad == "VALID":
        return [(0, 0)] * d
    total = [max((-(-n // s) - 1) * s + e - n, 0) for n, e, s in zip(sizes, extent, strides, strict=True)]
    return halves(total, auto_pad)


def halves(total: Sequence[int], auto_pad: str) -> Pairs:
    """Each total split in two; an odd one goes to the end, or for SAME_LOWER to the beginning."""
    if auto_pad == "SAME_LOWER":
        return [(t - t // 2, t // 2) for t in total]
    return [(t // 2, t - t // 2) for t in total]


def per_axis(value: Sequence[int] | None, d: int) -> list[int]:
    """One number per axis; 1 unless given."""
    return [int(v) for v in value] if value else [1] * d


@operator("Conv")
def conv(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Any = None,
    group: int = 1, kernel_shape: Any = None, pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    """Convolution; x (N, C, *n), w (M, C / group, *k)."""
    d = x.ndim - 2
    stride, dilation = per_axis(strides, d), per_axis(dilations, d)
    extent = [q * (k - 1) + 1 for k, q in zip(w.shape[2:], dilation, strict=True)]
    around = padding(x.shape[2:], extent, stride, pads, auto_pad)
    kernel = ops.transpose(w, [*range(2, w.ndim), 1, 0])
    y = ops.conv(channels_last(x), kernel, stride, around, dilation, group)
    return channels_first(y if b is None else y + b)


@operator("ConvTranspose")
def conv_transpose(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Any = None,
    group: int = 1, kernel_shape: Any = None, output_padding: Any = None, output_shape: Any = None,
    pads: Any = None, strides: Any = None,
) -> Tensor:  # fmt: skip
    """Transposed convolution; x (N, C, *n), w (C, M / group, *k). The whole result is made, then cut to size."""
    d = x.ndim - 2
    stride, dilation = per_axis(strides, d), per_axis(dilations, d)
    more = [int(o) for o in output_padding] if output_padding else [0] * d
    kernel = ops.transpose(w, [*range(2, w.ndim), 0, 1])
    y = ops.conv_transpose(channels_last(x), kernel, stride, 0, dilation, group)
    whole = [n + o for n, o in zip(y.shape[1:-1], more, strict=True)]
    if output_shape:
        around = halves([n - m for n, m in zip(whole, list(output_shape)[-d:], strict=True)], _side(auto_pad))
    elif auto_pad.startswith("SAME"):
        wanted = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
        around = halves([n - m for n, m in zip(whole, wanted, strict=True)], _side(auto_pad))
    else:
        around = padding(x.shape[2:], stride, stride, pads, auto_pad)
    ends = [n - after for n, (_, after) in zip(whole, around, strict=True)]
    y = _between(y, [before for before, _ in around], ends)
    return channels_first(y if b is None else y + b)


def _side(auto_pad: str) -> str:
    """Here an odd place is cut from the beginning, unless SAME_UPPER asks for the end."""
    return "SAME_UPPER" if auto_pad == "SAME_UPPER" else "SAME_LOWER"


def _between(y: Tensor, starts: Sequence[int], ends: Sequence[int]) -> Tensor:
    """Places `start` to before `end` of the spatial axes; those beyond what there is are zeros."""
    after = [
        (0, 0),
        *((max(-a, 0), max(e - n, 0)) for a, e, n in zip(starts, ends, y.shape[1:-1], strict=True)),
        (0, 0),
    ]
    y = ops.pad(y, after)
    key = [slice(a + p, e + p) for a, e, (p, _) in zip(starts, ends, after[1:-1], strict=True)]
    return y[(slice(None), *key)]
