"""Weights as PyTorch lays them, and the way back: channels before pixels, out before in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_torch", "to_torch"]

Array = NDArray[Any]


def to_torch(weights: Iterable[Array]) -> list[Array]:
    """Kernels (out, in, rows, columns); matrices (out, in), the one behind an image for channels before pixels."""
    found, channels = [], 1
    for w in weights:
        if w.ndim == 4:
            channels = w.shape[3]
            w = w.transpose(3, 2, 0, 1)
        elif w.ndim == 2:
            w = w.reshape(-1, channels, w.shape[1]).swapaxes(0, 1).reshape(w.shape).T
            channels = len(w)
        found.append(np.ascontiguousarray(w))
    return found


def from_torch(weights: Iterable[Array]) -> list[Array]:
    """Kernels (rows, columns, in, out); matrices (in, out), the one behind an image for pixels before channels."""
    found, channels = [], 1
    for w in weights:
        if w.ndim == 4:
            channels = len(w)
            w = w.transpose(2, 3, 1, 0)
        elif w.ndim == 2:
            units = len(w)
            w = w.T.reshape(channels, -1, units).swapaxes(0, 1).reshape(-1, units)
            channels = units
        found.append(np.ascontiguousarray(w))
    return found
