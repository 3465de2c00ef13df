"""Layers that carry the scale of the data inside the model: standardise what comes in, undo it on the way out."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import DataError
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn.layers.layer import Layer
from kedja.ops import cast

__all__ = ["Denormalize", "Normalize"]


class _Scaling(Layer):
    """Mean and standard deviation per column, learned by `adapt` from training data and saved with the model."""

    def build(self, x: Shape) -> None:
        if not hasattr(self, "mean"):
            self.mean = self.variable("mean", np.zeros(x[-1:]))
            self.std = self.variable("std", np.ones(x[-1:]))

    def adapt(self, values: Any) -> Any:
        """Take the columns' mean and standard deviation (1 for a constant column). Returns the layer itself."""
        array = np.asarray(values, np.float64)
        array = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(-1, 1)
        if not len(array) or not np.isfinite(array).all():
            raise DataError(f"{self.title}: cannot take mean and spread of data that is empty or not finite")
        self.build((array.shape[1],))
        std = array.std(0)
        self.mean.assign(array.mean(0))
        self.std.assign(np.where(std > 0, std, 1.0))
        self.built = True
        return self


class Normalize(_Scaling):
    """y = (x − mean) / std, column by column (scope 6).

    Derivative: ∂J/∂x = (1/std) ∂J/∂y.

    >>> import kedja as kj
    >>> Normalize().adapt([[0.0], [2.0]])(kj.tensor([[4.0]])).numpy().tolist()
    [[3.0]]
    """

    def call(self, x: Tensor) -> Tensor:
        return (x - cast(self.mean, x.dtype)) / cast(self.std, x.dtype)


class Denormalize(_Scaling):
    """y = mean + std · z: the output in the units of the targets, while the loss is taken in standard units.

    Derivative: ∂J/∂z = std · ∂J/∂y.

    >>> import kedja as kj
    >>> Denormalize().adapt([[10.0], [30.0]])(kj.tensor([[1.0]])).numpy().tolist()
    [[30.0]]
    """

    def call(self, x: Tensor) -> Tensor:
        return cast(self.mean, x.dtype) + cast(self.std, x.dtype) * x

    def standard(self, y: Tensor) -> Tensor:
        """The inverse: (y − mean) / std."""
        return (y - cast(self.mean, y.dtype)) / cast(self.std, y.dtype)
