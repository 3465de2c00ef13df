"""Parts of each example that are hidden."""

from __future__ import annotations

from kedja.graph.node import Tensor
from kedja.nn.layers.augmentation import amounts
from kedja.nn.layers.augmentation.layer import _Augmentation
from kedja.nn.layers.numbers import Number
from kedja.ops import arange, cast, floor, greater_equal, less, logical_and, random, reshape, where
from kedja.ops import round as rounded

__all__ = ["Cutout"]


class Cutout(_Augmentation):
    """y = `value` in a box at a random place of each example, x elsewhere.

    The box has `size` of the height and of the width (of a series: of the steps), rounded to whole elements; its
    centre may be any element, so that part of it may lie outside. `rate` is the probability that an example gets one.
    Only in training; in inference y = x.
    Shapes: images (N, h, w, C) or series (N, steps, C), as they were. Derivative: ∂J/∂x = ∂J/∂y outside the box, 0
    inside.
    Raises DataError unless `size` and `rate` lie between 0 and 1.
    Source: scope 5; DeVries and Taylor 2017; Zhong et al. 2020 (random erasing).

    >>> import kedja as kj
    >>> y = Cutout(0.5)(kj.ones((1, 8, 8, 1)), training=True, key=kj.random.key(3)).numpy()
    >>> bool(4 <= (y == 0).sum() <= 16)
    True
    """

    fractions = False
    scalars = ("size", "rate", "value")
    size, rate, value = Number(amounts.share), Number(amounts.chance), Number(amounts.pixel)

    def __init__(self, size: float, rate: float = 1.0, *, value: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        self.size, self.rate, self.value = size, rate, value

    def changed(self, x: Tensor) -> Tensor:
        n, *sizes, _ = x.shape
        ones = (1,) * (x.ndim - 1)
        # Whole numbers decide where the box begins and ends, so engines hide the same elements.
        hidden = reshape(random.bernoulli(self.key("rate"), self.scalar("rate", "float32"), (n,)), (n, *ones))
        for axis, m in enumerate(sizes, 1):
            side = rounded(self.scalar("size", "float32") * float(m))
            centre = cast(random.integers(self.key(f"axis {axis}"), 0, m, (n,), "int32"), "float32")
            start = reshape(centre, (n, *ones)) - floor(side * 0.5)
            place = reshape(arange(m, dtype="float32"), [m if i == axis else 1 for i in range(x.ndim)])
            hidden = logical_and(hidden, logical_and(greater_equal(place, start), less(place, start + side)))
        return where(hidden, self.scalar("value", x.dtype), x)
