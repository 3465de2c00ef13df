"""Einstein's summation against NumPy's and PyTorch's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import ShapeError

SIZES = {"a": 2, "b": 3, "c": 4, "d": 2, "e": 5}
RNG = np.random.default_rng(4)


def drawn(term: str, dots: tuple[int, ...] = ()) -> np.ndarray:
    """Numbers for a tensor whose axes have these letters."""
    head, _, tail = term.partition("...")
    middle = dots if "..." in term else ()
    return RNG.normal(size=(*(SIZES[c] for c in head), *middle, *(SIZES[c] for c in tail)))


@pytest.mark.parametrize(
    "equation",
    [
        "ab->ba", "ab->", "ab->a", "ab->b", "aa->a", "aa", "abab->ab", "aab->b", "a,a->", "a,a->a", "a,b->ab", "ab,bc",
        "ab,bc->ac", "ab,bc->", "bac,bcd->bad", "abc,abd->cd", "ab,ab->ab", "ab,cd->dcba", "ab,bc,cd->ad", "a,ab,b->",
        "abc,cd,de,b->ea", "ba", "cab->abc", "aab,ad->bd", "...ab,...bc->...ac", "...a->...", "a...,a->...",
        "...,ab->...ba", "a...b->b...a", "...aa->...a", "a...,b...->ab...", "ab , bc -> ac",
    ],
)  # fmt: skip
def test_result_is_numpys(equation):
    """Transposes, traces, sums, products of two and more, with and without an arrow or an ellipsis."""
    terms = equation.replace(" ", "").split("->")[0].split(",")
    arrays = [drawn(t, (3, 2)) for t in terms]
    found = kj.einsum(equation, *[kj.tensor(x, dtype="float64") for x in arrays])
    expected = np.einsum(equation, *arrays)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=40)
@given(st.data())
def test_random_equations_are_numpys(data):
    """Up to three tensors of up to three letters each, any letters of them in the result."""
    terms = data.draw(st.lists(st.text("abcd", min_size=1, max_size=3), min_size=1, max_size=3))
    letters = sorted({c for t in terms for c in t})
    result = "".join(data.draw(st.permutations(letters))[: data.draw(st.integers(0, len(letters)))])
    equation = f"{','.join(terms)}->{result}"
    arrays = [drawn(t) for t in terms]
    found = kj.einsum(equation, *[kj.tensor(x, dtype="float64") for x in arrays]).numpy()
    np.testing.assert_allclose(found, np.einsum(equation, *arrays), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("equation", ["ab,bc,cd->ad", "aab,ad->bd", "...ab,...bc->...ac", "ab,ab->a", "aa->"])
def test_gradients_are_pytorchs(equation):
    """To every tensor, in float64."""
    arrays = [drawn(t, (3,)) for t in equation.split("->")[0].split(",")]
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    torch.einsum(equation, *theirs).square().sum().backward()
    mine = [kj.tensor(x, dtype="float64") for x in arrays]
    y = kj.einsum(equation, *mine)
    for found, t in zip(kj.grad((y * y).sum(), mine), theirs, strict=True):
        np.testing.assert_allclose(found.numpy(), t.grad.numpy(), rtol=1e-11, atol=1e-12)


def test_axes_of_size_one_stretch():
    """Behind an ellipsis, and under a letter, as in NumPy."""
    a, b = RNG.normal(size=(1, 2, 3)), RNG.normal(size=(4, 3, 2))
    found = kj.einsum("...ab,...bc->...ac", kj.tensor(a, dtype="float64"), kj.tensor(b, dtype="float64")).numpy()
    np.testing.assert_allclose(found, np.einsum("...ab,...bc->...ac", a, b), rtol=1e-12)
    c, d = RNG.normal(size=(1, 3)), RNG.normal(size=(4, 3))
    found = kj.einsum("ab,ab->a", kj.tensor(c, dtype="float64"), kj.tensor(d, dtype="float64")).numpy()
    np.testing.assert_allclose(found, (c * d).sum(1), rtol=1e-12)


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ab,bc->ac", [(2, 3)], "is for 2 tensors, got 1"),
        ("ab->ba", [(2, 3, 4)], "'ab' in 'ab->ba' does not fit a tensor of shape"),
        ("ab,bc->ac", [(2, 3), (4, 5)], "'b' .* is 3 in one place and 4 in another"),
        ("ab->abz", [(2, 3)], "must name letters of the left side"),
        ("ab->aa", [(2, 3)], "once each"),
        ("a1->a", [(2, 3)], "letters and one '...' only"),
    ],
)
def test_errors_name_the_term(equation, shapes, message):
    """What does not fit is said with the letters of the equation."""
    with pytest.raises(ShapeError, match=message):
        kj.einsum(equation, *[kj.ones(s) for s in shapes])
