"""Folds: every row is tested once, proportions and groups are kept, time is not turned round."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold, TimeSeriesSplit

from kedja.data.folds import fold_rows
from kedja.errors import DataError


@given(st.integers(2, 60), st.integers(2, 8), st.integers(0, 5))
def test_every_row_is_tested_once(n, folds, seed):
    """The tests are a partition of the rows, of sizes that differ by one at most; the rest is learned from."""
    if folds > n:
        with pytest.raises(DataError, match="use fewer folds"):
            fold_rows(n, folds, seed=seed)
        return
    found = fold_rows(n, folds, seed=seed)
    assert sorted(np.concatenate([test for _, test in found]).tolist()) == list(range(n))
    sizes = [len(test) for _, test in found]
    assert max(sizes) - min(sizes) <= 1
    for learn, test in found:
        assert sorted([*learn, *test]) == list(range(n))


@given(st.lists(st.integers(5, 17), min_size=2, max_size=4), st.integers(2, 5))
def test_classes_keep_their_proportions_as_in_scikit_learn(counts, folds):
    """Each fold has as many rows of each class as scikit-learn's has, to within one."""
    y = np.repeat(np.arange(len(counts)), counts)
    theirs = [np.bincount(y[test], minlength=len(counts)) for _, test in StratifiedKFold(folds).split(y, y)]
    for (_, test), other in zip(fold_rows(len(y), folds, stratify=y), theirs, strict=True):
        assert np.abs(np.bincount(y[test], minlength=len(counts)) - other).max() <= 1


def test_groups_stay_whole_and_folds_even():
    """No group is on both sides, and no fold is larger than it must be."""
    groups = np.repeat(["a", "b", "c", "d", "e", "f"], [10, 9, 5, 4, 1, 1])
    found = fold_rows(30, 3, groups=groups)
    for learn, test in found:
        assert not set(groups[learn]) & set(groups[test])
    assert sorted(len(test) for _, test in found) == [10, 10, 10]


@pytest.mark.parametrize(("n", "folds"), [(12, 3), (20, 4)])
def test_time_as_in_scikit_learn(n, folds):
    """Where the stretches are equal, they are those of TimeSeriesSplit."""
    theirs = TimeSeriesSplit(folds).split(np.zeros(n))
    if n % (folds + 1):
        n = n - n % (folds + 1)
    for (learn, test), (a, b) in zip(fold_rows(n, folds, in_order=True), theirs, strict=True):
        assert learn.tolist() == a.tolist() and test.tolist() == b.tolist()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: fold_rows(5, 1), "at least 2"),
        (lambda: fold_rows(5, 2.5), "whole number"),
        (lambda: fold_rows(3, 3, in_order=True), "at least 4 rows"),
        (lambda: fold_rows(6, 3, stratify=[0, 0, 0, 0, 1, 1]), "label 1 has 2 rows"),
        (lambda: fold_rows(6, 3, groups=list("aaabbb")), "as many groups"),
        (lambda: fold_rows(6, 3, groups=list("aab")), "one label for each of the 6 rows"),
        (lambda: fold_rows(6, 3, groups=list("aabbcc"), in_order=True), "not several"),
    ],
)
def test_bad_input_is_named(call, says):
    """What cannot be split says why."""
    with pytest.raises(DataError, match=says):
        call()
