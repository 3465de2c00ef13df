"""A graph of tensors explained, without a model: every node, every edge's derivative, every gradient (scope 1.7)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kedja.engines import Engine
from kedja.errors import GraphError
from kedja.explain.backpropagation.backward import Backward
from kedja.explain.backpropagation.named import Named
from kedja.explain.backpropagation.passes import Passes
from kedja.explain.backpropagation.record import computed
from kedja.explain.backpropagation.symbols import dependent
from kedja.explain.backpropagation.walkthrough import Walkthrough
from kedja.explain.show.figures import Figures
from kedja.explain.show.naming import Notation, Symbol, symbol_of
from kedja.explain.show.writing import inlined, seen_through
from kedja.explain.words import _
from kedja.graph.dtypes import is_float
from kedja.graph.node import CONSTANT, INPUT, Tensor, ancestors
from kedja.graph.variables import Variable
from kedja.ops.control import MANY

__all__ = ["graph"]

ASSIGNED = re.compile(r"^([^\W\d]\w*(?:\s*,\s*[^\W\d]\w*)*)\s*=(?!=)(.*)$")


class Bare(Named):
    """The names of a graph's nodes: given ones, those of leaves, and the name a line of the program assigns to."""

    def __init__(
        self, outputs: Sequence[Tensor], order: Sequence[Tensor], names: Mapping[str, Tensor], level: str
    ) -> None:
        super().__init__(level)
        self.aliases: set[Tensor] = set()
        for given, node in names.items():
            if not isinstance(node, Tensor):
                raise GraphError(f"names= gives names to tensors, and {given!r} is a {type(node).__name__}")
            self.call_it(node, symbol_of(given))
        for node in order:
            if node.name and node not in self.names:
                self.names[node] = symbol_of(node.name)
        guessed = {} if names else assigned(order)
        taken = {n.text for n in self.names.values()}
        for node, word in guessed.items():
            symbol = symbol_of(word)
            if node not in self.names and symbol.text not in taken:
                self.call_it(node, symbol)
                taken.add(symbol.text)
        free = (Symbol("y") if i == 0 else Symbol("y", "", str(i)) for i in range(len(order) + 1))
        for output in outputs:
            if output not in self.names and seen_through(output) not in self.names:
                self.call_it(output, next(s for s in free if s.text not in taken))
                taken.add(self.names[output].text)
        base = seen_through(outputs[-1])
        self.end = base if outputs[-1] in self.aliases or outputs[-1] not in self.names else outputs[-1]
        told = dependent(order, [n for n in order if n.is_leaf and (n.op is not CONSTANT or n.name)])
        self.shown = [n for n in order if self.is_shown(n, told, set(outputs))]
        listed, count = set(self.shown), 0
        for node in order:
            if node in self.names:
                continue
            if node in listed:
                count += 1
                self.names[node] = Symbol("u", "", str(count))
            elif isinstance(node, Variable):
                symbol = Symbol("w", "", str(sum(isinstance(n, Variable) and n in self.names for n in order) + 1))
                self.names[node] = symbol
        name = self.names[self.end]
        assert isinstance(name, Symbol)
        self.error = name

    def call_it(self, node: Tensor, symbol: Symbol) -> None:
        """Name a node, and with it the node whose numbers it only lays out anew."""
        self.names[node] = symbol
        base = seen_through(node)
        if base is not node and not base.is_leaf and base.size == node.size and base not in self.names:
            self.names[base] = symbol
            self.aliases.add(node)

    def is_shown(self, node: Tensor, told: set[Tensor], outputs: set[Tensor]) -> bool:
        """Whether a node has a line of its own."""
        if node.is_leaf or node.dtype == MANY or node in self.aliases:
            return False
        if node in self.names:
            return True
        if self.level == "layer" or not is_float(node.dtype) or node not in told:
            return False
        return not inlined(node) and node.op.name != "transpose" and node not in outputs


