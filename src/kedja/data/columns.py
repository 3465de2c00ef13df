"""Columns under names, whatever they came in: numbers, categories, dates, and cells that are missing.

A table is a dict of columns, a list of dicts, a data frame (pandas, polars, Arrow) or a `Table` read from a file. None
of these packages is imported: a data frame is what has column names and gives a column for one.
"""

from __future__ import annotations

import datetime
import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.data.table import Table
from kedja.errors import DataError

__all__ = ["as_columns", "days_of", "is_table", "kind_of", "labels_of", "numbers_of", "rows_of"]

Cells = NDArray[Any]
"""A column: float64 with NaN for what is missing, or objects: text, numbers, dates, and None for what is missing."""

# What programs write where a value is missing (R, pandas, SQL, UCI).
MISSING = frozenset({"", "?", "n/a", "na", "nan", "none", "null", "<na>", "nat"})
EPOCH = np.datetime64("1970-01-01", "s")
DAY = 86_400.0
# Texts that stand for more rows than this on average are categories; otherwise names, of which each row has its own.
FEWEST_ROWS_A_TEXT = 2
FEW_TEXTS = 20


def is_table(x: Any) -> bool:
    """Whether x has named columns.

    >>> is_table({"area": [35, 71]}), is_table([{"area": 35}]), is_table(np.zeros((2, 3)))
    (True, True, False)
    """
    if isinstance(x, Mapping):
        return True
    if isinstance(x, list | tuple) and x and all(isinstance(row, Mapping) for row in x):
        return True
    return (isinstance(x, np.ndarray) and x.dtype.names is not None) or names_of(x) is not None


def names_of(x: Any) -> list[str] | None:
    """The column names of a data frame, or None."""
    names = getattr(x, "column_names", None)  # Arrow, whose `columns` are the columns themselves
    names = getattr(x, "columns", None) if names is None else names
    if names is None or not hasattr(x, "__getitem__"):
        return None
    return [str(name) for name in names]


def as_columns(table: Any, only: Sequence[str] | None = None) -> dict[str, Cells]:
    """The columns of a table by name, all of one length; with `only`, no others.

    Raises DataError when there are none, when lengths differ, or when it is no table.

    >>> {name: cells.tolist() for name, cells in as_columns([{"a": 1, "b": "x"}, {"a": None, "b": "?"}]).items()}
    {'a': [1.0, nan], 'b': ['x', None]}
    """
    if isinstance(table, Mapping):
        found = {str(name): values for name, values in table.items()}
    elif isinstance(table, np.ndarray) and table.dtype.names is not None:
        found = {name: table[name] for name in table.dtype.names}
    elif isinstance(table, list | tuple) and table and all(isinstance(row, Mapping) for row in table):
        names = list(dict.fromkeys(name for row in table for name in row))
        found = {str(name): [row.get(name) for row in table] for name in names}
    elif (named := names_of(table)) is not None:
        given = getattr(table, "column_names", None) or table.columns
        found = {name: table[key] for name, key in zip(named, given, strict=True)}
    else:
        raise DataError(
            f"a {type(table).__name__} has no named columns: give a dict of columns, a list of dicts or a data frame."
        )
    if not found:
        raise DataError("the table has no columns.")
    columns = {name: cells_of(name, values) for name, values in found.items() if only is None or name in only}
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        (a, n), (b, m) = next(((a, n), (b, m)) for a, n in lengths.items() for b, m in lengths.items() if n != m)
        raise DataError(f"column {a!r} has {n} rows and column {b!r} has {m}: all must have the same number.")
    return columns


def rows_of(x: Any, which: NDArray[np.int64]) -> Any:
    """Some rows of a table or array."""
    if isinstance(x, np.ndarray | Table):
        return x[which]
    if is_table(x):
        columns = as_columns(x)
        return {name: cells[which] for name, cells in columns.items()}
    return np.asarray(x)[which]


def cells_of(name: str, values: Any) -> Cells:
    """One column in the form that `Cells` says."""
    array = values if isinstance(values, np.ndarray) else _as_array(name, values)
    if array.ndim != 1:
        raise DataError(f"column {name!r} has the shape {array.shape}: a column has one value for each row.")
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    if array.dtype.kind == "M":
        stamps = array.astype("datetime64[s]")
        return _objects([None if np.isnat(stamp) else stamp for stamp in stamps])
    found = _objects([_cell(name, value) for value in array.tolist()])
    if all(value is None or isinstance(value, float) for value in found) and any(v is not None for v in found):
        return np.array([np.nan if value is None else value for value in found], np.float64)
    return found


def _objects(values: Sequence[Any]) -> Cells:
    """An array of the very objects: NumPy's own assignment would make datetime out of every datetime64."""
    found = np.empty(len(values), object)
    for row, value in enumerate(values):
        found[row] = value
    return found


def _as_array(name: str, values: Any) -> NDArray[Any]:
    if hasattr(values, "to_numpy"):
        return np.asarray(values.to_numpy())
    if isinstance(values, str | numbers.Number) or values is None or not hasattr(values, "__iter__"):
        raise DataError(
            f"column {name!r} is {values!r}, one value: a row of a table is given as [row], a list of dicts."
        )
    listed = list(values)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array


