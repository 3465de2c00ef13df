"""What a metric is: numbers per example, whose weighted means over all examples are finished into one figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kedja.elsewhere import Answering
from kedja.errors import DataError, ShapeError
from kedja.graph.node import Array, Tensor, tensor
from kedja.nn.losses import Likelihood, Loss, Poisson, logits_of
from kedja.nn.losses.loss import rows_of
from kedja.ops import argmax, cast, reshape
from kedja.ops.elementwise import sigmoid
from kedja.ops.softmax import normalised_exp

__all__ = [
    "EXACT",
    "LIKELIHOODS",
    "LINKS",
    "Metric",
    "OfLoss",
    "OfYourOwn",
    "Whole",
    "classes_of",
    "decided",
    "link_of",
]

LIKELIHOODS = ("binary_cross_entropy", "cross_entropy", "kl_divergence")
MARGINS = ("hinge", "squared_hinge")
LINKS = ("probabilities", "logits", "scores", "values")
EXACT = np.dtype(np.float64)  # counts and sums are taken in it, so that no number of rows is too many


def link_of(output: Tensor, loss: str | None) -> str:
    """What the raw output is: "probabilities", "logits" (of a likelihood), "scores" (of a margin), or "values"."""
    if output.op is sigmoid or output.op is normalised_exp or logits_of(output) is not None:
        return "probabilities"
    return "logits" if loss in LIKELIHOODS else "scores" if loss in MARGINS else "values"


def threshold(link: str) -> float:
    """Above this a single output says yes: ½ for probabilities and values, 0 for logits and scores."""
    return 0.0 if link in ("logits", "scores") else 0.5


def decided(output: Tensor, link: str) -> Tensor:
    """The class of each row, int64: the largest output (the first of equals), or for a single one whether it says yes.

    >>> import kedja as kj
    >>> decided(kj.tensor([[0.1, 0.9], [0.7, 0.3]]), "probabilities").numpy().tolist()
    [1, 0]
    >>> decided(kj.tensor([[0.3], [-0.3]]), "logits").numpy().tolist()
    [1, 0]
    """
    if output.ndim > 1 and output.shape[-1] > 1:
        return argmax(output, axis=-1)
    single = reshape(output, output.shape[:-1]) if output.ndim > 1 else output
    return cast(single > threshold(link), "int64")


def classes_of(t: Tensor, y: Tensor, link: str, name: str) -> tuple[Tensor, Tensor, int]:
    """The true class, the one decided for, and the number of classes: (n, …) int64 both.

    Targets are labels, a column of them, or one-hot rows; for a single output 0 and 1, or −1 and 1.
    """
    found = decided(y, link)
    several = y.ndim > 1 and y.shape[-1] > 1
    given = t.shape
    if several and t.shape == y.shape:
        t = argmax(t, axis=-1)
    elif t.ndim > 1 and t.shape[-1] == 1 and t.shape[:-1] == found.shape:
        t = reshape(t, t.shape[:-1])
    if t.shape != found.shape:
        raise DataError(f"{name}: targets of shape {given} do not fit outputs of shape {y.shape}")
    if not several and t.dtype.kind == "f":
        t = t > (0.0 if link == "scores" else 0.5)
    elif not several and link == "scores":
        t = t > 0
    return cast(t, "int64"), found, y.shape[-1] if several else 2


class Metric(Answering):
    """A metric: `per_example` gives a number, or several, for each row; `finish` makes the figure of their means.

    A metric of your own is a function of (targets, outputs) that gives a number per row, or a class made from this one:

    >>> import kedja as kj
    >>> class Spread(kj.metrics.Metric):
    ...     name = "spread"
    ...     def per_example(self, t, y, link):
    ...         error = (y - t)[:, 0]
    ...         return kj.stack([error, error ** 2], 1)
    ...     def finish(self, means):
    ...         return (means[..., 1] - means[..., 0] ** 2) ** 0.5
    >>> Spread()([[0.0], [0.0]], [[1.0], [3.0]])
    1.0
    """

    name: str = ""
    options: tuple[str, ...] = ()
    of_classes = False  # whether whole numbers, given as outputs, are classes already decided for
    whole = False  # whether all rows are needed at once, see Whole

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        """(n,) or (n, p): what is averaged over the rows. `link` is what the outputs are, see `link_of`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it measures of a row")

    def finish(self, means: Any) -> Any:
        """The figure, from the mean of `per_example` over all rows: (…) → (…), or (…, p) → (…)."""
        return means

    def structure(self) -> tuple[Any, ...]:
        """What a program depends on: the class and every option."""
        return (type(self), self.name, *(getattr(self, option) for option in self.options))

    def config(self) -> dict[str, Any]:
        """Plain data from which `get` makes it again."""
        return {"name": self.name, **{o: getattr(self, o) for o in self.options}}

    def __call__(self, targets: Any, outputs: Any, weights: Any = None, *, link: str = "probabilities") -> float:
        """The figure for arrays. `outputs` are probabilities unless `link` says "logits", "scores" or "values".

        Whole numbers (n,) given as outputs of a classifier are the classes it decided for.
        """
        if link not in LINKS:
            raise DataError(f"link is one of {', '.join(LINKS)}; got {link!r}")
        t, y, w = arrays(targets, outputs, weights, self.name)
        if self.of_classes and y.dtype.kind in "iub":
            t, y = t.reshape(len(t)) if t.size == len(t) else t, _hot(t, y, self.name)
        return self.measured(t, y if y.dtype.kind == "f" else y.astype(EXACT), w, link)

    def measured(self, t: Array, y: Array, w: Array, link: str) -> float:
        """The figure for arrays that were looked at."""
        t = t.astype(y.dtype) if t.dtype.kind == "f" else t
        each = self.per_example(tensor(t, dtype=t.dtype), tensor(y, dtype=y.dtype), link).numpy().astype(EXACT)
        return float(self.finish(np.average(each, axis=0, weights=w)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{o}={getattr(self, o)!r}' for o in self.options)})"


class Whole(Metric):
    """A metric of all rows at once, such as one of their order: it is no function of means over rows.

    `evaluate` and validation collect the scores of every row for it. The steps of an epoch cannot: each has other
    weights, and scores of different weights have no common order.
    """

    whole = True

    def scores(self, y: Tensor, link: str) -> Tensor:
        """What is collected for each row."""
        return y

    def figure(self, t: Array, scores: Array, w: Array) -> float:
        """The figure, from the targets, scores and weights of all rows."""
        raise NotImplementedError(f"{type(self).__name__} does not say its figure")

    def measured(self, t: Array, y: Array, w: Array, link: str) -> float:
        return float(self.figure(t, self.scores(tensor(y, dtype=y.dtype), link).numpy(), w))


class OfLoss(Metric):
    """A loss, reported beside the one that is trained."""

    def __init__(self, loss: Loss) -> None:
        self.loss, self.name = loss, loss.name

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        loss = self.loss
        if isinstance(loss, Likelihood):
            if loss.from_logits == "auto" and link == "probabilities":
                loss = type(loss)(**{o: getattr(loss, o) for o in loss.options} | {"from_logits": False})
        elif not isinstance(loss, Poisson):  # these two look at the output node, which a cast would hide
            t, y = cast(t, EXACT) if t.dtype.kind == "f" else t, cast(y, EXACT)
        return cast(loss.per_example(t, y), EXACT)

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.loss.structure())

    def config(self) -> dict[str, Any]:
        return {k: v for k, v in self.loss.config().items() if k != "reduction"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.loss!r})"


