"""How good a network is on given rows: figures, the confusion of classes, the rows it gets wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.cli.charts import number
from kedja.cli.recipe import targets
from kedja.cli.report import MOST_MISTAKES, Mistakes
from kedja.cli.rows import Rows

__all__ = ["Judgement", "chances", "judge", "told"]

MOST_COLUMNS = 12


@dataclass
class Judgement:
    """`figures` by name, the most important first; for classes the confusion matrix and mistakes, else predictions."""

    rows: int
    figures: dict[str, float] = field(default_factory=dict)
    confusion: NDArray[np.int64] | None = None
    mistakes: Mistakes | None = None
    predictions: NDArray[Any] | None = None

    @property
    def right(self) -> int:
        """How many rows were put into their class."""
        return 0 if self.confusion is None else int(np.trace(self.confusion))


def judge(net: Any, rows: Rows, loss: str, kernels: str | None = None) -> Judgement:
    """The network on rows whose answers are known; `loss` is the one it was trained with."""
    assert rows.y is not None
    if rows.class_names is None:
        return _numbers(net, rows, kernels)
    classes = len(rows.class_names)
    probability = chances(net, rows, kernels)
    labels = net.predict_labels(rows.x, kernels=kernels)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (rows.y, labels), 1)
    measured = net.evaluate(rows.x, targets(rows, loss), kernels=kernels)
    figures = {"accuracy": float(np.mean(labels == rows.y)), "loss": measured["loss"]}
    return Judgement(len(rows), figures, confusion, _mistakes(rows, labels, probability))


def chances(net: Any, rows: Rows, kernels: str | None = None) -> NDArray[Any]:
    """The probability of every class, (n, classes); a single output is the probability of the second class."""
    found: NDArray[Any] = np.asarray(net.predict_proba(rows.x, kernels=kernels), np.float64)
    return np.concatenate([1 - found, found], axis=1) if found.shape[1] == 1 else found


def told(judgement: Judgement, rows: Rows, what: str) -> str:
    """The result in a line, in the units a person thinks in.

    >>> told(Judgement(4, {"accuracy": 0.75}, np.array([[2, 0], [1, 1]])), None, "held-out")
    'held-out accuracy 75.0 %  (3 of 4 rows right)'
    """
    if judgement.confusion is not None:
        share = 100 * judgement.figures["accuracy"]
        return f"{what} accuracy {share:.1f} %  ({judgement.right:,} of {judgement.rows:,} rows right)"
    figures = judgement.figures
    r2 = f", R² {figures['R²']:.3f}" if "R²" in figures else ""
    return (
        f"{what} error {number(figures['RMSE'])} (root mean square), {number(figures['MAE'])} (mean absolute) "
        f"in units of {rows.target!r}{r2}  ({judgement.rows:,} rows)"
    )


def _numbers(net: Any, rows: Rows, kernels: str | None) -> Judgement:
    predictions = np.asarray(net.predict(rows.x, kernels=kernels), np.float64).ravel()
    assert rows.y is not None
    true = rows.y.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = float(np.mean((predictions - true) ** 2))
        figures = {"RMSE": squares**0.5, "MAE": float(np.mean(np.abs(predictions - true)))}
    if len(true) > 1 and (spread := float(np.var(true))) > 0:
        # 1 is perfect, 0 no better than always answering the mean of these rows.
        figures["R²"] = 1 - squares / spread
    return Judgement(len(rows), figures, predictions=predictions)


def _mistakes(rows: Rows, labels: NDArray[np.int64], probability: NDArray[Any]) -> Mistakes | None:
    """The wrong answers, those the network was surest of first."""
    assert rows.y is not None and rows.class_names is not None
    wrong = np.flatnonzero(labels != rows.y)
    if not wrong.size:
        return None
    sure = probability[wrong, labels[wrong]]
    order = np.argsort(-sure, kind="stable")[:MOST_MISTAKES]
    shown = wrong[order]
    found = Mistakes(
        true=[rows.class_names[label] for label in rows.y[shown]],
        predicted=[rows.class_names[label] for label in labels[shown]],
        probability=sure[order].tolist(),
        total=int(wrong.size),
    )
    if rows.image_shape is not None:
        found.images = rows.x[shown].reshape(-1, *rows.image_shape)
    else:
        found.columns = rows.feature_names[:MOST_COLUMNS]
        found.rows = rows.shown(shown, MOST_COLUMNS)
    return found
