"""How an expression is written: text that the grammar reads again, TeX, and by way of it MathML."""

from __future__ import annotations

import re
from fractions import Fraction

from kedja.explain.expression import FUNCTIONS, Binary, Call, Constant, Expression, Name, Negative, Number, Slope
from kedja.explain.mathml import mathml as from_tex
from kedja.ops.formula import symbol
from kedja.ops.notation import ATOM, POWER, PRODUCT, SUM

__all__ = ["TeX", "Text", "mathml", "shown", "tex", "text"]

LONG = 15  # digits; a longer whole number is rounded
SQUARED_LIKE_SIN = {"sin", "cos", "tan", "tanh"}  # sin² x is the square of the sine


def text(e: Expression) -> str:
    """The expression as plain text; the grammar reads it again.

    >>> from kedja.explain.grammar import parse
    >>> text(parse("2x^2(x+1)"))
    '2 * x**2 * (x + 1)'
    """
    return Text().write(e)


def tex(e: Expression) -> str:
    r"""The expression in TeX.

    >>> from kedja.explain.grammar import parse
    >>> tex(parse("sin(x)/x**2"))
    '\\frac{\\sin\\left(x\\right)}{x^{2}}'
    """
    return TeX().write(e)


def mathml(e: Expression) -> str:
    """The expression in MathML, which browsers show by themselves.

    >>> from kedja.explain.grammar import parse
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


class Text:
    """One walk for all styles; a style says how a part is put together, and the walk where parentheses stand."""

    def write(self, e: Expression) -> str:
        """The whole expression."""
        return self.part(e)[0]

    def need(self, e: Expression, level: int) -> str:
        """A part, in parentheses when it binds less tightly than its place asks."""
        written, own = self.part(e)
        return written if own >= level else self.grouped(written)

    def part(self, e: Expression) -> tuple[str, int]:
        """A part and how tightly it binds."""
        match e:
            case Number(value, decimal):
                return self.number(value, decimal)
            case Name(name):
                return self.name(name), ATOM
            case Constant(name):
                return self.constant(name), ATOM
            case Negative(of):
                return self.negative(self.need(of, PRODUCT)), SUM
            case Slope(of, by):
                return self.slope(self.write(of), by), ATOM
            case Call(function, arguments):
                return self.call(function, arguments), POWER if self.raised(e) else ATOM
            case Binary("^", base, exponent):
                return self.power(base, exponent), POWER
            case Binary("/", above, below):
                return self.quotient(above, below)
            case Binary("*", left, right):
                return self.product(self.need(left, PRODUCT), self.need(right, PRODUCT)), PRODUCT
            case Binary(sign, left, right):
                level = PRODUCT if sign == "-" or isinstance(right, Negative) else SUM
                return self.infix(self.need(left, SUM), sign, self.need(right, level)), SUM
        raise TypeError(f"no part of an expression: {e!r}")

    # --- plain text -------------------------------------------------------------------------------------------------
    def raised(self, e: Call) -> bool:
        """Whether the call is written as a power."""
        return False

    def grouped(self, written: str) -> str:
        return f"({written})"

    def digits(self, written: str) -> str:
        return written

    def binding(self, written: str) -> int:
        """How tightly a number binds: one with a power of ten is a product in TeX."""
        return ATOM

    def number(self, value: Fraction, decimal: bool) -> tuple[str, int]:
        """A whole number, a decimal fraction that ends, or p/q."""
        written = str(value.numerator) if value.denominator == 1 else repr(value.numerator / value.denominator)
        if len(written) > LONG:
            written = repr(value.numerator / value.denominator)
        if value.denominator == 1 or (decimal and Fraction(written) == value):
            return self.digits(written), SUM if value < 0 else self.binding(written)
        above, below = Number(Fraction(abs(value.numerator))), Number(Fraction(value.denominator))
        written, level = self.quotient(above, below)
        return (written, level) if value > 0 else (self.negative(written), SUM)

    def name(self, name: str) -> str:
        return name

    def constant(self, name: str) -> str:
        return name

    def negative(self, written: str) -> str:
        return f"-{written}"

    def infix(self, left: str, sign: str, right: str) -> str:
        return f"{left} {sign} {right}"

    def product(self, left: str, right: str) -> str:
        return f"{left} * {right}"

    def quotient(self, above: Expression, below: Expression) -> tuple[str, int]:
        return f"{self.need(above, PRODUCT)} / {self.need(below, POWER)}", PRODUCT

    def power(self, base: Expression, exponent: Expression) -> str:
        return f"{self.need(base, ATOM)}**{self.need(exponent, ATOM)}"

    def call(self, function: str, arguments: tuple[Expression, ...]) -> str:
        return f"{function}({', '.join(map(self.write, arguments))})"

    def slope(self, of: str, by: str) -> str:
        return f"d/d{by}[{of}]"


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
