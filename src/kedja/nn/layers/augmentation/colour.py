"""Brightness, contrast and strength: the numbers of each example added to, spread and scaled."""

from __future__ import annotations

from typing import Any

from kedja.errors import DataError
from kedja.graph.node import Tensor
from kedja.nn.layers.augmentation import amounts
from kedja.nn.layers.augmentation.layer import _Augmentation, each, wide
from kedja.nn.layers.numbers import Number
from kedja.ops import clip, exp, log1p, mean

__all__ = ["RandomBrightness", "RandomContrast", "RandomGain"]


class _Colour(_Augmentation):
    """What changes the numbers of an example and not their places; `limits` are what they are clipped to."""

    def limited(self, limits: Any) -> None:
        """Keep the limits, two numbers or none."""
        self.limits = None
        if limits is not None:
            pair = tuple(limits) if isinstance(limits, tuple | list) else ()
            if len(pair) != 2 or not all(isinstance(v, int | float) for v in pair) or not pair[0] < pair[1]:
                raise DataError(f"limits are the smallest and the largest number, as (0, 1), or None; got {limits!r}")
            self.limits = (float(pair[0]), float(pair[1]))

    def kept(self, y: Tensor) -> Tensor:
        """y within the limits."""
        return y if self.limits is None else clip(y, *self.limits)


class RandomBrightness(_Colour):
    """y = x + δ, with one δ for each example, uniform on ±`amount`; in the units of x.

    With `limits`=(0, 1) y is clipped to what an image can hold. Only in training; in inference y = x.
    Shapes: x (N, …) → y (N, …). Derivative: ∂J/∂x = ∂J/∂y, 0 where y was clipped.
    Source: scope 5; Howard 2013.

    >>> import kedja as kj
    >>> y = RandomBrightness(0.2)(kj.zeros((4, 3)), training=True, key=kj.random.key(0)).numpy()
    >>> len(set(y.ravel().tolist())), bool(abs(y).max() <= 0.2)
    (4, True)
    """

    ranks = ()
    scalars = ("amount",)
    amount = Number(amounts.step)

    def __init__(self, amount: float, *, limits: Any = None, name: str | None = None) -> None:
        super().__init__(name)
        self.amount = amount
        self.limited(limits)

    def changed(self, x: Tensor) -> Tensor:
        return self.kept(x + each(self.within("brightness", x, "amount"), x))


class RandomContrast(_Colour):
    """y = x̄ + f (x − x̄), with one f for each example, uniform on 1 ± `amount`.

    x̄ is the mean of each channel over its image or series. With `limits`=(0, 1) y is clipped to what an image can hold.
    Only in training; in inference y = x.
    Shapes: images (N, h, w, C) or series (N, steps, C), as they were. Derivative: ∂J/∂x is the mean of ∂J/∂y over
    the channel, plus f times what differs from it.  Source: scope 5; Howard 2013.

    >>> import kedja as kj
    >>> y = RandomContrast(0.5)(kj.tensor([[[0.0], [2.0]]]), training=True, key=kj.random.key(0)).numpy().ravel()
    >>> y.mean().item(), bool(1 <= y[1] - y[0] <= 3)
    (1.0, True)
    """

    scalars = ("amount",)
    amount = Number(amounts.contrast)

    def __init__(self, amount: float, *, limits: Any = None, name: str | None = None) -> None:
        super().__init__(name)
        self.amount = amount
        self.limited(limits)

    def changed(self, x: Tensor) -> Tensor:
        middle = mean(x, tuple(range(1, x.ndim - 1)), keepdims=True)
        return self.kept(middle + (1.0 + each(self.within("contrast", x, "amount"), x)) * (x - middle))


class RandomGain(_Colour):
    """y = f x, with one f for each example between 1/(1 + `amount`) and 1 + `amount`: how strong a signal is.

    ln f is uniform: twice as strong is as likely as half as strong. Only in training; in inference y = x.
    Shapes: x (N, …) → y (N, …). Derivative: ∂J/∂x = f ∂J/∂y.
    Source: scope 5; Um et al. 2017 (scaling of series).

    >>> import kedja as kj
    >>> y = RandomGain(1.0)(kj.ones((50, 3)), training=True, key=kj.random.key(0)).numpy()
    >>> bool(0.5 <= y.min() < y.max() <= 2)
    True
    """

    ranks = ()
    scalars = ("amount",)
    amount = Number(amounts.factor)

    def __init__(self, amount: float, *, limits: Any = None, name: str | None = None) -> None:
        super().__init__(name)
        self.amount = amount
        self.limited(limits)

    def changed(self, x: Tensor) -> Tensor:
        f = exp((2.0 * self.drawn("gain", x) - 1.0) * log1p(self.scalar("amount", wide(x))))
        return self.kept(x * each(f, x))
