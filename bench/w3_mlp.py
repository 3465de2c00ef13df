"""W3: the first network everyone trains on digits, 784-100-10, batch 32, Adam(0.001), 4,000 rows of MNIST.

Whole epochs, the rows shuffled anew for each. All contestants hold the data in memory.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import OURS, Agreement, Contestant, Goal, Trainer, Weights, Workload
from bench.results import Settings
from bench.start import epoch_order, initial_weights
from bench.threads import tune_threads

__all__ = ["BENCHMARKS", "training_rows"]

BATCH, RATE, EPSILON = 32, 1e-3, 1e-8
START = initial_weights([784, 100, 10], seed=3)


@cache
def training_rows() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The 4,000 training rows of mnist_5k as (4000, 784) pixels in [0, 1] and their labels."""
    import kedja

    (x, y), _ = kedja.data.load("mnist_5k").split()
    x, y = np.asarray(x, np.float32).reshape(len(x), -1), np.asarray(y, np.int64)
    if x.shape != (4000, 784) or x.min() < 0 or x.max() != 1:
        raise ValueError(
            f"W3 trains on 4,000 rows of 784 pixels in [0, 1], but the split gave {x.shape}, to {x.max()}."
        )
    return x, y


def loss(weights: Weights) -> float:
    """Mean cross-entropy over the training rows, in float64."""
    x, y = training_rows()
    w1, b1, w2, b2 = weights
    logits = 1 / (1 + np.exp(-(x @ w1 + b1))) @ w2 + b2
    logits -= logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]))


class DigitTrainer(Trainer):
    """A trainer that can also be told the order of an epoch, so that all see the same batches in the check."""

    @abstractmethod
    def train_in_order(self, order: NDArray[np.int64]) -> None:
        """One epoch over the rows in this order."""


def check(trainer: Trainer) -> float:
    """The loss after one epoch from the same weights over the same batches."""
    assert isinstance(trainer, DigitTrainer)
    trainer.reset()
    trainer.train_in_order(epoch_order(len(training_rows()[0]), epoch=0, seed=3))
    return loss(trainer.weights())


def steps(epochs: int) -> int:
    """How many updates that many epochs make."""
    return epochs * -(-len(training_rows()[0]) // BATCH)


class Kedja(DigitTrainer):
    """`fit`, with its own shuffling."""

    def __init__(self, settings: Settings) -> None:
        import kedja as kj

        self.net = kj.Sequential([kj.nn.Dense(100, activation="sigmoid"), kj.nn.Dense(10)])
        self.optimizer = kj.optim.Adam(RATE)
        self.train(1)
        self.reset()

    def reset(self) -> None:
        self.net.reset()
        self.net.set_weights(START)

    def train(self, epochs: int) -> int:
        self._fit(*training_rows(), epochs=epochs, shuffle=True)
        return steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        x, y = training_rows()
        self._fit(x[order], y[order], epochs=1, shuffle=False)

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for w in self.net.get_weights()]

    def _fit(self, x: Any, y: Any, epochs: int, shuffle: bool) -> None:
        self.net.fit(
            x,
            y,
            loss="cross_entropy",
            optimizer=self.optimizer,
            epochs=epochs,
            batch_size=BATCH,
            seed=0,
            verbose=0,
            shuffle=shuffle,
        )


class TorchEager(DigitTrainer):
    """The plain loop over indexed tensors, kinder to PyTorch than a DataLoader, which collates row by row."""

    def __init__(self, settings: Settings, compiled: bool = False, **options: Any) -> None:
        import torch

        self.torch, self.options, self.threads = torch, options, settings.threads
        torch.set_num_threads(settings.threads)
        x, y = training_rows()
        self.x, self.y = torch.tensor(x), torch.tensor(y)
        self.net = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.Sigmoid(), torch.nn.Linear(100, 10))
        self.forward = torch.compile(self.net) if compiled else self.net
        self.reset()

    def reset(self) -> None:
        with self.torch.no_grad():
            for parameter, start in zip(self.net.parameters(), START, strict=True):
                parameter.copy_(self.torch.tensor(start.T))
        self.optimizer = self.torch.optim.Adam(self.net.parameters(), lr=RATE, eps=EPSILON, **self.options)

    def tune(self) -> None:
        """One thread or all of them, whichever is faster."""
        tune_threads(self.torch, self.threads, self.train, warm=1, timed=2)

    def train(self, epochs: int) -> int:
        for _ in range(epochs):
            self._epoch(self.torch.randperm(len(self.x)))
        return steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        self._epoch(self.torch.tensor(order))

    def weights(self) -> Weights:
        return [parameter.detach().numpy().T.astype(np.float64) for parameter in self.net.parameters()]

    def describe(self) -> dict[str, Any]:
        return {"threads": self.torch.get_num_threads()}

    def _epoch(self, order: Any) -> None:
        criterion = self.torch.nn.CrossEntropyLoss()
        for begin in range(0, len(order), BATCH):
            chosen = order[begin : begin + BATCH]
            self.optimizer.zero_grad()
            error = criterion(self.forward(self.x[chosen]), self.y[chosen])
            error.backward()
            self.optimizer.step()


