"""Splits partition the rows, in the proportions asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja.data as data
from kedja.errors import DataError

fractions = st.floats(0.05, 0.45)


@settings(deadline=None)
@given(n=st.integers(10, 300), test=fractions, validation=fractions, seed=st.integers(0, 2**64))
def test_parts_hold_every_row_once(n, test, validation, seed):
    """Train, validation and test together are the rows, each once; sizes are the rounded fractions."""
    parts = data.split_rows(n, test=test, validation=validation, seed=seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    assert [len(part) for part in parts[1:]] == [max(1, round(validation * n)), max(1, round(test * n))]


@settings(deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=5, max_size=200), test=fractions, seed=st.integers(0, 99))
def test_stratified_parts_keep_proportions(labels, test, seed):
    """Each class has its share of the test, to within a row, and the total is exact."""
    train, held_out = data.split_rows(len(labels), test=test, seed=seed, stratify=labels)
    assert sorted([*train.tolist(), *held_out.tolist()]) == list(range(len(labels)))
    size = max(1, round(test * len(labels)))
    assert len(held_out) == size
    for label in set(labels):
        share = labels.count(label) * size / len(labels)
        assert abs(sum(labels[row] == label for row in held_out) - share) < 1


@settings(deadline=None)
@given(groups=st.lists(st.sampled_from("abcdefgh"), min_size=12, max_size=60), seed=st.integers(0, 99))
def test_groups_are_never_cut(groups, seed):
    """No group has rows in two parts."""
    counts = [groups.count(group) for group in set(groups)]
    try:
        train, held_out = data.split_rows(len(groups), test=0.25, groups=groups, seed=seed)
    except DataError as error:
        # One group may be all but everything; the refusal says so.
        assert "too few groups" in str(error)
        assert max(counts) >= len(groups) * 0.25
        return
    assert not {groups[row] for row in train} & {groups[row] for row in held_out}
    assert len(held_out) >= round(0.25 * len(groups))
    assert len(held_out) < round(0.25 * len(groups)) + max(counts)


def test_in_order_cuts_the_end_off():
    """A series is trained on its past and tested on its future."""
    train, validation, test = data.split_rows(10, test=2, validation=3, in_order=True)
    assert (train.tolist(), validation.tolist(), test.tolist()) == ([0, 1, 2, 3, 4], [5, 6, 7], [8, 9])


def test_arrays_stay_together():
    """The same rows of every array come into the same part."""
    x, y, z = np.arange(30).reshape(10, 3), np.arange(10), [str(i) for i in range(10)]
    for part_x, part_y, part_z in data.split(x, y, z, test=0.3, seed=5):
        assert (part_x[:, 0] == 3 * part_y).all()
        assert part_z.tolist() == [str(i) for i in part_y]


def test_the_seed_decides_the_rows():
    """The same seed cuts alike, another differently; the order is written down, for it must never change."""
    assert data.split_rows(100, seed=1)[1].tolist() == data.split_rows(100, seed=1)[1].tolist()
    assert data.split_rows(100, seed=1)[1].tolist() != data.split_rows(100, seed=2)[1].tolist()
    assert data.permutation(8, seed=0).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]


def test_permutations_are_even():
    """Over many seeds every number comes first about equally often."""
    firsts = [int(data.permutation(5, seed)[0]) for seed in range(2_000)]
    assert min(np.bincount(firsts)) > 340 and max(np.bincount(firsts)) < 460


def test_dataset_split_stratifies_labels_unless_told():
    """The default keeps classes even; stratify=False need not."""
    iris = data.load("iris")
    assert np.bincount(iris.split(test=30)[1].y).tolist() == [10, 10, 10]
    drawn = [np.bincount(iris.split(test=30, seed=seed, stratify=False)[1].y).tolist() for seed in range(5)]
    assert any(counts != [10, 10, 10] for counts in drawn)
    assert len(data.load("diabetes").split(0.1)[1]) == 44


def test_dataset_parts_keep_what_is_known_of_the_whole():
    """Names, shapes and origin survive a split."""
    train, _ = data.load("digits").split()
    assert train.image_shape == (8, 8, 1) and train.classes == 10 and train.images.shape[1:] == (8, 8, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test": 0.0}, r"test=0.0: give a fraction between 0 and 1, or a number of rows"),
        ({"test": 1.0}, r"test=1.0"),
        ({"test": 0}, r"test=0: "),
        ({"test": -2}, r"test=-2"),
        ({"test": True}, r"test=True"),
        ({"test": "half"}, r"test='half'"),
        ({"test": 10}, r"10 rows cannot give 10 for test and leave any for training"),
        ({"test": 5, "validation": 5}, r"10 rows cannot give 5 for test and 5 for validation"),
        ({"validation": 2.0}, r"validation=2.0"),
        ({"stratify": [0, 1]}, r"stratify must hold one label for each of the 10 rows"),
        ({"groups": [0] * 10}, r"too few groups"),
        ({"groups": [0] * 10, "in_order": True}, r"give one of stratify=, groups= and in_order"),
        ({"seed": -1}, r"seed is -1"),
    ],
)
def test_impossible_splits_are_refused(arguments, message):
    """Each impossible wish is named."""
    with pytest.raises(DataError, match=message):
        data.split_rows(10, **arguments)


def test_arrays_of_different_lengths_are_refused():
    """Both lengths are named."""
    with pytest.raises(DataError, match="array 2 has 3 rows where the first has 4"):
        data.split(np.zeros((4, 1)), np.zeros(3))
    with pytest.raises(DataError, match="split got no arrays"):
        data.split()
