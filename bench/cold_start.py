"""From a cold process to a trained XOR: interpreter, imports, building, compiling, 1,000 epochs, exit.

The other benchmarks forgive a slow start; a person at a prompt does not.
`python -m bench.cold_start CONTESTANT` is the process that is timed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from bench import w1_xor
from bench.harness import OURS
from bench.process import ROOT, child_environment, tail_of
from bench.results import Progress, Result, Row, Settings
from bench.spread import Spread

__all__ = ["BENCHMARKS", "ColdStart"]

EPOCHS = 1000
CONTESTANTS = (OURS, "torch_eager", "jax_loop")


@dataclass(frozen=True)
class ColdStart:
    """Whole processes, alternating, timed from outside."""

    id: str = "cold_start"
    title: str = f"process start to XOR trained for {EPOCHS:,} epochs, SGD(0.5)"

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """All contestants in turn, round after round; the first round fills caches and is not counted."""
        rows = {name: Row(name, unit="s") for name in CONTESTANTS}
        seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
        for turn in range(settings.repeats + 1):
            for name, row in rows.items():
                if row.status != "ok":
                    continue
                progress(f"{self.id}: {name}, round {turn} of {settings.repeats}")
                try:
                    taken = _process(name, settings)
                except subprocess.CalledProcessError as error:
                    tail = tail_of(error.stderr)
                    missing = "ModuleNotFoundError" in tail
                    row.status, row.note = ("not installed" if missing else "failed"), tail
                    row.verdict = "fail" if name == OURS and not missing else ""
                    continue
                if turn:
                    seconds[name].append(taken)
        for name, row in rows.items():
            if row.status == "ok":
                row.time = Spread.of(seconds[name])
                if name != OURS and rows[OURS].status == "ok":
                    row.ratios = [theirs / ours for ours, theirs in zip(seconds[OURS], seconds[name], strict=True)]
                    row.ratio = Spread.of(row.ratios)
        return Result(self.id, self.title, list(rows.values()))


def _process(name: str, settings: Settings) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "bench.cold_start", name, json.dumps(asdict(settings))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
        cwd=ROOT,
        env=child_environment(settings, w1_xor.trainers("sgd")[name].environment),
    )
    return time.perf_counter() - start


def main(name: str, settings: Settings) -> None:
    """Train and say the loss."""
    trainer = w1_xor.trainers("sgd")[name].build(settings)
    trainer.train(EPOCHS)
    print(w1_xor.loss(trainer.weights()))


BENCHMARKS = [ColdStart()]

if __name__ == "__main__":
    main(sys.argv[1], Settings(**json.loads(sys.argv[2])))
