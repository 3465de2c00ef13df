"""Tables in CSV files. Whatever is wrong with one is said in one line: file, row, column, what stands there.

Rows are counted as a spreadsheet counts them: the header is row 1.
"""

from __future__ import annotations

import io
import os
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from kedja.data.check import unresolved
from kedja.data.dataset import Task
from kedja.errors import DataError, one_of

__all__ = ["Learnable", "Table", "read_csv"]

# What programs write where a number is missing (R, pandas, SQL, UCI).
_MISSING = frozenset({"", "?", "n/a", "na", "nan", "none", "null"})
# Whole numbers are labels while there are few of them and they lie close together; otherwise they are amounts.
_MOST_LABELS = 20
_WIDEST_LABELS = 100


class Learnable(NamedTuple):
    """What a table offers to `fit`: x (n, k) float32; y (n,), int64 labels or float32 numbers; and their names."""

    x: NDArray[np.float32]
    y: NDArray[np.int64] | NDArray[np.float32]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...] | None
    task: Task


class Table:
    """Columns of text under names, as a file gave them; numbers are made of them where they are asked for.

    >>> table = Table("rooms.csv", ["area", "rooms"], [["35", "1"], ["71", "3"]])
    >>> len(table), table.columns, table.numeric(["area"]).tolist()
    (2, ('area', 'rooms'), [[35.0], [71.0]])
    """

    def __init__(
        self, path: str, columns: Iterable[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] | None = None
    ) -> None:
        """`numbers` are the rows' numbers in the file; without them they follow the header one by one."""
        self.path = path
        self.columns = tuple(columns)
        cells = zip(*rows, strict=True) if rows else [()] * len(self.columns)
        self._cells = dict(zip(self.columns, cells, strict=True))
        self._numbers = range(2, len(rows) + 2) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, which: Any) -> Any:
        """A column by its name, or a table of some of the rows by their numbers, counted from 0."""
        if isinstance(which, str):
            return np.array(self.column(which), object)
        part = Table(self.path, self.columns, [], [self._numbers[row] for row in which])
        part._cells = {name: tuple(cells[row] for row in which) for name, cells in self._cells.items()}
        return part

    def only(self, names: Sequence[str]) -> Table:
        """The same rows with these columns, in this order."""
        part = Table(self.path, names, [], self._numbers)
        part._cells = {name: self.column(name) for name in names}
        return part

    def fingerprint(self) -> dict[str, Any]:
        """What tells these rows from others: size, names, and a checksum of the cells."""
        import hashlib

        made = hashlib.blake2b(digest_size=8)
        for name, cells in self._cells.items():
            made.update("\x1f".join((name, *cells, "\x1e")).encode())
        return {"shape": [len(self), len(self.columns)], "columns": list(self.columns), "checksum": made.hexdigest()}

    def place(self, row: int) -> str:
        """How messages name a row that is counted from 0: by the file and its number there."""
        return f"{self.path}, row {self._numbers[row]}"

    def __repr__(self) -> str:
        return f"<Table {self.path}: {len(self):,} rows × {len(self.columns)} columns ({', '.join(self.columns)})>"

    def column(self, name: str) -> tuple[str, ...]:
        """The cells of a column, as text. Raises UnknownNameError, with the columns there are and the nearest."""
        if name not in self._cells:
            raise one_of(f"column of {self.path}", name, self.columns)
        return self._cells[name]

    def numeric(self, names: Iterable[str]) -> NDArray[np.float64]:
        """The named columns as numbers, (n, k). Raises DataError on text, on empty cells, on NaN and infinity."""
        columns = [self._numbers_of(name) for name in names]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0))

    def features(self, names: Iterable[str]) -> NDArray[np.float32]:
        """The named columns as inputs (n, k) float32, in the order of the names; other columns are passed over.

        This is how a trained model reads another file: by name. Raises as `numeric` does.
        """
        wanted = tuple(names)
        exact = self.numeric(wanted)
        with np.errstate(over="ignore"):
            x = exact.astype(np.float32)
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x))[0]
            self._refuse(int(row), wanted[column], f"{exact[row, column]:g} is too large for float32: scale it")
        return x

    def xy(self, target: str, task: Task | None = None, features: Iterable[str] | None = None) -> Learnable:
        """Inputs and target: `features` (default: every other column) and the column `target`.

        Unless `task` says otherwise, a target of text is a class; so is one of whole numbers, when there are at most
        20 different ones, no more than 100 apart, each met twice on average. Other numbers are regression. Classes
        are numbered in the order of their names (numbers in the order of their size). Raises DataError as `numeric`
        does, on a text input, on a target with one value only, and on text that is different in most rows.
        """
        names = self.inputs(target, features)
        x = self._inputs(names)
        self._resolved(names)
        y, classes, found = self.answers(target, task)
        return Learnable(x, y, names, classes, found)

    def inputs(self, target: str, features: Iterable[str] | None = None) -> tuple[str, ...]:
        """The names of the columns to learn from: `features`, or every column but the target."""
        self.column(target)
        names = tuple(features) if features is not None else tuple(name for name in self.columns if name != target)
        if target in names:
            raise DataError(f"{self.path}: {target!r} is the target and cannot be an input as well.")
        if not names:
            raise DataError(f"{self.path}: there is no column besides the target {target!r} to learn from.")
        for name in names:
            self.column(name)
        return names

    def answers(
        self, target: str, task: Task | None = None
    ) -> tuple[NDArray[np.int64] | NDArray[np.float32], tuple[str, ...] | None, Task]:
        """The target column as `xy` gives it: labels or numbers, the names of classes, and the task."""
        if task not in (None, "classification", "regression"):
            raise one_of("task", task, ("classification", "regression"))
        cells = self.column(target)
        if task is None:
            task = self._task_of(target)
        if task == "regression":
            self._resolved((target,))
            return self.features([target])[:, 0], None, task
        classes = _in_order(set(self._labels_of(target)))
        if len(classes) == 1:
            raise DataError(f"{self.path}: all {len(cells)} rows have the target {target!r} = {classes[0]!r}.")
        return self.labels(target, classes), classes, task

    def labels(self, target: str, class_names: Sequence[str]) -> NDArray[np.int64]:
        """The target as numbers of the classes a model was trained on. Raises DataError, with row, on another class."""
        code = {name: number for number, name in enumerate(class_names)}
        labels = self._labels_of(target)
        for row, label in enumerate(labels):
            if label not in code:
                self._refuse(row, target, f"{label!r} is none of the classes {', '.join(class_names)}")
        return np.array([code[label] for label in labels], np.int64)

    def _numbers_of(self, name: str) -> NDArray[np.float64]:
        cells = self.column(name)
        values = np.array([_number(cell) for cell in cells], np.float64)
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            self._refuse(row, name, _complaint(cells[row]))
        return values

    def _inputs(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """`features`, with a word more where a whole column is text: there is no mistake in it, it is not supported."""
        for name in names:
            first = self.column(name)[0]
            if first.lower() not in _MISSING and not any(map(_is_number, self.column(name))):
                self._refuse(
                    0, name, f"{first!r} is text; text inputs are not supported yet: code them as numbers or leave "
                    "the column out (features=)"
                )  # fmt: skip
        return self.features(names)

    def _resolved(self, names: Sequence[str]) -> None:
        """Refuse to learn from a column that would be the same number over and over in float32."""
        exact = self.numeric(names)
        column = unresolved(exact, np.float32)
        if column is not None:
            raise DataError(
                f"{self.path}, column {names[column]!r}: its values, around {exact[0, column]:g}, differ by less than "
                "float32 can tell apart. Subtract an offset (dates: the first one) in the file."
            )

    def _task_of(self, target: str) -> Task:
        cells = self.column(target)
        numeric = sum(map(_is_number, cells))
        missing = sum(cell.lower() in _MISSING for cell in cells)
        different = len(set(cells))
        if numeric + missing < len(cells) or not numeric:
            # Numbers with a slip of text among them are not classes; nor are names, of which each row has its own.
            if numeric > len(cells) / 2 and different > _MOST_LABELS:
                self._numbers_of(target)
            if different > max(_MOST_LABELS, len(cells) / 2):
                raise DataError(
                    f"{self.path}: the target {target!r} holds {different} different texts in {len(cells)} rows: "
                    'no class to learn. If it is one, say task="classification".'
                )
            return "classification"
        values = self._numbers_of(target)
        different = len(np.unique(values))
        few = different <= min(_MOST_LABELS, len(values) / 2) and np.ptp(values) <= _WIDEST_LABELS
        return "classification" if few and bool((values == np.floor(values)).all()) else "regression"

    def _labels_of(self, target: str) -> list[str]:
        """The target's cells as names of classes; 1, 1.0 and 01 are one class when all of them are numbers."""
        cells = self.column(target)
        if "" in cells:
            self._refuse(cells.index(""), target, _complaint(""))
        if not any(map(_is_number, cells)) or not all(_is_number(cell) or cell.lower() in _MISSING for cell in cells):
            return list(cells)
        values = self._numbers_of(target).tolist()
        return [_class_name(cell, value) for cell, value in zip(cells, values, strict=True)]

    def _refuse(self, row: int, name: str, what: str) -> NoReturn:
        raise DataError(f"{self.path}, row {self._numbers[row]}, column {name!r}: {what}.")


def read_csv(path: str | os.PathLike[str], *, errors: str = "stop") -> Table:
    """The table in a CSV file: UTF-8, names in the first row, cells between commas, semicolons or tabs.

    Whichever of the three gives the header most columns is taken. Files ending in .gz and .bz2 are unpacked. Blank
    rows are passed over, spaces around cells dropped. Raises DataError, in one line, on a file that is missing, empty,
    damaged or not UTF-8, on columns without a name or with the same one, on a missing header, on rows that are
    shorter or longer than it, and on a table without rows. With errors="skip" rows that are shorter or longer, or not
    UTF-8, are left out, with a warning that counts and names them.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "pass.csv")
    ...     _ = path.write_text("lectures;hours;passed\\n4;5;yes\\n1;0;no\\n", encoding="utf-8")
    ...     x, y, feature_names, class_names, task = read_csv(path).xy("passed")
    >>> x.tolist(), y.tolist(), feature_names, class_names, task
    ([[4.0, 5.0], [1.0, 0.0]], [1, 0], ('lectures', 'hours'), ('no', 'yes'), 'classification')
    """
    if errors not in ("stop", "skip"):
        raise one_of("errors", errors, ("skip", "stop"))
    name = os.fspath(path)
    text = _text(path, skip=errors == "skip")
    bad: list[int] = []
    records = list(_records(name, text, max(",;\t", key=lambda mark: _width(text, mark))))
    start = next((number for number, record in enumerate(records) if any(record)), None)
    if start is None:
        raise DataError(f"{name} is empty.")
    header = records[start]
    _check_header(name, start + 1, header)
    rows, numbers = [], []
    blanks: list[int] = []
    for number, record in enumerate(records[start + 1 :], start + 2):
        if not any(record) and len(record) <= 1:
            blanks.append(number)
            continue
        # In a table of one column a blank line is a missing cell, unless only blank lines follow.
        if len(header) == 1:
            rows += [[""]] * len(blanks)
            numbers += blanks
        blanks = []
        if errors == "skip" and (len(record) != len(header) or any(map(_is_damaged, record))):
            bad.append(number)
            continue
        if len(record) != len(header):
            raise DataError(f"{name}, row {number}: {len(record)} cells under a header of {len(header)}.")
        rows.append(record)
        numbers.append(number)
    if bad:
        shown = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
        warnings.warn(
            f"{name}: {len(bad)} of {len(bad) + len(rows)} rows are left out (rows {shown}): they have another "
            "number of cells than the header, or are not UTF-8.",
            stacklevel=2,
        )
    if not rows:
        raise DataError(f"{name} has a header ({', '.join(header)}) and no rows.")
    return Table(name, header, rows, numbers)


def _records(name: str, text: str, delimiter: str) -> Iterator[list[str]]:
    import csv  # here and not above: `import kedja` needs no CSV

    number = 1
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for record in reader:
            yield [cell.strip() for cell in record]
            number += 1
    except csv.Error as error:
        raise DataError(f"{name}, row {number}: not valid CSV: {error}.") from error


def _width(text: str, delimiter: str) -> int:
    """The number of columns the header has under this delimiter, 0 when its quotes do not fit it."""
    try:
        return next((len(record) for record in _records("", text, delimiter) if any(record)), 0)
    except DataError:
        return 0


def _is_damaged(cell: str) -> bool:
    """Whether a cell has bytes that are not UTF-8, which stand there as lone surrogates."""
    return not cell.isascii() and any("\udc80" <= sign <= "\udcff" for sign in cell)


def _text(path: str | os.PathLike[str], skip: bool) -> str:
    from pathlib import Path

    path = Path(path)
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            import gzip

            content = gzip.decompress(content)
        elif path.suffix == ".bz2":
            import bz2

            content = bz2.decompress(content)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}.") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    try:
        return content.decode("utf-8-sig", "surrogateescape" if skip else "strict")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, row {line}: byte 0x{content[error.start]:02x} is not UTF-8: save the file as UTF-8."
        ) from error


