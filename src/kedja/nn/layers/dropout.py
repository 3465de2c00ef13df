"""Layers that disturb what passes through them, in training only: dropout and noise (scope 5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.graph.node import Tensor
from kedja.graph.shapes import as_axes
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.numbers import Number, as_rate, as_spread
from kedja.ops import random, sqrt, where

__all__ = ["AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"]


class Dropout(Layer):
    """y = x · m / (1 − rate), where each m is 0 with probability `rate`, else 1; in inference y = x.

    The division keeps the expected value (inverted scaling), so inference needs none. Along `shared_axes` one m serves
    all positions: `Dropout(0.2, shared_axes=(1, 2))` drops whole channels of images (n, h, w, c). The mask comes from
    the key of the call and the layer's path: the same bits on every engine and in every dtype. `rate` may be changed
    between two calls of `fit`, or by a callback, without compiling again.
    Derivative: ∂J/∂x = ∂J/∂y · m / (1 − rate), with the same m.
    Raises DataError unless 0 ≤ rate < 1. Source: scope 5; Srivastava et al. 2014; Tompson et al. 2015.

    >>> import kedja as kj
    >>> x = kj.ones((1, 6))
    >>> Dropout(0.5)(x, training=True, key=kj.random.key(1)).numpy().tolist()
    [[2.0, 0.0, 2.0, 0.0, 2.0, 0.0]]
    >>> Dropout(0.5)(x).numpy().tolist()
    [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    """

    scalars = ("rate",)
    rate = Number(as_rate)

    def __init__(self, rate: float, shared_axes: Any = (), name: str | None = None) -> None:
        super().__init__(name)
        self.rate = rate
        self.shared_axes = tuple(shared_axes) if isinstance(shared_axes, tuple | list) else (shared_axes,)

    def call(self, x: Tensor, *, training: bool) -> Tensor:
        shared = as_axes(self.shared_axes, x.ndim)
        if not training:
            return x
        shape = tuple(1 if i in shared else n for i, n in enumerate(x.shape))
        keep = random.bernoulli(self.key("mask"), 1.0 - self.scalar("rate", np.float32), shape)
        return where(keep, x / (1.0 - self.scalar("rate", x.dtype)), 0.0)


class GaussianNoise(Layer):
    """y = x + std · n with n from N(0, 1), in training only.

    Derivative: ∂J/∂x = ∂J/∂y.
    Source: scope 5 (augmentation by noise); Bishop 1995: for small noise it acts like a penalty on the weights.

    >>> import kedja as kj
    >>> x = kj.zeros((2, 500))
    >>> GaussianNoise(0.1)(x, training=True, key=kj.random.key(0)).numpy().std().round(2)
    np.float32(0.1)
    """

    scalars = ("std",)
    std = Number(as_spread)

    def __init__(self, std: float, name: str | None = None) -> None:
        super().__init__(name)
        self.std = std

    def call(self, x: Tensor, *, training: bool) -> Tensor:
        if not training:
            return x
        return x + self.scalar("std", x.dtype) * random.normal(self.key("noise"), x.shape, dtype=x.dtype)


class GaussianDropout(Layer):
    """y = x · n with n from N(1, rate / (1 − rate)), in training only: noise as strong as dropout's, without zeros.

    Derivative: ∂J/∂x = ∂J/∂y · n, with the same n.
    Raises DataError unless 0 ≤ rate < 1. Source: Srivastava et al. 2014, section 10.

    >>> import kedja as kj
    >>> x = kj.ones((2, 500))
    >>> GaussianDropout(0.2)(x, training=True, key=kj.random.key(0)).numpy().std().round(1).item()
    0.5
    """

    scalars = ("rate",)
    rate = Number(as_rate)

    def __init__(self, rate: float, name: str | None = None) -> None:
        super().__init__(name)
        self.rate = rate

    def call(self, x: Tensor, *, training: bool) -> Tensor:
        if not training:
            return x
        p = self.scalar("rate", x.dtype)
        return x * (1.0 + sqrt(p / (1.0 - p)) * random.normal(self.key("noise"), x.shape, dtype=x.dtype))


class AlphaDropout(Layer):
    """Dropout for SELU: dropped elements become −λα, then y = a·x + b brings mean 0 and variance 1 back.

    a = 1 / √((1 − rate)(1 + rate·λ²α²)), b = a·rate·λα; λα = 1.7580993408473766. In inference y = x.
    Derivative: ∂J/∂x = a · ∂J/∂y where the element is kept, else 0.
    Raises DataError unless 0 ≤ rate < 1. Source: Klambauer et al. 2017.

    >>> import kedja as kj
    >>> x = kj.random.normal(kj.random.key(0), (2, 5000))
    >>> y = AlphaDropout(0.3)(x, training=True, key=kj.random.key(0)).numpy()
    >>> abs(y.mean().round(1).item()), y.std().round(1).item()
    (0.0, 1.0)
    """

    scalars = ("rate",)
    rate = Number(as_rate)
    FLOOR = 1.0507009873554805 * 1.6732632423543772

    def __init__(self, rate: float, name: str | None = None) -> None:
        super().__init__(name)
        self.rate = rate

    def call(self, x: Tensor, *, training: bool) -> Tensor:
        if not training:
            return x
        keep = random.bernoulli(self.key("mask"), 1.0 - self.scalar("rate", np.float32), x.shape)
        p = self.scalar("rate", x.dtype)
        a = 1.0 / sqrt((1.0 - p) * (1.0 + p * self.FLOOR**2))
        return a * (where(keep, x, -self.FLOOR) + p * self.FLOOR)
