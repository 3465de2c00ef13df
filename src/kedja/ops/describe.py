"""What `help(kj.tanh)` shows: written from the op's stanza, so that it cannot say anything else."""

from __future__ import annotations

from kedja.graph.node import placeholder
from kedja.ops.formula import formula
from kedja.ops.op import Bilinear, Elementwise, Linear, Op, is_differentiable

__all__ = ["Described", "describe"]

LETTERS = {1: "x", 2: "ab", 3: "abc"}
ACCEPTED = {
    "any": "tensors of any type",
    "bool": "booleans",
    "float": "floating-point tensors",
    "integer": "integer tensors",
    "number": "numbers of any type",
}


class Described:
    """The `__doc__` of a class of ops: of the class its own, of an op what `describe` says when asked."""

    def __init__(self, own: str | None) -> None:
        self.own = own

    def __get__(self, op: Op | None, cls: type[Op]) -> str | None:
        return self.own if op is None else describe(op)


def describe(op: Op) -> str:
    """The formula of an op in text and TeX, what it takes, and its derivative.

    >>> import kedja as kj
    >>> print(kj.tanh.__doc__)
    y = tanh(x)
    <BLANKLINE>
    TeX: \\tanh x
    Takes floating-point tensors, element by element.
    Derivative: ∂y/∂x = 1 - y * y
    """
    lines = [op.doc, ""] if op.doc else []
    if not isinstance(op, Elementwise):
        lines += [f"The op {op.name!r}: {_kind(op)}."]
        return "\n".join(lines)
    names = LETTERS[op.arity]
    dtype = {"bool": "bool", "integer": "int64"}.get(op.accepts, "float32")
    inputs = [placeholder((), dtype, name) for name in names]
    node = op(*inputs)
    shapes = "element by element; shapes are broadcast" if op.arity > 1 else "element by element"
    lines += [f"y = {node.text()}", "", f"TeX: {node.tex()}", f"Takes {ACCEPTED[op.accepts]}, {shapes}."]
    if op.partials is None:
        lines.append("Derivative: none flows through this op.")
    else:
        for name, partial in zip(names, op.partials, strict=True):
            slope = partial(*inputs, node)
            written = formula(slope, "text", {node: "y"}) if hasattr(slope, "op") else str(slope)
            lines.append(f"Derivative: ∂y/∂{name} = {written}")
    return "\n".join(lines)


def _kind(op: Op) -> str:
    if not is_differentiable(op):
        return "no derivative flows through it"
    if isinstance(op, Linear):
        return "linear, its derivative is its adjoint"
    if isinstance(op, Bilinear):
        return "linear in each of its two inputs, with an adjoint for each"
    return "it states the derivative in both modes by hand"
