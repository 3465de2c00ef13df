"""VGG: convolutions of 3×3 alone, in blocks that halve the image and double the channels."""

from __future__ import annotations

from typing import Any

from kedja.nn import Model, Sequential
from kedja.nn.layers import Dense, Dropout, Flatten, Layer, MaxPool2D
from kedja.zoo.blocks import INIT, conv, head, network

__all__ = ["small_vgg", "vgg11", "vgg13", "vgg16", "vgg19"]

CHANNELS = (64, 128, 256, 512, 512)
TABLE = {  # how many convolutions each block has: the columns A, B, D and E of the paper's table 1
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


def block(which: int, convs: int, channels: int, normed: bool = False) -> Sequential:
    """Convolutions of 3×3 that keep the size, then a max-pool that halves it."""
    layers = [layer for i in range(convs) for layer in conv(str(i + 1), channels, 3, padding=1, normed=normed)]
    return Sequential([*layers, MaxPool2D(2, name="pool")], name=f"block{which}")


def _vgg(
    name: str, classes: int, input_shape: Any, activation: str | None, dropout: float, batch_norm: bool, weights: Any
) -> Model:
    def drop(which: int) -> list[Layer]:
        return [Dropout(dropout, name=f"dropout{which}")] if dropout else []

    return network(
        name, input_shape,
        [
            *(block(i + 1, n, c, batch_norm) for i, (n, c) in enumerate(zip(TABLE[name], CHANNELS, strict=True))),
            Flatten(name="flatten"),
            Dense(4096, "relu", init=INIT, name="fc1"), *drop(1),
            Dense(4096, "relu", init=INIT, name="fc2"), *drop(2),
            *head(classes, activation, 0.0, pool=False, name="fc3"),
        ],
        weights,
    )  # fmt: skip


def vgg11(
    classes: int = 1000, *, input_shape: Any = (224, 224, 3), activation: str | None = "softmax", dropout: float = 0.5,
    batch_norm: bool = False, weights: Any = None,
) -> Model:  # fmt: skip
    """VGG with 11 layers (Simonyan and Zisserman 2015, table 1, column A), 132,863,336 parameters at 1000 classes.

    `batch_norm` puts batch normalisation after each convolution (which then has no bias).

    >>> import kedja as kj
    >>> kj.zoo.vgg11().summary(batch_size=None).parameters
    132863336
    """
    return _vgg("vgg11", classes, input_shape, activation, dropout, batch_norm, weights)


def vgg13(
    classes: int = 1000, *, input_shape: Any = (224, 224, 3), activation: str | None = "softmax", dropout: float = 0.5,
    batch_norm: bool = False, weights: Any = None,
) -> Model:  # fmt: skip
    """VGG with 13 layers (Simonyan and Zisserman 2015, table 1, column B), 133,047,848 parameters at 1000 classes.

    >>> import kedja as kj
    >>> kj.zoo.vgg13().summary(batch_size=None).parameters
    133047848
    """
    return _vgg("vgg13", classes, input_shape, activation, dropout, batch_norm, weights)


def vgg16(
    classes: int = 1000, *, input_shape: Any = (224, 224, 3), activation: str | None = "softmax", dropout: float = 0.5,
    batch_norm: bool = False, weights: Any = None,
) -> Model:  # fmt: skip
    """VGG with 16 layers (Simonyan and Zisserman 2015, table 1, column D), 138,357,544 parameters at 1000 classes.

    The blocks give, as [c, h, w]: 64,112,112 · 128,56,56 · 256,28,28 · 512,14,14 · 512,7,7; then 4096 · 4096 · 1000.

    >>> import kedja as kj
    >>> table = kj.zoo.vgg16().summary(layout="chw", batch_size=None)
    >>> table.parameters, [row.output[1:] for row in table.rows if row.name.endswith("pool")][-1]
    (138357544, (512, 7, 7))
    """
    return _vgg("vgg16", classes, input_shape, activation, dropout, batch_norm, weights)


def vgg19(
    classes: int = 1000, *, input_shape: Any = (224, 224, 3), activation: str | None = "softmax", dropout: float = 0.5,
    batch_norm: bool = False, weights: Any = None,
) -> Model:  # fmt: skip
    """VGG with 19 layers (Simonyan and Zisserman 2015, table 1, column E), 143,667,240 parameters at 1000 classes.

    >>> import kedja as kj
    >>> kj.zoo.vgg19().summary(batch_size=None).parameters
    143667240
    """
    return _vgg("vgg19", classes, input_shape, activation, dropout, batch_norm, weights)


def small_vgg(
    classes: int = 10, *, input_shape: Any = (32, 32, 3), activation: str | None = "softmax", dropout: float = 0.5,
    width: int = 32, weights: Any = None,
) -> Model:  # fmt: skip
    """A VGG for images of 28×28 or 32×32: three blocks of two convolutions with batch norm, then one dense layer.

    The blocks have `width`, 2·width and 4·width channels. After Simonyan and Zisserman 2015, cut to the size of digits.

    >>> import kedja as kj
    >>> kj.zoo.small_vgg(input_shape=(28, 28, 1)).summary(batch_size=None).parameters
    435754
    """
    return network(
        "small_vgg", input_shape,
        [
            *(block(i + 1, 2, width * 2**i, normed=True) for i in range(3)),
            Flatten(name="flatten"),
            Dense(4 * width, "relu", init=INIT, name="fc1"),
            *head(classes, activation, dropout, pool=False, name="fc2"),
        ],
        weights,
    )  # fmt: skip
