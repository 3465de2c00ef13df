"""Dense: every input connected to every unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import ShapeError
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn import activations
from kedja.nn.layers.layer import Layer

__all__ = ["Dense"]


class Dense(Layer):
    """Fully connected layer, y = f(x W + b).

    Shapes: x (…, n_in) → y (…, units); W (n_in, units); b (units,).
    `init` draws W: a name, an object of kj.initializers, or "auto" (He before ReLU, else Glorot uniform). b is 0.
    Raises ShapeError when x has no axis, or its last axis changes after the first call.
    Source: scope 2.2; Rosenblatt 1958.

    >>> import kedja as kj
    >>> Dense(3)(kj.tensor([[1.0, 2.0]])).shape
    (1, 3)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        *,
        use_bias: bool = True,
        init: Any = "glorot_uniform",
        bias_init: Any = "zeros",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        if isinstance(units, bool) or not isinstance(units, int | np.integer) or units < 1:
            raise ShapeError(f"Dense: units is how many outputs the layer has, a whole number ≥ 1; got {units!r}")
        self.units = int(units)
        self.activation = activations.get(activation)
        self.activation_name = activations.name_of(activation)
        self.use_bias = use_bias
        self.init, self.bias_init = init, bias_init
        self.n_in = -1

    def build(self, x: Shape) -> None:
        if not x:
            raise ShapeError("got a single number; a dense layer needs at least one axis of features")
        self.n_in = x[-1]
        self.kernel = self.parameter("kernel", (x[-1], self.units), self.init)
        self.bias = self.parameter("bias", (self.units,), self.bias_init) if self.use_bias else None

    def call(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != (self.n_in,):
            raise ShapeError(
                f"was built for {self.n_in} features and got an input of shape {x.shape}. "
                "Give the same number of columns as at the first call, or make a new layer."
            )
        y = x @ self.kernel
        return self.activation(y if self.bias is None else y + self.bias)
