"""TeX to MathML for the TeX kedja writes: well formed, complete, nothing dropped."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import kedja as kj
from kedja.errors import FormatError
from kedja.explain.show.mathml import mathml
from kedja.graph.node import placeholder

RATIO = "<mfrac><mi>a</mi><mi>b</mi></mfrac>"


def elements(tex: str) -> str:
    """The MathML without its outer tag and attributes, parsed as XML on the way."""
    root = ElementTree.fromstring(mathml(tex))
    return re.sub(r' \w+="[^"]*"', "", "".join(ElementTree.tostring(child, "unicode") for child in root))


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        ("x^{2}", "<msup><mi>x</mi><mn>2</mn></msup>"),
        (r"w^{(1)}_{12}", "<msubsup><mi>w</mi><mn>12</mn><mrow><mo>(</mo><mn>1</mn><mo>)</mo></mrow></msubsup>"),
        (r"\frac{a}{b}", RATIO),
        (r"\sqrt{2.5}", "<msqrt><mn>2.5</mn></msqrt>"),
        (r"\text{a\_b  c}", "<mtext>a_b  c</mtext>"),
        (r"\hat{y}", "<mover><mi>y</mi><mo>^</mo></mover>"),
        ("a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        (r"\Phi \sim \varphi", "<mi>Φ</mi><mo>∼</mo><mi>φ</mi>"),
        ("-a - -b", "<mo>−</mo><mi>a</mi><mo>−</mo><mo>−</mo><mi>b</mi>"),
        (
            r"\frac{a}{b}^2",
            "<msup><mrow><mo>(</mo><mfrac><mi>a</mi><mi>b</mi></mfrac><mo>)</mo></mrow><mn>2</mn></msup>",
        ),
        (r"\ln x", "<mi>ln</mi><mspace /><mi>x</mi>"),
        (r"\ln(x)", "<mi>ln</mi><mo>(</mo><mi>x</mi><mo>)</mo>"),
    ],
)
def test_formula_is_these_elements(tex, expected):
    """Each construct has its element."""
    assert elements(tex) == expected


@pytest.mark.parametrize(("tex", "place"), [(r"\unknown", 1), (r"x + \frac{1}{\mathfrak{x}}", 14), (r"a\Re", 2)])
def test_unknown_command_is_refused_at_its_place(tex, place):
    """Half a formula is not shown: the error names the command and the character where it begins."""
    with pytest.raises(FormatError, match=rf"this TeX has \\[A-Za-z]+ at character {place}, which is not known"):
        mathml(tex)


@pytest.mark.parametrize(
    ("tex", "starts"),
    [
        ("-a", [True]), ("a - b", [False]), (r"a \cdot -b", [True]), (r"\left(-a\right) - b", [True, False]),
        (r"\begin{pmatrix} -1 \end{pmatrix} - x", [True, False]),
        (r"\theta - \varepsilon", [False]), ("|-x| - 1", [True, False]), (r"\lfloor x \rfloor - 1", [False]),
        (r"\begin{cases} -1 & x < -2 \\ - x & x - 1 \end{cases}", [True, True, True, False]),
    ],
)  # fmt: skip
def test_minus_that_begins_stands_close(tex, starts):
    """A minus before a thing is told from one between two things."""
    found = [m for m in ElementTree.fromstring(mathml(tex)).iter("mo") if m.text == "−"]
    assert [m.get("form") == "prefix" for m in found] == starts


def test_matrix_is_a_table():
    """Rows and cells of a matrix between brackets."""
    tree = ElementTree.fromstring(mathml(r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"))
    assert [[c.find("mn").text for c in row] for row in tree.iter("mtr")] == [["1", "2"], ["3", "4"]]


OPS = [name for name in sorted(kj.ops.OPS) if name not in ("custom", "item", "map", "scan")]


@pytest.mark.parametrize("name", OPS)
def test_every_op_is_set(name):
    """The TeX of every op, on its own samples, becomes well-formed MathML without an unknown command."""
    op = kj.ops.OPS[name]
    sample = next(iter(op.samples(np.random.default_rng(0))))
    inputs = [placeholder(np.shape(a), np.asarray(a).dtype, "abcd"[i]) for i, a in enumerate(sample.args)]
    text = "".join(ElementTree.fromstring(mathml(op(*inputs, **sample.attrs).tex())).itertext())
    assert "\\" not in text and all(letter in text for letter, _ in zip("abcd", inputs, strict=False))


@pytest.mark.parametrize("tex", [r"\frac{a}", r"\left(a", "{a", "a}", r"\begin{pmatrix} 1"])
def test_broken_tex_is_refused(tex):
    """What is not closed is an error and not half a formula."""
    with pytest.raises(FormatError, match="this TeX"):
        mathml(tex)
