"""Formulas: only the parentheses that are needed, names, and shared parts written once."""

import numpy as np
import pytest

import kedja as kj

A, B, C = (kj.Parameter(2.0, name=n) for n in "abc")
W = kj.Parameter(np.ones((2, 2)), name="W_h")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (A + B * C, "a + b * c"),
        ((A + B) * C, "(a + b) * c"),
        (A - (B - C), "a - (b - c)"),
        (A - B - C, "a - b - c"),
        (A / (B * C), "a / (b * c)"),
        (A / B * C, "a / b * c"),
        (-(A + B), "-(a + b)"),
        ((-A) ** 2, "(-a)**2"),
        (-(A**2), "-a**2"),
        (A**B**C, "a ** (b ** c)"),
        ((A + B) ** 3, "(a + b) ** 3"),
        (kj.sin(A + B), "sin(a + b)"),
        (A * -2.0, "a * (-2)"),
        ((A > B) & (B > C), "(a > b) & (b > c)"),
        (kj.where(A > 0, A, 0.01 * A), "where(a > 0, a, 0.01 * a)"),
        (A * 1e-8 + 1e20, "a * 1e-08 + 1e+20"),
    ],
)
def test_text_has_the_parentheses_it_needs(node, text):
    """And no others."""
    assert node.text() == text


@pytest.mark.parametrize("node", [A + B * C, (A + B) * C, A - (B - C), A / (B * C), (-A) ** 2, -(A**2), (A**B) ** C])
def test_text_means_what_the_graph_means(node):
    """Python, reading the text, computes the value of the node."""
    import ast
    import operator

    signs = {
        ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
        ast.Pow: operator.pow,
    }  # fmt: skip

    def value(tree):
        if isinstance(tree, ast.BinOp):
            return signs[type(tree.op)](value(tree.left), value(tree.right))
        if isinstance(tree, ast.UnaryOp):
            return -value(tree.operand)
        return 2.0 if isinstance(tree, ast.Name) else tree.value

    assert value(ast.parse(node.text(), mode="eval").body) == pytest.approx(node.item())


@pytest.mark.parametrize(
    ("node", "tex"),
    [
        (A / (B + C), r"\frac{a}{b + c}"),
        (kj.sqrt(A) ** B, r"\sqrt{a}^{b}"),
        ((A + B) ** 2, r"\left(a + b\right)^{2}"),
        (kj.sin(A * B), r"\sin \left(a \, b\right)"),
        (W @ W.T, r"W_{h} \, W_{h}^{T}"),
        (kj.Parameter(1.0, name="theta1") + 1e-8, r"\theta_{1} + 1 \cdot 10^{-8}"),
        (kj.Parameter(1.0, name="dense/kernel_2") * 1.0, r"\text{dense/kernel\_2} \, 1"),
        (A + np.inf, r"a + \infty"),
    ],
)
def test_tex_reads_as_in_a_book(node, tex):
    """Fractions, roots, subscripts, Greek letters, powers of ten."""
    assert node.tex() == tex


def test_long_shared_parts_are_written_once():
    """A formula does not double with every reuse: 30 squarings stay short."""
    y = kj.sin(A) + kj.cos(B)
    for _ in range(30):
        y = y * y + 1.0
    assert len(y.text()) < 6000 and "where" in y.text()


def test_named_nodes_are_explained_after_the_formula():
    """z = w·x, as a person would write it."""
    z = A * B
    z.name = "z"
    assert (kj.sigmoid(z)).text() == "sigmoid(z)  where z = a * b"
