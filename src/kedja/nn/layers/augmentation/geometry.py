"""Series and images that are shifted, rotated, zoomed and sheared: several of them at once cost one interpolation."""

from __future__ import annotations

import math
from typing import Any

from kedja.graph.node import Tensor
from kedja.nn.layers.augmentation import amounts
from kedja.nn.layers.augmentation.layer import _Augmentation
from kedja.nn.layers.augmentation.sampling import affine
from kedja.nn.layers.numbers import Number
from kedja.ops import cos, exp, log1p, sin, tan, zeros

__all__ = ["RandomAffine", "RandomRotation", "RandomShear", "RandomShift", "RandomZoom"]


class _Geometry(_Augmentation):
    """Places are moved, numbers between places interpolated; `fill` says what stands beyond the edge."""

    value = Number(amounts.pixel)

    def fills(self, fill: str, value: float) -> None:
        """Keep what stands beyond the edge."""
        self.fill, self.value = amounts.as_fill(fill), value

    def moved(self, x: Tensor, matrix: Any, offset: Any) -> Tensor:
        """x at c + A (p − c) + b in place of p."""
        return affine(x, matrix, offset, self.fill, self.scalar("value", x.dtype))

    def turn(self, x: Tensor, amount: str) -> Tensor:
        """An angle for each example in radians."""
        return self.within(amount, x, amount) * (math.pi / 180)

    def magnification(self, x: Tensor, amount: str) -> Tensor:
        """A factor for each example between 1/(1 + amount) and 1 + amount: as often twice as large as half."""
        return exp((2.0 * self.drawn(amount, x) - 1.0) * log1p(self.scalar(amount, self.drawn(amount, x).dtype)))


class RandomAffine(_Geometry):
    """y(p) = x(c + A⁻¹ (p − c − d)) with A = R S Z: magnified, sheared, rotated about the centre c, then shifted by d.

    For each example an angle of R up to ±`rotation` degrees, an angle of S up to ±`shear` degrees by which upright
    lines lean, a magnification Z between 1/(1 + `zoom`) and 1 + `zoom`, and shifts up to ±`shift` of height and width.
    All of them cost one bilinear interpolation. Beyond the edge stands `value` (`fill`="constant"), the element at the
    edge ("nearest") or the mirror image ("reflect"). Only in training; in inference y = x. The amounts may be changed
    between two calls of `fit`, or by a callback, without compiling again.
    Shapes: x (N, h, w, C) → (N, h, w, C). Derivative: ∂J/∂x gets ∂J/∂y at the four neighbours of each place, by the
    shares they had.
    Raises DataError when an amount is out of its range.
    Source: scope 5; Simard et al. 2003; Jaderberg et al. 2015 (the grid and its interpolation).

    >>> import kedja as kj
    >>> x = kj.ones((2, 28, 28, 1))
    >>> y = RandomAffine(rotation=10, shift=0.1, zoom=0.1)(x, training=True, key=kj.random.key(0))
    >>> y.shape, bool(y.numpy().min() == 0)
    ((2, 28, 28, 1), True)
    """

    ranks = (4,)
    scalars = ("rotation", "shift", "zoom", "shear", "value")
    rotation, shear = Number(amounts.angle), Number(amounts.slant)
    shift, zoom = Number(amounts.share), Number(amounts.factor)

    def __init__(
        self, rotation: float = 0.0, shift: float = 0.0, zoom: float = 0.0, shear: float = 0.0, *,
        fill: str = "constant", value: float = 0.0, name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name)
        self.rotation, self.shift, self.zoom, self.shear = rotation, shift, zoom, shear
        self.fills(fill, value)

    def changed(self, x: Tensor) -> Tensor:
        angle, lean = self.turn(x, "rotation"), tan(self.turn(x, "shear"))
        small = 1.0 / self.magnification(x, "zoom")
        down = self.within("shift down", x, "shift") * x.shape[1]
        right = self.within("shift right", x, "shift") * x.shape[2]
        c, s = cos(angle), sin(angle)
        # A⁻¹ = Z⁻¹ S⁻¹ R⁻¹ in (down, right), where S: right −= lean · down and R turns against the clock.
        a = ((small * c, small * s), (small * (lean * c - s), small * (lean * s + c)))
        return self.moved(x, a, [-(row[0] * down + row[1] * right) for row in a])


class RandomRotation(_Geometry):
    """y(p) = x(c + R⁻¹ (p − c)): each image is rotated about its centre c by an angle up to ±`angle` degrees.

    Beyond the edge stands `value`, the nearest element or the mirror image, as `fill` says. Only in training.
    Shapes: x (N, h, w, C) → (N, h, w, C). Derivative: as for `RandomAffine`, which does several of them at the price
    of one.  Source: scope 5; Simard et al. 2003.

    >>> import kedja as kj
    >>> x = kj.tensor([[[[1.0], [2.0]], [[3.0], [4.0]]]])
    >>> RandomRotation(30)(x).numpy().ravel().tolist()
    [1.0, 2.0, 3.0, 4.0]
    """

    ranks = (4,)
    scalars = ("angle", "value")
    angle = Number(amounts.angle)

    def __init__(
        self, angle: float, *, fill: str = "constant", value: float = 0.0, name: str | None = None
    ) -> None:  # fmt: skip
        super().__init__(name)
        self.angle = angle
        self.fills(fill, value)

    def changed(self, x: Tensor) -> Tensor:
        angle = self.turn(x, "angle")
        c, s = cos(angle), sin(angle)
        still = zeros((x.shape[0],), c.dtype)
        return self.moved(x, ((c, s), (-s, c)), (still, still))


