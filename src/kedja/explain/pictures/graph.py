"""The computational graph as a picture: values on their way up, derivatives on their way back (scope 1.2, 1.7)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.errors import DataError, GraphError, ShapeError, one_of
from kedja.explain.pictures.diagram import Arrow, Card, Words, diagram
from kedja.explain.pictures.flows import Flows, learnable
from kedja.explain.pictures.marks import array, number
from kedja.explain.pictures.picture import Drawn, returned
from kedja.explain.pictures.scene import Scene
from kedja.explain.pictures.units import Unit, of_model, of_ops
from kedja.explain.show.figures import Figures
from kedja.explain.show.naming import Symbol, symbol_of
from kedja.explain.show.table import Table
from kedja.explain.show.writing import Writer
from kedja.explain.words import _
from kedja.graph.node import Tensor
from kedja.nn.model import Module

__all__ = ["GraphDrawing", "GraphEdge", "GraphNode", "draw_graph"]

MOST = 150  # boxes; more would be a carpet
LONG = 34  # letters of a formula in a box
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class GraphNode:
    """A box: its name and formula, its value, and ∂output/∂it (None where there is none)."""

    name: str
    formula: str
    kind: str
    value: Array | None
    gradient: Array | None
    shape: tuple[int, ...]


@dataclass(frozen=True)
class GraphEdge:
    """An arrow between two boxes, by their places in `nodes`.

    `value` is what goes up, `gradient` what comes back along this arrow; `slope`, of single numbers, is the derivative
    of the upper by the lower with everything else held still.
    """

    start: int
    end: int
    value: Array | None
    gradient: Array | None
    slope: float | None


class GraphDrawing(Drawn):
    """A computational graph with its numbers: `nodes` and `edges` are what is drawn; see `draw_graph`."""

    def __init__(
        self, nodes: Sequence[GraphNode], edges: Sequence[GraphEdge], cards: Sequence[Card], arrows: Sequence[Arrow],
        direction: str, caption: str,
    ) -> None:  # fmt: skip
        self.nodes, self.edges, self.direction, self.caption = list(nodes), list(edges), direction, caption
        self._cards, self._arrows = list(cards), list(arrows)
        size = self.scene
        self.figure_size = (size.width / 72, size.height / 72)

    @property
    def scene(self) -> Scene:
        spoken = _("Computational graph of {n} nodes; the last is {name}").format(
            n=len(self.nodes), name=self.nodes[-1].name
        )
        return diagram(self._cards, self._arrows, spoken, self.direction, self.caption)

    def __getitem__(self, name: str) -> GraphNode:
        for node in self.nodes:
            if node.name == name:
                return node
        raise one_of("node", name, [n.name for n in self.nodes])

    @property
    def table(self) -> Table:
        """The numbers of the picture."""
        rows = [
            (n.name, n.formula, _said(n.value, n.shape), "" if n.gradient is None else _said(n.gradient, n.shape))
            for n in self.nodes
        ]
        head = (_("node"), _("formula"), _("value"), _("gradient"))
        return Table(head, rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the nodes with value and gradient, the edges with what goes along them."""
        return {
            "nodes": [
                {"name": n.name, "formula": n.formula, "kind": n.kind, "shape": list(n.shape), "value": _plain(n.value),
                 "gradient": _plain(n.gradient)}
                for n in self.nodes
            ],
            "edges": [
                {"from": e.start, "to": e.end, "value": _plain(e.value), "gradient": _plain(e.gradient),
                 "slope": e.slope}
                for e in self.edges
            ],
        }  # fmt: skip


