"""W10: an LSTM of 128 units over sequences of 64 steps with 32 features, ten classes read from the last state.

Batch 32, Adam(0.001), 512 sequences made from a seed: a wave whose frequency is the class, in noise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import OURS, Agreement, Contestant, Goal, Trainer, Weights, Workload
from bench.jax_rules import EPSILON, UpdateRule
from bench.judge import cross_entropy
from bench.results import Settings
from bench.start import epoch_order
from bench.trainers import KedjaFit, KerasFit, RowTrainer, TorchLoop

__all__ = ["BENCHMARKS", "loss", "sequences", "start"]

UNITS, STEPS, FEATURES, CLASSES = 128, 64, 32, 10
ROWS, BATCH, RATE, SEED = 512, 32, 1e-3, 10
CHECKED = 8 * BATCH  # rows trained on before losses are compared
JUDGED = 128  # rows on which the loss is computed

Array = NDArray[np.float32]


@cache
def sequences() -> tuple[Array, NDArray[np.int64]]:
    """(rows, steps, features) and a class for each row."""
    draw = np.random.default_rng(SEED)
    y = draw.integers(CLASSES, size=ROWS)
    time = np.arange(STEPS)[None, :, None]
    phase = draw.uniform(0, 2 * np.pi, FEATURES)
    wave = np.sin(2 * np.pi * (y[:, None, None] + 1) * time / STEPS + phase)
    return (wave + draw.normal(0, 0.5, wave.shape)).astype(np.float32), y


@cache
def start() -> list[Array]:
    """[W (in, 4 units), U (units, 4 units), b, V (units, classes), d], gates in the order i, f, g, o; b is 1 at f."""
    draw = np.random.default_rng(SEED + 1)
    scales = ((FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (UNITS, CLASSES))
    kernel, recurrent, head = (draw.normal(0, n_in**-0.5, (n_in, out)).astype(np.float32) for n_in, out in scales)
    bias = np.zeros(4 * UNITS, np.float32)
    bias[UNITS : 2 * UNITS] = 1
    return [kernel, recurrent, bias, head, np.zeros(CLASSES, np.float32)]


def loss(weights: Weights) -> float:
    """Mean cross-entropy over the first rows, in float64."""
    kernel, recurrent, bias, head, offset = weights
    x, y = sequences()[0][:JUDGED].astype(np.float64), sequences()[1][:JUDGED]
    h = c = np.zeros((JUDGED, len(recurrent)))
    for t in range(STEPS):
        i, f, g, o = np.split(x[:, t] @ kernel + bias + h @ recurrent, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
    return cross_entropy(h @ head + offset, y)


def check(trainer: Trainer) -> float:
    """The loss after a few steps from the same weights over the same batches."""
    assert isinstance(trainer, RowTrainer)
    trainer.reset()
    trainer.train_in_order(epoch_order(ROWS, epoch=0, seed=SEED)[:CHECKED])
    return loss(trainer.weights())


class Waves:
    """What is learned, as trainers take it."""

    batch = BATCH
    data = staticmethod(sequences)
    start = staticmethod(start)


class Kedja(KedjaFit[Waves]):
    """`fit`, with its own shuffling."""

    def __init__(self, settings: Settings) -> None:
        import kedja as kj

        super().__init__(Waves(), kj.Sequential([kj.nn.LSTM(UNITS), kj.nn.Dense(CLASSES)]), kj.optim.Adam(RATE))


class Torch(TorchLoop[Waves]):
    """The plain loop over `nn.LSTM`, sequences held time first, the layout it computes in.

    Its second bias stays 0 and is not trained: Adam would move both, and the sum of two is another network's bias.
    """

    def __init__(self, settings: Settings, compiled: bool = False) -> None:
        super().__init__(settings, Waves())
        torch = self.torch
        self.inputs = self.inputs.transpose(0, 1).contiguous()
        self.lstm, self.head = torch.nn.LSTM(FEATURES, UNITS), torch.nn.Linear(UNITS, CLASSES)
        self.lstm.get_parameter("bias_hh_l0").requires_grad_(False).zero_()

        def classes(x: Any) -> Any:
            return self.head(self.lstm(x)[0][-1])

        self.forward = torch.compile(classes) if compiled else classes
        self.reset()

    def parameters(self) -> list[Any]:
        lstm, head = self.lstm, self.head
        return [lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, head.weight, head.bias]

    def fresh_optimizer(self) -> Any:
        return self.torch.optim.Adam(self.parameters(), lr=RATE, eps=EPSILON, fused=True)

    def rows(self, chosen: Any) -> tuple[Any, Any]:
        return self.inputs[:, chosen], self.labels[chosen]


class JaxScan(RowTrainer[Waves]):
    """By hand in JAX: x W for all steps at once, `lax.scan` over the rest, an epoch of steps in one compiled loop."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Waves())
        import jax
        import jax.numpy as jnp

        self.wait: Callable[[Any], Any] = jax.block_until_ready
        self.inputs, self.labels = jnp.asarray(self.x.swapaxes(0, 1)), jnp.asarray(self.y)
        self.draw = np.random.default_rng(0)

        def error(weights: list[Any], x: Any, y: Any) -> Any:
            kernel, recurrent, bias, head, offset = weights

            def step(state: Any, z: Any) -> Any:
                h, c = state
                i, f, g, o = jnp.split(z + h @ recurrent, 4, axis=1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

            zeros = jnp.zeros((x.shape[1], UNITS))
            (h, _), _ = jax.lax.scan(step, (zeros, zeros), x @ kernel + bias)
            found = jax.nn.log_softmax(h @ head + offset)
            return -jnp.mean(jnp.take_along_axis(found, y[:, None], axis=1))

        self.rule = UpdateRule("adam", RATE)

        @jax.jit
        def epoch(carry: Any, order: Any, x: Any, y: Any) -> Any:
            def body(carry: Any, rows: Any) -> Any:
                return self.rule.moved(carry, jax.grad(error)(carry[0], x[:, rows], y[rows])), None

            return jax.lax.scan(body, carry, order)[0]

        self.epoch = epoch
        self.reset()

    def reset(self) -> None:
        self.carry = self.rule.carry(start())

    def train(self, epochs: int) -> int:
        for _ in range(epochs):
            self.train_in_order(self.draw.permutation(ROWS))
        return self.steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        self.carry = self.wait(self.epoch(self.carry, order.reshape(-1, BATCH), self.inputs, self.labels))

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for w in self.carry[0]]


