"""Elementwise programs inside kernels: what a graph does to each number of a result while it lies in a register.

A program is a list of steps, each an op and the places of its operands; places count the inputs first, then the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kedja.engines.kernels import functions
from kedja.engines.kernels.activation import RELU, Activation
from kedja.engines.kernels.builder import Builder

__all__ = ["ARRAY", "COLUMN", "NUMBER", "SMOOTH", "WRITE", "Act", "Formula", "Program", "write"]

SUM, ARRAY, COLUMN, NUMBER = "sum", "array", "column", "number"


class Program(NamedTuple):
    """What is done to each number. Inputs: the result itself, arrays like it, one number a column, numbers of all."""

    inputs: tuple[str, ...]
    steps: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[int, ...]
    literals: tuple[tuple[int, float], ...] = ()  # steps that are numbers known beforehand, by their place

    def of(self, kind: str) -> list[int]:
        """The inputs of this kind."""
        return [i for i, found in enumerate(self.inputs) if found == kind]


class Formula(NamedTuple):
    """An activation that is a program: of x alone; through it, of the gradient and another number.

    What the other number is, y or x, the graph that it was made from has chosen.
    """

    program: Program

    def of(self, b: Builder, x: Any) -> Any:
        """The vector y of a vector x."""
        return self._alone(b, x)

    def through(self, b: Builder, y: Any, g: Any) -> Any:
        """g · y′, as y, or x in its place, tells it."""
        return self._alone(b, g, y)

    def _alone(self, b: Builder, first: Any, *more: Any) -> Any:
        if not any(name in SMOOTH for name, _ in self.program.steps):
            return write(b, self.program, [first, *more])[0]
        return b.in_turn(write(b, self.program, [b.in_turn(first), *more])[0])


Act = Activation | Formula


def write(b: Builder, program: Program, values: Sequence[Any]) -> list[Any]:
    """The outputs, as vectors, for inputs that are vectors."""
    found = list(values)
    known = dict(program.literals)
    shared = {i for i, kind in enumerate(program.inputs) if kind == NUMBER}  # one number for all lanes and places
    for name, operands in program.steps:
        here = len(found)
        if shared.issuperset(operands):
            shared.add(here)
        if here in known:
            found.append(b.everywhere(known[here]))
        elif name == "divide" and operands[1] in shared and here not in shared:
            # As XLA does: one division, outside of all loops, in place of many.
            found.append(b.ir.fmul(found[operands[0]], b.ir.fdiv(_one(b), found[operands[1]])))
        else:
            found.append((WRITE.get(name) or SMOOTH[name])(b, *(found[i] for i in operands)))
    return [found[i] for i in program.outputs]


def _maximum(b: Builder, x: Any, y: Any) -> Any:
    """The larger; a missing number wins."""
    wins = b.ir.or_(b.ir.fcmp_ordered(">", x, y), b.ir.fcmp_unordered("uno", x, x))
    return b.ir.select(wins, x, y)


def _minimum(b: Builder, x: Any, y: Any) -> Any:
    wins = b.ir.or_(b.ir.fcmp_ordered("<", x, y), b.ir.fcmp_unordered("uno", x, x))
    return b.ir.select(wins, x, y)


def _one(b: Builder) -> Any:
    return b.everywhere(1.0)


def _compared(how: str) -> Callable[..., Any]:
    return lambda b, x, y: b.ir.fcmp_ordered(how, x, y)


# By the names of ops. Each gives the bits that the op gives one number at a time.
WRITE: dict[str, Callable[..., Any]] = {
    "add": lambda b, x, y: b.ir.fadd(x, y),
    "subtract": lambda b, x, y: b.ir.fsub(x, y),
    "multiply": lambda b, x, y: b.ir.fmul(x, y),
    "divide": lambda b, x, y: b.ir.fdiv(x, y),
    "negative": lambda b, x: b.ir.fneg(x),
    "reciprocal": lambda b, x: b.ir.fdiv(_one(b), x),
    "square": lambda b, x: b.ir.fmul(x, x),
    "sqrt": lambda b, x: b.sqrt(x),
    "absolute": lambda b, x: b.magnitude(x),
    "relu": RELU.of,
    "maximum": _maximum,
    "minimum": _minimum,
    "greater": _compared(">"),
    "greater_equal": _compared(">="),
    "less": _compared("<"),
    "less_equal": _compared("<="),
    "cast": lambda b, x: b.ir.select(x, _one(b), b.zero),  # of a comparison
    "where": lambda b, c, x, y: b.ir.select(c, x, y),
    "stop_gradient": lambda b, x: x,
}

# Those right to a few units in the last place.
SMOOTH: dict[str, Callable[..., Any]] = {
    "exp": functions.exp,
    "expm1": functions.expm1,
    "sigmoid": functions.sigmoid,
    "softplus": functions.softplus,
    "tanh": functions.tanh,
}
