"""Derivatives by rules: every rule of the calculus table is a step, and SymPy gets the same function."""

import json
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import sympy
from hypothesis import given, settings

import kedja as kj
from explain.derivatives.typed import EXPRESSIONS
from kedja.errors import DataError
from kedja.explain.derivatives.expression import Name, Slope
from kedja.explain.derivatives.grammar import ExpressionError
from kedja.explain.derivatives.rules import FUNCTION_RULES, RULES

TABLE = [  # scope 1.3, and the rule each expression is there for
    ("7", "constant"),
    ("x^5", "power"),
    ("x^2", "square"),
    ("sqrt(x)", "sqrt"),
    ("exp(x)", "exp"),
    ("3^x", "exponential"),
    ("ln(x)", "ln"),
    ("log(x, 10)", "log"),
    ("sin(x)", "sin"),
    ("cos(x)", "cos"),
    ("tan(x)", "tan"),
    ("arcsin(x)", "arcsin"),
    ("arccos(x)", "arccos"),
    ("arctan(x)", "arctan"),
    ("4*sin(x)", "constant multiple"),
    ("sin(x)/4", "constant multiple"),
    ("-sin(x)", "constant multiple"),
    ("x^3 + sin(x)", "sum"),
    ("x^3 - sin(x)", "difference"),
    ("x^2*sin(x)", "product"),
    ("sin(x)/x", "quotient"),
    ("1/(x + 2)", "reciprocal"),
    ("sin(x^2)", "chain"),
    ("(3*x + 1)^4", "chain"),
    ("x^x", "general power"),
    ("e^x", "exp"),
    ("tanh(x)", "tanh"),
    ("x", "variable"),
    ("log(2, x)", "change of base"),
]


def slope_of(typed, x):
    """SymPy's derivative of the same text, at x."""
    free = sympy.Symbol("x")
    return complex(sympy.diff(sympy.sympify(typed), free).subs(free, x).evalf())


@pytest.mark.parametrize(("typed", "rule"), TABLE)
def test_every_rule_is_a_step_and_right(typed, rule):
    """The rule is named; graph, formula and perturbation give the slope SymPy gives."""
    d = kj.explain.derive(typed, wrt="x", at=0.6)
    assert rule in {key for step in d.steps for key, r in RULES.items() if r is step.rule}
    true = slope_of(typed.replace("^", "**").replace("arc", "a").replace("e**", "E**"), 0.6).real
    assert d.at.slope == pytest.approx(true, rel=1e-12, abs=1e-14)
    assert d.at.by_formula == pytest.approx(true, rel=1e-12, abs=1e-14)
    assert d.at.numeric == pytest.approx(true, rel=1e-7, abs=1e-8)
    assert d.checked >= 10 and d.worst < 1e-12 and not d.notes


@pytest.mark.parametrize("name", sorted(set(FUNCTION_RULES) - {"exp", "sqrt", "sign", "step"}))
def test_stated_derivative_of_every_function(name):
    """What the table of rules says of a function is what kedja's graph differentiates it to."""
    d = kj.explain.derive(f"{name}(x)")
    assert d.checked >= 10 and d.worst < 1e-12


@given(EXPRESSIONS)
@settings(max_examples=120, deadline=None)
def test_any_expression_against_sympy(typed):
    """Formula and graph agree with SymPy wherever all are finite and moderate."""
    d = kj.explain.derive(typed, wrt="x")
    free = {n: sympy.Symbol(n) for n in "xy"}
    theirs = sympy.diff(sympy.sympify(str(d.expression), locals=free), free["x"])
    for x, y in ((1.3, 0.7), (0.4, 2.1)):
        f, by_graph = d.slopes({n: {"x": np.array([x]), "y": np.array([y])}[n] for n in d.names})
        by_formula = float(d.result.at({"x": x, "y": y}))
        value = theirs.subs({"x": x, "y": y}).evalf()
        if not (np.isfinite(f[0]) and np.isfinite(by_graph[0]) and abs(by_graph[0]) < 1e8 and value.is_finite):
            continue
        if abs(complex(value).imag) < 1e-12:  # elsewhere SymPy has left the real numbers
            assert by_graph[0] == pytest.approx(complex(value).real, rel=1e-6, abs=1e-8)
            assert by_formula == pytest.approx(complex(value).real, rel=1e-6, abs=1e-8)


