"""Metrics of decisions: how often a classifier decides for the right class. Each is scikit-learn's of the same name.

The class decided for is that of the largest output, the first of equals; for a single output it is 1 when a probability
is above ½, or a logit or score above 0. Shapes: labels (n, …), a column of them or one-hot rows; outputs
(n, …, classes) or (n, 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import DataError, one_of
from kedja.graph.node import Tensor
from kedja.nn.losses import fitted
from kedja.nn.losses.loss import rows_of
from kedja.ops import arange, cast, concatenate, expand_dims, mean, one_hot, where
from kedja.ops import sum as total
from kedja.train.metrics.metric import EXACT, Metric, classes_of, threshold

__all__ = ["F1", "MCC", "Accuracy", "BalancedAccuracy", "BinaryAccuracy", "Precision", "Recall", "TopK"]

AVERAGES = ("auto", "binary", "macro", "micro", "weighted")


# --- hits -----------------------------------------------------------------------------------------------------------
class Accuracy(Metric):
    """(1/n) Σ [ŷ = t], the share of rows that are put into the right class; [ŷ = t] is 1 where it is true, else 0.

    >>> Accuracy()([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    0.6666666666666666
    """

    name = "accuracy"
    of_classes = True

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        true, found, _ = classes_of(t, y, link, self.name)
        return rows_of(cast(true == found, EXACT), average=True)


class BinaryAccuracy(Metric):
    """(1/n) Σ [ŷ = t], the share of right answers, where every output is a yes or no of its own.

    >>> BinaryAccuracy()([[0.0, 1.0, 1.0, 0.0]], [[0.1, 0.8, 0.3, 0.2]])
    0.75
    """

    name = "binary_accuracy"

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        yes = fitted(t, y, self.name) > (0.0 if link == "scores" else 0.5)
        return rows_of(cast(yes == (y > threshold(link)), EXACT), average=True)


class TopK(Metric):
    """(1/n) Σ [r ≤ k], where r is the rank of the right class among the outputs; of equals the first counts first.

    >>> TopK(2)([0, 1, 2], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    0.6666666666666666
    """

    options = ("k",)

    def __init__(self, k: int = 5) -> None:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise DataError(f"top_k: k is a whole number of at least 1, got {k!r}")
        self.k = int(k)
        self.name = f"top_{self.k}_accuracy"

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        true, _, classes = classes_of(t, y, link, self.name)
        if self.k >= classes or y.shape[-1] != classes:
            raise DataError(f"{self.name} is always 1 for {classes} classes: take a k below {classes}")
        own = total(where(one_hot(true, classes) == 1, y, 0.0), -1, keepdims=True)
        first = arange(classes, "int64") < expand_dims(true, -1)
        better = (y > own) | ((y == own) & first)
        rank = total(cast(better, EXACT), -1)
        return rows_of(cast(rank < self.k, EXACT), average=True)

    def config(self) -> dict[str, Any]:
        return {"name": "top_k", "k": self.k}


# --- hits, decisions and rows of each class -------------------------------------------------------------------------
class _Counts(Metric):
    """What is made of three shares per class: rows of it that were found, rows taken for it, and rows of it."""

    of_classes = True

    def counted(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        """(n, 3, classes) as (n, 3·classes)."""
        true, found, classes = classes_of(t, y, link, self.name)
        a, b = one_hot(true, classes, EXACT), one_hot(found, classes, EXACT)
        return concatenate([self._per_row(part) for part in (a * b, b, a)], -1)

    def _per_row(self, part: Tensor) -> Tensor:
        return part if part.ndim == 2 else mean(part, tuple(range(1, part.ndim - 1)))

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        return self.counted(t, y, link)

    def finish(self, means: Any) -> Any:
        hit, found, true = np.moveaxis(np.reshape(means, (*np.shape(means)[:-1], 3, -1)), -2, 0)
        return self.figure(hit, found, true)

    def figure(self, hit: Any, found: Any, true: Any) -> Any:
        """The figure, from the shares of each class, (…, classes) each."""
        raise NotImplementedError


class _PerClass(_Counts):
    """A quotient of each class, averaged over the classes."""

    base = ""
    options: tuple[str, ...] = ("average",)

    def __init__(self, average: str = "auto") -> None:
        if average not in AVERAGES:
            raise one_of("average", average, AVERAGES)
        self.average = average
        self.name = self.base if average in ("auto", "binary") else f"{average}_{self.base}"

    def config(self) -> dict[str, Any]:
        return {"name": self.base, "average": self.average}

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        parts = self.counted(t, y, link)
        classes = parts.shape[-1] // 3
        if self.average == "binary" and classes != 2:
            raise DataError(
                f'{self.base} with average="binary" is of class 1 against class 0, and there are {classes} classes: '
                'take "macro", "micro" or "weighted"'
            )
        return parts[:, 1::2] if classes == 2 and self.average in ("auto", "binary") else parts

    def quotient(self, hit: Any, found: Any, true: Any) -> tuple[Any, Any]:
        """Numerator and denominator."""
        raise NotImplementedError

    def figure(self, hit: Any, found: Any, true: Any) -> Any:
        if self.average == "micro":
            return _over(*self.quotient(hit.sum(-1), found.sum(-1), true.sum(-1)))
        each = _over(*self.quotient(hit, found, true))
        # A class that neither occurs nor is decided for is no class of these data (as in scikit-learn).
        importance = true if self.average == "weighted" else ((found > 0) | (true > 0)).astype(float)
        if each.shape[-1] == 1:
            return each[..., 0]
        return _over((each * importance).sum(-1), importance.sum(-1))


def _over(a: Any, b: Any) -> Any:
    """a / b, and 0 where b is 0."""
    return np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b))


class Precision(_PerClass):
    """P = h / f: of the f rows taken for a class, the share that are of it, h hits; 0 where none are taken for it.

    `average`: "binary" is of class 1 alone; "macro" the mean over the classes, "weighted" by their rows, "micro" over
    all decisions at once; "auto" is "binary" for two classes and "macro" for more.

    >>> Precision()([0, 1, 1, 0], [0.2, 0.9, 0.4, 0.8])
    0.5
    """

    name = base = "precision"

    def quotient(self, hit: Any, found: Any, true: Any) -> tuple[Any, Any]:
        return hit, found


class Recall(_PerClass):
    """R = h / n: of the n rows of a class, the share that are taken for it; 0 where there are none. `average` as there.

    >>> Recall()([0, 1, 1, 1], [0.2, 0.9, 0.4, 0.8])
    0.6666666666666666
    """

    name = base = "recall"

    def quotient(self, hit: Any, found: Any, true: Any) -> tuple[Any, Any]:
        return hit, true


class F1(_PerClass):
    """2 P R / (P + R), the harmonic mean of precision and recall. `average` as for precision.

    >>> F1()([0, 1, 1, 1], [0.2, 0.9, 0.4, 0.8])
    0.8
    """

    name = base = "f1"

    def quotient(self, hit: Any, found: Any, true: Any) -> tuple[Any, Any]:
        return 2 * hit, found + true


class BalancedAccuracy(_Counts):
    """(1/K) Σ h_k / n_k, the mean recall of the K classes that occur, from n_k rows and h_k hits: all count the same.

    >>> BalancedAccuracy()([0, 0, 0, 1], [0.2, 0.3, 0.1, 0.4])
    0.5
    """

    name = "balanced_accuracy"

    def figure(self, hit: Any, found: Any, true: Any) -> Any:
        return _over(_over(hit, true).sum(-1), (true > 0).sum(-1))


class MCC(_Counts):
    """(Σ h − Σ f n) / √((1 − Σ f²)(1 − Σ n²)), of each class's shares of hits, decisions and rows: −1…1; 0 for 0/0.

    Source: Matthews 1975; for several classes Gorodkin 2004.

    >>> MCC()([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    1.0
    """

    name = "mcc"

    def figure(self, hit: Any, found: Any, true: Any) -> Any:
        spread_found, spread_true = 1 - (found**2).sum(-1), 1 - (true**2).sum(-1)
        flat = (spread_found < TINY) | (spread_true < TINY)
        return np.where(
            flat, 0.0, (hit.sum(-1) - (found * true).sum(-1)) / np.sqrt(np.where(flat, 1.0, spread_found * spread_true))
        )


TINY = 1e-12  # shares of classes that add up to 1 leave this much of rounding
