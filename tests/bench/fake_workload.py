"""A workload of milliseconds for the harness's tests; workers import it by name."""

import os
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from bench.harness import OURS, Agreement, Contestant, Goal, Trainer, Weights, Workload
from bench.results import Settings


class Sleeper(Trainer):
    """Its step takes a known time and its weight counts the steps."""

    def __init__(self, settings: Settings, pause: float = 0.001, bias: float = 0.0, die_in_run: bool = False) -> None:
        print("a library that chatters on stdout")
        self.pause, self.bias, self.die_in_run = pause, bias, die_in_run
        self.reset()

    def reset(self) -> None:
        self.count = 0

    def train(self, epochs: int) -> int:
        if self.die_in_run and epochs > 2:
            print("the reason it died", file=sys.stderr, flush=True)
            os._exit(7)
        time.sleep(self.pause * epochs)
        self.count += epochs
        return epochs

    def weights(self) -> Weights:
        return [np.array([self.count + self.bias])]


def check(trainer: Trainer) -> float:
    trainer.reset()
    trainer.train(2)
    return float(trainer.weights()[0][0])


def broken(settings: Settings) -> Trainer:
    raise RuntimeError(f"cannot be set up in {Path(__file__).resolve()}")


HERE = {"PYTHONPATH": str(Path(__file__).parent)}
BENCHMARKS = [
    Workload(
        id="fake",
        title="sleeping",
        module="fake_workload",
        contestants={
            "slow": Contestant(partial(Sleeper, pause=0.004), environment=HERE),
            OURS: Contestant(Sleeper, environment=HERE),
            "wrong": Contestant(partial(Sleeper, pause=0.004, bias=1.0), environment=HERE),
            "absent": Contestant(Sleeper, requires=("no_such_package",), environment=HERE),
            "broken": Contestant(broken, environment=HERE),
            "mortal": Contestant(partial(Sleeper, die_in_run=True), environment=HERE),
            "spare": Contestant(Sleeper, environment=HERE, optional=True, share=0.5),
        },
        goals={"slow": Goal(now=2), "wrong": Goal(now=2), "absent": Goal(now=2), "mortal": Goal(later=1)},
        agreement=Agreement(check, 1e-6, "steps counted"),
        loss=lambda weights: float(weights[0][0]),
        epochs=10,
        quick_epochs=6,
        warm_up_epochs=1,
    )
]
