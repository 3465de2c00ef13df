"""Points at which a function has no derivative, and which convention was used there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kedja.explain.words import _
from kedja.graph.node import Tensor
from kedja.ops.elementwise import greater, greater_equal, less, less_equal
from kedja.ops.op import is_differentiable
from kedja.ops.windows import Windows, spans

__all__ = ["kinks_of", "read_for_kinks"]

COMPARISONS = {greater, greater_equal, less, less_equal}


def read_for_kinks(node: Tensor) -> list[Tensor]:
    """The inputs whose numbers decide whether the node stands at a kink."""
    if node.op.name in ("relu", "absolute", "maximum", "minimum", "max", "min", "max_pool", "sqrt"):
        return list(node.inputs)
    if node.op.name == "where" and node.inputs[0].op in COMPARISONS:
        return list(node.inputs[0].inputs)
    return []


def kinks_of(node: Tensor, values: Mapping[Tensor, Any]) -> list[str]:
    """What to say of a node that was differentiated where it has no derivative."""
    name = node.op.name
    known = [np.asarray(values[x]) for x in read_for_kinks(node) if x in values]
    if len(known) < len(read_for_kinks(node)):
        return []
    if name in ("floor", "ceil", "round", "sign") and not is_differentiable(node.op):
        return [_("{op} is flat with jumps: kedja lets nothing flow back through it").format(op=name)]
    found = ""
    if not known:
        return []
    if name == "relu" and (n := int((known[0] == 0).sum())):
        found = _("relu has a kink at 0, and {n} of {all} inputs are exactly 0: kedja takes relu′(0) = 0")
    elif name == "absolute" and (n := int((known[0] == 0).sum())):
        found = _("|x| has a kink at 0, and {n} of {all} inputs are exactly 0: kedja takes |x|′(0) = 0")
    elif name == "sqrt" and (n := int((known[0] == 0).sum())):
        found = _("√x is infinitely steep at 0, and {n} of {all} inputs are exactly 0: the derivative there is ∞")
    elif name in ("maximum", "minimum") and (n := int((known[0] == known[1]).sum())):
        found = _("{n} of {all} pairs are equal: {op} has a kink there, and kedja gives each of the two half")
    elif name in ("max", "min") and (n := ties(node, known[0], values)):
        found = _("{n} of {all} results are reached by several entries: kedja lets those share the gradient")
    elif name == "max_pool" and (n := pooled_ties(node, known[0])):
        found = _("{n} of {all} windows have several largest numbers: kedja gives the gradient to the first")
    elif name == "where" and (n := int(np.sum(known[0] == known[1]))):
        found = _("{n} of {all} numbers lie exactly on the border between two branches: kedja takes the derivative of "
                  "the branch that the comparison chose")  # fmt: skip
    else:
        return []
    every = node.size if name in ("max", "min", "max_pool", "maximum", "minimum") else max(known[0].size, 1)
    return [found.format(n=n, all=every, op=name)]


def ties(node: Tensor, x: Any, values: Mapping[Tensor, Any]) -> int:
    """How many results of max or min more than one entry reaches."""
    axes = node.attrs["axes"]
    best = (np.max if node.op.name == "max" else np.min)(x, axis=axes, keepdims=True)
    return int(((x == best).sum(axis=axes) > 1).sum())


def pooled_ties(node: Tensor, x: Any) -> int:
    """How many windows have more than one largest number."""
    windows = Windows(**node.attrs)
    around = [(0, 0), *zip(windows.low, windows.high, strict=True), (0, 0)]
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded = np.pad(x, around, constant_values=least)
    seen = [padded[(slice(None), *where)] for _place, where in spans(node.shape[1:-1], windows)]
    best = np.max(seen, axis=0)
    return int((np.sum([here == best for here in seen], axis=0) > 1).sum())
