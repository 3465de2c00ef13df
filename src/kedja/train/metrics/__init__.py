"""Metrics: what a person judges a network by, exact over all examples, padded batches and weights (scope 3).

By name, `metrics=["accuracy", "macro_f1"]`, or as objects, `metrics=[kj.metrics.TopK(3)]`. Called with arrays they
give their figure:

>>> f1([0, 1, 1, 1], [0.2, 0.9, 0.4, 0.8]), F1("macro")([0, 1, 2], [0, 1, 1])
(0.8, 0.5555555555555555)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from kedja.elsewhere import missing
from kedja.errors import DataError, one_of
from kedja.nn import losses
from kedja.nn.losses import MAE, MSE, Loss
from kedja.train.metrics.confusion import Confusion, confusion
from kedja.train.metrics.decisions import F1, MCC, Accuracy, BalancedAccuracy, BinaryAccuracy, Precision, Recall, TopK
from kedja.train.metrics.metric import LIKELIHOODS, Metric, OfLoss, OfYourOwn, Whole, decided, link_of
from kedja.train.metrics.numbers import R2, RMSE, LogLoss
from kedja.train.metrics.order import ROCAUC, AveragePrecision

__all__ = [
    "F1",
    "LIKELIHOODS",
    "MCC",
    "METRICS",
    "R2",
    "RMSE",
    "ROCAUC",
    "Accuracy",
    "AveragePrecision",
    "BalancedAccuracy",
    "BinaryAccuracy",
    "Confusion",
    "LogLoss",
    "Metric",
    "OfLoss",
    "Precision",
    "Recall",
    "TopK",
    "Whole",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "binary_accuracy",
    "confusion",
    "decided",
    "f1",
    "get",
    "get_all",
    "link_of",
    "log_loss",
    "mae",
    "mcc",
    "mse",
    "of_steps",
    "precision",
    "r2",
    "recall",
    "rmse",
    "roc_auc",
    "saved",
]

# The plain ones, to be called.
accuracy = Accuracy()
average_precision = AveragePrecision()
balanced_accuracy = BalancedAccuracy()
binary_accuracy = BinaryAccuracy()
f1 = F1()
log_loss = LogLoss()
mae = OfLoss(MAE())
mcc = MCC()
mse = OfLoss(MSE())
precision = Precision()
r2 = R2()
recall = Recall()
rmse = RMSE()
roc_auc = ROCAUC()

METRICS: dict[str, Callable[..., Metric]] = {
    "accuracy": Accuracy,
    "average_precision": AveragePrecision,
    "balanced_accuracy": BalancedAccuracy,
    "binary_accuracy": BinaryAccuracy,
    "f1": F1,
    "log_loss": LogLoss,
    "mae": lambda: OfLoss(MAE()),
    "mcc": MCC,
    "mse": lambda: OfLoss(MSE()),
    "precision": Precision,
    "r2": R2,
    "recall": Recall,
    "rmse": RMSE,
    "roc_auc": ROCAUC,
    "top_k": TopK,
}
# Keras's, PyTorch's and scikit-learn's names.
ALIASES = {
    "acc": "accuracy",
    "auc": "roc_auc",
    "categorical_accuracy": "accuracy",
    "f1_score": "f1",
    "matthews_corrcoef": "mcc",
    "r2_score": "r2",
    "roc_auc_score": "roc_auc",
    "root_mean_squared_error": "rmse",
    "sparse_categorical_accuracy": "accuracy",
    "sparse_top_k_categorical_accuracy": "top_k",
    "top_k_accuracy": "top_k",
    "top_k_categorical_accuracy": "top_k",
}


def get(metric: Any, **options: Any) -> Metric:
    """The metric of this name with these options, the object itself, one from a loss, or one from a function.

    Names are those in `METRICS`, any loss's, "top_3_accuracy", and "macro_", "micro_" or "weighted_" before
    "precision", "recall" and "f1". A function is of (targets, outputs) and gives a number per row.

    >>> get("acc").name, get("top_3_accuracy"), get("macro_f1"), get("huber", delta=2.0).name
    ('accuracy', TopK(k=3), F1(average='macro'), 'huber')
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, Loss):
        return OfLoss(metric)
    if isinstance(metric, dict):
        return get(metric["name"], **{k: v for k, v in metric.items() if k != "name"})
    if isinstance(metric, type) and issubclass(metric, Metric):
        return metric(**options)
    if metric is confusion or metric in ("confusion", "confusion_matrix"):
        raise DataError("a confusion matrix is a table, not a figure: kj.metrics.confusion(y, net.predict_labels(x))")
    if callable(metric) and not isinstance(metric, type):
        return OfYourOwn(metric)
    if not isinstance(metric, str):
        raise one_of("metric", metric, METRICS)
    name = ALIASES.get(metric.lower(), metric.lower())
    if found := re.fullmatch(r"top_(\d+)(_accuracy)?", name):
        return TopK(int(found[1]))
    if found := re.fullmatch(r"(binary|macro|micro|weighted)_(precision|recall|f1)", name):
        return METRICS[found[2]](average=found[1])
    if name in METRICS:
        kind = METRICS[name]
        for option in options:
            if option not in getattr(kind, "options", ()):
                raise one_of(f"option of {name}", option, getattr(kind, "options", ()))
        return kind(**options)
    if losses.ALIASES.get(name, name) in losses.LOSSES:
        return OfLoss(losses.get(name, **options))
    raise one_of("metric", metric, METRICS)


def get_all(metrics: Any) -> list[Metric]:
    """The metrics of these names; one alone is taken too. What is named twice counts once."""
    alone = isinstance(metrics, str | Metric | Loss | dict) or callable(metrics)
    names: Sequence[Any] = [metrics] if alone else list(metrics or ())
    found: dict[str, Metric] = {}
    for metric in map(get, names):
        if found.setdefault(metric.name, metric).structure() != metric.structure():
            raise DataError(f"two different metrics are called {metric.name!r}, so one would hide the other")
    return list(found.values())


def of_steps(metrics: Sequence[Metric], validated: bool) -> list[Metric]:
    """The metrics that the steps of an epoch can be measured by; an error where the others have nothing to measure.

    >>> [m.name for m in of_steps(get_all(["accuracy", "roc_auc"]), validated=True)]
    ['accuracy']
    """
    for metric in metrics:
        if metric.whole and not validated:
            raise DataError(
                f"{metric.name} is of the order of all rows, and within an epoch the weights change between them, so "
                "fit measures it on validation rows only: give validation=0.2, or ask "
                f"evaluate(x, y, metrics=[{metric.name!r}])"
            )
    return [m for m in metrics if not m.whole]


def saved(metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Plain data from which `get_all` makes them again, without those that users wrote: code is not saved.

    >>> saved(get_all(["macro_f1", lambda t, y: abs(t - y)]))
    [{'name': 'f1', 'average': 'macro'}]
    """
    ours = [kind for kind in METRICS.values() if isinstance(kind, type)]
    return [
        m.config()
        for m in metrics
        if type(m) in ours or (isinstance(m, OfLoss) and type(m.loss) in losses.LOSSES.values())
    ]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
