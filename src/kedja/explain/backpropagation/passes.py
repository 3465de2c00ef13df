"""The lines of the forward and of the backward pass, from a cast of named nodes and their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kedja.errors import DataError
from kedja.explain.backpropagation.backward import Backward, Edge, Slopes
from kedja.explain.backpropagation.elements import Elements
from kedja.explain.backpropagation.kinks import kinks_of, read_for_kinks
from kedja.explain.backpropagation.named import Named
from kedja.explain.backpropagation.sentences import backward_rule, does
from kedja.explain.show.blocks import Line, numbered
from kedja.explain.show.figures import Figures, Written
from kedja.explain.show.naming import Name, Slope, Symbol
from kedja.explain.show.writing import Writer, inlined, seen_through
from kedja.explain.words import _
from kedja.graph.node import Tensor
from kedja.ops.op import Elementwise

__all__ = ["MOST_ELEMENTS", "MOST_LINES", "Passes"]

MOST_LINES = 2000  # of a forward pass that is explained node by node
MOST_ELEMENTS = 3000  # single numbers, forward and backward


class Passes:
    """Both passes of one graph. `wrt` are the leaves whose gradients are shown too."""

    def __init__(
        self, cast: Named, order: Sequence[Tensor], backward: Backward | None, wrt: Iterable[Tensor], figures: Figures
    ) -> None:
        self.cast, self.order, self.backward, self.figures = cast, list(order), backward, figures
        self.wrt = [w for w in wrt if backward is not None and w in backward.totals]
        self.refuse_too_many()
        self.slopes = Slopes(backward, set(cast.shown), cast.slopes, cast.end) if backward is not None else None
        self.gradients: dict[Tensor, Name] = {}
        if self.slopes is not None:
            self.gradients = {s: Slope(cast.error, _symbol(cast.names[n])) for n, s in self.slopes.standins.items()}
        self.values: Mapping[Tensor, Any] = {}
        self.listed = set(cast.shown)

    # --- what has to be computed -------------------------------------------------------------------------------------
    def needed(self) -> list[Tensor]:
        """The nodes whose numbers the lines show."""
        inside = set(self.order)
        found = [*self.cast.shown, *(n for n in self.cast.names if n in inside)]
        for node in self.order:
            found += read_for_kinks(node)
            if self.cast.level == "element" and not node.is_leaf and node.dtype.kind == "b":
                found.append(node)
        if self.backward is not None:
            found += [self.backward.totals[n] for n in (*self.cast.shown, *self.wrt) if n in self.backward.totals]
            if self.cast.level != "layer" or not self.cast.layer_of:
                found += [e.local for n in (*self.cast.shown, *self.wrt) for e in self.edges(n) if e.local is not None]
        return found

    def known(self, values: Mapping[Tensor, Any]) -> None:
        """Take the numbers."""
        filled = dict(values)
        if self.slopes is not None and self.backward is not None:
            for node, standin in self.slopes.standins.items():
                total = self.backward.totals.get(node)
                if total is not None and total in filled:
                    filled[standin] = filled[total]
        self.values = filled

    # --- forward -----------------------------------------------------------------------------------------------------
    def forward(self) -> list[Line]:
        """A line for every node that is shown."""
        return numbered([self.forward_line(n) for n in self.cast.shown])

    def forward_line(self, node: Tensor) -> Line:
        """What one node computes."""
        cast = self.cast
        symbols, numbers = self.writers(cast.names)
        formula = cast.written.get(node, node)
        main = main_op(node) if cast.level == "layer" else seen_through(node) if inlined(node) else node
        main = node if main.is_leaf else main
        line = Line(
            cast.names[node].written, symbols.formula(formula, node), numbers.formula(formula, node),
            self.values[node], main.op.name, cast.layer_of.get(node, ""), does(main), str(node.source or ""),
        )  # fmt: skip
        if node in cast.rules:
            line.formula, line.numbers, line.op, line.rule = None, None, "", cast.rules[node]
        elif cast.level == "element":
            line.elements = self.elements(node, formula, cast.names, node, cast.names[node])
        return line

    # --- backward ----------------------------------------------------------------------------------------------------
    def backwards(self, start: int = 1) -> list[Line]:
        """A line for every gradient, from the output down; a weight's directly after the last node that uses it."""
        if self.backward is None:
            return []
        nodes = [n for n in self.cast.shown if n in self.backward.totals]
        place = {n: float(n.serial) for n in nodes}
        for w in self.wrt:
            place.setdefault(w, min((e.node.serial for e in self.edges(w, False)), default=w.serial) - 0.5)
        notes = self.kinks(place)
        ordered = sorted(place, key=lambda n: place[n], reverse=True)
        lines = [self.backward_line(n) for n in ordered]
        for node, line in zip(ordered, lines, strict=True):
            line.notes = notes.get(node, [])
        return numbered(lines, start)

    def backward_line(self, node: Tensor) -> Line:
        """The gradient of one node: what reaches it, and by which rule."""
        assert self.backward is not None and self.slopes is not None
        name = Slope(self.cast.error, _symbol(self.cast.names[node]))
        names = {**self.cast.names, **self.gradients}
        symbols, numbers = self.writers(names)
        graph = self.slopes.graph.get(node)
        formula = symbols.formula(graph) if graph is not None else None
        edges = self.edges(node)
        users = list(dict.fromkeys(e.node for e in edges))
        line = Line(
            name.written, formula, numbers.formula(graph) if graph is not None else None,
            self.values[self.backward.totals[node]], ", ".join(dict.fromkeys(u.op.name for u in users)),
            self.cast.layer_of.get(users[0] if users else node, ""), self.rule(node, users), str(node.source or ""),
        )  # fmt: skip
        if node is self.cast.end:
            line.op, line.layer, line.rule = "", "", _("the output changes exactly as it changes itself")
        elif self.cast.level != "layer" or not self.cast.layer_of:
            line.derivatives = self.derivatives(node, edges, numbers)
        if self.cast.level == "element" and graph is not None:
            line.elements = self.elements(node, graph, names, None, name)
        return line

    def rule(self, node: Tensor, users: Sequence[Tensor]) -> str:
        """Why the gradient is what it is."""
        if node in self.cast.slopes:
            return _("cross-entropy behind softmax: output minus target (over the number of examples)")
        said = "; ".join(dict.fromkeys(backward_rule(u) for u in users))
        if len(users) > 1:
            said += "; " + _("it is used in {n} places, and what comes back from them is added up").format(n=len(users))
        return said

    def edges(self, node: Tensor, through: bool = True) -> list[Edge]:
        """The edges into a node; what only lays numbers out is passed over."""
        assert self.backward is not None
        if self._into is None:
            self._into = {}
            for edge in self.backward.edges:
                self._into.setdefault(edge.parent, []).append(edge)
        found = []
        for edge in self._into.get(node, []):
            if through and inlined(edge.node) and edge.node not in self.listed:
                found += self.edges(edge.node)
            else:
                found.append(edge)
        return found

    _into: dict[Tensor, list[Edge]] | None = None

    def named_above(self, node: Tensor) -> Tensor | None:
        """The node on the page that this one is part of with derivative 1: itself, or x W + b of x W."""
        while node not in self.listed:
            up = (self._into or {}).get(node, [])
            if len(up) != 1 or not (inlined(up[0].node) or up[0].node.op.name == "add"):
                return None
            node = up[0].node
        return node

    def derivatives(self, node: Tensor, edges: Sequence[Edge], numbers: Writer) -> list[tuple[Written, Written]]:
        """∂user/∂node for every user that has a name: formula, then numbers."""
        found = []
        names = self.cast.names
        symbols, filled = self.writers(names)
        for edge in edges:
            above = self.named_above(edge.node)
            if edge.local is None or above is None or above in self.cast.written:
                continue
            left = Slope(_symbol(names[above]), _symbol(names[node])).written
            rows = [symbols.formula(edge.local)]
            if isinstance(edge.node.op, Elementwise):
                rows.append(filled.formula(edge.local))
            if edge.local in self.values and len(rows) > 1:
                value = self.figures.array(self.values[edge.local], "text")
                if value is not None:
                    rows.append(self.figures.written(self.values[edge.local]))
            kept = [r for i, r in enumerate(rows) if r.text not in [q.text for q in rows[:i]]]
            if left.text == Slope(self.cast.error, _symbol(names[node])).text:
                continue
            found.append((left, Written(" = ".join(r.text for r in kept), " = ".join(r.tex for r in kept))))
        return found

    # --- parts -------------------------------------------------------------------------------------------------------
    def writers(self, names: Mapping[Tensor, Name]) -> tuple[Writer, Writer]:
        """One that writes symbols, and one that writes numbers."""
        return Writer(self.figures, names), Writer(self.figures, names, self.values)

    def elements(
        self, node: Tensor, formula: Tensor, names: Mapping[Tensor, Name], itself: Tensor | None, name: Name
    ) -> list[list[Written]]:
        """A row for each element: its name, the formula in symbols, in numbers, and the value."""
        symbols, numbers = (Elements(w) for w in self.writers(names))
        value = self.values[node] if itself is not None else self.values[self.backward.totals[node]]  # type: ignore[union-attr]
        rows = []
        if np.size(value) > MOST_ELEMENTS:
            return []
        whole = symbols.writer.formula(formula, itself).text if np.size(value) == 1 else None
        own = Elements(Writer(self.figures, {node: name}))
        for index in np.ndindex(*np.shape(value)):
            row = [own.name(node, index).written]
            for writer in (symbols, numbers):
                row += [w for w in [writer.formula(formula, index, itself)] if w is not None]
            shown = [self.figures.number(np.asarray(value)[index], style)[0] for style in ("text", "tex")]
            row.append(Written(*shown))
            if len(row) < 2 or row[1].text != whole:  # a single number is on the line already
                rows.append([r for i, r in enumerate(row) if i == 0 or r.text != row[i - 1].text])
        return rows

    def kinks(self, place: Mapping[Tensor, Any]) -> dict[Tensor, list[str]]:
        """Conventions that were used, by the node on whose line they are said."""
        found: dict[Tensor, list[str]] = {}
        assert self.backward is not None
        flows = self.backward.flows
        for node in self.order:
            if node.is_leaf or node not in flows or not any(x in flows for x in node.inputs):
                continue
            for said in kinks_of(node, self.values):
                at: Tensor | None = node
                while at is not None and (at is node or at not in place):
                    at = next((x for x in at.inputs if x in flows), None)
                found.setdefault(at if at is not None else next(iter(place)), []).append(said)
        return {n: list(dict.fromkeys(said)) for n, said in found.items()}

    def refuse_too_many(self) -> None:
        """Raise where nobody could read it all, and say what else there is."""
        if self.cast.level == "layer":
            return
        count = len(self.cast.shown)
        numbers = sum(n.size for n in (*self.cast.shown, *self.wrt)) * (2 if self.backward is not None else 1)
        other = 'level="layer" has a line or two for each layer, and weight="layer.kernel[0, 0]" follows one weight'
        if count > MOST_LINES:
            raise DataError(
                f"this graph is too large to explain whole: {count:,} nodes, and at most {MOST_LINES:,} are shown. "
                f"{other}."
            )
        if self.cast.level == "element" and numbers > MOST_ELEMENTS:
            raise DataError(
                f"this graph is too large to explain number by number: {numbers:,} of them, and at most "
                f'{MOST_ELEMENTS:,} are shown. level="op" has {count} lines, {other}.'
            )


def main_op(node: Tensor) -> Tensor:
    """The op a layer is known by: of x W + b the product."""
    node = seen_through(node)
    if node.is_leaf or node.op.name != "add":
        return node
    below = [seen_through(x) for x in node.inputs]
    return next((x for x in below if not x.is_leaf and x.op.name in ("matmul", "conv", "conv_transpose")), node)


def _symbol(name: Name) -> Symbol:
    return name.by if isinstance(name, Slope) else name
