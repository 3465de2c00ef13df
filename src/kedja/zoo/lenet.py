"""LeNet-5, the network that read cheques."""

from __future__ import annotations

from typing import Any

from kedja.nn import Model
from kedja.nn.layers import AveragePool2D, Conv2D, Dense, Flatten
from kedja.zoo.blocks import head, image, network

__all__ = ["lenet5"]


def lenet5(
    classes: int = 10, *, input_shape: Any = (28, 28, 1), activation: str | None = "softmax", hidden: str = "tanh",
    dropout: float = 0.0, weights: Any = None,
) -> Model:  # fmt: skip
    """LeNet-5 (LeCun et al. 1998, figure 2): C1 · S2 · C3 · S4 · C5 · F6 · output, 61,706 parameters at 10 classes.

    The paper puts digits of 28×28 into fields of 32×32; here C1 has that border as padding, unless images are that
    large already. As is usual today, S2 and S4 are plain means, C3 sees all maps of S2, and the output is a Dense.

    >>> import kedja as kj
    >>> net = kj.zoo.lenet5()
    >>> net.summary().parameters, net.build(seed=0).predict(kj.zeros((2, 28, 28, 1)).numpy()).shape
    (61706, (2, 10))
    """
    height, width, _ = image("lenet5", input_shape)
    border = [((32 - n) // 2, (33 - n) // 2) if 28 <= n < 32 else (0, 0) for n in (height, width)]
    return network(
        "lenet5", input_shape,
        [
            Conv2D(6, 5, hidden, padding=border, name="C1"),
            AveragePool2D(2, name="S2"),
            Conv2D(16, 5, hidden, name="C3"),
            AveragePool2D(2, name="S4"),
            Flatten(name="flatten"),
            Dense(120, hidden, name="C5"),
            Dense(84, hidden, name="F6"),
            *head(classes, activation, dropout, pool=False, name="output"),
        ],
        weights,
    )  # fmt: skip
