"""The number of threads that suits a PyTorch contestant best: small networks run faster on one than on two."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["tune_threads"]


def tune_threads(torch: Any, most: int, train: Callable[[int], int], warm: int, timed: int) -> None:
    """Set one thread or `most`, whichever trains `timed` epochs faster after `warm` that are not counted."""
    seconds = {}
    for threads in {1, most}:
        torch.set_num_threads(threads)
        train(warm)
        start = time.perf_counter()
        train(timed)
        seconds[threads] = time.perf_counter() - start
    torch.set_num_threads(min(seconds, key=lambda threads: seconds[threads]))
