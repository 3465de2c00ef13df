"""Normalisation."""

from __future__ import annotations

from typing import Any

from kedja import ops
from kedja.formats.onnx.registry import operator
from kedja.formats.onnx.values import element_type
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor
from kedja.graph.shapes import as_axis


def standardised(x: Tensor, axes: tuple[int, ...], epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """(x − mean) / √(variance + ε) over the axes, the mean, and 1/√(variance + ε)."""
    mean = ops.mean(x, axes, keepdims=True)
    inverse = 1 / ops.sqrt(ops.variance(x, axes, keepdims=True) + epsilon)
    return (x - mean) * inverse, mean, inverse


def per_channel(v: Tensor, x: Tensor) -> Tensor:
    """A number per channel, laid along axis 1 of x."""
    return ops.reshape(v, (-1, *(1,) * (x.ndim - 2)))


@operator("BatchNormalization")
def batch_norm(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *, epsilon: float = 1e-5,
    momentum: float = 0.9, training_mode: int = 0, spatial: int = 1,
) -> Any:  # fmt: skip
    """γ (x − mean) / √(var + ε) + β; in training with those of the batch, and the running ones moved towards them."""
    if not training_mode:
        y = (x - per_channel(mean, x)) / ops.sqrt(per_channel(var, x) + epsilon)
        return y * per_channel(scale, x) + per_channel(bias, x)
    axes = (0, *range(2, x.ndim))
    y, _, _ = standardised(x, axes, epsilon)
    running = [
        old * momentum + new * (1 - momentum) for old, new in ((mean, ops.mean(x, axes)), (var, ops.variance(x, axes)))
    ]
    return y * per_channel(scale, x) + per_channel(bias, x), *running


@operator("InstanceNormalization")
def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """Every channel of every example by itself."""
    y, _, _ = standardised(x, tuple(range(2, x.ndim)), epsilon)
    return y * per_channel(scale, x) + per_channel(bias, x)


@operator("GroupNormalization")
def group_norm(
    x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1, opset: int
) -> Tensor:
    """Groups of channels; scale and bias are per channel, before version 21 per group."""
    grouped = ops.reshape(x, (x.shape[0], num_groups, -1))
    y, _, _ = standardised(grouped, (2,), epsilon)
    if opset < 21:
        return ops.reshape(y * ops.expand_dims(scale, 1) + ops.expand_dims(bias, 1), x.shape)
    return ops.reshape(y, x.shape) * per_channel(scale, x) + per_channel(bias, x)


@operator("LayerNormalization")
def layer_norm(
    x: Tensor, scale: Tensor, bias: Tensor | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Over all axes from `axis` on, computed in the type `stash_type`; the outputs are y, mean and 1/deviation."""
    wide = ops.cast(x, element_type(stash_type)) if is_float(x.dtype) and x.dtype.itemsize == 2 else x
    y, mean, inverse = standardised(wide, tuple(range(as_axis(axis, x.ndim), x.ndim)), epsilon)
    y = ops.cast(y, x.dtype) * scale
    return (y if bias is None else y + bias), mean, inverse


@operator("RMSNormalization")
def rms_norm(x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Tensor:
    """x / √(mean of x² + ε), over all axes from `axis` on."""
    wide = ops.cast(x, element_type(stash_type)) if is_float(x.dtype) and x.dtype.itemsize == 2 else x
    axes = tuple(range(as_axis(axis, x.ndim), x.ndim))
    size = ops.sqrt(ops.mean(ops.square(wide), axes, keepdims=True) + epsilon)
    return ops.cast(wide / size, x.dtype) * scale


@operator("LpNormalization")
def lp_norm(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """x divided by its length (p = 2) or by Σ|x| (p = 1) along the axis; 0 stays 0."""
    if p == 1:
        length = ops.sum(ops.absolute(x), axis, keepdims=True)
    else:
        length = ops.sqrt(ops.sum(ops.square(x), axis, keepdims=True))
    nothing = ops.equal(length, 0)
    return ops.where(nothing, 0.0, x / ops.where(nothing, 1.0, length))


@operator("MeanVarianceNormalization")
def mean_variance(x: Tensor, *, axes: Any = (0, 2, 3)) -> Tensor:
    """(x − mean) / (deviation + 1e-9) over the axes."""
    over = tuple(int(a) for a in axes)
    deviation = ops.sqrt(ops.variance(x, over, keepdims=True))
    return (x - ops.mean(x, over, keepdims=True)) / (deviation + 1e-9)


@operator("LRN")
def local_response(x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Tensor:
    """x / (bias + α/size · Σ x² over the neighbouring channels)^β."""
    before = (size - 1) // 2
    channels = x.shape[1]
    lines = ops.reshape(ops.square(x), (x.shape[0], channels, -1))
    near = ops.sum_pool(lines, size, 1, [(before, size - 1 - before)])
    return x / ops.power(ops.reshape(near, x.shape) * (alpha / size) + bias, beta)
