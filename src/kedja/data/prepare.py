"""Scaling inputs and coding targets, into ranges in which a network learns well (scope 6).

A sigmoid learns where it is steep and reaches neither 0 nor 1: hence inputs in 0.01..1 and targets 0.01/0.99.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kedja.data.check import check_array, check_labels
from kedja.errors import DataError

__all__ = ["one_hot", "scale", "standardise"]


def scale(
    x: ArrayLike,
    low: float = 0.01,
    high: float = 1.0,
    *,
    span: tuple[ArrayLike, ArrayLike] | None = None,
    axis: int | None = None,
) -> NDArray[Any]:
    """Map x linearly so that its least value becomes `low` and its greatest `high`.

    low + (x − min) / (max − min) · (high − low)

    All of x shares one range, as the pixels of an image do; `axis=0` gives every column of a table its own. Test rows
    must be scaled by the training rows' range: `span=(min, max)`. What is constant becomes `low`. Floats keep their
    dtype, all else becomes float32. Raises DataError on low ≥ high and on what is not a finite number.

    >>> scale([0, 51, 255], 0.01, 1.0).round(3).tolist() == np.float32([0.01, 0.208, 1.0]).tolist()
    True
    >>> scale(np.array([[0.0, 10.0], [2.0, 30.0]]), 0, 1, axis=0).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    array, dtype = _numbers(x)
    if not low < high:
        raise DataError(f"scale: low={low} must be less than high={high}.")
    least, greatest = (array.min(axis=axis), array.max(axis=axis)) if span is None else map(np.asarray, span)
    width = np.asarray(greatest - least, np.float64)
    width = np.where(width == 0, 1.0, width)
    # The columns of one range each line up with the last axes of x only when axis=0.
    if span is None and axis is not None:
        least, width = np.expand_dims(least, axis), np.expand_dims(width, axis)
    scaled: NDArray[Any] = (low + (array - least) / width * (high - low)).astype(dtype)
    return scaled


def standardise(
    x: ArrayLike, mean: ArrayLike | None = None, std: ArrayLike | None = None
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """Shift and scale every column to mean 0 and standard deviation 1: ((x − mean) / std, mean, std).

    x (n, …) → mean and std (…). The deviation is that of a population (division by n). A constant column gets std 1
    and becomes 0. Test rows must be treated with the training rows' numbers: `standardise(x_test, mean, std)`.
    x keeps its dtype as in `scale`; mean and std are float64. Raises DataError on what is not a finite number.

    >>> x, mean, std = standardise([[1.0, 5.0], [3.0, 5.0]])
    >>> x.tolist(), mean.tolist(), std.tolist()
    ([[-1.0, 0.0], [1.0, 0.0]], [2.0, 5.0], [1.0, 1.0])
    """
    array, dtype = _numbers(x)
    if (mean is None) != (std is None):
        raise DataError("standardise: give both mean and std of the training rows, or neither.")
    if mean is None or std is None:
        centre, spread = array.mean(axis=0), array.std(axis=0)
        # Rounding gives a constant column a deviation of a few ulp, and dividing by that would make noise of it.
        constant = array.min(axis=0) == array.max(axis=0)
        centre, spread = np.where(constant, array[0], centre), np.where(constant, 1.0, spread)
    else:
        centre, spread = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if not (spread > 0).all():
            raise DataError("standardise: std must be greater than 0 in every column.")
    return ((array - centre) / spread).astype(dtype), centre, spread


def one_hot(labels: ArrayLike, classes: int | None = None, low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
    """Rows with `high` at the label and `low` elsewhere; (n,) → (n, classes), float32.

    Without `classes` there are as many as the greatest label says. For a sigmoid with a squared error: low=0.01,
    high=0.99, which the sigmoid can reach. Raises DataError on labels outside 0..classes−1.

    >>> one_hot([2, 0]).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    array = np.asarray(labels)
    if classes is None:
        if not array.size:
            raise DataError("one_hot got no labels: say how many classes there are.")
        # What is not a number is left for check_labels to name.
        classes = int(array.max()) + 1 if array.dtype.kind in "biuf" else 1
    rows = check_labels(array, classes)
    coded = np.full((len(rows), classes), low, np.float32)
    coded[np.arange(len(rows)), rows] = high
    return coded


def _numbers(x: ArrayLike) -> tuple[NDArray[np.float64], np.dtype[Any]]:
    """x in float64 to compute with, and the dtype the result shall have."""
    # A list of Python floats asks for no precision; an array of float64 does.
    dtype = x.dtype if isinstance(x, np.ndarray) and x.dtype.kind == "f" else np.dtype(np.float32)
    return check_array(x, dtype=np.float64), dtype
