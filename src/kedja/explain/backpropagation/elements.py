"""One element of a node written as a formula of elements: net₁ = x₁·w₁₁ + x₂·w₂₁."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.errors import DataError
from kedja.explain.show.figures import Written
from kedja.explain.show.naming import Name
from kedja.explain.show.writing import NEGATIVE, Writer, inlined, level_of
from kedja.graph.node import CONSTANT, INPUT, Tensor
from kedja.graph.variables import Variable
from kedja.ops.formula import fill, parenthesised
from kedja.ops.notation import ATOM, PRODUCT, SUM
from kedja.ops.op import Elementwise

__all__ = ["MOST_TERMS", "Elements", "shown_index"]

MOST_TERMS = 40  # of a sum that is written out
Index = tuple[int, ...]


class TooLong(DataError):
    """A sum of more terms than anybody reads."""


def shown_index(node: Tensor, index: Sequence[int], transposed: bool, whole: bool = False) -> Index:
    """The index as it is written: without axes of one entry (weights keep theirs), turned over where matrices are."""
    keep = whole or isinstance(node, Variable)
    found = tuple(i for i, n in zip(index, node.shape, strict=True) if keep or n != 1)
    return found[::-1] if transposed and node.ndim == 2 and len(found) == 2 else found


class Elements:
    """Writes single elements, with the names (and values) of a Writer."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.transposed = writer.figures.transposed
        self.used: dict[tuple[Tensor, Index], None] = {}  # the elements of named nodes that formulas used, in order

    def formula(self, node: Tensor, index: Sequence[int], itself: Tensor | None = None) -> Written | None:
        """One element, or None where it would be too long. `itself` is the node whose own name does not serve."""
        try:
            text, tex = (self.styled(node, tuple(index), s, itself)[0] for s in ("text", "tex"))
        except TooLong:
            return None
        return Written(text, tex)

    def name(self, node: Tensor, index: Sequence[int]) -> Name:
        """The symbol of an element."""
        symbol = self.writer.names[node]
        at = shown_index(node, index, self.transposed, node in self.writer.whole)
        return symbol.at(at) if at else symbol

    def styled(self, node: Tensor, index: Index, style: str, top: Tensor | None) -> tuple[str, int]:
        """One element in one style, and how tightly it binds."""
        writer = self.writer
        if node in writer.names and node is not top:
            self.used[node, index] = None
            if writer.values is not None and node in writer.values:
                return writer.figures.number(np.asarray(writer.values[node])[index], style)
            name = self.name(node, index)
            return getattr(name, style), level_of(name)
        if node.op is CONSTANT:
            return self.constant(node, index, style)
        if node.is_leaf:
            return getattr(node, "name", None) or "c", ATOM
        inputs = node.inputs
        name = node.op.name
        if name in ("divide", "where") and inlined(node):
            return self.styled(inputs[1 if name == "where" else 0], index, style, top)
        if name == "where":
            return self.branch(node, index, style, top)
        if isinstance(node.op, Elementwise) or name == "stop_gradient":
            parts = [self.styled(x, _stretched(x, index, node.ndim), style, top) for x in inputs]
            scalars = _like_numbers(node)
            notation = writer.notation(scalars, style)
            return writer.put(node, notation, parts, style)
        if name == "cast":
            return self.styled(inputs[0], index, style, top)
        if name == "reshape":
            flat = int(np.ravel_multi_index(index, node.shape)) if index else 0
            return self.styled(inputs[0], _unravelled(flat, inputs[0].shape), style, top)
        if name == "broadcast_to":
            return self.styled(inputs[0], _stretched(inputs[0], index, node.ndim), style, top)
        if name == "transpose":
            back = np.argsort(node.attrs["axes"])
            return self.styled(inputs[0], tuple(index[i] for i in back), style, top)
        if name == "sum":
            return self.added(node, index, style, top)
        if name == "matmul":
            return self.product(node, index, style, top)
        whole, level = writer.styled(node, style, top)
        place = ",".join(str(i + 1) for i in shown_index(node, index, self.transposed))
        open_ = whole if level == ATOM else f"({whole})"
        return (f"{open_}[{place}]", ATOM) if style == "text" else (rf"\left({whole}\right)_{{{place}}}", level)

    def branch(self, node: Tensor, index: Index, style: str, top: Tensor | None) -> tuple[str, int]:
        """One element of a choice: with numbers, or where the condition is known, the branch that was taken."""
        condition = node.inputs[0]
        values = self.writer.values
        parts = [self.styled(x, _stretched(x, index, node.ndim), style, top) for x in node.inputs]
        if values is not None and condition in values:
            at = _stretched(condition, index, node.ndim)
            return parts[1] if np.asarray(values[condition])[at] else parts[2]
        notation = self.writer.notation(node, style)
        filled = [parenthesised(*p, notation.need(i), style) for i, p in enumerate(parts)]
        return fill(notation.template, filled, node.attrs), notation.level

    def added(self, node: Tensor, index: Index, style: str, top: Tensor | None) -> tuple[str, int]:
        """The terms of a sum."""
        x, axes = node.inputs[0], node.attrs["axes"]
        sizes = [x.shape[a] for a in axes]
        if int(np.prod(sizes, dtype=int)) > MOST_TERMS:
            raise TooLong("too many terms")
        terms = []
        for inner in np.ndindex(*sizes):
            rest, given = iter(index), dict(zip(axes, inner, strict=True))
            at = tuple(given[i] if i in given else next(rest) for i in range(x.ndim))
            terms.append(self.styled(x, at, style, top))
        return _plus(terms, style)

    def product(self, node: Tensor, index: Index, style: str, top: Tensor | None) -> tuple[str, int]:
        """A row times a column."""
        a, b = node.inputs
        if a.shape[-1] > MOST_TERMS:
            raise TooLong("too many terms")
        lead, (i, j) = index[:-2], index[-2:]
        dot = " · " if style == "text" else r" \cdot "
        terms: list[tuple[str, int]] = []
        for k in range(a.shape[-1]):
            left = (*_stretched_lead(a, lead), i, k)
            right = (*_stretched_lead(b, lead), k, j)
            pair = [self.styled(a, left, style, top), self.styled(b, right, style, top)]
            pair = pair[::-1] if self.transposed else pair
            filled = [parenthesised(*p, PRODUCT, style) for p in pair]
            filled[0] = pair[0][0] if NEGATIVE.fullmatch(pair[0][0]) and not terms else filled[0]
            terms.append((dot.join(filled), PRODUCT))
        return _plus(terms, style)

    def constant(self, node: Tensor, index: Index, style: str) -> tuple[str, int]:
        value = node.attrs["value"]
        if not value.shape:
            return self.writer.leaf(node, style)
        return self.writer.figures.number(value[index], style)


def _plus(terms: list[tuple[str, int]], style: str) -> tuple[str, int]:
    if not terms:
        return "0", ATOM
    if len(terms) == 1:
        return terms[0]
    return " + ".join(parenthesised(t, level, SUM if t[0] != "-" else PRODUCT, style) for t, level in terms), SUM


def _stretched(x: Tensor, index: Index, ndim: int) -> Index:
    """The index into an input that was broadcast."""
    own = index[ndim - x.ndim :] if x.ndim else ()
    return tuple(0 if n == 1 else i for i, n in zip(own, x.shape, strict=True))


def _stretched_lead(x: Tensor, lead: Index) -> Index:
    own = lead[len(lead) - (x.ndim - 2) :] if x.ndim > 2 else ()
    return tuple(0 if n == 1 else i for i, n in zip(own, x.shape, strict=False))


def _unravelled(flat: int, shape: Any) -> Index:
    return tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()


def _like_numbers(node: Tensor) -> Tensor:
    """The same op on single numbers, which is written with a dot and not a ring."""
    inputs = tuple(Tensor(INPUT, (), {}, (), x.dtype) for x in node.inputs)
    return Tensor(node.op, inputs, node.attrs, (), node.dtype)
