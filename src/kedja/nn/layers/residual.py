"""Residual: a layer that computes what is to be added to its input."""

from __future__ import annotations

from typing import Any

from kedja.errors import GraphError, ShapeError, one_of
from kedja.graph.dtypes import get_default_dtype
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.graph.trace import trace
from kedja.nn import activations
from kedja.nn.layers.call import calls
from kedja.nn.layers.dense import Dense
from kedja.nn.layers.layer import Layer

__all__ = ["Residual"]


class Residual(Layer):
    """y = f(g(x) + p(x)): `layer` g learns what is missing; p is the identity where g keeps the shape.

    Shapes: x (n, …, a) → y, the shape of g(x). Where g changes it, `projection="auto"` makes p a Dense without bias on
    the last axis (a 1×1 convolution), after taking every s-th position where g strides by s; a Layer is used as p;
    None refuses. `activation` f comes after the sum. Several layers in a row are one: `Residual(kj.Sequential([…]))`.
    Derivative: with d = ∂J/∂y ⊙ f′: ∂J/∂x = d + what g sends back of d, so that d passes even where g is flat.
    Raises ShapeError when g's output does not fit x and p may not or cannot mend it.
    Source: scope 2.7, 7; He et al. 2016.

    >>> import kedja as kj
    >>> Residual(kj.nn.Dense(2, init="zeros"))(kj.tensor([[1.0, 2.0]])).tolist()
    [[1.0, 2.0]]
    >>> list(Residual(kj.nn.Dense(3))(kj.ones((1, 2))).shape)
    [1, 3]
    """

    def __init__(self, layer: Layer, projection: Any = "auto", activation: Any = None, name: str | None = None) -> None:
        super().__init__(name)
        if not isinstance(layer, Layer):
            hint = " Several make one: kj.Sequential([...])." if isinstance(layer, list | tuple) else ""
            raise GraphError(f"Residual: takes a layer, got {type(layer).__name__}.{hint}")
        if projection is not None and not isinstance(projection, Layer) and projection != "auto":
            raise one_of("projection", projection, ("auto", "None", "a layer"))
        self.layer = layer
        self.projection = projection if isinstance(projection, Layer) else None
        self.mends = projection == "auto"
        self.activation = activations.get(activation)
        self.steps: Shape = ()

    def build(self, x: Shape) -> None:
        if not x:
            raise ShapeError("got a single number; there must be an axis of examples")
        if self.projection is not None:
            return
        dtype = self.dtype or calls.now.dtype or get_default_dtype()
        y = trace(lambda z: self.layer(z, training=False), [(x, dtype)]).outputs[0].shape
        if y == x:
            return
        if not self.mends:
            raise ShapeError(f"{self.layer!r} makes {y} of {x}, which cannot be added to it. Use projection='auto'.")
        self.steps = self._strides(x, y)
        if y[-1] != x[-1]:
            self.projection = Dense(y[-1], use_bias=False)

    def _strides(self, x: Shape, y: Shape) -> Shape:
        """By which steps positions are left out, so that as many are left as the layer makes."""
        steps = []
        for n, m in zip(x[1:-1], y[1:-1], strict=False):
            s = -(-n // m) if m else 1
            steps.append(s if -(-n // s) == m else 0)
        if len(x) != len(y) or x[0] != y[0] or 0 in steps:
            raise ShapeError(
                f"{self.layer!r} makes {y} of {x}, which no projection of the input fits: use padding='same' inside, "
                "or give a layer as projection="
            )
        return tuple(steps)

    def call(self, x: Tensor) -> Tensor:
        y, past = self.layer(x), x
        if any(s != 1 for s in self.steps):
            past = past[(slice(None), *(slice(None, None, s) for s in self.steps))]
        if self.projection is not None:
            past = self.projection(past)
        if past.shape != y.shape:
            raise ShapeError(f"{self.layer!r} makes {y.shape} of {x.shape}, and beside it stands {past.shape}")
        return self.activation(y + past)
