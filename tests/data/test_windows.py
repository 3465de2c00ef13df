"""Sliding windows over a series."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import DataError


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(0, 3), st.integers(1, 3))
def test_windows_are_slices_of_the_series(length, horizon, stride, gap, columns):
    """Every window and what follows it are the slices that a loop takes, and no further window would fit."""
    series = np.random.default_rng(0).normal(size=(length + gap + horizon + 7, columns))
    x, y = kj.data.windows(series, length, horizon, stride=stride, gap=gap)
    start = 0
    for seen, after in zip(x, y, strict=True):
        assert np.array_equal(seen, series[start : start + length])
        assert np.array_equal(after, series[start + length + gap : start + length + gap + horizon])
        start += stride
    assert start + length + gap + horizon > len(series)


def test_windows_agree_with_numpy():
    """NumPy's sliding_window_view gives the same windows of a series."""
    series = np.arange(50.0)
    x, y = kj.data.windows(series, 8)
    assert np.array_equal(x[:, :, 0], np.lib.stride_tricks.sliding_window_view(series, 8)[:-1])
    assert y.shape == (42, 1)


def test_a_target_is_chosen_by_number_or_name():
    """One column gives (n, horizon), several (n, horizon, columns); names are those of a data frame."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"t": np.arange(10.0), "load": np.arange(10.0) * 2})
    by_name = kj.data.windows(frame, 3, 2, target="load")[1]
    assert by_name[0].tolist() == [6.0, 8.0]
    assert np.array_equal(by_name, kj.data.windows(frame.to_numpy(), 3, 2, target=1)[1])
    assert kj.data.windows(frame, 3, 2, target=["load", "t"])[1].shape == (6, 2, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 9, "horizon": 2}, "has 10 steps, and a window needs 9 + 2 = 11"),
        ({"length": 0}, "length=0"),
        ({"length": 2, "stride": 0}, "stride=0"),
        ({"length": 2, "target": 3}, "columns 0 to 0"),
        ({"length": 2, "target": "load"}, "no names of columns"),
        ({"length": 2, "gap": -1}, "gap=-1"),
    ],
)
def test_impossible_windows_are_refused(arguments, message):
    """What does not fit into the series is said with the arithmetic."""
    with pytest.raises(DataError, match=message.replace("+", r"\+")):
        kj.data.windows(np.arange(10.0), **arguments)


def test_a_series_of_text_is_refused():
    """Words are no series."""
    with pytest.raises(DataError, match="numbers are expected"):
        kj.data.windows(["a", "b", "c"], 1)
