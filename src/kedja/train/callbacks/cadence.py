"""How often a callback is told: `every="epoch"`, `every="5 epochs"`, `every="step"`, `every=100` or `"100 steps"`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.errors import DataError

__all__ = ["Cadence", "cadence"]


@dataclass(frozen=True)
class Cadence:
    """So many steps, or so many epochs. Both are counted over all calls of `fit`, as the run numbers them."""

    count: int
    unit: str  # "step" or "epoch"

    def steps(self, steps_per_epoch: int) -> int:
        """The same in steps."""
        return self.count * (steps_per_epoch if self.unit == "epoch" else 1)

    def __str__(self) -> str:
        return f"every {self.unit}" if self.count == 1 else f"every {self.count} {self.unit}s"


def cadence(every: Any, who: str = "every") -> Cadence:
    """What `every` means; `who` is named when it means nothing.

    >>> [str(cadence(every)) for every in ("epoch", "step", 100, "100 steps", "5 epochs")]
    ['every epoch', 'every step', 'every 100 steps', 'every 100 steps', 'every 5 epochs']
    """
    if every == "auto":  # it decides by itself, between two steps
        return Cadence(1, "epoch")
    count, unit = every, "step"
    if isinstance(every, str):
        found = re.fullmatch(r"\s*(?:(\d+)\s+)?(step|epoch)s?\s*", every)
        count, unit = (int(found[1] or 1), found[2]) if found else (0, "")
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise DataError(
            f'{who}: every is "epoch", "step", a number of steps such as 100, or such as "5 epochs"; got {every!r}'
        )
    return Cadence(int(count), unit)
