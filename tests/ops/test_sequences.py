"""kj.convolve and kj.correlate against NumPy and SciPy, in every mode and for sizes drawn at random; the refusals."""

import tracemalloc

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import DTypeError, ShapeError, UnknownNameError
from kedja.ops import sequences

MODES = ("full", "same", "valid")
BOTH = [
    pytest.param(kj.convolve, np.convolve, scipy.signal.convolve, id="convolve"),
    pytest.param(kj.correlate, np.correlate, scipy.signal.correlate, id="correlate"),
]
LENGTHS = st.integers(1, 9) | st.integers(sequences.LONG - 1, 3 * sequences.LONG)


@pytest.mark.parametrize(("ours", "theirs", "_"), BOTH)
@settings(max_examples=60, deadline=None)
@given(n=LENGTHS, m=LENGTHS, mode=st.sampled_from(MODES), seed=st.integers(0, 99))
def test_sequences_are_numpy_s(ours, theirs, _, n, m, mode, seed):
    """Of two sequences, short or long, NumPy gives the same numbers in the same places."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=m)
    found = ours(kj.tensor(a, dtype="float64"), b, mode).numpy()
    expected = theirs(a, b, mode)
    assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-11


SHAPES = st.integers(2, 3).flatmap(
    lambda rank: st.tuples(*[st.lists(st.integers(1, 5), min_size=rank, max_size=rank).map(tuple)] * 2)
)


@pytest.mark.parametrize(("ours", "_", "theirs"), BOTH)
@settings(max_examples=60, deadline=None)
@given(shapes=SHAPES, mode=st.sampled_from(MODES), seed=st.integers(0, 99))
def test_arrays_are_scipy_s(ours, _, theirs, shapes, mode, seed):
    """Of arrays with several axes SciPy gives the same, and refuses the same shapes."""
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=s) for s in shapes)
    longer = np.array(shapes[0]) - np.array(shapes[1])
    if mode == "valid" and longer.min() < 0 < longer.max():
        with pytest.raises(ValueError):
            theirs(a, b, mode, method="direct")
        with pytest.raises(ShapeError, match="fit into the other"):
            ours(a, b, mode)
        return
    found = ours(kj.tensor(a, dtype="float64"), b, mode).numpy()
    expected = theirs(a, b, mode, method="direct")
    assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-11


@pytest.mark.parametrize(("ours", "theirs", "_"), BOTH)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sizes", [(7, 3), (2, 6), (80, 70)])
def test_gradients_equal_perturbation(ours, theirs, _, mode, sizes):
    """Both inputs' gradients agree with moving each number by ±h, below and above the length that is cut in blocks."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=n) for n in sizes)
    weights = np.cos(np.arange(theirs(a, b, mode).size))
    with kj.default_dtype("float64"):
        report = kj.check_gradients(lambda a, b: (kj.tanh(ours(a, b, mode)) * weights).sum(), a, b)
    assert report.passed, report


@pytest.mark.parametrize(("ours", "theirs", "_"), BOTH)
@pytest.mark.parametrize("sizes", [(30, 7), (7, 30), (150, 90)])
def test_both_engines_give_the_same(ours, theirs, _, sizes):
    """Compiled for XLA the float32 numbers are NumPy's to rounding."""
    rng = np.random.default_rng(1)
    a, b = (rng.normal(size=n).astype(np.float32) for n in sizes)
    for mode in ("full", "same"):
        found = kj.compile(lambda a, b, mode=mode: ours(a, b, mode), engine="xla")(a, b).numpy()
        expected = theirs(a.astype(float), b.astype(float), mode)
        assert found.dtype == np.float32 and np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()


def test_memory_does_not_grow_with_the_product_of_the_lengths():
    """Two sequences of 4,000 numbers take a few megabytes, not the 128 of every number beside every other."""
    a, b = np.random.default_rng(2).normal(size=(2, 4000)).astype(np.float32)
    tracemalloc.start()
    found = kj.convolve(a, b).numpy()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expected = np.convolve(a.astype(float), b)
    assert peak < 40e6 and np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize("length", [3, 100])
def test_integers_stay_integers(length):
    """Two integer sequences give exact integers, also beyond what a float can count."""
    a = np.arange(length) + 10**8
    for ours, theirs in ((kj.convolve, np.convolve), (kj.correlate, np.correlate)):
        found = ours(a, a).numpy()
        assert found.dtype == np.int64 and (found == theirs(a, a, "full")).all()


def test_convolution_flips_and_correlation_does_not():
    """A single 1 brings back the other sequence as it is by convolution, backwards by correlation."""
    assert kj.convolve([0.0, 1.0, 0.0], [1.0, 2.0, 3.0], "same").tolist() == [1.0, 2.0, 3.0]
    assert kj.correlate([0.0, 1.0, 0.0], [1.0, 2.0, 3.0], "same").tolist() == [3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("a", "b", "mode", "kind", "message"),
    [
        ([1.0], [], "full", ShapeError, r"convolve: the second input is empty, its shape is \(0,\)"),
        (np.zeros((2, 0)), np.ones((1, 1)), "full", ShapeError, "convolve: the first input is empty"),
        ([[1.0]], [1.0], "full", ShapeError, r"same number of axes, got shapes \(1, 1\) and \(1,\)"),
        (2.0, 3.0, "full", ShapeError, "got two numbers: multiply them"),
        ([1.0], [1.0], "ful", UnknownNameError, "Did you mean 'full'"),
        ([1.0], [1.0], 0, UnknownNameError, "Known: full, same, valid"),
        (np.ones(3, np.float32), np.ones(2, np.int32), "full", DTypeError, "convolve: "),
        (np.ones(3, bool), np.ones(2, bool), "full", DTypeError, "needs numeric tensors"),
        (np.ones(3, complex), np.ones(2), "full", DTypeError, "complex"),
        (np.ones((2, 3)), np.ones((3, 2)), "valid", ShapeError, 'Use mode="full" or "same"'),
    ],
)
def test_what_cannot_be_convolved_is_refused(a, b, mode, kind, message):
    """Empty inputs, other ranks, unknown modes and mixed types are refused with the reason."""
    with pytest.raises(kind, match=message):
        kj.convolve(a, b, mode)
