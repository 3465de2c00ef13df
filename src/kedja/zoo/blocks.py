"""What the architectures are made of: convolutions with what belongs to them, blocks, heads, the whole network."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from kedja import nn
from kedja.errors import DataError, ShapeError, one_of
from kedja.graph.dtypes import get_default_dtype
from kedja.graph.trace import trace
from kedja.nn import Input, Model, Sequential
from kedja.nn.layers import (
    Activation,
    BatchNorm,
    Branches,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePool,
    Layer,
    MaxPool2D,
    Residual,
)  # fmt: skip
from kedja.nn.layers.numbers import whole

__all__ = [
    "CEILING", "INIT", "conv", "dense_layer", "depthwise", "head", "inception", "mobile", "network", "norm", "residual",
]  # fmt: skip

INIT = "he_uniform"  # the variance of He's normal distribution, drawn in a quarter of the time
CEILING = ((0, 1), (0, 1))  # a last window that is not full counts too, for windows of 2 or 3 with stride 2
HEADS = (None, "sigmoid", "softmax")


# --- layers in a row ------------------------------------------------------------------------------------------------
def norm(which: str, activation: str | None = "relu", *, epsilon: float = 1e-5, momentum: float = 0.9) -> list[Layer]:
    """Batch normalisation and what follows it: norm⟨which⟩, and the activation under its own name."""
    layers: list[Layer] = [BatchNorm(momentum, epsilon, name=f"norm{which}")]
    return layers if activation is None else [*layers, Activation(activation, name=f"{activation}{which}")]


def conv(
    which: str, filters: int, size: int, activation: str | None = "relu", *, stride: int = 1, padding: Any = "same",
    normed: bool = True, epsilon: float = 1e-5, momentum: float = 0.9,
) -> list[Layer]:  # fmt: skip
    """conv⟨which⟩, norm⟨which⟩ and the activation: one line of a paper's table. Before a norm there is no bias.

    >>> [layer.name for layer in conv("2", 64, 3)]
    ['conv2', 'norm2', 'relu2']
    """
    how: dict[str, Any] = {"stride": stride, "padding": padding, "init": INIT, "name": f"conv{which}"}
    if not normed:
        return [Conv2D(filters, size, activation, **how)]
    return [
        Conv2D(filters, size, use_bias=False, **how), *norm(which, activation, epsilon=epsilon, momentum=momentum)
    ]  # fmt: skip


def depthwise(which: str, size: int, activation: str, *, stride: int = 1, **how: Any) -> list[Layer]:
    """conv⟨which⟩ of each channel by itself, padded as TensorFlow does, norm⟨which⟩ and the activation."""
    layer = DepthwiseConv2D(size, stride=stride, padding="same", use_bias=False, init=INIT, name=f"conv{which}")
    return [layer, *norm(which, activation, **how)]


# --- blocks ---------------------------------------------------------------------------------------------------------
def residual(name: str, layers: Sequence[Layer], filters: int, *, stride: int = 1, project: bool = False) -> Residual:
    """y = relu(x + g(x)); with `project`, x goes through a 1×1 convolution with batch norm. Source: He et al. 2016."""
    past = Sequential(conv("", filters, 1, None, stride=stride, padding=0)) if project else None
    return Residual(Sequential(layers), past, "relu", name=name)


def inception(
    name: str, one: int, three: tuple[int, int], five: tuple[int, int], pool: int, *, size: int, **how: Any
) -> Branches:
    """1×1, 3×3 and `size`×`size` convolutions and a max-pool beside each other, those that are wide on fewer channels.

    The numbers are the columns of table 1: #1×1, (#3×3 reduce, #3×3), (#5×5 reduce, #5×5), pool proj.
    Source: Szegedy et al. 2015, figure 2b.
    """
    return Branches(
        [
            Sequential(conv("1", one, 1, **how), name="branch1"),
            Sequential([*conv("1", three[0], 1, **how), *conv("2", three[1], 3, **how)], name="branch2"),
            Sequential([*conv("1", five[0], 1, **how), *conv("2", five[1], size, **how)], name="branch3"),
            Sequential([MaxPool2D(3, stride=1, padding=1, name="pool"), *conv("1", pool, 1, **how)], name="branch4"),
        ],
        name=name,
    )


def dense_layer(name: str, growth: int) -> Branches:
    """[x, g(x)], g being norm, relu, 1×1 to 4·growth channels, norm, relu, 3×3 to growth. Source: Huang et al. 2017."""
    new = [
        *norm("1"), Conv2D(4 * growth, 1, use_bias=False, init=INIT, name="conv1"),
        *norm("2"), Conv2D(growth, 3, padding=1, use_bias=False, init=INIT, name="conv2"),
    ]  # fmt: skip
    return Branches([nn.Identity(name="kept"), Sequential(new, name="new")], name=name)


def mobile(name: str, channels: int, filters: int, size: int, *, stride: int, expand: int, **how: Any) -> Layer:
    """MBConv: 1×1 to expand·channels, depthwise, 1×1 to `filters` without activation; plus x where the shape stays.

    No squeeze-and-excitation, as in EfficientNet-Lite. Source: Sandler et al. 2018.
    """
    act = how.pop("activation", "relu6")
    layers = [
        *(conv("1", channels * expand, 1, act, **how) if expand > 1 else []),
        *depthwise("2", size, act, stride=stride, **how),
        *conv("3", filters, 1, None, **how),
    ]
    if stride > 1 or channels != filters:
        return Sequential(layers, name=name)
    return Residual(Sequential(layers), name=name)


# --- the end, and the whole -----------------------------------------------------------------------------------------
def head(classes: int, activation: str | None, dropout: float, *, pool: bool = True, name: str = "fc") -> list[Layer]:
    """The mean of each channel, dropout if any, and a Dense with one unit a class and the activation of the task."""
    classes = whole("classes is how many outputs the network has", classes)
    if activation not in HEADS:
        raise one_of("activation of the head", activation, [str(h) for h in HEADS])
    if activation == "softmax" and classes == 1:
        raise DataError(
            'classes=1 with activation="softmax" is always 1, whatever the image: take classes=2, or one output with '
            'activation="sigmoid"'
        )
    return [
        *([GlobalAveragePool(name="average")] if pool else []),
        *([Dropout(dropout, name="dropout")] if dropout else []),
        Dense(classes, activation, name=name),
    ]


def image(name: str, shape: Any) -> tuple[int, int, int]:
    """The shape of an image, (height, width, channels)."""
    try:
        sizes = tuple(operator.index(n) for n in shape)
    except TypeError:
        sizes = ()
    if len(sizes) != 3 or min(sizes) < 1:
        raise ShapeError(
            f"{name}: input_shape is (height, width, channels) of one image, as (224, 224, 3); got {shape!r}"
        )
    if sizes[0] in (1, 3) and sizes[2] > 4:
        raise ShapeError(
            f"{name}: input_shape {sizes} has its channels first: here they stand last, ({sizes[1]}, {sizes[2]}, "
            f"{sizes[0]})"
        )
    return sizes[0], sizes[1], sizes[2]


def network(name: str, input_shape: Any, layers: Sequence[Layer], weights: Any = None) -> Model:
    """The layers in a row as a model for images of this shape, checked to be large enough; weights loaded, if any.

    Raises ShapeError, naming the layer and its arithmetic, when an image is too small for the architecture.
    """
    sizes = image(name, input_shape)
    x = y = Input(sizes, name="image")
    for layer in layers:
        y = layer(y)
    model = Model(x, y, name=name)
    model.info["network"] = name
    fits(model, sizes)
    if weights is not None:
        from kedja.zoo.weights import load

        load(model, weights)
    return model


def fits(model: Model, sizes: tuple[int, int, int]) -> None:
    """Raise unless images of this shape pass through the whole model; it is not built by that."""
    undo = model.restore_point()
    try:
        trace(lambda x: model(x, seed=0), [((2, *sizes), get_default_dtype())])
    except ShapeError as error:
        height, width, _ = sizes
        raise ShapeError(
            f"{model.name}: images of {height}×{width} are too small for this architecture. "
            f"{str(error).split(chr(10) + '  at ')[0]}\n  It was made for larger ones (see its input_shape): give "
            "larger images, or take a network for small ones, such as kj.zoo.small_resnet()."
        ) from None
    finally:
        undo()
