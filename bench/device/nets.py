"""The networks as plain lists of layers: every contestant builds its own from one list, and FLOPs are counted on it.

Images are channels last, kernels (rows, columns, in, out), matrices (in, out). A network is data, so that a tiny one
goes through the same code as ResNet-50.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NETS", "TINY", "Array", "Conv", "Dense", "Flatten", "Labels", "Layer", "Mean", "Net", "Norm", "Pool", "Relu",
    "Residual", "Shape", "after",
]  # fmt: skip

Array = NDArray[np.float32]
Labels = NDArray[np.int32]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Conv:
    """A convolution, padded alike on all sides."""

    filters: int
    size: int
    stride: int = 1
    padding: int = 0
    bias: bool = False


@dataclass(frozen=True)
class Norm:
    """Batch normalisation: ε 1e-5, running ← 0.9 · running + 0.1 · batch."""


@dataclass(frozen=True)
class Relu:
    """max(x, 0)"""


@dataclass(frozen=True)
class Pool:
    """The largest of each window."""

    size: int
    stride: int
    padding: int = 0


@dataclass(frozen=True)
class Mean:
    """The mean of each channel."""


@dataclass(frozen=True)
class Flatten:
    """Rows, columns and channels in a row."""


@dataclass(frozen=True)
class Dense:
    """x W + b"""

    units: int


@dataclass(frozen=True)
class Residual:
    """relu(body(x) + past(x)); an empty `past` is x itself."""

    body: tuple[Layer, ...]
    past: tuple[Layer, ...] = ()


Layer = Conv | Norm | Relu | Pool | Mean | Flatten | Dense | Residual


@dataclass(frozen=True)
class Net:
    """A network, the examples it takes, how it is trained (SGD, momentum 0.9), and the batches it is measured with."""

    name: str
    title: str
    inputs: Shape
    classes: int
    layers: tuple[Layer, ...]
    rate: float
    batches: tuple[int, ...]

    def walked(self) -> Iterator[tuple[Layer, Shape, Shape]]:
        """Each layer that is no Residual with the shapes of one example before and after it; bodies before pasts."""
        yield from _walked(self.layers, self.inputs)

    def shapes(self) -> list[Shape]:
        """Of all parameters: kernel and bias, or γ and β, in the order of `walked`."""
        found: list[Shape] = []
        for layer, before, _ in self.walked():
            match layer:
                case Conv():
                    found.append((layer.size, layer.size, before[-1], layer.filters))
                    found += [(layer.filters,)] if layer.bias else []
                case Dense():
                    found += [(before[-1], layer.units), (layer.units,)]
                case Norm():
                    found += [(before[-1],), (before[-1],)]
        return found

    def parameters(self) -> int:
        """How many numbers are learned."""
        return sum(prod(shape) for shape in self.shapes())

    def multiply_adds(self) -> list[int]:
        """Of each product of the forward pass, for one example."""
        found = []
        for layer, before, after in self.walked():
            match layer:
                case Conv():
                    found.append(prod(after) * layer.size**2 * before[-1])
                case Dense():
                    found.append(before[-1] * layer.units)
        return found

    def flops(self) -> int:
        """Of one example in a training step: forward, the gradient by each kernel, and by each input but the images."""
        products = self.multiply_adds()
        return 2 * (3 * sum(products) - products[0])

    def start(self) -> list[Array]:
        """The common start: kernels of He's normal distribution, the last one small, γ = 1, β = b = 0."""
        draw = np.random.default_rng(0)
        shapes = self.shapes()
        last = max(i for i, shape in enumerate(shapes) if len(shape) > 1)
        found: list[Array] = []
        norms = self._gammas()
        for i, shape in enumerate(shapes):
            if len(shape) > 1:
                scale = np.sqrt(2 / prod(shape[:-1])) if i < last else 0.1 / np.sqrt(shape[0])
                found.append(draw.standard_normal(shape, np.float32) * np.float32(scale))
            else:
                found.append(np.full(shape, i in norms, np.float32))
        return found

    def _gammas(self) -> set[int]:
        """Which parameters are a γ."""
        found, at = set(), 0
        for layer, _, _ in self.walked():
            match layer:
                case Norm():
                    found.add(at)
                    at += 2
                case Conv():
                    at += 1 + layer.bias
                case Dense():
                    at += 2
        return found

    def data(self, batch: int) -> tuple[Array, Labels]:
        """Two batches of noise with labels: what the numbers are does not change how long they take."""
        draw = np.random.default_rng(1)
        x = draw.standard_normal((2 * batch, *self.inputs), np.float32)
        return x, draw.integers(0, self.classes, 2 * batch, dtype=np.int32)


