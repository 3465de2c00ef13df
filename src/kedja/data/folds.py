"""Folds for cross-validation: every row is tested once, by a model that has not learned from it (scope 6)."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kedja.data.draws import permutation
from kedja.errors import DataError

__all__ = ["fold_rows"]

Rows = NDArray[np.int64]
_FOLDS = 8  # the stream of random words that deals rows into folds (see draws.py)


def fold_rows(
    n: int, folds: int = 5, *, seed: int = 0, stratify: ArrayLike | None = None, groups: ArrayLike | None = None,
    in_order: bool = False,
) -> list[tuple[Rows, Rows]]:  # fmt: skip
    """For each fold the rows to learn from and the rows to test on.

    Rows are shuffled and cut into `folds` parts of sizes that differ by at most 1; each is the test of one fold.
    `stratify` holds a label for every row: each part has each label in the same proportion, to within a row. `groups`
    holds a group for every row: none is cut, the largest go first to the smallest part. `in_order=True` tests on what
    comes later: of folds + 1 stretches of time, fold k learns from the first k + 1 and is tested on the next.

    Raises DataError for more folds than rows, than groups, or than rows of a label.

    >>> [(len(train), len(test)) for train, test in fold_rows(10, 4)]
    [(7, 3), (7, 3), (8, 2), (8, 2)]
    >>> [(train.tolist(), test.tolist()) for train, test in fold_rows(4, 3, in_order=True)]
    [([0], [1]), ([0, 1], [2]), ([0, 1, 2], [3])]
    """
    if sum((stratify is not None, groups is not None, in_order)) > 1:
        raise DataError("folds: give one of stratify=, groups= and in_order=True, not several.")
    try:
        folds = operator.index(folds)
    except TypeError:
        raise DataError(f"folds must be a whole number of at least 2, got {folds!r}") from None
    if folds < 2:
        raise DataError(
            f"folds must be a whole number of at least 2, got {folds}: with one there is nothing left to learn from"
        )
    if folds + in_order > n:
        raise DataError(f"{folds} folds need at least {folds + in_order} rows, and there are {n}: use fewer folds.")
    if in_order:
        stretches = np.array_split(np.arange(n), folds + 1)
        return [(np.concatenate(stretches[: k + 1]), stretches[k + 1]) for k in range(folds)]
    order = permutation(n, seed, _FOLDS)
    part = np.empty(n, np.int64)  # the fold in which each row is tested
    if groups is not None:
        names, codes = labels(groups, n, "groups")
        part = _by_groups(codes[order], len(names), folds)[np.argsort(order)]
    elif stratify is not None:
        names, codes = labels(stratify, n, "stratify")
        counts = np.bincount(codes)
        if counts.min() < folds:
            rare = int(counts.argmin())
            raise DataError(
                f"the label {names[rare]!r} has {counts[rare]} rows, and {folds} folds need one in each: use fewer "
                "folds, or give it more rows."
            )
        dealt = order[np.argsort(codes[order], kind="stable")]  # label by label, each shuffled
        part[dealt] = np.arange(n) % folds
    else:
        for k, rows in enumerate(np.array_split(order, folds)):
            part[rows] = k
    return [(order[part[order] != k], order[part[order] == k]) for k in range(folds)]


def labels(values: ArrayLike, n: int, name: str) -> tuple[list[Any], Rows]:
    """The different labels, and the number of each row's."""
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) != n:
        raise DataError(f"{name} must hold one label for each of the {n} rows; its shape is {array.shape}.")
    found, codes = np.unique(array, return_inverse=True)
    return found.tolist(), codes.astype(np.int64)


def _by_groups(codes: Rows, count: int, folds: int) -> Rows:
    """The fold of each row, groups whole: the largest first, each to the fold with the fewest rows so far."""
    if count < folds:
        raise DataError(f"{folds} folds need as many groups, and there are {count}: use fewer folds.")
    sizes = np.bincount(codes, minlength=count)
    place, filled = np.empty(count, np.int64), np.zeros(folds, np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        place[group] = filled.argmin()
        filled[place[group]] += sizes[group]
    found: Rows = place[codes]
    return found
