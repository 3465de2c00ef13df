"""A node written as a formula of named nodes: with their symbols, or with their numbers filled in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from kedja.explain.show.figures import Figures, Written
from kedja.explain.show.naming import Name, Slope, symbol_of
from kedja.graph.node import CONSTANT, Tensor
from kedja.ops.formula import fill, number, parenthesised
from kedja.ops.notation import ATOM, FUNCTION, POWER, PRODUCT, Notation, infix

__all__ = ["Writer", "inlined", "seen_through"]

AS_IS = Notation("{0}", ATOM, (ATOM,))
LAID_OUT = {"reshape", "broadcast_to", "cast"}  # they move numbers and change none
SHORT = 8  # letters of a constant that is written in full
LONG = 240  # letters of a formula that nobody reads

NEGATIVE = re.compile(r"-[\d.]+")  # a number that needs no brackets in front

# Where an explanation writes otherwise than programs do.
TEXT = {
    "absolute": Notation("|{0}|", ATOM, (0,)),
    "divide": Notation("{0} / {1}", PRODUCT, (PRODUCT, POWER)),
    "log": Notation("ln({0})", ATOM, (0,)),
    "power": Notation("{0}^{1}", POWER, (ATOM, ATOM)),
    "reciprocal": Notation("1 / {0}", PRODUCT, (POWER,)),
    "sigmoid": Notation("σ({0})", ATOM, (0,)),
    "slice": Notation("part({0})", ATOM, (0,)),
    "square": Notation("{0}²", POWER, (ATOM,)),
    "stop_gradient": Notation("hold({0})", ATOM, (0,)),
    "sum": Notation("Σ {0}", FUNCTION, (FUNCTION,)),
    "transpose": Notation("{0}ᵀ", POWER, (ATOM,)),
}
TEX = {
    "power": Notation("{{{0}}}^{{{1}}}", POWER, (ATOM, 0)),
    "square": Notation("{{{0}}}^{{2}}", POWER, (ATOM,)),
    "stop_gradient": Notation(r"\operatorname{{hold}}\left({0}\right)", ATOM, (0,)),
    "sum": Notation(r"\sum {0}", FUNCTION, (FUNCTION,)),
    "transpose": Notation(r"{{{0}}}^{{\top}}", POWER, (ATOM,)),
}
TIMES = {
    "text": (infix("·", PRODUCT), infix("∘", PRODUCT)),
    "tex": (infix(r"\cdot", PRODUCT), infix(r"\circ", PRODUCT)),
}
OVER = {"text": (infix("@", PRODUCT), Notation("{1} @ {0}", PRODUCT, (PRODUCT, PRODUCT)))}
OVER["tex"] = (infix(r"\,", PRODUCT), Notation(r"{1} \, {0}", PRODUCT, (PRODUCT, PRODUCT)))


def inlined(node: Tensor) -> bool:
    """Whether a formula leaves this node out, since its numbers are those of its input."""
    name = getattr(node.op, "name", "")
    if name in LAID_OUT:
        return True
    if name == "sum":
        return node.size == node.inputs[0].size
    if name == "divide":
        below = node.inputs[1]
        return below.op is CONSTANT and bool((below.attrs["value"] == 1).all()) and node.inputs[0].size == node.size
    return name == "where" and _guards(node)


def _guards(node: Tensor) -> bool:
    """`where(isfinite(s), s, 0)`, with which softmax keeps ∞ out."""
    condition, value, _ = node.inputs
    return getattr(condition.op, "name", "") == "isfinite" and condition.inputs[0] is value


def seen_through(node: Tensor) -> Tensor:
    """The node whose numbers these are."""
    while inlined(node):
        node = node.inputs[1] if node.op.name == "where" else node.inputs[0]
    return node


def level_of(name: Name) -> int:
    """How tightly a name binds: a derivative, written as a quotient, not enough for a power."""
    return FUNCTION if isinstance(name, Slope) else ATOM


class Writer:
    """Writes nodes with `names` for those that have one; with `values`, what has a short value is its numbers."""

    def __init__(
        self, figures: Figures, names: Mapping[Tensor, Name], values: Mapping[Tensor, Any] | None = None,
        whole: Collection[Tensor] = (),
    ) -> None:  # fmt: skip
        self.figures, self.names, self.values = figures, names, values
        self.whole = whole  # nodes whose elements keep all their indices, as those of weights do

    def formula(self, node: Tensor, itself: Tensor | None = None) -> Written:
        """The formula of a node in text and TeX; one that is too long says only what it depends on.

        `itself` is the node that is being explained: its own name does not serve as its formula.
        """
        text = self.styled(node, "text", itself)[0]
        if len(text) > LONG and self.values is not None:
            return Writer(self.figures, self.names).formula(node, itself)
        if len(text) > LONG:
            used = [n for n in self.above(node, itself) if n in self.names and n is not itself]
            parts, math = ([self.named(n, style)[0] for n in used] for style in ("text", "tex"))
            return Written(f"f({', '.join(parts)})", rf"f\left({', '.join(math)}\right)")
        return Written(text, self.styled(node, "tex", itself)[0])

    def above(self, node: Tensor, itself: Tensor | None) -> list[Tensor]:
        """The nodes of a formula, inputs before users; it ends at nodes with names."""
        seen: set[Tensor] = set()
        stack = [node]
        while stack:
            n = stack.pop()
            if n not in seen:
                seen.add(n)
                if n is itself or n not in self.names:
                    stack.extend(n.inputs)
        return sorted(seen, key=lambda n: n.serial)

    def styled(self, node: Tensor, style: str, itself: Tensor | None = None) -> tuple[str, int]:
        """The formula in one style, and how tightly it binds."""
        written: dict[Tensor, tuple[str, int]] = {}
        for n in self.above(node, itself):
            if n in self.names and n is not itself:
                written[n] = self.named(n, style)
            elif n.is_leaf:
                written[n] = self.leaf(n, style)
            elif inlined(n):
                written[n] = written[n.inputs[1] if n.op.name == "where" else n.inputs[0]]
            else:
                written[n] = self.applied(n, [written[x] for x in n.inputs], style)
            if len(written[n][0]) > 20 * LONG:
                written[n] = "…" if style == "text" else r"\ldots", ATOM
        return written[node]

    def applied(self, node: Tensor, parts: list[tuple[str, int]], style: str) -> tuple[str, int]:
        """One op on what is written already."""
        notation = self.notation(node, style)
        return self.put(node, notation, parts, style)

    @staticmethod
    def put(node: Tensor, notation: Notation, parts: list[tuple[str, int]], style: str) -> tuple[str, int]:
        """A template filled; a minus sign never follows another sign."""
        filled = [parenthesised(*p, notation.need(i), style) for i, p in enumerate(parts)]
        if (
            node.op.name in ("multiply", "matmul")
            and NEGATIVE.fullmatch(parts[0][0])
            and notation.template[:3] == "{0}"
        ):
            filled[0] = parts[0][0]
        if node.op.name in ("add", "subtract") and filled[1].startswith("-"):
            filled[1] = parenthesised(filled[1], 0, 1, style)
        return fill(notation.template, filled, node.attrs), notation.level

    def notation(self, node: Tensor, style: str) -> Notation:
        """How this op is written here."""
        name = node.op.name
        if name == "multiply":
            plain = any(seen_through(x).size == 1 for x in node.inputs)
            return TIMES[style][0 if plain else 1]
        if name == "matmul":
            return OVER[style][1 if self.figures.transposed else 0]
        found: Notation = (TEXT if style == "text" else TEX).get(name) or getattr(node.op, style)
        return found

    def named(self, node: Tensor, style: str) -> tuple[str, int]:
        """A named node: its symbol, or its numbers where they are few."""
        if self.values is not None and node in self.values:
            shown = self.figures.array(self.values[node], style)
            if shown is not None:
                return shown
        return getattr(self.names[node], style), level_of(self.names[node])

    def leaf(self, node: Tensor, style: str) -> tuple[str, int]:
        """A constant or an input that nobody gave a name here."""
        if node.op is CONSTANT:
            value: np.ndarray[Any, Any] = node.attrs["value"]
            if value.size > 1 and not node.name and (value == value.flat[0]).all():
                value = value.reshape(-1)[0].reshape(())  # one number, repeated
            if node.name and self.values is None:
                return getattr(symbol_of(node.name), style), ATOM
            if not value.shape and value.dtype.kind == "f":
                full = number(np.asarray(value), "text")
                if len(full.lstrip("-")) <= SHORT and "e" not in full and "inf" not in full:
                    return full, PRODUCT - 1 if full.startswith("-") else ATOM
            shown = self.figures.array(value, style)
            if shown is not None:
                return shown
        name = symbol_of(node.name) if node.name else symbol_of("c")
        return getattr(name, style), ATOM
