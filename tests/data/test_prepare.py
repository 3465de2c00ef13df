"""Scaling and one-hot agree with scikit-learn, and can be applied to rows not seen before."""

import numpy as np
import pytest
from sklearn.preprocessing import LabelBinarizer, MinMaxScaler, StandardScaler

import kedja.data as data
from kedja.errors import DataError


def test_scaling_columns_equals_min_max_scaler():
    """With axis=0 every column has its own range, constant ones included."""
    x = np.column_stack([data.load("wine").x, np.full(178, 3.0)])
    theirs = MinMaxScaler((0.01, 0.99)).fit_transform(x)
    np.testing.assert_allclose(data.scale(x, 0.01, 0.99, axis=0), theirs, rtol=1e-6)


def test_scaling_all_together_keeps_proportions():
    """Without axis one range serves all, so pixels that never change are not blown up."""
    pixels = np.array([[0, 128, 255], [0, 64, 255]], np.uint8)
    scaled = data.scale(pixels)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, pixels / 255 * 0.99 + 0.01, rtol=1e-6)


def test_test_rows_are_scaled_by_the_training_range():
    """span= applies a known range: values outside it land outside."""
    assert data.scale([5.0, 20.0], 0, 1, span=(0, 10)).tolist() == [0.5, 2.0]
    assert data.scale(np.array([[5.0, 1.0]]), 0, 1, span=([0, 0], [10, 4])).tolist() == [[0.5, 0.25]]


def test_standardising_equals_standard_scaler():
    """Mean, deviation (of a population) and result are theirs; a constant column becomes 0."""
    x = np.column_stack([data.load("diabetes").x, np.full(442, 0.1)]).astype(np.float64)
    theirs = StandardScaler().fit(x)
    scaled, mean, std = data.standardise(x)
    np.testing.assert_allclose(scaled, theirs.transform(x), atol=1e-9)
    np.testing.assert_allclose(mean, theirs.mean_)
    np.testing.assert_allclose(std, theirs.scale_)
    assert not scaled[:, -1].any()
    np.testing.assert_allclose(data.standardise(x[:5], mean, std)[0], scaled[:5])


def test_one_hot_equals_label_binarizer():
    """Ones where theirs are, and low and high instead of 0 and 1 when asked."""
    y = data.load("iris").y[::7]
    np.testing.assert_array_equal(data.one_hot(y), LabelBinarizer().fit_transform(y))
    soft = data.one_hot(y, 3, low=0.01, high=0.99)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft, data.one_hot(y) * 0.98 + 0.01)
    assert data.one_hot([0], classes=4).shape == (1, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.scale([]), "x is empty"),
        (lambda: data.scale([1.0], 1, 1), "low=1 must be less than high=1"),
        (lambda: data.scale(["a"]), "x has the text 'a' at row 0"),
        (lambda: data.scale([[1.0], [np.nan]]), "x has nan at row 1, column 0"),
        (lambda: data.standardise([1.0], mean=[0.0]), "give both mean and std"),
        (lambda: data.standardise([1.0], [0.0], [0.0]), "std must be greater than 0"),
        (lambda: data.one_hot([]), "no labels"),
        (lambda: data.one_hot([0, 3], 3), r"label 3 at row 1 \(counting from 0\) is outside 0..2"),
        (lambda: data.one_hot([0, -1]), "label -1 at row 1"),
        (lambda: data.one_hot(["cat"]), "y has the text 'cat' at row 0"),
    ],
)
def test_what_cannot_be_prepared_is_refused(call, message):
    """Each fault is named."""
    with pytest.raises(DataError, match=message):
        call()
