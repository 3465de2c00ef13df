"""Smaller graphs of the same value. Only rewrites that give the same bits: no x·0 → 0, no (a+b)−b → a.

Random nodes are functions of an explicit key, and equal ones may still not be merged: each stands for its own draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kedja.graph.node import CONSTANT, Tensor, ancestors, constant, is_literal
from kedja.graph.scope import borrow
from kedja.ops import control, elementwise, random, shaping
from kedja.ops.elementwise import add, divide, multiply, negative, raise_to, square, subtract
from kedja.ops.op import Elementwise, Linear

__all__ = ["simplified", "simplify"]

FOLDED_UP_TO = 16  # numbers; larger constants are computed by the engine
KEPT_APART = {random.random_bits, random.fold_key, control.scan_op, control.map_op}


def simplify(node: Tensor) -> Tensor:
    """An equal, smaller graph: numbers folded, ×1 and double negation dropped, equal parts made one.

    Only numbers written in expressions are folded. A constant made with `kj.tensor` stays: one can still differentiate
    by it.

    >>> import kedja as kj
    >>> x = kj.Parameter(3.0, name="x")
    >>> kj.simplify(1.0 * (x + x) - -x).text()
    '2 * x + x'
    """
    return simplified([node])[0]


def simplified(nodes: Sequence[Tensor], start: int | None = None) -> list[Tensor]:
    """The same for several nodes; those made before number `start` stay as they are.

    Nor is anything new merged into an old node: a user may hold that one, and mean it when differentiating by it.
    """
    new: dict[Tensor, Tensor] = {}
    known: dict[Any, Tensor] = {}
    before = borrow(None)

    def is_new(node: Tensor) -> bool:
        return start is None or node.serial > start

    try:
        for node in ancestors(nodes):
            inputs = tuple(new[x] for x in node.inputs)
            answer = node
            if is_new(node) and node.inputs:
                borrow(node.where)
                answer = rewritten(node, inputs)
                if is_new(answer) and answer.op not in KEPT_APART:
                    answer = known.setdefault(signature(answer), answer)
            elif start is not None and node.op is CONSTANT and is_new(node):  # made by a rule: nobody holds it
                answer = constant(node.attrs["value"], literal=True)
            new[node] = answer
    finally:
        borrow(before)
    return [new[n] for n in nodes]


def signature(node: Tensor) -> Any:
    """What two nodes must share to be the same computation."""
    if is_literal(node):
        value = node.attrs["value"]
        return (CONSTANT, value.tobytes(), value.shape, value.dtype.str) if value.size <= FOLDED_UP_TO else node
    if not node.inputs or node.name:
        return node
    inputs = tuple(signature(x) if is_literal(x) else x for x in node.inputs)
    try:
        attrs = tuple(sorted(node.attrs.items()))
        hash(attrs)
    except TypeError:
        return node
    return node.op, inputs, attrs


def rewritten(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
    """`node` on simplified inputs, itself simplified by the first rule that applies."""
    if _foldable(node, inputs):
        with np.errstate(all="ignore"):
            value = node.op.compute(*(x.attrs["value"] for x in inputs), **node.attrs)
        return constant(np.array(value, node.dtype), literal=True)
    rule = RULES.get(node.op) if node.name is None else None
    better = rule(node, inputs) if rule else None
    if better is not None and better.shape == node.shape:
        made_now = better.serial > node.serial
        return rewritten(better, better.inputs) if made_now and better.op in RULES else better
    if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return node
    return Tensor(node.op, inputs, node.attrs, node.shape, node.dtype, node.name)


def _foldable(node: Tensor, inputs: tuple[Tensor, ...]) -> bool:
    if node.name is not None or not isinstance(node.op, Elementwise | Linear) or node.size > FOLDED_UP_TO:
        return False
    return all(is_literal(x) and x.size <= FOLDED_UP_TO for x in inputs)


def is_number(x: Tensor, value: float) -> bool:
    """Whether x is a constant that holds this number everywhere (0.0 and −0.0 are told apart)."""
    if x.op is shaping.stretch:
        x = x.inputs[0]
    if not is_literal(x) or not 0 < x.size <= FOLDED_UP_TO:
        return False
    array = x.attrs["value"]
    return bool((array == value).all()) and (value != 0 or bool((np.signbit(array) == np.signbit(value)).all()))


def without_sign(x: Tensor) -> Tensor:
    """x₀ where x is −x₀, else x itself."""
    return x.inputs[0] if x.op is negative else x


def _multiply(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor | None:
    a, b = inputs
    for x, other in ((a, b), (b, a)):
        if is_number(x, 1.0) and other.shape == node.shape:
            return other
        if is_number(x, -1.0) and other.shape == node.shape:
            return negative(other)
    bare_a, bare_b = without_sign(a), without_sign(b)
    if bare_a is not a or bare_b is not b:
        product = multiply(bare_a, bare_b)
        return product if bare_a is not a and bare_b is not b else negative(product)
    return multiply(b, a) if b.op is CONSTANT and a.op is not CONSTANT else None


def _add(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor | None:
    a, b = inputs
    if is_number(b, -0.0):
        return a
    if b.op is negative:
        return subtract(a, b.inputs[0])
    return multiply(constant(np.array(2, a.dtype), literal=True), a) if a is b else None


def _subtract(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor | None:
    a, b = inputs
    if is_number(b, 0.0):
        return a
    return add(a, b.inputs[0]) if b.op is negative else None


def _divide(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor | None:
    a, b = inputs
    if is_number(b, 1.0):
        return a
    return negative(divide(a.inputs[0], b)) if a.op is negative else None


def _power(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor | None:
    x, p = inputs
    if p.shape:  # NumPy squares for a single exponent 2, but not for an array of them: other last digits
        return None
    if is_number(p, 1.0):
        return x
    return square(x) if is_number(p, 2.0) else None


def _reshape(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor | None:
    x = inputs[0].inputs[0] if inputs[0].op is node.op else inputs[0]
    return None if x is inputs[0] and x.shape != node.shape else shaping.reshape(x, node.shape)


def _transpose(node: Tensor, inputs: tuple[Tensor, ...]) -> Tensor | None:
    (x,), axes = inputs, node.attrs["axes"]
    if x.op is not node.op:
        return None
    return shaping.transpose(x.inputs[0], tuple(x.attrs["axes"][a] for a in axes))


RULES: dict[Any, Callable[[Tensor, tuple[Tensor, ...]], Tensor | None]] = {
    add: _add,
    divide: _divide,
    multiply: _multiply,
    negative: lambda node, inputs: inputs[0].inputs[0] if inputs[0].op is negative else None,
    raise_to: _power,
    shaping.change_shape: _reshape,
    shaping.permute_axes: _transpose,
    shaping.stretch: lambda node, inputs: inputs[0] if inputs[0].shape == node.shape else None,
    subtract: _subtract,
    elementwise.astype: lambda node, inputs: inputs[0] if inputs[0].dtype == node.dtype else None,
}
