"""The losses by which contestants are held against each other: NumPy alone, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["cross_entropy"]


def cross_entropy(logits: Any, labels: Any) -> float:
    """The mean over rows of −ln softmax(logits) at their labels.

    >>> round(cross_entropy(np.zeros((2, 4)), [0, 3]), 6)  # ln 4
    1.386294
    """
    z = logits - logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]))
