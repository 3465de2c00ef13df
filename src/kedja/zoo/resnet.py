"""Residual networks: each block learns what is to be added to its input."""

from __future__ import annotations

from typing import Any

from kedja.errors import DataError
from kedja.nn import Model, Sequential
from kedja.nn.layers import Layer, MaxPool2D
from kedja.zoo.blocks import conv, head, network, residual

__all__ = ["resnet18", "resnet34", "resnet50", "small_resnet"]

TABLE = {  # table 1: blocks in conv2_x … conv5_x, and whether they are bottlenecks
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
}


def basic(name: str, filters: int, stride: int, project: bool) -> Layer:
    """Two convolutions of 3×3 (figure 5, left)."""
    layers = [*conv("1", filters, 3, stride=stride, padding=1), *conv("2", filters, 3, None, padding=1)]
    return residual(name, layers, filters, stride=stride, project=project)


def bottleneck(name: str, filters: int, stride: int, project: bool) -> Layer:
    """1×1 to fewer channels, 3×3, 1×1 to four times as many (figure 5, right); the 3×3 strides."""
    layers = [
        *conv("1", filters, 1), *conv("2", filters, 3, stride=stride, padding=1), *conv("3", 4 * filters, 1, None)
    ]  # fmt: skip
    return residual(name, layers, 4 * filters, stride=stride, project=project)


def stage(name: str, blocks: int, filters: int, stride: int, *, bottled: bool = False, widens: bool = True) -> Layer:
    """Blocks in a row; the first one strides, and projects its input where that changes the shape."""
    kind = bottleneck if bottled else basic
    return Sequential(
        [kind(f"block{i + 1}", filters, stride if i == 0 else 1, i == 0 and widens) for i in range(blocks)], name=name
    )


def _resnet(
    name: str, classes: int, input_shape: Any, activation: str | None, dropout: float, weights: Any
) -> Model:  # fmt: skip
    blocks, bottled = TABLE[name]
    return network(
        name, input_shape,
        [
            *conv("1", 64, 7, stride=2, padding=3), MaxPool2D(3, stride=2, padding=1, name="pool1"),
            stage("conv2_x", blocks[0], 64, 1, bottled=bottled, widens=bottled),
            stage("conv3_x", blocks[1], 128, 2, bottled=bottled),
            stage("conv4_x", blocks[2], 256, 2, bottled=bottled),
            stage("conv5_x", blocks[3], 512, 2, bottled=bottled),
            *head(classes, activation, dropout),
        ],
        weights,
    )  # fmt: skip


def resnet18(
    classes: int = 1000, *, input_shape: Any = (224, 224, 3), activation: str | None = "softmax", dropout: float = 0.0,
    weights: Any = None,
) -> Model:  # fmt: skip
    """ResNet-18 (He et al. 2016, table 1, "18-layer"), 11,689,512 parameters at 1000 classes.

    Where a block changes the shape its input goes through a 1×1 convolution (option B of the paper).

    >>> import kedja as kj
    >>> kj.zoo.resnet18().summary(batch_size=None).parameters
    11689512
    """
    return _resnet("resnet18", classes, input_shape, activation, dropout, weights)


def resnet34(
    classes: int = 1000, *, input_shape: Any = (224, 224, 3), activation: str | None = "softmax", dropout: float = 0.0,
    weights: Any = None,
) -> Model:  # fmt: skip
    """ResNet-34 (He et al. 2016, table 1, "34-layer"), 21,797,672 parameters at 1000 classes; else as `resnet18`.

    >>> import kedja as kj
    >>> kj.zoo.resnet34().summary(batch_size=None).parameters
    21797672
    """
    return _resnet("resnet34", classes, input_shape, activation, dropout, weights)


def resnet50(
    classes: int = 1000, *, input_shape: Any = (224, 224, 3), activation: str | None = "softmax", dropout: float = 0.0,
    weights: Any = None,
) -> Model:  # fmt: skip
    """ResNet-50 (He et al. 2016, table 1, "50-layer"), 25,557,032 parameters at 1000 classes.

    In a block that halves the image the 3×3 convolution strides, as in torchvision ("v1.5"); in the paper, and in
    Keras, the first 1×1 does. The parameters are the same, the multiply-adds 4.09 G instead of 3.8 G.

    >>> import kedja as kj
    >>> kj.zoo.resnet50().summary(batch_size=None).parameters
    25557032
    """
    return _resnet("resnet50", classes, input_shape, activation, dropout, weights)


def small_resnet(
    classes: int = 10, *, depth: int = 20, input_shape: Any = (32, 32, 3), activation: str | None = "softmax",
    dropout: float = 0.0, weights: Any = None,
) -> Model:  # fmt: skip
    """A ResNet for images of 28×28 or 32×32 (He et al. 2016, section 4.2, table 6).

    A convolution, then three stages of n blocks with 16, 32 and 64 channels, then the mean of each channel: depth is
    6n + 2, as 8, 20, 32, 56, 110. With projections where the shape changes (the paper has
    zeros there) 272,474 parameters at depth 20, 78,042 at depth 8.

    >>> import kedja as kj
    >>> [kj.zoo.small_resnet(depth=d).summary(batch_size=None).parameters for d in (8, 20)]
    [78042, 272474]
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
        raise DataError(f"small_resnet: depth is 6n + 2 with three stages of n blocks, as 8, 14, 20; got {depth!r}")
    blocks = (depth - 2) // 6
    return network(
        "small_resnet", input_shape,
        [
            *conv("1", 16, 3, padding=1),
            stage("conv2_x", blocks, 16, 1, widens=False),
            stage("conv3_x", blocks, 32, 2),
            stage("conv4_x", blocks, 64, 2),
            *head(classes, activation, dropout),
        ],
        weights,
    )  # fmt: skip
