"""AlexNet, in one tower."""

from __future__ import annotations

from typing import Any

from kedja.nn import Model
from kedja.nn.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPool2D
from kedja.zoo.blocks import INIT, head, network

__all__ = ["alexnet"]


def alexnet(
    classes: int = 1000, *, input_shape: Any = (224, 224, 3), activation: str | None = "softmax", dropout: float = 0.5,
    weights: Any = None,
) -> Model:  # fmt: skip
    """AlexNet in one tower (Krizhevsky 2014, "one weird trick"), 61,100,840 parameters at 1000 classes.

    Five convolutions, three max-pools of 3×3 that overlap, three dense layers, dropout before the first two. The paper
    of 2012 (Krizhevsky, Sutskever and Hinton, figure 2) cuts it into two towers and normalises over channels.

    >>> import kedja as kj
    >>> kj.zoo.alexnet().summary(batch_size=None).parameters
    61100840
    """

    def conv(which: int, filters: int, size: int, *, stride: int = 1, padding: int) -> Layer:
        return Conv2D(filters, size, "relu", stride=stride, padding=padding, init=INIT, name=f"conv{which}")

    def drop(which: int) -> list[Layer]:
        return [Dropout(dropout, name=f"dropout{which}")] if dropout else []

    return network(
        "alexnet", input_shape,
        [
            conv(1, 64, 11, stride=4, padding=2), MaxPool2D(3, stride=2, name="pool1"),
            conv(2, 192, 5, padding=2), MaxPool2D(3, stride=2, name="pool2"),
            conv(3, 384, 3, padding=1),
            conv(4, 256, 3, padding=1),
            conv(5, 256, 3, padding=1), MaxPool2D(3, stride=2, name="pool5"),
            Flatten(name="flatten"),
            *drop(6), Dense(4096, "relu", init=INIT, name="fc6"),
            *drop(7), Dense(4096, "relu", init=INIT, name="fc7"),
            *head(classes, activation, 0.0, pool=False, name="fc8"),
        ],
        weights,
    )  # fmt: skip
