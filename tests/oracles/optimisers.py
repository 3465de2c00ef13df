"""Sequences of steps on given gradients, as PyTorch and Keras take them."""

import os
from collections.abc import Sequence

import numpy as np
import torch


def by_torch(name: str, start: np.ndarray, gradients: Sequence[np.ndarray], **options: float) -> list[np.ndarray]:
    """The parameter after each step of torch.optim.<name>, in float64."""
    p = torch.nn.Parameter(torch.tensor(start))
    rule = getattr(torch.optim, name)([p], **options)
    found = []
    for g in gradients:
        p.grad = torch.tensor(g)
        rule.step()
        found.append(p.detach().numpy().copy())
    return found


def by_keras(name: str, start: np.ndarray, gradients: Sequence[np.ndarray], rates: Sequence[float], **options: float):
    """The parameter after each step of keras.optimizers.<name> at these learning rates, in float64.

    Keras's Adam adds ε before the bias of √ŝ is taken out; ours, as PyTorch's, after: its ε is converted at each step.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    rule = getattr(keras.optimizers, name)(rates[0], **options)
    p = keras.Variable(start, dtype="float64")
    rule.build([p])
    found = []
    for time, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        rule.learning_rate = rate
        if name == "Adam":
            rule.epsilon = options["epsilon"] * (1 - rule.beta_2**time) ** 0.5
        rule.apply([keras.ops.convert_to_tensor(g, dtype="float64")], [p])
        found.append(keras.ops.convert_to_numpy(p.value).copy())
    return found
