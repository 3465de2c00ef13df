"""Telling attention where each step stands, which it does not see by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import ShapeError
from kedja.graph.dtypes import DType
from kedja.graph.node import Array, Tensor, tensor
from kedja.graph.shapes import Shape
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.numbers import whole

__all__ = ["LearnedPositionalEncoding", "PositionalEncoding"]


def _expect_sequences(x: Shape) -> None:
    if len(x) != 3:
        raise ShapeError(f"needs sequences (N, steps, features) and got an input of shape {x}.")


class PositionalEncoding(Layer):
    """y = x + P with P[t, 2i] = sin(t / base^(2i/d)) and P[t, 2i+1] = cos(t / base^(2i/d)): waves from fast to slow.

    Shapes: x (N, steps, d) → the same; any number of steps. `scale` multiplies P.
    Derivative: ∂J/∂x = ∂J/∂y.
    Raises ShapeError when x is no sequence.
    Source: Vaswani et al. 2017.

    >>> import kedja as kj
    >>> PositionalEncoding()(kj.zeros((1, 2, 2), "float64")).numpy().round(2).tolist()
    [[[0.0, 1.0], [0.84, 0.54]]]
    """

    def __init__(self, base: float = 10_000.0, scale: float = 1.0, name: str | None = None) -> None:
        super().__init__(name)
        if not base > 0:
            raise ShapeError(f"PositionalEncoding: base is a positive number, got {base!r}")
        self.base, self.scale = base, scale

    def call(self, x: Tensor) -> Tensor:
        _expect_sequences(x.shape)
        return x + tensor(self.scale * waves(x.shape[1], x.shape[2], self.base), dtype=x.dtype)


def waves(steps: int, features: int, base: float = 10_000.0, dtype: DType | type = np.float64) -> Array:
    """The table P (steps, features) of `PositionalEncoding`.

    >>> waves(1, 4).tolist()
    [[0.0, 1.0, 0.0, 1.0]]
    """
    pair = np.arange(features) // 2
    angle = np.arange(steps)[:, None] / base ** (2 * pair / features)
    table: Array = np.where(np.arange(features) % 2 == 0, np.sin(angle), np.cos(angle)).astype(dtype)
    return table


class LearnedPositionalEncoding(Layer):
    """y[t] = x[t] + P[t], where P (longest, features) is learned like any other weight.

    Derivative: ∂J/∂x = ∂J/∂y, ∂J/∂P[t] = Σ ∂J/∂y[t] over the rows.
    Raises ShapeError when x is no sequence, or has more than `longest` steps.
    Source: Gehring et al. 2017; Devlin et al. 2018.

    >>> import kedja as kj
    >>> LearnedPositionalEncoding(10)(kj.zeros((5, 7, 4))).shape
    (5, 7, 4)
    """

    def __init__(self, longest: int, *, init: Any = "normal", name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.longest, self.init = whole("LearnedPositionalEncoding: longest is a number of steps", longest), init

    def build(self, x: Shape) -> None:
        _expect_sequences(x)
        self.table = self.parameter("table", (self.longest, x[-1]), self.init, penalised=False)

    def call(self, x: Tensor) -> Tensor:
        _expect_sequences(x.shape)
        if x.shape[1] > self.longest:
            raise ShapeError(
                f"got sequences of {x.shape[1]} steps, shape {x.shape}, and has learned {self.longest} positions. "
                f"Give longest={x.shape[1]} or more."
            )
        if x.shape[-1:] != self.table.shape[-1:]:
            raise ShapeError(f"was built for {self.table.shape[-1]} features a step and got shape {x.shape}.")
        return x + self.table[: x.shape[1]]