class Keras(DigitTrainer):
    """`model.fit` with its own shuffling."""

    def __init__(self, settings: Settings) -> None:
        import keras

        if keras.backend.backend() == "torch":
            import torch

            torch.set_num_threads(settings.threads)
        layers = [keras.layers.Dense(100, activation="sigmoid"), keras.layers.Dense(10)]
        self.model = keras.Sequential([keras.Input((784,)), *layers])
        optimizer = keras.optimizers.Adam(RATE, epsilon=EPSILON)
        self.model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        optimizer.build(self.model.trainable_variables)
        self.fresh = [keras.ops.convert_to_numpy(variable).copy() for variable in optimizer.variables]
        self.reset()

    def reset(self) -> None:
        self.model.set_weights(START)
        for variable, value in zip(self.model.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)

    def train(self, epochs: int) -> int:
        x, y = training_rows()
        self.model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
        return steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        x, y = training_rows()
        self.model.fit(x[order], y[order], batch_size=BATCH, epochs=1, shuffle=False, verbose=0)

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for w in self.model.get_weights()]


class ScikitLearn(DigitTrainer):
    """MLPClassifier.fit; its early stopping and its penalty are switched off, since no one else has them."""

    def __init__(self, settings: Settings) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        warnings.simplefilter("ignore", ConvergenceWarning)  # it warns whenever all the epochs asked for were run
        # Warm start is the public way to given weights: fit then keeps coefs_ and makes a new Adam.
        self.model = MLPClassifier(
            hidden_layer_sizes=(100,),
            activation="logistic",
            alpha=0.0,
            batch_size=BATCH,
            learning_rate_init=RATE,
            epsilon=EPSILON,
            tol=0.0,
            n_iter_no_change=1_000_000,
            warm_start=True,
        )
        self.train(1)
        self.reset()

    def reset(self) -> None:
        for ours, start in zip(self._parameters(), START, strict=True):
            ours[...] = start

    def train(self, epochs: int) -> int:
        self.model.set_params(max_iter=epochs, shuffle=True).fit(*training_rows())
        return steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        x, y = training_rows()
        self.model.set_params(max_iter=1, shuffle=False).fit(x[order], y[order])

    def weights(self) -> Weights:
        return [parameter.astype(np.float64) for parameter in self._parameters()]

    def _parameters(self) -> list[NDArray[np.float32]]:
        layers = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [parameter for layer in layers for parameter in layer]


def contestant(build: Callable[..., Trainer], *requires: str, **details: Any) -> Contestant:
    """A contestant; kedja is required by all because its loader reads the digits."""
    return Contestant(build, ("kedja", *requires), **details)


BENCHMARKS = [
    Workload(
        id="W3",
        title="MNIST 784-100-10, sigmoid, cross-entropy, batch 32, Adam(0.001), 4,000 rows",
        module=__name__,
        contestants={
            OURS: contestant(Kedja, "jax", note="fit"),
            "torch_eager": contestant(TorchEager, "torch", note="plain loop, x[idx] instead of a DataLoader"),
            "keras_jax": contestant(Keras, "keras", "jax", environment={"KERAS_BACKEND": "jax"}, note="model.fit"),
            "sklearn": contestant(ScikitLearn, "sklearn", note="MLPClassifier.fit"),
            "torch_fused": contestant(
                partial(TorchEager, fused=True), "torch", optional=True, note="torch_eager with Adam(fused=True)"
            ),
            "torch_compile": contestant(
                partial(TorchEager, compiled=True), "torch", optional=True, note="the loop over torch.compile(net)"
            ),
            "keras_torch": contestant(
                Keras, "keras", "torch", environment={"KERAS_BACKEND": "torch"}, optional=True, note="model.fit"
            ),
        },
        goals={"torch_eager": Goal(now=3), "keras_jax": Goal(now=1.8)},
        agreement=Agreement(check, 1e-3, "loss after one epoch from the same weights over the same batches"),
        loss=loss,
        epochs=8,
        quick_epochs=2,
        warm_up_epochs=1,
    )
]
