"""Parts cut out at random places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kedja.errors import ShapeError
from kedja.graph.node import Tensor
from kedja.nn.layers.augmentation import amounts
from kedja.nn.layers.augmentation.layer import _Augmentation
from kedja.nn.layers.numbers import Number, whole
from kedja.ops import arange, broadcast_to, pad, random, reshape, take

__all__ = ["RandomCrop"]

MODES = {"constant": "constant", "nearest": "edge", "reflect": "symmetric"}


class RandomCrop(_Augmentation):
    """y[n, i, j] = x[n, i + aₙ, j + bₙ], a window of `size` at a random place, in inference in the middle.

    With `padding` the example gets a border first (p of every edge), so that `RandomCrop(padding=4)` moves it by whole
    elements up to ±4 and keeps its size; in inference it is then y = x. `fill` says what the border holds: `value`
    ("constant"), the element at the edge ("nearest"), the mirror image ("reflect"). Nothing is interpolated.
    Shapes: images (N, h, w, C) → (N, *size, C), series (N, steps, C) → (N, size, C); `size` is a number or one for each
    axis, by default the input's own. Derivative: ∂J/∂x is ∂J/∂y at the window's place and 0 elsewhere.
    Raises ShapeError when the window is larger than the example with its border.
    Source: scope 5; Krizhevsky et al. 2012.

    >>> import kedja as kj
    >>> x = kj.tensor([[[1.0], [2.0], [3.0], [4.0], [5.0]]])
    >>> RandomCrop(3)(x).numpy().ravel().tolist()
    [2.0, 3.0, 4.0]
    >>> RandomCrop(3)(x, training=True, key=kj.random.key(1)).shape
    (1, 3, 1)
    """

    fractions = False
    scalars = ("value",)
    value = Number(amounts.pixel)

    def __init__(
        self, size: Any = None, padding: int = 0, *, fill: str = "constant", value: float = 0.0,
        name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name)
        self.size = size if size is None else _sizes(size)
        self.padding = whole("padding is the width of a border", padding, 0)
        if size is None and not self.padding:
            raise ShapeError("without a size and without padding nothing is cropped: give size=24, or padding=4")
        self.fill, self.value = amounts.as_fill(fill), value

    def check(self, x: Tensor) -> None:
        super().check(x)
        self.window(x)

    def window(self, x: Tensor) -> tuple[int, ...]:
        """The window's size along each axis."""
        sizes = x.shape[1:-1]
        if self.size is None:
            return sizes
        if len(self.size) not in (1, len(sizes)):
            raise ShapeError(f"size {self.size} has {len(self.size)} numbers and the input {x.shape} {len(sizes)} axes")
        window = self.size * (len(sizes) // len(self.size))
        for size, n in zip(window, sizes, strict=True):
            if size > n + 2 * self.padding:
                p = f" with a border of {self.padding} on both sides ({n} + 2·{self.padding} = {n + 2 * self.padding})"
                raise ShapeError(
                    f"the window {window} does not fit the input {x.shape}: {size} > {n}{p if self.padding else ''}. "
                    f"A smaller size, or padding={math.ceil((size - n) / 2)}, would do."
                )
        return window

    def call(self, x: Tensor, *, training: bool) -> Tensor:
        self.check(x)
        if training:
            return self.changed(x)
        for axis, size in enumerate(self.window(x), 1):
            x = self.middle(x, axis, size)
        return x

    def middle(self, x: Tensor, axis: int, size: int) -> Tensor:
        """The middle of an axis, bordered where the window is larger."""
        start = (x.shape[axis] - size) // 2
        if start < 0:
            lack = size - x.shape[axis]
            x = self.bordered(x, [(lack // 2, lack - lack // 2) if i == axis else (0, 0) for i in range(x.ndim)])
            start = 0
        return x if size == x.shape[axis] else x[(slice(None),) * axis + (slice(start, start + size),)]

    def bordered(self, x: Tensor, widths: Any) -> Tensor:
        """x with a border."""
        if self.fill == "constant":
            return pad(x, widths, value=self.scalar("value", x.dtype))
        for axis, (before, after) in enumerate(widths):
            if before or after:
                x = take(x, _continued(x.shape[axis], before, after, self.fill), axis)
        return x

    def changed(self, x: Tensor) -> Tensor:
        window, p = self.window(x), self.padding
        if p:
            x = self.bordered(x, [(0, 0), *((p, p) for _ in window), (0, 0)])
        n, *sizes, channels = x.shape
        place = reshape(arange(n, dtype="int32"), (n,) + (1,) * len(sizes))
        for axis, (size, full) in enumerate(zip(window, sizes, strict=True)):
            start = random.integers(self.key(f"axis {axis + 1}"), 0, full - size + 1, (n,), "int32")
            here = reshape(arange(size, dtype="int32"), [size if i == axis + 1 else 1 for i in range(len(sizes) + 1)])
            place = place * full + reshape(start, (n,) + (1,) * len(sizes)) + here
        return take(reshape(x, (n * math.prod(sizes), channels)), broadcast_to(place, (n, *window)))


def _sizes(size: Any) -> tuple[int, ...]:
    several = tuple(size) if isinstance(size, tuple | list) else (size,)
    if not several:
        raise ShapeError("size has no numbers: give one, or one for each axis")
    return tuple(whole("size is that of the window", s, 1) for s in several)


def _continued(n: int, before: int, after: int, fill: str) -> Any:
    """Positions of an axis of n elements that go on beyond its ends."""
    return np.pad(np.arange(n), (before, after), mode=MODES[fill])  # type: ignore[call-overload]