def assigned(order: Sequence[Tensor]) -> dict[Tensor, str]:
    """Names from the program's own lines: the last node of `h = x @ w + b` is h. Lines that run twice give none."""
    lines: dict[Any, list[Tensor]] = {}
    for node in order:
        source = node.source
        if source is not None and not node.is_leaf:
            lines.setdefault((source.file, source.line, source.text), []).append(node)
    found: dict[Tensor, str] = {}
    for (_file, _line, text), nodes in lines.items():
        match = ASSIGNED.match(text)
        if match is None:
            continue
        words = [w.strip() for w in match[1].split(",")]
        places = [n.where for n in nodes if not inlined(n)]
        if len(words) == 1 and len({(id(n.op), n.where) for n in nodes if not inlined(n)}) == len(places):
            found[nodes[-1]] = words[0]
        elif len(words) == len(nodes) == len(match[2].split(",")):
            found.update(zip(nodes, words, strict=True))
    return {n: w for n, w in found.items() if w != "_"}


def graph(
    output: Any, wrt: Any = None, *, names: Mapping[str, Any] | None = None, level: str = "op", notation: Any = None,
    digits: int = 4, engine: str | Engine = "reference", title: str | None = None,
) -> Walkthrough:  # fmt: skip
    """A graph with numbers: every node forward and, from a single number, every derivative on the way back.

    `wrt` are the tensors to differentiate by: by default all parameters the output depends on; `[]` leaves the way back
    out. `names={"c": c}` names nodes; without it, names are those of leaves and those that the program's lines assign
    to. Several outputs, as a list, are shown forward only. `level`, `notation`, `digits` as for `backprop`.

    Raises GraphError for what is no tensor or has an input without a value. Source: scope 1.2, 1.5, 1.7.

    >>> import kedja as kj
    >>> a, b = kj.Parameter(2.0, name="a"), kj.Parameter(1.0, name="b")
    >>> c, d = a + b, b + 1
    >>> walk = kj.explain.graph(c * d, [a, b], names={"c": c, "d": d})
    >>> [(line.name.text, float(line.value)) for line in walk.backward[1:]]
    [('∂y/∂d', 3.0), ('∂y/∂c', 2.0), ('∂y/∂a', 2.0), ('∂y/∂b', 5.0)]
    """
    outputs = list(output) if isinstance(output, list | tuple) else [output]
    for y in outputs:
        if not isinstance(y, Tensor):
            raise GraphError(f"explain.graph takes a tensor, or a list of them; got {type(y).__name__}")
    order = ancestors(outputs)
    missing = next((n for n in order if n.op is INPUT), None)
    if missing is not None:
        raise GraphError(
            f"{missing.name or 'an input'} of shape {missing.shape} is an input of a graph and has no value: "
            "explain the graph on tensors with numbers, kj.tensor(...)"
        )
    chosen = [n for n in order if isinstance(n, Variable) and n.trainable] if wrt is None else as_list(wrt)
    single = len(outputs) == 1 and outputs[0].size == 1 and is_float(outputs[0].dtype)
    if wrt is not None and chosen and not single:
        raise GraphError(
            "derivatives are of a single number: give one output with one element, or wrt=[] for the way forward alone"
        )
    style = Notation.of(notation)
    figures = Figures(digits, transposed=style.transposed)
    cast = Bare(outputs, order, names or {}, level)
    backward = Backward(outputs[0], chosen) if chosen and single else None
    for node in chosen:
        if node not in cast.names:
            raise GraphError("the output does not depend on one of the tensors in wrt, so that derivative is 0")
    leaves = [n for n in chosen if n.is_leaf]
    passes = Passes(cast, order, backward, leaves, figures)
    passes.known(computed(passes.needed(), {}, engine))
    walk = Walkthrough(_("A graph, with numbers") if title is None else title, [], figures)
    walk.error = cast.error.text
    walk.forward = passes.forward()
    walk.backward = passes.backwards(len(walk.forward) + 1)
    return walk


def as_list(wrt: Any) -> list[Tensor]:
    """The tensors to differentiate by."""
    found = list(wrt) if isinstance(wrt, list | tuple) else [wrt]
    for x in found:
        if not isinstance(x, Tensor):
            raise GraphError(f"wrt are the tensors to differentiate by, got {type(x).__name__}")
    return found
