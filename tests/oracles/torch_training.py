"""Training loops written by hand in PyTorch, on given rows in a given order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from oracles.torch_models import in_our_order, twin


def trained(
    weights: Sequence[np.ndarray], activations: Sequence[str], x: np.ndarray, y: np.ndarray, order: Any, optimizer: Any,
    loss: Any, row_weights: np.ndarray | None = None,
) -> tuple[list[np.ndarray], list[float]]:  # fmt: skip
    """Weights after one step per row of `order` (−1: no row), and the loss of each step.

    `loss(outputs, targets)` gives one number per example; a step takes their mean, or Σwℓ/Σw with `row_weights`.
    """
    model = twin(weights, activations)
    rule = optimizer(model.parameters())
    seen = []
    for rows in order:
        rows = rows[rows >= 0]
        rule.zero_grad()
        each = loss(model(torch.tensor(x[rows])), torch.tensor(y[rows]))
        w = torch.ones(len(rows), dtype=each.dtype) if row_weights is None else torch.tensor(row_weights[rows])
        mean = (each * w).sum() / w.sum()
        mean.backward()
        rule.step()
        seen.append(mean.item())
    return in_our_order(model), seen