class OfYourOwn(Metric):
    """A metric from a function of (targets, outputs) that gives one number per row, or several, which are averaged."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def per_example(self, t: Tensor, y: Tensor, link: str) -> Tensor:
        each = self.function(t, y)
        if not isinstance(each, Tensor) or each.shape[:1] != y.shape[:1]:
            got = f"a tensor of shape {each.shape}" if isinstance(each, Tensor) else type(each).__name__
            raise ShapeError(f"a metric function gives one number for each of the {y.shape[0]} rows, got {got}")
        return rows_of(each if each.dtype.kind == "f" else cast(each, EXACT), average=True)

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.function)


# --- arrays given by hand -------------------------------------------------------------------------------------------
def arrays(targets: Any, outputs: Any, weights: Any, name: str) -> tuple[Array, Array, Array]:
    """Targets, outputs and weights as arrays of equally many rows."""
    t, y = (np.asarray(v.numpy() if isinstance(v, Tensor) else v) for v in (targets, outputs))
    if not t.ndim or not y.ndim or len(t) != len(y) or not len(t):
        raise DataError(f"{name} needs a target for each output; got shapes {t.shape} and {y.shape}")
    if t.dtype.kind == "b":
        t = t.astype(np.int64)
    w = np.ones(len(t)) if weights is None else np.asarray(weights, EXACT)
    if w.shape != (len(t),) or not (w >= 0).all() or not w.sum():
        raise DataError(f"{name} needs a weight of at least 0 for each of the {len(t)} rows, not all 0; got {w.shape}")
    return t, y, w


def _hot(t: Array, y: Array, name: str) -> Array:
    """Classes that were decided for as rows with a 1 at the class: a score of 1 for it and 0 for the others."""
    t, y = t.reshape(len(t), -1), y.reshape(len(y), -1).astype(np.int64)
    if t.shape[1] != 1 or y.shape[1] != 1:
        raise DataError(f"{name}: whole numbers as outputs are classes, (n,), with labels (n,) as targets")
    if min(t.min(), y.min()) < 0 or (t != np.floor(t)).any():
        raise DataError(f"{name} needs classes numbered from 0; got {t.min():g} and {y.min():g} as the smallest")
    hot: Array = np.eye(max(int(max(t.max(), y.max())) + 1, 2))[y[:, 0]]
    return hot
