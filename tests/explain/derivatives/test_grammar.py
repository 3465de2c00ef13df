"""The grammar of expressions: what it reads, what it refuses and where it points, and that nothing typed is run."""

import ast
import math
from pathlib import Path

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja.explain.derivatives.grammar
from explain.derivatives.typed import EXPRESSIONS
from kedja.explain.derivatives.grammar import ExpressionError, parse, value_of
from kedja.explain.derivatives.notation import tex, text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("1 + 2*3", 7),
        ("2^3^2", 512),
        ("-2^2", -4),
        ("2**-1", 0.5),
        ("(-2)^2", 4),
        ("8/4/2", 1),
        ("8 - 4 - 2", 2),
        ("2(3 + 4)", 14),
        ("(1 + 2)(3 + 4)", 21),
        ("2pi", 2 * math.pi),
        ("2 e", 2 * math.e),
        ("2e3", 2000),
        ("1.5e-2", 0.015),
        (".5 + 5.", 5.5),
        ("3²", 9),
        ("2·3 − 4÷2 × 1", 4),
        ("sqrt(16) + abs(-3)", 7),
        ("ln(e) + log(e)", 2),
        ("log(8, 2) + log10(100) + log2(4)", 7),
        ("asin(1) + acos(1) + atan(0)", math.pi / 2),
        ("sigmoid(0) + tanh(0) + relu(-2)", 0.5),
        ("--3", 3),
        ("+3", 3),
        ("  2\n+ 3 ", 5),
        ("π", math.pi),
    ],
)
def test_an_expression_has_the_value_mathematics_gives_it(typed, meant):
    """Powers bind from the right and before a minus, products from the left; parts side by side are multiplied."""
    assert value_of(typed) == pytest.approx(meant, rel=1e-15)


@pytest.mark.parametrize(
    ("typed", "place", "said"),
    [
        ("", 0, "empty"),
        ("2 *", 3, '"(" was expected, not the end'),
        ("2 * (x + )", 9, 'not ")"'),
        ("(x + 1", 0, "never closed"),
        ("x + 1)", 5, "closes nothing"),
        ("x = 2", 2, "not an equation"),
        ("sen(x)", 0, "Did you mean 'sin'"),
        ("x(x + 1)", 0, "For a product write x * (…)"),
        ("sin x", 4, "write sin(x)"),
        ("sin()", 4, "needs an argument"),
        ("sin(x, 2)", 5, "sin takes one argument"),
        ("log(x, 2, 3)", 8, "log takes two arguments"),
        ("1,5", 1, 'a decimal point is written "."'),
        ("sin(1,5 + x)", 5, "sin takes one argument"),
        ("(1,5)", 2, 'a decimal point is written "."'),
        ("2 x 3", 4, "an operator was expected"),
        ("x $ 2", 2, "does not belong"),
        ("|x|", 0, "write abs(x)"),
        ("x!", 1, "factorials"),
        ("x[0]", 1, "round parentheses"),
        ("x.real", 1, "does not belong"),
        ("'x'", 0, "does not belong"),
        ("1..2", 2, "an operator was expected"),
        ("1e999", 0, "too large"),
        ("x ** ** 2", 5, "a number, a name"),
        ("(" * 60 + "x" + ")" * 60, 41, "within each other"),
        ("-" * 60 + "x", 40, "within each other"),
    ],
)
def test_what_is_outside_the_grammar_is_pointed_at(typed, place, said):
    """The error says what was expected, and its caret stands below the character."""
    with pytest.raises(ExpressionError) as caught:
        parse(typed)
    assert said in str(caught.value)
    _why, source, caret = str(caught.value).split("\n")
    assert caught.value.place == place
    assert caret == "  " + " " * place + "^" and (source.startswith("  ") and source[2:] == typed)


@pytest.mark.parametrize("typed", ["x + " * 400 + "x", "x" * 3000, "2*" * 60 + "x"])
def test_an_expression_too_long_to_explain_is_refused(typed):
    """There is a bound on what is read, so that no walk is too deep."""
    with pytest.raises(ExpressionError, match=r"parts|characters"):
        parse(typed)


@pytest.mark.parametrize("typed", ["__import__('os')", "().__class__", "[x for x in y]", "lambda: 1", "x;y", "f'{x}'"])
def test_programs_are_no_expressions(typed):
    """Python that is no mathematics is refused."""
    with pytest.raises(ExpressionError):
        parse(typed)


def test_the_parser_runs_nothing():
    """No eval, exec, compile, literal_eval or import by name stands in the module."""
    tree = ast.parse(Path(kedja.explain.derivatives.grammar.__file__).read_text(encoding="utf-8"))
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert not {"eval", "exec", "__import__", "import_module"} & names
    assert not {"literal_eval", "eval", "run"} & attributes


@given(st.text(alphabet="x2 +-*/^().,esin√π²=", max_size=25))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(typed):
    """Whatever is typed, the answer is a tree or an ExpressionError inside the line."""
    try:
        parse(typed)
    except ExpressionError as error:
        assert 0 <= error.place <= len(typed)


@given(EXPRESSIONS)
@settings(max_examples=150, deadline=None)
def test_text_is_read_again_with_the_same_meaning(typed):
    """The text of a tree, whose parentheses are only those it needs, is the same function."""
    first = parse(typed)
    again = parse(text(first))
    for values in ({"x": 1.3, "y": 0.7}, {"x": -0.4, "y": 2.1}):
        a, b = float(first.at(values)), float(again.at(values))
        assert (math.isnan(a) and math.isnan(b)) or a == b or math.isclose(a, b, rel_tol=1e-9)


@given(EXPRESSIONS)
@settings(max_examples=60, deadline=None)
def test_values_are_those_of_sympy(typed):
    """SymPy, which has its own parser, gives the text the same value."""
    e = parse(typed)
    x, y = 1.3, 0.7
    ours = float(e.at({"x": x, "y": y}))
    theirs = sympy.sympify(text(e), locals={n: sympy.Symbol(n) for n in "xy"}).subs({"x": x, "y": y})
    theirs = complex(theirs.evalf()) if theirs.is_finite and theirs.is_number else None
    if math.isfinite(ours) and abs(ours) < 1e100 and theirs is not None:
        assert ours == pytest.approx(theirs.real, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("x^2/3", r"\frac{x^{2}}{3}"),
        ("exp(-x)", "e^{-x}"),
        ("sqrt(x + 1)", r"\sqrt{x + 1}"),
        ("sin(x)^2", r"\sin^{2}\left(x\right)"),
        ("2*3", r"2 \cdot 3"),
        ("(x/2)^2", r"\left(\frac{x}{2}\right)^{2}"),
        ("alpha*w1", r"\alpha \, w_{1}"),
        ("log(x, 10)", r"\log_{10}\left(x\right)"),
        ("abs(x)", r"\left|x\right|"),
        ("(x + 1)*y - (x - y)", r"\left(x + 1\right) \, y - \left(x - y\right)"),
    ],
)
def test_tex(typed, written):
    """Fractions, roots, powers and Greek letters as a book sets them."""
    assert tex(parse(typed)) == written
