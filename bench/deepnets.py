"""Deep image networks, each written once: a walk over abstract operations, which NumPy and every peer fill in.

kedja's own contestants take the network of `kj.zoo` instead, so the walk is what the zoo is held to. Weights have
PyTorch's names and our shapes: kernels (rows, columns, in, out), matrices (in, out) for pixels before channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bench.harness import Trainer, Weights
from bench.judge import cross_entropy
from bench.trainers import RowTrainer

__all__ = ["EPSILON", "MOMENTUM", "DeepNet", "Ops", "Walk", "resnet", "vgg"]

EPSILON = 1e-5  # of batch norm
MOMENTUM = 0.9  # of SGD, and of running statistics
CHECKED_STEPS = 2

Array = NDArray[np.float32]
Tree = dict[str, Array]


class Ops(Protocol):
    """What networks are made of. `name` is that of the layer, under which its weights are found."""

    def conv(
        self, x: Any, name: str, filters: int, size: int, stride: int = 1, padding: int = 0, bias: bool = False
    ) -> Any: ...
    def norm(self, x: Any, name: str) -> Any: ...
    def relu(self, x: Any) -> Any: ...
    def add(self, x: Any, y: Any) -> Any: ...
    def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any: ...
    def mean(self, x: Any) -> Any: ...
    def flatten(self, x: Any) -> Any: ...
    def dense(self, x: Any, name: str, units: int) -> Any: ...


Walk = Callable[[Ops, Any], Any]


# --- the networks ---------------------------------------------------------------------------------------------------
def vgg(blocks: Sequence[tuple[int, int]], hidden: int, classes: int) -> Walk:
    """Blocks of (convolutions, channels), each ending in a max-pool, and two hidden layers; no dropout."""

    def walk(ops: Ops, x: Any) -> Any:
        place = 0
        for convs, channels in blocks:
            for _ in range(convs):
                x = ops.relu(ops.conv(x, f"features.{place}", channels, 3, padding=1, bias=True))
                place += 2
            x = ops.max_pool(x, 2, 2)
            place += 1
        x = ops.relu(ops.dense(ops.flatten(x), "classifier.0", hidden))
        x = ops.relu(ops.dense(x, "classifier.3", hidden))
        return ops.dense(x, "classifier.6", classes)

    return walk


def resnet(blocks: Sequence[int], classes: int, *, bottled: bool = True, small: bool = False) -> Walk:
    """Stages of so many residual blocks, of 1×1, 3×3, 1×1 ("bottled", the 3×3 strides) or of two 3×3.

    `small` is the network for images of 32×32, which starts with 16 channels and does not pool.
    """
    width = 16 if small else 64
    wider = 4 if bottled else 1

    def block(ops: Ops, x: Any, name: str, a: int, b: int, stride: int) -> Any:
        def normed(x: Any, which: str, filters: int, size: int, stride: int = 1) -> Any:
            x = ops.conv(x, f"{name}.conv{which}", filters, size, stride, size // 2)
            return ops.norm(x, f"{name}.bn{which}")

        past = x
        if stride > 1 or a != b * wider:
            past = ops.norm(ops.conv(x, f"{name}.downsample.0", b * wider, 1, stride), f"{name}.downsample.1")
        if bottled:
            y = ops.relu(normed(x, "1", b, 1))
            y = normed(ops.relu(normed(y, "2", b, 3, stride)), "3", b * wider, 1)
        else:
            y = normed(ops.relu(normed(x, "1", b, 3, stride)), "2", b, 3)
        return ops.relu(ops.add(y, past))

    def walk(ops: Ops, x: Any) -> Any:
        x = ops.conv(x, "conv1", width, 3, padding=1) if small else ops.conv(x, "conv1", width, 7, 2, 3)
        x = ops.relu(ops.norm(x, "bn1"))
        x = x if small else ops.max_pool(x, 3, 2, 1)
        channels = width
        for i, n in enumerate(blocks):
            for k in range(n):
                x = block(ops, x, f"layer{i + 1}.{k}", channels, width * 2**i, 2 if i and not k else 1)
                channels = wider * width * 2**i
        return ops.dense(ops.mean(x), "fc", classes)

    return walk


@dataclass(frozen=True)
class DeepNet:
    """A network for square colour images, and what it is trained on: `rows` made-up images in batches.

    `zoo` is its name in `kj.zoo`, with `how` beside the usual arguments. With `settled`, batch norm has seen data.
    """

    zoo: str
    walk: Walk
    classes: int
    size: int
    rows: int
    batch: int
    rate: float = 1e-4
    settled: bool = False
    how: tuple[tuple[str, Any], ...] = ()
    seed: int = 8

    def start(self) -> Tree:
        """The common starting weights by name: He's normal; statistics, scales and shifts off 0 and 1 if `settled`."""
        return _start(self)

    def data(self) -> tuple[Array, NDArray[np.int64]]:
        """Images (rows, size, size, 3), normal numbers, and labels."""
        draw = np.random.default_rng([self.seed, 1])
        x = draw.standard_normal((self.rows, self.size, self.size, 3), np.float32)
        return x, draw.integers(self.classes, size=self.rows)

    def logits(self, weights: Weights, x: Any, training: bool = False) -> NDArray[np.float64]:
        """The output by NumPy alone in float64; in training, batch norm has the statistics of x."""
        named = dict(zip(self.start(), weights, strict=True))
        found: NDArray[np.float64] = self.walk(_Judge(named, training), np.asarray(x, np.float64))
        return found

    def loss(self, weights: Weights) -> float:
        """Mean cross-entropy over the first batch as it is in training, in float64, by NumPy alone."""
        x, y = self.data()
        return cross_entropy(self.logits(weights, x[: self.batch], training=True), y[: self.batch])

    def check(self, trainer: Trainer) -> float:
        """The loss after a few steps from the same weights over the same batches, and what became of the statistics.

        The loss with running statistics would be no measure: so early they are far off, and it is large and touchy.
        """
        assert isinstance(trainer, RowTrainer)
        trainer.reset()
        trainer.train_in_order(np.arange(CHECKED_STEPS * self.batch))
        weights = trainer.weights()
        running = [np.sqrt(np.mean(w**2)) for name, w in zip(self.start(), weights, strict=True) if "running" in name]
        return self.loss(weights) + float(np.mean(running or [0.0]))

    def distance(self, outputs: Weights) -> float:
        """1 + the largest difference of the first batch's outputs from NumPy's, relative to the largest output.

        One is added because contestants are compared by their relative difference.
        """
        expected = _expected(self)
        return 1 + float(np.abs(outputs[0] - expected).max() / np.abs(expected).max())

    def check_outputs(self, trainer: Trainer) -> float:
        """How far from NumPy's the outputs are."""
        trainer.reset()
        trainer.train(1)
        return self.distance(trainer.weights())


