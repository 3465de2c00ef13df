"""Branches: several layers beside each other on one input, their outputs joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kedja.errors import GraphError, ShapeError
from kedja.graph.node import Tensor
from kedja.graph.shapes import as_axis
from kedja.nn.layers.layer import Layer
from kedja.ops import concatenate

__all__ = ["Branches"]


class Branches(Layer):
    """y = [f₁(x), f₂(x), …]: each layer on the same input, what they give side by side along an axis, the last.

    Shapes: x (n, …, c) → (n, …, c₁ + c₂ + …); the f_i must agree in all other axes. With `Identity()` as one of them it
    is a layer of a dense block, [x, f(x)]; with convolutions of several sizes an inception module.
    Derivative: ∂J/∂x = Σ of what each f_i sends back of its own part of ∂J/∂y.
    Raises ShapeError when the outputs do not join.
    Source: scope 2.7, 7; Szegedy et al. 2015; Huang et al. 2017.

    >>> import kedja as kj
    >>> Branches([kj.nn.Identity(), kj.nn.Dense(1, init="ones")])(kj.tensor([[1.0, 2.0]])).tolist()
    [[1.0, 2.0, 3.0]]
    """

    def __init__(self, layers: Sequence[Layer], axis: int = -1, name: str | None = None) -> None:
        from kedja.nn.model import named  # models stand on layers

        super().__init__(name)
        if not isinstance(layers, list | tuple) or not layers:
            raise GraphError(f"Branches: takes a list of at least one layer, got {layers!r}")
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                hint = " A class is not a layer yet: write Dense(10), not Dense." if isinstance(layer, type) else ""
                raise GraphError(f"Branches: item {i} is {layer!r}, not a layer.{hint}")
        self._layers = named(list(layers))
        self.axis = axis

    @property
    def layers(self) -> list[Layer]:
        """The layers, in the order in which their outputs stand."""
        return list(self._layers.values())

    def members(self) -> Iterator[tuple[str, Any]]:
        yield from self._layers.items()

    def call(self, x: Tensor) -> Tensor:
        if not x.shape:
            raise ShapeError("got a single number; there must be an axis of examples and one of features")
        parts = [layer(x) for layer in self._layers.values()]
        at = as_axis(self.axis, parts[0].ndim)
        if at == 0:
            raise ShapeError(f"axis {self.axis} of an output of shape {parts[0].shape} is the axis of examples")
        first, others = parts[0].shape, [(n, y.shape) for n, y in zip(self._layers, parts, strict=True)]
        for name, shape in others:
            if len(shape) != len(first) or shape[:at] + shape[at + 1 :] != first[:at] + first[at + 1 :]:
                raise ShapeError(
                    f"{name!r} makes {shape} of {x.shape}, and {others[0][0]!r} makes {first}: along all axes but {at} "
                    "they must be equal to stand side by side. Use the same stride, and padding='same', in each."
                )
        return parts[0] if len(parts) == 1 else concatenate(parts, at)
