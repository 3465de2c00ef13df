"""Layers without parameters that change the shape."""

from __future__ import annotations

import math
from typing import Any

from kedja.errors import ShapeError
from kedja.graph.node import Tensor
from kedja.graph.shapes import as_shape
from kedja.nn.layers.layer import Layer
from kedja.ops import broadcast_to, pad

__all__ = ["Crop", "Flatten", "Pad", "Permute", "Reshape", "Upsample"]


class Flatten(Layer):
    """All axes but the first made one: (n, a, b, …) → (n, a·b·…).

    Derivative: ∂J/∂y in the shape of x.

    >>> import kedja as kj
    >>> Flatten()(kj.zeros((5, 28, 28, 1))).shape
    (5, 784)
    """

    def call(self, x: Tensor) -> Tensor:
        if not x.shape:
            raise ShapeError("got a single number; there must be an axis of examples")
        return x.reshape((x.shape[0], math.prod(x.shape[1:])))


class Reshape(Layer):
    """Each example in another shape: (n, …) → (n, *shape); one size may be -1.

    Derivative: ∂J/∂y in the shape of x.

    >>> import kedja as kj
    >>> Reshape((28, 28, 1))(kj.zeros((5, 784))).shape
    (5, 28, 28, 1)
    """

    def __init__(self, shape: Any, name: str | None = None) -> None:
        super().__init__(name)
        self.shape = as_shape(shape)

    def call(self, x: Tensor) -> Tensor:
        if not x.shape:
            raise ShapeError("got a single number; there must be an axis of examples")
        return x.reshape((x.shape[0], *self.shape))


class Permute(Layer):
    """The axes of each example in another order: axis i of y is axis order[i] of x, counted from 1 after the rows.

    Shapes: `Permute((2, 1))`: (n, a, b) → (n, b, a). Raises ShapeError unless every axis is named once.
    Derivative: ∂J/∂y with its axes put back.

    >>> import kedja as kj
    >>> Permute((3, 1, 2))(kj.zeros((5, 28, 20, 1))).shape
    (5, 1, 28, 20)
    """

    def __init__(self, order: Any, name: str | None = None) -> None:
        super().__init__(name)
        self.order = as_shape(order)
        if sorted(self.order) != list(range(1, len(self.order) + 1)):
            whole = tuple(range(1, len(self.order) + 1))
            raise ShapeError(
                f"Permute: order names each axis of an example once, counted from 1 (0 are the examples), as in "
                f"{whole}; got {self.order}"
            )

    def call(self, x: Tensor) -> Tensor:
        if x.ndim != len(self.order) + 1:
            raise ShapeError(f"orders {len(self.order)} axes after that of examples, got an input of shape {x.shape}")
        return x.transpose(0, *self.order)


class Pad(Layer):
    """Zeros around every example, y[n, before + i, c] = x[n, i, c]: along the axes between rows and channels.

    Shapes: (n, *spatial, c) → (n, *(before + s + after), c). `widths` is one number for all sides, or for each spatial
    axis a number or a pair (before, after). Raises ShapeError when they do not fit the input.
    Derivative: ∂J/∂y without its rim.

    >>> import kedja as kj
    >>> Pad(2)(kj.zeros((5, 28, 28, 1))).shape, Pad([(1, 0)])(kj.zeros((5, 7, 3))).shape
    ((5, 32, 32, 1), (5, 8, 3))
    """

    def __init__(self, widths: Any, name: str | None = None) -> None:
        super().__init__(name)
        self.widths = _sides(widths, "Pad")

    def call(self, x: Tensor) -> Tensor:
        return pad(x, [(0, 0), *_spread(self.widths, x), (0, 0)])


