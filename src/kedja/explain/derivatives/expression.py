"""Expressions of one or more letters, as trees: what the grammar reads and the rules differentiate; and their text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from kedja.explain.derivatives.functions import ARITHMETIC, CONSTANTS, FUNCTIONS
from kedja.graph.node import Tensor
from kedja.ops.notation import ATOM, POWER, PRODUCT, SUM

__all__ = ["Binary", "Call", "Constant", "Expression", "Name", "Negative", "Number", "Slope", "Text"]

LONG = 15  # digits; a longer whole number is rounded


class Expression:
    """The base of all parts of an expression. Equal parts are equal, and the operators build larger ones.

    >>> x = Name("x")
    >>> 2 * x == Binary("*", Number(Fraction(2)), x)
    True
    """

    __slots__ = ()

    def __add__(self, other: Any) -> Expression:
        return Binary("+", self, lifted(other))

    def __radd__(self, other: Any) -> Expression:
        return Binary("+", lifted(other), self)

    def __sub__(self, other: Any) -> Expression:
        return Binary("-", self, lifted(other))

    def __rsub__(self, other: Any) -> Expression:
        return Binary("-", lifted(other), self)

    def __mul__(self, other: Any) -> Expression:
        return Binary("*", self, lifted(other))

    def __rmul__(self, other: Any) -> Expression:
        return Binary("*", lifted(other), self)

    def __truediv__(self, other: Any) -> Expression:
        return Binary("/", self, lifted(other))

    def __rtruediv__(self, other: Any) -> Expression:
        return Binary("/", lifted(other), self)

    def __pow__(self, other: Any) -> Expression:
        return Binary("^", self, lifted(other))

    def __neg__(self) -> Expression:
        return Negative(self)

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions this one is made of directly."""
        return ()

    def with_parts(self, *parts: Expression) -> Expression:
        """The same with other parts."""
        return self

    def walk(self) -> Iterator[Expression]:
        """Every part, itself first, from left to right."""
        yield self
        for part in self.parts:
            yield from part.walk()

    @property
    def names(self) -> list[str]:
        """The letters in it, in the order they are met.

        >>> (Name("b") * Name("a") + Name("b")).names
        ['b', 'a']
        """
        return list(dict.fromkeys(e.name for e in self.walk() if isinstance(e, Name)))

    def depends_on(self, name: str) -> bool:
        """Whether the letter occurs."""
        return any(isinstance(e, Name) and e.name == name for e in self.walk())

    @property
    def size(self) -> int:
        """How many parts it has: numbers, letters, signs and functions."""
        return len(list(self.walk()))

    def put(self, name: str, other: Expression) -> Expression:
        """With `other` in the place of the letter."""
        if isinstance(self, Name):
            return other if self.name == name else self
        return self.with_parts(*(part.put(name, other) for part in self.parts))

    def at(self, values: Mapping[str, Any]) -> Any:
        """Its value, worked out by NumPy in float64, for numbers or arrays; nan where it is not defined."""
        with np.errstate(all="ignore"):
            return self._at(values)

    def _at(self, values: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def graph(self, values: Mapping[str, Tensor]) -> Tensor | float:
        """The computational graph of it, made of kedja's ops; a part without letters is a number."""
        raise NotImplementedError

    def __str__(self) -> str:
        return Text().write(self)


@dataclass(frozen=True, slots=True, repr=False)
class Number(Expression):
    """An exact number; `decimal` says that it was written with a decimal point."""

    value: Fraction
    decimal: bool = field(default=False, compare=False)

    def _at(self, values: Mapping[str, Any]) -> Any:
        return np.float64(self.value.numerator / self.value.denominator)

    def graph(self, values: Mapping[str, Tensor]) -> Tensor | float:
        return self.value.numerator / self.value.denominator


@dataclass(frozen=True, slots=True, repr=False)
class Constant(Expression):
    """π or e."""

    name: str

    def _at(self, values: Mapping[str, Any]) -> Any:
        return np.float64(CONSTANTS[self.name])

    def graph(self, values: Mapping[str, Tensor]) -> Tensor | float:
        return CONSTANTS[self.name]


@dataclass(frozen=True, slots=True, repr=False)
class Name(Expression):
    """A letter, or a word that stands for a number."""

    name: str

    def _at(self, values: Mapping[str, Any]) -> Any:
        return np.asarray(values[self.name], np.float64)[()]

    def graph(self, values: Mapping[str, Tensor]) -> Tensor | float:
        return values[self.name]


@dataclass(frozen=True, slots=True, repr=False)
class Negative(Expression):
    """−u."""

    of: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.of,)

    def with_parts(self, *parts: Expression) -> Expression:
        return Negative(*parts)

    def _at(self, values: Mapping[str, Any]) -> Any:
        return -self.of._at(values)

    def graph(self, values: Mapping[str, Tensor]) -> Tensor | float:
        return -self.of.graph(values)


@dataclass(frozen=True, slots=True, repr=False)
class Binary(Expression):
    """u + v, u − v, u · v, u / v or u ^ v."""

    sign: str
    left: Expression
    right: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.left, self.right

    def with_parts(self, *parts: Expression) -> Expression:
        return Binary(self.sign, *parts)

    def _at(self, values: Mapping[str, Any]) -> Any:
        compute, _op = ARITHMETIC[self.sign]
        return compute(self.left._at(values), self.right._at(values))

    def graph(self, values: Mapping[str, Tensor]) -> Tensor | float:
        a, b = self.left.graph(values), self.right.graph(values)
        if not isinstance(a, Tensor) and not isinstance(b, Tensor):
            return float(self.at({}))
        _compute, op = ARITHMETIC[self.sign]
        return op(a, b)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, repr=False)
class Call(Expression):
    """A function of the table applied to its arguments."""

    function: str
    arguments: tuple[Expression, ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.arguments

    def with_parts(self, *parts: Expression) -> Expression:
        return Call(self.function, parts)

    def _at(self, values: Mapping[str, Any]) -> Any:
        return FUNCTIONS[self.function].compute(*(a._at(values) for a in self.arguments))

    def graph(self, values: Mapping[str, Tensor]) -> Tensor | float:
        inputs = [a.graph(values) for a in self.arguments]
        if not any(isinstance(x, Tensor) for x in inputs):
            return float(self.at({}))
        return FUNCTIONS[self.function].op(*inputs)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, repr=False)
class Slope(Expression):
    """d/dx[u], still to be worked out. In d/du[sin(u)] the letter u stands for `inner`."""

    of: Expression
    by: str
    inner: Expression | None = None

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.of,)

    def with_parts(self, *parts: Expression) -> Expression:
        return Slope(parts[0], self.by, self.inner)


def lifted(value: Any) -> Expression:
    """A whole number as an expression."""
    return value if isinstance(value, Expression) else Number(Fraction(value))


class Text:
    """An expression as text that the grammar reads again.

    One walk serves all styles: a style says how a part is put together, and the walk where parentheses stand.
    """

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
