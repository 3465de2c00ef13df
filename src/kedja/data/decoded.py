"""Images that have been decoded, kept as bytes: in memory, or in a .npy file where they are many."""

from __future__ import annotations

import contextlib
import io
import os
import weakref
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from kedja.files import cache_folder

__all__ = ["Decoded"]


class Decoded:
    """Rows of bytes (n, …), written once each and read in any order.

    Up to `memory` bytes they are an array. Beyond, they are a file in the cache folder, named by `key`; it gets its
    name when every row is there, and then serves later runs too. A disk that is full or cannot be written costs
    decoding again, nothing else.

    >>> kept = Decoded(2, (2,), 1 << 20, "key")
    >>> kept.write(1, np.array([3, 4], np.uint8)); kept.missing(np.array([0, 1])).tolist()
    [0]
    >>> out = np.empty((1, 2), np.float32); kept.read(np.array([1]), out); out.tolist()
    [[3.0, 4.0]]
    """

    def __init__(self, rows: int, shape: tuple[int, ...], memory: int, key: str) -> None:
        self.shape = shape
        self.width = int(np.prod(shape))
        self.there = np.zeros(rows, bool)
        self._loose: dict[int, NDArray[np.uint8]] = {}  # rows that found no place on the disk, until they are read
        self._lock = Lock()
        self._array: NDArray[np.uint8] | None = None
        self._descriptor: int | None = None
        self._draft: Path | None = None
        self._places = np.arange(rows)
        if rows * self.width <= memory:
            self._array = np.empty((rows, *shape), np.uint8)
            return
        header = io.BytesIO()
        whole = {"descr": "|u1", "fortran_order": False, "shape": (rows, *shape)}
        npy_format.write_array_header_1_0(header, whole)
        self._start, self.path = len(header.getvalue()), cache_folder() / "images" / f"{key}.npy"
        if self.path.is_file() and self.path.stat().st_size == self._start + rows * self.width:
            self.there[:] = True
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._draft = self.path.with_name(f".{key}.{os.urandom(4).hex()}.tmp")
            with open(self._draft, "wb") as file:
                file.write(header.getvalue())
            weakref.finalize(self, _remove, self._draft)

    def missing(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of these are not there yet (their positions in `rows`)."""
        return np.flatnonzero(~self.there[self._places[rows]])

    def write(self, row: int, pixels: NDArray[np.uint8], keep: bool = True) -> None:
        """Keep a row; several threads may do so at once. `keep`: until it is read, if there is no place for it."""
        place = int(self._places[row])
        if self._array is not None:
            self._array[place] = pixels
            self.there[place] = True
            return
        data = np.ascontiguousarray(pixels).tobytes()
        with self._lock:
            try:
                if self._draft is None:
                    raise OSError("no place on the disk")
                self._write(self._start + place * self.width, data)
            except OSError:
                if keep:
                    self._loose[place] = pixels
                return
            self.there[place] = True
            if self.there.all():
                self._finish()

    def read(self, rows: NDArray[np.int64], into: NDArray[Any]) -> None:
        """Fill `into`, row by row; what has no place on the disk is forgotten again."""
        places = self._places[rows]
        if self._array is not None:
            into[...] = self._array[places]
            return
        with self._lock:
            for out, place in zip(into, places.tolist(), strict=True):
                if not self.there[place]:
                    out[...] = self._loose[place]
                    continue
                os.lseek(self._file(), self._start + place * self.width, os.SEEK_SET)
                out[...] = np.frombuffer(_whole(self._file(), self.width), np.uint8).reshape(self.shape)
            self._loose.clear()

    def kept(self, rows: NDArray[np.int64]) -> Decoded:
        """The same for some of the rows alone, numbered anew."""
        self._places = self._places[rows]
        if self._array is not None:
            self._array, self.there = self._array[rows], self.there[rows]
            self._places = np.arange(len(rows))
        return self

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None

    def _file(self) -> int:
        if self._descriptor is None:
            path = self._draft if self._draft is not None else self.path
            self._descriptor = os.open(path, os.O_RDWR if self._draft is not None else os.O_RDONLY)
        return self._descriptor

    def _write(self, at: int, data: bytes) -> None:
        os.lseek(self._file(), at, os.SEEK_SET)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file(), view) :]

    def _finish(self) -> None:
        """Every row is there: the draft becomes the file."""
        assert self._draft is not None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        os.replace(self._draft, self.path)
        self._draft = None


def _whole(descriptor: int, size: int) -> bytes:
    found = os.read(descriptor, size)
    while len(found) < size:
        more = os.read(descriptor, size - len(found))
        if not more:
            raise OSError("the file of decoded images was cut short while it was read")
        found += more
    return found


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
