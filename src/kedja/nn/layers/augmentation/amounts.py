"""The numbers of augmentations: each is checked whenever it is set."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kedja.errors import DataError, ShapeError, one_of

__all__: list[str] = []

FILLS = ("constant", "nearest", "reflect")


def number(low: float, high: float, told: str, *, below: bool = False) -> Callable[[str, Any], float]:
    """A check for a number from `low` to `high` (`below`: less than it); `told` says what the number is."""

    def check(what: str, value: Any) -> float:
        fits = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        found = float(value) if fits else math.nan
        if not low <= found <= high or (below and found == high) or math.isinf(found):
            hint = f" For {found:g} % write {found / 100:g}." if high == 1 and 1 < found <= 100 else ""
            raise DataError(f"{what} is {told}; got {value!r}.{hint}")
        return found

    return check


ANY = math.inf
share = number(0, 1, "a share of the size, from 0 to 1")
chance = number(0, 1, "a probability, from 0 to 1")
angle = number(0, 180, "the largest angle in degrees, from 0 to 180")
slant = number(0, 90, "the largest angle in degrees, at least 0 and below 90", below=True)
factor = number(0, ANY, "how far the factor goes beyond 1, a number of at least 0 (0.2: from 1/1.2 to 1.2)")
contrast = number(0, 1, "how far the factor goes from 1, a number from 0 to 1 (0.2: from 0.8 to 1.2)")
step = number(0, ANY, "the largest that is added or taken away, a number of at least 0")
pixel = number(-ANY, ANY, "the number that stands where there was nothing")


def as_fill(value: Any) -> str:
    """What stands beyond the edge."""
    if value not in FILLS:
        raise one_of("fill", value, FILLS)
    return str(value)


def as_axes(value: Any) -> tuple[int, ...] | None:
    """The axes that are meant, from one number, several, or None for all."""
    if value is None:
        return None
    found = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not found or any(isinstance(a, bool) or not isinstance(a, int | np.integer) for a in found):
        raise DataError(f"axes are whole numbers, one or several; got {value!r}")
    return tuple(int(a) for a in found)


def expect_axes(axes: tuple[int, ...] | None, shape: tuple[int, ...]) -> None:
    """Refuse the axis of the rows, that of the channels, and those that are not there."""
    for axis in axes or ():
        if not 0 < axis < len(shape) - 1:
            known = ", ".join(str(i) for i in range(1, len(shape) - 1))
            raise ShapeError(f"axis {axis} is not one that {shape} can be changed along: {known} (0 is the rows)")
