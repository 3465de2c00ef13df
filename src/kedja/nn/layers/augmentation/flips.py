"""Images mirrored and series read backwards, with a probability."""

from __future__ import annotations

from kedja.errors import ShapeError, one_of
from kedja.graph.node import Tensor
from kedja.nn.layers.augmentation import amounts
from kedja.nn.layers.augmentation.layer import _Augmentation
from kedja.nn.layers.numbers import Number
from kedja.ops import flip, random, reshape, where

__all__ = ["RandomFlip"]

DIRECTIONS = {"horizontal": (2,), "vertical": (1,), "both": (1, 2), "time": (1,)}


class RandomFlip(_Augmentation):
    """y[n, i, j] = x[n, i, w − 1 − j] with probability `rate`, else x: mirrored left to right.

    `direction`: "horizontal" (left to right), "vertical" (upside down) or "both" (each by itself with that
    probability) of images; "time" of series, which are then read backwards. Only in training; in inference y = x.
    Flip only what stays what it is: a mirrored cat is a cat, a mirrored 2 is no digit.
    Shapes: images (N, h, w, C) or series (N, steps, C), as they were. Derivative: ∂J/∂x is ∂J/∂y, flipped where x was.
    Raises DataError unless 0 ≤ rate ≤ 1, ShapeError for a direction that x does not have.
    Source: scope 5; Krizhevsky et al. 2012.

    >>> import kedja as kj
    >>> x = kj.tensor([[[[1.0], [2.0]]]])
    >>> RandomFlip(rate=1.0)(x, training=True, key=kj.random.key(0)).numpy().ravel().tolist()
    [2.0, 1.0]
    """

    fractions = False
    scalars = ("rate",)
    rate = Number(amounts.chance)

    def __init__(self, direction: str = "horizontal", rate: float = 0.5, name: str | None = None) -> None:
        super().__init__(name)
        if direction not in DIRECTIONS:
            raise one_of("direction", direction, DIRECTIONS)
        self.direction, self.rate = direction, rate

    def check(self, x: Tensor) -> None:
        super().check(x)
        if (self.direction == "time") != (x.ndim == 3):
            fix = 'direction="time"' if x.ndim == 3 else '"horizontal", "vertical" or "both"'
            kind = "a series" if x.ndim == 3 else "images"
            raise ShapeError(f'direction is "{self.direction}" and the input {x.shape} is {kind}: use {fix}')

    def changed(self, x: Tensor) -> Tensor:
        for axis in DIRECTIONS[self.direction]:
            chosen = random.bernoulli(self.key(f"axis {axis}"), self.scalar("rate", "float32"), (x.shape[0],))
            x = where(reshape(chosen, each_shape(x)), flip(x, axis), x)
        return x


def each_shape(x: Tensor) -> tuple[int, ...]:
    """(N, 1, …): one number for each example."""
    return (x.shape[0],) + (1,) * (x.ndim - 1)
