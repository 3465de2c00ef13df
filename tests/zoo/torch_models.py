"""The networks in PyTorch, with torchvision's structure and parameter names, written anew.

EfficientNet-Lite0 has the names of the PyTorch package its weights come in. `features` of the first matrix after a
flattened image is an argument, since torchvision pools to 7×7 (6×6) what smaller images make.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNorm(nn.Sequential):
    """A convolution and its batch norm, under the names conv and bn; a bias where there is no norm."""

    def __init__(self, a: int, b: int, size: int, stride: int = 1, padding: int = 0, normed: bool = True) -> None:
        conv = nn.Conv2d(a, b, size, stride, padding, bias=not normed)
        parts = [("conv", conv)] + ([("bn", nn.BatchNorm2d(b, eps=1e-3))] if normed else [])
        super().__init__(OrderedDict([*parts, ("relu", nn.ReLU())]))


# --- LeNet, AlexNet, VGG --------------------------------------------------------------------------------------------
class LeNet(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.C1, self.C3 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.C5, self.F6, self.output = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.C1(x).tanh(), 2)
        x = F.avg_pool2d(self.C3(x).tanh(), 2)
        return self.output(self.F6(self.C5(x.flatten(1)).tanh()).tanh())


class Classic(nn.Module):
    """Features, then a classifier on the flattened image."""

    def __init__(self, features: list[nn.Module], classifier: list[nn.Module]) -> None:
        super().__init__()
        self.features, self.classifier = nn.Sequential(*features), nn.Sequential(*classifier)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def alexnet(classes: int, features: int) -> nn.Module:
    return Classic(
        [
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        ],
        [
            nn.Identity(), nn.Linear(features, 4096), nn.ReLU(),
            nn.Identity(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, classes),
        ],
    )  # fmt: skip


def vgg(code: str, classes: int, features: int, normed: bool = False) -> nn.Module:
    """A VGG from torchvision's code: numbers are convolutions, M is a max-pool."""
    layers: list[nn.Module] = []
    channels = 3
    for word in code.split():
        if word == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layers.append(nn.Conv2d(channels, int(word), 3, padding=1, bias=not normed))
        channels = int(word)
        layers += [nn.BatchNorm2d(channels), nn.ReLU()] if normed else [nn.ReLU()]
    head = [
        nn.Linear(features, 4096), nn.ReLU(), nn.Identity(), nn.Linear(4096, 4096), nn.ReLU(), nn.Identity(),
        nn.Linear(4096, classes),
    ]  # fmt: skip
    return Classic(layers, head)


VGG = {
    "vgg11": "64 M 128 M 256 256 M 512 512 M 512 512 M",
    "vgg13": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


def small_vgg(classes: int, features: int) -> nn.Module:
    net = vgg("32 32 M 64 64 M 128 128 M", classes, features, normed=True)
    net.classifier = nn.Sequential(nn.Linear(features, 128), nn.ReLU(), nn.Identity(), nn.Linear(128, classes))
    return net


# --- GoogLeNet ------------------------------------------------------------------------------------------------------
class Inception(nn.Module):
    def __init__(
        self, a: int, one: int, red3: int, three: int, red5: int, five: int, pool: int, size: int, normed: bool
    ) -> None:
        super().__init__()
        self.branch1 = ConvNorm(a, one, 1, normed=normed)
        self.branch2 = nn.Sequential(ConvNorm(a, red3, 1, normed=normed), ConvNorm(red3, three, 3, 1, 1, normed))
        self.branch3 = nn.Sequential(
            ConvNorm(a, red5, 1, normed=normed), ConvNorm(red5, five, size, 1, size // 2, normed)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), ConvNorm(a, pool, 1, normed=normed))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class GoogLeNet(nn.Module):
    def __init__(self, classes: int, normed: bool = True) -> None:
        super().__init__()
        self.normed, size = normed, 3 if normed else 5
        self.conv1 = ConvNorm(3, 64, 7, 2, 3, normed)
        self.conv2 = ConvNorm(64, 64, 1, normed=normed)
        self.conv3 = ConvNorm(64, 192, 3, 1, 1, normed)
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32, size, normed)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64, size, normed)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64, size, normed)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64, size, normed)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64, size, normed)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64, size, normed)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128, size, normed)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128, size, normed)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128, size, normed)
        self.fc = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.inception3b(self.inception3a(x)), 3, 2, ceil_mode=True)
        x = self.inception4e(self.inception4d(self.inception4c(self.inception4b(self.inception4a(x)))))
        x = F.max_pool2d(x, 2 if self.normed else 3, 2, ceil_mode=True)
        return self.fc(self.inception5b(self.inception5a(x)).mean((2, 3)))


