"""What trainers of one framework have in common, whatever the network: kedja's `fit`, Keras's, and PyTorch's loop.

A subclass builds its network and hands it up; frameworks are imported there, never here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.harness import Trainer, Weights
from bench.results import Settings
from bench.threads import tune_threads

__all__ = ["KedjaFit", "KerasFit", "Problem", "RowTrainer", "TorchLoop"]


class Problem(Protocol):
    """What is learned, for all contestants alike."""

    @property
    def batch(self) -> int | None:
        """Rows of a step, or None for all of them."""
        ...

    def data(self) -> tuple[Any, Any]:
        """The rows and their labels, as arrays of NumPy."""
        ...

    def start(self) -> Any:
        """The weights everyone starts from, in the order of `Trainer.weights`."""
        ...


P = TypeVar("P", bound=Problem)


class RowTrainer(Trainer, Generic[P]):
    """A trainer that can also be told the order of its rows, so that all see the same batches in the check."""

    def __init__(self, problem: P) -> None:
        self.problem = problem
        self.x, self.y = problem.data()
        self.batch = problem.batch or len(self.x)

    @abstractmethod
    def train_in_order(self, order: NDArray[np.int64]) -> None:
        """Once over these rows, in this order."""

    def steps(self, epochs: int) -> int:
        """How many updates that many epochs make."""
        return epochs * -(-len(self.x) // self.batch)


class Fit(RowTrainer[P]):
    """A framework that trains by one call, with its own shuffling unless a subclass says otherwise."""

    shuffle = True

    def train(self, epochs: int) -> int:
        self._fit(self.x, self.y, epochs, self.shuffle)
        return self.steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        self._fit(self.x[order], self.y[order], 1, shuffle=False)

    @abstractmethod
    def _fit(self, x: Any, y: Any, epochs: int, shuffle: bool) -> None:
        """The call."""

    @abstractmethod
    def put(self, weights: Any) -> None:
        """Take these weights."""


class KedjaFit(Fit[P]):
    """kedja's `fit`."""

    def __init__(self, problem: P, net: Any, optimizer: Any, loss: str = "cross_entropy") -> None:
        super().__init__(problem)
        self.net, self.optimizer, self.loss = net, optimizer, loss
        self.compile_seconds = 0.0
        if not net.built:
            net.build((None, *self.x.shape[1:]))
        self.reset()

    def reset(self) -> None:
        self.net.reset()
        self.put(self.problem.start())

    def put(self, weights: Any) -> None:
        self.net.set_weights(weights)

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for w in self.net.get_weights()]

    def describe(self) -> dict[str, Any]:
        return {"compile_seconds": round(self.compile_seconds, 1)}

    def _fit(self, x: Any, y: Any, epochs: int, shuffle: bool) -> None:
        history = self.net.fit(
            x, y, loss=self.loss, optimizer=self.optimizer, epochs=epochs, batch_size=self.problem.batch, seed=0,
            verbose=0, shuffle=shuffle,
        )  # fmt: skip
        self.compile_seconds += history.compile_seconds


class KerasFit(Fit[P]):
    """`model.fit`; the loss is cross-entropy of logits unless another one is given."""

    def __init__(self, problem: P, model: Any, optimizer: Any, loss: Any = None) -> None:
        super().__init__(problem)
        import keras  # type: ignore[import-untyped, unused-ignore]

        self.model = model
        model.compile(optimizer, loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        optimizer.build(model.trainable_variables)
        self.fresh = [keras.ops.convert_to_numpy(variable).copy() for variable in optimizer.variables]
        self.reset()

    def reset(self) -> None:
        self.put(self.problem.start())
        for variable, value in zip(self.model.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)

    def put(self, weights: Any) -> None:
        self.model.set_weights(weights)

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for w in self.model.get_weights()]

    def _fit(self, x: Any, y: Any, epochs: int, shuffle: bool) -> None:
        self.model.fit(x, y, batch_size=self.batch, epochs=epochs, shuffle=shuffle, verbose=0)


class TorchLoop(RowTrainer[P]):
    """The plain loop over indexed tensors: kinder to PyTorch than a DataLoader, and the loss is never read back.

    A subclass sets `net`, `forward` (called with inputs), `inputs` and `criterion` where they are others, and resets.
    """

    def __init__(self, settings: Settings, problem: P) -> None:
        super().__init__(problem)
        import torch

        self.torch, self.threads = torch, settings.threads
        torch.set_num_threads(settings.threads)
        self.inputs: Any = torch.tensor(self.x)
        self.labels: Any = torch.tensor(self.y)
        self.criterion: Any = torch.nn.CrossEntropyLoss()
        self.net: Any
        self.forward: Any
        self.optimizer: Any

    def parameters(self) -> list[Any]:
        """What `problem.start()` gives values to, in its order."""
        return list(self.net.parameters())

    @abstractmethod
    def fresh_optimizer(self) -> Any:
        """One that remembers nothing."""

    def to_torch(self, weights: Any) -> list[Any]:
        """Our weights as PyTorch lays them: those of dense layers are transposed."""
        return [w.T for w in weights]

    def from_torch(self, weights: list[Any]) -> list[Any]:
        """The way back."""
        return [w.T for w in weights]

    def reset(self) -> None:
        with self.torch.no_grad():
            for parameter, value in zip(self.parameters(), self.to_torch(self.problem.start()), strict=True):
                parameter.copy_(self.torch.tensor(value))
        self.optimizer = self.fresh_optimizer()

    def tune(self) -> None:
        """One thread or all of them, whichever is faster."""
        tune_threads(self.torch, self.threads, self.train, warm=1, timed=1)

    def train(self, epochs: int) -> int:
        for _ in range(epochs):
            self._epoch(self.torch.randperm(len(self.x)))
        return self.steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        self._epoch(self.torch.tensor(order))

    def weights(self) -> Weights:
        found = self.from_torch([parameter.detach().numpy() for parameter in self.parameters()])
        return [np.asarray(w, np.float64) for w in found]

    def describe(self) -> dict[str, Any]:
        return {"threads": self.torch.get_num_threads()}

    def batches(self, order: Any) -> Iterable[tuple[Any, Any]]:
        """Inputs and labels of one step after the other."""
        for begin in range(0, len(order), self.batch):
            yield self.rows(order[begin : begin + self.batch])

    def rows(self, chosen: Any) -> tuple[Any, Any]:
        """Inputs and labels of these rows."""
        return self.inputs[chosen], self.labels[chosen]

    def _epoch(self, order: Any) -> None:
        forward, criterion, optimizer = self.forward, self.criterion, self.optimizer
        for inputs, labels in self.batches(order):
            optimizer.zero_grad()
            criterion(forward(inputs), labels).backward()
            optimizer.step()
