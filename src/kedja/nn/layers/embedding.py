"""Embedding: a table of vectors, looked up by position."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import DataError, DTypeError
from kedja.graph.dtypes import is_float
from kedja.graph.node import CONSTANT, Tensor
from kedja.graph.shapes import Shape
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.numbers import whole
from kedja.ops import cast, take

__all__ = ["Embedding"]


class Embedding(Layer):
    """y = E[x]: for each whole number of x, from 0 to vocabulary − 1, its row of a learned table.

    Shapes: x (n, …) → y (n, …, units); E (vocabulary, units). x may be integers, or floats that are whole numbers, as
    `fit` and `predict` hand rows over. Only the rows looked up get a gradient; a row that occurs twice gets the sum.
    Derivative: ∂J/∂E[i] = Σ ∂J/∂y over the places where x = i; none by x.
    Raises DataError for positions outside the table or with a fraction where the values are known, and DTypeError for
    booleans. Source: scope 2.7; Bengio et al. 2003.

    >>> import kedja as kj
    >>> Embedding(10, 3)(np.array([[0, 9]])).shape
    (1, 2, 3)
    """

    def __init__(
        self, vocabulary: int, units: int, *, init: Any = "uniform", regularizer: Any = None, constraint: Any = None,
        name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        self.vocabulary = whole("Embedding: vocabulary is how many different numbers there are", vocabulary)
        self.units = whole("Embedding: units is how long each number's vector is", units)
        self.init, self.regularizer, self.constraint = init, regularizer, constraint

    def build(self, x: Shape) -> None:
        self.table = self.parameter(
            "table", (self.vocabulary, self.units), self.init, regularizer=self.regularizer, constraint=self.constraint
        )

    def call(self, x: Tensor) -> Tensor:
        if x.dtype.kind == "b":
            raise DTypeError(f"looks whole numbers up, got {x.dtype.name} of shape {x.shape}. Use kj.cast(x, 'int32').")
        if x.op is CONSTANT:
            self.expect_positions(np.asarray(x.attrs["value"]))
        return take(self.table, cast(x, "int32") if is_float(x.dtype) else x)

    def expect_positions(self, positions: Any) -> None:
        """Refuse what is not in the table. In `fit` the values are known before the loop, on the graph they are not."""
        wrong = ~((positions >= 0) & (positions < self.vocabulary))  # so that nan is wrong too
        if positions.dtype.kind == "f":
            wrong |= positions != np.floor(positions)
        if wrong.any():
            place = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
            value = positions[place].item()
            hint = ""
            if value == self.vocabulary:
                hint = f" Numbers that start at 1 need a table of {self.vocabulary + 1}."
            where = "" if not place else f" in row {place[0]}"
            where += f", position {', '.join(map(str, place[1:]))}" if len(place) > 1 else ""
            raise DataError(
                f"has vectors for the whole numbers 0 to {self.vocabulary - 1} and got {value:g}{where} "
                f"(counting from 0).{hint}"
            )
