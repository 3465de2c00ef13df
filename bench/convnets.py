"""What the workloads of convolutional networks share: digits as images, the networks, and the contestants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bench.harness import OURS, Contestant, Trainer, Weights
from bench.results import Settings
from bench.start import epoch_order
from bench.threads import tune_threads

__all__ = ["Convnet", "contestants", "digit_images"]

JUDGED = 256  # rows on which the loss is computed

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Convnet:
    """A network for 28×28 digits, its optimiser, and how many rows it trains on.

    `convs` has (filters, size, "same" or "valid") or "pool", which halves; a relu follows every layer but the last.
    """

    convs: tuple[Any, ...]
    dense: tuple[int, ...]
    adam: bool
    rate: float
    rows: int
    batch: int = 64
    seed: int = 6

    def start(self) -> list[Array]:
        """[W1, b1, …], He's normal: kernels (rows, columns, in, out), matrices for pixels before channels."""
        draw = np.random.default_rng(self.seed)
        found: list[Array] = []
        side, channels = 28, 1
        shapes: list[tuple[int, ...]] = []
        for layer in self.convs:
            if layer == "pool":
                side //= 2
                continue
            filters, size, padding = layer
            shapes.append((size, size, channels, filters))
            side, channels = side if padding == "same" else side - size + 1, filters
        inputs = side * side * channels
        for units in self.dense:
            shapes.append((inputs, units))
            inputs = units
        for shape in shapes:
            scale = np.sqrt(2 / np.prod(shape[:-1]))
            found += [draw.normal(0, scale, shape).astype(np.float32), np.zeros(shape[-1], np.float32)]
        return found

    def loss(self, weights: Weights) -> float:
        """Mean cross-entropy over the first rows, in float64, by NumPy alone."""
        x, y = digit_images()
        h: Any = np.asarray(x[:JUDGED], np.float64)
        pairs = list(zip(weights[::2], weights[1::2], strict=True))
        for layer in self.convs:
            if layer == "pool":
                n, rows, columns, channels = h.shape
                h = h[:, : rows // 2 * 2, : columns // 2 * 2].reshape(n, rows // 2, 2, columns // 2, 2, channels)
                h = h.max((2, 4))
                continue
            w, b = pairs.pop(0)
            margin = w.shape[0] // 2 if layer[2] == "same" else 0
            h = np.pad(h, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
            seen = sliding_window_view(h, w.shape[:2], (1, 2))
            h = np.maximum(np.einsum("nrschw,hwck->nrsk", seen, w, optimize=True) + b, 0)
        h = h.reshape(len(h), -1)
        for w, b in pairs:
            h = h @ w + b
            if len(b) != self.dense[-1]:
                h = np.maximum(h, 0)
        h -= h.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(h).sum(axis=1)) - h[np.arange(len(h)), y[:JUDGED]]))

    def check(self, trainer: Trainer) -> float:
        """The loss after a few steps from the same weights over the same batches."""
        assert isinstance(trainer, ImageTrainer)
        trainer.reset()
        trainer.train_in_order(epoch_order(self.rows, epoch=0, seed=self.seed)[: 4 * self.batch])
        return self.loss(trainer.weights())


@cache
def digit_images() -> tuple[Array, NDArray[np.int64]]:
    """The 4,000 training rows of mnist_5k as (4000, 28, 28, 1) pixels in [0, 1] and their labels."""
    import kedja

    (x, y), _ = kedja.data.load("mnist_5k").split()
    return np.asarray(x, np.float32).reshape(-1, 28, 28, 1), np.asarray(y, np.int64)


