"""Arrays that cannot be trained on are refused with the place of the fault."""

import datetime
import time

import numpy as np
import pandas as pd
import pytest

import kedja.data as data
from kedja.errors import DataError

NAN, INF = float("nan"), float("inf")


def test_dtypes_after_the_check():
    """Inputs become float32, or what is asked; labels stay integers, truth values become integers."""
    x, y = data.check_arrays(np.ones((3, 2)), np.array([0, 1, 2], np.uint8))
    assert x.dtype == np.float32 and y.dtype == np.uint8
    assert data.check_arrays([[1, 2]], [0.5])[1].dtype == np.float32
    assert data.check_arrays([[1, 2]], [True])[1].dtype == np.int64
    assert data.check_arrays([[1, 2]], dtype=np.float64)[0].dtype == np.float64
    assert data.check_arrays([[1, 2]], keep_integers=True)[0].dtype == np.int64
    assert data.check_arrays([[1, 2]])[1] is None


def test_good_float32_is_not_copied():
    """An array that is as it should be is the array trained on."""
    x = np.ones((4, 3), np.float32)
    assert data.check_arrays(x)[0] is x


def test_frames_are_accepted():
    """A frame of numbers, and of objects that are numbers, is as good as an array."""
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    assert data.check_arrays(frame, frame["a"])[0].tolist() == [[1, 0.5], [2, 1.5]]
    assert data.check_arrays(frame.astype(object))[0].dtype == np.float32
    assert data.check_arrays([[1.0]], pd.Series([3], dtype=object))[1].dtype == np.int64


def test_a_sum_that_overflows_is_not_a_fault():
    """Large finite numbers pass, although their sum is infinite."""
    x = np.full((10, 1), 3e38, np.float32)
    assert data.check_arrays(x)[0] is x


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[1, 2], [3, NAN]], None, r"^x has nan at row 1, column 1 \(counting from 0\): drop the row"),
        ([[1, INF]], None, r"^x has inf at row 0, column 1 .*finite"),
        ([[1.0]], [-INF], r"^y has -inf at row 0 "),
        (np.full((1, 2, 2, 1), NAN), None, r"^x has nan at index \(0, 0, 0, 0\)"),
        ([[1.0, "red"]], None, r"^x has the text 'red' at row 0, column 1 "),
        ([[1.0], [2.0]], ["cat", "dog"], r"^y has the text 'cat' at row 0 .*np.unique\(labels, return_inverse=True\)"),
        ([[1.0, None]], None, r"^x has no value at row 0, column 1"),
        ([[1.0, datetime.date(2024, 1, 1)]], None, r"^x has a date at row 0, column 1"),
        ([[1.0, 2.0], [3.0]], None, r"^x has 1 values in row 1 and 2 in row 0"),
        (np.zeros((3, 2)), np.zeros(4), r"^x has 3 rows and y has 4"),
        ([], None, r"^x is empty: its shape is \(0,\)"),
        (np.zeros((5, 0)), None, r"^x is empty: its shape is \(5, 0\)"),
        (3.0, None, r"^x is a single value, 3.0"),
        ([[1j]], None, r"^x has dtype complex128"),
        (np.array([["2024-01-01"]], "datetime64[D]"), None, r"^x has dtype datetime64"),
        ([[1.0], [1e39]], None, r"^x has 1e\+39 at row 1, column 0 .*too large for float32: scale it"),
    ],
)
def test_each_fault_is_named_with_its_place(x, y, message):
    """One line, with the array, the value, the row and the column."""
    with pytest.raises(DataError, match=message) as error:
        data.check_arrays(x, y)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": [1.0], "width": [NAN]}), r"nan at row 0, column 1 'width'"),
        (pd.DataFrame({"a": [1.0], "colour": ["red"]}), r"text 'red' at row 0, column 1 'colour'"),
        (pd.DataFrame({"n": pd.array([1, None], "Int64"), "s": [1, 2]}), r"(nan|no value) at row 1, column 0 'n'"),
    ],
)
def test_a_frame_names_its_column(frame, message):
    """Where columns have names, the message uses them."""
    with pytest.raises(DataError, match=message):
        data.check_arrays(frame)


def test_labels_come_back_as_int64():
    """Whole numbers pass whatever their dtype."""
    for dtype in (np.uint8, np.int32, np.float32, object):
        assert data.check_labels(np.array([0, 2, 1], dtype), 3).dtype == np.int64


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        ([0, 1, 5], 3, r"^label 5 at row 2 \(counting from 0\) is outside 0..2.$"),
        ([0, -1], 3, r"^label -1 at row 1"),
        ([1, 2, 3], 3, r"start at 1: subtract 1"),
        ([0.0, 0.5], 3, r"^label 0.5 at row 1 \(counting from 0\) is not a whole number"),
        ([0.0, NAN], 3, r"^y has nan at row 1"),
        ([[0], [1]], 3, r"^labels must have the shape \(n,\).*\(2, 1\)"),
        (["a"], 3, r"^y has the text 'a' at row 0"),
    ],
)
def test_labels_outside_the_classes_are_named(y, classes, message):
    """Row and value of the first bad label."""
    with pytest.raises(DataError, match=message):
        data.check_labels(y, classes)


def test_half_precision_is_not_asked_for_more_than_it_has():
    """Ordinary numbers pass in float16; those that it would all make one do not."""
    x = np.random.default_rng(0).random((50, 3))
    data.check_array(x, dtype=np.float16, learning=True)
    with pytest.raises(DataError, match="differ by less than float16 can tell apart"):
        data.check_array(1000 + x, dtype=np.float16, learning=True)


def test_the_check_costs_little():
    """47 million numbers, as many as in MNIST, are checked in well under a second."""
    x = np.ones((60_000, 784), np.float32)
    start = time.perf_counter()
    data.check_arrays(x)
    assert time.perf_counter() - start < 1
