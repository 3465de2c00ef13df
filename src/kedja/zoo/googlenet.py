"""GoogLeNet: convolutions of several sizes beside each other."""

from __future__ import annotations

from typing import Any

from kedja.errors import one_of
from kedja.nn import Model
from kedja.nn.layers import Layer, MaxPool2D
from kedja.zoo.blocks import CEILING, conv, head, inception, network

__all__ = ["googlenet"]

FORMS = ("batch_norm", "paper")
TABLE = {  # table 1: #1×1, (#3×3 reduce, #3×3), (#5×5 reduce, #5×5), pool proj
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}


def googlenet(
    classes: int = 1000, *, form: str = "batch_norm", input_shape: Any = (224, 224, 3),
    activation: str | None = "softmax", dropout: float = 0.4, weights: Any = None,
) -> Model:  # fmt: skip
    """GoogLeNet (Szegedy et al. 2015, table 1), without the auxiliary classifiers.

    form="batch_norm": as torchvision builds it, batch norm (ε = 1e-3) after each convolution, which has no bias, and
    3×3 in the place of 5×5: 6,624,904 parameters at 1000 classes. form="paper": as the table says, biases and 5×5:
    6,998,552. The local response normalisation of the paper's figure, which has no parameters, is left out.

    >>> import kedja as kj
    >>> [kj.zoo.googlenet(form=form).summary(batch_size=None).parameters for form in ("batch_norm", "paper")]
    [6624904, 6998552]
    """
    if form not in FORMS:
        raise one_of("form of googlenet", form, FORMS)
    normed = form == "batch_norm"
    how: dict[str, Any] = {"normed": normed, "epsilon": 1e-3}
    size = 3 if normed else 5

    def modules(stage: str) -> list[Layer]:
        return [inception(f"inception_{k}", *TABLE[k], size=size, **how) for k in TABLE if k[0] == stage]

    return network(
        "googlenet", input_shape,
        [
            *conv("1", 64, 7, stride=2, padding=3, **how), MaxPool2D(3, stride=2, padding=CEILING, name="pool1"),
            *conv("2", 64, 1, **how),
            *conv("3", 192, 3, padding=1, **how), MaxPool2D(3, stride=2, padding=CEILING, name="pool2"),
            *modules("3"), MaxPool2D(3, stride=2, padding=CEILING, name="pool3"),
            *modules("4"), MaxPool2D(2 if normed else 3, stride=2, padding=CEILING, name="pool4"),
            *modules("5"),
            *head(classes, activation, dropout),
        ],
        weights,
    )  # fmt: skip