def draw_graph(
    of: Any, x: Any = None, y: Any = None, *, loss: Any = None, wrt: Any = None,
    names: Mapping[str, Tensor] | None = None, level: str | None = None, edges: str | None = None,
    direction: str = "up", path: str | os.PathLike[str] | None = None,
) -> GraphDrawing:  # fmt: skip
    """The graph of a tensor, or of a model with the example `x`, target `y` and `loss`; values and derivatives on it.

    `edges`: "slope" writes the derivative of each op by each input (the default where all are single numbers),
    "flow" the value that goes up and the gradient that comes back. `names` gives inner nodes names, {"c": c};
    what has none is v₁, v₂, …. `wrt` are the leaves to differentiate by: by default the parameters, or without any all
    inputs. Gradients are drawn when the output is one number. `level` of a model: "layer" (a box for each layer, the
    default) or "op". Without `x` a model shows shapes. `direction`: "up", "down" or "right".

    The answer has `.svg()`, `.tex()` (TikZ), `.save(path)`, and as numbers `.nodes`, `.edges`, `.to_dict()`.
    Raises DataError for a graph of too many nodes, ShapeError where `wrt` is given and the output is not one number.
    Source: scope 1.2, 1.7; Olah 2015 (the example).

    >>> import kedja as kj
    >>> a, b = kj.Parameter(2.0, name="a"), kj.Parameter(1.0, name="b")
    >>> c, d = a + b, b + 1
    >>> print(draw_graph(c * d, names={"c": c, "d": d}))
    node  formula  value  gradient
    ──────────────────────────────
    a     a        2      2
    b     b        1      5
    c     a + b    3      2
    d     b + 1    2      3
    y     c · d    6      1
    """
    if isinstance(of, Module):
        units, symbols, kinds = of_model(of, x, y, loss, level)
    elif isinstance(of, Tensor):
        given = [n for n, v in (("x", x), ("y", y), ("loss", loss), ("level", level)) if v is not None]
        if given:
            raise GraphError(f"draw_graph: {', '.join(given)} go with a model, and this is a tensor")
        units, symbols, kinds = of_ops(of), {}, {}
    else:
        raise GraphError(f"draw_graph draws a tensor or a model, got {type(of).__name__}")
    if len(units) > MOST:
        raise DataError(
            f"the graph has {len(units):,} nodes, and a picture of more than {MOST} cannot be read. Draw a part of it "
            f"(an inner tensor){', or the layers, level=' + repr('layer') if isinstance(of, Module) else ''}."
        )
    output = units[-1].output
    known = x is not None or isinstance(of, Tensor)
    order = [n for u in units for n in u.members]
    by = learnable(order) if wrt is None else list(wrt) if isinstance(wrt, list | tuple) else [wrt]
    if output.size != 1 or output.dtype.kind != "f" or not known:
        if wrt is not None:
            raise ShapeError(f"draw_graph: gradients are those of one number, and the output has shape {output.shape}")
        by = []
    flows = Flows(output, by) if known else None
    if edges is None:
        edges = "slope" if flows and by and all(n.size == 1 for n in order) else "flow"
    elif edges not in ("slope", "flow"):
        raise one_of("edges", edges, ("slope", "flow"))
    made = _Maker(units, flows, edges, _named(units, symbols, names), kinds)
    drawing = GraphDrawing(made.nodes, made.edges, made.cards, made.arrows, direction, _caption(flows, edges, bool(by)))
    return returned(drawing, path)


def _caption(flows: Flows | None, edges: str, back: bool) -> str:
    """What the colours mean."""
    if flows is None:
        return ""
    if not back:
        return _("Blue: values.")
    if edges == "slope":
        return _("Blue: values. Orange: derivatives; on an arrow, of its end by its start.")
    return _("Blue: values, forward along the arrows. Orange: gradients, back along them.")


def _named(
    units: Sequence[Unit], known: Mapping[Tensor, Symbol], names: Mapping[str, Tensor] | None
) -> dict[Tensor, Symbol]:
    """A name for every node that is shown: its own, the one given, or v₁, v₂, … (inputs: x₁, weights: w₁)."""
    given = {**known, **{node: symbol_of(name) for name, node in (names or {}).items()}}
    counts = {"v": 0, "x": 0, "w": 0}
    found: dict[Tensor, Symbol] = {}
    for unit in units:
        node = unit.output
        if node in given:
            found[node] = given[node]
        elif node.name:
            found[node] = symbol_of(node.name)
        elif unit is units[-1] and not node.is_leaf:
            taken = {s.text for s in found.values()}
            found[node] = next(Symbol(s) for s in ("y", "z", "f", "result") if s not in taken)
        else:
            stem = "v" if not node.is_leaf else "w" if node.op.name == "variable" else "x"
            counts[stem] += 1
            found[node] = Symbol(stem, "", str(counts[stem]))
    return found


