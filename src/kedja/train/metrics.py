"""Metrics: what a person judges a network by. Each gives one number per example, averaged exactly over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kedja.errors import DataError, one_of
from kedja.graph.node import Tensor
from kedja.nn.losses import fitted, logits_of
from kedja.ops import absolute, argmax, cast, mean, reshape, square
from kedja.ops.elementwise import sigmoid
from kedja.ops.softmax import normalised_exp

__all__ = ["Metric", "get", "get_all", "link_of"]

LIKELIHOODS = ("binary_cross_entropy", "cross_entropy")


def link_of(output: Tensor, loss: str | None) -> str:
    """What the raw output is: "probabilities", "logits" (of a likelihood loss), or plain "values"."""
    if output.op is sigmoid or output.op is normalised_exp or logits_of(output) is not None:
        return "probabilities"
    return "logits" if loss in LIKELIHOODS else "values"


def decided(output: Tensor, link: str) -> Tensor:
    """The class each row is put into, int64: the largest output, or for a single one, more likely than not."""
    if output.ndim > 1 and output.shape[-1] > 1:
        return argmax(output, axis=-1)
    single = reshape(output, output.shape[:1]) if output.ndim > 1 else output
    return cast(single > (0.0 if link == "logits" else 0.5), "int64")


def _accuracy(t: Tensor, y: Tensor, link: str) -> Tensor:
    classes = decided(y, link)
    if t.shape == y.shape and y.ndim > 1 and y.shape[-1] > 1:
        t = argmax(t, axis=-1)
    elif t.ndim > 1 and t.shape[-1] == 1:
        t = reshape(t, t.shape[:-1])
    if t.shape != classes.shape:
        raise DataError(f"accuracy: targets of shape {t.shape} do not fit outputs of shape {y.shape}")
    return cast(cast(t, "int64") == classes, y.dtype)


def _per_row(each: Tensor) -> Tensor:
    return each if each.ndim == 1 else mean(each, tuple(range(1, each.ndim)))


def _mae(t: Tensor, y: Tensor, link: str) -> Tensor:
    return _per_row(absolute(fitted(t, y, "mae") - y))


def _mse(t: Tensor, y: Tensor, link: str) -> Tensor:
    return _per_row(square(fitted(t, y, "mse") - y))


class Metric(NamedTuple):
    """A name, the number per example, and what is done to their mean."""

    name: str
    per_example: Callable[[Tensor, Tensor, str], Tensor]
    finish: Callable[[Any], Any] = lambda value: value


METRICS = {
    "accuracy": Metric("accuracy", _accuracy),
    "mae": Metric("mae", _mae),
    "mse": Metric("mse", _mse),
    "rmse": Metric("rmse", _mse, lambda value: value**0.5),
}
ALIASES = {"acc": "accuracy", "binary_accuracy": "accuracy", "mean_absolute_error": "mae", "mean_squared_error": "mse",
           "sparse_categorical_accuracy": "accuracy"}  # fmt: skip


@lru_cache(maxsize=64)  # one function, one metric: a second fit finds the program compiled for it
def _of_your_own(function: Callable[[Tensor, Tensor], Tensor]) -> Metric:
    name = getattr(function, "__name__", type(function).__name__)
    return Metric(name, lambda t, y, link: _per_row(function(t, y)))


def get(metric: Any) -> Metric:
    """The metric of this name, the object itself, or one from a function of (targets, outputs), a number per row.

    >>> get("acc").name
    'accuracy'
    """
    if isinstance(metric, Metric):
        return metric
    if callable(metric) and not isinstance(metric, type):
        return _of_your_own(metric)
    name = ALIASES.get(metric, metric) if isinstance(metric, str) else metric
    if name not in METRICS:
        raise one_of("metric", metric, METRICS)
    return METRICS[name]


def get_all(metrics: Any) -> list[Metric]:
    """The metrics of these names; one name alone is taken too."""
    names: Sequence[Any] = [metrics] if isinstance(metrics, str | Metric) else list(metrics or ())
    return [get(m) for m in names]
