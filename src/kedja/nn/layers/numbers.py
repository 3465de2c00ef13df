"""Numbers of layers that may be changed at any time: checked whenever they are set, and saved as they then are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kedja.errors import DataError, ShapeError

__all__ = ["Number", "as_momentum", "as_number", "as_rate", "as_rate_or_none", "as_spread", "whole"]


class Number:
    """An attribute of a layer that is a number `check` has seen. Setting it later also changes the configuration.

    >>> from kedja.nn.layers import Dropout
    >>> layer = Dropout(0.5)
    >>> layer.rate = 0.25
    >>> layer.config()
    {'class': 'Dropout', 'rate': 0.25}
    """

    def __init__(self, check: Callable[[str, Any], Any]) -> None:
        self.check = check
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        return self if layer is None else layer.__dict__[self.name]

    def __set__(self, layer: Any, value: Any) -> None:
        number = self.check(f"{type(layer).__name__}: {self.name}", value)
        changed = self.name in layer.__dict__ and layer.__dict__[self.name] != number
        layer.__dict__[self.name] = number
        arguments = layer.__dict__.get("_arguments", {})
        if changed or self.name in arguments:
            arguments[self.name] = number


def _real(value: Any) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return float(value) if number else math.nan


def as_rate(what: str, value: Any) -> float:
    """A probability of dropping: 0 ≤ p < 1."""
    number = _real(value)
    if not 0 <= number < 1:
        hint = ""
        if number == 1:
            hint = " At 1 nothing would be left, and what is kept is divided by 1 − rate = 0."
        elif 1 < number <= 100:
            hint = f" For {number:g} % write {number / 100:g}."
        raise DataError(f"{what} is the probability of dropping, at least 0 and below 1; got {value!r}.{hint}")
    return number


def as_number(what: str, value: Any) -> float:
    """Any finite number."""
    number = _real(value)
    if not math.isfinite(number):
        raise DataError(f"{what} is a finite number; got {value!r}")
    return number


def as_rate_or_none(what: str, value: Any) -> Any:
    """A probability of dropping, or None for no dropping at all."""
    return None if value is None else as_rate(what, value)


def as_spread(what: str, value: Any) -> float:
    """A standard deviation: finite, at least 0."""
    number = _real(value)
    if not 0 <= number < math.inf:
        raise DataError(f"{what} is a standard deviation, a number of at least 0; got {value!r}")
    return number


def as_momentum(what: str, value: Any) -> float:
    """How much of a running average is kept at each step: 0 ≤ m ≤ 1."""
    number = _real(value)
    if not 0 <= number <= 1:
        raise DataError(
            f"{what} is the share of the running average that is kept, from 0 to 1; got {value!r}. "
            "(PyTorch's momentum is 1 minus this one; the number of features is found at the first call.)"
        )
    return number


def whole(what: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ShapeError(f"{what}, a whole number ≥ {least}; got {value!r}")
    return int(value)
