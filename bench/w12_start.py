"""W12: from a cold process to a trained XOR: interpreter, imports, building, compiling, 1,000 epochs, exit.

The other benchmarks forgive a slow start; a person at a prompt does not. kedja is timed twice: with an empty compile
cache, as on the first day, and with one that an earlier process filled. Peers are compared with the first. W12.first
is the same for one epoch of W3's network. `python -m bench.w12_start ID CONTESTANT` is the process that is timed.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import w1_xor
from bench.harness import OURS, Contestant, Goal
from bench.process import last_line, write_down
from bench.results import Limit, Progress, Result, Row, Settings
from bench.spread import Spread

__all__ = ["BENCHMARKS", "ColdStart"]

EPOCHS = 1000
WARM = "kedja_warm"
CONTESTANTS = {
    OURS: "empty compile cache",
    WARM: "compile cache of an earlier process",
    "torch_eager": "plain loop",
    "jax_loop": "hand-written, all steps in one fori_loop",
    "keras_jax": "model.fit",
}
OPTIONAL = ("keras_jax",)


def digits_like() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """4,000 rows of 784 numbers in ten classes, from NumPy alone: a peer must not pay for another's loader."""
    draw = np.random.default_rng(3)
    return draw.random((4000, 784), np.float32), draw.integers(10, size=4000)


def first_epoch() -> Mapping[str, Contestant]:
    """Who trains W3's network; imported here, so that W12 does not pay for it."""
    from bench.dense import DenseNet
    from bench.dense_contestants import contestants

    net = DenseNet((784, 100, 10), "sigmoid", "adam", rate=1e-3, data=digits_like, batch=32, check_steps=125)
    return contestants(net, shown=("torch_eager", "jax_loop"), optional=("keras_jax",))


@dataclass(frozen=True)
class ColdStart:
    """Whole processes, alternating, timed from outside."""

    id: str
    title: str
    contestants: Callable[[], Mapping[str, Contestant]]
    epochs: int
    limits: Mapping[str, Limit] = field(default_factory=dict)
    goals: Mapping[str, Goal] = field(default_factory=dict)

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """All contestants in turn, round after round; the first round fills caches and is not counted."""
        rows = {
            name: Row(name, unit="s", note=CONTESTANTS[name], goal=self._goal(name)) for name in _taking_part(settings)
        }
        seconds: dict[str, list[float]] = {name: [] for name in rows}
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(settings.repeats + 1):
                for name, row in rows.items():
                    if row.status == "ok":
                        progress(f"{self.id}: {name}, round {turn} of {settings.repeats}")
                        taken = self._attempt(name, row, settings, Path(folder), turn)
                        seconds[name] += [taken] if turn and taken is not None else []
        for name, row in rows.items():
            if row.status == "ok":
                row.time = Spread.of(seconds[name])
                if name != OURS and OURS in rows and rows[OURS].status == "ok":
                    row.ratios = [theirs / ours for ours, theirs in zip(seconds[OURS], seconds[name], strict=True)]
                    row.ratio = Spread.of(row.ratios)
                self._judge(row)
        return Result(self.id, self.title, list(rows.values()))

    def _goal(self, name: str) -> str:
        return str(self.limits.get(name, self.goals.get(name, "")))

    def _judge(self, row: Row) -> None:
        assert row.time is not None
        if row.contestant in self.limits:
            row.verdict = self.limits[row.contestant].judge(row.time.median)
        elif row.contestant in self.goals and row.ratio is not None:
            row.verdict = self.goals[row.contestant].judge(row.ratio.median)

    def _attempt(self, name: str, row: Row, settings: Settings, folder: Path, turn: int) -> float | None:
        """Seconds of one process, or None after writing down why there are none."""
        try:
            return _process(self, name, settings, folder / ("warm" if name == WARM else f"empty {turn}"))
        except subprocess.CalledProcessError as error:
            write_down(error, row, judged=name in (OURS, WARM))
        return None


def _taking_part(settings: Settings) -> list[str]:
    if settings.contestants:
        return [name for name in CONTESTANTS if name in settings.contestants]
    return [name for name in CONTESTANTS if settings.everyone or name not in OPTIONAL]


def _process(what: ColdStart, name: str, settings: Settings, cache: Path) -> float:
    contestant = what.contestants()[OURS if name == WARM else name]
    for package in contestant.requires:  # asked here, so that the process that is timed does not have to
        if importlib.util.find_spec(package) is None:
            raise subprocess.CalledProcessError(1, name, stderr=f"ModuleNotFoundError: needs {package}")
    start = time.perf_counter()
    arguments = ["-m", "bench.w12_start", what.id, name, json.dumps(asdict(settings))]
    last_line(arguments, settings, {**contestant.environment, "KEDJA_CACHE": str(cache)})
    return time.perf_counter() - start


def main(id: str, name: str, settings: Settings) -> None:
    """Train, and end."""
    what = next(one for one in BENCHMARKS if one.id == id)
    trainer = what.contestants()[OURS if name == WARM else name].build(settings)
    trainer.train(what.epochs)
    print(float(trainer.weights()[0].sum()))


BENCHMARKS = [
    ColdStart(
        "W12",
        f"process start to XOR trained for {EPOCHS:,} epochs, SGD(0.5)",
        partial(w1_xor.trainers, "sgd"),
        EPOCHS,
        limits={OURS: Limit(1.5, "s"), WARM: Limit(0.9, "s")},
        goals={"torch_eager": Goal(now=1)},
    ),
    ColdStart(
        "W12.first", "process start to the first epoch of 784-100-10 trained, 125 steps, Adam(0.001)", first_epoch, 1
    ),
]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Settings(**json.loads(sys.argv[3])))
