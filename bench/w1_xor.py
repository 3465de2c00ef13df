"""W1: XOR with 2-4-1 units, where every microsecond is overhead, none is arithmetic.

tanh hidden, sigmoid output, mean squared error, full batch of four rows; SGD(0.5) and Adam(0.01).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from bench.harness import OURS, Agreement, Contestant, Goal, Trainer, Weights, Workload
from bench.jax_rules import EPSILON, UpdateRule
from bench.results import Settings
from bench.start import initial_weights
from bench.threads import tune_threads
from bench.trainers import KedjaFit, KerasFit, TorchLoop

__all__ = ["BENCHMARKS", "Rule", "trainers"]

Rule = Literal["sgd", "adam"]
RATES: dict[Rule, float] = {"sgd": 0.5, "adam": 0.01}
RULES: tuple[tuple[Rule, str], ...] = (("sgd", "SGD"), ("adam", "Adam"))
X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([[0], [1], [1], [0]], np.float32)
START = initial_weights([2, 4, 1], seed=1)
CHECK_EPOCHS = 500


def loss(weights: Weights) -> float:
    """Mean squared error over the four rows, in float64."""
    w1, b1, w2, b2 = weights
    output = 1 / (1 + np.exp(-(np.tanh(X @ w1 + b1) @ w2 + b2)))
    return float(np.mean((output - Y) ** 2))


def check(trainer: Trainer) -> float:
    """The loss after a few hundred steps from the shared start."""
    trainer.reset()
    trainer.train(CHECK_EPOCHS)
    return loss(trainer.weights())


class Xor:
    """What is learned, as trainers take it: all rows at once, in their order."""

    batch = None

    def data(self) -> tuple[Any, Any]:
        """The four rows."""
        return X, Y

    def start(self) -> Any:
        """The weights everyone starts from."""
        return START


class Kedja(KedjaFit[Xor]):
    """Steady state of `fit`: one call trains all epochs."""

    shuffle = False

    def __init__(self, settings: Settings, rule: Rule) -> None:
        import kedja as kj

        net = kj.Sequential([kj.nn.Dense(4, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
        super().__init__(Xor(), net, kj.optim.SGD(RATES[rule]) if rule == "sgd" else kj.optim.Adam(RATES[rule]), "mse")


class TorchEager(TorchLoop[Xor]):
    """The plain loop of every PyTorch tutorial."""

    def __init__(self, settings: Settings, rule: Rule, **options: Any) -> None:
        super().__init__(settings, Xor())
        self.rule, self.options = rule, options
        nn = self.torch.nn
        self.net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Sigmoid())
        self.criterion = nn.MSELoss()
        self.reset()

    def fresh_optimizer(self) -> Any:
        choose = self.torch.optim.SGD if self.rule == "sgd" else self.torch.optim.Adam
        return choose(self.parameters(), lr=RATES[self.rule], **self.options)

    def tune(self) -> None:
        """One thread or all of them, whichever is faster."""
        tune_threads(self.torch, self.threads, self.train, warm=200, timed=1000)

    def train(self, epochs: int) -> int:
        net, optimizer, criterion, x, y = self.net, self.optimizer, self.criterion, self.inputs, self.labels
        for _ in range(epochs):
            optimizer.zero_grad()
            criterion(net(x), y).backward()
            optimizer.step()
        return epochs


class JaxLoop(Trainer):
    """What a JAX expert would write by hand: all steps in one compiled loop, gradients by jax.grad."""

    def __init__(self, settings: Settings, rule: Rule) -> None:
        import jax
        import jax.numpy as jnp

        self.wait: Callable[[Any], Any] = jax.block_until_ready
        self.rule = UpdateRule(rule, RATES[rule])

        def error(weights: list[Any], x: Any, y: Any) -> Any:
            w1, b1, w2, b2 = weights
            return jnp.mean((jax.nn.sigmoid(jnp.tanh(x @ w1 + b1) @ w2 + b2) - y) ** 2)

        @jax.jit
        def run(carry: Any, steps: Any, x: Any, y: Any) -> Any:
            def body(_: Any, carry: Any) -> Any:
                return self.rule.moved(carry, jax.grad(error)(carry[0], x, y))

            return jax.lax.fori_loop(0, steps, body, carry)

        self.run = run
        self.x, self.y = jnp.asarray(X), jnp.asarray(Y)
        self.reset()

    def reset(self) -> None:
        self.carry = self.rule.carry(START)

    def train(self, epochs: int) -> int:
        self.carry = self.wait(self.run(self.carry, epochs, self.x, self.y))
        return epochs

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for w in self.carry[0]]


class Keras(KerasFit[Xor]):
    """`model.fit`, one step an epoch."""

    shuffle = False

    def __init__(self, settings: Settings, rule: Rule) -> None:
        import keras

        layers = [keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1, activation="sigmoid")]
        optimizers, rate = keras.optimizers, RATES[rule]
        optimizer = optimizers.SGD(rate) if rule == "sgd" else optimizers.Adam(rate, epsilon=EPSILON)
        super().__init__(Xor(), keras.Sequential([keras.Input((2,)), *layers]), optimizer, "mse")


def trainers(rule: Rule) -> dict[str, Contestant]:
    """All contestants of one update rule."""

    def contestant(build: Callable[..., Trainer], *requires: str, **details: Any) -> Contestant:
        return Contestant(partial(build, rule=rule), requires, **details)

    contestants = {
        OURS: contestant(Kedja, "kedja", "jax", note="one fit call, steady state"),
        "torch_eager": contestant(TorchEager, "torch", note="plain loop, 1 or 2 threads, the faster"),
        "jax_loop": contestant(JaxLoop, "jax", note="hand-written, all steps in one fori_loop"),
        "keras_jax": contestant(
            Keras,
            "keras",
            "jax",
            environment={"KERAS_BACKEND": "jax"},
            optional=True,
            share=0.02,
            note="model.fit, one step an epoch",
        ),
    }
    if rule == "adam":
        fused = partial(TorchEager, fused=True)
        contestants["torch_fused"] = contestant(fused, "torch", optional=True, note="torch_eager with Adam(fused=True)")
    return contestants


BENCHMARKS = [
    Workload(
        id=f"W1.{rule}",
        title=f"XOR 2-4-1, tanh and sigmoid, mse, full batch, {name}({RATES[rule]:g})",
        module=__name__,
        contestants=trainers(rule),
        goals={"torch_eager": Goal(now=60), "jax_loop": Goal(now=0.95)},
        agreement=Agreement(check, 1e-3, f"loss after {CHECK_EPOCHS} steps from the same weights"),
        loss=loss,
        epochs=20_000,
        quick_epochs=5_000,
        warm_up_epochs=50,
    )
    for rule, name in RULES
]
