"""growth: how kedja's times grow with width, batch, depth, rows, parameters and nodes, and how long it compiles.

Each curve is fitted by a straight line through log size and log time: its slope is the exponent p of time ∝ sizeᵖ.
Small networks cost overhead whatever their size, so the slope between the two largest sizes stands beside it.
One process measures it all (`python -m bench.growth`), with the compile cache off.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.harness import OURS
from bench.process import last_line, write_down
from bench.results import Limit, Progress, Result, Row, Settings
from bench.spread import Spread

__all__ = ["BENCHMARKS", "Growth", "exponent"]

LINEAR = Limit(1.1)  # what a fitted exponent of something linear may be: caches get fuller
ENOUGH = 0.1  # seconds that one timed repetition takes at least
COMPILED = {
    "W1.sgd": "w1_xor", "W1.adam": "w1_xor", "W3": "w3_mlp", "W6": "w6_lenet", "W7": "w7_cnn", "W10": "w10_lstm",
}  # fmt: skip
NODES = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)


@dataclass(frozen=True)
class Curve:
    """One quantity that grows while the others stand still: `layers` says which widths a size means."""

    name: str
    sizes: tuple[int, ...]
    layers: Callable[[int], Sequence[int]]
    about: str
    batch: Callable[[int], int] = lambda size: 64
    rows: Callable[[int], int] = lambda size: 512
    features: int = 64
    whole_epochs: bool = False
    """The time of an epoch rather than of a step."""


CURVES = (
    Curve("width", (128, 256, 512, 1024), lambda n: (n, n), "64-n-n-10, batch 64"),
    Curve("batch", (16, 64, 256, 1024), lambda n: (100,), "784-100-10", lambda n: n, lambda n: 2 * n, 784),
    Curve("depth", (4, 8, 16, 32), lambda n: (64,) * n, "n layers of 64, batch 64"),
    Curve(
        "rows", (1_000, 4_000, 16_000, 64_000), lambda n: (64,), "64-64-10, batch 100, an epoch", lambda n: 100,
        lambda n: n, whole_epochs=True,
    ),
    Curve(
        "parameters", (10_000, 100_000, 1_000_000, 4_000_000), lambda n: (n // 1010,), "1000-n/1010-10, batch 4",
        lambda n: 4, features=1000,
    ),
)  # fmt: skip


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The p of value ∝ sizeᵖ, by least squares on logarithms.

    >>> round(exponent([1, 2, 4], [3.0, 12.0, 48.0]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


@dataclass(frozen=True)
class Growth:
    """All curves; the only goal is that a graph of many nodes is linear."""

    id: str = "growth"
    title: str = "exponents p of time ∝ sizeᵖ, Adam, float32; seconds to compile a step program"

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """One process; a curve a row."""
        progress(f"{self.id}: about a minute")
        try:
            found = _child(settings)
        except subprocess.CalledProcessError as error:
            failed = Row(OURS)
            write_down(error, failed, judged=True)
            return Result(self.id, self.title, [failed])
        rows = []
        for curve in CURVES:
            sizes, seconds, compiling = zip(*found["curves"][curve.name], strict=True)
            rows.append(
                _row(f"{'epoch' if curve.whole_epochs else 'step'} by {curve.name}", sizes, seconds, curve.about)
            )
            rows.append(_row(f"compile by {curve.name}", sizes, compiling, curve.about))
        sizes, seconds = zip(*found["nodes"], strict=True)
        nodes = _row("W11 by nodes", sizes, seconds, "build, differentiate, run")
        assert nodes.time is not None
        nodes.goal, nodes.verdict = str(LINEAR), LINEAR.judge(nodes.time.median)
        rows.append(nodes)
        for name, (trace, compiling) in found["compile"].items():
            note = f"the step program of {name}: lowering {trace:.2f} s, XLA and kernels {compiling:.2f} s, no cache"
            rows.append(Row(f"compile {name}", time=Spread.of([trace + compiling]), unit="s", note=note))
        return Result(self.id, self.title, rows)


def _row(name: str, sizes: Sequence[int], seconds: Sequence[float], about: str) -> Row:
    """A fitted exponent, with the points beside it."""
    unit, factor = ("s", 1.0) if seconds[-1] >= 1 else ("ms", 1e3)
    points = ", ".join(f"{size:,}: {value * factor:.3g}" for size, value in zip(sizes, seconds, strict=True))
    last = exponent(sizes[-2:], seconds[-2:])
    note = f"{about}; {points} {unit}; between the last two {last:.2f}"
    extra = {"sizes": list(sizes), "seconds": list(seconds), "last": last}
    return Row(name, time=Spread.of([exponent(sizes, seconds)]), unit="(exponent)", note=note, extra=extra)


def _child(settings: Settings) -> dict[str, Any]:
    arguments = ["-m", "bench.growth", json.dumps(asdict(settings))]
    found: dict[str, Any] = json.loads(last_line(arguments, settings, {"KEDJA_COMPILE_CACHE": "0"}, timeout=600))
    return found


# --- in the process of its own --------------------------------------------------------------------------------------
def points(curve: Curve, quick: bool) -> list[tuple[int, float, float]]:
    """(size, seconds of a step or epoch, seconds to compile) of each size."""
    import kedja as kj

    draw = np.random.default_rng(0)
    found = []
    for size in curve.sizes[:3] if quick else curve.sizes:
        rows, batch = curve.rows(size), curve.batch(size)
        x = draw.normal(size=(rows, curve.features)).astype(np.float32)
        y = draw.integers(10, size=rows)
        net = kj.Sequential([*(kj.nn.Dense(n, activation="relu") for n in curve.layers(size)), kj.nn.Dense(10)])

        def fit(epochs: int, net: Any = net, x: Any = x, y: Any = y, batch: int = batch) -> Any:
            return net.fit(
                x,
                y,
                loss="cross_entropy",
                optimizer=kj.optim.Adam(),
                epochs=epochs,
                batch_size=batch,
                seed=0,
                verbose=0,
            )

        compiling = fit(1).compile_seconds
        seconds = least_seconds(fit, 1 if quick else 3)
        found.append((size, seconds if curve.whole_epochs else seconds / -(-rows // batch), compiling))
    return found


def least_seconds(run: Callable[[int], Any], repeats: int) -> float:
    """Seconds of one epoch: the least of some repetitions of as many epochs as fill a tenth of a second."""
    epochs = 1
    times: list[float] = []
    while True:
        start = time.perf_counter()
        run(epochs)
        taken = time.perf_counter() - start
        if taken < ENOUGH and not times:
            epochs = max(epochs + 1, int(epochs * min(20.0, 1.2 * ENOUGH / taken)))
            continue
        times.append(taken / epochs)
        if len(times) == repeats:
            return min(times)


def nodes(settings: Settings) -> list[tuple[int, float]]:
    """(nodes, seconds) of W11."""
    from bench.w11_graph import Kedja

    found = []
    for n in NODES[:3] if settings.quick else NODES:
        grapher = Kedja(settings, n)
        grapher.train(1)
        found.append((n, least_seconds(grapher.train, 2)))
    return found


def compile_seconds(settings: Settings) -> dict[str, tuple[float, float]]:
    """(lowering, compiling) of the step programs of some workloads."""
    from kedja.train.training import training_of

    found = {}
    for name, module in COMPILED.items():
        workload = next(w for w in importlib.import_module(f"bench.{module}").BENCHMARKS if w.id == name)
        trainer: Any = workload.contestants[OURS].build(settings)
        trainer.train(1)
        reports = [loop.report for loop in training_of(trainer.net).loops.values()]
        found[name] = (sum(r.lower_seconds for r in reports), sum(r.compile_seconds for r in reports))
    return found


def main(settings: Settings) -> None:
    """Everything, as one line of JSON."""
    from bench.worker import restrict_cores

    restrict_cores(settings.threads)
    # Compile times first, while this process has compiled nothing else; a tiny program pays for JAX's own start.
    points(Curve("", (4,), lambda n: (n,), ""), quick=True)
    found: dict[str, Any] = {"compile": compile_seconds(settings)}
    found["curves"] = {curve.name: points(curve, settings.quick) for curve in CURVES}
    found["nodes"] = nodes(settings)
    print(json.dumps(found))


BENCHMARKS = [Growth()]

if __name__ == "__main__":
    main(Settings(**json.loads(sys.argv[1])))
