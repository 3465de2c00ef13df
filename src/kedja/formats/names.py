"""What our variables are called in PyTorch, and how their numbers lie there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kedja.errors import GraphError, one_of
from kedja.graph.node import Array, Tensor
from kedja.graph.trace import trace
from kedja.nn import Model
from kedja.nn.layers import Flatten, Layer
from kedja.nn.layers.call import watching

__all__ = ["Layout", "Place", "torch_names"]


class Layout(NamedTuple):
    """How the numbers of a variable lie in PyTorch: its axes put in another order, those of an image inside one too.

    `axes`: our axis i is PyTorch's axis axes[i]; `image`: (c, h, w), where the first of our axes runs over a flattened
    image, which PyTorch flattens with the channels first.

    >>> Layout((1, 0)).from_torch(np.zeros((10, 784))).shape
    (784, 10)
    >>> Layout((2, 3, 1, 0)).to_torch(np.zeros((5, 5, 1, 6))).shape
    (6, 1, 5, 5)
    """

    axes: tuple[int, ...] = ()
    image: tuple[int, int, int] | None = None

    def from_torch(self, array: Any) -> Array:
        """PyTorch's array in our order."""
        found = np.asarray(array)
        found = found.transpose(self.axes) if self.axes else found
        if self.image is None:
            return found
        whole = (*self.image, *found.shape[1:])
        return found.reshape(whole).transpose(1, 2, 0, *range(3, len(whole))).reshape(found.shape)

    def to_torch(self, array: Any) -> Array:
        """Our array in PyTorch's order."""
        found = np.asarray(array)
        if self.image is not None:
            c, h, w = self.image
            whole = (h, w, c, *found.shape[1:])
            found = found.reshape(whole).transpose(2, 0, 1, *range(3, len(whole))).reshape(found.shape)
        return found.transpose(np.argsort(self.axes)) if self.axes else found

    def shape_in_torch(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that a variable of ours has in PyTorch."""
        return tuple(shape[i] for i in np.argsort(self.axes)) if self.axes else shape


class Place(NamedTuple):
    """The name of a tensor in a state dict, and how it lies there."""

    name: str
    layout: Layout


LAYOUTS = {2: Layout((1, 0)), 4: Layout((2, 3, 1, 0))}  # Dense (in, out) and Conv2D (h, w, in, out)
LEAVES = {
    "beta": "bias", "bias": "bias", "gamma": "weight", "kernel": "weight", "mean": "running_mean",
    "variance": "running_var",
}  # fmt: skip
Rule = Callable[[str], str]


def replacing(*pairs: tuple[str, str]) -> Rule:
    """Regular expressions and what stands in their place, one after the other."""

    def rule(path: str) -> str:
        for pattern, new in pairs:
            path = re.sub(pattern, new, path)
        return path

    return rule


def shifted(pattern: str, template: str) -> Rule:
    """Numbers counted from 0 in PyTorch and from 1 here: {0}, {1}, … in the template are ours less one."""

    def rule(path: str) -> str:
        return re.sub(pattern, lambda m: template.format(*(int(g) - 1 for g in m.groups())), path)

    return rule


def after(*rules: Rule) -> Rule:
    """One rule after the other."""

    def rule(path: str) -> str:
        for one in rules:
            path = one(path)
        return path

    return rule


def counted(features: list[str], **others: str) -> Rule:
    """Layers that PyTorch counts in a Sequential: `features` are ours in that order, "" for those without variables."""
    table = {name: f"features.{i}" for i, name in enumerate(features) if name} | others
    return lambda path: table.get(path, path)


def vgg_features(convs: tuple[int, ...], normed: bool) -> list[str]:
    """The layers of the blocks of a VGG, one by one."""
    found: list[str] = []
    for b, n in enumerate(convs):
        for i in range(n):
            found += [f"block{b + 1}.conv{i + 1}", *([f"block{b + 1}.norm{i + 1}"] if normed else []), ""]
        found.append("")
    return found


VGG_HEAD = {"fc1": "classifier.0", "fc2": "classifier.3", "fc3": "classifier.6"}
ALEXNET = counted(
    ["conv1", "", "", "conv2", "", "", "conv3", "", "conv4", "", "conv5"],
    fc6="classifier.1", fc7="classifier.4", fc8="classifier.6",
)  # fmt: skip
RESNET = after(
    shifted(r"^conv(\d)_x\.block(\d+)", "layer{0}.{1}"),
    replacing(
        (r"\.layer\.", "."), (r"\.projection\.conv$", ".downsample.0"), (r"\.projection\.norm$", ".downsample.1"),
        (r"norm(\d)$", r"bn\1"),
    ),
)  # fmt: skip
GOOGLENET = replacing(
    (r"^conv(\d)$", r"conv\1.conv"), (r"^norm(\d)$", r"conv\1.bn"),
    (r"^inception_", "inception"),
    (r"branch1\.conv1$", "branch1.conv"), (r"branch1\.norm1$", "branch1.bn"),
    (r"branch4\.conv1$", "branch4.1.conv"), (r"branch4\.norm1$", "branch4.1.bn"),
    (r"(branch[23])\.conv1$", r"\1.0.conv"), (r"(branch[23])\.norm1$", r"\1.0.bn"),
    (r"(branch[23])\.conv2$", r"\1.1.conv"), (r"(branch[23])\.norm2$", r"\1.1.bn"),
)  # fmt: skip
DENSENET = replacing(
    (r"^conv1$", "features.conv0"), (r"^norm1$", "features.norm0"),
    (r"^dense(\d)\.layer(\d+)\.new\.", r"features.denseblock\1.denselayer\2."),
    (r"^transition", "features.transition"), (r"^norm(\d)$", r"features.norm\1"), (r"^fc$", "classifier"),
)  # fmt: skip
REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks in the stages of EfficientNet-Lite0


def one_by_one(path: str) -> str:
    """Blocks counted through all stages, as in the PyTorch package with the weights of EfficientNet-Lite0."""

    def place(m: re.Match[str]) -> str:
        return f"_blocks.{sum(REPEATS[: int(m[1]) - 1]) + int(m[2]) - 1}."

    path = re.sub(r"^stage(\d)\.block(\d+)\.(?:layer\.)?", place, path)
    inside = {"conv1": "_expand_conv", "conv2": "_depthwise_conv", "conv3": "_project_conv"}
    inside |= {f"norm{i + 1}": f"_bn{i}" for i in range(3)}
    outside = {"conv1": "_conv_stem", "norm1": "_bn0", "conv2": "_conv_head", "norm2": "_bn1", "fc": "_fc"}
    head, _, leaf = path.rpartition(".")
    return f"{head}.{inside[leaf]}" if head else outside[leaf]


def staged(path: str) -> str:
    """Blocks counted in their stage, as in timm; its first stage has no expansion and counts from the next."""
    outside = {"conv1": "conv_stem", "norm1": "bn1", "conv2": "conv_head", "norm2": "bn2", "fc": "classifier"}
    if "." not in path:
        return outside[path]
    path = shifted(r"^stage(\d)\.block(\d+)\.(?:layer\.)?", "blocks.{0}.{1}.")(path)
    first = path.startswith("blocks.0.")
    inside = {"conv2": "conv_dw", "conv3": "conv_pw", "norm2": "bn1", "norm3": "bn2"}
    if not first:
        inside = {"conv1": "conv_pw", "conv2": "conv_dw", "conv3": "conv_pwl"} | {
            f"norm{i}": f"bn{i}" for i in (1, 2, 3)
        }
    head, _, leaf = path.rpartition(".")
    return f"{head}.{inside[leaf]}"


def rules_of(network: str, model: Layer) -> dict[str, Rule]:
    """The ways in which PyTorch's world names the layers of a network, the usual one first."""
    blocks = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2,) * 5, "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
    if network in blocks:
        features = vgg_features(blocks[network], "block1.norm1.gamma" in model.state)
        return {"torchvision": counted(features, **VGG_HEAD)}
    rules: dict[str, dict[str, Rule]] = {
        "alexnet": {"torchvision": ALEXNET},
        "densenet121": {"torchvision": DENSENET},
        "efficientnet_lite0": {"efficientnet_pytorch": one_by_one, "timm": staged},
        "googlenet": {"torchvision": GOOGLENET},
        "lenet5": {"torchvision": lambda path: path},
        "resnet18": {"torchvision": RESNET},
        "resnet34": {"torchvision": RESNET},
        "resnet50": {"torchvision": RESNET},
        "small_densenet": {"torchvision": DENSENET},
        "small_resnet": {"torchvision": RESNET},
        "small_vgg": {"torchvision": counted(vgg_features((2, 2, 2), True), fc1="classifier.0", fc2="classifier.3")},
    }
    if network not in rules:
        raise one_of("network of kj.zoo", network, [*rules, *blocks])
    return rules[network]


