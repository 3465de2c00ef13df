"""Expressions of one or more letters, as trees: what the grammar reads, the rules differentiate, and a page shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

import kedja.ops as ops
from kedja.graph.node import Tensor

__all__ = ["ARITHMETIC", "FUNCTIONS", "Binary", "Call", "Constant", "Expression", "Name", "Negative", "Number", "Slope"]


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
        from kedja.explain.notation import text

        return text(self)


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


class Function(NamedTuple):
    """A function of the table: its NumPy meaning, its op, how TeX writes its name, and what it is defined for."""

    compute: Callable[..., Any]
    op: Callable[..., Any]
    tex: str
    domain: str = ""
    arguments: tuple[int, ...] = (1,)


def _(text: str) -> str:
    """Marks words for the catalogues of translations; they are looked up when they are shown."""
    return text


def _log(x: Any, base: Any) -> Any:
    return np.log(x) / np.log(base)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _step(x: Any) -> Any:
    return ops.cast(x > 0, x.dtype)


CONSTANTS = {"pi": float(np.pi), "e": float(np.e)}
ARITHMETIC: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "+": (np.add, ops.add),
    "-": (np.subtract, ops.subtract),
    "*": (np.multiply, ops.multiply),
    "/": (np.divide, ops.divide),
    "^": (np.power, ops.power),
}
ABOVE_0, FROM_0, UP_TO_1 = _("numbers above 0"), _("numbers from 0 on"), _("numbers from -1 to 1")
FUNCTIONS: dict[str, Function] = {
    "sqrt": Function(np.sqrt, ops.sqrt, r"\sqrt", FROM_0),
    "exp": Function(np.exp, ops.exp, r"\exp"),
    "ln": Function(np.log, ops.log, r"\ln", ABOVE_0),
    "log": Function(_log, ops.logarithm, r"\log", ABOVE_0, (2,)),
    "sin": Function(np.sin, ops.sin, r"\sin"),
    "cos": Function(np.cos, ops.cos, r"\cos"),
    "tan": Function(np.tan, ops.tan, r"\tan"),
    "arcsin": Function(np.arcsin, ops.arcsin, r"\arcsin", UP_TO_1),
    "arccos": Function(np.arccos, ops.arccos, r"\arccos", UP_TO_1),
    "arctan": Function(np.arctan, ops.arctan, r"\arctan"),
    "tanh": Function(np.tanh, ops.tanh, r"\tanh"),
    "sigmoid": Function(_sigmoid, ops.sigmoid, r"\sigma"),
    "relu": Function(lambda x: np.maximum(x, 0.0), ops.relu, r"\operatorname{relu}"),
    "abs": Function(np.absolute, ops.absolute, r"\operatorname{abs}"),
    "sign": Function(np.sign, ops.sign, r"\operatorname{sign}"),
    "step": Function(lambda x: np.where(x > 0, 1.0, 0.0)[()], _step, r"\operatorname{step}"),
}
