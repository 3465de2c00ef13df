"""EfficientNet-Lite0: inverted residuals, without squeeze-and-excitation, clipped at 6."""

from __future__ import annotations

from typing import Any

from kedja.nn import Model, Sequential
from kedja.zoo.blocks import conv, head, mobile, network

__all__ = ["efficientnet_lite0"]

TABLE = (  # table 1 of the paper: expansion, kernel, stride, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
HOW: dict[str, Any] = {"epsilon": 1e-3, "momentum": 0.99}  # TensorFlow's


def efficientnet_lite0(
    classes: int = 1000, *, input_shape: Any = (224, 224, 3), activation: str | None = "softmax", dropout: float = 0.2,
    weights: Any = None,
) -> Model:  # fmt: skip
    """EfficientNet-Lite0 (Tan and Le 2019, table 1; Liu 2020 for the Lite form), 4,652,008 parameters at 1000 classes.

    MBConv blocks without squeeze-and-excitation, relu6, TensorFlow's padding (an odd zero at the end), ε = 1e-3.

    >>> import kedja as kj
    >>> kj.zoo.efficientnet_lite0().summary(batch_size=None).parameters
    4652008
    """
    channels, stages = 32, []
    for i, (expand, size, stride, filters, repeats) in enumerate(TABLE):
        blocks = []
        for k in range(repeats):
            blocks.append(
                mobile(f"block{k + 1}", channels, filters, size, stride=stride if k == 0 else 1, expand=expand, **HOW)
            )
            channels = filters
        stages.append(Sequential(blocks, name=f"stage{i + 1}"))
    return network(
        "efficientnet_lite0", input_shape,
        [
            *conv("1", 32, 3, "relu6", stride=2, **HOW),
            *stages,
            *conv("2", 1280, 1, "relu6", **HOW),
            *head(classes, activation, dropout),
        ],
        weights,
    )  # fmt: skip
