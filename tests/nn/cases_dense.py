"""Cases of Dense, Tied, Perceptron and Embedding: see `layer_cases.py`."""

import numpy as np
import torch
from torch.nn import functional as F

import kedja as kj
from nn.layer_cases import Case, whole

MASK = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 1]])


def linear(w, x, kernel="kernel"):
    """PyTorch's with our layout."""
    return F.linear(x, w[kernel].T, w.get("bias"))


def fired(w, x):
    """Whether the weighted sum is above 0; what comes back passes the step as if it were not there."""
    z = linear(w, x)
    return torch.heaviside(z, torch.zeros((), dtype=z.dtype)).detach() + (z - z.detach())


CASES = {
    "Dense": [
        Case(lambda: kj.nn.Dense(4, "tanh"), (5, 3), lambda w, x: torch.tanh(linear(w, x))),
        Case(lambda: kj.nn.Dense(2, use_bias=False), (3, 2, 4), linear),
        Case(
            lambda: kj.nn.Dense(4, "sigmoid", mask=MASK), (5, 3),
            lambda w, x: torch.sigmoid(F.linear(x, (w["kernel"] * torch.from_numpy(MASK)).T, w["bias"])),
            wrong=[(), (5, 4)],
        ),
        Case(
            lambda: kj.nn.Dense(3, "softmax", init="he", regularizer="l2", constraint="max_norm"), (2, 3),
            lambda w, x: F.softmax(linear(w, x), -1),
        ),
    ],
    "Embedding": [
        Case(
            lambda: kj.nn.Embedding(6, 3), (4, 5), lambda w, x: F.embedding(x, w["table"]), draws=whole(6), wrong=None
        ),
        Case(
            lambda: kj.nn.Embedding(4, 2, init="normal"), (3,), lambda w, x: F.embedding(x, w["table"]),
            draws=whole(4), wrong=None,
        ),
    ],
    "Perceptron": [
        Case(kj.nn.Perceptron, (6, 3), fired, smooth=False),
        Case(lambda: kj.nn.Perceptron(4, init="normal"), (6, 3), fired, smooth=False),
    ],
    "Tied": [
        Case(
            lambda: kj.nn.Tied(kj.nn.Dense(4), 3, "tanh"), (5, 4),
            lambda w, x: torch.tanh(x @ w["dense.kernel"].T + w["bias"]), wrong=[(), (5, 3)],
            idle={"dense.bias": "only the kernel is shared"},
        ),
        Case(
            lambda: kj.nn.Tied(kj.nn.Dense(4, use_bias=False), 3, use_bias=False), (2, 5, 4),
            lambda w, x: F.linear(x, w["dense.kernel"]), wrong=[(), (5, 3)],
        ),
    ],
}  # fmt: skip
