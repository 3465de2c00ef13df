"""Losses of numbers: how far the output y lies from the target t (scope 3). n rows, m outputs each."""

from __future__ import annotations

from kedja.graph.node import Tensor
from kedja.nn.losses.loss import Loss, number, rows_of
from kedja.ops import absolute, expm1, log1p, minimum, sqrt, square, where
from kedja.ops import sum as total

__all__ = ["MAE", "MSE", "SAE", "SSE", "CosineDistance", "HalfSSE", "Huber", "LogCosh"]


# --- squares --------------------------------------------------------------------------------------------------------
class MSE(Loss):
    """Mean squared error, ℓ = (1/m) Σ (t − y)². Source: scope 3.

    Shapes: t and y (n, …) → ℓ (n,). Raises ShapeError when they differ.
    Derivative: ∂ℓ/∂y = (2/m)(y − t).

    >>> import kedja as kj
    >>> kj.losses.MSE()([[0.0, 0.0]], kj.tensor([[1.0, 2.0]])).item()
    2.5
    """

    name = "mse"

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        return rows_of(square(y - t), average=True)


class SSE(Loss):
    """Sum of squared errors, ℓ = Σ (t − y)² over the outputs; with reduction="sum" the notes' RSS. Source: scope 3.

    Shapes: t and y (n, …) → ℓ (n,). Raises ShapeError when they differ.
    Derivative: ∂ℓ/∂y = 2 (y − t).

    >>> import kedja as kj
    >>> kj.losses.SSE()([[0.0, 0.0]], kj.tensor([[1.0, 2.0]])).item()
    5.0
    """

    name = "sse"

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        return rows_of(square(t - y), average=False)


class HalfSSE(Loss):
    """Half the sum of squared errors, ℓ = ½ Σ (t − y)². Source: scope 3.

    Shapes: t and y (n, …) → ℓ (n,). Raises ShapeError when they differ.
    Derivative: ∂ℓ/∂y = y − t.

    >>> import kedja as kj
    >>> kj.losses.HalfSSE()([[0.0, 0.0]], kj.tensor([[1.0, 2.0]])).item()
    2.5
    """

    name = "half_sse"

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        return 0.5 * rows_of(square(t - y), average=False)


# --- absolute values ------------------------------------------------------------------------------------------------
class MAE(Loss):
    """Mean absolute error, ℓ = (1/m) Σ |t − y|. Source: scope 3.

    Shapes: t and y (n, …) → ℓ (n,). Raises ShapeError when they differ.
    Derivative: ∂ℓ/∂y = (1/m) sign(y − t), 0 at t = y.

    >>> import kedja as kj
    >>> kj.losses.MAE()([[0.0, 0.0]], kj.tensor([[1.0, -2.0]])).item()
    1.5
    """

    name = "mae"

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        return rows_of(absolute(y - t), average=True)


class SAE(Loss):
    """Sum of absolute errors, ℓ = Σ |t − y| over the outputs. Source: scope 3.

    Shapes: t and y (n, …) → ℓ (n,). Raises ShapeError when they differ.
    Derivative: ∂ℓ/∂y = sign(y − t), 0 at t = y.

    >>> import kedja as kj
    >>> kj.losses.SAE()([[0.0, 0.0]], kj.tensor([[1.0, -2.0]])).item()
    3.0
    """

    name = "sae"

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        return rows_of(absolute(y - t), average=False)


# --- between the two ------------------------------------------------------------------------------------------------
class Huber(Loss):
    """Squares near the target, absolute values beyond δ, averaged over the outputs. Source: Huber 1964; scope 3.

    With r = y − t: ½ r² where |r| ≤ δ, and δ (|r| − ½ δ) elsewhere.

    Shapes: t and y (n, …) → ℓ (n,). Raises ShapeError when they differ, DataError for a δ that is not above 0.
    Derivative: ∂ℓ/∂y = (1/m) max(−δ, min(y − t, δ)).

    >>> import kedja as kj
    >>> kj.losses.Huber(delta=1.0, reduction="none")([[0.0], [0.0]], kj.tensor([[1.0], [3.0]])).numpy().tolist()
    [0.5, 2.5]
    """

    name = "huber"
    options = ("delta",)

    def __init__(self, delta: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.delta = number(self.name, "delta", delta, 0, above=True)

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        r = absolute(y - t)
        near = minimum(r, self.delta)  # near · (r − near/2) is both branches at once, and squares no large number
        return rows_of(near * (r - 0.5 * near), average=True)


class LogCosh(Loss):
    """ℓ = (1/m) Σ ln cosh(y − t): about ½ r² for small errors and |r| − ln 2 for large ones, without a kink.

    Shapes: t and y (n, …) → ℓ (n,). Raises ShapeError when they differ. Source: Green 1990.
    Derivative: ∂ℓ/∂y = (1/m) tanh(y − t).

    >>> import kedja as kj
    >>> round(kj.losses.LogCosh()([[0.0]], kj.tensor([[1000.0]])).item(), 3)
    999.307
    """

    name = "log_cosh"

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        r = absolute(y - t)  # ln cosh r = r + ln((1 + e⁻²ʳ)/2), and 1 + ½(e⁻²ʳ − 1) is that half without rounding
        return rows_of(r + log1p(0.5 * expm1(-2.0 * r)), average=True)


# --- directions -----------------------------------------------------------------------------------------------------
class CosineDistance(Loss):
    """1 minus the cosine of the angle between t and y along the last axis; 1 where one of them is 0.

    ℓ = 1 − Σ t y / (‖t‖ ‖y‖), averaged over further axes. (Keras's CosineSimilarity is this minus 1.)

    Shapes: t and y (n, …, m) → ℓ (n,). Raises ShapeError when they differ.
    Derivative: ∂ℓ/∂y = (c ŷ − t̂) / ‖y‖, with t̂ and ŷ of length 1 and c = Σ t̂ ŷ their cosine.

    >>> import kedja as kj
    >>> kj.losses.CosineDistance()([[0.0, 2.0]], kj.tensor([[3.0, 0.0]])).item()
    1.0
    """

    name = "cosine_distance"

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        return rows_of(1.0 - total(_direction(t) * _direction(y), -1), average=True)


def _direction(x: Tensor) -> Tensor:
    length = total(square(x), -1, keepdims=True)
    return x / sqrt(where(length == 0, 1.0, length))
