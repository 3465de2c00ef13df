"""ceiling: what the machine itself can do, in float32: the best rate of a matrix product, and the rate of a copy.

A workload's share of the ceiling says how much of a step is anything but arithmetic. `matmul_rate` and
`copy_rate` are for other files.
`python -m bench.ceiling NAME SETTINGS WHAT` is the process that is timed; it writes {"what": [rates]} as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.process import last_line, write_down
from bench.results import Progress, Result, Row, Settings
from bench.spread import Spread
from bench.worker import restrict_cores

__all__ = ["BENCHMARKS", "Ceiling", "copy_rate", "matmul_rate", "measured"]

# (m, k, n): the products of a wide layer forward and back, and two squares.
SHAPES = ((256, 4096, 4096), (4096, 256, 4096), (1024, 1024, 1024), (2048, 2048, 2048))
COPIED = 256 * 2**20  # bytes, far beyond every cache
SECONDS = 0.25  # how long one rate is taken over
PACKAGES = {"xla": "jax", "numpy": "numpy", "torch": "torch"}

Rates = dict[str, list[float]]
Task = Callable[[], object]
Library = tuple[Callable[[Any, Any], Task], Callable[[Any], Task]]  # how it multiplies two matrices, and how it copies


@dataclass(frozen=True)
class Ceiling:
    """A row for the products of each library and one for its copies; the highest of each is the ceiling."""

    id: str = "ceiling"
    title: str = "the machine itself: float32 matrix products and copies"

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """One process a library, one after the other."""
        products: list[Row] = []
        copies: list[Row] = []
        for name in PACKAGES:
            progress(f"{self.id}: {name}")
            product, copy = Row(f"{name} matmul", unit="GFLOP/s"), Row(f"{name} copy", unit="GB/s")
            products.append(product)
            copies.append(copy)
            try:
                rates = measured(name, settings)
            except subprocess.CalledProcessError as error:
                write_down(error, product, copy)
                continue
            copy.time = Spread.of(rates.pop("copy"))
            copy.note = f"{COPIED >> 20} MB read and written, both counted"
            best = max(rates, key=lambda shape: Spread.of(rates[shape]).median)
            product.time, product.extra["rates"] = Spread.of(rates[best]), rates
            product.note = ", ".join(f"{shape}: {Spread.of(found).median:.0f}" for shape, found in rates.items())
        return Result(self.id, self.title, products + copies)


def measured(name: str, settings: Settings, what: str = "both") -> Rates:
    """GFLOP/s of each shape and GB/s of a copy by one library, some rates of each, in a process of its own.

    `what` is "matmul" or "copy" where one of them is enough.
    """
    rates: Rates = json.loads(last_line(["-m", "bench.ceiling", name, json.dumps(asdict(settings)), what], settings))
    return rates


def matmul_rate(settings: Settings) -> float:
    """The highest flops per second that XLA reached on any of the shapes.

    Raises subprocess.CalledProcessError where JAX is not installed.
    """
    return 1e9 * max(rate for rates in measured("xla", settings, "matmul").values() for rate in rates)


def copy_rate(settings: Settings) -> float:
    """The highest rate, in bytes read and written a second, at which XLA copied.

    Raises subprocess.CalledProcessError where JAX is not installed.
    """
    return 1e9 * max(measured("xla", settings, "copy")["copy"])


def main(name: str, settings: Settings, what: str = "both") -> None:
    """Time one library in this process; rounds go through all shapes, so that a slow moment hits one rate of each."""
    restrict_cores(settings.threads)
    product, copy = {"xla": _xla, "numpy": _numpy, "torch": _torch}[name](settings)
    tasks: dict[str, tuple[float, Task]] = {}
    if what != "copy":
        draw = np.random.default_rng(0)
        for m, k, n in SHAPES:
            a, b = draw.standard_normal((m, k), np.float32), draw.standard_normal((k, n), np.float32)
            tasks[f"{m}×{k}×{n}"] = 2.0 * m * k * n, product(a, b)
    if what != "matmul":
        tasks["copy"] = 2.0 * COPIED, copy(np.ones(COPIED // 4, np.float32))
    rates: Rates = {task: [] for task in tasks}
    calls = {task: _calls(work, settings) for task, (_, work) in tasks.items()}
    for _ in range(3 if settings.quick else max(5, settings.repeats)):
        for task, (amount, work) in tasks.items():
            start = time.perf_counter()
            for _ in range(calls[task]):
                work()
            rates[task].append(calls[task] * amount / (time.perf_counter() - start) / 1e9)
    print(json.dumps(rates))


def _calls(work: Task, settings: Settings) -> int:
    """How many calls take the time that is wanted, after two that warm up."""
    work()
    work()
    start = time.perf_counter()
    work()
    wanted = SECONDS / 5 if settings.quick else SECONDS
    return max(1, round(wanted / (time.perf_counter() - start)))


def _xla(settings: Settings) -> Library:
    """Products compiled by themselves; the copy changes its sign in place, since a mere copy would be compiled away."""
    import jax
    import jax.numpy as jnp

    wait: Any = jax.block_until_ready
    matmul, negative = jax.jit(jnp.matmul), jax.jit(jnp.negative, donate_argnums=0)

    def product(a: Any, b: Any) -> Task:
        left, right = jnp.asarray(a), jnp.asarray(b)
        return lambda: wait(matmul(left, right))

    def copy(long: Any) -> Task:
        kept = [jnp.array(long)]
        return lambda: kept.append(wait(negative(kept.pop())))

    return product, copy


def _numpy(settings: Settings) -> Library:
    """What NumPy's BLAS does into an array that is there; the copy is of one thread."""

    def product(a: Any, b: Any) -> Task:
        out = np.empty((a.shape[0], b.shape[1]), np.float32)
        return lambda: np.matmul(a, b, out=out)

    def copy(long: Any) -> Task:
        target = np.empty_like(long)
        return lambda: np.copyto(target, long)

    return product, copy


def _torch(settings: Settings) -> Library:
    """The same with PyTorch, whose copy uses all threads."""
    import torch

    torch.set_num_threads(settings.threads)

    def product(a: Any, b: Any) -> Task:
        left, right = torch.tensor(a), torch.tensor(b)
        out = torch.empty(a.shape[0], b.shape[1])
        return lambda: torch.mm(left, right, out=out)

    def copy(long: Any) -> Task:
        source = torch.tensor(long)
        target = torch.empty_like(source)
        return lambda: target.copy_(source)

    return product, copy


BENCHMARKS = [Ceiling()]

if __name__ == "__main__":
    main(sys.argv[1], Settings(**json.loads(sys.argv[2])), sys.argv[3])