# --- ResNet ---------------------------------------------------------------------------------------------------------
class Basic(nn.Module):
    wider = 1

    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.downsample = down(a, b, stride) if stride > 1 or a != b else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class Bottleneck(nn.Module):
    wider = 4

    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv3, self.bn3 = nn.Conv2d(b, 4 * b, 1, bias=False), nn.BatchNorm2d(4 * b)
        self.downsample = down(a, 4 * b, stride) if stride > 1 or a != 4 * b else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        return (self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x))).relu()


def down(a: int, b: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))


class ResNet(nn.Module):
    def __init__(self, kind: type, blocks: tuple[int, ...], classes: int, small: bool = False) -> None:
        super().__init__()
        channels = width = 16 if small else 64
        self.small = small
        self.conv1 = nn.Conv2d(3, channels, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        for i, n in enumerate(blocks):
            layers = []
            for k in range(n):
                layers.append(kind(channels, width * 2**i, 2 if i and not k else 1))
                channels = kind.wider * width * 2**i
            setattr(self, f"layer{i + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        x = x if self.small else F.max_pool2d(x, 3, 2, 1)
        for name, stage in self.named_children():
            x = stage(x) if name.startswith("layer") else x
        return self.fc(x.mean((2, 3)))


# --- DenseNet -------------------------------------------------------------------------------------------------------
class DenseLayer(nn.Module):
    def __init__(self, a: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(a), nn.Conv2d(a, 4 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.norm1(x).relu())
        return torch.cat([x, self.conv2(self.norm2(y).relu())], 1)


class DenseNet(nn.Module):
    def __init__(self, blocks: tuple[int, ...], channels: int, growth: int, classes: int, small: bool = False) -> None:
        super().__init__()
        conv = (
            nn.Conv2d(3, channels, 3, padding=1, bias=False) if small else nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        )
        parts: OrderedDict[str, nn.Module] = OrderedDict(conv0=conv)
        if not small:
            parts |= {"norm0": nn.BatchNorm2d(channels), "relu0": nn.ReLU(), "pool0": nn.MaxPool2d(3, 2, 1)}
        for i, n in enumerate(blocks):
            layers = OrderedDict((f"denselayer{k + 1}", DenseLayer(channels + k * growth, growth)) for k in range(n))
            parts[f"denseblock{i + 1}"] = nn.Sequential(layers)
            channels += n * growth
            if i + 1 < len(blocks):
                parts[f"transition{i + 1}"] = nn.Sequential(
                    OrderedDict(
                        norm=nn.BatchNorm2d(channels), relu=nn.ReLU(),
                        conv=nn.Conv2d(channels, channels // 2, 1, bias=False), pool=nn.AvgPool2d(2),
                    )
                )  # fmt: skip
                channels //= 2
        parts[f"norm{len(blocks) + 1}"] = nn.BatchNorm2d(channels)
        self.features, self.classifier = nn.Sequential(parts), nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).relu().mean((2, 3)))


# --- EfficientNet-Lite0 ---------------------------------------------------------------------------------------------
class Same(nn.Conv2d):
    """A convolution padded as TensorFlow does: ⌈n / stride⌉ outputs, an odd zero at the end."""

    def forward(self, x: Tensor) -> Tensor:
        (k, _), (s, _) = self.kernel_size, self.stride
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n in x.shape[2:]]
        (h, w) = total
        x = F.pad(x, (w // 2, w - w // 2, h // 2, h - h // 2))
        return F.conv2d(x, self.weight, None, self.stride, groups=self.groups)


def lite_norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class MBConv(nn.Module):
    def __init__(self, a: int, b: int, size: int, stride: int, expand: int) -> None:
        super().__init__()
        middle = a * expand
        self._expand_conv = Same(a, middle, 1, bias=False) if expand > 1 else None
        self._bn0 = lite_norm(middle) if expand > 1 else None
        self._depthwise_conv = Same(middle, middle, size, stride, groups=middle, bias=False)
        self._bn1 = lite_norm(middle)
        self._project_conv, self._bn2 = Same(middle, b, 1, bias=False), lite_norm(b)
        self.skips = stride == 1 and a == b

    def forward(self, x: Tensor) -> Tensor:
        y = x if self._expand_conv is None else F.relu6(self._bn0(self._expand_conv(x)))
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2, bias=False), lite_norm(32)
        stages = "1 3 1 16 1, 6 3 2 24 2, 6 5 2 40 2, 6 3 2 80 3, 6 5 1 112 3, 6 5 2 192 4, 6 3 1 320 1"
        blocks, a = [], 32
        for words in stages.split(","):
            expand, size, stride, b, n = map(int, words.split())
            for k in range(n):
                blocks.append(MBConv(a, b, size, stride if k == 0 else 1, expand))
                a = b
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = Same(a, 1280, 1, bias=False), lite_norm(1280)
        self._fc = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return self._fc(F.relu6(self._bn1(self._conv_head(x))).mean((2, 3)))
