"""What the workloads of dense networks share: the network and its judge, and the digits.

Who trains it is in `dense_contestants.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.harness import Trainer, Weights
from bench.judge import cross_entropy
from bench.start import epoch_order, initial_weights
from bench.trainers import RowTrainer

__all__ = ["DenseNet", "digits"]

Activation = Literal["relu", "sigmoid", "tanh"]
Rule = Literal["sgd", "momentum", "adam"]
Data = tuple[NDArray[np.float32], NDArray[Any]]


@dataclass(frozen=True)
class DenseNet:
    """A dense network, its optimiser, and the rows it learns.

    One output means binary cross-entropy of its logit, with labels (n, 1); more mean softmax and cross-entropy, with
    the classes' numbers. The rows make whole batches, so that nobody has to treat the last one differently.
    """

    sizes: tuple[int, ...]
    activation: Activation
    rule: Rule
    rate: float
    data: Callable[[], Data]
    batch: int
    check_steps: int
    judged: int | None = None
    """On how many rows the loss is computed; None: on all."""
    seed: int = 3

    @property
    def binary(self) -> bool:
        """Two classes told apart by one output."""
        return self.sizes[-1] == 1

    @property
    def steps_per_epoch(self) -> int:
        """How many updates an epoch makes."""
        return len(self.data()[0]) // self.batch

    @property
    def flops(self) -> float:
        """Model flops of a step as papers count them: 6 per weight and row.

        Two forward, two for the gradient by the weights, two for that by the input (nobody computes the first layer's).
        """
        return 6.0 * self.batch * sum(a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def flops_needed(self) -> float:
        """Without the gradient by the network's input."""
        return self.flops - 2.0 * self.batch * self.sizes[0] * self.sizes[1]

    def start(self) -> list[NDArray[np.float32]]:
        """The weights everyone starts from."""
        return initial_weights(self.sizes, self.seed)

    def loss(self, weights: Weights) -> float:
        """Mean cross-entropy over the judged rows, in float64, by NumPy alone."""
        x, y = self.data()
        h: Any = np.asarray(x[: self.judged], np.float64)
        y = y[: self.judged]
        for layer, (w, b) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
            h = h @ w + b
            if layer < len(self.sizes) - 2:
                h = _activated(self.activation, h)
        if self.binary:
            return float(np.mean(np.logaddexp(0, h) - y * h))
        return cross_entropy(h, y)

    def check(self, trainer: Trainer) -> float:
        """The loss after some steps from the shared start over the same batches."""
        assert isinstance(trainer, RowTrainer)
        trainer.reset()
        rows, wanted = len(self.data()[0]), self.check_steps * self.batch
        orders = [epoch_order(rows, epoch, self.seed) for epoch in range(-(-wanted // rows))]
        trainer.train_in_order(np.concatenate(orders)[:wanted])
        return self.loss(trainer.weights())


@cache
def digits(rows: int) -> Data:
    """The first training rows of mnist_5k (there are 4,000) as (rows, 784) pixels in [0, 1] and their labels."""
    import kedja

    (x, y), _ = kedja.data.load("mnist_5k").split()
    x, y = np.asarray(x, np.float32).reshape(len(x), -1)[:rows], np.asarray(y, np.int64)[:rows]
    if x.shape != (rows, 784) or x.min() < 0 or x.max() != 1:
        raise ValueError(
            f"{rows} rows of 784 pixels in [0, 1] were wanted, but the split gave {x.shape}, to {x.max()}."
        )
    return x, y


def _activated(name: Activation, z: Any) -> Any:
    match name:
        case "relu":
            return np.maximum(z, 0)
        case "sigmoid":
            return 1 / (1 + np.exp(-z))
        case "tanh":
            return np.tanh(z)
