"""Impute: a number in the place of one that is missing, and a column that says where (scope 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.errors import DataError, one_of
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn.layers.preprocessing.preprocessing import Preprocessing
from kedja.ops import cast, concatenate, isnan, take, where

__all__ = ["Impute"]

STRATEGIES = ("mean", "median", "most_frequent", "constant")


class Impute(Preprocessing):
    """y = x where x is a number, else the fill value of its column; NaN is what is missing.

    The fill is the mean, the median or the most frequent value (the least of equals) of the column's training rows, or
    the constant `fill`. With `indicator=True` a column of 0 and 1 follows for each column that had something missing
    in training: that a value is missing may say something itself. A list of columns says which ones.

    Shapes: x (n, …, k) → y (n, …, k + number of indicators).
    Derivative: ∂J/∂x = ∂J/∂y where x is a number, else 0.
    Raises DataError when `adapt` meets a column without any number. Source: Little & Rubin 2002; scope 6.

    >>> import kedja as kj
    >>> kj.nn.Impute("median", indicator=True).adapt([[1.0, 5.0], [np.nan, 5.0], [3.0, 8.0]])([[np.nan, 4.0]]).numpy()
    array([[2., 4., 1.]], dtype=float32)
    """

    takes_missing = True

    def __init__(
        self, strategy: str = "mean", *, fill: float = 0.0, indicator: bool | Sequence[int] = False,
        name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        if strategy not in STRATEGIES:
            raise one_of("strategy", strategy, STRATEGIES)
        self.strategy, self.fill = strategy, float(fill)
        self.indicator: bool | list[int] = indicator if isinstance(indicator, bool) else [int(i) for i in indicator]

    @property
    def adapted(self) -> bool:
        return self.built or self.strategy == "constant"

    def build(self, x: Shape) -> None:
        if not x:
            raise DataError(f"{self.title}: takes rows of columns, got a single number")
        if isinstance(self.indicator, list) and any(not -x[-1] <= i < x[-1] for i in self.indicator):
            raise DataError(f"{self.title}: indicator names the columns {self.indicator}, and there are {x[-1]}")
        if "values" not in vars(self):
            self.values = self.variable("values", np.full(x[-1:], self.fill))

    def adapt(self, values: Any) -> Impute:
        """Take the fill values of the columns, and where something is missing. Returns the layer itself."""
        array = np.asarray(values, np.float64)
        array = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(-1, 1)
        missing = np.isnan(array)
        empty = missing.all(0)
        if self.strategy != "constant" and (not len(array) or empty.any()):
            raise DataError(
                f"{self.title}: column {int(np.argmax(empty)) if len(array) else 0} (counting from 0) holds no number "
                'to take the fill value from: leave it out, or use strategy="constant"'
            )
        if self.indicator is True:  # from now on these columns, whatever rows come
            self.indicator = [int(i) for i in np.flatnonzero(missing.any(0))]
            self._arguments["indicator"] = self.indicator
        self.build((array.shape[1],))
        self.values.assign(self._fills(array))
        self.built = True
        return self

    def _fills(self, array: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.strategy == "constant":
            return np.full(array.shape[1], self.fill)
        columns = [column[~np.isnan(column)] for column in array.T]
        if self.strategy == "most_frequent":
            return np.array([_most_frequent(column) for column in columns])
        centre = np.mean if self.strategy == "mean" else np.median
        return np.array([centre(column) for column in columns])

    def call(self, x: Tensor) -> Tensor:
        indicated = range(x.shape[-1]) if self.indicator is True else self.indicator or ()
        if not is_float(x.dtype):
            x = cast(x, self.values.dtype)
        missing = isnan(x)
        filled = where(missing, cast(self.values, x.dtype), x)
        if not len(indicated):
            return filled
        told = take(cast(missing, x.dtype), np.asarray(indicated, np.int64), axis=-1)
        return concatenate([filled, told], axis=-1)


def _most_frequent(column: NDArray[np.float64]) -> float:
    values, counts = np.unique(column, return_counts=True)
    return float(values[np.argmax(counts)])
