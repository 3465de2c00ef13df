"""Figures of a run as lines of a file while it goes on: CSVLog and JSONLog."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kedja.errors import DataError, StorageError
from kedja.files import write_whole
from kedja.train.callbacks.cadence import cadence
from kedja.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from kedja.train.run import Run

__all__ = ["CSVLog", "JSONLog"]


class _Lines(Callback):
    """A file that gets a line per event, each written at once and whole: a run that is killed leaves no half one."""

    hindsight = True

    def __init__(self, path: str | os.PathLike[str], every: Any = "epoch", overwrite: bool = False) -> None:
        name = type(self).__name__
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise DataError(f"{name}: path is the file to write, such as 'run.csv'; got {path!r}")
        self.path = self.writes = Path(path)
        self.unit = cadence(every, name).unit
        self.every, self.overwrite = every, overwrite
        self.file: BinaryIO | None = None

    def before_fit(self, run: Run) -> None:
        """Open the file. A run that goes on goes on with it; rows of epochs that are to come again are taken out."""
        done = run.training.epochs
        if self.unit == "step":
            done = done * run.course.spe + sum(map(len, run.pending))
        rows = [] if self.overwrite and run.resumed is None else self.read()
        kept = [row for row in rows if int(row[self.unit]) <= done]
        if rows and run.resumed is None and (not done or len(kept) < len(rows)):
            raise DataError(
                f"{type(self).__name__}: {self.path} has the rows of another run, up to {self.unit} "
                f"{rows[-1][self.unit]}. Give another path, or overwrite=True."
            )
        self.names: list[str] = list(dict.fromkeys(name for row in kept for name in row))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, self.whole(kept))
            self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115 (closed in after_fit)
        except OSError as error:
            raise StorageError(f"{type(self).__name__}: cannot write {self.path}: {error.strerror or error}") from error

    def after_step(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        self.write({"step": step, **figures})

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        if self.unit == "epoch":
            self.write({"epoch": epoch, **figures})

    def after_fit(self, run: Run) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row. When the disk is full the run is worth more than its log: it goes on, and says so once."""
        if self.file is None:
            return
        try:
            self.add(row)
        except OSError as error:
            warnings.warn(f"{self.path} could not be written ({error.strerror or error}): no more rows", stacklevel=2)
            self.file.close()
            self.file = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Put a row at the end of the open file."""
        assert self.file is not None
        self.file.write(self.line(row).encode())

    def read(self) -> list[dict[str, Any]]:
        """The rows that are there already; a last line that was cut off is none."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        try:
            rows = self.parsed([line for line in lines if line.endswith("\n")])
            for row in rows:
                int(row[self.unit])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{type(self).__name__}: {self.path} is there already and is no log of {self.unit}s. Give another path."
            ) from error
        return rows

    def whole(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The file with these rows."""
        return "".join(map(self.line, rows))

    def line(self, row: Mapping[str, Any]) -> str:
        """One row, with the end of its line."""
        raise NotImplementedError

    def parsed(self, lines: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of these lines."""
        raise NotImplementedError


class CSVLog(_Lines):
    """Write a row per epoch, or per so many steps, into a CSV file (scope 5).

    The first column is "epoch" or "step", the others are the figures. A figure that comes later gets a column then.
    A resumed run goes on with its file, without double rows; a file of another run is refused unless `overwrite=True`.

    >>> import tempfile, kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = kj.callbacks.CSVLog(f"{folder}/run.csv")
    ...     net = kj.Sequential([kj.nn.Dense(1, init="zeros")])
    ...     history = net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(0.5), epochs=2, callbacks=[log], seed=0)
    ...     print(log.path.read_text(), end="")
    epoch,loss,learning_rate
    1,0.5,0.5
    2,0.3...,0.5
    """

    def add(self, row: Mapping[str, Any]) -> None:
        new = [name for name in row if name not in self.names]
        if not new:
            super().add(row)
            return
        assert self.file is not None
        rows = self.read()
        self.names += new
        self.file.close()
        write_whole(self.path, self.whole([*rows, row]))
        self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115 (closed in after_fit)

    def whole(self, rows: Sequence[Mapping[str, Any]]) -> str:
        return _csv(self.names) + super().whole(rows) if rows else ""

    def line(self, row: Mapping[str, Any]) -> str:
        return _csv([row.get(name, "") for name in self.names])

    def parsed(self, lines: Sequence[str]) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(lines)]


class JSONLog(_Lines):
    """Write an object per epoch, or per so many steps, as a line of a JSON-lines file (scope 5).

    What is not finite is null. Otherwise as `CSVLog`.

    >>> import tempfile, kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = kj.callbacks.JSONLog(f"{folder}/run.jsonl")
    ...     net = kj.Sequential([kj.nn.Dense(1, init="zeros")])
    ...     history = net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(0.5), epochs=1, callbacks=[log], seed=0)
    ...     print(log.path.read_text(), end="")
    {"epoch": 1, "loss": 0.5, "learning_rate": 0.5}
    """

    def line(self, row: Mapping[str, Any]) -> str:
        finite = {k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in row.items()}
        return json.dumps(finite, ensure_ascii=False, allow_nan=False) + "\n"

    def parsed(self, lines: Sequence[str]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in lines]


def _csv(cells: Sequence[Any]) -> str:
    """The cells as one line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
