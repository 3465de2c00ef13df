"""A long series cut into windows: what was seen, and what came after it."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.data.check import as_array
from kedja.errors import DataError

__all__ = ["windows"]


def windows(
    series: Any, length: int, horizon: int = 1, *, stride: int = 1, gap: int = 0,
    target: int | str | Sequence[int | str] | None = None,
) -> tuple[NDArray[Any], NDArray[Any]]:  # fmt: skip
    """Windows of `length` steps, and the `horizon` steps that follow each: x (n, length, k) and y (n, horizon).

    `series` is (steps,) or (steps, k). A window begins every `stride` steps; `gap` steps between its end and what is to
    be predicted are left out. `target` is the column that is predicted (a number, or a name where the series has
    some): one gives y (n, horizon), several (n, horizon, columns), None all of them, or (n, horizon) for (steps,).
    There are n = ⌊(steps − length − gap − horizon) / stride⌋ + 1 windows, in the order of time. Neighbours share
    steps: cut with `kj.data.split(x, y, in_order=True)`, or cut the series first. Raises DataError when it is too
    short.

    >>> x, y = windows([0, 1, 2, 3, 4, 5], length=3, horizon=2)
    >>> x[:, :, 0].tolist(), y.tolist()
    ([[0, 1, 2], [1, 2, 3]], [[3, 4], [4, 5]])
    """
    names = getattr(series, "column_names", getattr(series, "columns", None))
    array = as_array(series, "series")
    if array.dtype.kind not in "biuf":
        raise DataError(f"windows: the series holds {array.dtype}, and numbers are expected.")
    if array.ndim not in (1, 2):
        raise DataError(f"windows: a series is (steps,) or (steps, columns); got shape {array.shape}.")
    values = array.reshape(len(array), -1)
    length, horizon = _whole("length", length, 1), _whole("horizon", horizon, 1)
    stride, gap = _whole("stride", stride, 1), _whole("gap", gap, 0)
    needed = length + gap + horizon
    if len(values) < needed:
        between = f" + a gap of {gap}" if gap else ""
        raise DataError(
            f"windows: the series has {len(values)} steps, and a window needs {length}{between} + {horizon} = {needed}."
        )
    count = (len(values) - needed) // stride + 1
    starts = np.arange(count) * stride
    x = values[starts[:, None] + np.arange(length)]
    after = values[(starts + length + gap)[:, None] + np.arange(horizon)]
    if target is None:
        return x, after[:, :, 0] if array.ndim == 1 else after
    several = isinstance(target, list | tuple)
    wanted = [_place(t, values.shape[1], names) for t in (target if several else [target])]  # type: ignore[union-attr]
    return x, after[:, :, wanted] if several else after[:, :, wanted[0]]


def _place(column: Any, count: int, names: Any) -> int:
    if isinstance(column, str):
        known = [str(name) for name in names] if names is not None else []
        if column not in known:
            there = f"the columns {', '.join(known)}" if known else "no names of columns"
            raise DataError(f"windows: target={column!r}: the series has {there}.")
        return known.index(column)
    if isinstance(column, bool) or not isinstance(column, int | np.integer) or not -count <= column < count:
        raise DataError(f"windows: target={column!r}: the series has the columns 0 to {count - 1}.")
    return int(column)


def _whole(name: str, value: Any, least: int) -> int:
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if isinstance(value, bool) or found < least:
        raise DataError(f"windows: {name}={value!r}: it must be a whole number of at least {least}.")
    return found
