"""The forms of an explanation: text, rich, Markdown, LaTeX, HTML with MathML, JSON; and other languages."""

import gettext
import io
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError
from kedja.explain import words
from kedja.explain.backpropagation.walkthrough import Walkthrough
from kedja.explain.show.blocks import Line
from kedja.explain.show.figures import Figures
from kedja.explain.show.naming import Symbol, symbol_of

RNG = np.random.default_rng(1)
LAYERS = {
    "dense": (lambda: [kj.nn.Dense(3, "sigmoid"), kj.nn.Dense(2, "softmax")], "cross_entropy"),
    "dropout": (lambda: [kj.nn.Dense(3, "relu"), kj.nn.Dropout(0.5), kj.nn.Dense(2)], "huber"),
    "norm": (lambda: [kj.nn.Dense(3, "gelu"), kj.nn.LayerNorm(), kj.nn.Dense(2, "tanh")], "mae"),
    "conv": (lambda: [kj.nn.Reshape((4, 1)), kj.nn.Conv1D(2, 2), kj.nn.MaxPool1D(2), kj.nn.Flatten(), kj.nn.Dense(2)],
             "mse"),
    "recurrent": (lambda: [kj.nn.Reshape((2, 2)), kj.nn.LSTM(2), kj.nn.Dense(2, "sigmoid")], "sse"),
}  # fmt: skip


def walk_of(kind: str, **how) -> Walkthrough:
    """A walkthrough of two examples."""
    layers, loss = LAYERS[kind]
    model = kj.Sequential(layers()).build((None, 4), seed=0)
    x, t = RNG.normal(size=(2, 4)), np.array([[0.0, 1.0], [1.0, 0.0]])
    return kj.explain.backprop(model, x, t, loss=loss, optimizer="momentum", **how)


@pytest.fixture(params=[(k, level) for k in LAYERS for level in ("layer", "op")], ids=lambda p: "-".join(p))
def walk(request) -> Walkthrough:
    """Walkthroughs of models of many kinds, by layer and by op."""
    return walk_of(request.param[0], level=request.param[1])


def test_html_is_well_formed_and_loads_nothing(walk):
    """Every formula is MathML that parses, no command is left over, and nothing is fetched."""
    page = walk.html()
    formulas = re.findall(r"<math.*?</math>", page)
    assert len(formulas) > 10
    assert not any("\\" in "".join(ElementTree.fromstring(f).itertext()) for f in formulas)
    assert not re.search(r"<script|src=|href=|@import|url\(", page)


def test_tex_is_balanced(walk):
    """Braces, brackets and environments of the LaTeX open and close in order."""
    stack = []
    for token in re.findall(
        r"\\begin\{\w+\*?\}|\\end\{\w+\*?\}|\\left(?![a-z])|\\right(?![a-z])|\\\[|\\\]|(?<!\\)[{}]", walk.tex()
    ):
        if token in (r"\left", "{", r"\[") or token.startswith(r"\begin"):
            stack.append(token)
        else:
            opened = stack.pop()
            pairs = {r"\right": r"\left", "}": "{", r"\]": r"\["}
            assert opened == pairs.get(token, token.replace("end", "begin"))
    assert stack == []


def test_tex_has_no_sign_that_latex_lacks(walk):
    """Outside of comments, LaTeX gets ASCII and letters, never a mathematical sign as a character."""
    odd = {c for c in walk.tex() if ord(c) > 127 and not c.isalpha()}
    assert odd == set()


def test_json_survives(walk):
    """Plain data all the way down, with every line of the text."""
    data = json.loads(json.dumps(walk.to_dict()))
    assert [line["name"]["text"] for line in data["forward"]] == [line.name.text for line in walk.forward]
    assert data["loss"]["change"] == pytest.approx(data["loss"]["after"] - data["loss"]["before"])


def test_markdown_sets_every_equation(walk):
    """Each line is one displayed formula."""
    lines = len(walk.forward) + len(walk.backward) + len(walk.update)
    assert walk.markdown().count("$$\n\\begin{aligned}") == lines


def test_rich_shows_the_same_words():
    """A rich console prints what str() has."""
    rich = pytest.importorskip("rich.console")
    page, out = kj.explain.example("1.7"), io.StringIO()
    rich.Console(file=out, width=200, color_system=None).print(page)
    assert out.getvalue().split() == str(page).split()