class _Maker:
    """Boxes and arrows of a graph, in words."""

    def __init__(
        self, units: Sequence[Unit], flows: Flows | None, mode: str, symbols: Mapping[Tensor, Symbol],
        kinds: Mapping[Tensor, str],
    ) -> None:  # fmt: skip
        self.flows, self.mode, self.symbols = flows, mode, symbols
        self.writer = Writer(Figures(), symbols)
        self.nodes: list[GraphNode] = []
        self.edges: list[GraphEdge] = []
        self.cards: list[Card] = []
        self.arrows: list[Arrow] = []
        self.goal = symbols[units[-1].output]
        owner = {n: i for i, u in enumerate(units) for n in u.members}
        self.fan = [0] * len(units)
        for i, unit in enumerate(units):
            self._edges(i, unit, owner)
        for i, unit in enumerate(units):
            self._node(unit, kinds.get(unit.output, ""), last=i == len(units) - 1, used=self.fan[i])

    def _node(self, unit: Unit, kind: str, *, last: bool, used: int) -> None:
        node, symbol = unit.output, self.symbols[unit.output]
        value = self.flows.values.get(node) if self.flows else None
        gradient = self.flows.gradients.get(node) if self.flows else None
        written = self.writer.formula(node, node) if not node.is_leaf and not kind else symbol.written
        if not node.is_leaf and not kind and len(written.text) > LONG:
            written = Symbol(node.op.name).written
        shape = unit.shown_shape
        self.nodes.append(GraphNode(symbol.text, kind or written.text, kind or node.op.name, value, gradient, shape))
        words = []
        if kind:
            words += [Words(symbol.text, "label bold", f"${symbol.tex}$"), Words(kind, "tick small")]
        elif node.is_leaf:
            words.append(Words(symbol.text, "label bold", f"${symbol.tex}$"))
        else:
            words.append(Words(f"{symbol.text} = {written.text}", "label", f"${symbol.tex} = {written.tex}$"))
        if self.flows is None:
            words.append(Words(_said(None, shape), "tick small"))
        elif self.mode == "slope" or last:
            words.append(Words(_said(value, shape), "value"))
        if gradient is not None and not last and (self.mode == "slope" or (node.is_leaf and used != 1)):
            slope = f"∂{self.goal.text}/∂{symbol.text}"
            tex = rf"$\partial {self.goal.tex}/\partial {symbol.tex} = $ "
            words.append(Words(f"{slope} = {_size_of(gradient)}", "slope", tex + _math(_size_of(gradient))))
        role = "output" if last else "leaf" if node.is_leaf else ""
        self.cards.append(Card(words, role, self._told(unit, symbol.text, kind or written.text, value, gradient)))

    def _told(self, unit: Unit, name: str, formula: str, value: Array | None, gradient: Array | None) -> str:
        lines = [name if formula == name else f"{name} = {formula}"]
        lines.append(_("shape {shape}").format(shape="×".join(map(str, unit.output.shape)) or "()"))
        for title, found in ((_("value"), value), (f"∂{self.goal.text}/∂{name}", gradient)):
            if found is not None:
                lines.append(f"{title}: {_span(found)}")
        if unit.output.source is not None:
            lines.append(str(unit.output.source))
        return "\n".join(lines)

    def _edges(self, i: int, unit: Unit, owner: Mapping[Tensor, int]) -> None:
        inside = set(unit.members)
        carried: dict[Tensor, list[Tensor]] = {}
        for node in unit.members:
            for parent in dict.fromkeys(node.inputs):
                if parent not in inside and parent in owner:
                    carried.setdefault(parent, []).append(node)
        for parent, users in carried.items():
            start = owner[parent]
            self.fan[start] += 1
            value = self.flows.values.get(parent) if self.flows else None
            sent = (
                [self.flows.messages[parent, n] for n in users if (parent, n) in self.flows.messages]
                if self.flows
                else []
            )
            gradient = np.asarray(sum(sent)) if sent else None
            slope = self._slope(parent, unit)
            self.edges.append(GraphEdge(start, i, value, gradient, slope))
            words = []
            below, here = self.symbols.get(parent), self.symbols[unit.output]
            title = f"{below.text if below else parent.op.name} → {here.text}"
            if self.mode == "slope" and slope is not None:
                words.append(Words(number(slope), "slope bold"))
            elif self.mode == "flow" and value is not None:
                words.append(Words(array(value), "value"))
                if gradient is not None:
                    words.append(Words(_size_of(gradient), "slope"))
            for said, found in ((_("value"), value), (_("gradient"), gradient)):
                title += f"\n{said} {_span(found)}" if found is not None else ""
            if slope is not None:
                title += f"\n∂{here.text}/∂{below.text if below else '…'} = {number(slope)}"
            self.arrows.append(Arrow(start, i, words, title))

    def _slope(self, parent: Tensor, unit: Unit) -> float | None:
        """The derivative of a unit's output by one of its inputs, of single numbers: along the paths inside it."""
        if self.flows is None or unit.output.size != 1 or parent.size != 1:
            return None
        found: dict[Tensor, float] = {unit.output: 1.0}
        for node in reversed(unit.members):
            if node in found:
                for x in dict.fromkeys(node.inputs):
                    if (x, node) in self.flows.slopes:
                        found[x] = found.get(x, 0.0) + found[node] * self.flows.slopes[x, node]
        return found.get(parent)


def _plain(value: Array | None) -> Any:
    return None if value is None else np.asarray(value).tolist()


def _said(value: Array | None, shape: Sequence[int]) -> str:
    """A short value in full, of others how far they reach."""
    if value is None:
        return "×".join(map(str, shape)) or _("1 number")
    short = array(value)
    return short if value.size == 1 or short.startswith("(") else _span(value)


def _size_of(value: Array) -> str:
    """A short gradient in full, of others the length."""
    short = array(value)
    if value.size == 1 or short.startswith("("):
        return short
    return f"‖·‖ {number(float(np.linalg.norm(value.astype(np.float64))), 3)}"


def _span(value: Array) -> str:
    if value.size <= 12:
        squeezed = value.reshape([n for n in value.shape if n != 1])
        if squeezed.ndim == 2:
            return "(" + "; ".join(", ".join(number(float(v), 3) for v in row) for row in squeezed) + ")"
        if squeezed.ndim < 2:
            return array(squeezed, most=12)
    if value.dtype.kind not in "fiub":
        return "×".join(map(str, value.shape))
    low, high = number(float(value.min()), 3), number(float(value.max()), 3)
    return _("{shape}, from {low} to {high}").format(shape="×".join(map(str, value.shape)), low=low, high=high)


def _math(text: str) -> str:
    from kedja.explain.pictures.tikz import texed

    return texed(text)
