"""How an expression is written: as text, in TeX, and by way of it in MathML."""

from __future__ import annotations

import re

from kedja.explain.derivatives.expression import Call, Expression, Number, Text
from kedja.explain.derivatives.functions import FUNCTIONS
from kedja.explain.show.mathml import mathml as from_tex
from kedja.ops.formula import symbol
from kedja.ops.notation import ATOM, POWER, PRODUCT

__all__ = ["TeX", "mathml", "shown", "tex", "text"]

SQUARED_LIKE_SIN = {"sin", "cos", "tan", "tanh"}  # sin² x is the square of the sine


def text(e: Expression) -> str:
    """The expression as plain text; the grammar reads it again.

    >>> from kedja.explain.derivatives.grammar import parse
    >>> text(parse("2x^2(x+1)"))
    '2 * x**2 * (x + 1)'
    """
    return Text().write(e)


def tex(e: Expression) -> str:
    r"""The expression in TeX.

    >>> from kedja.explain.derivatives.grammar import parse
    >>> tex(parse("sin(x)/x**2"))
    '\\frac{\\sin\\left(x\\right)}{x^{2}}'
    """
    return TeX().write(e)


def mathml(e: Expression) -> str:
    """The expression in MathML, which browsers show by themselves.

    >>> from kedja.explain.derivatives.grammar import parse
    >>> mathml(parse("x^2"))
    '<math...><msup><mi>x</mi><mn>2</mn></msup></math>'
    """
    return from_tex(tex(e))


def shown(value: float) -> str:
    """A computed number, to ten digits.

    >>> shown(0.1 + 0.2), shown(float("inf"))
    ('0.3', 'inf')
    """
    return f"{value + 0.0:.10g}"  # + 0.0: no minus before a zero


class TeX(Text):
    """The same in TeX."""

    def raised(self, e: Call) -> bool:
        return e.function == "exp"

    def grouped(self, written: str) -> str:
        return rf"\left({written}\right)"

    def digits(self, written: str) -> str:
        mantissa, _, exponent = written.partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa

    def binding(self, written: str) -> int:
        return PRODUCT if "e" in written else ATOM

    def name(self, name: str) -> str:
        return symbol(name, "tex")

    def constant(self, name: str) -> str:
        return {"pi": r"\pi", "e": "e"}[name]

    def product(self, left: str, right: str) -> str:
        digit = re.match(r"\d|\\frac\{\d", right)  # 2 \, 3 would read as 23
        return rf"{left} \cdot {right}" if digit else rf"{left} \, {right}"

    def quotient(self, above: Expression, below: Expression) -> tuple[str, int]:
        return rf"\frac{{{self.write(above)}}}{{{self.write(below)}}}", POWER

    def power(self, base: Expression, exponent: Expression) -> str:
        raised = isinstance(exponent, Number) and exponent.value > 0  # sin^{-1} would be read as the arcsine
        if raised and isinstance(base, Call) and base.function in SQUARED_LIKE_SIN:
            return self.call(base.function, base.arguments, self.write(exponent))
        return rf"{self.need(base, ATOM)}^{{{self.write(exponent)}}}"

    def call(self, function: str, arguments: tuple[Expression, ...], exponent: str = "") -> str:
        inner = self.write(arguments[0])
        if function == "sqrt":
            return rf"\sqrt{{{inner}}}"
        if function == "exp":
            return rf"e^{{{inner}}}"
        if function == "abs":
            return rf"\left|{inner}\right|"
        name = FUNCTIONS[function].tex + (f"^{{{exponent}}}" if exponent else "")
        base = rf"_{{{self.write(arguments[1])}}}" if function == "log" else ""
        return f"{name}{base}{self.grouped(inner)}"

    def slope(self, of: str, by: str) -> str:
        return rf"\frac{{d}}{{d{self.name(by)}}}\left[{of}\right]"