@cache
def _start(net: DeepNet) -> Tree:
    drawing = _Drawing(np.random.default_rng(net.seed), net.settled)
    net.walk(drawing, (net.size, net.size, 3))
    return drawing.made


@cache
def _expected(net: DeepNet) -> NDArray[np.float64]:
    weights = [np.asarray(w, np.float64) for w in net.start().values()]
    return net.logits(weights, net.data()[0][: net.batch])


# --- the walk as NumPy ----------------------------------------------------------------------------------------------
class _Drawing:
    """Walks with shapes alone and draws the weights it meets."""

    def __init__(self, draw: np.random.Generator, settled: bool) -> None:
        self.draw, self.settled = draw, settled
        self.made: Tree = {}

    def conv(
        self, x: Any, name: str, filters: int, size: int, stride: int = 1, padding: int = 0, bias: bool = False
    ) -> Any:
        self._matrix(name, (size, size, x[2], filters), bias)
        rows, columns = ((n + 2 * padding - size) // stride + 1 for n in x[:2])
        return rows, columns, filters

    def norm(self, x: Any, name: str) -> Any:
        for leaf, middle in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            value = np.full(x[-1], middle, np.float32)
            if self.settled:
                value += self.draw.uniform(-0.2, 0.2, x[-1]).astype(np.float32)
            self.made[f"{name}.{leaf}"] = value
        return x

    def relu(self, x: Any) -> Any:
        return x

    def add(self, x: Any, y: Any) -> Any:
        if x != y:
            raise ValueError(f"a block adds what it made, {x}, to what went past it, {y}")
        return x

    def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any:
        rows, columns = ((n + 2 * padding - size) // stride + 1 for n in x[:2])
        return rows, columns, x[2]

    def mean(self, x: Any) -> Any:
        return x[2:]

    def flatten(self, x: Any) -> Any:
        return (int(np.prod(x)),)

    def dense(self, x: Any, name: str, units: int) -> Any:
        self._matrix(name, (x[0], units), bias=True)
        return (units,)

    def _matrix(self, name: str, shape: tuple[int, ...], bias: bool) -> None:
        scale = np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        self.made[f"{name}.weight"] = scale * self.draw.standard_normal(shape, np.float32)
        if bias:
            self.made[f"{name}.bias"] = np.zeros(shape[-1], np.float32)


class _Judge:
    """Walks with arrays, (n, rows, columns, channels), in the type of the weights."""

    def __init__(self, weights: dict[str, NDArray[Any]], training: bool) -> None:
        self.weights, self.training = weights, training

    def conv(
        self, x: Any, name: str, filters: int, size: int, stride: int = 1, padding: int = 0, bias: bool = False
    ) -> Any:
        y = np.tensordot(_windows(x, size, stride, padding, 0), self.weights[f"{name}.weight"], ((4, 5, 3), (0, 1, 2)))
        return y + self.weights[f"{name}.bias"] if bias else y

    def norm(self, x: Any, name: str) -> Any:
        scale, shift, mean, variance = (
            self.weights[f"{name}.{leaf}"] for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        if self.training:
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) / np.sqrt(variance + EPSILON) * scale + shift

    def relu(self, x: Any) -> Any:
        return np.maximum(x, 0)

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any:
        return _windows(x, size, stride, padding, -np.inf).max((4, 5))

    def mean(self, x: Any) -> Any:
        return x.mean((1, 2))

    def flatten(self, x: Any) -> Any:
        return x.reshape(len(x), -1)

    def dense(self, x: Any, name: str, units: int) -> Any:
        return x @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def _windows(x: Any, size: int, stride: int, padding: int, fill: float) -> Any:
    """(n, rows, columns, channels, size, size): what every window sees."""
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)], constant_values=fill)
    return sliding_window_view(x, (size, size), (1, 2))[:, ::stride, ::stride]
