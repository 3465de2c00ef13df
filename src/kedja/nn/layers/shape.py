"""Layers without parameters that change the shape, or apply one function."""

from __future__ import annotations

import math
from typing import Any

from kedja.errors import ShapeError
from kedja.graph.node import Tensor
from kedja.graph.shapes import as_shape
from kedja.nn import activations
from kedja.nn.layers.layer import Layer

__all__ = ["Activation", "Flatten", "Reshape"]


class Flatten(Layer):
    """All axes but the first made one: (n, a, b, …) → (n, a·b·…).

    >>> import kedja as kj
    >>> Flatten()(kj.zeros((5, 28, 28, 1))).shape
    (5, 784)
    """

    def call(self, x: Tensor) -> Tensor:
        if not x.shape:
            raise ShapeError("got a single number; there must be an axis of examples")
        return x.reshape((x.shape[0], math.prod(x.shape[1:])))


class Reshape(Layer):
    """Each example in another shape: (n, …) → (n, *shape); one size may be -1.

    >>> import kedja as kj
    >>> Reshape((28, 28, 1))(kj.zeros((5, 784))).shape
    (5, 28, 28, 1)
    """

    def __init__(self, shape: Any, name: str | None = None) -> None:
        super().__init__(name)
        self.shape = as_shape(shape)

    def call(self, x: Tensor) -> Tensor:
        if not x.shape:
            raise ShapeError("got a single number; there must be an axis of examples")
        return x.reshape((x.shape[0], *self.shape))


class Activation(Layer):
    """An activation as a layer of its own.

    >>> import kedja as kj
    >>> Activation("relu")(kj.tensor([-1.0, 2.0])).numpy().tolist()
    [0.0, 2.0]
    """

    def __init__(self, activation: Any, name: str | None = None) -> None:
        super().__init__(name)
        self.activation = activations.get(activation)
        self.activation_name = activations.name_of(activation)

    def call(self, x: Tensor) -> Tensor:
        return self.activation(x)
