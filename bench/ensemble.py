"""ensemble: eight networks 64-32-10 in one program beside eight fits one after the other.

Digits of 8×8, 1,797 rows, batch 32, Adam(0.001), whole epochs; each network has starting weights and an order of rows
of its own, the same in both. The goal: at most 0.75 of the time of eight fits, a ratio of at least 1.334.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import OURS, Agreement, Contestant, Goal, Trainer, Weights, Workload
from bench.judge import cross_entropy
from bench.results import Settings

__all__ = ["BENCHMARKS"]

MEMBERS, BATCH, RATE = 8, 32, 1e-3


@cache
def training_rows() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All 1,797 digits as (1797, 64) pixels in [0, 1] and their labels."""
    import kedja

    x, y = kedja.data.load("digits")
    return np.asarray(x, np.float32) / 16, np.asarray(y, np.int64).ravel()


def loss(weights: Weights) -> float:
    """Mean cross-entropy over the rows and over the members, in float64."""
    x, y = training_rows()
    found = []
    for k in range(0, len(weights), 4):
        w1, b1, w2, b2 = weights[k : k + 4]
        found.append(cross_entropy(np.maximum(x @ w1 + b1, 0) @ w2 + b2, y))
    return float(np.mean(found))


def check(trainer: Trainer) -> float:
    """The mean loss after one epoch: the same starting weights and orders for all that shuffle for themselves."""
    trainer.reset()
    trainer.train(1)
    return loss(trainer.weights())


def network() -> Any:
    """One member."""
    import kedja as kj

    return kj.Sequential([kj.nn.Dense(32, activation="relu"), kj.nn.Dense(10)])


def arguments(epochs: int) -> dict[str, Any]:
    """What all are fitted with."""
    import kedja as kj

    return {
        "loss": "cross_entropy", "optimizer": kj.optim.Adam(RATE), "epochs": epochs, "batch_size": BATCH, "verbose": 0,
    }  # fmt: skip


class Together(Trainer):
    """`Ensemble.fit`."""

    def __init__(self, settings: Settings, shuffle: bool | str = True) -> None:
        import kedja as kj

        self.ensemble, self.shuffle = kj.Ensemble(network(), MEMBERS), shuffle
        self.train(1)
        self.reset()

    def reset(self) -> None:
        self.ensemble.reset(0)

    def train(self, epochs: int) -> int:
        x, y = training_rows()
        self.ensemble.fit(x, y, seed=0, shuffle=self.shuffle, **arguments(epochs))
        return MEMBERS * epochs * -(-len(x) // BATCH)

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for member in self.ensemble for w in member.get_weights()]


class OneByOne(Trainer):
    """Eight networks, `fit` for each; each keeps its compiled steps."""

    def __init__(self, settings: Settings) -> None:
        self.networks = [network() for _ in range(MEMBERS)]
        self.train(1)
        self.reset()

    def reset(self) -> None:
        for k, net in enumerate(self.networks):
            net.reset(k)

    def train(self, epochs: int) -> int:
        x, y = training_rows()
        for k, net in enumerate(self.networks):
            net.fit(x, y, seed=k, **arguments(epochs))
        return MEMBERS * epochs * -(-len(x) // BATCH)

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for net in self.networks for w in net.get_weights()]


BENCHMARKS = [
    Workload(
        id="ensemble",
        title="8 networks 64-32-10, relu, batch 32, Adam(0.001), 1,797 digits: in one program, or one by one",
        module=__name__,
        contestants={
            OURS: Contestant(Together, ("kedja", "jax"), note="Ensemble.fit; times are per step of one network"),
            "one_by_one": Contestant(
                OneByOne, ("kedja", "jax"), note="eight calls of fit; 1.334 is 0.75 of their time"
            ),
            "shared": Contestant(
                partial(Together, shuffle="shared"), ("kedja", "jax"), note='shuffle="shared": one order, other losses'
            ),
        },
        goals={"one_by_one": Goal(now=1.334)},
        agreement=Agreement(check, 1e-3, "mean loss after one epoch, starting weights and orders from the same seeds"),
        loss=loss,
        epochs=20,
        quick_epochs=10,
        warm_up_epochs=2,
    )
]
