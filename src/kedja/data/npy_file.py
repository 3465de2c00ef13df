"""Arrays in .npy files, read piece by piece into buffers, so that they may be larger than memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from kedja.data.source import BLOCK_BYTES, SAMPLED_BYTES, SAMPLED_PLACES, WINDOW_BYTES, Field, Source, fingerprint_of
from kedja.errors import DataError

__all__ = ["NpyFile", "NpySource", "npy"]

Array = NDArray[Any]
GAP_BYTES = 64 << 10  # rows further apart than this are not read in one go
LABEL_BYTES = 64 << 20  # targets up to this size are kept in memory


def npy(x: Any, y: Any = None, *, class_names: Sequence[str] | None = None) -> NpySource:
    """A source of the rows of .npy files: `x` a path, `y` a path or an array with as many rows (None: only inputs).

    The files are read in large blocks into two buffers, one of which is filled while the device works on the other;
    they are never mapped into memory. Rows are shuffled by blocks (docs/sources.md). Raises DataError on a file that is
    missing, damaged, cut short or holds no numbers, and on different numbers of rows.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "x.npy", np.zeros((100, 3), np.float32)); np.save(folder / "y.npy", np.arange(100) % 2)
    >>> npy(folder / "x.npy", folder / "y.npy")
    <x.npy: 100 rows of (3,) float32 → () int64>
    """
    return NpySource(x, y, class_names=class_names)


class NpyFile:
    """One .npy file: its header, and the rows that are asked for.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "x.npy"); np.save(path, np.arange(6).reshape(3, 2))
    >>> out = np.empty((2, 2), np.float32); NpyFile(path).read(np.array([2, 0]), out); out.tolist()
    [[4.0, 5.0], [0.0, 1.0]]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: BinaryIO | None = None
        self._scratch: NDArray[np.uint8] | None = None
        self._lock = Lock()
        try:
            with open(self.path, "rb") as file:
                shape, fortran, dtype = _header(file)
                self.start = file.tell()
            size = self.path.stat().st_size
        except FileNotFoundError as error:
            raise DataError(f"there is no file {self.path}.") from error
        except (OSError, ValueError, EOFError, KeyError, SyntaxError) as error:
            raise DataError(f"{self.path} is no .npy file: {getattr(error, 'strerror', None) or error}") from error
        if dtype.kind not in "biuf":
            raise DataError(f"{self.path} holds {dtype}, and only real numbers can be learned from.")
        if not shape or not all(shape):
            raise DataError(f"{self.path} has the shape {shape}: there are no rows in it.")
        if fortran and len(shape) > 1:
            raise DataError(
                f"{self.path} is in Fortran order, where a row is spread over the whole file: save it again with "
                "np.save(path, np.ascontiguousarray(array))."
            )
        self.rows, self.field = shape[0], Field(tuple(shape[1:]), dtype)
        if size < self.start + self.rows * self.field.bytes:
            there = max(0, size - self.start) // self.field.bytes
            raise DataError(f"{self.path} is cut short: its header says {self.rows} rows, and {there} are there.")

    def read(self, rows: NDArray[np.int64], out: Array) -> None:
        """Fill out[i] with row rows[i], reading neighbours together, in the order of the file."""
        width = self.field.bytes
        most = max(1, BLOCK_BYTES // width)
        apart = max(1, GAP_BYTES // width)
        with self._lock:
            if _rising_by_one(rows) and out.dtype == self.field.dtype and out.flags.c_contiguous:
                self._into(int(rows[0]), out[: len(rows)])
                return
            order = np.argsort(rows, kind="stable")
            wanted = rows[order]
            cuts = _cuts(wanted, most, apart)
            scratch = self._space(most * width)
            for start, stop in pairwise(cuts):
                first, last = int(wanted[start]), int(wanted[stop - 1])
                piece = scratch[: (last - first + 1) * width]
                self._into(first, piece)
                there = piece.view(self.field.dtype).reshape(-1, *self.field.shape)
                out[order[start:stop]] = there[wanted[start:stop] - first]

    def _space(self, size: int) -> NDArray[np.uint8]:
        if self._scratch is None or len(self._scratch) < size:
            self._scratch = np.empty(size, np.uint8)
        return self._scratch

    def _into(self, row: int, array: Array) -> None:
        """Fill an array from this row on."""
        place = memoryview(array).cast("B")  # type: ignore[arg-type, unused-ignore]
        if self._file is None:
            self._file = open(self.path, "rb", buffering=0)  # noqa: SIM115
        self._file.seek(self.start + row * self.field.bytes)
        got = 0
        while got < len(place):
            n = self._file.readinto(place[got:])  # type: ignore[attr-defined]
            if not n:
                raise DataError(f"{self.path} ended while it was read, near row {row}: it was changed meanwhile.")
            got += n

    def fingerprint(self) -> str:
        """Of the header, the size, and 1,024 places of the file (small files: all of it)."""
        found = hashlib.sha256(f"{self.rows} {self.field.shape} {self.field.dtype.str}".encode())
        size = self.rows * self.field.bytes
        with open(self.path, "rb") as file:
            if size <= SAMPLED_BYTES * SAMPLED_PLACES:
                file.seek(self.start)
                found.update(file.read(size))
            else:
                for at in np.linspace(0, size - SAMPLED_BYTES, SAMPLED_PLACES).astype(np.int64).tolist():
                    file.seek(self.start + at)
                    found.update(file.read(SAMPLED_BYTES))
        return found.hexdigest()[:32]

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = self._scratch = None

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:  # it may have failed before there was one
            self._file.close()  # type: ignore[union-attr]


class NpySource(Source):
    """Inputs out of one .npy file, targets out of another or from an array; see `npy`."""

    def __init__(self, x: Any, y: Any = None, *, class_names: Sequence[str] | None = None) -> None:
        self.x = NpyFile(x)
        self.y: NpyFile | Array | None = None
        if isinstance(y, str | os.PathLike):
            self.y = NpyFile(y)
            targets, self.target = self.y.rows, self.y.field
        elif y is not None:
            self.y = np.asarray(y)
            targets, self.target = len(self.y), Field(self.y.shape[1:], self.y.dtype)
        else:
            targets = self.x.rows
        if targets != self.x.rows:
            raise DataError(
                f"{self.x.path} has {self.x.rows} rows and y has {targets}: there must be one target a row."
            )
        self.name, self.rows, self.inputs = self.x.path.name, self.x.rows, (self.x.field,)
        self.block = max(1, BLOCK_BYTES // self.x.field.bytes)
        self.window = max(1, WINDOW_BYTES // self.x.field.bytes // self.block) * self.block
        self.class_names = None if class_names is None else tuple(class_names)
        self._labels: Array | None = None

    def read(self, rows: NDArray[np.int64], into: Sequence[Array]) -> None:
        self.x.read(rows, into[0])
        if len(into) > 1 and self.y is not None:
            if isinstance(self.y, NpyFile):
                self.y.read(rows, into[1])
            else:
                into[1][: len(rows)] = self.y[rows]

    def labels(self) -> Array | None:
        if isinstance(self.y, NpyFile):
            if self._labels is None and self.y.rows * self.y.field.bytes <= LABEL_BYTES:
                self._labels = np.empty((self.y.rows, *self.y.field.shape), self.y.field.dtype)
                self.y.read(np.arange(self.y.rows), self._labels)
            return self._labels
        return self.y

    def fingerprint(self) -> str:
        y = self.y.fingerprint() if isinstance(self.y, NpyFile) else "" if self.y is None else fingerprint_of(self.y)
        return hashlib.sha256((self.x.fingerprint() + y).encode()).hexdigest()[:32]

    def close(self) -> None:
        self.x.close()
        if isinstance(self.y, NpyFile):
            self.y.close()


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy_format.read_magic(file)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    return read(file)


def _rising_by_one(rows: NDArray[np.int64]) -> bool:
    return len(rows) > 0 and int(rows[-1]) - int(rows[0]) == len(rows) - 1 and bool((np.diff(rows) == 1).all())


def _cuts(wanted: NDArray[np.int64], most: int, apart: int) -> list[int]:
    """Where sorted row numbers are cut into stretches of at most `most` rows of the file, without wide gaps."""
    if not len(wanted):
        return [0]
    cuts = [0]
    gaps = np.flatnonzero(np.diff(wanted) > apart) + 1
    for end in [*gaps.tolist(), len(wanted)]:
        while cuts[-1] < end:
            cuts.append(min(end, int(np.searchsorted(wanted, wanted[cuts[-1]] + most))))
    return cuts
