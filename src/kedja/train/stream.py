"""Data that are read while they are used: what `fit`, `evaluate` and `predict` make of a source or of batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kedja.data.batches import Batch as Given
from kedja.data.batches import Batches, batches, is_stream
from kedja.data.check import as_array, check_array
from kedja.data.dataset import Dataset
from kedja.data.source import Part, Source
from kedja.data.split import split_rows
from kedja.data.weights import class_weights
from kedja.errors import DataError, KedjaError, ShapeError
from kedja.graph.trace import Graph, trace
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.ops.indexing import read_as_positions
from kedja.train.adapting import entrance
from kedja.train.evaluation import as_inputs, as_targets, check_positions
from kedja.train.row_order import RowOrder

__all__ = ["Feed", "Rows", "streamed"]

Array = np.ndarray[Any, Any]
SAMPLE_ROWS, SAMPLE_BYTES = 256, 4 << 20  # what stands for all rows before the run
ALIGNMENT = 64
ADAPT_BYTES = 32 << 20  # what preprocessing layers are adapted to


def streamed(x: Any, y: Any = None, what: str = "x") -> Source | Batches | None:
    """The source or the batches that x is; None when x is rows that lie in memory."""
    if isinstance(x, Dataset) or not (isinstance(x, Source) or is_stream(x)):
        return None
    if y is not None:
        kind = "a source" if isinstance(x, Source) else "batches (x, y)"
        raise DataError(f"{what} is {kind}, which brings its own targets: leave y out.")
    return x if isinstance(x, Source) else x if isinstance(x, Batches) else batches(x)


def sample(data: Source | Batches, size: int = SAMPLE_BYTES, most: int = SAMPLE_ROWS) -> tuple[Any, Any]:
    """A few rows that stand for all of them, spread over the source, or the first batch."""
    if isinstance(data, Batches):
        first = data.peek()
        return (first.x if len(first.x) > 1 else first.x[0]), first.y
    width = sum(max(f.bytes, 4 * int(np.prod(f.shape))) for f in data.inputs)
    count = max(2, min(most, size // max(width, 1)))
    rows = np.unique(np.linspace(0, data.rows - 1, min(count, data.rows)).astype(np.int64))
    return whole(data, rows)


def whole(data: Source, rows: Any = None) -> tuple[Any, Any]:
    """x and y of a source as arrays, of all rows or of these."""
    found = data.take(np.arange(data.rows) if rows is None else rows)
    k = len(data.inputs)
    return (found[:k] if k > 1 else found[0]), (found[k] if len(found) > k else None)


def separate(data: Source, validation: Any, seed: int) -> tuple[Source, Any]:
    """The rows to learn from, and those to validate on where `validation` is a share of them: as arrays are cut."""
    if not isinstance(validation, float | np.floating) or not 0 < validation < 1:
        return data, validation
    keep, held = split_rows(data.rows, test=float(validation), seed=seed)
    labels = data.labels()
    if labels is not None:
        warn_of_lost_classes(labels[keep], labels[held], data.class_names)
    return Part(data, keep), Part(data, held)


def warn_of_lost_classes(learned: Any, held: Any, names: Sequence[str] | None = None) -> None:
    """Say so when there is a class to validate on of which no row is learned from."""
    a, b = np.asarray(learned), np.asarray(held)
    if a.ndim != 1 or a.dtype.kind not in "biu" or b.dtype.kind not in "biu":
        return
    lost = np.setdiff1d(b, a).tolist()
    if lost:
        shown = ", ".join(repr(names[c]) if names is not None else str(c) for c in lost[:5])
        warnings.warn(
            f"no row of class {shown}{' …' if len(lost) > 5 else ''} is among those that are learned from, and there "
            "are some to validate on: split with stratify=, or gather more rows of it.",
            stacklevel=6,
        )


def weights_of(data: Source | Batches, sample_weight: Any, class_weight: Any) -> Any:
    """The weight of every row of a source (None: all weigh the same); for batches what makes one of their targets."""
    if isinstance(data, Batches):
        if sample_weight is not None:
            raise DataError("sample_weight goes with arrays: let each batch be (x, y, weight of each row).")
        if isinstance(class_weight, str):
            raise DataError(
                f"class_weight={class_weight!r} needs the class of every row ahead, and batches show theirs one by "
                "one: give a number for each class, class_weight={0: 1.0, 1: 3.0}."
            )
        return class_weight
    if class_weight is None:
        return None if sample_weight is None else np.asarray(sample_weight)
    labels = data.labels()
    if labels is None:
        raise DataError(f"class_weight needs the class of every row, and {data.name} has too many to hold.")
    of_class = class_weights(labels, class_weight)
    return of_class if sample_weight is None else of_class * np.asarray(sample_weight)


class Rows(NamedTuple):
    """Rows as the model takes them: inputs, targets and weights where they are, and what they are called."""

    arrays: list[Array]
    numbers: Array  # of the rows in the source; of batches, counted from the start of the epoch


class Feed:
    """Rows of a source, or batches, made into what a model takes: types, targets and weights checked and converted."""

    def __init__(
        self, model: Module, data: Source | Batches, inputs: Sequence[Array], y: Array | None, loss: Loss | None,
        outputs: tuple[int, ...], weights: Any = None, weighted: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.data, self.loss, self.outputs = model, data, loss, outputs
        self.weights, self.weighted = weights, weighted
        dtype = inputs[0].dtype
        self.specs = [(a.shape[1:], a.dtype) for a in inputs]
        self.inputs = len(self.specs)
        if y is not None:
            self.specs.append((y.shape[1:], y.dtype))
        if weighted:
            self.specs.append(((), dtype))
        self.labelled = y is not None
        self.front = entrance(model)
        self.positions = self._positions(inputs)
        self.seen: set[int] = set()  # epochs that were gone through: their rows were looked at

    @property
    def row_bytes(self) -> int:
        """The size of a row, as the model takes it."""
        return sum(int(np.prod(s)) * np.dtype(d).itemsize for s, d in self.specs)

    def space(self, rows: int) -> list[Array]:
        """Arrays for so many rows."""
        return [aligned((rows, *shape), np.dtype(dtype)) for shape, dtype in self.specs]

    def fill(self, rows: Array, into: Sequence[Array], look: bool) -> None:
        """Rows of a source into the first places of these arrays; `look`: check them, as the first time."""
        assert isinstance(self.data, Source)
        n, k = len(rows), self.inputs
        named = [*self.data.inputs, *([self.data.target] if self.labelled and self.data.target is not None else [])]
        direct = self.front is None
        raw: list[Array] = [into[i] if direct else np.empty((n, *f.shape), f.dtype) for i, f in enumerate(named[:k])]
        raw += [np.empty((n, *f.shape), f.dtype) for f in named[k:]]
        with np.errstate(over="ignore"):
            self.data.read(rows, raw)
        if direct:
            for i in range(k if look else 0):
                self._check(lambda i=i: check_array(into[i][:n], "x", dtype=into[i].dtype), rows, into[i])
        else:
            x = tuple(raw[:k]) if k > 1 else raw[0]
            for out, array in zip(into, self._check(lambda: as_inputs(self.model, x), rows, raw[0]), strict=False):
                out[:n] = array
        if look and self.positions is not None:
            self._check(lambda: check_positions(self.model, self.positions, [a[:n] for a in into[:k]]), rows, None)
        if self.labelled:
            y = self._check(lambda: as_targets(self.model, raw[k], n, self.loss, self.outputs), rows, raw[k])
            self._put(into[k], y, n)
        if self.weighted:
            into[-1][:n] = self.weights[rows]

    def convert(self, batch: Given, where: str) -> list[Array]:
        """A batch as arrays for the model."""
        try:
            x = tuple(as_array(part, "x") for part in batch.x)
            inputs = as_inputs(self.model, x if len(x) > 1 else x[0])
            n = len(inputs[0])
            for given, (shape, _) in zip(inputs, self.specs, strict=False):
                if given.shape[1:] != shape:
                    raise ShapeError(f"its rows have the shape {given.shape[1:]}, those of the first batch {shape}")
            if self.positions is not None:
                check_positions(self.model, self.positions, inputs)
            found = [*inputs]
            if self.labelled:
                if batch.y is None:
                    raise DataError("it has no targets: each batch is (x, y)")
                y = as_targets(self.model, batch.y, n, self.loss, self.outputs)
                shape, dtype = self.specs[self.inputs]
                if y.shape[1:] != shape:
                    raise ShapeError(
                        f"its targets have the shape {y.shape[1:]} a row, those of the first batch {shape}"
                    )
                found.append(np.asarray(y, dtype))
            if self.weighted:
                found.append(self._weigh(batch, n))
            return found
        except KedjaError as error:
            raise type(error)(f"{where}: {error}") from None

    def _weigh(self, batch: Given, n: int) -> Array:
        weight = np.ones(n) if batch.weight is None else check_array(batch.weight, "weight", dtype=np.float64)
        if weight.shape != (n,) or not (weight >= 0).all():
            raise DataError(f"the weights of its rows are {n} numbers of at least 0; got shape {weight.shape}")
        if self.weights is not None:
            weight = weight * class_weights(batch.y, self._of_each_class(batch.y))
        return np.asarray(weight, self.specs[-1][1])

    def _of_each_class(self, y: Any) -> Any:
        given = self.weights
        return given if isinstance(given, Mapping) else dict(enumerate(np.asarray(given, float).tolist()))

    def _put(self, out: Array, values: Array, n: int) -> None:
        if values.shape[1:] != out.shape[1:]:
            raise ShapeError(f"the targets have the shape {values.shape[1:]} a row, and began with {out.shape[1:]}")
        out[:n] = values

    def _check(self, look: Any, rows: Array, among: Array | None) -> Any:
        """What `look` gives; its error, with the number that the row has in the source."""
        try:
            return look()
        except KedjaError as error:
            number = None
            if among is not None and among.dtype.kind == "f":
                bad = ~np.isfinite(among[: len(rows)].reshape(len(rows), -1)).all(1)
                number = int(rows[np.argmax(bad)]) if bad.any() else None
            where = f"row {number}" if number is not None else f"among the rows {rows.min()} to {rows.max()}"
            raise type(error)(f"{self.data.name}, {where} of the source: {error}") from None

    def _positions(self, inputs: Sequence[Array]) -> Graph | None:
        graph = trace(lambda *xs: self.model(*xs), [(a.shape, a.dtype) for a in inputs])
        return graph if read_as_positions(graph.order) else None

    # --- once through everything, for evaluate and predict ----------------------------------------------------------
    def passes(self, rows: int, epoch: int = 0) -> Iterator[tuple[list[Array], int]]:
        """All rows in order, in arrays of `rows` rows with the number that are real; the last row fills up the rest."""
        if isinstance(self.data, Source):
            look = epoch not in self.seen
            spaces = [self.space(rows), self.space(rows)]  # one is filled while the other is worked on
            for number, at in enumerate(range(0, self.data.rows, rows)):
                numbers = np.arange(at, min(at + rows, self.data.rows))
                arrays = spaces[number % 2]
                self.fill(numbers, arrays, look)
                yield padded(arrays, len(numbers)), len(numbers)
        else:
            for number, batch in enumerate(self.data.epoch(self.data.begun + 1), 1):
                given = self.convert(batch, f"{self.data.name}, batch {number}")
                for at in range(0, len(given[0]), rows):
                    arrays = self.space(rows)
                    real = min(rows, len(given[0]) - at)
                    for out, array in zip(arrays, given, strict=True):
                        out[:real] = array[at : at + real]
                    yield padded(arrays, real), real
        self.seen.add(epoch)

    def row_order(self, key: Any, shuffle: bool) -> RowOrder:
        """The order of the rows of a source."""
        assert isinstance(self.data, Source)
        return RowOrder(key, self.data.rows, self.data.block, self.data.window, shuffle)


def padded(arrays: list[Array], real: int) -> list[Array]:
    """The arrays, filled up with their last real row."""
    for array in arrays:
        array[real:] = array[real - 1]
    return arrays


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros that begin where a device that shares the memory can take them as they lie, without a copy."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)
