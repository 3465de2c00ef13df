"""What a contestant is: a network ready to train in one framework, in a process of its own."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.device.nets import NETS, TINY, Net

__all__ = ["CONTESTANTS", "PRECISIONS", "Contestant", "Task", "Timing", "fastest", "timed"]

PRECISIONS = ("float32", "tf32", "bf16")

# name: (module, the packages it needs, whether it takes part without --all, what it is)
CONTESTANTS: dict[str, tuple[str, tuple[str, ...], bool, str]] = {
    "kedja": ("bench.device.ours", ("jax",), True, "fit"),
    "jax": ("bench.device.with_jax", ("jax",), True, "hand-written jitted step, state donated"),
    "torch_compile": ("bench.device.with_torch", ("torch",), True, "torch.compile, channels last, fused SGD"),
    "torch_max": ("bench.device.with_torch", ("torch",), False, 'torch_compile with mode="max-autotune"'),
    "torch_eager": ("bench.device.with_torch", ("torch",), False, "channels last, fused SGD"),
}


@dataclass(frozen=True)
class Task:
    """One contestant's part of one measurement."""

    contestant: str
    workload: str
    precision: str
    batch: int
    steps: int
    tiny: bool = False
    device: str = "auto"

    @property
    def net(self) -> Net:
        """The network to train."""
        return (TINY if self.tiny else NETS)[self.workload]


@dataclass(frozen=True)
class Timing:
    """Seconds of the steps alone, and of the whole call that a user makes for them."""

    seconds: float
    call: float
    steps: int


def timed(run: Callable[[], Sequence[Any]], wait: Callable[[], object], steps: int) -> tuple[Timing, list[float]]:
    """How long `run` takes until all is done, and the mean of each pair of the losses it gives."""
    wait()
    began = time.perf_counter()
    losses = run()
    wait()
    seconds = time.perf_counter() - began
    each = [float(loss) for loss in losses]
    return Timing(seconds, seconds, steps), [sum(each[i : i + 2]) / 2 for i in range(0, steps, 2)]


def fastest(call: Callable[[], object], wait: Callable[[], object]) -> float:
    """Seconds of one call: the best of three times ten, after three that warm up."""
    for _ in range(3):
        call()
    best, count = math.inf, 10
    for _ in range(3):
        wait()
        began = time.perf_counter()
        for _ in range(count):
            call()
        wait()
        best = min(best, (time.perf_counter() - began) / count)
    return best


class Contestant(ABC):
    """The network, the data on the device and the optimiser. Data are two batches, taken in turn, never shuffled."""

    @abstractmethod
    def reset(self) -> None:
        """Back to the common start with a fresh optimiser; what is compiled stays."""

    @abstractmethod
    def train(self, steps: int) -> tuple[Timing, list[float]]:
        """So many steps, an even number, finished on return; and the mean loss of each pair of steps."""

    @abstractmethod
    def ceiling(self, n: int) -> float:
        """FLOP/s of products of n×n matrices in the precision of the task."""

    @abstractmethod
    def memory(self) -> int | None:
        """The most bytes of the device that were in use at a time, where the framework tells."""

    @abstractmethod
    def device(self) -> tuple[str, str]:
        """Platform ("cpu", "gpu") and name of the device."""

    def describe(self) -> dict[str, Any]:
        """What else a reader should know."""
        return {}
