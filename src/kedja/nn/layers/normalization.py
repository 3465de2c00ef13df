"""Layers that bring numbers to mean 0 and variance 1: over the batch, over features, over groups of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.errors import DataError, ShapeError
from kedja.graph.node import Tensor, constant
from kedja.graph.recording import current_trace
from kedja.graph.shapes import Shape, as_axes, as_axis
from kedja.graph.variables import Parameter, Variable
from kedja.nn.layers.call import calls
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.numbers import Number, as_momentum, whole
from kedja.ops import cast, mean, moments, normalised, sqrt, square, variance

__all__ = ["BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "RMSNorm"]


def standardised(x: Tensor, middle: Tensor, spread: Tensor, epsilon: float) -> Tensor:
    """(x − μ) / √(σ² + ε), what every layer here computes with its own μ and σ²."""
    return (x - middle) / sqrt(spread + epsilon)


class _Norm(Layer):
    """γ · (standardised x) + β: the part all normalisations share."""

    def __init__(self, epsilon: float, center: bool, scale: bool, name: str | None, dtype: Any) -> None:
        super().__init__(name, dtype)
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < math.inf:
            raise DataError(
                f"{type(self).__name__}: epsilon is added to the variance so that nothing is divided by 0: "
                f"a number above 0; got {epsilon!r}"
            )
        self.epsilon, self.center, self.scale = float(epsilon), center, scale
        self.gamma: Parameter | None = None
        self.beta: Parameter | None = None

    def _affine(self, sizes: Shape) -> None:
        """Make γ, which starts at 1, and β, which starts at 0; penalties do not mean them."""
        if self.scale:
            self.gamma = self.parameter("gamma", sizes, "ones", penalised=False)
        if self.center:
            self.beta = self.parameter("beta", sizes, "zeros", penalised=False)

    def _scaled(self, z: Tensor, axes: Sequence[int]) -> Tensor:
        """γz + β, with γ and β along these axes of z."""
        shape = tuple(n if i in axes else 1 for i, n in enumerate(z.shape))
        if self.gamma is not None:
            z = z * self.gamma.reshape(shape)
        return z if self.beta is None else z + self.beta.reshape(shape)

    def _same_sizes(self, x: Tensor, axes: Sequence[int], sizes: Shape) -> None:
        found = tuple(x.shape[a] for a in axes)
        if found != sizes:
            raise ShapeError(
                f"was built for {_sizes(sizes)} along {_axes(axes)} and got an input of shape {x.shape}, "
                f"which has {_sizes(found)}. Give inputs like those of the first call, or make a new layer."
            )


def _sizes(sizes: Shape) -> str:
    return str(sizes[0]) if len(sizes) == 1 else str(sizes)


def _axes(axes: Sequence[int]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {tuple(axes)}"


class BatchNorm(_Norm):
    """y = γ (x − μ) / √(σ² + ε) + β, with μ and σ² of each feature over the batch and all other axes.

    Shapes: x (n, …, c) → the same; γ, β and the running statistics (c,). `axis` says where the features stand.
    In training μ and σ² are those of the batch (σ² divided by its number of values N), and the running ones follow:
    running ← momentum · running + (1 − momentum) · batch, the variance divided by N − 1. In inference, and when the
    layer is frozen (`trainable = False`, its own or that of a model around it), the running ones are used and stay.
    Penalties do not mean γ and β. A Dense or Conv before it needs no bias: μ takes it away (`use_bias=False`).
    Derivative: with g = ∂J/∂y and h = (x − μ) / √(σ² + ε): ∂J/∂γ = Σ h g, ∂J/∂β = Σ g, and in training, with u = γ
    g, ∂J/∂x = (u − mean(u) − h · mean(h u)) / √(σ² + ε); in inference μ and σ do not move and ∂J/∂x = u / √(σ² +
    ε).
    Raises ShapeError in training when a feature has one value only, which has no spread.
    Source: scope 2.7; Ioffe and Szegedy 2015.

    >>> import kedja as kj
    >>> layer = BatchNorm()
    >>> layer(kj.tensor([[1.0], [3.0]]), training=True).numpy().round(3).tolist()
    [[-1.0], [1.0]]
    >>> layer.mean.numpy().round(3).tolist(), layer.variance.numpy().round(3).tolist()  # 0.1 · 2 and 0.9 + 0.1 · 2
    ([0.2...], [1.1...])
    """

    couples_rows = True
    scalars = ("momentum",)
    momentum = Number(as_momentum)

    def __init__(
        self, momentum: float = 0.9, epsilon: float = 1e-5, *, center: bool = True, scale: bool = True, axis: int = -1,
        name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(epsilon, center, scale, name, dtype)
        self.momentum, self.axis = momentum, axis
        self.features = -1

    def build(self, x: Shape) -> None:
        if len(x) < 2:
            raise ShapeError(f"got an input of shape {x}; it needs an axis of examples and an axis of features")
        at = as_axis(self.axis, len(x))
        if at == 0:
            raise ShapeError(f"axis {self.axis} of an input of shape {x} is the axis of examples, not of features")
        self.features = x[at]
        self._affine((self.features,))
        self.mean = self.variable("mean", np.zeros(self.features))
        self.variance = self.variable("variance", np.ones(self.features))

    def call(self, x: Tensor, *, training: bool) -> Tensor:
        at = as_axis(self.axis, x.ndim)
        self._same_sizes(x, (at,), (self.features,))
        if training and not self._frozen():
            both = self._of_batch(x, at)
            gamma = constant(np.ones(self.features, x.dtype)) if self.gamma is None else self.gamma
            beta = constant(np.zeros(self.features, x.dtype)) if self.beta is None else self.beta
            return normalised(x, both, gamma, beta, axis=at, epsilon=self.epsilon)
        shape = tuple(n if i == at else 1 for i, n in enumerate(x.shape))
        middle, spread = cast(self.mean, x.dtype), cast(self.variance, x.dtype)
        z = standardised(x, middle.reshape(shape), spread.reshape(shape), self.epsilon)
        return self._scaled(z, (at,))

    def _of_batch(self, x: Tensor, at: int) -> Tensor:
        """Mean and variance of the batch; the running ones move towards them."""
        n = x.size // max(self.features, 1)
        if n < 2:
            raise ShapeError(
                f"in training it needs at least two values of each feature, and an input of shape {x.shape} has {n}: "
                "one alone has no spread. Use larger batches (a last one of a single row too is refused: change "
                "batch_size), LayerNorm, or training=False."
            )
        both = moments(x, axis=at)
        keep = self.scalar("momentum", self.mean.dtype)
        for running, now in ((self.mean, both[0]), (self.variance, both[1] * (n / (n - 1)))):
            _follow(running, keep, cast(now, running.dtype))
        return both

    def redraw(self, seed: int) -> None:
        """Starting over, the running statistics too are what they were at the start."""
        super().redraw(seed)
        if self.built:
            self.mean.assign(np.zeros(self.mean.shape))
            self.variance.assign(np.ones(self.variance.shape))

    def _frozen(self) -> bool:
        """Whether it, or a layer around it in this call, is not to learn."""
        root, path = calls.now.root, calls.now.path
        if not self.trainable or (root is not None and not root.trainable):
            return True
        around = {path[:i] for i, letter in enumerate(path) if letter == "."}
        inside = root.layers_by_path() if root is not None and around else ()
        return any(not layer.trainable for place, layer in inside if place in around)


def _follow(running: Variable, keep: Tensor, now: Tensor) -> None:
    """running ← keep · running + (1 − keep) · now: at once, or at the end of the step that is being traced."""
    trace = current_trace()
    if trace is None:
        running.assign(keep * running + (1.0 - keep) * now)
        return
    before = trace.updates.pop(running, running)  # a layer used twice in a step moves them twice
    running.update(keep * before + (1.0 - keep) * now)


class LayerNorm(_Norm):
    """y = γ (x − μ) / √(σ² + ε) + β, with μ and σ² of each example over its features.

    Shapes: x (…, c) → the same; γ, β have the sizes of the axes that are normalised, the last one or several (`axis`).
    Each row is treated alone, alike in training and inference. Penalties do not mean γ and β.
    Derivative: as for `BatchNorm` in training, with the means over the features of each example.
    Source: scope 2.7; Ba, Kiros and Hinton 2016.

    >>> import kedja as kj
    >>> LayerNorm()(kj.tensor([[1.0, 3.0]])).numpy().round(3).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self, axis: Any = -1, epsilon: float = 1e-5, *, center: bool = True, scale: bool = True,
        name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(epsilon, center, scale, name, dtype)
        self.axis = axis
        self.sizes: Shape = ()

    def build(self, x: Shape) -> None:
        axes = as_axes(self.axis, len(x))
        if not axes:
            raise ShapeError(f"got a single number; it needs an axis of features, and axis={self.axis!r} is none")
        self.sizes = tuple(x[a] for a in axes)
        self._affine(self.sizes)

    def call(self, x: Tensor) -> Tensor:
        axes = as_axes(self.axis, x.ndim)
        self._same_sizes(x, axes, self.sizes)
        z = standardised(x, mean(x, axes, keepdims=True), variance(x, axes, keepdims=True), self.epsilon)
        return self._scaled(z, axes)


