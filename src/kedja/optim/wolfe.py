"""A search along a line for a step that meets the strong Wolfe conditions.

With φ(t) = f(x + t d): φ(t) ≤ φ(0) + c₁ t φ′(0) (the loss falls enough) and |φ′(t)| ≤ c₂ |φ′(0)| (the slope flattens
enough). Steps are made longer until a minimum is enclosed, then the enclosure is made smaller by cubic interpolation.
Source: Nocedal and Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6; limits on the interpolated step as in
Schmidt's minFunc and PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from kedja.optim.minimizer import Point

__all__ = ["Trial", "cubic_minimum", "strong_wolfe"]

FALLS, FLATTENS = 1e-4, 0.9  # c₁ and c₂


class Trial(NamedTuple):
    """A step t along the line: φ(t), φ′(t), and the point there."""

    t: float
    value: float
    slope: float
    point: Point

    @property
    def finite(self) -> bool:
        """Whether value and slope are."""
        return math.isfinite(self.value) and math.isfinite(self.slope)


def cubic_minimum(a: Trial, b: Trial, low: float, high: float) -> float:
    """Where the cubic with the values and slopes of two trials is least, kept in [low, high]; its middle where nowhere.

    Source: Nocedal and Wright, equation 3.59.

    >>> from types import SimpleNamespace as At
    >>> cubic_minimum(At(t=0.0, value=1.0, slope=-2.0), At(t=3.0, value=4.0, slope=4.0), 0.0, 3.0)
    1.0
    """
    a, b = (a, b) if a.t <= b.t else (b, a)
    first = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    inside = first * first - a.slope * b.slope
    if not inside >= 0:
        return (low + high) / 2
    root = math.sqrt(inside)
    bottom = b.slope - a.slope + 2 * root
    t = b.t - (b.t - a.t) * ((b.slope + root - first) / bottom) if bottom else math.nan
    return min(max(t, low), high) if math.isfinite(t) else (low + high) / 2


class Line:
    """The line, its start, and how often it may still be asked."""

    def __init__(self, along: Callable[[float], Trial], start: Trial, most: int) -> None:
        self.along, self.start, self.left = along, start, most

    def ask(self, t: float) -> Trial:
        self.left -= 1
        return self.along(t)

    def high(self, trial: Trial) -> bool:
        """Whether the loss has not fallen enough there."""
        return not trial.value <= self.start.value + FALLS * trial.t * self.start.slope

    def flat(self, trial: Trial) -> bool:
        """Whether the slope has flattened enough there."""
        return abs(trial.slope) <= -FLATTENS * self.start.slope


def strong_wolfe(
    along: Callable[[float], Trial], start: Trial, first: float, most: int = 25, shortest: float = 0.0
) -> Trial:  # fmt: skip
    """A trial that meets the conditions, or the lowest one found after `most` more than one evaluations.

    `start` is the trial at t = 0, `first` the step tried first. An enclosure shorter than `shortest` is not divided. A
    step where the loss is not finite is halved.
    """
    line = Line(along, start, most + 1)
    before, trial = start, line.ask(first)
    number = 0
    while True:
        while not trial.finite and line.left:
            trial = line.ask((before.t + trial.t) / 2)
        if not trial.finite:
            return start
        if not line.left:
            return narrowed(line, start, trial, shortest)
        if line.high(trial) or (number > 1 and trial.value >= before.value):
            return narrowed(line, before, trial, shortest)
        if line.flat(trial):
            return trial
        if trial.slope >= 0:
            return narrowed(line, before, trial, shortest)
        further = cubic_minimum(before, trial, trial.t + 0.01 * (trial.t - before.t), 10 * trial.t)
        before, trial = trial, line.ask(further)
        number += 1


def narrowed(line: Line, a: Trial, b: Trial, shortest: float) -> Trial:
    """The enclosure between two trials, divided until a trial in it meets the conditions; the lower end at last."""
    low, high = (a, b) if a.value <= b.value else (b, a)
    stuck = False
    while line.left and abs(high.t - low.t) > shortest:
        left, right = min(low.t, high.t), max(low.t, high.t)
        t = cubic_minimum(low, high, left, right)
        # A step near an end twice in a row, or at it, is moved a tenth of the way inwards.
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        trial = line.ask(t)
        if not trial.finite or line.high(trial) or trial.value >= low.value:
            high = trial
            if trial.finite and trial.value < low.value:  # lower than the low end, and yet not low enough for its step
                low, high = trial, low
        else:
            if line.flat(trial):
                return trial
            if trial.slope * (high.t - low.t) >= 0:
                high = low
            low = trial
    return low