def torch_names(model: Model, style: str | None = None) -> dict[str, Place]:
    """Where each variable of a network of `kj.zoo` stands in a PyTorch state dict: our path → (name, layout).

    `style` is "torchvision" (timm names its AlexNet, VGG, ResNet and DenseNet so too), and for EfficientNet-Lite0
    "efficientnet_pytorch", its default, or "timm". `layout.from_torch(array)` puts an array of theirs in our order,
    `layout.to_torch(array)` one of ours in theirs: kernels OIHW ↔ HWIO, matrices transposed, and the first matrix after
    a flattened image with its rows in the order (c, h, w) ↔ (h, w, c). `num_batches_tracked` has no place here.

    Raises GraphError for a model that does not come from `kj.zoo`, and one that is not built.

    >>> import kedja as kj
    >>> names = torch_names(kj.zoo.lenet5().build(seed=0))
    >>> names["C1.kernel"].name, names["C1.kernel"].layout.axes, names["C5.kernel"].layout.image
    ('C1.weight', (2, 3, 1, 0), (16, 5, 5))
    """
    network = getattr(model, "info", {}).get("network")
    if not isinstance(model, Model) or network is None:
        raise GraphError(
            "torch_names knows the networks of kj.zoo, and this model is none: its info has no 'network'. "
            "Where two models have the same layers, net.get_weights() of one fits the other."
        )
    model.expect_weights()
    rules = rules_of(network, model)
    if style is not None and style not in rules:
        raise one_of(f"style of {network}", style, rules)
    rule = rules[style] if style is not None else next(iter(rules.values()))
    images = flattened(model)
    found: dict[str, Place] = {}
    for path, variable in model.state.of_kind("trainable", "statistic").items():
        layer, _, leaf = path.rpartition(".")
        layout = LAYOUTS.get(variable.ndim, Layout())
        if leaf == "kernel" and layer in images:
            layout = layout._replace(image=images[layer])
        found[path] = Place(f"{rule(layer)}.{LEAVES[leaf]}", layout)
    twice = {p.name for p in found.values() if [q.name for q in found.values()].count(p.name) > 1}
    if twice:
        raise GraphError(f"{network}: two variables have the name {sorted(twice)[0]!r} in PyTorch")
    return found


def flattened(model: Model) -> dict[str, tuple[int, int, int]]:
    """The layers that are called on a flattened image, by path, with the (c, h, w) of the image."""
    images: dict[Tensor, tuple[int, int, int]] = {}
    found: dict[str, tuple[int, int, int]] = {}

    def look(layer: Layer, path: str, inputs: Any, output: Any) -> None:
        (x,) = inputs[:1]
        if isinstance(layer, Flatten) and x.ndim == 4:
            images[output] = (x.shape[3], x.shape[1], x.shape[2])
        elif path and isinstance(x, Tensor) and x in images and output is not x:
            found[path] = images[x]

    shapes = [((1, *s[1:]), next(iter(model.state.values())).dtype) for s in model.input_shapes]
    with watching(look):
        trace(lambda *xs: model(*xs, training=False), shapes)
    return found
