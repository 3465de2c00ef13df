"""Constraints: sets that a parameter is brought back to after every step (scope 5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.elsewhere import Answering, missing
from kedja.errors import DataError, one_of
from kedja.graph.node import Tensor
from kedja.ops import maximum, minimum, sqrt, square, where
from kedja.ops import sum as total

__all__ = ["Constraint", "MaxNorm", "NonNegative", "UnitNorm", "get"]


class Constraint(Answering):
    """A set of allowed weights; `apply` gives the allowed ones nearest to (or on the way from) those it gets."""

    def apply(self, weights: Tensor) -> Tensor:
        """The weights, brought back."""
        raise DataError(f"{type(self).__name__} does not say what it allows: define apply(self, weights)")

    def __call__(self, weights: Tensor) -> Tensor:
        return self.apply(weights)

    def config(self) -> dict[str, Any]:
        """The class's name and its numbers, from which it can be made again."""
        return {"class": type(self).__name__, **vars(self)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = object.__hash__


def _lengths(weights: Tensor) -> Tensor:
    """The length of each unit's vector of incoming weights: over all axes but the last."""
    axes = tuple(range(weights.ndim - 1)) if weights.ndim > 1 else (0,)
    return sqrt(total(square(weights), axes, keepdims=True))


class NonNegative(Constraint):
    """W ≥ 0: W ← max(W, 0).

    >>> import kedja as kj
    >>> NonNegative()(kj.tensor([-1.0, 2.0])).numpy().tolist()
    [0.0, 2.0]
    """

    def apply(self, weights: Tensor) -> Tensor:
        return maximum(weights, 0.0)


class MaxNorm(Constraint):
    """‖w‖ ≤ c for the incoming weights of every unit: w ← w · min(1, c / ‖w‖).  Source: Srivastava et al. 2014.

    >>> import kedja as kj
    >>> MaxNorm(1.0)(kj.tensor([[3.0], [4.0]])).numpy().tolist()
    [[0.6...], [0.8...]]
    """

    def __init__(self, most: float = 2.0) -> None:
        number = isinstance(most, int | float | np.number) and not isinstance(most, bool)
        if not number or not 0 < float(most) < np.inf:
            raise DataError(f"MaxNorm: most is the greatest length of a unit's weights, a number above 0; got {most!r}")
        self.most = float(most)

    def apply(self, weights: Tensor) -> Tensor:
        lengths = _lengths(weights)
        return weights * (minimum(lengths, self.most) / where(lengths > 0, lengths, 1.0))


class UnitNorm(Constraint):
    """‖w‖ = 1 for the incoming weights of every unit: w ← w / ‖w‖.

    >>> import kedja as kj
    >>> UnitNorm()(kj.tensor([[3.0], [4.0]])).numpy().tolist()
    [[0.6...], [0.8...]]
    """

    def apply(self, weights: Tensor) -> Tensor:
        lengths = _lengths(weights)
        return weights / where(lengths > 0, lengths, 1.0)


CLASSES: dict[str, type[Constraint]] = {c.__name__: c for c in (MaxNorm, NonNegative, UnitNorm)}
NAMES: dict[str, type[Constraint]] = {
    "max_norm": MaxNorm, "non_neg": NonNegative, "non_negative": NonNegative, "unit_norm": UnitNorm,
}  # fmt: skip


def get(constraint: Any) -> Constraint | None:
    """The constraint of this name, the object itself, or one from its saved configuration.

    >>> get("non_negative"), get({"class": "MaxNorm", "most": 3.0}), get(None)
    (NonNegative(), MaxNorm(most=3.0), None)
    """
    if constraint is None or isinstance(constraint, Constraint):
        return constraint
    if isinstance(constraint, dict):
        if constraint.get("class") not in CLASSES:
            raise one_of("constraint", constraint.get("class"), CLASSES)
        return CLASSES[constraint["class"]](**{k: v for k, v in constraint.items() if k != "class"})
    if isinstance(constraint, type):
        raise DataError(f"{constraint.__name__} is a class: write {constraint.__name__}(), with brackets")
    if not isinstance(constraint, str) or constraint.lower() not in NAMES:
        raise one_of("constraint", constraint, NAMES)
    return NAMES[constraint.lower()]()


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
