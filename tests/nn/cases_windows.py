"""Cases of convolutional and pooling layers against PyTorch: see `layer_cases.py`."""

import torch
from torch.nn import functional as F

import kedja as kj
from nn.layer_cases import Case

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
BACK = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def first(x):
    """Channels first, as PyTorch wants them; copied, since its depthwise gradient breaks on strided float64."""
    return x.movedim(-1, 1).contiguous()


def last(x):
    """Channels last, as ours are."""
    return x.movedim(1, -1)


def conv(w, x, kernel="kernel", **how):
    """PyTorch's convolution with our kernel."""
    k = w[kernel].movedim((-1, -2), (0, 1))
    return last(CONV[x.ndim - 2](first(x), k, w.get("bias") if kernel == "kernel" else None, **how))


def same(w, x, stride, **how):
    """With TensorFlow's padding: as many as needed, the odd one at the end."""
    sizes = w["kernel"].shape[:-2]
    pads = []
    for n, k in zip(x.shape[1:-1], sizes, strict=True):
        total = max((-(-n // stride) - 1) * stride + k - n, 0)
        pads = [total // 2, total - total // 2, *pads]
    return conv(w, last(F.pad(first(x), pads)), stride=stride, **how)


def back(w, x, **how):
    """PyTorch's transposed convolution with our kernel."""
    k = w["kernel"].movedim((-2, -1), (0, 1))
    return last(BACK[x.ndim - 2](first(x), k, w.get("bias"), **how))


def separable(w, x, groups):
    """Depthwise, then a mixture."""
    each = conv({"kernel": w["kernel"]}, x, groups=groups)
    return conv(w, each, "mixing") + w["bias"]


def pooled(table, *size, **how):
    """PyTorch's pooling of channels-last inputs."""
    return lambda w, x: last(table[x.ndim - 2](first(x), *size, **how))


CASES = {
    "Conv1D": [
        Case(lambda: kj.nn.Conv1D(4, 3, stride=2), (3, 9, 2), lambda w, x: conv(w, x, stride=2)),
        Case(lambda: kj.nn.Conv1D(4, 3, "relu", dilation=2, padding=1), (2, 9, 2),
             lambda w, x: torch.relu(conv(w, x, dilation=2, padding=1))),
    ],
    "Conv2D": [
        Case(lambda: kj.nn.Conv2D(6, 3, "tanh", padding="same"), (2, 5, 6, 2),
             lambda w, x: torch.tanh(same(w, x, 1))),
        Case(lambda: kj.nn.Conv2D(6, (2, 3), groups=2, stride=2, use_bias=False), (2, 7, 8, 4),
             lambda w, x: conv(w, x, groups=2, stride=2)),
        Case(lambda: kj.nn.Conv2D(3, 4, stride=2, padding="same"), (2, 7, 8, 2), lambda w, x: same(w, x, 2)),
        Case(lambda: kj.nn.Conv2D(3, 1), (2, 4, 5, 4), lambda w, x: conv(w, x)),
    ],
    "Conv3D": [
        Case(lambda: kj.nn.Conv3D(2, (1, 2, 2)), (2, 3, 4, 4, 2), lambda w, x: conv(w, x)),
        Case(lambda: kj.nn.Conv3D(2, 2, stride=2, padding=1), (1, 3, 4, 4, 1),
             lambda w, x: conv(w, x, stride=2, padding=1)),
    ],
    "ConvTranspose1D": [
        Case(lambda: kj.nn.ConvTranspose1D(4, 3, stride=2), (2, 5, 2), lambda w, x: back(w, x, stride=2)),
    ],
    "ConvTranspose2D": [
        Case(lambda: kj.nn.ConvTranspose2D(4, 3, stride=2, padding=1, output_padding=1), (2, 4, 5, 2),
             lambda w, x: back(w, x, stride=2, padding=1, output_padding=1)),
        Case(lambda: kj.nn.ConvTranspose2D(4, (3, 2), groups=2, dilation=2), (2, 4, 5, 2),
             lambda w, x: back(w, x, groups=2, dilation=2)),
    ],
    "ConvTranspose3D": [
        Case(lambda: kj.nn.ConvTranspose3D(2, 2, stride=2), (1, 2, 3, 2, 2), lambda w, x: back(w, x, stride=2)),
    ],
    "DepthwiseConv1D": [
        Case(lambda: kj.nn.DepthwiseConv1D(3, multiplier=2), (2, 7, 3), lambda w, x: conv(w, x, groups=3)),
    ],
    "DepthwiseConv2D": [
        Case(lambda: kj.nn.DepthwiseConv2D(3, stride=2), (2, 7, 8, 3), lambda w, x: conv(w, x, groups=3, stride=2)),
    ],
    "SeparableConv1D": [
        Case(lambda: kj.nn.SeparableConv1D(5, 3), (2, 7, 3), lambda w, x: separable(w, x, 3)),
    ],
    "SeparableConv2D": [
        Case(lambda: kj.nn.SeparableConv2D(5, 3, "sigmoid", multiplier=2), (2, 5, 6, 3),
             lambda w, x: torch.sigmoid(separable(w, x, 3))),
    ],
    "MaxPool1D": [Case(lambda: kj.nn.MaxPool1D(2), (3, 9, 2), pooled(MAX, 2))],
    "MaxPool2D": [
        Case(lambda: kj.nn.MaxPool2D(), (2, 6, 8, 3), pooled(MAX, 2)),
        Case(lambda: kj.nn.MaxPool2D(3, stride=2, padding=1), (2, 7, 8, 3), pooled(MAX, 3, stride=2, padding=1)),
        Case(lambda: kj.nn.MaxPool2D(2, stride=1, dilation=2), (2, 7, 8, 3), pooled(MAX, 2, stride=1, dilation=2)),
    ],
    "MaxPool3D": [Case(lambda: kj.nn.MaxPool3D(2, stride=1), (2, 3, 4, 4, 2), pooled(MAX, 2, stride=1))],
    "AveragePool1D": [Case(lambda: kj.nn.AveragePool1D(3, stride=2), (3, 9, 2), pooled(MEAN, 3, stride=2))],
    "AveragePool2D": [
        Case(lambda: kj.nn.AveragePool2D(3, stride=2, padding=1), (2, 7, 8, 3),
             pooled(MEAN, 3, stride=2, padding=1, count_include_pad=False)),
        Case(lambda: kj.nn.AveragePool2D(3, stride=2, padding=1, count_padding=True), (2, 7, 8, 3),
             pooled(MEAN, 3, stride=2, padding=1)),
    ],
    "AveragePool3D": [Case(lambda: kj.nn.AveragePool3D((1, 2, 2)), (2, 3, 4, 4, 2), pooled(MEAN, (1, 2, 2)))],
    "GlobalMaxPool": [
        Case(lambda: kj.nn.GlobalMaxPool(), (3, 4, 5, 2), lambda w, x: x.amax((1, 2))),
        Case(lambda: kj.nn.GlobalMaxPool(keepdims=True), (3, 4, 2), lambda w, x: x.amax(1, keepdim=True)),
    ],
    "GlobalAveragePool": [
        Case(lambda: kj.nn.GlobalAveragePool(), (3, 4, 5, 2), lambda w, x: x.mean((1, 2))),
        Case(lambda: kj.nn.GlobalAveragePool(keepdims=True), (3, 4, 2), lambda w, x: x.mean(1, keepdim=True)),
    ],
}  # fmt: skip
