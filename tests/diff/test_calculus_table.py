"""The table of derivatives and the rules of a first course (scope 1.3), against the textbook's right-hand sides."""

import math

import numpy as np
import pytest

import kedja as kj

POINTS = np.array([0.15, 0.4, 0.7, 0.95])
TABLE = [
    ("constant", lambda x: 0 * x + 5.0, lambda x: 0.0 * x),
    ("power", lambda x: x**7, lambda x: 7 * x**6),
    ("negative power", lambda x: x**-3, lambda x: -3 / x**4),
    ("fractional power", lambda x: x**1.5, lambda x: 1.5 * np.sqrt(x)),
    ("square", lambda x: x**2, lambda x: 2 * x),
    ("square root", kj.sqrt, lambda x: 1 / (2 * np.sqrt(x))),
    ("exponential", kj.exp, np.exp),
    ("a to the x", lambda x: 3**x, lambda x: 3**x * math.log(3)),
    ("natural logarithm", kj.log, lambda x: 1 / x),
    ("logarithm to base a", lambda x: kj.logarithm(x, 10), lambda x: 1 / (x * math.log(10))),
    ("sine", kj.sin, np.cos),
    ("cosine", kj.cos, lambda x: -np.sin(x)),
    ("tangent", kj.tan, lambda x: 1 / np.cos(x) ** 2),
    ("arcsine", kj.arcsin, lambda x: 1 / np.sqrt(1 - x**2)),
    ("arccosine", kj.arccos, lambda x: -1 / np.sqrt(1 - x**2)),
    ("arctangent", kj.arctan, lambda x: 1 / (1 + x**2)),
    ("constant multiple", lambda x: 4 * kj.sin(x), lambda x: 4 * np.cos(x)),
    ("sum", lambda x: kj.sin(x) + x**3, lambda x: np.cos(x) + 3 * x**2),
    ("difference", lambda x: kj.exp(x) - x**2, lambda x: np.exp(x) - 2 * x),
    ("product", lambda x: x**2 * kj.sin(x), lambda x: 2 * x * np.sin(x) + x**2 * np.cos(x)),
    ("quotient", lambda x: kj.sin(x) / x, lambda x: (np.cos(x) * x - np.sin(x)) / x**2),
    ("reciprocal", lambda x: 1 / (1 + x**2), lambda x: -2 * x / (1 + x**2) ** 2),
    ("chain", lambda x: kj.sin(kj.exp(x**2)), lambda x: np.cos(np.exp(x**2)) * np.exp(x**2) * 2 * x),
]
IDS = [row[0] for row in TABLE]


@pytest.mark.parametrize(("name", "f", "derivative"), TABLE, ids=IDS)
def test_gradient_is_the_textbook_derivative(name, f, derivative):
    """The right-hand side of the table, at a few points."""
    x = kj.tensor(POINTS, dtype="float64")
    np.testing.assert_allclose(kj.grad(f(x).sum(), x).numpy(), derivative(POINTS), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "f", "derivative"), TABLE, ids=IDS)
def test_forward_mode_is_the_textbook_derivative(name, f, derivative):
    """Forward mode follows from the same rules."""
    x = kj.tensor(POINTS, dtype="float64")
    np.testing.assert_allclose(kj.jvp(f(x), x, np.ones(4)).numpy(), derivative(POINTS), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "f", "derivative"), TABLE, ids=IDS)
def test_numeric_gradient_is_the_textbook_derivative(name, f, derivative):
    """kedja's own perturbation agrees with the table."""
    x = kj.tensor(POINTS, dtype="float64")
    np.testing.assert_allclose(kj.numeric_gradient(f(x).sum(), x), derivative(POINTS), rtol=1e-6, atol=1e-7)


X = kj.Parameter(0.5, name="x")
WRITTEN = [
    (lambda x: x**2, "2 * x", r"2 \, x"),
    (lambda x: x**3, "3 * x**2", r"3 \, x^{2}"),
    (kj.sqrt, "0.5 / sqrt(x)", r"\frac{0.5}{\sqrt{x}}"),
    (kj.exp, "exp(x)", "e^{x}"),
    (kj.log, "1 / x", r"\frac{1}{x}"),
    (kj.sin, "cos(x)", r"\cos x"),
    (kj.cos, "-sin(x)", r"-\sin x"),
    (kj.arctan, "1 / (1 + x * x)", r"\frac{1}{1 + x \, x}"),
    (kj.sigmoid, "sigmoid(x) * (1 - sigmoid(x))", r"\sigma\left(x\right) \, \left(1 - \sigma\left(x\right)\right)"),
    (lambda x: kj.sin(x * x), "2 * cos(x * x) * x", r"2 \, \cos \left(x \, x\right) \, x"),
    (lambda x: 3 * x, "3", "3"),
]


@pytest.mark.parametrize(("f", "text", "tex"), WRITTEN, ids=[row[1] for row in WRITTEN])
def test_derivative_reads_as_in_a_book(f, text, tex):
    """The derivative is a graph that prints as mathematics, in text and in TeX (scope 1.4)."""
    slope = kj.grad(f(X), X)
    assert (slope.text(), slope.tex()) == (text, tex)
