"""Rows that need not lie in memory: what every source of them answers, parts of a source, and sources that are arrays.

A source knows how many rows it has and what a row is made of, and reads the rows that are asked for into arrays that
are given to it. `fit`, `evaluate` and `predict` take one wherever they take arrays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kedja.data.split import split_rows
from kedja.errors import DataError

__all__ = ["ArraySource", "Field", "Part", "Source", "fingerprint_of"]

Array = NDArray[Any]
WINDOW_BYTES = 16 << 20  # rows of a file are shuffled inside windows of this size
BLOCK_BYTES = 256 << 10  # what is read from a file at a time
SAMPLED_BYTES = 4096  # of each place of a large array that a fingerprint looks at
SAMPLED_PLACES = 1024
STATE_EVERYTHING = 64 << 20  # arrays up to this size are looked at whole


@dataclass(frozen=True)
class Field:
    """What one row has of one array: its shape and type.

    >>> Field((28, 28, 1), np.dtype("uint8")).bytes
    784
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        """The size of a row."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Source(ABC):
    """Rows that can be read in any order: `rows` of them, each with `inputs` and perhaps a `target`.

    Rows that lie together in `block`s are read fastest block by block (files); with `block` 1 any row costs the same.
    """

    name = "source"
    rows: int
    inputs: tuple[Field, ...]
    target: Field | None = None
    class_names: tuple[str, ...] | None = None
    block = 1
    window = 1
    skipped: tuple[str, ...] = ()  # what could not be read and was left out

    @abstractmethod
    def read(self, rows: NDArray[np.int64], into: Sequence[Array]) -> None:
        """Fill the first len(rows) rows of the arrays in `into` (one per input, then the target if there is one more).

        Types are converted to those of the arrays. Raises DataError naming what cannot be read.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A short text that is another one when the data are other ones; cheap, and the same on every machine."""

    def labels(self) -> Array | None:
        """The targets of all rows, where they are cheap to have."""
        return None

    def take(self, rows: ArrayLike) -> tuple[Array, ...]:
        """The named rows as arrays: inputs, then the target.

        >>> [a.tolist() for a in ArraySource(np.arange(6).reshape(3, 2), [5, 6, 7]).take([2, 0])]
        [[[4, 5], [0, 1]], [7, 5]]
        """
        places = np.asarray(rows, np.int64)
        if places.size and not (places.min() >= 0 and places.max() < self.rows):
            raise DataError(
                f"{self.name} has {self.rows} rows, counted from 0; rows up to {places.max()} were asked for."
            )
        fields = [*self.inputs, *([self.target] if self.target is not None else [])]
        made = [np.empty((len(places), *f.shape), f.dtype) for f in fields]
        self.read(places, made)
        return tuple(made)

    def split(
        self, test: float | int = 0.2, seed: int = 0, *, stratify: bool | None = None,
        groups: ArrayLike | None = None, in_order: bool = False,
    ) -> tuple[Part, Part]:  # fmt: skip
        """Cut into (train, test) as `kj.data.split` does; nothing is read. Labels are stratified where they are known.

        >>> train, test = ArraySource(np.zeros((10, 2)), np.arange(10) % 2).split(test=4, seed=1)
        >>> len(train), len(test), np.bincount(test.labels()).tolist()
        (6, 4, [2, 2])
        """
        labels = self.labels() if stratify is not False and groups is None and not in_order else None
        if stratify and labels is None:
            raise DataError(f"{self.name}: stratify=True needs the label of every row, and they are not known ahead.")
        if labels is not None and (labels.ndim != 1 or (stratify is None and labels.dtype.kind not in "biu")):
            labels = None
        train, held = split_rows(self.rows, test=test, seed=seed, stratify=labels, groups=groups, in_order=in_order)
        return Part(self, train), Part(self, held)

    def close(self) -> None:  # noqa: B027
        """Let go of open files and threads; they are opened again when they are needed. Most sources hold nothing."""

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(f"{self!r} is read by fit, evaluate and predict; .take(rows) gives rows as arrays.")

    def __repr__(self) -> str:
        shapes = " and ".join(f"{f.shape} {f.dtype}" for f in self.inputs)
        target = "" if self.target is None else f" → {self.target.shape} {self.target.dtype}"
        classes = "" if self.class_names is None else f", {len(self.class_names)} classes"
        return f"<{self.name}: {self.rows:,} rows of {shapes}{target}{classes}>"


class Part(Source):
    """Some rows of a source, as a source.

    >>> Part(ArraySource(np.arange(4.0)[:, None], np.arange(4)), [3, 1]).take([0])[1].tolist()
    [3]
    """

    def __init__(self, source: Source, rows: ArrayLike) -> None:
        places = np.asarray(rows, np.int64)
        if places.ndim != 1 or not places.size:
            raise DataError(f"a part of {source.name} needs the numbers of its rows; got shape {places.shape}.")
        if places.min() < 0 or places.max() >= source.rows:
            raise DataError(f"{source.name} has {source.rows} rows, counted from 0; a part names row {places.max()}.")
        # Out of a file rows are read in its order, unless all of them are shuffled together anyway.
        self.places = np.sort(places) if source.block > 1 and len(places) > source.window else places
        self.source, self.rows = source, len(places)
        self.name, self.inputs, self.target = source.name, source.inputs, source.target
        self.class_names, self.block, self.window = source.class_names, source.block, source.window
        self.skipped = source.skipped

    def read(self, rows: NDArray[np.int64], into: Sequence[Array]) -> None:
        self.source.read(self.places[rows], into)

    def labels(self) -> Array | None:
        whole = self.source.labels()
        return None if whole is None else whole[self.places]

    def fingerprint(self) -> str:
        import hashlib

        return hashlib.sha256((self.source.fingerprint() + fingerprint_of(self.places)).encode()).hexdigest()[:32]

    def close(self) -> None:
        self.source.close()


class ArraySource(Source):
    """Arrays as a source: x (one, or a tuple of several) and y.

    >>> ArraySource(np.zeros((3, 2), np.float32), [0, 1, 0])
    <arrays: 3 rows of (2,) float32 → () int64>
    """

    name = "arrays"

    def __init__(self, x: Any, y: Any = None, *, class_names: Sequence[str] | None = None) -> None:
        self.arrays = [np.asarray(a) for a in (x if isinstance(x, tuple) else (x,))]
        self.inputs = tuple(Field(a.shape[1:], a.dtype) for a in self.arrays)
        self.rows = len(self.arrays[0])
        if y is not None:
            self.arrays.append(np.asarray(y))
            self.target = Field(self.arrays[-1].shape[1:], self.arrays[-1].dtype)
        lengths = {len(a) for a in self.arrays}
        if len(lengths) > 1:
            raise DataError(f"the arrays of a source have {' and '.join(map(str, sorted(lengths)))} rows.")
        self.class_names = None if class_names is None else tuple(class_names)

    def read(self, rows: NDArray[np.int64], into: Sequence[Array]) -> None:
        for array, out in zip(self.arrays, into, strict=False):
            out[: len(rows)] = array[rows]

    def labels(self) -> Array | None:
        return self.arrays[-1] if self.target is not None else None

    def fingerprint(self) -> str:
        return fingerprint_of(*self.arrays)


def fingerprint_of(*arrays: Any) -> str:
    """A text that tells these arrays from others: of shapes, types and contents.

    Arrays of more than 64 MB are looked at in 1,024 places, so a change of one number in them may go unseen.

    >>> fingerprint_of(np.zeros(3)) == fingerprint_of(np.zeros(3)), fingerprint_of(np.zeros(3), np.ones(1))[:8]
    (True, '...')
    """
    import hashlib

    found = hashlib.sha256()
    for given in arrays:
        array = np.asarray(given)
        found.update(f"{array.shape} {array.dtype.str};".encode())
        if array.nbytes <= STATE_EVERYTHING or array.ndim == 0:
            found.update(
                np.ascontiguousarray(array).tobytes() if array.dtype != object else repr(array.tolist()).encode()
            )
            continue
        rows = np.linspace(0, len(array) - 1, min(SAMPLED_PLACES, len(array))).astype(np.int64)
        for row in rows:
            found.update(np.ascontiguousarray(array[row]).tobytes()[:SAMPLED_BYTES])
    return found.hexdigest()[:32]