class Crop(Layer):
    """Every example without its rim, y[n, i, c] = x[n, before + i, c]: the opposite of `Pad`, with the same `widths`.

    Shapes: (n, *spatial, c) → (n, *(s − before − after), c). Raises ShapeError when nothing would be left.
    Derivative: ∂J/∂y with zeros around it.

    >>> import kedja as kj
    >>> Crop((1, (0, 2)))(kj.zeros((5, 8, 9, 3))).shape
    (5, 6, 7, 3)
    """

    def __init__(self, widths: Any, name: str | None = None) -> None:
        super().__init__(name)
        self.widths = _sides(widths, "Crop")

    def call(self, x: Tensor) -> Tensor:
        sides = _spread(self.widths, x)
        for n, (before, after) in zip(x.shape[1:-1], sides, strict=True):
            if n - before - after < 1:
                raise ShapeError(
                    f"an input of shape {x.shape} has {n} along an axis, and {before} + {after} are to be cut off: "
                    f"{n} − {before} − {after} = {n - before - after} would be left"
                )
        inner = (slice(before, n - after) for n, (before, after) in zip(x.shape[1:-1], sides, strict=True))
        return x[(slice(None), *inner)]


class Upsample(Layer):
    """Every position repeated `size` times along each spatial axis: y[n, i, c] = x[n, ⌊i/size⌋, c] (nearest neighbour).

    Shapes: (n, *spatial, c) → (n, *(s · size), c). `size` is a whole number, or one for each spatial axis.
    Derivative: ∂J/∂x = Σ ∂J/∂y over the copies of each position.
    Raises ShapeError when the sizes do not fit the input.

    >>> import kedja as kj
    >>> Upsample(2)(kj.tensor([[[1.0], [2.0]]])).tolist()
    [[[1.0], [1.0], [2.0], [2.0]]]
    """

    def __init__(self, size: Any = 2, name: str | None = None) -> None:
        super().__init__(name)
        self.size = size if isinstance(size, int) else as_shape(size)
        if isinstance(size, bool) or min(as_shape(size)) < 1:
            raise ShapeError(f"Upsample: size is how often each position is repeated, ≥ 1; got {size!r}")

    def call(self, x: Tensor) -> Tensor:
        axes = _spatial(x)
        times = (self.size,) * axes if isinstance(self.size, int) else self.size
        if len(times) != axes:
            raise ShapeError(f"has {len(times)} sizes for the {axes} spatial axes of an input of shape {x.shape}")
        rows, channels, sizes = x.shape[0], x.shape[-1], x.shape[1:-1]
        apart = (rows, *(k for n in sizes for k in (n, 1)), channels)
        wide = (rows, *(k for n, t in zip(sizes, times, strict=True) for k in (n, t)), channels)
        joined = (rows, *(n * t for n, t in zip(sizes, times, strict=True)), channels)
        return broadcast_to(x.reshape(apart), wide).reshape(joined)


def _spatial(x: Tensor) -> int:
    """How many axes stand between rows and channels."""
    if x.ndim < 3:
        raise ShapeError(f"got an input of shape {x.shape}; it needs (examples, positions…, channels)")
    return x.ndim - 2


def _sides(widths: Any, layer: str) -> int | tuple[tuple[int, int], ...]:
    """One number, or (before, after) for each spatial axis."""
    one = isinstance(widths, int)
    parts = [(widths, widths)] if one else [(w, w) if isinstance(w, int) else as_shape(w) for w in widths]
    if not parts or isinstance(widths, bool) or any(len(p) != 2 or min(p) < 0 for p in parts):
        raise ShapeError(
            f"{layer}: widths is a number ≥ 0, or for each spatial axis one or a pair (before, after); got {widths!r}"
        )
    return widths if one else tuple((p[0], p[1]) for p in parts)


def _spread(widths: int | tuple[tuple[int, int], ...], x: Tensor) -> list[tuple[int, int]]:
    """(before, after) for each spatial axis of x."""
    axes = _spatial(x)
    sides = [(widths, widths)] * axes if isinstance(widths, int) else list(widths)
    if len(sides) != axes:
        raise ShapeError(f"has widths for {len(sides)} axes, and an input of shape {x.shape} has {axes} spatial ones")
    return sides
