"""Networks of the literature, ready to be trained or looked at: `kj.zoo.resnet50()` (scope 7)."""

from typing import Any

from kedja.elsewhere import missing
from kedja.formats.names import torch_names
from kedja.zoo.alexnet import alexnet
from kedja.zoo.densenet import densenet121, small_densenet
from kedja.zoo.efficientnet import efficientnet_lite0
from kedja.zoo.googlenet import googlenet
from kedja.zoo.lenet import lenet5
from kedja.zoo.resnet import resnet18, resnet34, resnet50, small_resnet
from kedja.zoo.vgg import small_vgg, vgg11, vgg13, vgg16, vgg19

__all__ = [
    "alexnet", "densenet121", "efficientnet_lite0", "googlenet", "lenet5", "resnet18", "resnet34", "resnet50",
    "small_densenet", "small_resnet", "small_vgg", "torch_names", "vgg11", "vgg13", "vgg16", "vgg19",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
