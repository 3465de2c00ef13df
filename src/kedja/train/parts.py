"""What `fit` learns from and what it validates on, out of what it was given: arrays, pairs, data sets, weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.data.batches import Batches
from kedja.data.dataset import Dataset
from kedja.data.source import Source
from kedja.data.split import split_rows
from kedja.data.weights import class_weights
from kedja.errors import DataError
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.train.evaluation import as_inputs, as_targets
from kedja.train.stream import streamed, warn_of_lost_classes

__all__ = ["Part", "as_weights", "parted", "row_weights", "unpacked"]

Array = np.ndarray[Any, Any]


def unpacked(x: Any, y: Any, what: str = "x", model: Module | None = None) -> tuple[Any, Any]:
    """x and y, from two arguments or from one data set, whose mask goes with x where the model takes two inputs."""
    if isinstance(x, Dataset):
        if y is not None:
            raise DataError("give either a data set or x and y, not both")
        both = x.mask is not None and model is not None and len(model.input_shapes or model.known_shapes()) == 2
        return ((x.x, x.mask) if both else x.x), x.y
    if y is None:
        if isinstance(x, tuple) and len(x) == 2:
            return x
        if (found := streamed(x, what=what)) is not None:
            some = "x, y = source.take(range(1000))" if isinstance(found, Source) else "x, y = next(iter(...))"
            raise DataError(
                f"{what} is {found.name}, which is read piece by piece, as fit, evaluate, predict and kj.check can. "
                f"Here rows are needed that lie in memory: {some}"
            )
        raise DataError(f"{what} has no targets: give x and y, or a data set that has both")
    return x, y


def row_weights(sample_weight: Any, class_weight: Any, y: Array, rows: int, dtype: Any) -> Array | None:
    """What each row weighs: its own weight times that of its class; None when all weigh the same."""
    own = None if sample_weight is None else as_weights(sample_weight, rows)
    if class_weight is not None:
        of_class = class_weights(y, class_weight)
        own = of_class if own is None else own * of_class
    return None if own is None else own.astype(dtype)


Part = tuple[list[Array], Array, Array | None]  # inputs, targets, weights


def parted(
    model: Module, inputs: list[Array], y: Array, weights: Array | None, validation: Any, seed: int, loss: Loss,
    outputs: tuple[int, ...],
) -> tuple[Part, Part | Source | Batches | None]:  # fmt: skip
    """The rows to learn from, and those to validate on: a share of them, or others that were given."""
    if validation is None:
        return (inputs, y, weights), None
    if (held_out := streamed(validation, what="validation")) is not None:
        return (inputs, y, weights), held_out
    if isinstance(validation, Dataset) or (isinstance(validation, list | tuple) and len(validation) == 2):
        given_x, given_y = validation if isinstance(validation, list | tuple) else (validation, None)
        vx, vy = unpacked(given_x, given_y, model=model)
        v_inputs = as_inputs(model, vx, "validation x")
        vy = as_targets(model, vy, len(v_inputs[0]), loss, outputs, "validation y")
        return (inputs, y, weights), (v_inputs, vy, None)
    if not isinstance(validation, float | np.floating) or not 0 < validation < 1:
        raise DataError(
            "validation is a share of the rows between 0 and 1, a pair (x, y) or a data set; "
            f"got {validation if isinstance(validation, int | float) else type(validation).__name__}"
        )
    keep, held = cut(float(validation), len(y), seed)
    warn_of_lost_classes(y[keep], y[held])

    def of(rows: Array) -> Part:
        return [a[rows] for a in inputs], y[rows], None if weights is None else weights[rows]

    return of(keep), of(held)


def cut(share: float, rows: int, seed: int) -> tuple[Array, Array]:
    """The rows to learn from and this share of them to validate on; the same for the same seed."""
    keep, held = split_rows(rows, test=share, seed=seed)
    return keep, held


def learned_rows(validation: Any, rows: int, seed: int) -> Array | None:
    """Which of the rows are learned from when `validation` is a share of them; None for all."""
    share = isinstance(validation, float | np.floating) and 0 < validation < 1
    return cut(float(validation), rows, seed)[0] if share else None


def as_weights(weights: Any, rows: int) -> Array:
    """Sample weights as an array: one finite number ≥ 0 per row, not all 0."""
    array = np.asarray(weights, np.float64)
    if array.shape != (rows,):
        raise DataError(f"sample_weight needs one number for each of the {rows} rows; got shape {array.shape}")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if wrong.size:
        raise DataError(f"sample_weight must be finite and at least 0; row {wrong[0]} has {array[wrong[0]]:g}")
    if not array.sum():
        raise DataError("sample_weight is 0 for every row: there is nothing to learn from")
    return array
