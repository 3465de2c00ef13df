"""Metrics of order: whether the rows of a class have larger scores than the others. They need all rows at once."""

from __future__ import annotations

import numpy as np

from kedja.errors import DataError
from kedja.graph.node import Array, Tensor
from kedja.ops import expand_dims, softmax
from kedja.train.metrics.metric import EXACT, Whole

__all__ = ["ROCAUC", "AveragePrecision"]


class _Order(Whole):
    """A number per class, from the order of its scores: each class against the rest, and the mean over the classes."""

    def scores(self, y: Tensor, link: str) -> Tensor:
        """(n, …, classes), or (n, …, 1) of class 1 where there are two classes."""
        if y.ndim < 2:
            return expand_dims(y, -1)
        if y.shape[-1] == 2:
            return y[..., 1:] if link == "probabilities" else y[..., 1:] - y[..., :1]
        return softmax(y) if link == "logits" and y.shape[-1] > 1 else y

    def figure(self, t: Array, scores: Array, w: Array) -> float:
        classes = scores.shape[-1]
        rows = scores.reshape(-1, classes).astype(EXACT)
        weights = np.repeat(np.asarray(w, EXACT), len(rows) // len(scores))
        hot = self.members(np.asarray(t), scores).reshape(-1, classes)
        return float(np.mean([self.of_class(hot[:, k], rows[:, k], weights) for k in range(classes)]))

    def members(self, t: Array, scores: Array) -> Array:
        """Which rows are of which class, in the shape of the scores: from labels, a column of them, or one-hot rows."""
        classes = scores.shape[-1]
        if t.shape == scores.shape[:-1]:
            t = t[..., None]
        if classes == 1 and t.shape == (*scores.shape[:-1], 2):
            if (t.sum(-1) != 1).any():
                raise DataError(f"{self.name}: rows of two targets are one-hot rows, and these do not add up to 1")
            t = t[..., 1:]
        if classes == 1 and t.shape == scores.shape:
            if not (np.isin(t, (0, 1)).all() or np.isin(t, (-1, 1)).all()):
                raise DataError(f"{self.name} of one output needs targets 0 and 1, or −1 and 1; got {np.unique(t)[:5]}")
            return np.asarray(t > 0)
        if t.shape == (*scores.shape[:-1], 1):
            return np.asarray(t == np.arange(classes))
        if t.shape != scores.shape:
            raise DataError(f"{self.name}: targets of shape {t.shape} do not fit outputs of shape {scores.shape}")
        return np.asarray(t > 0.5)

    def of_class(self, positive: Array, scores: Array, w: Array) -> float:
        """The figure of one class: which rows are of it, their scores and weights."""
        raise NotImplementedError


class ROCAUC(_Order):
    """P(s₁ > s₀), the area under the ROC curve: the chance that a row of the class scores higher than one that is not.

    Equal scores count half. For several classes it is the mean of each against the rest; nan where a class has no row,
    or all of them. Source: Hanley and McNeil 1982.

    >>> ROCAUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """

    name = "roc_auc"

    def of_class(self, positive: Array, scores: Array, w: Array) -> float:
        right, wrong = _cumulated(positive, scores, w)
        if not right[-1] or not wrong[-1]:
            return float("nan")
        return float(np.trapezoid(right / right[-1], wrong / wrong[-1]))


class AveragePrecision(_Order):
    """Σ (Rₙ − Rₙ₋₁) Pₙ: the mean precision over all thresholds, weighted by the recall each adds; 0 for no such row.

    For several classes it is the mean of each against the rest.

    >>> round(AveragePrecision()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """

    name = "average_precision"

    def of_class(self, positive: Array, scores: Array, w: Array) -> float:
        right, wrong = _cumulated(positive, scores, w)
        if not right[-1]:
            return 0.0
        whole = right + wrong
        precision = right / np.where(whole == 0, 1.0, whole)
        return float((np.diff(right) * precision[1:]).sum() / right[-1])


def _cumulated(positive: Array, scores: Array, w: Array) -> tuple[Array, Array]:
    """The weight of right and wrong rows above each threshold, from the largest score down, with 0 in front."""
    order = np.argsort(-scores, kind="stable")
    s, p, v = scores[order], positive[order], w[order]
    last = np.append(np.flatnonzero(s[1:] != s[:-1]), len(s) - 1)  # of each run of equal scores
    right, wrong = (np.append(0.0, np.cumsum(part)[last]) for part in (v * p, v * ~p))
    return right, wrong
