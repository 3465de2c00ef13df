"""The value of a node, asked for at once."""

import gc
import weakref

import numpy as np
import pytest

import kedja as kj


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("word", ["+", "-", "*", "/"])
def test_single_numbers_are_computed_to_the_bits_of_arrays(word, dtype):
    """Operators on single numbers round, overflow and divide by zero as NumPy does with arrays."""
    special = [0.0, -0.0, np.inf, -np.inf, 1e-7, 3e4, 1 / 3, -7.7]
    numbers = np.array([*special, *np.random.default_rng(0).normal(size=24)], dtype)
    functions = {"+": kj.add, "-": kj.subtract, "*": kj.multiply, "/": kj.divide}
    together = functions[word](kj.tensor(numbers, dtype=dtype), kj.tensor(numbers[::-1].copy(), dtype=dtype)).numpy()
    for a, b, expected in zip(numbers, numbers[::-1], together, strict=True):
        found = functions[word](kj.tensor(a, dtype=dtype), kj.tensor(b, dtype=dtype)).numpy()
        assert found.shape == () and found.dtype == dtype
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
        np.testing.assert_array_equal(found, expected)


def test_numbers_beside_a_tensor_keep_their_sign_of_zero():
    """Arrays of small literals are shared; 0 and −0 are equal and yet not the same."""
    x = kj.tensor(1.0)
    assert [(x / v).item() for v in (0.0, -0.0, 0.0)] == [np.inf, -np.inf, np.inf]
    assert [(x * v).dtype.name for v in (2, 2.0)] == ["float32", "float32"]
    assert (kj.tensor(1.0, dtype="float64") * 0.1).item() == 0.1


def test_a_graph_is_freed_when_it_is_let_go():
    """Gradients and their values leave nothing that waits for the garbage collector."""
    w = kj.Parameter(2.0)
    gc.disable()
    try:
        y = kj.tanh(w * w)
        slope = kj.grad(y, [w])[0]
        slope.numpy()
        alive = [weakref.ref(y), weakref.ref(slope)]
        del y, slope
        assert [one() for one in alive] == [None, None]
    finally:
        gc.enable()


def test_large_and_tiny_nodes_give_the_same_value():
    """Whether a graph is planned or run once over single numbers does not show."""
    w = kj.Parameter(0.5)
    tiny = (kj.tanh(w) * 3 - w) / 7
    large = kj.sum((kj.tanh(w) * 3 - w) / 7 + kj.zeros((100,))) / 100
    assert tiny.item() == pytest.approx(large.item(), rel=1e-6)
    w.assign(0.25)
    assert tiny.item() == pytest.approx((np.tanh(0.25) * 3 - 0.25) / 7, rel=1e-6)
