"""x[…] against NumPy, negative and out-of-range positions on both engines."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import kedja as kj
from kedja.errors import DataError, DTypeError, GraphError, ShapeError

ENGINES = pytest.mark.parametrize("engine", ["reference", "xla"])


def position_arrays(n: int) -> st.SearchStrategy:
    """Small integer arrays of valid positions, negative ones too."""
    return hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=2, max_side=3), elements=st.integers(-n, n - 1))


@st.composite
def indexed(draw):
    """A shape and a basic index for it."""
    shape = draw(hnp.array_shapes(max_dims=4, max_side=5))
    return shape, draw(hnp.basic_indices(shape, allow_newaxis=True))


@settings(max_examples=200, deadline=None)
@given(indexed())
def test_basic_indexing_is_numpys(case):
    """Numbers, slices with any step, … and None give NumPy's shape and values."""
    shape, key = case
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    found = kj.tensor(array)[key]
    assert found.shape == array[key].shape
    np.testing.assert_array_equal(found.numpy(), array[key])


@settings(max_examples=100, deadline=None)
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, max_side=5))
def test_an_integer_array_among_slices_is_numpys(data, shape):
    """One array of positions, anywhere among slices."""
    at = data.draw(st.integers(0, len(shape) - 1))
    places = data.draw(position_arrays(shape[at]))
    key = tuple(
        places if i == at else slice(None, None, data.draw(st.sampled_from([1, 2, -1]))) for i in range(len(shape))
    )
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(kj.tensor(array)[key].numpy(), array[key])


@settings(max_examples=100, deadline=None)
@given(st.data(), hnp.array_shapes(min_dims=2, max_dims=3, max_side=5))
def test_two_integer_arrays_are_numpys(data, shape):
    """x[i, j] picks points; the two broadcast."""
    i, j = data.draw(position_arrays(shape[0])), data.draw(position_arrays(shape[1]))
    try:
        np.broadcast_shapes(i.shape, j.shape)
    except ValueError:
        assume(False)
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(kj.tensor(array)[i, j].numpy(), array[i, j])


@settings(max_examples=60, deadline=None)
@given(indexed())
def test_gradient_of_an_index_is_ones_where_it_reads(case):
    """∂Σx[key]/∂x counts how often each element is read."""
    shape, key = case
    array, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(counts, key, 1)
    x = kj.tensor(array)
    np.testing.assert_array_equal(kj.grad(x[key].sum(), x).numpy(), counts)


@ENGINES
def test_negative_positions_count_from_the_end(engine):
    """In take, take_along_axis, scatter_add and x[i, j], as run-time values."""

    def f(x, i):
        column = kj.expand_dims(i, -1)
        return kj.take(x, i), kj.take_along_axis(x, column), kj.scatter_add((3, 4), i, x), x[i, i]

    x, i = np.arange(12, dtype=np.float32).reshape(3, 4), np.array([-1, 0, -3])
    added = np.zeros((3, 4), np.float32)
    np.add.at(added, i, x)
    expected = (x[i], np.take_along_axis(x, i[:, None], -1), added, x[i, i])
    for found, e in zip(kj.compile(f, engine=engine)(x, i), expected, strict=True):
        np.testing.assert_array_equal(found.numpy(), e)


@ENGINES
@pytest.mark.parametrize("bad", [3, -4])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, i: kj.take(x, i),
        lambda x, i: kj.take_along_axis(x[:, :1], kj.reshape(i, (-1, 1)), axis=0),
        lambda x, i: kj.scatter_add((3, 2), i, x[:2]),
        lambda x, i: x[i],
        lambda x, i: x[i, kj.arange(2)],
        lambda x, i: x.T[kj.arange(2), i],
    ],
)
def test_positions_out_of_range_are_refused(f, bad, engine):
    """A position the axis does not have is an error on both engines, never another element."""
    with pytest.raises((DataError, ShapeError), match=f"position {bad} is out of range for an axis of size 3"):
        kj.compile(f, engine=engine)(np.zeros((3, 2), np.float32), np.array([0, bad]))


def test_known_positions_are_checked_while_building():
    """A constant position out of range is refused where it is written."""
    with pytest.raises(ShapeError, match=r"position 7 is out of range .*\n  at test_indexing\.py"):
        kj.take(kj.placeholder((3,)), [0, 7])


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        (np.array([True, False, True]), GraphError, r"kj\.where\(mask, x, 0\)"),
        (1.5, DTypeError, "whole numbers"),
        ((Ellipsis, Ellipsis), GraphError, "only one"),
        ((0, slice(None), [0, 1], slice(None)), ShapeError, "too many indices"),
        (([0, 1], slice(None), [0, 1]), GraphError, "neighbouring axes"),
    ],
)
def test_indices_a_graph_cannot_have_are_refused(key, error, words):
    """Masks, fractions, two dots: with what to write instead."""
    with pytest.raises(error, match=words):
        kj.placeholder((3, 2, 2))[key]
