"""Shape arithmetic against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kedja.errors import ShapeError
from kedja.graph.shapes import as_axes, broadcast, matmul_shape, reshaped

SIDES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@settings(max_examples=200)
@given(SIDES, SIDES)
def test_matmul_shape_is_numpys(a, b):
    """Every pair of shapes is accepted or refused as np.matmul does."""
    try:
        expected = np.matmul(np.zeros(a), np.zeros(b)).shape
    except ValueError:
        with pytest.raises(ShapeError):
            matmul_shape(a, b)
    else:
        assert matmul_shape(a, b) == expected


@settings(max_examples=200)
@given(SIDES, st.lists(st.integers(-1, 6), max_size=4).map(tuple))
def test_reshaped_is_numpys(shape, target):
    """-1 is worked out, and refused, as np.reshape does."""
    try:
        expected = np.zeros(shape).reshape(target).shape
    except ValueError:
        with pytest.raises(ShapeError):
            reshaped(shape, target)
    else:
        assert reshaped(shape, target) == expected


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0))
def test_broadcast_of_three_is_numpys(shapes):
    """Three shapes at once, as for where."""
    assert broadcast(shapes.input_shapes) == shapes.result_shape


@pytest.mark.parametrize("axis", [(0, 0), (1, -1)])
def test_an_axis_named_twice_is_refused(axis):
    """(1, −1) of a matrix is one axis."""
    with pytest.raises(ShapeError, match="twice"):
        as_axes(axis, 2)
