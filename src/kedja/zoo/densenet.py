"""Densely connected networks: each layer sees what all layers before it made."""

from __future__ import annotations

from typing import Any

from kedja.errors import DataError
from kedja.nn import Model, Sequential
from kedja.nn.layers import AveragePool2D, Conv2D, Layer, MaxPool2D
from kedja.nn.layers.numbers import whole
from kedja.zoo.blocks import INIT, conv, dense_layer, head, network, norm

__all__ = ["densenet121", "small_densenet"]


def dense_block(which: int, layers: int, growth: int) -> Layer:
    """Each layer adds `growth` channels to those it was given."""
    return Sequential([dense_layer(f"layer{i + 1}", growth) for i in range(layers)], name=f"dense{which}")


def transition(which: int, channels: int) -> Layer:
    """Fewer channels by a 1×1 convolution, and half the size by a mean over 2×2."""
    layers = [
        *norm(""), Conv2D(channels, 1, use_bias=False, init=INIT, name="conv"), AveragePool2D(2, name="pool")
    ]  # fmt: skip
    return Sequential(layers, name=f"transition{which}")


def body(blocks: tuple[int, ...], start: int, growth: int) -> list[Layer]:
    """Dense blocks with transitions between them that halve the channels, and a last norm."""
    channels, layers = start, []
    for i, n in enumerate(blocks):
        layers.append(dense_block(i + 1, n, growth))
        channels += n * growth
        if i + 1 < len(blocks):
            channels //= 2
            layers.append(transition(i + 1, channels))
    return [*layers, *norm(str(len(blocks) + 1))]


def densenet121(
    classes: int = 1000, *, input_shape: Any = (224, 224, 3), activation: str | None = "softmax", dropout: float = 0.0,
    weights: Any = None,
) -> Model:  # fmt: skip
    """DenseNet-121 (Huang et al. 2017, table 1; growth 32), 7,978,856 parameters at 1000 classes.

    With 14 outputs that are each on or off it is CheXNet (Rajpurkar et al. 2017), 6,968,206 parameters.

    >>> import kedja as kj
    >>> chexnet = kj.zoo.densenet121(classes=14, activation="sigmoid")
    >>> chexnet.summary(batch_size=None).parameters
    6968206
    """
    return network(
        "densenet121", input_shape,
        [
            *conv("1", 64, 7, stride=2, padding=3), MaxPool2D(3, stride=2, padding=1, name="pool1"),
            *body((6, 12, 24, 16), 64, 32),
            *head(classes, activation, dropout),
        ],
        weights,
    )  # fmt: skip


def small_densenet(
    classes: int = 10, *, depth: int = 40, growth: int = 12, input_shape: Any = (32, 32, 3),
    activation: str | None = "softmax", dropout: float = 0.0, weights: Any = None,
) -> Model:  # fmt: skip
    """DenseNet-BC for images of 28×28 or 32×32 (Huang et al. 2017, section 3 and table 2).

    A convolution to 2·growth channels, then three dense blocks of n layers: depth is 6n + 4, as 16, 40, 100.
    At depth 100 and growth 12 it has 0.8 million parameters.

    >>> import kedja as kj
    >>> kj.zoo.small_densenet().summary(batch_size=None).parameters
    176122
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 10 or depth % 6 != 4:
        raise DataError(f"small_densenet: depth is 6n + 4 with three blocks of n layers, as 16, 40; got {depth!r}")
    growth = whole("small_densenet: growth is how many channels each layer adds", growth)
    first = Conv2D(2 * growth, 3, padding=1, use_bias=False, init=INIT, name="conv1")
    return network(
        "small_densenet", input_shape,
        [first, *body(((depth - 4) // 6,) * 3, 2 * growth, growth), *head(classes, activation, dropout)],
        weights,
    )  # fmt: skip
