"""The layers that exported scripts know, in NumPy alone. A script holds the source of those it uses, word for word.

Each function is written to be read: arrays are (examples, …, channels), kernels (*size, in, out).
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

__all__ = ["ACTIVATIONS", "LAYERS"]

Array = np.ndarray[Any, Any]


# --- activations ----------------------------------------------------------------------------------------------------
def sigmoid(x: Array) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def tanh(x: Array) -> Any:
    return np.tanh(x)


def relu(x: Array) -> Any:
    return np.maximum(x, 0)


def relu6(x: Array) -> Any:
    return np.clip(x, 0, 6)


def leaky_relu(x: Array, slope: float) -> Any:
    return np.where(x > 0, x, slope * x)


def elu(x: Array, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def selu(x: Array) -> Any:
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))


def celu(x: Array, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def gelu(x: Array) -> Any:
    return x * 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)).astype(x.dtype))


def gelu_tanh(x: Array) -> Any:
    return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def swish(x: Array, beta: Any) -> Any:
    e = np.exp(-np.abs(beta * x))
    return x * np.where(beta * x >= 0, 1 / (1 + e), e / (1 + e))


def mish(x: Array, beta: Any) -> Any:
    return x * np.tanh(np.logaddexp(0, beta * x) / beta)


def softplus(x: Array, beta: Any) -> Any:
    return np.logaddexp(0, beta * x) / beta


def softsign(x: Array) -> Any:
    return x / (1 + np.abs(x))


def hard_sigmoid(x: Array) -> Any:
    return np.clip(x / 6 + 0.5, 0, 1)


def hard_swish(x: Array) -> Any:
    return x * np.clip(x / 6 + 0.5, 0, 1)


def hard_tanh(x: Array, low: float, high: float) -> Any:
    return np.clip(x, low, high)


def log_sigmoid(x: Array) -> Any:
    return -np.logaddexp(0, -x)


def exponential(x: Array) -> Any:
    return np.exp(x)


def step(x: Array) -> Any:
    return (x > 0).astype(x.dtype)


def tanh_shrink(x: Array) -> Any:
    return x - np.tanh(x)


def soft_shrink(x: Array, threshold: float) -> Any:
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)


def hard_shrink(x: Array, threshold: float) -> Any:
    return np.where(np.abs(x) <= threshold, 0, x)


def thresholded_relu(x: Array, threshold: float) -> Any:
    return np.where(x > threshold, x, 0)


def softmax(x: Array, axis: int) -> Any:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def log_softmax(x: Array, axis: int) -> Any:
    z = x - x.max(axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis, keepdims=True))


# --- layers ---------------------------------------------------------------------------------------------------------
def dense(x: Array, kernel: Array, bias: Any = 0) -> Any:
    """x W + b."""
    return x @ kernel + bias


def conv(
    x: Array, kernel: Array, bias: Any = 0, stride: Any = (), padding: Any = (), dilation: Any = (), groups: int = 1
) -> Any:
    """Slide the kernel over the axes between the first and the last: for each of its places one matrix product."""
    sizes = kernel.shape[:-2]
    x = np.pad(x, [(0, 0), *padding, (0, 0)])
    out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[1:-1], sizes, stride, dilation)]
    x = x.reshape(*x.shape[:-1], groups, -1)
    w = kernel.reshape(*sizes, kernel.shape[-2], groups, -1)
    y: Any = 0
    for place in product(*map(range, sizes)):
        seen = tuple(slice(d * q, d * q + s * (n - 1) + 1, s) for q, n, s, d in zip(place, out, stride, dilation))
        y = y + np.einsum("...gc,cgk->...gk", x[(slice(None), *seen)], w[place], optimize=True)
    return y.reshape(len(x), *out, -1) + bias


def pool(x: Array, combine: Any, size: Any, stride: Any, padding: Any, dilation: Any, fill: float) -> Any:
    """All numbers of each window side by side, combined along a new axis."""
    x = np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=fill)
    out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[1:-1], size, stride, dilation)]
    seen = []
    for place in product(*map(range, size)):
        where = tuple(slice(d * q, d * q + s * (n - 1) + 1, s) for q, n, s, d in zip(place, out, stride, dilation))
        seen.append(x[(slice(None), *where)])
    return combine(np.stack(seen), axis=0)


def max_pool(x: Array, size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """The largest of each window."""
    return pool(x, np.max, size, stride, padding, dilation, -np.inf)


def average_pool(x: Array, size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """The mean of each window, over what is no padding."""
    count = pool(np.ones_like(x), np.sum, size, stride, padding, dilation, 0)
    return pool(x, np.sum, size, stride, padding, dilation, 0) / count


def global_average_pool(x: Array, keepdims: bool) -> Any:
    """The mean of each channel."""
    return x.mean(tuple(range(1, x.ndim - 1)), keepdims=keepdims)


def global_max_pool(x: Array, keepdims: bool) -> Any:
    """The largest of each channel."""
    return x.max(tuple(range(1, x.ndim - 1)), keepdims=keepdims)


def normalise(
    x: Array, mean: Any, variance: Any, gamma: Any = 1, beta: Any = 0, epsilon: float = 1e-5, axis: int = -1
) -> Any:
    """Batch normalisation with what was learned: (x − μ) / √(σ² + ε) · γ + β."""
    shape = [1] * x.ndim
    shape[axis] = -1
    mean, variance, gamma, beta = (np.reshape(v, shape) if np.ndim(v) else v for v in (mean, variance, gamma, beta))
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def layer_norm(x: Array, axes: Any, gamma: Any = 1, beta: Any = 0, epsilon: float = 1e-5) -> Any:
    """Each example brought to mean 0 and variance 1 over these axes."""
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def flatten(x: Array) -> Any:
    """All axes but the first made one."""
    return x.reshape(len(x), -1)


def reshape(x: Array, shape: Any) -> Any:
    """Each example in another shape."""
    return x.reshape(len(x), *shape)


def standardise(x: Array, mean: Any, std: Any) -> Any:
    """(x − mean) / std."""
    return (x - mean) / std


def restore(x: Array, mean: Any, std: Any) -> Any:
    """mean + std · x."""
    return mean + std * x


def rescale(x: Array, scale: float, offset: float) -> Any:
    """scale · x + offset."""
    return scale * x + offset


def impute(x: Array, values: Any, indicator: Any = ()) -> Any:
    """Missing numbers filled in; for the columns of `indicator` one more says where they were missing."""
    missing = np.isnan(x)
    filled = np.where(missing, values, x)
    return np.concatenate([filled, missing[..., list(indicator)].astype(x.dtype)], axis=-1)


def one_hot(x: Array, classes: int, first: int = 0) -> Any:
    """A 1 at the place each code names, counted from `first`; codes outside have none. Columns stand side by side."""
    hot = x.astype(int)[..., None] == np.arange(first, first + classes)
    return hot.reshape(len(x), -1).astype(x.dtype)


def vectors(x: Array, table: Array) -> Any:
    """For each code its row of the table."""
    return table[x.astype(int)].reshape(len(x), -1)


ACTIVATIONS = {
    f.__name__: f
    for f in (
        sigmoid, tanh, relu, relu6, leaky_relu, elu, selu, celu, gelu, gelu_tanh, swish, mish, softplus, softsign,
        hard_sigmoid, hard_swish, hard_tanh, log_sigmoid, exponential, step, tanh_shrink, soft_shrink, hard_shrink,
        thresholded_relu, softmax, log_softmax,
    )
}  # fmt: skip
LAYERS = {
    f.__name__: f
    for f in (
        dense, conv, pool, max_pool, average_pool, global_average_pool, global_max_pool, normalise, layer_norm, flatten,
        reshape, standardise, restore, rescale, impute, one_hot, vectors,
    )
}  # fmt: skip
