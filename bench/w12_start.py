"""W12: from a cold process to a trained XOR: interpreter, imports, building, compiling, 1,000 epochs, exit.

The other benchmarks forgive a slow start; a person at a prompt does not. kedja is timed twice: with an empty compile
cache, as on the first day, and with one that an earlier process filled. Peers are compared with the first.
`python -m bench.w12_start CONTESTANT` is the process that is timed.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import w1_xor
from bench.harness import OURS, Goal
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
    "keras_jax": "model.fit, one step an epoch",
}
OPTIONAL = ("keras_jax",)
LIMITS = {OURS: Limit(1.5, "s"), WARM: Limit(0.9, "s")}
GOALS = {"torch_eager": Goal(now=1)}


@dataclass(frozen=True)
class ColdStart:
    """Whole processes, alternating, timed from outside."""

    id: str = "W12"
    title: str = f"process start to XOR trained for {EPOCHS:,} epochs, SGD(0.5)"

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """All contestants in turn, round after round; the first round fills caches and is not counted."""
        rows = {name: Row(name, unit="s", note=CONTESTANTS[name], goal=_goal(name)) for name in _taking_part(settings)}
        seconds: dict[str, list[float]] = {name: [] for name in rows}
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(settings.repeats + 1):
                for name, row in rows.items():
                    if row.status == "ok":
                        progress(f"{self.id}: {name}, round {turn} of {settings.repeats}")
                        taken = _attempt(name, row, settings, Path(folder), turn)
                        seconds[name] += [taken] if turn and taken is not None else []
        for name, row in rows.items():
            if row.status == "ok":
                row.time = Spread.of(seconds[name])
                if name != OURS and OURS in rows and rows[OURS].status == "ok":
                    row.ratios = [theirs / ours for ours, theirs in zip(seconds[OURS], seconds[name], strict=True)]
                    row.ratio = Spread.of(row.ratios)
                _judge(row)
        return Result(self.id, self.title, list(rows.values()))


def _taking_part(settings: Settings) -> list[str]:
    if settings.contestants:
        return [name for name in CONTESTANTS if name in settings.contestants]
    return [name for name in CONTESTANTS if settings.everyone or name not in OPTIONAL]


def _goal(name: str) -> str:
    return str(LIMITS.get(name, GOALS.get(name, "")))


def _judge(row: Row) -> None:
    assert row.time is not None
    if row.contestant in LIMITS:
        row.verdict = LIMITS[row.contestant].judge(row.time.median)
    elif row.contestant in GOALS and row.ratio is not None:
        row.verdict = GOALS[row.contestant].judge(row.ratio.median)


def _attempt(name: str, row: Row, settings: Settings, folder: Path, turn: int) -> float | None:
    """Seconds of one process, or None after writing down why there are none."""
    try:
        return _process(name, settings, folder / ("warm" if name == WARM else f"empty {turn}"))
    except subprocess.CalledProcessError as error:
        write_down(error, row, judged=name in LIMITS)
    return None


def _process(name: str, settings: Settings, cache: Path) -> float:
    contestant = w1_xor.trainers("sgd")[OURS if name == WARM else name]
    for package in contestant.requires:  # asked here, so that the process that is timed does not have to
        if importlib.util.find_spec(package) is None:
            raise subprocess.CalledProcessError(1, name, stderr=f"ModuleNotFoundError: needs {package}")
    start = time.perf_counter()
    arguments = ["-m", "bench.w12_start", name, json.dumps(asdict(settings))]
    last_line(arguments, settings, {**contestant.environment, "KEDJA_CACHE": str(cache)})
    return time.perf_counter() - start


def main(name: str, settings: Settings) -> None:
    """Train and say the loss."""
    trainer = w1_xor.trainers("sgd")[OURS if name == WARM else name].build(settings)
    trainer.train(EPOCHS)
    print(w1_xor.loss(trainer.weights()))


BENCHMARKS = [ColdStart()]

if __name__ == "__main__":
    main(sys.argv[1], Settings(**json.loads(sys.argv[2])))
