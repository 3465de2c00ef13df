"""Multi-layer perceptrons in PyTorch with the weights of ours, their losses, and the way back for gradients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

ACTIVATIONS = {
    "linear": torch.nn.Identity,
    "relu": torch.nn.ReLU,
    "sigmoid": torch.nn.Sigmoid,
    "softmax": lambda: torch.nn.Softmax(-1),
    "tanh": torch.nn.Tanh,
}


def twin(weights: Sequence[np.ndarray], activations: Sequence[str]) -> torch.nn.Sequential:
    """The perceptron with these kernels and biases (kernel, bias, kernel, …), one activation after each pair."""
    parts: list[torch.nn.Module] = []
    for kernel, bias, activation in zip(weights[0::2], weights[1::2], activations, strict=True):
        linear = torch.nn.Linear(*kernel.shape, dtype=torch.from_numpy(np.array(kernel)).dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(np.array(kernel.T)))
            linear.bias.copy_(torch.from_numpy(np.array(bias)))
        parts += [linear, ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*parts)


def in_our_order(model: torch.nn.Sequential, gradients: bool = False) -> list[np.ndarray]:
    """Its weights, or their gradients, as our layers hold them."""
    found = []
    for linear in model:
        if isinstance(linear, torch.nn.Linear):
            pair = (linear.weight.grad, linear.bias.grad) if gradients else (linear.weight, linear.bias)
            found += [pair[0].detach().numpy().T.copy(), pair[1].detach().numpy().copy()]
    return found


def loss_of(name: str, outputs: Any, targets: Any, last: str = "linear") -> Any:
    """The mean loss of outputs that went through the activation `last`."""
    if name == "binary_cross_entropy":
        return F.binary_cross_entropy(outputs, targets) if last == "sigmoid" else with_logits(outputs, targets)
    if name == "cross_entropy":
        if last == "softmax":
            return F.nll_loss(torch.log(outputs), targets)
        return F.cross_entropy(outputs, targets)
    if name == "mse":
        return F.mse_loss(outputs, targets)
    summed = F.mse_loss(outputs, targets, reduction="sum") / len(outputs)
    return summed / 2 if name == "half_sse" else summed


def with_logits(outputs: Any, targets: Any) -> Any:
    """Binary cross-entropy of logits."""
    return F.binary_cross_entropy_with_logits(outputs, targets)
