"""The number of threads that suits a PyTorch contestant best: small networks run faster on one than on two."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["tune_threads"]

ENOUGH = 1.0  # seconds after which a trial ends, however few epochs it made: a step of milliseconds needs no more


def tune_threads(torch: Any, most: int, train: Callable[[int], int], warm: int, timed: int) -> None:
    """Set one thread or `most`, whichever trains `timed` epochs faster after `warm` that are not counted."""
    seconds = {}
    for threads in {1, most}:
        torch.set_num_threads(threads)
        _seconds(train, warm)
        seconds[threads] = _seconds(train, timed)
    torch.set_num_threads(min(seconds, key=lambda threads: seconds[threads]))


def _seconds(train: Callable[[int], int], epochs: int) -> float:
    """Seconds of an epoch, over so many of them or as many as are `ENOUGH`."""
    done, taken = 0, 0.0
    while done < epochs and taken < ENOUGH:
        some = min(max(1, done), epochs - done)  # 1, 1, 2, 4, …: calls that cost something themselves stay few
        start = time.perf_counter()
        train(some)
        taken += time.perf_counter() - start
        done += some
    return taken / done
