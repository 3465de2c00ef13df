"""Batches that somebody else makes: loaders, generators and the functions that make them, read one after the other."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kedja.data.check import as_array
from kedja.errors import DataError

__all__ = ["Batch", "Batches", "batches", "is_stream"]

Array = NDArray[Any]


class Batch(NamedTuple):
    """One batch as it was given: inputs, targets and the weights of the rows (None where there are none)."""

    x: tuple[Any, ...]
    y: Any
    weight: Any


def batches(made_by: Any, steps: int | None = None) -> Batches:
    """Batches from an iterable (a PyTorch DataLoader), or from a function that gives a new iterator for each epoch.

    Each batch is (x, y), or (x, y, weight of each row); x may be a tuple for a model with several inputs. `steps` ends
    an epoch after so many batches: an endless generator needs it, and goes on in the next epoch where it stopped.

    >>> def two():
    ...     yield [[0.0], [1.0]], [0, 1]
    ...     yield [[2.0]], [1]
    >>> [len(b.y) for b in batches(two).epoch(1)]
    [2, 1]
    """
    return Batches(made_by, steps)


def is_stream(values: Any) -> bool:
    """Whether values are batches to be asked for one by one, rather than rows.

    >>> is_stream(x for x in []), is_stream(np.zeros(3)), is_stream([1, 2])
    (True, False, False)
    """
    if isinstance(values, Batches):
        return True
    if isinstance(values, Sequence | set | Mapping | np.ndarray) or hasattr(values, "__array__"):
        return False
    if callable(values) and not isinstance(values, type) and not hasattr(values, "__iter__"):
        return True
    return hasattr(values, "__iter__") and not hasattr(values, "columns") and not hasattr(values, "shape")


class Batches:
    """What gives the batches of each epoch; see `batches`."""

    def __init__(self, made_by: Any, steps: int | None = None) -> None:
        self.make: Callable[[], Iterable[Any]] | None = None
        self.iterable: Iterable[Any] | None = None
        self.once: Iterator[Any] | None = None  # a generator: it can be gone through one time
        if isinstance(made_by, str | bytes | Mapping) or not (callable(made_by) or hasattr(made_by, "__iter__")):
            raise DataError(
                f"batches come from an iterable or from a function that makes one, got {type(made_by).__name__}."
            )
        if hasattr(made_by, "__next__"):
            self.once = made_by
        elif hasattr(made_by, "__iter__"):
            self.iterable = made_by
        else:
            self.make = made_by
        self.name = getattr(made_by, "__name__", type(made_by).__name__)
        self.steps = None if steps is None else _steps(steps)
        self._first: list[Any] = []  # a batch that was looked at before its time
        self._waiting: Iterator[Any] | None = None
        self.begun = 0  # epochs
        self._ends: int | None = None  # how many batches the last epoch had

    @property
    def expected(self) -> int | None:
        """How many batches an epoch will have, as far as anybody can say."""
        if self.steps is not None:
            return self.steps
        try:
            return len(self.iterable) if self.iterable is not None else self._ends  # type: ignore[arg-type]
        except TypeError:
            return self._ends

    @property
    def repeats(self) -> bool:
        """Whether an epoch can be had again."""
        return self.once is None

    def fingerprint(self) -> str:
        """Of the name and number of the batches: what is in them nobody knows before they are there."""
        return f"batches of {self.name}{'' if self.steps is None else f', {self.steps} an epoch'}"

    def close(self) -> None:
        """Nothing is held open."""

    def peek(self) -> Batch:
        """The first batch; the first epoch still begins with it."""
        if not self._first:
            self._waiting = self._new(1)
            try:
                self._first = [next(self._waiting)]
            except StopIteration:
                raise DataError(f"{self.name} yields nothing: there is no batch to learn from.") from None
        return unpacked(self._first[0], self.name, 1, 1)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch; its number, counted from 1, is for messages."""
        self.begun += 1
        if self._waiting is not None:
            found, ahead = self._waiting, self._first
            self._waiting, self._first = None, []
        else:
            found, ahead = self._new(number), []
        count = 0
        while self.steps is None or count < self.steps:
            if ahead:
                item = ahead.pop()
            else:
                try:
                    item = next(found)
                except StopIteration:
                    break
            count += 1
            yield unpacked(item, self.name, number, count)
        if not count or (self.steps is not None and count < self.steps):
            raise DataError(self._short(number, count))
        self._ends = count

    def _new(self, number: int) -> Iterator[Any]:
        if self.once is not None:
            return self.once
        found = self.make() if self.make is not None else self.iterable
        if not hasattr(found, "__iter__"):
            raise DataError(
                f"{self.name}() gave {type(found).__name__} in epoch {number}: a function given to fit makes an "
                "iterator of batches (x, y); with `yield` in it, it does."
            )
        return iter(found)  # type: ignore[arg-type]

    def _short(self, number: int, count: int) -> str:
        of = f" of {self.steps}" if self.steps is not None else ""
        if self.once is not None:
            when = f"in epoch {number} after {count}{of} batches"
            if not count and self._ends:
                when = f"in epoch {number - 1} after {self._ends} batches, and epoch {number} has none"
            return (
                f"the generator ended {when}: a generator can be gone through once. Give the function that makes it, "
                "fit(rows) instead of fit(rows()), and every epoch gets a new one."
            )
        if not count:
            return f"{self.name} yields nothing in epoch {number}: there is no batch to learn from."
        return f"{self.name} ended in epoch {number} after {count}{of} batches: make steps= smaller, or yield more."

    def __repr__(self) -> str:
        return f"<batches of {self.name}{f', {self.expected} an epoch' if self.expected else ''}>"


def unpacked(item: Any, name: str, epoch: int, number: int) -> Batch:
    """A batch's inputs, targets and weights.

    >>> unpacked(([[1.0]], [2.0]), "rows", 1, 1).y
    [2.0]
    """
    if isinstance(item, Mapping):
        raise DataError(
            f"{name}, epoch {epoch}, batch {number}: a batch is (x, y), got a dictionary with the keys "
            f"{', '.join(map(repr, item))}: yield batch['…'], batch['…'] instead."
        )
    parts = tuple(item) if isinstance(item, list | tuple) else (item,)
    if not 1 <= len(parts) <= 3:
        raise DataError(
            f"{name}, epoch {epoch}, batch {number}: a batch is (x, y) or (x, y, weight), got {len(parts)}."
        )
    x = parts[0]
    several = tuple(x) if isinstance(x, tuple) else (x,)
    return Batch(several, parts[1] if len(parts) > 1 else None, parts[2] if len(parts) > 2 else None)


def arrays_of(batch: Batch) -> list[Array]:
    """The arrays of a batch: inputs, then targets and weights where they are."""
    named = [(f"x[{i}]" if len(batch.x) > 1 else "x", part) for i, part in enumerate(batch.x)]
    rest = [("y", batch.y), ("weight", batch.weight)]
    return [as_array(part, name) for name, part in [*named, *rest] if part is not None]


def _steps(steps: Any) -> int:
    try:
        found = operator.index(steps)
    except TypeError as error:
        raise DataError(f"steps={steps!r}: it must be a whole number, 1 or more.") from error
    if found < 1 or isinstance(steps, bool):
        raise DataError(f"steps={steps!r}: it must be a whole number, 1 or more.")
    return found