class RandomShear(_Geometry):
    """y(p) = x(c + S⁻¹ (p − c)): upright lines lean by an angle up to ±`angle` degrees, lines across stay.

    Shapes: x (N, h, w, C) → (N, h, w, C). `fill` and `value` as for `RandomAffine`. Only in training.
    Derivative: as for `RandomAffine`.  Source: scope 5; Simard et al. 2003.

    >>> import kedja as kj
    >>> RandomShear(20)(kj.ones((1, 4, 4, 1)), training=True, key=kj.random.key(0)).shape
    (1, 4, 4, 1)
    """

    ranks = (4,)
    scalars = ("angle", "value")
    angle = Number(amounts.slant)

    def __init__(
        self, angle: float, *, fill: str = "constant", value: float = 0.0, name: str | None = None
    ) -> None:  # fmt: skip
        super().__init__(name)
        self.angle = angle
        self.fills(fill, value)

    def changed(self, x: Tensor) -> Tensor:
        lean = tan(self.turn(x, "angle"))
        still = zeros((x.shape[0],), lean.dtype)
        one = still + 1.0
        return self.moved(x, ((one, still), (lean, one)), (still, still))


class RandomShift(_Geometry):
    """y(p) = x(p − d): each example is shifted by up to ±`amount` of its size along each axis.

    Shapes: images (N, h, w, C) and series (N, steps, C), as they were. `axes` names the axes that are shifted along,
    counted with the rows as 0; by default all but rows and channels. Shifts are not whole numbers of elements: what
    lies between is interpolated. `fill` and `value` as for `RandomAffine`. Only in training.
    Derivative: as for `RandomAffine`.  Source: scope 5.

    >>> import kedja as kj
    >>> x = kj.tensor([[[0.0], [1.0], [2.0], [3.0]]])
    >>> y = RandomShift(0.25, fill="nearest")(x, training=True, key=kj.random.key(1)).numpy().ravel()
    >>> bool(abs(y - [0, 1, 2, 3]).max() <= 1)
    True
    """

    scalars = ("amount", "value")
    amount = Number(amounts.share)

    def __init__(
        self, amount: float, axes: Any = None, *, fill: str = "constant", value: float = 0.0, name: str | None = None
    ) -> None:  # fmt: skip
        super().__init__(name)
        self.amount = amount
        self.axes = amounts.as_axes(axes)
        self.fills(fill, value)

    def check(self, x: Tensor) -> None:
        super().check(x)
        amounts.expect_axes(self.axes, x.shape)

    def changed(self, x: Tensor) -> Tensor:
        still = zeros((x.shape[0],), self.drawn("axis 1", x).dtype)
        inner = range(1, x.ndim - 1)
        matrix = [[still + 1.0 if i == j else None for j in inner] for i in inner]
        offset = []
        for axis in inner:
            shifts = self.axes is None or axis in self.axes
            offset.append(self.within(f"axis {axis}", x, "amount") * -x.shape[axis] if shifts else still)
        return self.moved(x, matrix, offset)


class RandomZoom(_Geometry):
    """y(p) = x(c + (p − c) / f): magnified about the centre c by a factor f between 1/(1 + `amount`) and 1 + `amount`.

    ln f is uniform: twice as large is as likely as half as large. Of a series time is stretched or compressed.
    Shapes: images (N, h, w, C) and series (N, steps, C), as they were. `fill` and `value` as for `RandomAffine`.
    Only in training. Derivative: as for `RandomAffine`.  Source: scope 5; Um et al. 2017 (series).

    >>> import kedja as kj
    >>> RandomZoom(0.2, fill="nearest")(kj.ones((2, 5, 1)), training=True, key=kj.random.key(0)).numpy().min().item()
    1.0
    """

    scalars = ("amount", "value")
    amount = Number(amounts.factor)

    def __init__(
        self, amount: float, *, fill: str = "constant", value: float = 0.0, name: str | None = None
    ) -> None:  # fmt: skip
        super().__init__(name)
        self.amount = amount
        self.fills(fill, value)

    def changed(self, x: Tensor) -> Tensor:
        small = 1.0 / self.magnification(x, "amount")
        still = zeros((x.shape[0],), small.dtype)
        inner = range(x.ndim - 2)
        return self.moved(x, [[small if i == j else None for j in inner] for i in inner], [still] * len(inner))