class RMSNorm(_Norm):
    """y = γ x / √(mean x² + ε): layer normalisation that does not move the mean, over the last axis.

    Shapes: x (…, c) → the same; γ (c,). Source: Zhang and Sennrich 2019.
    Derivative: with h = x / √(mean x² + ε) and u = γ ∂J/∂y: ∂J/∂x = (u − h · mean(h u)) / √(mean x² + ε), ∂J/∂γ = Σ
    h ∂J/∂y.

    >>> import kedja as kj
    >>> RMSNorm()(kj.tensor([[1.0, 7.0]])).numpy().round(2)
    array([[0.2, 1.4]], dtype=float32)
    """

    def __init__(
        self, epsilon: float = 1e-5, *, scale: bool = True, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(epsilon, False, scale, name, dtype)
        self.features = -1

    def build(self, x: Shape) -> None:
        if not x:
            raise ShapeError("got a single number; it needs an axis of features")
        self.features = x[-1]
        self._affine((self.features,))

    def call(self, x: Tensor) -> Tensor:
        self._same_sizes(x, (x.ndim - 1,), (self.features,))
        z = x / sqrt(mean(square(x), -1, keepdims=True) + self.epsilon)
        return self._scaled(z, (x.ndim - 1,))


class GroupNorm(_Norm):
    """y = γ (x − μ) / √(σ² + ε) + β, with μ and σ² of each example and group of channels, over all positions.

    Shapes: x (n, *spatial, c) → the same; γ, β (c,). The c channels are cut into `groups` groups of neighbours.
    Alike in training and inference, so it serves where batches are too small for BatchNorm.
    Derivative: as for `BatchNorm` in training, with the means over each group.
    Raises ShapeError unless the groups divide the channels. Source: scope 2.7; Wu and He 2018.

    >>> import kedja as kj
    >>> GroupNorm(2)(kj.tensor([[1.0, 3.0, 10.0, 30.0]])).numpy().round(3).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self, groups: int, epsilon: float = 1e-5, *, center: bool = True, scale: bool = True,
        name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(epsilon, center, scale, name, dtype)
        self.groups = whole(f"{type(self).__name__}: groups is how many groups the channels are cut into", groups)
        self.features = -1

    def build(self, x: Shape) -> None:
        if len(x) < 2:
            raise ShapeError(f"got an input of shape {x}; it needs an axis of examples and an axis of channels")
        if x[-1] % self.groups:
            fitting = [g for g in range(1, x[-1] + 1) if x[-1] % g == 0]
            raise ShapeError(
                f"{self.groups} groups do not divide the {x[-1]} channels of an input of shape {x}: "
                f"{x[-1]} / {self.groups} = {x[-1] / self.groups:g}. Use one of {', '.join(map(str, fitting))}."
            )
        self.features = x[-1]
        self._affine((self.features,))

    def call(self, x: Tensor) -> Tensor:
        self._same_sizes(x, (x.ndim - 1,), (self.features,))
        places = math.prod(x.shape[1:-1])
        parts = x.reshape((x.shape[0], places, self.groups, self.features // self.groups))
        middle, spread = mean(parts, (1, 3), keepdims=True), variance(parts, (1, 3), keepdims=True)
        return self._scaled(standardised(parts, middle, spread, self.epsilon).reshape(x.shape), (x.ndim - 1,))


class InstanceNorm(_Norm):
    """y = γ (x − μ) / √(σ² + ε) + β, with μ and σ² of each example and channel, over all positions.

    Shapes: x (n, *spatial, c) → the same; γ, β (c,). Raises ShapeError without a spatial axis, where x − μ is 0.
    Derivative: as for `BatchNorm` in training, with the means over the positions of each channel.
    Source: Ulyanov, Vedaldi and Lempitsky 2016.

    >>> import kedja as kj
    >>> InstanceNorm()(kj.tensor([[[1.0], [3.0]]])).numpy().round(3).tolist()
    [[[-1.0], [1.0]]]
    """

    def __init__(
        self, epsilon: float = 1e-5, *, center: bool = True, scale: bool = True, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(epsilon, center, scale, name, dtype)
        self.features = -1

    def build(self, x: Shape) -> None:
        if len(x) < 3:
            raise ShapeError(f"got an input of shape {x}; it needs axes (examples, positions…, channels)")
        self.features = x[-1]
        self._affine((self.features,))

    def call(self, x: Tensor) -> Tensor:
        self._same_sizes(x, (x.ndim - 1,), (self.features,))
        axes = tuple(range(1, x.ndim - 1))
        z = standardised(x, mean(x, axes, keepdims=True), variance(x, axes, keepdims=True), self.epsilon)
        return self._scaled(z, (x.ndim - 1,))
