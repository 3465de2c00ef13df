"""Layers of several inputs: sums, products and the like of equal shapes, and joining along an axis."""

from __future__ import annotations

from functools import reduce

from kedja.errors import ShapeError
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape, as_axis
from kedja.nn.layers.layer import Layer
from kedja.ops import add, concatenate, maximum, minimum, multiply, subtract
from kedja.ops import sum as total

__all__ = ["Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"]


class _Merge(Layer):
    """What they share: at least two inputs, one by one, of shapes that fit."""

    least, most = 2, 1_000_000

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def _checked(self, xs: tuple[Tensor, ...]) -> None:
        cls = type(self).__name__
        for x in xs:
            if not isinstance(x, Tensor):
                raise ShapeError(f"takes its inputs one by one, {cls}()(a, b), and got a {type(x).__name__}")
        if not self.least <= len(xs) <= self.most:
            wanted = "two inputs" if self.most == 2 else f"at least {self.least} inputs"
            raise ShapeError(f"takes {wanted}, {cls}()(a, b); got {len(xs)}")

    def _equal(self, xs: tuple[Tensor, ...]) -> None:
        self._checked(xs)
        for x in xs[1:]:
            if not fit(xs[0].shape, x.shape):
                raise ShapeError(
                    f"inputs of shapes {' and '.join(str(t.shape) for t in (xs[0], x))} do not fit each other: they "
                    "must have equally many rows and axes, and along each axis be equal or one of them 1"
                )


def fit(a: Shape, b: Shape) -> bool:
    """Whether two inputs can be taken element by element; rows are never stretched."""
    if len(a) != len(b) or a[:1] != b[:1]:
        return False
    return all(m == n or 1 in (m, n) for m, n in zip(a, b, strict=True))


class Add(_Merge):
    """y = x₁ + x₂ + …, of two or more inputs: the end of a residual connection.

    Shapes: all the same, (n, …); along an axis after the first a size of 1 stretches. Raises ShapeError when they do
    not fit. Source: scope 2.7.
    Derivative: ∂J/∂x_i = ∂J/∂y for every input; where one was stretched, summed over that axis.

    >>> import kedja as kj
    >>> Add()(kj.ones((1, 2)), kj.ones((1, 2)), kj.ones((1, 2))).tolist()
    [[3.0, 3.0]]
    """

    def call(self, *xs: Tensor) -> Tensor:
        self._equal(xs)
        return reduce(add, xs)


class Subtract(_Merge):
    """y = x₁ − x₂. Shapes as in Add.

    Derivative: ∂J/∂x₁ = ∂J/∂y, ∂J/∂x₂ = −∂J/∂y.

    >>> import kedja as kj
    >>> Subtract()(kj.ones((1, 2)), kj.zeros((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    most = 2

    def call(self, *xs: Tensor) -> Tensor:
        self._equal(xs)
        return subtract(*xs)


class Multiply(_Merge):
    """y = x₁ · x₂ · …, element by element: a gate. Shapes as in Add.

    Derivative: ∂J/∂x_i = ∂J/∂y times the product of the other inputs.

    >>> import kedja as kj
    >>> Multiply()(kj.tensor([[2.0, 3.0]]), kj.tensor([[4.0, 0.0]])).tolist()
    [[8.0, 0.0]]
    """

    def call(self, *xs: Tensor) -> Tensor:
        self._equal(xs)
        return reduce(multiply, xs)


class Average(_Merge):
    """y = (x₁ + … + x_k) / k. Shapes as in Add.

    Derivative: ∂J/∂x_i = (1/k) ∂J/∂y.

    >>> import kedja as kj
    >>> Average()(kj.tensor([[2.0]]), kj.tensor([[4.0]])).tolist()
    [[3.0]]
    """

    def call(self, *xs: Tensor) -> Tensor:
        self._equal(xs)
        return reduce(add, xs) / len(xs)


class Maximum(_Merge):
    """y = max(x₁, x₂, …), element by element; inputs that tie share the gradient. Shapes as in Add.

    Derivative: ∂J/∂x_i = ∂J/∂y where the input is the largest, else 0.

    >>> import kedja as kj
    >>> Maximum()(kj.tensor([[2.0, 0.0]]), kj.tensor([[1.0, 5.0]])).tolist()
    [[2.0, 5.0]]
    """

    def call(self, *xs: Tensor) -> Tensor:
        self._equal(xs)
        return reduce(maximum, xs)


class Minimum(_Merge):
    """y = min(x₁, x₂, …), element by element; inputs that tie share the gradient. Shapes as in Add.

    Derivative: ∂J/∂x_i = ∂J/∂y where the input is the smallest, else 0.

    >>> import kedja as kj
    >>> Minimum()(kj.tensor([[2.0, 0.0]]), kj.tensor([[1.0, 5.0]])).tolist()
    [[1.0, 0.0]]
    """

    def call(self, *xs: Tensor) -> Tensor:
        self._equal(xs)
        return reduce(minimum, xs)


class Dot(_Merge):
    """y = Σ x₁ x₂ over the last axis: how much two vectors agree.

    Shapes: two of (n, …, c) → (n, …, 1). Raises ShapeError when they differ.
    Derivative: ∂J/∂x₁ = x₂ ∂J/∂y, ∂J/∂x₂ = x₁ ∂J/∂y.

    >>> import kedja as kj
    >>> Dot()(kj.tensor([[1.0, 2.0]]), kj.tensor([[3.0, 4.0]])).tolist()
    [[11.0]]
    """

    most = 2

    def call(self, *xs: Tensor) -> Tensor:
        self._checked(xs)
        a, b = xs
        if a.shape != b.shape or a.ndim < 2:
            raise ShapeError(f"needs two inputs of one shape (n, …, c), got {a.shape} and {b.shape}")
        return total(a * b, -1, keepdims=True)


class Concatenate(_Merge):
    """y = [x₁, x₂, …], inputs side by side along an axis, by default the last: the end of a dense block (scope 2.7).

    Shapes: (n, …, a), (n, …, b), … → (n, …, a + b + …). Raises ShapeError when another axis differs, or the axis is
    that of the examples.
    Derivative: each input gets its own part of ∂J/∂y.

    >>> import kedja as kj
    >>> Concatenate()(kj.ones((1, 2)), kj.zeros((1, 1))).tolist()
    [[1.0, 1.0, 0.0]]
    """

    def __init__(self, axis: int = -1, name: str | None = None) -> None:
        super().__init__(name)
        self.axis = axis

    def call(self, *xs: Tensor) -> Tensor:
        self._checked(xs)
        first = xs[0]
        at = as_axis(self.axis, first.ndim)
        if at == 0:
            raise ShapeError(
                f"axis {self.axis} of an input of shape {first.shape} is the axis of examples: joining rows would make "
                "more of them. Inputs need an axis of features, and axis=1 or higher."
            )
        for x in xs[1:]:
            rest = [s.shape[:at] + s.shape[at + 1 :] for s in (first, x)]
            if x.ndim != first.ndim or rest[0] != rest[1]:
                raise ShapeError(
                    f"inputs of shapes {first.shape} and {x.shape} do not join along axis {at}: the other axes must be "
                    "equal"
                )
        return concatenate(xs, at)
