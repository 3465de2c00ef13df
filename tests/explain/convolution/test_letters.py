"""Convolution in letters: the example of the notes, and the formulas with numbers put in against PyTorch and SciPy."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import DataError, KedjaError, ShapeError, UnknownNameError

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))


def test_the_example_of_the_notes():
    """3×4 letters a…l under (w, x; y, z): the first output is aw + bx + ey + fz (scope 2.5)."""
    found = kj.explain.conv_formulas("abcd efgh ijkl", "wx yz")
    assert found.shape == (2, 3)
    assert found[0, 0] == "aw + bx + ey + fz"
    assert found[1] == ["ew + fx + iy + jz", "fw + gx + jy + kz", "gw + hx + ky + lz"]
    assert found.to_dict()["y"][0][2] == "cw + dx + gy + hz"


def numbered(formulas, x, kernel):
    """The formulas with a number for every letter, and these numbers."""
    rng = np.random.default_rng(0)
    values = {name: rng.normal() for name in (*x.ravel(), *kernel.ravel())}
    numbers = (np.vectorize(values.get)(names) for names in (x, kernel))
    found = [sum(values[a] * values[b] for a, b in terms) for terms in formulas.terms.ravel()]
    return np.reshape(found, formulas.shape), *numbers


@settings(max_examples=50, deadline=None)
@given(
    n=st.tuples(st.integers(1, 5), st.integers(1, 6)), k=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3), padding=st.integers(0, 2), dilation=st.integers(1, 2), flip=st.booleans(),
)  # fmt: skip
def test_formulas_are_what_pytorch_computes(n, k, stride, padding, dilation, flip):
    """For any geometry the letters mean what PyTorch computes; a flip means a flipped kernel."""
    x, kernel = LETTERS[: n[0] * n[1]].reshape(n), LETTERS[-k[0] * k[1] :].reshape(k)
    if any(a + 2 * padding < dilation * (b - 1) + 1 for a, b in zip(n, k)):
        with pytest.raises(ShapeError, match="does not fit"):
            kj.explain.conv_formulas(x, kernel, stride, padding, dilation)
        return
    formulas = kj.explain.conv_formulas(x, kernel, stride, padding, dilation, flip=flip)
    found, a, b = numbered(formulas, x, kernel)
    weights = torch.tensor(np.flip(b).copy() if flip else b)[None, None]
    expected = torch.conv2d(torch.tensor(a)[None, None], weights, None, stride, padding, dilation)
    assert np.abs(found - expected[0, 0].numpy()).max() < 1e-12


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_flipped_it_is_convolution(rank):
    """With flip=True and "full" padding the letters are SciPy's convolution, in one, two and three dimensions."""
    x, kernel = LETTERS[: 2**rank].reshape((2,) * rank), LETTERS[-(2**rank) :].reshape((2,) * rank)
    found, a, b = numbered(kj.explain.conv_formulas(x, kernel, padding=1, flip=True), x, kernel)
    assert np.abs(found - scipy.signal.convolve(a, b, method="direct")).max() < 1e-12


def test_ways_to_show_it():
    """Text in columns, a Markdown table, a TeX matrix and HTML hold the same formulas; nothing from padding is 0."""
    found = kj.explain.conv_formulas([["x1", "x2", "x3"]], [["a", "b"]], padding=((0, 0), (2, 0)))
    assert str(found) == "0   x1·b   x1·a + x2·b   x2·a + x3·b"
    assert found.markdown().splitlines()[2] == "| 0 | x1·b | x1·a + x2·b | x2·a + x3·b |"
    assert found.tex() == r"\begin{pmatrix} 0 & x_{1} b & x_{1} a + x_{2} b & x_{2} a + x_{3} b \end{pmatrix}"
    assert ">x1·a + x2·b</td>" in found._repr_html_()
    assert str(kj.explain.conv_formulas([["ab"], ["cd"]][0][0], "w")) == "aw   bw"


@pytest.mark.parametrize(
    ("x", "kernel", "more", "kind", "message"),
    [
        ("abc de", "w", {}, DataError, "x is letters in rows of one length"),
        ("", "w", {}, DataError, "x is letters"),
        ("abc", [[1, 2]], {}, DataError, r"kernel is letters .* got \[\[1, 2\]\]"),
        ("abc", None, {}, DataError, "kernel is letters"),
        ("abc", "wx yz", {}, ShapeError, "x has 1 axes and the kernel 2"),
        ("ab", "wxy", {}, ShapeError, "does not fit"),
        ("abc", "w", {"padding": "sam"}, UnknownNameError, "Did you mean 'same'"),
        ("abc", "w", {"stride": 0}, ShapeError, "stride must be at least 1"),
        ("a" * 30_000, "w", {}, DataError, "too much to read"),
    ],
)
def test_what_is_no_letters_is_refused(x, kernel, more, kind, message):
    """Ragged rows, numbers, other ranks and kernels that do not fit are refused with the reason."""
    with pytest.raises(kind, match=message) as error:
        kj.explain.conv_formulas(x, kernel, **more)
    assert isinstance(error.value, KedjaError)
