"""The whole chain for one weight: ∂E/∂w = ∂E/∂o · ∂o/∂net · ∂net/∂w, with numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.diff.forward import tangents
from kedja.errors import DataError, ShapeError, one_of
from kedja.explain.backpropagation.elements import Elements
from kedja.explain.backpropagation.passes import Passes
from kedja.explain.backpropagation.record import Record
from kedja.explain.show.blocks import Line, numbered
from kedja.explain.show.figures import Written
from kedja.explain.show.naming import Slope, Symbol
from kedja.explain.words import _, counted
from kedja.graph.node import Tensor, constant
from kedja.graph.variables import Variable
from kedja.ops.linalg import product

__all__ = ["Chain", "weight_at"]

FULL = 3  # places whose chain is written out; the rest are added up
DEEP = 12  # slopes further up that are written out
Index = tuple[int, ...]


def weight_at(record: Record, weight: str) -> tuple[str, Variable, Index]:
    """The parameter and the entry that "dense_1.kernel[0, 1]" names; errors list the weights, or name the shape."""
    found = re.fullmatch(r"\s*([^\[\]]+?)\s*(?:\[([^\]]*)\])?\s*", str(weight))
    if found is None or found[1] not in record.parameters:
        raise one_of("weight", found[1] if found else weight, record.parameters)
    path, variable = found[1], record.parameters[found[1]]
    try:
        index = tuple(int(i) for i in (found[2] or "").split(",") if i.strip())
    except ValueError:
        index = ()
    if len(index) != variable.ndim or (found[2] and not index):
        raise ShapeError(
            f"weight={weight!r}: {path} has shape {variable.shape}, so it takes {variable.ndim} whole numbers in "
            f"square brackets, counted from 0, as in {path}[{', '.join('0' * variable.ndim)}]"
        )
    if any(not -n <= i < n for i, n in zip(index, variable.shape, strict=True)):
        last = ", ".join(str(n - 1) for n in variable.shape)
        raise ShapeError(
            f"weight={weight!r}: {path} has shape {variable.shape}, and its last entry is {path}[{last}]: "
            "indices are counted from 0"
        )
    if path not in record.reached:
        raise DataError(f"weight={weight!r}: the loss does not depend on {path}, its gradient is 0")
    return path, variable, tuple(i % n for i, n in zip(index, variable.shape, strict=True))


class Term:
    """One place at which the weight acts: ∂E/∂u[e] and ∂u[e]/∂w."""

    def __init__(self, node: Tensor, index: Index, above: float, local: float) -> None:
        self.node, self.index, self.above, self.local = node, index, above, local


class Chain:
    """The chain for one entry of one parameter, on the passes of a record."""

    def __init__(self, passes: Passes, record: Record, path: str, variable: Variable, index: Index) -> None:
        self.passes, self.record, self.path, self.variable, self.index = passes, record, path, variable, index
        one = np.zeros(variable.shape, variable.dtype)
        one[index] = 1
        cast = passes.cast
        shown = set(cast.shown)
        move = constant(one)
        self.moved: dict[Tensor, Tensor] = {}
        for node in cast.shown:
            if node in passes.backward.flows:  # type: ignore[union-attr]
                found = tangents([node], {variable: move}, [n for n in shown if n is not node]).get(node)
                if found is not None:
                    self.moved[node] = found
        own = Elements(passes.writers(cast.names)[0])
        symbol = own.name(variable, index)
        assert isinstance(symbol, Symbol)
        self.symbol, self.slope = symbol, Slope(cast.error, symbol)

    def needed(self) -> list[Tensor]:
        """What has to be computed besides the passes."""
        above = [e.local for n in self.passes.cast.shown for e in self.passes.edges(n) if e.local is not None]
        return [*self.moved.values(), *above]

    def solve(self) -> None:
        """Find the places where the weight acts."""
        passes = self.passes
        values, totals = passes.values, passes.backward.totals  # type: ignore[union-attr]
        self.terms: list[Term] = []
        self.count = 0
        for node, moved in self.moved.items():
            local = np.asarray(values[moved])
            above = np.asarray(values[totals[node]])
            for at in np.argwhere(local):
                self.count += 1
                index = tuple(int(i) for i in at)
                self.terms.append(Term(node, index, float(above[index]), float(local[index])))
        self.value = np.asarray(values[totals[self.variable]])[self.index]
        self.before = np.asarray(values[self.variable])[self.index]

    # --- lines --------------------------------------------------------------------------------------------------------
    def lines(self) -> list[Line]:
        """The values on the way, the factors for each place, and their product."""
        self.solve()
        found: list[Line] = []
        explained: dict[tuple[Tensor, Index], None] = {}
        parts: list[Written] = []
        factors: list[str] = []
        for term in self.terms[:FULL]:
            names, numbers, lines = self.term(term, explained)
            found += lines
            parts.append(names)
            factors.append(numbers)
        found.append(self.sum_of(parts, factors))
        return numbered(found)

    def sum_of(self, parts: list[Written], factors: list[str]) -> Line:
        """∂E/∂w as the sum over all places of the products."""
        more = self.count - len(parts)
        texts, maths = [w.text for w in parts], [w.tex for w in parts]
        sums = list(factors)
        note = []
        if more > 0:
            texts, maths, sums = [*texts, "…"], [*maths, r"\cdots"], [*sums, "…"]
            note = [counted("and {n} place more, added up", "and {n} places more, added up", more)]
        line = Line(
            self.slope.written, Written(" + ".join(texts), " + ".join(maths)) if parts else None,
            Written(" + ".join(sums), " + ".join(s.replace("·", r"\cdot").replace("…", r"\cdots") for s in sums)),
            self.value, rule=_("chain rule: the derivatives along the way are multiplied"), layer=self.path,
        )  # fmt: skip
        if self.count > 1:
            line.rule += "; " + _("the weight acts in {n} places, and those are added up").format(n=self.count)
        line.notes = note
        return line

    def term(
        self, term: Term, explained: dict[tuple[Tensor, Index], None]
    ) -> tuple[Written, str, list[Line]]:  # fmt: skip
        """One place: names of the factors, their numbers, and the lines that explain them."""
        cast, passes = self.passes.cast, self.passes
        lines: list[Line] = []
        path = [(term.node, term.index)]
        locals_: list[tuple[Any, Any, Tensor]] = []
        while True:
            node, index = path[-1]
            edges = passes.edges(node)
            if len(edges) != 1 or node in cast.slopes:
                break
            edge = edges[0]
            if edge.local is None or edge.node.shape != node.shape or edge.node not in cast.names:
                break
            if edge.node is cast.end:
                break
            locals_.append((edge.node, node, edge.local))
            path.append((edge.node, index))
        lines += [self.forward_element(n, i) for n, i in path]
        top, at = path[-1]
        upper = self.slopes_above(top, at, explained)
        lines += upper
        names: list[Written] = []
        numbers: list[str] = []

        def factor(name: Written, value: Any) -> None:
            shown, level = passes.figures.number(value)
            names.append(name)
            numbers.append(f"({shown})" if numbers and level < 2 else shown)

        output = cast.end
        if top is not output:
            name = self.element_name(top, at)
            factor(Slope(cast.error, name).written, np.asarray(passes.values[passes.backward.totals[top]])[at])  # type: ignore[union-attr]
        for up, low, local in reversed(locals_):
            left = Slope(self.element_name(up, at), self.element_name(low, at)).written
            symbols, filled = (Elements(w) for w in passes.writers(cast.names))
            position = at[len(at) - local.ndim :] if local.shape != low.shape else at
            position = tuple(0 if n == 1 else i for i, n in zip(position, local.shape, strict=True))
            value = np.asarray(passes.values[local])[position]
            formulas = symbols.formula(local, position), filled.formula(local, position)
            lines.append(Line(left, *formulas, value, op=up.op.name, layer=cast.layer_of.get(up, "")))
            factor(left, value)
        last = Slope(self.element_name(term.node, term.index), self.symbol).written
        symbol, filled_in = self.by_the_weight(term)
        local = np.asarray(term.local, self.value.dtype)
        lines.append(Line(last, symbol, filled_in, local, layer=cast.layer_of.get(term.node, "")))
        factor(last, np.asarray(term.local, self.value.dtype))
        joined = Written(" · ".join(n.text for n in names), r" \cdot ".join(n.tex for n in names))
        return joined, " · ".join(numbers), lines

    def by_the_weight(self, term: Term) -> tuple[Written | None, Written | None]:
        """∂net/∂w in symbols: behind a matrix product, the number the weight is multiplied by."""
        passes = self.passes
        for edge in passes.edges(self.variable):
            if edge.node.op is product and edge.position == 1 and edge.node.ndim == 2:
                size = edge.node.shape
                row = int(np.ravel_multi_index(term.index, term.node.shape)) // size[1]
                symbols, numbers = (Elements(w) for w in passes.writers(passes.cast.names))
                at = (row, self.index[0])
                return symbols.formula(edge.node.inputs[0], at), numbers.formula(edge.node.inputs[0], at)
        return None, None

    def slopes_above(self, top: Tensor, at: Index, explained: dict[tuple[Tensor, Index], None]) -> list[Line]:
        """∂E/∂o of this element, and before it the slopes further up that its formula uses."""
        passes, cast = self.passes, self.passes.cast
        output = cast.end
        back = {s: n for n, s in passes.slopes.standins.items()}  # type: ignore[union-attr]
        wanted: list[tuple[Tensor, Index]] = [(top, at)]
        found: list[Line] = []
        while wanted and len(explained) < DEEP:
            node, index = wanted.pop(0)
            if (node, index) in explained or node is output:
                continue
            explained[node, index] = None
            graph = passes.slopes.graph.get(node)  # type: ignore[union-attr]
            symbols, numbers = (Elements(w) for w in passes.writers({**cast.names, **passes.gradients}))
            value = np.asarray(passes.values[passes.backward.totals[node]])[index]  # type: ignore[union-attr]
            name = Slope(cast.error, self.element_name(node, index)).written
            formulas = (None, None)
            if graph is not None:
                formulas = symbols.formula(graph, index), numbers.formula(graph, index)  # type: ignore[assignment]
                wanted += [(back[n], i) for n, i in symbols.used if n in back]
            found.append(Line(name, *formulas, value, layer=cast.layer_of.get(node, "")))
        return found[::-1]

    def forward_element(self, node: Tensor, index: Index) -> Line:
        """net₁ = x₁ w₁₁ + …, on the way forward."""
        passes, cast = self.passes, self.passes.cast
        symbols, numbers = (Elements(w) for w in passes.writers(cast.names))
        formula = cast.written.get(node, node)
        name = self.element_name(node, index)
        value = np.asarray(passes.values[node])[index]
        return Line(
            name.written, symbols.formula(formula, index, node), numbers.formula(formula, index, node), value,
            layer=cast.layer_of.get(node, ""), source=str(node.source or ""),
        )  # fmt: skip

    def element_name(self, node: Tensor, index: Sequence[int]) -> Symbol:
        """The symbol of one element of a named node."""
        found = Elements(self.passes.writers(self.passes.cast.names)[0]).name(node, index)
        assert isinstance(found, Symbol)
        return found
