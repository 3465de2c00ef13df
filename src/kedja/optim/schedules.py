"""Learning-rate schedules ε₀, ε₁, ε₂, … (scope 4.4): ε_k is the rate of the step that comes after k others.

Give one to an optimiser in place of its rate: ``kj.optim.SGD(kj.schedules.Cosine(0.1, steps=1000))``. Steps are those
of the optimiser, one a batch; `schedule.per_epoch(n)` counts in epochs of n steps instead. Lowering the rate when the
loss stops falling depends on the run and so is a callback, `kj.callbacks.ReduceOnPlateau`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from kedja.elsewhere import missing
from kedja.errors import DataError, one_of
from kedja.graph.node import Tensor, tensor
from kedja.ops import cast, cos, expand_dims, maximum, minimum, where
from kedja.ops import sum as total
from kedja.optim.robbins_monro import RobbinsMonro, Tail
from kedja.optim.schedule import Schedule, above, at_least, get, periods, share, whole

__all__ = [
    "Chain", "Constant", "Cosine", "CosineRestarts", "Exponential", "InverseTime", "OneCycle", "PerEpoch", "Piecewise",
    "Polynomial", "RobbinsMonro", "Schedule", "StepDecay", "WarmUp", "get",
]  # fmt: skip


def settled(end: float, steps: str) -> Tail:
    """The tail of a schedule that stays at `end` after some steps."""
    if end > 0:
        return Tail(0, f"the rate stays at {end:.4g} after {steps}")
    return Tail(math.inf, f"the rate is 0 after {steps}")


def geometric(factor: float, steps: str) -> Tail:
    """The tail of a rate that is multiplied by `factor` every so often."""
    if factor == 1:
        return Tail(0, "the rate stays the same")
    if factor > 1:
        return Tail(-math.inf, f"the rate grows by {factor:.4g} every {steps}")
    return Tail(math.inf, f"the rate falls by {factor:.4g} every {steps}, a geometric series with a finite sum")


def half_cosine(share: Tensor) -> Tensor:
    """From 1 at 0 down to 0 at 1, flat at both ends: (1 + cos πs)/2."""
    return 0.5 * (1.0 + cos(math.pi * share))


# --- one formula ----------------------------------------------------------------------------------------------------
class Constant(Schedule):
    """ε_k = ε₀.

    >>> Constant(0.1).at([0, 1000]).tolist()
    [0.1, 0.1]
    """

    def __init__(self, rate: float) -> None:
        self.rate = above("Constant", "rate", rate)

    def formula(self, k: Tensor) -> Tensor:
        return self.rate + 0.0 * k

    def tail(self) -> Tail:
        return Tail(0, f"the rate stays at {self.rate:.4g}")


class StepDecay(Schedule):
    """ε_k = ε₀ f^⌊k/n⌋: multiplied by the factor f every n steps.

    >>> StepDecay(0.1, every=10, factor=0.5).at([0, 9, 10, 20]).tolist()
    [0.1, 0.1, 0.05, 0.025]
    """

    def __init__(self, rate: float, every: int, factor: float = 0.1) -> None:
        self.rate = above("StepDecay", "rate", rate)
        self.every = whole("StepDecay", "every", every)
        self.factor = above("StepDecay", "factor", factor)

    def formula(self, k: Tensor) -> Tensor:
        return self.rate * self.factor ** periods(k, self.every)

    def tail(self) -> Tail:
        return geometric(self.factor, f"{self.every:,} steps")


class Piecewise(Schedule):
    """ε_k = rates[i] for boundaries[i−1] ≤ k < boundaries[i]: a list of rates, and the steps at which each next begins.

    >>> Piecewise([100, 200], [0.1, 0.01, 0.001]).at([0, 99, 100, 200]).tolist()
    [0.1, 0.1, 0.01, 0.001]
    """

    def __init__(self, boundaries: Sequence[int], rates: Sequence[float]) -> None:
        self.boundaries = rising("Piecewise", boundaries)
        self.rates = tuple(at_least("Piecewise", f"rates[{i}]", r) for i, r in enumerate(rates))
        one_more("Piecewise", self.boundaries, "rates", self.rates)

    def formula(self, k: Tensor) -> Tensor:
        rate = self.rates[0] + 0.0 * k
        for boundary, following in zip(self.boundaries, self.rates[1:], strict=True):
            rate = where(k >= boundary, following, rate)
        return rate

    def tail(self) -> Tail:
        return settled(self.rates[-1], f"{self.boundaries[-1] if self.boundaries else 0:,} steps")


class Exponential(Schedule):
    """ε_k = ε₀ f^(k/n): multiplied by the factor f in n steps, a little at each.

    >>> Exponential(0.1, steps=100, factor=0.25).at([0, 50, 100]).tolist()
    [0.1, 0.05, 0.025]
    """

    def __init__(self, rate: float, steps: float = 1, factor: float = 0.99) -> None:
        self.rate = above("Exponential", "rate", rate)
        self.steps = above("Exponential", "steps", steps)
        if self.steps < 1:
            raise DataError(
                f"Exponential: steps is after how many steps the rate is multiplied by the factor, at least 1; got "
                f"{steps!r}. Was the factor meant? Exponential({rate!r}, factor={steps!r})"
            )
        self.factor = above("Exponential", "factor", factor)

    def formula(self, k: Tensor) -> Tensor:
        return self.rate * self.factor ** (k / self.steps)

    def tail(self) -> Tail:
        return geometric(self.factor, f"{self.steps:,.6g} steps")


class Polynomial(Schedule):
    """ε_k = ε_e + (ε₀ − ε_e)(1 − min(k, n)/n)^p: from ε₀ to the end rate in n steps; a straight line for p = 1.

    >>> Polynomial(0.1, steps=10, end=0.02).at([0, 5, 10, 20]).round(4).tolist()
    [0.1, 0.06, 0.02, 0.02]
    """

    def __init__(self, rate: float, steps: int, end: float = 0.0, power: float = 1.0) -> None:
        self.rate = at_least("Polynomial", "rate", rate)
        self.steps = whole("Polynomial", "steps", steps)
        self.end = at_least("Polynomial", "end", end)
        self.power = above("Polynomial", "power", power)

    def formula(self, k: Tensor) -> Tensor:
        left = 1.0 - minimum(k, self.steps) / self.steps
        return self.end + (self.rate - self.end) * left**self.power

    def tail(self) -> Tail:
        return settled(self.end, f"{self.steps:,} steps")


class InverseTime(Schedule):
    """ε_k = ε₀ / (1 + k/n)^p: the notes' 1/k for p = 1, n = 1; half of ε₀ after n steps, a third after 2n.

    With ½ < p ≤ 1 it meets the Robbins-Monro conditions. Keras's decay_rate/decay_steps is 1/n.

    >>> InverseTime(0.1, steps=10).at([0, 10, 40]).tolist()
    [0.1, 0.05, 0.02]
    """

    def __init__(self, rate: float, steps: float = 1, power: float = 1.0) -> None:
        self.rate = above("InverseTime", "rate", rate)
        self.steps = above("InverseTime", "steps", steps)
        self.power = above("InverseTime", "power", power)

    def formula(self, k: Tensor) -> Tensor:
        return self.rate / (1.0 + k / self.steps) ** self.power

    def tail(self) -> Tail:
        def over(power: float) -> str:
            return "1/k" if power == 1 else f"1/k^{power:.4g}"

        first, second = ("finite" if p > 1 else "infinite" for p in (self.power, 2 * self.power))
        once, twice = over(self.power), over(2 * self.power)
        return Tail(self.power, f"the rate falls as {once}: the sum of {once} is {first}, that of {twice} {second}")


class Cosine(Schedule):
    """ε_k = ε_e + (ε₀ − ε_e)(1 + cos(π min(k, n)/n))/2: half a cosine from ε₀ down to the end rate in n steps.

    Source: Loshchilov and Hutter 2017.

    >>> Cosine(0.1, steps=100).at([0, 50, 100]).round(6).tolist()
    [0.1, 0.05, 0.0]
    """

    def __init__(self, rate: float, steps: int, end: float = 0.0) -> None:
        self.rate = above("Cosine", "rate", rate)
        self.steps = whole("Cosine", "steps", steps)
        self.end = at_least("Cosine", "end", end)

    def formula(self, k: Tensor) -> Tensor:
        return self.end + (self.rate - self.end) * half_cosine(minimum(k, self.steps) / self.steps)

    def tail(self) -> Tail:
        return settled(self.end, f"{self.steps:,} steps")


class CosineRestarts(Schedule):
    """Cosines one after the other: round i lasts n mⁱ steps and goes from fⁱ ε₀ down to the end rate, f = `factor`.

    ε_k = ε_e + fⁱ(ε₀ − ε_e)(1 + cos πs)/2, s the share of the round that is over. m = `multiplier` is a whole number.
    Source: Loshchilov and Hutter 2017 (SGDR).

    >>> CosineRestarts(0.1, steps=10, multiplier=2).at([0, 5, 10, 20, 30]).round(6).tolist()
    [0.1, 0.05, 0.1, 0.05, 0.1]
    """

    structural = ("multiplier",)

    def __init__(
        self, rate: float, steps: int, multiplier: int = 1, end: float = 0.0, factor: float = 1.0
    ) -> None:  # fmt: skip
        self.rate = above("CosineRestarts", "rate", rate)
        self.steps = whole("CosineRestarts", "steps", steps)
        self.multiplier = whole("CosineRestarts", "multiplier", multiplier)
        self.end = at_least("CosineRestarts", "end", end)
        self.factor = above("CosineRestarts", "factor", factor)

    def formula(self, k: Tensor) -> Tensor:
        if self.multiplier == 1:
            rounds = periods(k, self.steps)
            over = k / self.steps - rounds
        else:
            # Lengths of rounds, in units of the first; their sums are where each begins. 2³¹ steps are enough.
            lengths = [self.multiplier**i for i in range(int(31 / math.log2(self.multiplier)))]
            begins = np.cumsum(lengths, dtype=np.float64)
            later = expand_dims(k, -1) + 0.5 >= self.steps * tensor(begins, dtype=k.dtype)
            marks = cast(later, k.dtype)
            rounds = total(marks, -1)
            begun = total(marks * tensor(np.array(lengths, np.float64), dtype=k.dtype), -1)
            longer = np.diff([*lengths, lengths[-1] * self.multiplier]).astype(np.float64)
            length = 1.0 + total(marks * tensor(longer, dtype=k.dtype), -1)
            over = (k / self.steps - begun) / length
        over = minimum(maximum(over, 0.0), 1.0)
        return self.end + self.factor**rounds * (self.rate - self.end) * half_cosine(over)

    def tail(self) -> Tail:
        if self.end > 0:
            return Tail(0, f"the rate never falls below {self.end:.4g}")
        if self.multiplier == 1 or self.factor >= 1:
            known = geometric(self.factor, f"{self.steps:,} steps")
            return known._replace(why="the rate comes back to its start in every round") if self.factor == 1 else known
        power = -math.log(self.factor) / math.log(self.multiplier)
        how = f"by {self.factor:.4g} from round to round, each {self.multiplier} times as long"
        return Tail(power, f"the rate falls {how}: as 1/k^{power:.3g}")


class OneCycle(Schedule):
    """ε_k = s + (p − s) h(k/u) for k ≤ u, then e + (p − e) h((n − k)/(n − u)), with u = `warm` · n: up, then down.

    Both ways are half cosines (``shape="cosine"``) or straight lines ("linear"). The start rate is `start_factor` times
    the peak, the end rate `end_factor` times.  Source: Smith and Topin 2018.

    >>> OneCycle(1.0, steps=100).at([0, 15, 30, 65, 100]).round(3).tolist()
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """

    structural = ("shape",)

    def __init__(
        self, peak: float, steps: int, warm: float = 0.3, start_factor: float = 0.04, end_factor: float = 4e-6,
        shape: str = "cosine",
    ) -> None:  # fmt: skip
        self.peak = above("OneCycle", "peak", peak)
        self.steps = whole("OneCycle", "steps", steps)
        self.warm = share("OneCycle", "warm", warm)
        self.start_factor = at_least("OneCycle", "start_factor", start_factor)
        self.end_factor = at_least("OneCycle", "end_factor", end_factor)
        if shape not in ("cosine", "linear"):
            raise one_of("shape of OneCycle", shape, ("cosine", "linear"))
        self.shape = shape

    def formula(self, k: Tensor) -> Tensor:
        over = minimum(k / self.steps, 1.0)
        climbed, descended = minimum(over / self.warm, 1.0), maximum(over - self.warm, 0.0) / (1.0 - self.warm)
        if self.shape == "cosine":
            climbed, descended = 1.0 - half_cosine(climbed), 1.0 - half_cosine(descended)
        up = self.start_factor + (1.0 - self.start_factor) * climbed
        down = 1.0 + (self.end_factor - 1.0) * descended
        rate: Tensor = self.peak * where(over < self.warm, up, down)
        return rate

    def tail(self) -> Tail:
        return settled(self.peak * self.end_factor, f"{self.steps:,} steps")


# --- made of others -------------------------------------------------------------------------------------------------
class WarmUp(Schedule):
    """ε_k = s + (ε₀ − s) k/n for the first n steps, where ε₀ is the first rate of another schedule; then that schedule.

    The other schedule counts its steps from the end of the warm-up. A number is a constant schedule. From s = 0 the
    first step does not move.  Source: Goyal et al. 2017.

    >>> WarmUp(0.1, steps=10).at([0, 5, 10, 99]).tolist()
    [0.0, 0.05, 0.1, 0.1]
    >>> WarmUp(Cosine(0.1, steps=100), steps=10).at([10, 60, 110]).round(6).tolist()
    [0.1, 0.05, 0.0]
    """

    def __init__(self, schedule: Schedule | float, steps: int, start: float = 0.0) -> None:
        self.schedule = get(schedule)
        self.steps = whole("WarmUp", "steps", steps)
        self.start = at_least("WarmUp", "start", start)

    def formula(self, k: Tensor) -> Tensor:
        first = self.schedule.at(0.0 * k)
        rising = self.start + (first - self.start) * (k / self.steps)
        return where(k < self.steps, rising, self.schedule.at(maximum(k - self.steps, 0.0)))

    def tail(self) -> Tail:
        found = self.schedule.tail()
        return found._replace(why=f"after the warm-up {found.why}")


class Chain(Schedule):
    """ε_k = ε_i(k − b_i) for b_i ≤ k < b_j, j = i + 1: schedules one after the other, each with its own count of steps.

    >>> Chain([Constant(0.1), Polynomial(0.1, steps=10)], [100]).at([0, 100, 105, 200]).tolist()
    [0.1, 0.1, 0.05, 0.0]
    """

    def __init__(self, schedules: Sequence[Schedule | float], boundaries: Sequence[int]) -> None:
        self.schedules = tuple(get(s) for s in schedules)
        self.boundaries = rising("Chain", boundaries)
        one_more("Chain", self.boundaries, "schedules", self.schedules)

    def formula(self, k: Tensor) -> Tensor:
        rate: Tensor = self.schedules[0].at(k)
        for boundary, following in zip(self.boundaries, self.schedules[1:], strict=True):
            rate = where(k >= boundary, following.at(maximum(k - boundary, 0.0)), rate)
        return rate

    def tail(self) -> Tail:
        found = self.schedules[-1].tail()
        return found._replace(why=f"in the last of its parts {found.why}") if self.boundaries else found


class PerEpoch(Schedule):
    """ε_k = the rate of another schedule at ⌊k/n⌋: its steps are epochs of n steps.  Made by `schedule.per_epoch(n)`.

    >>> PerEpoch(Exponential(0.1, factor=0.5), 100).at([0, 99, 100, 200]).tolist()
    [0.1, 0.1, 0.05, 0.025]
    """

    def __init__(self, schedule: Schedule | float, steps: int) -> None:
        self.schedule = get(schedule)
        self.steps = whole("per_epoch", "steps_per_epoch", steps)

    def formula(self, k: Tensor) -> Tensor:
        rate: Tensor = self.schedule.at(periods(k, self.steps))
        return rate

    def tail(self) -> Tail:
        found = self.schedule.tail()
        return found._replace(why=f"counted in epochs {found.why}")


# --- lists ----------------------------------------------------------------------------------------------------------
def rising(owner: str, boundaries: Any) -> tuple[int, ...]:
    """Numbers of steps that rise, the first at least 1."""
    found = tuple(whole(owner, f"boundaries[{i}]", b) for i, b in enumerate(boundaries))
    for before, after in pairwise(found):
        if after <= before:
            raise DataError(f"{owner}: boundaries must rise, and {after} comes after {before}")
    return found


def one_more(owner: str, boundaries: Sequence[Any], name: str, parts: Sequence[Any]) -> None:
    """Raise unless there is one part more than there are boundaries between them."""
    if len(parts) != len(boundaries) + 1:
        raise DataError(
            f"{owner}: {len(boundaries)} boundaries lie between {len(boundaries) + 1} {name}, got {len(parts)}"
        )


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