def worked(e):
    """The formula with what is still to be differentiated replaced by SymPy's derivative of it."""
    if isinstance(e, Slope):
        free = {n: sympy.Symbol(n) for n in [*e.of.names, e.by]}
        slope = sympy.diff(sympy.sympify(str(e.of), locals=free), free[e.by])
        return slope if e.inner is None else slope.subs(free[e.by], sympy.sympify(str(e.inner)))
    free = {f"slot{i}": worked(part) for i, part in enumerate(e.parts)}
    if not free:
        return sympy.sympify(str(e))
    held = e.with_parts(*(Name(name) for name in free))
    return sympy.sympify(str(held)).subs({sympy.Symbol(n): v for n, v in free.items()}, simultaneous=True)


@pytest.mark.parametrize(
    "typed", ["x^2*sin(x)/(x + 1)", "sin(cos(x^2))^3", "x^x + 2^x", "-x/exp(x^2)", "ln(sqrt(x)) - 1/tan(x)", "y*x^y"]
)
def test_every_step_keeps_the_value(typed):
    """After each rule the whole formula, with the rest differentiated by SymPy, is still the derivative."""
    d = kj.explain.derive(typed, wrt="x")
    place = {"x": 1.3, "y": 0.7}
    true = float(d.result.at(place))
    for step in d.steps:
        here = worked(step.whole).subs({sympy.Symbol(n): v for n, v in place.items()})
        assert float(here.evalf()) == pytest.approx(true, rel=1e-9), str(step.whole)
    assert not [part for part in d.raw.walk() if isinstance(part, Slope)]


def test_the_example_of_the_command_line():
    """x² sin x at 2, as the page shows it."""
    d = kj.explain.derive("x**2 * sin(x)", wrt="x", at=2)
    assert str(d.result) == "2 * x * sin(x) + x**2 * cos(x)"
    assert [s.rule.name for s in d.steps] == ["product", "square", "sine"]
    assert d.at.slope == pytest.approx(4 * math.sin(2) + 4 * math.cos(2), rel=1e-15)


def test_the_chain_rule_says_what_its_letter_is():
    """Nested functions use a letter each, and none the expression has itself."""
    d = kj.explain.derive("sin(cos(u*x^2))", wrt="x")
    assert [f"{s.where[0]} = {s.where[1]}" for s in d.steps if s.rule.name == "chain"] == [
        "v = cos(u * x**2)",
        "w = u * x**2",
    ]


def test_the_graph_is_differentiated_by_kedja():
    """The gradient is a node of kedja's graph that can be differentiated once more."""
    d = kj.explain.derive("x^3", at=2)
    again = kj.grad(d.gradient, d.inputs["x"])
    assert "x" in again.text() and d.gradient.op.name == "multiply"


@pytest.mark.parametrize(
    ("typed", "at", "slope", "said"),
    [
        ("relu(x)", 0, 0, "kedja's convention is relu′(0) = 0"),
        ("abs(x - 1)", 1, 0, "kedja's convention is abs′(0) = 0"),
        ("sqrt(x)", 0, math.inf, "no finite slope"),
        ("arcsin(x)", 1, math.inf, "no finite slope"),
        ("x*sqrt(x)", 0, math.nan, "∞ by 0"),
        ("sign(x)", 0, 0, "a jump"),
    ],
)
def test_points_without_a_derivative(typed, at, slope, said):
    """The convention, or what is missing, is said, with the slopes from both sides at a kink."""
    d = kj.explain.derive(typed, at=at)
    assert d.at.slope == pytest.approx(slope, nan_ok=True)
    assert said in " ".join(d.notes) and said in str(d)


def test_a_kink_tells_both_sides():
    """|x| falls by 1 on the left and rises by 1 on the right."""
    d = kj.explain.derive("abs(x)", at=0)
    assert (d.at.left, d.at.right) == pytest.approx((-1, 1)) and not d.at.smooth
    assert "from the left is -1, from the right 1" in " ".join(d.notes)


