"""Weights of rows by class, against scikit-learn, and in fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight

import kedja as kj
from kedja.data.weights import class_weights
from kedja.errors import DataError


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_balanced_weights_are_scikit_learns(labels):
    """n / (classes · rows of the class), for every row; one-hot rows are read as labels."""
    y = np.array(labels)
    expected = compute_sample_weight("balanced", y)
    np.testing.assert_allclose(class_weights(y), expected)
    np.testing.assert_allclose(class_weights(np.eye(5)[y]), expected)


def test_given_weights_are_scikit_learns():
    """A dict or a list of numbers, one per class."""
    y = np.array([0, 2, 1, 2])
    given_ = {0: 1.0, 1: 2.0, 2: 0.5}
    np.testing.assert_allclose(class_weights(y, given_), compute_sample_weight(given_, y))
    np.testing.assert_allclose(class_weights(y, [1.0, 2.0, 0.5]), compute_sample_weight(given_, y))


def test_class_weights_in_fit_are_sample_weights():
    """class_weight gives the same run as the sample weights it stands for, and multiplies those that are given."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 2)), (rng.random(30) < 0.2).astype(int)
    ends = []
    for how in (
        {"class_weight": "balanced", "sample_weight": np.arange(1.0, 31)},
        {"sample_weight": class_weights(y) * np.arange(1.0, 31)},
    ):
        net = kj.Sequential([kj.nn.Dense(3, "tanh"), kj.nn.Dense(2)])
        net.fit(x, y, loss="cross_entropy", epochs=3, batch_size=8, seed=0, **how)
        ends.append(net.get_weights())
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("y", "weights", "words"),
    [
        ([0, 1, 2], {0: 1.0, 1: 1.0}, "no number for class 2"),
        ([0, 1], "equal", "balanced"),
        ([0.5, 1.0], "balanced", "one class for each row"),
    ],
)
def test_what_is_refused(y, weights, words):
    """A class without a number, another word, targets that are no classes."""
    with pytest.raises(DataError, match=words):
        class_weights(np.array(y), weights)
