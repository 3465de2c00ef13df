"""Tidying: the same function, shorter."""

import math

import pytest
from hypothesis import given, settings

from explain.derivatives.typed import EXPRESSIONS
from kedja.explain.derivatives.grammar import parse
from kedja.explain.derivatives.tidy import tidy


@pytest.mark.parametrize(
    ("typed", "tidied"),
    [
        ("x*1 + 0", "x"),
        ("0*x", "0"),
        ("x + x", "2 * x"),
        ("x*x^2", "x**3"),
        ("x/x", "1"),
        ("2*3*x", "6 * x"),
        ("x - (1 - x)", "2 * x - 1"),
        ("1*sin(x) + x*cos(x)*1", "sin(x) + x * cos(x)"),
        ("exp(x)*exp(2*x)", "exp(3 * x)"),
        ("2^x*2^x", "2**(2 * x)"),
        ("sqrt(4*x)*sqrt(x)", "2 * x"),
        ("x/sqrt(x)", "sqrt(x)"),
        ("(x + 1)*(x - 1)", "x**2 - 1"),
        ("(x + 1)/(x + 1)^3", "1 / (x + 1)**2"),
        ("-1 + x", "x - 1"),
        ("1/3*x", "x / 3"),
        ("0.5*x + 0.25*x", "0.75 * x"),
        ("ln(exp(x)) + exp(ln(x))", "2 * x"),
        ("cos(0) + sin(0) + ln(1)", "1"),
        ("(2*x)^3", "8 * x**3"),
    ],
)
def test_what_becomes_of(typed, tidied):
    """Like terms are collected and powers put together."""
    assert str(tidy(parse(typed))) == tidied


@pytest.mark.parametrize("typed", ["sqrt(x^2)", "(x^2)^(1/2)", "sqrt(x*y)", "ln(x*y)", "(x^y)^2.5"])
def test_no_rule_that_holds_for_positive_numbers_only(typed):
    """√(x²) is |x|, not x: both signs are tried."""
    before, after = parse(typed), tidy(parse(typed))
    for values in ({"x": -1.7, "y": -2.0}, {"x": 1.7, "y": 2.0}):
        a, b = float(before.at(values)), float(after.at(values))
        assert math.isnan(a) == math.isnan(b) and (math.isnan(a) or math.isclose(a, b))


def test_large_powers_stay_as_they_are():
    """9^9^9 has 369 million digits: it is not worked out."""
    assert "9**" in str(tidy(parse("9^(9^9) * x")))


@given(EXPRESSIONS)
@settings(max_examples=200, deadline=None)
def test_tidying_keeps_the_value_and_settles(typed):
    """Where the expression is finite its tidy form has its value; tidying twice changes nothing."""
    before = parse(typed)
    after = tidy(before)
    assert tidy(after) == after
    for values in ({"x": 1.3, "y": 0.7}, {"x": -0.4, "y": 2.1}):
        a, b = float(before.at(values)), float(after.at(values))
        if math.isfinite(a) and abs(a) < 1e30:
            assert math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9), (str(before), str(after))
