"""Losses with a margin: right is not enough, the score must be right by 1 (scope 3)."""

from __future__ import annotations

import numpy as np

from kedja.errors import DataError, ShapeError
from kedja.graph.node import Array, Tensor
from kedja.graph.shapes import Shape
from kedja.nn.losses.likelihoods import check_classes, one_hot_targets
from kedja.nn.losses.loss import Loss, fitted, rows_of
from kedja.ops import max as largest
from kedja.ops import relu, square, where
from kedja.ops import sum as total

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


class Hinge(Loss):
    """ℓ = (1/m) Σ max(0, 1 − t y), with targets −1 and 1 (or 0 and 1: a 0 counts as −1). Source: scope 3; Vapnik 1995.

    The output is a score: its sign is the class, so the last layer has no activation (or tanh).

    Shapes: t and y (n, …), or labels (n,) for one output (n, 1) → ℓ (n,). Raises ShapeError when they differ.
    Derivative: ∂ℓ/∂y = −t / m where t y < 1, else 0.

    >>> import kedja as kj
    >>> kj.losses.Hinge()([[1.0], [-1.0]], kj.tensor([[0.5], [-3.0]])).item()
    0.25
    """

    name = "hinge"

    def fit_targets(self, targets: Tensor, outputs: Tensor) -> Tensor:
        if targets.ndim == outputs.ndim - 1 and outputs.shape[-1] > 1:
            raise ShapeError(
                f"{self.name} is of two classes, and labels {targets.shape} with outputs {outputs.shape} are of "
                f"{outputs.shape[-1]}: use 'categorical_hinge'."
            )
        return fitted(targets, outputs, self.name)

    def check_targets(self, targets: Array, outputs: Shape, name: str = "the targets") -> Array:
        wrong = ~np.isin(targets, (-1, 0, 1))
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise DataError(
                f"{self.name} needs targets −1 and 1 (or 0 and 1), and row {place[0]} of {name} has {targets[place]:g}."
            )
        if (targets == 0).any() and (targets == -1).any():
            raise DataError(f"{self.name} needs targets −1 and 1, or 0 and 1; {name} have −1, 0 and perhaps 1.")
        return targets

    def margin(self, t: Tensor, y: Tensor) -> Tensor:
        """max(0, 1 − t y) of each output."""
        return relu(1.0 - where(t == 0, -1.0, t) * y)

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        return rows_of(self.margin(t, y), average=True)


class SquaredHinge(Hinge):
    """ℓ = (1/m) Σ max(0, 1 − t y)²: as hinge, without the kink.

    Shapes: t and y (n, …), or labels (n,) for one output (n, 1) → ℓ (n,). Raises ShapeError when they differ.
    Derivative: ∂ℓ/∂y = −(2/m) t max(0, 1 − t y).

    >>> import kedja as kj
    >>> kj.losses.SquaredHinge()([[1.0], [-1.0]], kj.tensor([[0.5], [-3.0]])).item()
    0.125
    """

    name = "squared_hinge"

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        return rows_of(square(self.margin(t, y)), average=True)


class CategoricalHinge(Loss):
    """ℓ = max(0, 1 + maxⱼ yⱼ − y_k), j over the wrong classes and k the right one. Source: Crammer and Singer 2001.

    (Keras's loss of this name has max(0, maxⱼ yⱼ) for maxⱼ yⱼ: it differs where all wrong scores are negative.)

    Shapes: labels (n, …) or one-hot rows (n, …, classes), y (n, …, classes) → ℓ (n,), averaged over further axes.
    Derivative: where ℓ > 0: ∂ℓ/∂y_k = −1, and 1 for the largest wrong class; else 0.
    Raises ShapeError when they do not fit, DTypeError for labels that are floats.

    >>> import kedja as kj
    >>> kj.losses.CategoricalHinge()(kj.tensor([0], dtype="int64"), kj.tensor([[2.0, 1.5, 0.0]])).item()
    0.5
    """

    name = "categorical_hinge"

    def fit_targets(self, targets: Tensor, outputs: Tensor) -> Tensor:
        return one_hot_targets(targets, outputs, self.name)

    def check_targets(self, targets: Array, outputs: Shape, name: str = "the targets") -> Array:
        return check_classes(targets, outputs, self.name, name)

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        right = total(t * y, -1)
        wrong = largest(where(t > 0, float(np.finfo(y.dtype).min), y), -1)
        return rows_of(relu(1.0 + wrong - right), average=True)
