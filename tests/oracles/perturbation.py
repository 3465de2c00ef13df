"""Derivatives without rules: move the inputs a little and look at the difference."""

from collections.abc import Callable, Sequence

import numpy as np


def by_perturbation(f: Callable[..., float], at: Sequence[np.ndarray], which: int, h: float = 1e-5) -> np.ndarray:
    """The gradient of f by its argument `which`, one number at a time, by five points (error ∝ h⁴)."""
    values = [np.array(a) for a in at]
    x = values[which]
    found = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        kept = x[i]
        moved = []
        for k in (-2, -1, 1, 2):
            x[i] = kept + k * h
            moved.append(float(f(*values)))
        x[i] = kept
        found[i] = (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * h)
    return found


def along(f: Callable[..., list[np.ndarray]], at: Sequence[np.ndarray], way: Sequence[np.ndarray], h: float = 1e-5):
    """How the arrays f returns move when all inputs move along `way`."""
    moved = [f(*[a + k * h * w for a, w in zip(at, way, strict=True)]) for k in (-2, -1, 1, 2)]
    return [(a - 8 * b + 8 * c - d) / (12 * h) for a, b, c, d in zip(*moved, strict=True)]