class Keras(KerasFit[Waves]):
    """`model.fit`, with its own shuffling; Keras's gates stand in the same order as ours."""

    def __init__(self, settings: Settings) -> None:
        import keras

        layers = [keras.layers.LSTM(UNITS), keras.layers.Dense(CLASSES)]
        model = keras.Sequential([keras.Input((STEPS, FEATURES)), *layers])
        super().__init__(Waves(), model, keras.optimizers.Adam(RATE, epsilon=EPSILON))


BENCHMARKS = [
    Workload(
        id="W10",
        title="LSTM 128 over 64 steps of 32 features, 10 classes, cross-entropy, batch 32, Adam(0.001), 512 sequences",
        module=__name__,
        contestants={
            OURS: Contestant(Kedja, ("kedja", "jax"), note="fit"),
            "torch_eager": Contestant(Torch, ("torch",), note="plain loop, nn.LSTM, Adam(fused=True)"),
            "torch_compile": Contestant(
                partial(Torch, compiled=True), ("torch",), optional=True, note="torch_eager with torch.compile(net)"
            ),
            "jax_scan": Contestant(
                JaxScan, ("jax",), optional=True, note="hand-written, an epoch of steps in one program"
            ),
            "keras_jax": Contestant(
                Keras, ("keras", "jax"), {"KERAS_BACKEND": "jax"}, optional=True, share=0.5, note="model.fit"
            ),
        },
        goals={"torch_eager": Goal(now=1.3)},
        agreement=Agreement(check, 1e-3, "loss after eight steps from the same weights over the same batches"),
        loss=loss,
        epochs=4,
        quick_epochs=1,
        warm_up_epochs=1,
    )
]
