"""The conditions of Robbins and Monro on a learning-rate schedule: Σε = ∞ and Σε² < ∞ (scope 4.4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["RobbinsMonro", "Tail", "judged"]

LENGTHS = (1_000, 100_000)  # steps after which the partial sums are shown


class Tail(NamedTuple):
    """How a rate behaves for ever: like k^−power. 0: it stays above some number; ∞: it falls faster than any power.

    `why` says so in words. Σ k^−p is infinite for p ≤ 1, so both conditions hold for ½ < p ≤ 1.
    """

    power: float
    why: str


@dataclass(frozen=True)
class RobbinsMonro:
    """The verdict: which condition holds and why, with partial sums (steps, Σε, Σε²). It is true when both hold."""

    sum_diverges: bool
    squares_converge: bool
    reason: str
    partial_sums: tuple[tuple[int, float, float], ...]

    @property
    def holds(self) -> bool:
        """Whether both conditions hold."""
        return self.sum_diverges and self.squares_converge

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        def grown(column: int) -> str:
            first, *rest = [(_figure(row[column]), f"{row[0]:,}") for row in self.partial_sums]
            return ", ".join([f"{first[0]} after {first[1]} steps", *(f"{value} after {n}" for value, n in rest)])

        word = {True: "yes", False: "no "}
        return "\n".join(
            (
                f"Robbins-Monro conditions: {'met' if self.holds else 'not met'}, {self.reason}",
                f"  Σε = ∞   {word[self.sum_diverges]}  {grown(1)}",
                f"  Σε² < ∞  {word[self.squares_converge]}  {grown(2)}",
            )
        )


def _figure(value: float) -> str:
    return f"{value:,.4g}" if value < 1e4 else f"{value:.3g}"


def judged(tail: Tail, rates: Callable[[Any], Any]) -> RobbinsMonro:
    """The verdict that follows from how the rate behaves for ever; the partial sums are for illustration."""
    with np.errstate(over="ignore"):
        all_rates = np.asarray(rates(np.arange(max(LENGTHS))), np.float64)
        sums = tuple((n, float(all_rates[:n].sum()), float((all_rates[:n] ** 2).sum())) for n in LENGTHS)
    power = -math.inf if math.isnan(tail.power) else tail.power
    return RobbinsMonro(power <= 1, power > 0.5, tail.why, sums)