def test_rich_is_not_needed():
    """Text, Markdown, LaTeX and HTML load no rich."""
    import subprocess
    import sys
    from pathlib import Path

    code = "import sys, kedja as kj; p = kj.explain.example('9.1'); str(p), p.markdown(), p.tex(), p.html(); "
    code += "print('rich' in sys.modules, 'jax' in sys.modules, 'matplotlib' in sys.modules)"
    source = str(Path(kj.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": source})
    assert done.stdout.split() == ["False"] * 3, done.stderr


@pytest.mark.parametrize(
    ("value", "digits", "text", "tex"),
    [
        (0.123456, 4, "0.1235", "0.1235"),
        (2.0, 4, "2", "2"),
        (-0.5, 4, "-0.5", "-0.5"),
        (0.00247262, 4, "0.0025", "0.0025"),
        (0.00002472, 4, "2.472e-05", r"2.472 \cdot 10^{-5}"),
        (0.0005, 4, "0.0005", "0.0005"),
        (1.5e9, 4, "1.5e+09", r"1.5 \cdot 10^{9}"),
        (np.inf, 4, "∞", r"\infty"),
        (-np.inf, 4, "-∞", r"-\infty"),
        (np.nan, 4, "nan", r"\text{nan}"),
        (-0.0, 4, "0", "0"),
        (True, 4, "1", "1"),
        (np.float32(0.1), 4, "0.1", "0.1"),
    ],
)
def test_numbers(value, digits, text, tex):
    """Digits after the point; powers of ten where those would say nothing."""
    figures = Figures(digits)
    assert (figures.number(value)[0], figures.number(value, "tex")[0]) == (text, tex)


@pytest.mark.parametrize(
    ("value", "transposed", "text"),
    [
        ([1.0, 2.0], False, "(1, 2)"), ([[1.0, 2.0]], False, "(1, 2)"), ([[1.0], [2.0]], True, "(1, 2)"),
        ([[1.0, 2.0], [3.0, 4.0]], False, "[[1, 2], [3, 4]]"), ([[1.0, 2.0], [3.0, 4.0]], True, "[[1, 3], [2, 4]]"),
        ([[[5.0]]], False, "5"), ([[7.0]], False, "7"),
    ],
)  # fmt: skip
def test_arrays(value, transposed, text):
    """Rows as (a, b), matrices as [[a, b], [c, d]], turned over for w[out, in]; single numbers bare."""
    assert Figures(transposed=transposed).array(np.array(value))[0] == text


@pytest.mark.parametrize(
    ("symbol", "text", "tex"),
    [
        (Symbol("net", "2"), "net⁽²⁾", r"\mathrm{net}^{(2)}"),
        (Symbol("W", "1").at((0, 11)), "w⁽¹⁾[1,12]", "w^{(1)}_{1,12}"),
        (Symbol("u", "", "3").at((0, 1)), "u₃,₁₂", "u_{3,12}"),
        (Symbol("β", "", "1"), "β₁", r"\beta_{1}"),
        (symbol_of("X_h").at((1,)), "X_h₂", "X_{h,2}"),
        (symbol_of("alpha"), "α", r"\alpha"),
        (symbol_of("W_ih"), "W_ih", r"W_{\mathrm{ih}}"),
    ],
)
def test_symbols(symbol, text, tex):
    """Layers stand above, numbers of names and elements below."""
    assert (symbol.text, symbol.tex) == (text, tex)


def test_a_refused_number_of_digits():
    """Digits are a whole number from 1 to 15."""
    with pytest.raises(DataError, match="digits is how many digits"):
        Figures(2.5)


def test_line_leaves_out_what_repeats():
    """A formula that is its own value is not written twice."""
    line = Line(Symbol("x").written, Symbol("y").written, Symbol("y").written, np.array(1.0))
    assert [row.text for row in line.rows(Figures())] == ["y", "1"]


def test_every_sentence_can_be_said_in_another_language(monkeypatch):
    """A catalogue reaches the titles, the rules and the conventions; formulas stay."""

    class Shouting(gettext.NullTranslations):
        def gettext(self, message: str) -> str:
            return re.sub(r"(\{\w+\})|(\w)", lambda m: m[1] or m[2].upper(), message)

        def ngettext(self, one: str, many: str, n: int) -> str:
            return self.gettext(one if n == 1 else many)

    plain = walk_of("norm")
    monkeypatch.setattr(words._now, "catalogue", Shouting())
    text = str(walk_of("norm"))
    kept = re.compile(r"[a-z]{4,}")
    formulas = {w for line in (*plain.forward, *plain.backward) for w in kept.findall(line.name.text)}
    said = [row for row in text.splitlines() if re.match(r"[A-Z!]", row)]
    assert "ONE STEP OF TRAINING, WITH NUMBERS" in text and "FORWARD" in text and "FORETOLD" in text
    assert "EACH ROW OF THE LEFT TIMES EACH COLUMN OF THE RIGHT" in text and not formulas & {"forward"}
    assert [row for row in said[3:] if "the " in row] == []