def _check_header(path: str, row: int, header: list[str]) -> None:
    if any(map(_is_damaged, header)):
        raise DataError(f"{path}, row {row}: the header is not UTF-8: save the file as UTF-8.")
    if "" in header:
        hint = " (pandas writes its index so: save with index=False)" if header[0] == "" else ""
        raise DataError(f"{path}, row {row}: column {header.index('') + 1} has no name{hint}.")
    repeated = [name for name, count in Counter(header).items() if count > 1]
    # 0, 1, 2, … are names that programs give; other numbers are a first row of data.
    counted = header in ([str(i + first) for i in range(len(header))] for first in (0, 1))
    if all(map(_is_number, header)) and not counted:
        shown = ", ".join(header[:5]) + (", …" if len(header) > 5 else "")
        raise DataError(f"{path}, row {row}: numbers ({shown}) where the columns' names are expected: add a header.")
    if repeated:
        raise DataError(f"{path}, row {row}: more than one column is named {repeated[0]!r}.")


def _number(cell: str) -> float:
    """The number in a cell, NaN when there is none. Python's 1_000 is not a number to anyone else."""
    try:
        return float(cell) if "_" not in cell else np.nan
    except ValueError:
        return np.nan


def _is_number(cell: str) -> bool:
    return bool(np.isfinite(_number(cell)))


def _class_name(cell: str, value: float) -> str:
    """A number as the name of a class: whole ones exactly, of any length, others as Python writes them."""
    try:
        return str(int(cell))
    except ValueError:
        return str(int(value)) if value.is_integer() else str(value)


def _complaint(cell: str) -> str:
    """Why a cell holds no number one can learn from."""
    if cell == "":
        return "the cell is empty"
    if cell.lower() in _MISSING:
        return f"the value is missing ({cell!r})"
    if np.isinf(_number(cell)):
        return f"{cell!r} is not finite"
    comma = cell.count(",") and _is_number(cell.replace(",", ""))
    hint = " (a decimal comma is written as a point, thousands without a sign)" if comma else ""
    return f"{cell!r} is text where a number is expected{hint}"


def _in_order(labels: set[str]) -> tuple[str, ...]:
    """Numbers by size ("2" before "10"; those that are one float, by their digits), anything else by letter."""
    return tuple(
        sorted(labels, key=lambda n: (float(n), len(n), n)) if all(map(_is_number, labels)) else sorted(labels)
    )
