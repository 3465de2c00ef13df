"""The activations as PyTorch has them, with the parameters they start with: name in kj.activations.TABLE → function."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

TORCH_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "celu": F.celu,
    "elu": F.elu,
    "exponential": torch.exp,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "glu": F.glu,
    "hard_shrink": F.hardshrink,
    "hard_sigmoid": lambda x: F.relu6(x + 3) / 6,  # F.hardsigmoid takes 1/6 in float32, in float64 too
    "hard_swish": F.hardswish,
    "hard_tanh": F.hardtanh,
    "identity": lambda x: x * 1,
    "leaky_relu": F.leaky_relu,
    "log_sigmoid": F.logsigmoid,
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "mish": F.mish,
    "prelu": lambda x: F.prelu(x, torch.tensor([0.25], dtype=x.dtype)),
    "relu": F.relu,
    "relu6": F.relu6,
    "rrelu": lambda x: F.rrelu(x, training=False),
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "soft_shrink": F.softshrink,
    "softmax": lambda x: F.softmax(x, -1),
    "softplus": F.softplus,
    "softsign": F.softsign,
    "step": lambda x: torch.heaviside(x.detach(), torch.zeros((), dtype=x.dtype)) + 0 * x,
    "swish": F.silu,
    "tanh": torch.tanh,
    "tanh_shrink": F.tanhshrink,
    "thresholded_relu": lambda x: F.threshold(x, 1.0, 0.0),
}