def _cell(name: str, value: Any) -> Any:
    """None, a float, text or a date (datetime64 of seconds)."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[s]")
    if value is None or isinstance(value, str):
        text = None if value is None else value.strip()
        return None if text is None or text.lower() in MISSING else text
    if isinstance(value, numbers.Real | np.bool_):
        return None if value != value else float(value)
    if isinstance(value, datetime.date):  # a datetime is one too
        plain = value.replace(tzinfo=None) if isinstance(value, datetime.datetime) else value
        return None if value != value else np.datetime64(plain, "s")
    if str(value) in ("<NA>", "NaT", "nan"):
        return None
    if hasattr(value, "__float__"):  # Decimal
        return float(value)
    raise DataError(f"column {name!r} holds a {type(value).__name__}: cells are numbers, text or dates.")


def is_missing(cells: Cells) -> NDArray[np.bool_]:
    """Which cells are missing."""
    if cells.dtype.kind == "f":
        return np.isnan(cells)
    return np.array([value is None for value in cells], bool)


def kind_of(cells: Cells) -> tuple[str, str]:
    """What a column is taken for, and why, where there is something to say: "number", "category", "date", "nothing".

    Numbers are numbers, and so is text that is a number in most cells; dates are written as 2024-05-31, with or without
    a time. Other text is a category when a text stands for two rows or more on average (or there are 20 at most). A
    column with one value only, or with a text of its own in each row, says nothing.

    >>> kind_of(np.array([1.0, 2.0, np.nan])), kind_of(np.array(["a", "b", "a", None], object))
    (('number', ''), ('category', ''))
    >>> kind_of(np.array([5.0, 5.0]))
    ('nothing', 'every row has 5')
    """
    there = ~is_missing(cells)
    known = cells[there]
    if not len(known):
        return "nothing", "no row has a value"
    different = Counter(known.tolist())
    if len(different) == 1 and there.all():
        value = next(iter(different))
        return "nothing", f"every row has {f'{value:g}' if isinstance(value, float) else value}"
    if cells.dtype.kind == "f":
        return "number", ""
    parsed = [_number(value) for value in known]
    share = float(np.mean([value == value for value in parsed]))
    if share >= 0.5:
        return "number", ""
    if all(_stamp(value) is not None for value in known):
        return "date", ""
    if len(different) > FEW_TEXTS and len(known) < FEWEST_ROWS_A_TEXT * len(different):
        return "nothing", f"{len(different):,} different texts in {len(known):,} rows"
    return "category", ""


def numbers_of(name: str, cells: Cells, place: Any = None) -> NDArray[np.float64]:
    """The cells as numbers, NaN where one is missing; DataError, naming the row, on text and on infinity.

    `place` says, for a row counted from 0, how to name it.

    >>> numbers_of("area", np.array(["35", None, "71.5"], object)).tolist()
    [35.0, nan, 71.5]
    """
    if cells.dtype.kind == "f":
        values = cells.astype(np.float64)
    else:
        values = np.array([np.nan if v is None else _number(v) for v in cells], np.float64)
        text = np.isnan(values) & ~is_missing(cells)
        if text.any():
            row = int(np.argmax(text))
            raise DataError(f"{_row(place, row)}, column {name!r}: {_complaint(str(cells[row]))}.")
    if np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        raise DataError(f"{_row(place, row)}, column {name!r}: {values[row]} is not finite.")
    return values


def days_of(name: str, cells: Cells, place: Any = None) -> NDArray[np.float64]:
    """The cells as days since 1 January 1970, NaN where one is missing; DataError on what is no date.

    >>> days_of("sold", np.array(["1970-01-02", None], object)).tolist()
    [1.0, nan]
    """
    found = np.full(len(cells), np.nan)
    for row, value in enumerate(cells.tolist() if cells.dtype.kind == "f" else cells):
        if value is None or value != value:
            continue
        stamp = _stamp(value)
        if stamp is None:
            raise DataError(
                f"{_row(place, row)}, column {name!r}: {str(value)!r} is no date: write 2024-05-31, "
                "or 2024-05-31 14:30."
            )
        found[row] = (stamp - EPOCH).astype(np.int64) / DAY
    return found


def labels_of(cells: Cells) -> list[str | None]:
    """The cells as names of categories: 3, 3.0 and "3" are one, None is missing.

    >>> labels_of(np.array([3.0, np.nan])), labels_of(np.array(["3.0", "red", None], object))
    (['3', None], ['3', 'red', None])
    """
    missing = is_missing(cells)
    return [None if gone else label_of(value) for value, gone in zip(cells.tolist(), missing, strict=True)]


def label_of(value: Any) -> str:
    """One category as text; whole numbers without a point."""
    if isinstance(value, str):
        number = _number(value)
        if number == number and abs(number) < 1e15 and not (len(value) > 1 and value.startswith("0")):
            return f"{number:.15g}"
        return value
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value)


def _number(value: Any) -> float:
    """The number in a cell, NaN when there is none. Python's 1_000 is not a number to anyone else."""
    if isinstance(value, float):
        return value
    try:
        return float(value) if isinstance(value, str) and "_" not in value else np.nan
    except ValueError:
        return np.nan


def _stamp(value: Any) -> np.datetime64 | None:
    """The date in a cell, or None. Only the international way of writing is read: 3/4/2024 has two meanings."""
    if isinstance(value, np.datetime64):
        return value
    if not isinstance(value, str) or len(value) < 8 or not value[0].isdigit():
        return None
    text = value.replace("/", "-") if value[4:5] == "/" else value
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return np.datetime64(moment.replace(tzinfo=None), "s")


def _row(place: Any, row: int) -> str:
    return f"row {row} (counting from 0)" if place is None else str(place(row))


def _complaint(cell: str) -> str:
    comma = "," in cell and _number(cell.replace(",", "")) == _number(cell.replace(",", ""))
    hint = " (a decimal comma is written as a point, thousands without a sign)" if comma else ""
    return f"{cell!r} is text where a number is expected{hint}"
