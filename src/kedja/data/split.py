"""Splitting rows into parts that are learned from and parts that are not (scope 6).

A test row must tell nothing the training rows already told. So rows are shuffled before they are cut; rows that belong
together (one patient, one house) stay together when `groups` names them; and a series is cut in time, not shuffled.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kedja.data.draws import permutation
from kedja.errors import DataError

__all__ = ["permutation", "split", "split_rows"]

Rows = NDArray[np.int64]

# The streams of words that choose rows and that order them; made sets draw from others (see draws.py).
_CHOICE, _ORDER = 1, 5


def split(
    *arrays: Any,
    test: float | int = 0.2,
    validation: float | int | None = None,
    seed: int = 0,
    stratify: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    in_order: bool = False,
) -> tuple[tuple[NDArray[Any], ...], ...]:
    """Cut arrays of equal length along their first axis into (train, test) or (train, validation, test).

    Every part is a tuple with one array for each array given. `test` and `validation` are fractions (floats in 0..1)
    or numbers of rows (ints). `stratify` holds a label for every row: each part then has each label in the same
    proportion, to within a row. `groups` holds a group for every row: a group is never cut. `in_order=True` does not
    shuffle: the last rows are the test, as a time series needs it.

    Raises DataError when lengths differ or a part would be empty.

    >>> x, y = np.arange(20).reshape(10, 2), np.arange(10)
    >>> (x_train, y_train), (x_test, y_test) = split(x, y, test=0.3, seed=1)
    >>> x_train.shape, x_test.shape, bool((x_test[:, 0] == 2 * y_test).all())
    ((7, 2), (3, 2), True)
    >>> [len(part[0]) for part in split(x, test=2, validation=3, in_order=True)]
    [5, 3, 2]
    """
    if not arrays:
        raise DataError("split got no arrays: split(x, y, test=0.2).")
    given = [np.asarray(array) for array in arrays]
    for number, array in enumerate(given):
        if array.ndim == 0:
            raise DataError(f"split: array {number + 1} is a single number, not rows.")
        if len(array) != len(given[0]):
            raise DataError(f"split: array {number + 1} has {len(array)} rows where the first has {len(given[0])}.")
    parts = split_rows(
        len(given[0]),
        test=test,
        validation=validation,
        seed=seed,
        stratify=stratify,
        groups=groups,
        in_order=in_order,
    )
    return tuple(tuple(array[rows] for array in given) for rows in parts)


def split_rows(
    n: int,
    *,
    test: float | int = 0.2,
    validation: float | int | None = None,
    seed: int = 0,
    stratify: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    in_order: bool = False,
) -> tuple[Rows, ...]:
    """The row numbers of each part: what `split` does, for data that are not arrays. Arguments as there.

    Rows are taken in the order of a seeded permutation: the first for the test, the next for the validation part; a
    second permutation orders the rows of each part. Stratified, each class gives its share (largest remainders first,
    then the smaller label), so a class with too few rows for a share stays in training. With groups, whole groups in
    random order fill a part up to its size, or beyond it by less than one group.

    >>> train, test = split_rows(6, test=2, stratify=[0, 0, 0, 0, 1, 1], seed=0)
    >>> len(train), len(test)
    (4, 2)
    """
    if sum((stratify is not None, groups is not None, in_order)) > 1:
        raise DataError("split: give one of stratify=, groups= and in_order=True, not several.")
    asked = {"test": test} if validation is None else {"test": test, "validation": validation}
    sizes = [_size(n, name, size) for name, size in asked.items()]
    if sum(sizes) >= n:
        wanted = " and ".join(f"{size} for {name}" for size, name in zip(sizes, asked, strict=True))
        raise DataError(f"split: {n} rows cannot give {wanted} and leave any for training.")

    if in_order:
        cuts = np.cumsum([n - sum(sizes), *reversed(sizes[1:])])
        return tuple(np.split(np.arange(n), cuts))
    order = permutation(n, seed, _CHOICE)
    if groups is not None:
        taken, rest = _whole_groups(order, _codes(groups, n, "groups"), sizes)
    else:
        taken, rest = _shares(order, np.zeros(n, int) if stratify is None else _codes(stratify, n, "stratify"), sizes)
    # Choosing leaves a trace (training begins with the class that filled its share first): order the parts anew.
    place = permutation(n, seed, _ORDER)
    return tuple(part[np.argsort(place[part])] for part in (rest, *reversed(taken)))


def _shares(order: Rows, codes: Rows, sizes: list[int]) -> tuple[list[Rows], Rows]:
    """Take from each class its share of every size, in the given order of rows."""
    taken = []
    for size in sizes:
        counts = np.bincount(codes[order])
        # In whole numbers, and stably sorted: of equal remainders the smaller label wins, on every machine.
        take, remainder = np.divmod(counts * size, len(order))
        take[np.argsort(-remainder, kind="stable")[: size - take.sum()]] += 1
        # The position of each row among the rows of its own class, in shuffled order.
        by_class = np.argsort(codes[order], kind="stable")
        rank = np.empty(len(order), int)
        rank[by_class] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        chosen = rank < take[codes[order]]
        taken.append(order[chosen])
        order = order[~chosen]
    return taken, order


def _whole_groups(order: Rows, codes: Rows, sizes: list[int]) -> tuple[list[Rows], Rows]:
    """Take whole groups, in the order in which their first rows were drawn, until each size is reached."""
    taken = []
    for size in sizes:
        first_seen = np.unique(codes[order], return_index=True)
        groups = first_seen[0][np.argsort(first_seen[1])]
        filled = np.cumsum(np.bincount(codes[order])[groups])
        chosen = np.isin(codes[order], groups[: int(np.searchsorted(filled, size)) + 1])
        taken.append(order[chosen])
        order = order[~chosen]
        if not len(order):
            raise DataError("split: too few groups: keeping them whole leaves none for training.")
    return taken, order


def _codes(labels: ArrayLike, n: int, name: str) -> Rows:
    array = np.asarray(labels)
    if array.ndim != 1 or len(array) != n:
        raise DataError(f"split: {name} must hold one label for each of the {n} rows; its shape is {array.shape}.")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _size(n: int, name: str, asked: float | int) -> int:
    """The number of rows asked for as a fraction or a count."""
    try:
        size = operator.index(asked)  # type: ignore[arg-type]
    except TypeError:
        if not isinstance(asked, float | np.floating) or not 0 < asked < 1:
            raise DataError(f"split: {name}={asked!r}: give a fraction between 0 and 1, or a number of rows.") from None
        # A fraction of few rows still means some rows.
        return max(1, round(float(asked) * n))
    if isinstance(asked, bool) or size < 1:
        raise DataError(f"split: {name}={asked!r}: give a fraction between 0 and 1, or a number of rows.")
    return size