def _walked(layers: Sequence[Layer], shape: Shape) -> Iterator[tuple[Layer, Shape, Shape]]:
    for layer in layers:
        if isinstance(layer, Residual):
            before = shape
            for inner in _walked(layer.body, before):
                yield inner
                shape = inner[2]
            yield from _walked(layer.past, before)
        else:
            found = after(layer, shape)
            yield layer, shape, found
            shape = found


def after(layer: Layer, shape: Shape) -> Shape:
    """The shape of one example after this layer, which is no Residual."""
    match layer:
        case Conv():
            return (*((n + 2 * layer.padding - layer.size) // layer.stride + 1 for n in shape[:-1]), layer.filters)
        case Pool():
            return (*((n + 2 * layer.padding - layer.size) // layer.stride + 1 for n in shape[:-1]), shape[-1])
        case Mean():
            return shape[-1:]
        case Flatten():
            return (prod(shape),)
        case Dense():
            return (layer.units,)
    return shape


# --- the three networks, and tiny ones that go the same ways ----------------------------------------------------------
def _bottleneck(filters: int, stride: int, project: bool) -> Residual:
    body = (
        Conv(filters, 1), Norm(), Relu(), Conv(filters, 3, stride, 1), Norm(), Relu(), Conv(4 * filters, 1), Norm()
    )  # fmt: skip
    return Residual(body, (Conv(4 * filters, 1, stride), Norm()) if project else ())


def _resnet(side: int, classes: int, width: int, blocks: Sequence[int], batches: tuple[int, ...], title: str) -> Net:
    """He et al. 2016 with the stride in the 3×3 convolution, as torchvision and kj.zoo have it."""
    layers: list[Layer] = [Conv(width, 7, 2, 3), Norm(), Relu(), Pool(3, 2, 1)]
    for stage, count in enumerate(blocks):
        for i in range(count):
            layers.append(_bottleneck(width * 2**stage, 2 if stage and i == 0 else 1, i == 0))
    return Net("resnet50", title, (side, side, 3), classes, (*layers, Mean(), Dense(classes)), 0.001, batches)


def _vgg(
    side: int, classes: int, blocks: Sequence[tuple[int, int]], dense: int, batches: tuple[int, ...], title: str
) -> Net:  # fmt: skip
    """Simonyan and Zisserman 2015, without dropout: noise would differ between contestants."""
    layers: list[Layer] = []
    for count, channels in blocks:
        layers += [*(Conv(channels, 3, 1, 1, bias=True), Relu()) * count, Pool(2, 2)]
    layers += [Flatten(), Dense(dense), Relu(), Dense(dense), Relu(), Dense(classes)]
    return Net("vgg16", title, (side, side, 3), classes, tuple(layers), 0.0001, batches)


def _mlp(sizes: Sequence[int], batches: tuple[int, ...], title: str) -> Net:
    layers: list[Layer] = []
    for units in sizes[1:-1]:
        layers += [Dense(units), Relu()]
    return Net("mlp", title, (sizes[0],), sizes[-1], (*layers, Dense(sizes[-1])), 0.0005, batches)


BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))

NETS = {
    net.name: net
    for net in (
        _resnet(224, 1000, 64, (3, 4, 6, 3), (64, 256), "ResNet-50, 224×224"),
        _vgg(224, 1000, BLOCKS, 4096, (64, 256), "VGG-16 without dropout, 224×224"),
        _mlp((4096, 8192, 8192, 1000), (1024, 4096), "MLP 4096-8192-8192-1000"),
    )
}
TINY = {
    net.name: net
    for net in (
        _resnet(16, 10, 4, (2,), (4,), "a residual network of two bottlenecks, 16×16"),
        _vgg(16, 10, ((1, 4), (2, 8)), 16, (4,), "a VGG of three convolutions, 16×16"),
        _mlp((16, 32, 32, 10), (8,), "MLP 16-32-32-10"),
    )
}
