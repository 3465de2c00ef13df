"""Median and spread of a handful of repetitions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Spread"]


@dataclass(frozen=True)
class Spread:
    """Five-number summary. Medians, not means: a neighbour on the machine can only make a repetition slower."""

    median: float
    minimum: float
    maximum: float
    lower_quartile: float
    upper_quartile: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value; quartiles interpolate between the observed ones.

        >>> Spread.of([4.0, 1.0, 2.0, 3.0, 5.0]).upper_quartile
        4.0
        """
        if not values:
            raise ValueError("Spread.of got no values; it needs at least one repetition.")
        lower, median, upper = (
            statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        )
        return cls(median, min(values), max(values), lower, upper, len(values))

    def scaled(self, factor: float) -> Spread:
        """The same summary in another unit (factor > 0)."""
        return Spread(
            self.median * factor,
            self.minimum * factor,
            self.maximum * factor,
            self.lower_quartile * factor,
            self.upper_quartile * factor,
            self.count,
        )
