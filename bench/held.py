"""Workloads that are also held against what the machine can do, measured just before and just after."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from bench.harness import OURS, Workload, compare
from bench.process import write_down
from bench.results import Progress, Result, Row, Settings
from bench.spread import Spread

__all__ = ["Held"]


@dataclass(frozen=True)
class Held(Workload):
    """A step is `amount` (flops, bytes); the machine does at most `rate` of that a second, which is called `limit`."""

    limit: str
    amount: float
    rate: Callable[[Settings], float]
    noted: Callable[[float, float], str]
    """A note on (the rate, the share in per cent)."""
    share: float | None = None
    """The part of the rate that is the goal."""

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """The limit before and after, the contestants in between."""
        row = Row(
            f"kedja of the {self.limit}", unit="%", goal="" if self.share is None else f"≥ {100 * self.share:g} %"
        )
        rates: list[float] = []
        result = Result(self.id, self.title, [])
        for measured in (False, True):
            try:
                progress(f"{self.id}: the {self.limit}")
                rates.append(self.rate(settings))
            except subprocess.CalledProcessError as error:
                write_down(error, row)
            if not measured:
                result = compare(self, settings, progress)
        ours = next((one for one in result.rows if one.contestant == OURS), None)
        if row.status == "ok" and ours is not None and ours.time is not None:
            self.hold(row, ours.time, max(rates))
            result.rows.append(row)
        return result

    def hold(self, row: Row, microseconds: Spread, rate: float) -> None:
        """Write into the row how much of the rate steps that take this long reach."""
        least = 100 * self.amount / rate * 1e6
        row.time = Spread(
            median=least / microseconds.median,
            minimum=least / microseconds.maximum,
            maximum=least / microseconds.minimum,
            lower_quartile=least / microseconds.upper_quartile,
            upper_quartile=least / microseconds.lower_quartile,
            count=microseconds.count,
        )
        if self.share is not None:
            row.verdict = "pass" if row.time.median >= 100 * self.share else "fail"
        row.note = self.noted(rate, row.time.median)
        row.extra = {"rate": rate, "amount": self.amount}
