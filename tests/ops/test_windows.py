"""The size arithmetic of sliding windows, held against Keras and PyTorch, and what it says when sizes do not fit."""

import keras
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import ShapeError
from kedja.ops.windows import count, resolve


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.integers(0, 4), st.integers(1, 3))
def test_number_of_windows_is_pytorchs(n, size, stride, padding, dilation):
    """The count along an axis is the length of what PyTorch computes, and an error where PyTorch refuses."""
    function = torch.nn.functional.conv1d
    x, w = torch.zeros(1, 1, n), torch.zeros(1, 1, size)
    try:
        expected = function(x, w, stride=stride, padding=padding, dilation=dilation).shape[-1]
    except RuntimeError:
        with pytest.raises(ShapeError, match="does not fit"):
            kj.output_size(n, size, stride, padding, dilation)
    else:
        assert kj.output_size(n, size, stride, padding, dilation) == expected


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("n", [5, 6, 7])
def test_same_padding_is_keras(n, size, stride):
    """As in TensorFlow and Keras there are ⌈n / stride⌉ windows, and an odd zero stands at the end."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, n, 1)).astype("float32"), rng.normal(size=(size, 1, 1)).astype("float32")
    expected = np.asarray(keras.ops.conv(x, w, strides=stride, padding="same", data_format="channels_last"))
    np.testing.assert_allclose(kj.conv(x, w, stride=stride, padding="same").numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(
        kj.max_pool(x, size, stride, "same").numpy(),
        np.asarray(keras.ops.max_pool(x, size, stride, "same", data_format="channels_last")),
    )


def test_same_padding_looks_through_dilation():
    """A dilated kernel that reaches over five places needs four zeros."""
    assert resolve((9,), 3, padding="same", dilation=2)[2:4] == ((2,), (2,))
    assert count((9,), resolve((9,), 3, padding="same", dilation=2)) == (9,)


def test_sizes_of_a_deep_net_shrink_as_in_the_notes():
    """Width 6 kernels on 16 inputs: 16 → 11 → 6 → 1; with five zeros per layer it stays 16 (scope 2.5)."""
    sizes = [16]
    while sizes[-1] > 1:
        sizes.append(kj.output_size(sizes[-1], 6))
    assert sizes == [16, 11, 6, 1]
    assert str(sizes[-1]).splitlines() == ["16 − 6 + 1 = 11", "11 − 6 + 1 = 6", "6 − 6 + 1 = 1"]
    assert kj.output_size(16, 6, padding=(2, 3)) == kj.output_size(16, 6, padding="same") == 16
    assert str(kj.output_size(16, 6, padding=(2, 3))) == "16 + 2 + 3 − 6 + 1 = 16"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": 5, "stride": 2}, "⌊(28 − 5)/2⌋ + 1 = 12"),
        ({"size": 3, "dilation": 2}, "28 − 2·(3 − 1) = 24"),
        ({"size": 3, "stride": 3, "padding": 1, "dilation": 2}, "⌊(28 + 1 + 1 − 2·(3 − 1) − 1)/3⌋ + 1 = 9"),
    ],
)
def test_arithmetic_is_written_with_its_numbers(arguments, said):
    """What is printed is the formula that gave the number."""
    assert str(kj.output_size(28, **arguments)) == said


def test_size_is_a_number_like_any_other():
    """An output size serves as a shape, and prints as one."""
    n = kj.output_size(16, 6)
    assert kj.zeros((n, 2)).shape == (11, 2) and repr((n, 2)) == "(11, 2)" and n + 1 == 12


@pytest.mark.parametrize(
    ("padding", "low", "high"),
    [
        ("valid", (0, 0), (0, 0)),
        ("SAME", (1, 0), (1, 1)),
        (2, (2, 2), (2, 2)),
        ((1, 2), (1, 2), (1, 2)),
        (((1, 2), 3), (1, 3), (2, 3)),
        ([[0, 1], [2, 0]], (0, 2), (1, 0)),
    ],
)
def test_padding_is_said_in_many_ways(padding, low, high):
    """A word, a number, a number per axis, or (before, after) per axis."""
    found = resolve((7, 6), (3, 2), 1, padding)
    assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": 0}, "size of the kernel must be at least 1, got 0"),
        ({"size": (3, 3, 3)}, "has 3 numbers for 2 axes"),
        ({"size": 2.5}, "must be a whole number"),
        ({"size": 3, "stride": 0}, "stride must be at least 1, got 0"),
        ({"size": 3, "stride": (1, -1)}, "stride must be at least 1"),
        ({"size": 3, "dilation": 0}, "dilation must be at least 1"),
        ({"size": 3, "padding": -1}, "padding must be at least 0, got -1"),
        ({"size": 3, "padding": "sane"}, "Did you mean 'same'"),
        ({"size": 3, "padding": (1, 2, 3)}, "for each of the 2 axes"),
        ({"size": 3, "padding": ((1, 2, 3), 1)}, "for each of the 2 axes"),
        ({"size": 3, "padding": None}, "padding must be"),
    ],
)
def test_impossible_windows_are_refused(arguments, said):
    """Each refusal names the argument and what came."""
    with pytest.raises(ValueError, match=said):
        resolve((8, 8), **arguments)


@pytest.mark.parametrize(
    ("shape", "kernel", "arguments", "said"),
    [
        ((32, 4, 4, 16), (5, 5, 16, 8), {}, ["the 5×5 kernel does not fit the 4×4 input it got, (32, 4, 4, 16).",
                                             "Without padding the output would have 4 − 5 + 1 = 0 rows.",
                                             'Use padding="same"', "one pooling layer fewer", "conv: "]),
        ((1, 9, 4, 1), (5, 5, 1, 1), {"padding": (0, (0, 0))}, ["4 − 5 + 1 = 0 columns"]),
        ((1, 4, 1), (3, 1, 1), {"dilation": 2}, ["which its dilation spreads over size-5", "4 − 2·(3 − 1) = 0 steps"]),
        ((1, 2, 9, 9, 1), (5, 1, 1, 1, 1), {"padding": 1, "stride": 2},
         ["(padded to 4×11×11)", "Even with this padding", "⌊(2 + 1 + 1 − 5)/2⌋ + 1 = 0 planes"]),
    ],
)  # fmt: skip
def test_a_kernel_that_does_not_fit_is_explained(shape, kernel, arguments, said):
    """The message names the sizes, does the arithmetic, and says what would help."""
    with pytest.raises(ShapeError) as error:
        kj.conv(kj.zeros(shape), kj.zeros(kernel), **arguments)
    for part in said:
        assert part in str(error.value)
