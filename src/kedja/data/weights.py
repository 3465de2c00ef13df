"""Weights of rows that make up for classes of unequal size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kedja.errors import DataError

__all__ = ["class_weights"]

Array = np.ndarray[Any, Any]


def class_weights(y: Any, weights: Any = "balanced") -> Array:
    """The weight of each row by its class: given per class, or "balanced", n / (classes · rows of the class).

    `y` holds labels (n,), or one-hot rows (n, classes).

    >>> class_weights(np.array([0, 0, 0, 1]), {0: 1.0, 1: 3.0}).tolist()
    [1.0, 1.0, 1.0, 3.0]
    >>> class_weights(np.array([0, 0, 0, 1])).round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    """
    array = np.asarray(y)
    if array.ndim > 1 and array.shape[-1] == 1:
        array = array.reshape(len(array), -1)[:, 0]
    labels = array if array.ndim == 1 else array.argmax(-1)
    if labels.ndim != 1 or (labels.dtype.kind == "f" and (labels != np.floor(labels)).any()):
        raise DataError(f"class_weight needs one class for each row; the targets have shape {array.shape}")
    classes, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if isinstance(weights, str):
        if weights != "balanced":
            raise DataError(f"class_weight is 'balanced' or a number for each class, got {weights!r}")
        each = len(labels) / (len(classes) * counts)
        return np.asarray(each[places], np.float64)
    given = dict(weights) if isinstance(weights, Mapping) else dict(enumerate(np.asarray(weights, float).tolist()))
    missing = [c for c in classes.tolist() if c not in given]
    if missing:
        raise DataError(f"class_weight has no number for class {missing[0]!r}; it has {sorted(given)}")
    return np.asarray([float(given[c]) for c in classes.tolist()], np.float64)[places]
