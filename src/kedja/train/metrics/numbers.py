"""Metrics of numbers, and of the probabilities a classifier gives. Each is scikit-learn's of the same name."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.graph.node import Tensor
from kedja.nn.losses import MSE, BinaryCrossEntropy, CrossEntropy, fitted
from kedja.ops import cast, concatenate, reshape, square
from kedja.train.metrics.metric import EXACT, Metric, OfLoss

__all__ = ["R2", "RMSE", "LogLoss"]

CONSTANT = 1e-12  # a spread below this share of the mean square is rounding: the targets are all the same


class RMSE(Metric):
    """√((1/n) Σ (t − y)²), the root of the mean squared error over all rows and outputs.

    >>> RMSE()([[0.0], [0.0]], [[3.0], [4.0]])
    3.5355339059327378
    """

    name = "rmse"

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        return OfLoss(MSE()).per_example(t, y, link)

    def finish(self, means: Any) -> Any:
        return means**0.5


class R2(Metric):
    """1 − Σ(t − y)² / Σ(t − t̄)², the share of the targets' variance that is explained, averaged over the outputs.

    Where the targets are all the same it is 1 if every output is right, and else 0.

    Shapes: t and y (n, …). Raises ShapeError when they differ.

    >>> round(R2()([[1.0], [2.0], [3.0]], [[1.0], [2.0], [4.0]]), 6)
    0.5
    """

    name = "r2"

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        t = fitted(cast(t, y.dtype), y, self.name)
        t, y = (reshape(cast(v, EXACT), (v.shape[0], v.size // v.shape[0])) for v in (t, y))
        return concatenate([square(t - y), t, square(t)], 1)

    def finish(self, means: Any) -> Any:
        left, mean, squares = np.moveaxis(np.reshape(means, (*np.shape(means)[:-1], 3, -1)), -2, 0)
        spread = squares - mean**2
        flat = spread <= CONSTANT * squares
        each = np.where(flat, (left == 0).astype(float), 1 - left / np.where(flat, 1.0, spread))
        return each.mean(-1)


class LogLoss(Metric):
    """−(1/n) Σ ln a_t, where a_t is the probability of the right class; binary for one output, else of all classes.

    Outputs that are no probabilities are taken as logits where the loss says so.

    >>> round(LogLoss()([1, 0], [[0.1, 0.9], [0.8, 0.2]]), 4)
    0.1643
    """

    name = "log_loss"

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        kind = CrossEntropy if y.ndim > 1 and y.shape[-1] > 1 else BinaryCrossEntropy
        return cast(kind(from_logits=link == "logits").per_example(t, y), EXACT)
