"""The common start: every contestant gets these initial weights and, where it can be told, these permutations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["epoch_order", "initial_weights"]


def initial_weights(sizes: Sequence[int], seed: int) -> list[NDArray[np.float32]]:
    """[W1, b1, W2, b2, …] of a dense network: Glorot uniform kernels (in, out), zero biases (Glorot, Bengio 2010)."""
    draw = np.random.default_rng(seed)
    weights: list[NDArray[np.float32]] = []
    for n_in, n_out in itertools.pairwise(sizes):
        limit = np.sqrt(6 / (n_in + n_out))
        weights.append(draw.uniform(-limit, limit, (n_in, n_out)).astype(np.float32))
        weights.append(np.zeros(n_out, np.float32))
    return weights


def epoch_order(rows: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """The order in which an epoch visits the rows."""
    return np.random.default_rng([seed, epoch]).permutation(rows)
