"""A network of the zoo and its counterpart in PyTorch, with the same random weights: how far apart are they?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import kedja as kj
from zoo.torch_models import (
    VGG,
    Basic,
    Bottleneck,
    DenseNet,
    EfficientNetLite0,
    GoogLeNet,
    LeNet,
    ResNet,
    alexnet,
    small_vgg,
    vgg,
)  # fmt: skip

CLASSES = 7


@dataclass
class Pair:
    """A network of ours without softmax, theirs, and the images they are tried on."""

    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    shape: tuple[int, ...]


def image(size: int, n: int = 2, channels: int = 3) -> tuple[int, ...]:
    """The shape of a batch of images."""
    return (n, size, size, channels)


def pair(name: str, theirs: Callable[[], Any], shape: tuple[int, ...], **how: Any) -> Pair:
    """A network by its name in kj.zoo."""
    make = getattr(kj.zoo, name)
    return Pair(lambda: make(CLASSES, input_shape=shape[1:], activation=None, dropout=0.0, **how), theirs, shape)


SMALL = {
    "lenet5": pair("lenet5", lambda: LeNet(CLASSES), image(28, 4, 1)),
    "small_vgg": pair("small_vgg", lambda: small_vgg(CLASSES, 128 * 4), (3, 16, 20, 3)),  # 20 // 8 = 2, 16 // 8 = 2
    "small_resnet": pair("small_resnet", lambda: ResNet(Basic, (1, 1, 1), CLASSES, small=True), image(15), depth=8),
    "small_densenet": pair(
        "small_densenet", lambda: DenseNet((2, 2, 2), 12, 6, CLASSES, small=True), image(14), depth=16, growth=6
    ),
    "efficientnet_lite0": pair("efficientnet_lite0", lambda: EfficientNetLite0(CLASSES), (2, 38, 35, 3)),
}
LARGE = {
    "alexnet": pair("alexnet", lambda: alexnet(CLASSES, 256 * 2), (2, 96, 64, 3)),
    **{
        n: pair(n, lambda n=n: vgg(VGG[n], CLASSES, 512 * 2), (2, 64, 32, 3))
        for n in ("vgg11", "vgg13", "vgg16", "vgg19")
    },
    "vgg11 with batch norm": pair(
        "vgg11", lambda: vgg(VGG["vgg11"], CLASSES, 512, normed=True), image(32, 3), batch_norm=True
    ),
    "googlenet": pair("googlenet", lambda: GoogLeNet(CLASSES), image(75)),
    "googlenet, paper": pair("googlenet", lambda: GoogLeNet(CLASSES, normed=False), image(96), form="paper"),
    "resnet18": pair("resnet18", lambda: ResNet(Basic, (2, 2, 2, 2), CLASSES), image(64)),
    "resnet34": pair("resnet34", lambda: ResNet(Basic, (3, 4, 6, 3), CLASSES), image(64)),
    "resnet50": pair("resnet50", lambda: ResNet(Bottleneck, (3, 4, 6, 3), CLASSES), image(75)),
    "densenet121": pair("densenet121", lambda: DenseNet((6, 12, 24, 16), 64, 32, CLASSES), image(75)),
}
PAIRS = SMALL | LARGE


def moved(pair: Pair, dtype: str = "float64") -> tuple[Any, Any]:
    """Both networks with the same random weights, drawn by us, and nothing in them what it started as."""
    with kj.default_dtype(dtype):
        ours = pair.ours().build(seed=3)
    rng = np.random.default_rng(5)
    for path, v in ours.state.items():
        if path.endswith(("gamma", "variance")):
            v.assign(rng.uniform(0.6, 1.4, v.shape).astype(dtype))
        elif v.ndim == 1:
            v.assign(rng.normal(0, 0.2, v.shape).astype(dtype))
    theirs = pair.theirs().to(getattr(torch, dtype))
    given = {
        place.name: torch.from_numpy(np.array(place.layout.to_torch(ours.state[path].value)))
        for path, place in kj.zoo.torch_names(ours).items()
    }
    kept = {k: v for k, v in theirs.state_dict().items() if k.endswith("num_batches_tracked")}
    theirs.load_state_dict({**given, **kept}, strict=True)
    return ours, theirs


def apart(a: Any, b: Any) -> float:
    """The largest difference, relative to the largest entry."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


def compared(
    pair: Pair, *, training: bool, dtype: str = "float64", engine: str = "reference", gradients: bool = True
) -> dict[str, float]:
    """The worst difference of outputs, of gradients by each parameter, and of running statistics after the call."""
    ours, theirs = moved(pair, dtype)
    rng = np.random.default_rng(7)
    x = rng.normal(size=pair.shape).astype(dtype)
    aim = rng.normal(size=(pair.shape[0], CLASSES)).astype(dtype)
    places = kj.zoo.torch_names(ours)
    parameters = ours.state.of_kind("trainable")

    def run(x: Any) -> Any:
        y = ours(x, training=training)
        loss = (y * kj.tensor(aim, dtype=dtype)).sum() + 0.5 * (y * y).mean()
        return [y, *(kj.grad(loss, list(parameters.values())) if gradients else [])]

    with kj.default_dtype(dtype):
        y, *found = kj.compile(run, engine=engine)(kj.tensor(x, dtype=dtype))
    theirs.train(training)
    z = theirs(torch.from_numpy(x).permute(0, 3, 1, 2))
    result = {"output": apart(y.numpy(), z.detach().numpy())}
    if gradients:
        loss = (z * torch.from_numpy(aim)).sum() + 0.5 * (z * z).mean()
        named = dict(theirs.named_parameters())
        expected = torch.autograd.grad(loss, [named[places[p].name] for p in parameters])
        # A bias before a norm and the like have gradients of nearly 0: small against the largest of the network.
        largest = max(float(g.abs().max()) for g in expected)
        result["gradient"] = max(
            float(np.abs(g.numpy() - places[p].layout.from_torch(e.numpy())).max())
            / max(float(e.abs().max()), 1e-6 * largest)
            for p, g, e in zip(parameters, found, expected, strict=True)
        )
    statistics = ours.state.of_kind("statistic")
    if training and statistics:
        theirs_now = theirs.state_dict()
        result["statistic"] = max(apart(v.value, theirs_now[places[p].name].numpy()) for p, v in statistics.items())
    return result
