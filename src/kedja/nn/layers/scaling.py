"""Layers that carry the scale of the data inside the model: standardise what comes in, undo it on the way out."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import DataError
from kedja.graph.dtypes import get_default_dtype, is_float
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn.layers.numbers import Number, as_number
from kedja.nn.layers.preprocessing.preprocessing import Preprocessing
from kedja.ops import cast

__all__ = ["Denormalize", "Normalize", "Rescale"]


class _Scaling(Preprocessing):
    """Mean and standard deviation per column, learned by `adapt` from training data and saved with the model."""

    @property
    def adapted(self) -> bool:
        return self.built

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


class Rescale(Preprocessing):
    """y = scale · x + offset, the same for every column: pixels from 0 … 255 into 0 … 1 with Rescale(1 / 255).

    `adapt` chooses scale and offset so that the training data run from 0.01 to 1, or between two other numbers: a
    sigmoid learns well from those, and no input is 0 and switches its weights off (scope 6). Both may be changed at any
    time without compiling again.
    Derivative: ∂J/∂x = scale · ∂J/∂y. Raises DataError unless both are finite. Source: scope 6.

    >>> Rescale().adapt([0, 51, 255]).scale * 255
    0.99
    """

    scalars = ("scale", "offset")
    scale = Number(as_number)
    offset = Number(as_number)

    def __init__(self, scale: float = 1.0, offset: float = 0.0, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.scale, self.offset = scale, offset

    def adapt(self, values: Any, low: float = 0.01, high: float = 1.0) -> Any:
        """Choose scale and offset so that the least value becomes `low` and the greatest `high`. Returns the layer."""
        array = np.asarray(values, np.float64)
        if not array.size or not np.isfinite(array).all():
            raise DataError(f"{self.title}: cannot take the range of data that is empty or not finite")
        if not low < high:
            raise DataError(f"{self.title}: low={low} must be less than high={high}")
        least, width = float(array.min()), float(np.ptp(array)) or 1.0
        self.scale = (high - low) / width
        self.offset = low - least * self.scale
        self._arguments.update(scale=self.scale, offset=self.offset)
        return self

    def call(self, x: Tensor) -> Tensor:
        x = x if is_float(x.dtype) else cast(x, self.dtype or get_default_dtype())
        return self.scalar("scale", x.dtype) * x + self.scalar("offset", x.dtype)
