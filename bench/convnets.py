"""What the workloads of convolutional networks share: digits as images, the networks, and the contestants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bench.harness import OURS, Contestant, Trainer, Weights
from bench.judge import cross_entropy
from bench.layouts import from_torch, to_torch
from bench.results import Settings
from bench.start import epoch_order
from bench.trainers import KedjaFit, KerasFit, RowTrainer, TorchLoop

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

    def data(self) -> tuple[Array, NDArray[np.int64]]:
        """The first of the digits."""
        x, y = digit_images()
        return x[: self.rows], y[: self.rows]

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
        return cross_entropy(h, y[:JUDGED])

    def check(self, trainer: Trainer) -> float:
        """The loss after a few steps from the same weights over the same batches."""
        assert isinstance(trainer, RowTrainer)
        trainer.reset()
        trainer.train_in_order(epoch_order(self.rows, epoch=0, seed=self.seed)[: 4 * self.batch])
        return self.loss(trainer.weights())


@cache
def digit_images() -> tuple[Array, NDArray[np.int64]]:
    """The 4,000 training rows of mnist_5k as (4000, 28, 28, 1) pixels in [0, 1] and their labels."""
    import kedja

    (x, y), _ = kedja.data.load("mnist_5k").split()
    return np.asarray(x, np.float32).reshape(-1, 28, 28, 1), np.asarray(y, np.int64)


class Kedja(KedjaFit[Convnet]):
    """`fit`, with its own shuffling."""

    def __init__(self, settings: Settings, net: Convnet) -> None:
        import kedja as kj

        layers: list[Any] = []
        for layer in net.convs:
            pool = layer == "pool"
            layers.append(
                kj.nn.MaxPool2D(2) if pool else kj.nn.Conv2D(layer[0], layer[1], padding=layer[2], activation="relu")
            )
        layers.append(kj.nn.Flatten())
        layers += [kj.nn.Dense(units, activation="relu") for units in net.dense[:-1]]
        optimizer = kj.optim.Adam(net.rate) if net.adam else kj.optim.SGD(net.rate, momentum=0.9)
        super().__init__(net, kj.Sequential([*layers, kj.nn.Dense(net.dense[-1])]), optimizer)


class Torch(TorchLoop[Convnet]):
    """The plain loop in the layout asked for."""

    def __init__(self, settings: Settings, net: Convnet, last: bool = True, compiled: bool = False) -> None:
        super().__init__(settings, net)
        torch = self.torch
        layout = torch.channels_last if last else torch.contiguous_format
        self.inputs = self.inputs.permute(0, 3, 1, 2).contiguous(memory_format=layout)
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
        self.net = torch.nn.Sequential(*layers[:-1]).to(memory_format=layout)
        self.forward = torch.compile(self.net) if compiled else self.net
        self.reset()

    def to_torch(self, weights: Any) -> list[Any]:
        return to_torch(weights)

    def from_torch(self, weights: list[Any]) -> list[Any]:
        return from_torch(weights)

    def fresh_optimizer(self) -> Any:
        optim, rate = self.torch.optim, self.problem.rate
        if self.problem.adam:
            return optim.Adam(self.parameters(), lr=rate, eps=1e-8, fused=True)
        return optim.SGD(self.parameters(), lr=rate, momentum=0.9)


class Keras(KerasFit[Convnet]):
    """`model.fit`, with its own shuffling."""

    def __init__(self, settings: Settings, net: Convnet) -> None:
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
        adam = keras.optimizers.Adam(net.rate, epsilon=1e-8)
        optimizer = adam if net.adam else keras.optimizers.SGD(net.rate, momentum=0.9)
        super().__init__(net, keras.Sequential([*layers, keras.layers.Dense(net.dense[-1])]), optimizer)


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