class ImageTrainer(Trainer):
    """A trainer that can also be told the order of its rows."""

    def __init__(self, net: Convnet) -> None:
        self.spec = net
        x, y = digit_images()
        self.x, self.y = x[: net.rows], y[: net.rows]

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        """Once over the rows in this order."""
        raise NotImplementedError

    def steps(self, epochs: int) -> int:
        """How many updates that many epochs make."""
        return epochs * -(-self.spec.rows // self.spec.batch)


class Kedja(ImageTrainer):
    """`fit`, with its own shuffling."""

    def __init__(self, settings: Settings, net: Convnet) -> None:
        super().__init__(net)
        import kedja as kj

        layers: list[Any] = []
        for layer in net.convs:
            pool = layer == "pool"
            layers.append(
                kj.nn.MaxPool2D(2) if pool else kj.nn.Conv2D(layer[0], layer[1], padding=layer[2], activation="relu")
            )
        layers.append(kj.nn.Flatten())
        layers += [kj.nn.Dense(units, activation="relu") for units in net.dense[:-1]]
        self.net = kj.Sequential([*layers, kj.nn.Dense(net.dense[-1])])
        self.optimizer = kj.optim.Adam(net.rate) if net.adam else kj.optim.SGD(net.rate, momentum=0.9)
        self.train(1)
        self.reset()

    def reset(self) -> None:
        self.net.reset()
        self.net.set_weights(self.spec.start())

    def train(self, epochs: int) -> int:
        self._fit(self.x, self.y, epochs, shuffle=True)
        return self.steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        self._fit(self.x[order], self.y[order], 1, shuffle=False)

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for w in self.net.get_weights()]

    def _fit(self, x: Any, y: Any, epochs: int, shuffle: bool) -> None:
        self.net.fit(
            x,
            y,
            loss="cross_entropy",
            optimizer=self.optimizer,
            epochs=epochs,
            batch_size=self.spec.batch,
            seed=0,
            verbose=0,
            shuffle=shuffle,
        )


class Torch(ImageTrainer):
    """The plain loop over indexed tensors, in the layout asked for."""

    def __init__(self, settings: Settings, net: Convnet, last: bool = True, compiled: bool = False) -> None:
        super().__init__(net)
        import torch

        self.torch, self.threads = torch, settings.threads
        torch.set_num_threads(settings.threads)
        self.layout = torch.channels_last if last else torch.contiguous_format
        self.inputs = torch.tensor(self.x).permute(0, 3, 1, 2).contiguous(memory_format=self.layout)
        self.labels = torch.tensor(self.y)
        start = net.start()
        layers: list[Any] = []
        for layer in net.convs:
            if layer == "pool":
                layers.append(torch.nn.MaxPool2d(2))
                continue
            into, size = start[2 * sum(isinstance(made, torch.nn.Conv2d) for made in layers)].shape[2], layer[1]
            margin = size // 2 if layer[2] == "same" else 0
            layers += [torch.nn.Conv2d(into, layer[0], size, padding=margin), torch.nn.ReLU()]
        layers.append(torch.nn.Flatten())
        for w in start[-2 * len(net.dense) :: 2]:
            layers += [torch.nn.Linear(*w.shape), torch.nn.ReLU()]
        self.net = torch.nn.Sequential(*layers[:-1]).to(memory_format=self.layout)
        self.forward = torch.compile(self.net) if compiled else self.net
        self.reset()

    def reset(self) -> None:
        with self.torch.no_grad():
            start = self._turned(self.spec.start(), back=False)
            for parameter, value in zip(self.net.parameters(), start, strict=True):
                parameter.copy_(self.torch.tensor(value))
        optim, parameters = self.torch.optim, self.net.parameters()
        if self.spec.adam:
            self.optimizer = optim.Adam(parameters, lr=self.spec.rate, eps=1e-8, fused=True)
        else:
            self.optimizer = optim.SGD(parameters, lr=self.spec.rate, momentum=0.9)

    def tune(self) -> None:
        """One thread or all of them, whichever is faster."""
        tune_threads(self.torch, self.threads, self.train, warm=1, timed=1)

    def train(self, epochs: int) -> int:
        for _ in range(epochs):
            self._epoch(self.torch.randperm(self.spec.rows))
        return self.steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        self._epoch(self.torch.tensor(order))

    def weights(self) -> Weights:
        found = [parameter.detach().numpy() for parameter in self.net.parameters()]
        return [np.asarray(w, np.float64) for w in self._turned(found, back=True)]

    def describe(self) -> dict[str, Any]:
        return {"threads": self.torch.get_num_threads()}

    def _turned(self, weights: Sequence[Any], back: bool) -> list[Any]:
        """Kernels and matrices as PyTorch lays them, or from there; the first matrix sees channels first."""
        found = []
        channels = next(w.shape[0 if back else -1] for w in reversed(weights) if w.ndim == 4)
        first = True
        for w in weights:
            if w.ndim == 4:
                w = w.transpose(2, 3, 1, 0) if back else w.transpose(3, 2, 0, 1)
            elif w.ndim == 2:
                if back:
                    w = w.T
                if first:
                    pixels = w.shape[0] // channels
                    shape, axes = ((channels, pixels), (1, 0, 2)) if back else ((pixels, channels), (1, 0, 2))
                    w = w.reshape(*shape, -1).transpose(axes).reshape(w.shape)
                    first = False
                if not back:
                    w = w.T
            found.append(np.ascontiguousarray(w))
        return found

    def _epoch(self, order: Any) -> None:
        criterion = self.torch.nn.CrossEntropyLoss()
        for begin in range(0, len(order), self.spec.batch):
            chosen = order[begin : begin + self.spec.batch]
            self.optimizer.zero_grad()
            error = criterion(self.forward(self.inputs[chosen]), self.labels[chosen])
            error.backward()
            self.optimizer.step()


