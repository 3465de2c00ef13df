"""The rows a command works on: from a data set or a CSV file, with their names, and which of them are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.data.columns import as_columns, kind_of, numbers_of
from kedja.data.dataset import Dataset
from kedja.data.named import load, names
from kedja.data.split import split_rows
from kedja.data.table import Table, read_csv
from kedja.errors import DataError, KedjaError, UnknownNameError, one_of

__all__ = ["Rows", "again", "columns_of", "learnable", "parts", "rows_for"]

HELD_OUT = 0.2
# The same rows are held out whatever the seed of a run is, so that runs on the same data can be compared.
HELD_OUT_SEED = 0
TABLES = (".csv", ".tsv", ".txt", ".gz", ".bz2")


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs x and answers y, (n,): labels int64, numbers float32, or None where nobody asked for them.

    x is an array (n, k) float32 of a data set, or a `Table` of raw columns of a file.

    `source` says, as plain data, where they come from; `held_out` how many of the last rows are the test by convention.
    """

    x: Any
    y: NDArray[Any] | None
    name: str
    task: str
    target: str
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...] | None
    source: Mapping[str, Any]
    image_shape: tuple[int, ...] | None = None
    held_out: int | None = None

    def __len__(self) -> int:
        return len(self.x)

    def shown(self, which: NDArray[np.int64], columns: int) -> list[tuple[Any, ...]]:
        """The first columns of some rows, to be looked at."""
        if not isinstance(self.x, Table):
            return [tuple(row) for row in self.x[which][:, :columns].tolist()]
        some = self.x[which]
        return list(zip(*(some.column(name) for name in some.columns[:columns]), strict=True))

    def part(self, which: NDArray[np.int64]) -> Rows:
        """Some of the rows."""
        return replace(self, x=self.x[which], y=None if self.y is None else self.y[which])


def learnable(
    data: str, target: str | None = None, features: Sequence[str] | None = None, task: str | None = None
) -> Rows:
    """The rows to train on. Raises KedjaError, in the words of the command line, on whatever is wrong with them.

    >>> rows = learnable("iris")
    >>> len(rows), rows.class_names
    (150, ('setosa', 'versicolor', 'virginica'))
    """
    if not _is_file(data):
        for option, value in (("--target", target), ("--features", features), ("--task", task)):
            if value is not None:
                raise DataError(f"{option} is for files; the data set {data!r} says it itself.")
        return _of_set(load(data))
    table = read_csv(data)
    if target is None:
        raise DataError(f"{data}: which column is to be predicted? Give --target; the columns are {_listed(table)}.")
    try:
        names = table.inputs(target, features)
        _readable(table, names)
        y, classes, found = table.answers(target, task)  # type: ignore[arg-type]
    except KedjaError as error:
        # The advice of the library, in the words of the command line.
        said = str(error).replace("features=", "--features").replace('task="classification"', "--task classification")
        raise type(error)(said) from error
    return Rows(table.only(names), y, Path(data).name, found, target, names, classes, _file_source(data))


def _readable(table: Table, names: Sequence[str]) -> None:
    """Refuse text among numbers in any row, before a long training instead of after it."""
    for name, cells in as_columns(table, only=names).items():
        if kind_of(cells)[0] == "number":
            numbers_of(name, cells, table.place)


def parts(rows: Rows, test: float | None, validation: float | None, seed: int) -> dict[str, NDArray[np.int64]]:
    """Row numbers of training, validation and held-out part; without held-out rows that part is missing.

    >>> {name: len(part) for name, part in parts(learnable("iris"), None, 0.1, seed=0).items()}
    {'training': 108, 'validation': 12, 'held-out': 30}
    """
    for name, share in (("--test", test), ("--validation", validation)):
        if share is not None and not 0 <= share < 1:
            raise DataError(f"{name} is a share of the rows, at least 0 and below 1; got {share:g}.")
    every = np.arange(len(rows))
    found = {"training": every}
    if rows.name == "xor" or test == 0:
        pass  # four rows are the whole truth table: they are learned and judged alike
    elif rows.held_out is not None and test is None:
        found = {"training": every[: -rows.held_out], "held-out": every[-rows.held_out :]}
    else:
        train, held = split_rows(len(rows), test=test or HELD_OUT, seed=HELD_OUT_SEED, stratify=_classes(rows, every))
        found = {"training": train, "held-out": held}
    if validation:
        kept = found["training"]
        train, held = split_rows(len(kept), test=validation, seed=seed, stratify=_classes(rows, kept))
        found = {
            "training": kept[train],
            "validation": kept[held],
            **{k: v for k, v in found.items() if k != "training"},
        }
    return found


