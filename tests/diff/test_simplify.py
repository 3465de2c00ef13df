"""Simplifying changes how a graph is computed, never a bit of what comes out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.engines import run_graph
from kedja.graph.node import ancestors
from oracles.random_graphs import STEP, built

SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan, 1e-310, 1e300]


def x() -> kj.Tensor:
    """A parameter named x."""
    return kj.Parameter([1.5, -2.0], name="x")


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the last bit, the sign of zero included; any NaN is a NaN."""
    nan = np.isnan(a) & np.isnan(b)
    return bool((nan | (a.view(np.int64) == b.view(np.int64))).all())


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=14), st.lists(st.sampled_from(SPECIAL), min_size=12, max_size=12))
def test_bits_are_the_same_before_and_after(steps, numbers):
    """Random graphs on awkward numbers keep every bit."""
    inputs = [kj.placeholder((2, 3), "float64"), kj.placeholder((2, 3), "float64")]
    arrays = list(np.array(numbers).reshape(2, 2, 3))
    y = built(steps, inputs)
    before, after = run_graph(kj.Graph(inputs, [y, kj.simplify(y)]), arrays)
    assert same_bits(np.array(before), np.array(after))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=10))
def test_simplified_graph_is_never_larger(steps):
    """What comes out computes at most as many nodes (numbers are not counted: x + x becomes 2 · x)."""
    y = built(steps, [kj.placeholder((2, 3), "float64")])
    before, after = (sum(1 for n in ancestors([z]) if n.inputs) for z in (y, kj.simplify(y)))
    assert after <= before


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=8))
def test_derivative_of_the_simplified_graph_is_the_same(steps):
    """Simplify, then differentiate; or the other way round: the same numbers."""
    p = kj.placeholder((2, 3), "float64")
    y = built(steps, [p])
    value = np.array([[0.3, -0.7, 1.1], [0.9, -1.3, 0.5]])
    one, two = (kj.grad(z.sum(), p) for z in (y, kj.simplify(y)))
    np.testing.assert_allclose(*run_graph(kj.Graph([p], [one, two]), [value]), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("build", "written"),
    [
        (lambda x: x * 1.0, "x"),
        (lambda x: 1.0 * x, "x"),
        (lambda x: x - 0.0, "x"),
        (lambda x: x / 1.0, "x"),
        (lambda x: kj.negative(-x), "x"),
        (lambda x: x + -0.0, "x"),
        (lambda x: x + x, "2 * x"),
        (lambda x: (-x) * (-x), "x * x"),
        (lambda x: x - (-x), "2 * x"),
        (lambda x: x + 0.0, "x + 0"),  # −0 + 0 is +0
        (lambda x: x * 0.0, "0 * x"),  # ∞ · 0 is not a number
        (lambda x: 0.0 / x, "0 / x"),
        (lambda x: (x + 1.0) - 1.0, "x + 1 - 1"),  # large x would lose its last digits
    ],
)
def test_only_safe_rewrites(build, written):
    """×1, double negation and x − 0 go; what would change a bit stays."""
    assert kj.simplify(build(x())).text() == written


def test_numbers_are_folded():
    """3 · 4 written in an expression is 12."""
    number = kj.multiply(3.0, 4.0)
    assert kj.simplify(x() * number).text() == "12 * x"


def test_a_constant_one_can_differentiate_by_is_not_folded():
    """A tensor made with kj.tensor stays, so that simplifying cannot lose a derivative."""
    a = kj.tensor(2.0, name="a")
    assert kj.grad(kj.simplify(a * a * a), a).item() == 12.0


def test_equal_parts_become_one():
    """sin x + sin x, written twice, is computed once."""
    p = x()
    first, second = kj.simplify(kj.sin(p) * kj.sin(p)).inputs
    assert first is second


def test_random_nodes_are_never_merged():
    """Two draws from one key stay two nodes, each its own draw."""
    key = kj.random.key(3)
    a, b = kj.random.bits(key, (4,)), kj.random.bits(key, (4,))
    both = kj.simplify(kj.equal(a, b))
    assert both.inputs[0] is not both.inputs[1]


def test_names_survive():
    """A node the user has named keeps its name."""
    y = kj.sin(x()) * 1.0
    y.name = "wave"
    assert kj.simplify(y + 1.0).inputs[0].name == "wave"
