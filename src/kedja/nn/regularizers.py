"""Penalties on the size of weights (scope 5), with an α of its own for each layer or one for the whole model.

They are added to the loss that training lowers and reported apart from it. Their numbers are run-time scalars.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.elsewhere import Answering, missing
from kedja.errors import DataError, one_of
from kedja.graph.node import Tensor
from kedja.ops import absolute, square
from kedja.ops import sum as total

__all__ = ["L1", "L2", "Elastic", "Regularizer", "get"]


class Regularizer(Answering):
    """A penalty on one parameter. `scalars` names its numbers, `penalty` is its formula on the graph."""

    scalars: tuple[str, ...] = ("alpha",)

    def penalty(self, weights: Tensor) -> Tensor:
        """The penalty, a single number."""
        raise DataError(f"{type(self).__name__} does not say its penalty: define penalty(self, weights)")

    def __call__(self, weights: Tensor) -> Tensor:
        return self.penalty(weights)

    def scalar_values(self) -> list[float]:
        """The present numbers, in the order of `scalars`."""
        return [float(getattr(self, name)) for name in self.scalars]

    def with_scalars(self, values: Sequence[Any]) -> Regularizer:
        """A copy whose numbers are these nodes, so that they stay run-time scalars of a program."""
        made = copy.copy(self)
        for name, value in zip(self.scalars, values, strict=True):
            setattr(made, name, value)
        return made

    def config(self) -> dict[str, Any]:
        """The class's name and its numbers, from which it can be made again."""
        return {"class": type(self).__name__, **{n: float(getattr(self, n)) for n in self.scalars}}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n):g}' for n in self.scalars)})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = object.__hash__


def strength(name: str, value: Any) -> float:
    """A penalty's strength: a finite number, at least 0."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= float(value) < float("inf"):
        raise DataError(f"{name} is the strength of a penalty, a number of at least 0; got {value!r}")
    return float(value)


class _Strength:
    """A penalty's number, checked whenever it is set; the node that stands for it in a program passes."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, penalty: Any, owner: type | None = None) -> float:
        if penalty is None:
            raise AttributeError(f"{self.name} belongs to a penalty, not to its class")
        number: float = penalty.__dict__[self.name]
        return number

    def __set__(self, penalty: Any, value: Any) -> None:
        penalty.__dict__[self.name] = value if isinstance(value, Tensor) else strength(self.name, value)


class L2(Regularizer):
    """(α/2) Σ W², which pulls weights towards 0 in proportion to their size (ridge, weight decay).

    With the loss mse it is scikit-learn's Ridge(nα/2).  Source: scope 5; Hoerl and Kennard 1970.
    Derivative: α W.

    >>> import kedja as kj
    >>> L2(0.1)(kj.tensor([[3.0, 4.0]])).item()
    1.25
    """

    alpha = _Strength()

    def __init__(self, alpha: float = 0.01) -> None:
        self.alpha = alpha

    def penalty(self, weights: Tensor) -> Tensor:
        return (0.5 * self.alpha) * total(square(weights))


class L1(Regularizer):
    """(α/2) Σ |W|, which makes weights exactly 0 (lasso).

    With the loss mse it is scikit-learn's Lasso(α/4).  Source: scope 5; Tibshirani 1996.
    Derivative: (α/2) sign(W), 0 where W = 0.

    >>> import kedja as kj
    >>> L1(0.5)(kj.tensor([[3.0, -4.0]])).item()
    1.75
    """

    alpha = _Strength()

    def __init__(self, alpha: float = 0.01) -> None:
        self.alpha = alpha

    def penalty(self, weights: Tensor) -> Tensor:
        return (0.5 * self.alpha) * total(absolute(weights))


class Elastic(Regularizer):
    """(α₁/2) Σ |W| + (α₂/2) Σ W²: both at once (elastic net).  Source: scope 5; Zou and Hastie 2005.

    Derivative: (α₁/2) sign(W) + α₂ W.

    >>> import kedja as kj
    >>> Elastic(0.5, 1.0)(kj.tensor([[3.0, -4.0]])).item()
    14.25
    """

    scalars = ("l1", "l2")
    l1, l2 = _Strength(), _Strength()

    def __init__(self, l1: float = 0.01, l2: float = 0.01) -> None:
        self.l1, self.l2 = l1, l2

    def penalty(self, weights: Tensor) -> Tensor:
        return (0.5 * self.l1) * total(absolute(weights)) + (0.5 * self.l2) * total(square(weights))


CLASSES: dict[str, type[Regularizer]] = {c.__name__: c for c in (L1, L2, Elastic)}
NAMES: dict[str, type[Regularizer]] = {
    "elastic": Elastic,
    "l1": L1,
    "l1_l2": Elastic,
    "l2": L2,
    "lasso": L1,
    "ridge": L2,
}


def get(regularizer: Any) -> Regularizer | None:
    """The penalty of this name with its defaults, a number (the α of an L2), the object itself, or a saved one.

    "none" is no penalty: `fit(regularizer="none")` goes on without the one of the last call.

    >>> get("l1"), get(0.5), get("none")
    (L1(alpha=0.01), L2(alpha=0.5), None)
    """
    if regularizer is None or isinstance(regularizer, Regularizer):
        return regularizer
    if regularizer == "none":
        return None
    if isinstance(regularizer, type):
        raise DataError(f"{regularizer.__name__} is a class: write {regularizer.__name__}(0.01), with its strength")
    if isinstance(regularizer, dict):
        if regularizer.get("class") not in CLASSES:
            raise one_of("regularizer", regularizer.get("class"), CLASSES)
        return CLASSES[regularizer["class"]](**{k: v for k, v in regularizer.items() if k != "class"})
    if isinstance(regularizer, int | float | np.number) and not isinstance(regularizer, bool):
        return L2(float(regularizer))
    if not isinstance(regularizer, str) or regularizer.lower() not in NAMES:
        raise one_of("regularizer", regularizer, [*NAMES, "none"])
    return NAMES[regularizer.lower()]()


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
