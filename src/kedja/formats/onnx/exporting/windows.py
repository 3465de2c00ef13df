"""Writers of convolution and pooling. ONNX has channels first: transposes around each, which a later pass cancels."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.formats.onnx.exporting.sites import Site
from kedja.formats.onnx.exporting.writer import Writer, writes


def to_first(w: Writer, x: str, rank: int) -> str:
    """(N, *n, C) → (N, C, *n)."""
    return w.add("Transpose", x, perm=[0, rank + 1, *range(1, rank + 1)])


def to_last(w: Writer, x: str, rank: int) -> str:
    """(N, C, *n) → (N, *n, C)."""
    return w.add("Transpose", x, perm=[0, *range(2, rank + 2), 1])


def _kernel(w: Writer, s: Site, rank: int) -> str:
    """(*k, in, out) → (out, in, *k); a weight is stored so."""
    order = [rank + 1, rank, *range(rank)]
    found = s.known()
    if found is None:
        return w.add("Transpose", w.of(s), perm=order)
    value, path = found
    turned = np.transpose(value, order)
    return w.constant(turned) if path is None else w.weight(turned, path)


def _placing(s: Site, kernel: Any) -> dict[str, Any]:
    return {
        "kernel_shape": list(kernel), "strides": list(s.attrs["stride"]), "dilations": list(s.attrs["dilation"]),
        "pads": [*s.attrs["low"], *s.attrs["high"]],
    }  # fmt: skip


@writes("conv")
def conv(w: Writer, s: Site) -> str:
    """A third input is the bias that recognition found."""
    x, kernel, *bias = s.inputs
    rank = x.ndim - 2
    given = [to_first(w, w.of(x), rank), _kernel(w, kernel, rank), *map(w.of, bias)]
    y = w.add("Conv", *given, group=s.attrs["groups"], **_placing(s, kernel.shape[:rank]))
    return to_last(w, y, rank)


@writes("conv_transpose")
def conv_transpose(w: Writer, s: Site) -> str:
    """The sizes that ours states exactly are ONNX's up to output_padding, zeros that are added at the end."""
    g, kernel, *bias = s.inputs
    rank = g.ndim - 2
    placing = _placing(s, kernel.shape[:rank])
    extra = []
    for i, n in enumerate(s.attrs["sizes"]):
        reach = placing["dilations"][i] * (placing["kernel_shape"][i] - 1) + 1
        least = placing["strides"][i] * (int(str(g.shape[1 + i])) - 1) + reach
        extra.append(n - (least - s.attrs["low"][i] - s.attrs["high"][i]))
    given = [to_first(w, w.of(g), rank), _kernel(w, kernel, rank), *map(w.of, bias)]
    y = w.add("ConvTranspose", *given, group=s.attrs["groups"], output_padding=extra, **placing)
    return to_last(w, y, rank)


@writes("max_pool")
def max_pool(w: Writer, s: Site) -> str:
    return _pool(w, s, "MaxPool")


@writes("mean_pool")
def mean_pool(w: Writer, s: Site) -> str:
    """A sum of windows, divided: found by recognition."""
    return _pool(w, s, "AveragePool", count_include_pad=int(s.attrs["count_padding"]))


@writes("sum_pool")
def sum_pool(w: Writer, s: Site) -> str:
    mean = _pool(w, s, "AveragePool", count_include_pad=1)
    return w.add("Mul", mean, w.constant(np.array(np.prod(s.attrs["size"]), s.dtype)))


def _pool(w: Writer, s: Site, op: str, **attrs: Any) -> str:
    rank = s.ndim - 2
    placing = _placing(s, s.attrs["size"])
    if set(placing["dilations"]) == {1}:
        del placing["dilations"]  # AveragePool has them since opset 19 only
    return to_last(w, w.add(op, to_first(w, w.of(s.inputs[0]), rank), **placing, **attrs), rank)


@writes("batch_norm")
def batch_norm(w: Writer, s: Site) -> str:
    """Recognised: (x, γ, β, μ, σ²), channels last or second."""
    x, *rest = s.inputs
    rank = x.ndim - 2
    turned = s.attrs["axis"] != 1
    given = to_first(w, w.of(x), rank) if turned else w.of(x)
    y = w.add("BatchNormalization", given, *map(w.of, rest), epsilon=s.attrs["epsilon"])
    return to_last(w, y, rank) if turned else y
