"""Transposes are moved down the graph until they meet their inverses.

ONNX convolves with channels first, so every convolution is written between two transposes. Here a transpose is not
written where it stands but carried along (`Moved`: a value and the order its axes are to be read in): two in a row
become one, or none; ops that treat every element alike are applied before it; reductions and joins take their axes
through it. Only where the order of axes matters is it written. A chain of convolutions, activations and pooling keeps
one at its entry and one at its exit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kedja.formats.onnx.exporting.elementwise import PLAIN
from kedja.formats.onnx.exporting.writer import Node, Subgraph, Writer

__all__ = ["settle", "transposes"]

SAME = {*PLAIN.values(), "Relu", "Cast", "Where", "Mod", "Gelu", "Mish", "Swish", "HardSwish", "Softsign", "IsInf",
        "Selu", "Elu", "HardSigmoid", "LeakyRelu", "ThresholdedRelu", "Clip"}  # fmt: skip
SAME -= {""}
AXES = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")
AXIS = ("Concat", "Softmax", "LogSoftmax", "ArgMax", "ArgMin")


class Moved(NamedTuple):
    """The value `name`, axis `order[i]` of which stands at axis i."""

    name: str
    order: tuple[int, ...]


def transposes(nodes: Sequence[Node]) -> int:
    """How many there are, in loops too."""
    inner = [v for n in nodes for v in n.attrs.values() if isinstance(v, Subgraph)]
    return sum(n.op == "Transpose" for n in nodes) + sum(transposes(graph.nodes) for graph in inner)


def settle(w: Writer, outputs: Sequence[str]) -> list[str]:
    """The writer's nodes with as few transposes as the rules above give; the names the outputs have then."""
    found = _Settling(w)
    for node in w.nodes:
        found.take(node)
    names = [found.written(name) for name in outputs]
    w.nodes = _needed(found.nodes, names)
    used = _read(w.nodes) | set(names)
    w.shared.initialisers = {k: v for k, v in w.shared.initialisers.items() if k in used}
    return names


class _Settling:
    def __init__(self, w: Writer) -> None:
        self.w = w
        self.nodes: list[Node] = []
        self.moved: dict[str, Moved] = {}
        self.done: dict[Moved, str] = {}

    def take(self, node: Node) -> None:
        """One more node, after those before it."""
        known = [self.moved.get(name) for name in node.inputs]
        if node.op == "Transpose":
            self._turn(node, known[0])
        elif not any(known) or not (self._same(node, known) or self._axes(node, known) or self._axis(node, known)):
            for graph in (v for v in node.attrs.values() if isinstance(v, Subgraph)):
                self._around(graph)
            self.nodes.append(Node(node.op, [self.written(x) for x in node.inputs], node.outputs, node.attrs))

    def written(self, name: str) -> str:
        """A value in the order it is meant to have."""
        moved = self.moved.get(name)
        if moved is None:
            return name
        if moved.order == tuple(range(len(moved.order))):
            return moved.name
        if moved not in self.done:
            self.done[moved] = name
            self.nodes.append(Node("Transpose", [moved.name], [name], {"perm": list(moved.order)}))
        return self.done[moved]

    def _turn(self, node: Node, known: Moved | None) -> None:
        order = tuple(int(i) for i in node.attrs["perm"])
        if known is None:
            self.moved[node.outputs[0]] = Moved(node.inputs[0], order)
        else:
            self.moved[node.outputs[0]] = Moved(known.name, tuple(known.order[i] for i in order))

    def _around(self, graph: Subgraph) -> None:
        """What the body of a loop reads must be there under its own name."""
        for name in sorted(_read(graph.nodes) & set(self.moved)):
            there = self.written(name)
            if there != name:
                self.nodes.append(Node("Identity", [there], [name]))
                del self.moved[name]

    def _same(self, node: Node, known: Sequence[Moved | None]) -> bool:
        """An op element by element, of values that are all turned alike, and constants."""
        orders = {m.order for m in known if m is not None}
        if node.op not in SAME or len(orders) != 1 or len(node.outputs) != 1:
            return False
        (order,) = orders
        inputs = []
        for name, moved in zip(node.inputs, known, strict=True):
            other = moved.name if moved is not None else self._turned(name, order)
            if other is None:
                return False
            inputs.append(other)
        self._put(node, inputs, order)
        return True

    def _turned(self, name: str, order: tuple[int, ...]) -> str | None:
        """A constant laid out for values that are turned; single numbers stay as they are."""
        value = self.w.shared.initialisers.get(name)
        if value is None:
            return name if self.w.shared.ranks.get(name) == 0 else None
        if value.ndim > len(order):
            return None
        if value.size == 1 and value.ndim == 0:
            return name
        wide = value.reshape((1,) * (len(order) - value.ndim) + value.shape)
        back = np.argsort(order)
        return self.w.weight(np.transpose(wide, back), f"{name}_first")

    def _put(self, node: Node, inputs: list[str], order: tuple[int, ...]) -> None:
        """The node before the transpose instead of behind it."""
        base = self.w.fresh(f"{node.outputs[0]}_first")
        self.nodes.append(Node(node.op, inputs, [base], node.attrs))
        self.moved[node.outputs[0]] = Moved(base, order)

    def _axes(self, node: Node, known: Sequence[Moved | None]) -> bool:
        """A reduction: its axes go through the transpose, those that remain keep their order among themselves."""
        moved = known[0]
        if node.op not in AXES or moved is None:
            return False
        axes = [int(a) for a in self.w.shared.initialisers[node.inputs[1]]]
        inside = sorted(moved.order[a] for a in axes)
        rest = [a for i, a in enumerate(moved.order) if i not in axes]
        order = moved.order if node.attrs["keepdims"] else tuple(sorted(rest).index(a) for a in rest)
        self._put(node, [moved.name, self.w.whole(*inside)], order)
        return True

    def _axis(self, node: Node, known: Sequence[Moved | None]) -> bool:
        """An op along one axis, of values that are all turned alike."""
        orders = {m.order if m is not None else None for m in known}
        order = orders.pop()
        if node.op not in AXIS or orders or order is None:
            return False
        turned = Node(node.op, node.inputs, node.outputs, {**node.attrs, "axis": order[node.attrs["axis"]]})
        if node.op.startswith("Arg"):
            rest = [a for i, a in enumerate(order) if i != node.attrs["axis"]]
            order = tuple(sorted(rest).index(a) for a in rest)
        self._put(turned, [m.name for m in known if m is not None], order)
        return True


def _read(nodes: Sequence[Node]) -> set[str]:
    """All names that nodes read, and the bodies of their loops."""
    found = {name for node in nodes for name in node.inputs}
    for node in nodes:
        for value in node.attrs.values():
            if isinstance(value, Subgraph):
                found |= _read(value.nodes) | {name for name, _ in value.outputs}
    return found


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes without those whose results nobody reads."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.outputs):
            kept.append(node)
            wanted |= _read([node])
    return kept[::-1]
