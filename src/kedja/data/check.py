"""What `fit` asks of arrays before it trains on them: a fault is named with its row and column, not by a NaN loss."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kedja.errors import DataError

__all__ = ["as_array", "check_array", "check_arrays", "check_labels", "unresolved"]


def check_arrays(
    x: Any, y: Any = None, *, dtype: DTypeLike = np.float32, keep_integers: bool = False
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """x and y as arrays one can train on: numbers, finite, as many rows of one as of the other.

    x becomes `dtype` (integers too, unless `keep_integers`, for networks that begin with an embedding); in y integers
    are kept, since they are labels, and floats become `dtype`. Without y the second result is None. Raises DataError
    on NaN, infinity, text and missing values (with row and column, both counted from 0), on numbers too large for
    `dtype`, on different lengths, and on nothing at all.

    >>> x, y = check_arrays([[0, 1], [1, 1]], [0, 1])
    >>> x.dtype.name, y.dtype.name
    ('float32', 'int64')
    >>> check_arrays([[0.0, 1.0], [float("nan"), 1.0]])
    Traceback (most recent call last):
    kedja.errors.DataError: x has nan at row 1, column 0 (counting from 0): drop the row or fill the value in.
    """
    features = check_array(x, "x", dtype=dtype, keep_integers=keep_integers)
    if y is None:
        return features, None
    targets = check_array(y, "y", dtype=dtype, keep_integers=True)
    if len(features) != len(targets):
        raise DataError(f"x has {len(features)} rows and y has {len(targets)}: there must be one target for each row.")
    return features, targets


def check_array(
    values: Any,
    name: str = "x",
    *,
    dtype: DTypeLike = np.float32,
    keep_integers: bool = False,
    learning: bool = False,
    missing: bool = False,
) -> NDArray[Any]:
    """One array one can compute with; see `check_arrays`. `name` is how messages call it.

    With `learning`, columns whose differences `dtype` would round away are refused; with `missing`, NaN is let pass.

    >>> check_array([1, 2], "ages").dtype.name
    'float32'
    """
    # A table's own column names, where it has some (pandas, polars), say more than numbers do.
    named = getattr(values, "column_names", None)  # of an Arrow table, whose `columns` are the cells
    named = getattr(values, "columns", None) if named is None else named
    columns = [str(column) for column in named] if named is not None else None
    array = as_array(values, name)
    if array.ndim == 0:
        raise DataError(f"{name} is a single value, {values!r}: give one entry for each row.")
    if not array.size:
        raise DataError(f"{name} is empty: its shape is {array.shape}.")
    if array.dtype.kind in "OSUT":
        array = _numbers_only(array, name, columns)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} has dtype {array.dtype}: only real numbers can be learned from.")
    if array.dtype.kind in "biu" and keep_integers:
        return array.astype(np.int64) if array.dtype.kind == "b" else array

    _check_finite(np.where(np.isnan(array), 0, array) if missing and array.dtype.kind == "f" else array, name, columns)
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(array, dtype=dtype)
    if cast.dtype.itemsize < array.dtype.itemsize and not _is_finite(cast) and np.isinf(cast).any():
        place = _first(np.isinf(cast))
        raise DataError(
            f"{name} has {array[place]:g} {_where(place, columns)}, too large for {cast.dtype}: scale it first."
        )
    if learning and (blurred := unresolved(array, cast.dtype)) is not None:
        column = f" in column {columns[blurred] if columns else blurred}" if array.ndim > 1 else ""
        raise DataError(
            f"{name} has values{column} around {array.reshape(len(array), -1)[0, blurred]:g} that differ by less than "
            f"{cast.dtype} can tell apart: subtract their mean first, or compute in float64."
        )
    return cast


def unresolved(array: NDArray[Any], dtype: DTypeLike) -> int | None:
    """The first column whose spread would be lost in the rounding of `dtype` (time stamps, large identifiers), if any.

    A column is lost when one unit in the last place of its largest value is more than a thousandth of its range (a
    tenth in half precision, which has no more to give: 1/1024 near 1).

    >>> unresolved(np.array([[0.0, 1e12], [1.0, 1e12 + 60]]), np.float32)
    1
    """
    found = np.dtype(dtype)
    if array.dtype.kind not in "iuf" or found.kind != "f" or found.itemsize >= 8 or array.dtype.itemsize < 4:
        return None
    if array.dtype.kind == "f" and array.dtype.itemsize <= found.itemsize:
        return None
    rows = array.reshape(len(array), -1)
    low, high = rows.min(0).astype(np.float64), rows.max(0).astype(np.float64)
    grain = np.maximum(np.abs(low), np.abs(high)) * float(np.finfo(found).eps)
    lost = (high > low) & (grain > max(1e-3, 100 * float(np.finfo(found).eps)) * (high - low))
    return int(np.argmax(lost)) if lost.any() else None


def check_labels(y: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Class labels, shape (n,), as int64 in 0..classes−1.

    Whole numbers stored as floats are accepted. Raises DataError, with row and value, on anything else.

    >>> check_labels([0, 2, 1], 3).tolist()
    [0, 2, 1]
    >>> check_labels([1, 2, 3], 3)
    Traceback (most recent call last):
    kedja.errors.DataError: label 3 at row 2 (counting from 0) is outside 0..2. The labels start at 1: subtract 1.
    """
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise DataError(f"labels must have the shape (n,), one whole number a row; they have {labels.shape}.")
    if labels.dtype.kind not in "biuf":
        labels = _numbers_only(labels, "y", None)
    if labels.dtype.kind == "f":
        _check_finite(labels, "y", None)
        fractional = labels != np.floor(labels)
        if fractional.any():
            row = int(np.argmax(fractional))
            raise DataError(f"label {labels[row]:g} at row {row} (counting from 0) is not a whole number.")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        row = int(np.argmax(outside))
        hint = " The labels start at 1: subtract 1." if labels.min() == 1 and labels.max() == classes else ""
        value = int(labels[row])
        raise DataError(f"label {value} at row {row} (counting from 0) is outside 0..{classes - 1}.{hint}")
    return labels.astype(np.int64)


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Whatever holds rows as an array: lists, data frames, Arrow tables, tensors of PyTorch or of anything with DLPack.

    >>> as_array([[1, 2], [3, 4]], "x").shape
    (2, 2)
    """
    if hasattr(values, "detach") and hasattr(values, "cpu"):  # a PyTorch tensor, without importing PyTorch
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    if not hasattr(values, "__array__") and hasattr(values, "__dlpack__"):
        values = np.from_dlpack(values)
    try:
        array = np.asarray(values)
        if array.dtype == object and array.ndim == 1 and len(array) and isinstance(array[0], np.ndarray):
            array = np.stack(list(array))  # a column of lists (Arrow, polars)
        array = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
        # One text among numbers in a list makes text of them all; as objects, the culprit can be told apart.
        return array if array.dtype.kind not in "SU" or isinstance(values, np.ndarray) else np.asarray(values, object)
    except ValueError as error:
        # What NumPy calls inhomogeneous: rows of different lengths.
        lengths = [len(row) if isinstance(row, Sequence | np.ndarray) else 0 for row in values]
        row = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
        if row is None:
            raise DataError(f"{name} cannot be made an array: {error}") from error
        raise DataError(f"{name} has {lengths[row]} values in row {row} and {lengths[0]} in row 0.") from error


def _numbers_only(array: NDArray[Any], name: str, columns: list[str] | None) -> NDArray[Any]:
    """An array of objects or text, when all it holds are numbers; otherwise the error that names the first other."""
    whole = True
    for place in np.ndindex(array.shape):
        value = array[place]
        if isinstance(value, str | bytes):
            advice = (
                "code labels as numbers (np.unique(labels, return_inverse=True) does)."
                if name == "y"
                else "give numbers instead."
            )
            raise DataError(f"{name} has the text {str(value)!r} {_where(place, columns)}: {advice}")
        # pandas' own missing value is not a Number either.
        if not isinstance(value, numbers.Real | np.bool_):
            what = "no value" if value is None or str(value) in ("<NA>", "NaT") else f"a {type(value).__name__}"
            raise DataError(f"{name} has {what} {_where(place, columns)}: a number is expected.")
        whole = whole and isinstance(value, numbers.Integral | np.bool_)
    return array.astype(np.int64 if whole else np.float64)


def _is_finite(array: NDArray[Any]) -> bool:
    # One sum is three times faster than a mask, and wrong only in being too careful (a sum may overflow).
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())


def _check_finite(array: NDArray[Any], name: str, columns: list[str] | None) -> None:
    if array.dtype.kind == "f" and not _is_finite(array):
        place = _first(~np.isfinite(array))
        advice = "drop the row or fill the value in." if np.isnan(array[place]) else "a finite number is expected."
        raise DataError(f"{name} has {array[place]} {_where(place, columns)}: {advice}")


def _first(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))


def _where(place: tuple[int, ...], columns: list[str] | None) -> str:
    """The place in words; rows and columns are counted as Python counts them, and the message says so."""
    if len(place) == 1:
        return f"at row {place[0]} (counting from 0)"
    if len(place) > 2:
        return f"at index {place} (counting from 0)"
    named = f" {columns[place[1]]!r}" if columns is not None and place[1] < len(columns) else ""
    return f"at row {place[0]}, column {place[1]}{named} (counting from 0)"
