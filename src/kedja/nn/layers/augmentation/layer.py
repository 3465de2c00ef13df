"""What the layers of this room share: each example is changed in its own way in training, none in inference."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import DTypeError, ShapeError
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor
from kedja.lent import borrowed
from kedja.nn.layers.layer import Layer
from kedja.ops import random, reshape

__all__: list[str] = []

FORMS = {3: "series (N, steps, channels)", 4: "images (N, height, width, channels)"}


class _Augmentation(Layer):
    """y = x in inference; in training every example is changed by numbers drawn for it alone.

    A subclass writes `changed`. `ranks` says what it takes: 3 series, 4 images; none, anything of rows.
    """

    ranks: tuple[int, ...] = (3, 4)
    fractions = True  # whether it computes with the numbers, or only moves them about

    def changed(self, x: Tensor) -> Tensor:
        """What becomes of x in training."""
        raise NotImplementedError

    def call(self, x: Tensor, *, training: bool) -> Tensor:
        self.check(x)
        return self.changed(x) if training else x

    def __getattr__(self, name: str) -> Any:
        return borrowed(self, name) if name == "preview" else super().__getattr__(name)

    def check(self, x: Tensor) -> None:
        """Refuse what it cannot take, in inference as in training."""
        if self.ranks and x.ndim not in self.ranks:
            hint = ""
            if x.ndim == 3 and 4 in self.ranks:
                hint = f" For grey images give the channel an axis: Reshape({(*x.shape[1:], 1)}) before it."
            elif x.ndim == 2:
                one = (28, 28, 1) if x.shape[1] == 784 else (x.shape[1], 1) if 3 in self.ranks else "(h, w, channels)"
                hint = f" Rows of numbers get a form by Reshape({one}) before it."
            raise ShapeError(f"needs {' or '.join(FORMS[r] for r in self.ranks)}, got {x.shape}.{hint}")
        if not self.ranks and x.ndim < 2:
            raise ShapeError(f"needs rows (N, …), got {x.shape}")
        if self.fractions and not is_float(x.dtype):
            raise DTypeError(f"computes with fractions, got {x.dtype.name}: give floating-point numbers, x / 255.0")

    def drawn(self, what: str, x: Tensor) -> Tensor:
        """A number for each example, uniform on [0, 1): (N,), in the type that `x` is computed in."""
        return random.uniform(self.key(what), (x.shape[0],), dtype=wide(x))

    def within(self, what: str, x: Tensor, amount: str) -> Tensor:
        """A number for each example, uniform between minus and plus the scalar `amount`: (N,)."""
        return (2.0 * self.drawn(what, x) - 1.0) * self.scalar(amount, wide(x))


def wide(x: Tensor) -> Any:
    """The type in which numbers for x are drawn and places computed: at least float32."""
    return np.dtype(np.float64) if x.dtype == np.float64 else np.dtype(np.float32)


def each(numbers: Tensor, x: Tensor) -> Tensor:
    """A number per example, (N,), in the type of x and so that it meets every element of its example: (N, 1, …)."""
    return reshape(numbers, (x.shape[0],) + (1,) * (x.ndim - 1)).astype(x.dtype)