@pytest.mark.parametrize(
    ("typed", "how", "said"),
    [
        ("ln(x)", {"at": -1}, "ln takes numbers above 0, and x is -1"),
        ("2 + sqrt(x - 3)", {"at": 1}, "sqrt takes numbers from 0 on, and x - 3 is -2"),
        ("1/(x - 2)", {"at": 2}, "divides by x - 2, which is 0"),
        ("x^(1/3)", {"at": -8}, "no real number"),
        ("exp(x)", {"at": 1e4}, "too large"),
        ("a*x", {}, "by which letter"),
        ("a*x", {"wrt": "x", "at": 1}, "give a a value too"),
        ("x", {"at": {"y": 1}}, "y is none of the letters x"),
        ("x", {"at": float("inf")}, "must be finite"),
        ("x", {"at": [1, 2]}, "is a number"),
        ("x", {"wrt": "sin"}, "wrt is a letter"),
        ("x", {"wrt": "x + 1"}, "wrt is a letter"),
    ],
)
def test_what_cannot_be_worked_out(typed, how, said):
    """Undefined points name the part and the number, missing values the letter."""
    with pytest.raises(DataError, match=re.escape(said)):
        kj.explain.derive(typed, **how)


def test_a_place_may_be_typed():
    """Numbers are read by the same grammar; what is none is pointed at."""
    assert kj.explain.derive("sin(x)", at="pi/2").at.value == 1
    with pytest.raises(ExpressionError, match="a number was expected"):
        kj.explain.derive("sin(x)", at="pi*y")


@pytest.mark.parametrize("typed", ["x**2 * sin(x)", "1/(1 + exp(-x))", "log(x, 2)/sqrt(x)"])
def test_renderings(typed):
    """Text, Markdown, TeX, HTML and JSON say the same derivative; HTML is well-formed and loads nothing."""
    d = kj.explain.derive(typed, at=2)
    result = kj.explain.derive(typed).to_dict()["derivative"]
    assert f"= {result}" in str(d) and d.to_dict()["tex"] in d.tex() and d.to_dict()["tex"] in d.markdown()
    html = d._repr_html_()
    ElementTree.fromstring(re.sub("&(#x[0-9A-Fa-f]+|[a-z]+);", " ", html))
    assert "<math" in html and "http" not in html and "<script" not in html
    back = json.loads(json.dumps(d.to_dict(), allow_nan=False))
    assert back["at"]["slope"] == pytest.approx(slope_of(typed, 2).real, rel=1e-12)
    assert len(back["steps"]) == len(d.steps)
    for step in d.steps:
        assert step.rule.text in str(d)


def test_the_page_is_one_file():
    """A whole document with the plot inside, in UTF-8, without anything from elsewhere."""
    page = kj.explain.derive("x^2", at=1).html()
    assert page.startswith("<!DOCTYPE html>") and 'charset="utf-8"' in page and "<svg" in page
    assert not re.search(r"(src|href)=\"http", page) and "<script" not in page


def test_plot(tmp_path):
    """Function and derivative are drawn from the graph, the tangent at the point; a file is written if asked for."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    kj.explain.derive("x^2", at=1).plot(ax=axes)
    curves = {line.get_label(): line.get_xydata() for line in axes.lines}
    x, y = curves["f(x)"].T
    assert np.allclose(y, x**2) and (x[0], x[-1]) == (-2, 4)
    x, y = curves["f′(x)"].T
    assert np.allclose(y, 2 * x)
    x, y = curves["tangent"].T
    assert np.allclose(y, 1 + 2 * (x - 1))
    kj.explain.derive("tan(x)").plot(tmp_path / "tan.png")
    assert (tmp_path / "tan.png").stat().st_size > 1000
    with pytest.raises(DataError, match="give a a value"):
        kj.explain.derive("a*x", wrt="x").plot()


def test_no_line_is_drawn_over_a_pole():
    """1/x has a gap at 0."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    kj.explain.derive("1/x", at=1).plot(ax=axes, bounds=(-1, 1.01))
    y = next(line for line in axes.lines if line.get_label() == "f(x)").get_ydata()
    assert np.isnan(y).any()