def again(source: Mapping[str, Any], run: Path, target: str, features: Sequence[str], task: str) -> Rows:
    """The rows a run was trained with, from what it remembers. Raises DataError when the file is gone or changed."""
    if "set" in source:
        return learnable(source["set"])
    path = next((p for p in (source["path"], str(run / source["from_run"])) if Path(p).is_file()), source["path"])
    if not Path(path).is_file():
        raise DataError(f"the file this run was trained with, {path}, is gone: name one to evaluate on.")
    if _file_source(path)["sha256"] != source["sha256"]:
        raise DataError(
            f"{path} has changed since this run was trained with it, so the held-out rows cannot be told from the "
            "others any more. Name a file with rows it has not seen."
        )
    return learnable(path, target, features, task)


def rows_for(data: str, about: Rows, *, answers: bool) -> Rows:
    """Rows of another file or data set, for a network trained on rows like `about`: columns are found by name."""
    if _is_file(data):
        table = read_csv(data)
        needed = [*about.feature_names, *([about.target] if answers else [])]
        _check_columns(data, needed, table.columns)
        y: NDArray[Any] | None = None
        if answers and about.class_names is not None:
            y = table.labels(about.target, about.class_names)
        elif answers:
            y = table.features([about.target])[:, 0]
        raw = "set" not in about.source  # a network made from a file takes raw columns
        x = table.only(about.feature_names) if raw else table.features(about.feature_names)
        return replace(about, x=x, y=y, name=Path(data).name, source=_file_source(data))
    given = _of_set(load(data))
    columns_of(given, about.feature_names)
    x = given.x[:, [given.feature_names.index(name) for name in about.feature_names]]
    if "set" not in about.source:
        x = Table(data, about.feature_names, [[str(value) for value in row] for row in x.tolist()])
    if not answers:
        return replace(about, x=x, y=None, name=data, source=given.source)
    if given.task != about.task or given.class_names != about.class_names:
        what = ", ".join(about.class_names) if about.class_names else "a number"
        raise DataError(f"the network answers {what}; the data set {data!r} asks for something else.")
    return replace(about, x=x, y=given.y, name=data, source=given.source)


def columns_of(rows: Rows, needed: Sequence[str]) -> None:
    """Check that the rows have these columns."""
    _check_columns(rows.name, needed, rows.feature_names)


def _check_columns(where: str, needed: Sequence[str], there: Sequence[str]) -> None:
    missing = [name for name in needed if name not in there]
    if not missing:
        return
    first = one_of("column", missing[0], there)
    others = f" ({len(missing)} are missing in all: {', '.join(missing[:8])}.)" if len(missing) > 1 else ""
    said = str(first).removeprefix("unknown column").strip()
    raise UnknownNameError(f"{where} lacks the column {said}{others}")


def _of_set(data: Dataset) -> Rows:
    if data.x.ndim > 2:
        raise DataError(
            f"{data.name} is a set of sequences, and the command line trains on rows of columns. "
            f"In Python: x, y = kj.data.load({data.name!r}), and a network with kj.nn.LSTM."
        )
    features = data.feature_names or tuple(f"x{i + 1}" for i in range(data.x.shape[1]))
    y = data.y.ravel()
    if data.class_names is not None:
        y = y.astype(np.int64)
    return Rows(
        data.x, y, data.name, data.task, "target", features, data.class_names, {"set": data.name},
        data.image_shape, data.test_rows,
    )  # fmt: skip


def _is_file(data: str) -> bool:
    """Whether a word means a file. A name that is neither gets the list of the data sets."""
    if data in names():
        return False
    path = Path(data)
    if path.is_file() or path.suffix.lower() in TABLES or len(path.parts) > 1:
        return True
    if path.is_dir():
        raise DataError(f"{data} is a folder; give a CSV file.")
    error = one_of("data set", data, names())
    raise UnknownNameError(f"{error} There is no file of that name either.")


def _file_source(path: str) -> dict[str, str]:
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return {"path": str(path), "sha256": digest}


def _classes(rows: Rows, which: NDArray[np.int64]) -> NDArray[Any] | None:
    return rows.y[which] if rows.task == "classification" and rows.y is not None else None


def _listed(table: Table) -> str:
    return ", ".join(table.columns)