class Keras(ImageTrainer):
    """`model.fit` with its own shuffling."""

    def __init__(self, settings: Settings, net: Convnet) -> None:
        super().__init__(net)
        import keras

        layers: list[Any] = [keras.Input((28, 28, 1))]
        for layer in net.convs:
            pool = layer == "pool"
            layers.append(
                keras.layers.MaxPooling2D(2)
                if pool
                else keras.layers.Conv2D(layer[0], layer[1], padding=layer[2], activation="relu")
            )
        layers.append(keras.layers.Flatten())
        layers += [keras.layers.Dense(units, activation="relu") for units in net.dense[:-1]]
        self.model = keras.Sequential([*layers, keras.layers.Dense(net.dense[-1])])
        adam = keras.optimizers.Adam(net.rate, epsilon=1e-8)
        optimizer = adam if net.adam else keras.optimizers.SGD(net.rate, momentum=0.9)
        self.model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        optimizer.build(self.model.trainable_variables)
        self.fresh = [keras.ops.convert_to_numpy(variable).copy() for variable in optimizer.variables]
        self.reset()

    def reset(self) -> None:
        self.model.set_weights(self.spec.start())
        for variable, value in zip(self.model.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)

    def train(self, epochs: int) -> int:
        self.model.fit(self.x, self.y, batch_size=self.spec.batch, epochs=epochs, verbose=0)
        return self.steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        x, y = self.x[order], self.y[order]
        self.model.fit(x, y, batch_size=self.spec.batch, epochs=1, shuffle=False, verbose=0)

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for w in self.model.get_weights()]


def contestants(net: Convnet) -> Mapping[str, Contestant]:
    """kedja and its peers on this network; kedja is required by all because its loader reads the digits."""

    def one(build: Callable[..., Trainer], *requires: str, **details: Any) -> Contestant:
        return Contestant(partial(build, net=net), ("kedja", *requires), **details)

    return {
        OURS: one(Kedja, "jax", note="fit"),
        "torch_last": one(Torch, "torch", note="plain loop, channels last"),
        "torch_first": one(partial(Torch, last=False), "torch", optional=True, note="plain loop, channels first"),
        "torch_compile": one(
            partial(Torch, compiled=True), "torch", optional=True, note="torch_last with torch.compile(net)"
        ),
        "keras_jax": one(
            Keras, "keras", "jax", environment={"KERAS_BACKEND": "jax"}, optional=True, share=0.5, note="model.fit"
        ),
    }
