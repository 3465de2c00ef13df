"""The backward pass of a graph, kept edge by edge: what each op sends to each of its inputs, and by which rule."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any, NamedTuple

from kedja.diff.reverse import active, add_up, cotangents
from kedja.diff.simplify import simplified
from kedja.graph.node import CONSTANT, Tensor, ancestors, constant, placeholder
from kedja.graph.trace import without_gc
from kedja.ops import broadcast_to
from kedja.ops.control import MANY
from kedja.ops.linalg import product
from kedja.ops.op import Elementwise, operand
from kedja.ops.reductions import unbroadcast
from kedja.ops.shaping import swap_last

__all__ = ["Backward", "Edge", "Slopes"]


class Edge(NamedTuple):
    """From `node` back to its input at `position`: the message, the same written with a stand-in for what `node`
    received, and the derivative of the op alone (None where it is more than a factor)."""

    node: Tensor
    position: int
    parent: Tensor
    standin: Tensor | None
    written: Tensor | None
    local: Tensor | None


class Backward:
    """∂output/∂node for every node between `wrt` and the output, and the edges that brought it."""

    def __init__(self, output: Tensor, wrt: Collection[Tensor]) -> None:
        self.output = output
        self.order = ancestors([output])
        self.forward = set(self.order)
        self.flows = active(self.order, set(wrt))
        self.edges: list[Edge] = []
        with without_gc():
            one = broadcast_to(operand("explain", 1, output.dtype), output.shape)
            rules = {n.op: self._recorded for n in self.order if n.inputs}
            found = cotangents({output: one}, set(wrt), rules)
        self.totals: dict[Tensor, Tensor] = {
            n: t for n, t in found.items() if isinstance(t, Tensor) and n in self.flows
        }

    def _recorded(self, node: Tensor, total: Any) -> Sequence[Any]:
        """The op's own rule; what it says is written down on the way."""
        needed = [x in self.flows for x in node.inputs]
        messages = [
            _fitted(m, x) if want else None
            for m, x, want in zip(node.op.pull(node, total, needed), node.inputs, needed, strict=True)
        ]
        plain = isinstance(total, Tensor)
        standin = placeholder(node.shape, node.dtype) if plain else None
        again = node.op.pull(node, standin, needed) if plain else [None] * len(messages)
        for i, (x, message) in enumerate(zip(node.inputs, messages, strict=True)):
            if message is None:
                continue
            written = None
            if plain and again[i] is not None and x.dtype != MANY:
                written = tidy(_fitted(again[i], x), self.forward)
            self.edges.append(Edge(node, i, x, standin, written, self.local(node, i)))
        return messages

    def into(self, parent: Tensor) -> list[Edge]:
        """The edges that bring something to this node."""
        return [e for e in self.edges if e.parent is parent]

    def local(self, node: Tensor, position: int) -> Tensor | None:
        """The derivative of the op by one input, where the message is a product with it."""
        if isinstance(node.op, Elementwise) and node.op.partials is not None:
            partial = node.op.partials[position]
            if partial is None:
                return None
            found = partial(*node.inputs, node)
            if not isinstance(found, Tensor):
                found = operand("explain", found, node.dtype)
            return tidy(found, self.forward)
        if node.op is product:
            return swap_last(node.inputs[1 - position])
        return None


def _fitted(message: Any, parent: Tensor) -> Any:
    if message is None or parent.dtype == MANY or message.shape == parent.shape:
        return message
    return unbroadcast(message, parent.shape)


class Slopes:
    """The gradient of every node as a graph of the gradients of *named* nodes: what a formula of it shows.

    `standins` has a placeholder for the gradient of each named node. What nobody named is multiplied out. `end` is the
    node that has the output's number, if that is another one.
    """

    def __init__(
        self, backward: Backward, named: Collection[Tensor], special: Mapping[Tensor, Tensor] | None = None,
        end: Tensor | None = None,
    ) -> None:  # fmt: skip
        self.backward = backward
        self.standins: dict[Tensor, Tensor] = {}
        self.graph: dict[Tensor, Tensor | None] = {}
        output = backward.output
        self.graph[output] = constant(operand("explain", 1, output.dtype).attrs["value"].copy(), literal=True)
        if output.shape:
            self.graph[output] = broadcast_to(self.graph[output], output.shape)
        parents: dict[Tensor, list[Edge]] = {}
        for edge in backward.edges:
            parents.setdefault(edge.parent, []).append(edge)
            if edge.standin is not None and edge.node in named and edge.node not in {output, end}:
                self.standins[edge.node] = edge.standin
        for parent in sorted(parents, key=lambda n: n.serial, reverse=True):
            given = (special or {}).get(parent)
            self.graph[parent] = given if given is not None else self._added(parents[parent])

    def _added(self, edges: Sequence[Edge]) -> Tensor | None:
        """The sum of what came along the edges."""
        messages = []
        for edge in edges:
            if edge.written is None or edge.standin is None:
                return None
            message = edge.written
            if edge.node not in self.standins:
                inner = self.graph.get(edge.node)
                if inner is None:
                    return None
                message = substituted(message, {edge.standin: inner}, self.backward.forward)
            messages.append(message)
        return tidy(add_up(messages), self.backward.forward) if messages else None


def between(node: Tensor, stop: Container[Tensor]) -> list[Tensor]:
    """The nodes above a node, itself included, down from those in `stop`, which are left out; inputs before users."""
    seen: set[Tensor] = set()
    stack = [node]
    while stack:
        n = stack.pop()
        if n not in seen and n not in stop:
            seen.add(n)
            stack.extend(n.inputs)
    return sorted(seen, key=lambda n: n.serial)


def substituted(node: Tensor, table: Mapping[Tensor, Tensor], stop: Container[Tensor] = ()) -> Tensor:
    """The same graph with some nodes replaced; what does not depend on them stays. The walk ends at `stop`."""
    new: dict[Tensor, Tensor] = dict(table)
    if node in new:
        return new[node]
    for n in between(node, stop):
        if n not in new and any(x in new for x in n.inputs):
            new[n] = Tensor(n.op, tuple(new.get(x, x) for x in n.inputs), n.attrs, n.shape, n.dtype, n.name)
    return new.get(node, node)


def tidy(node: Tensor, known: Container[Tensor]) -> Tensor:
    """A smaller graph of the same value that looks at no op of a *known* node: that one has a name of its own."""
    inside = between(node, known)
    edge = dict.fromkeys(x for n in (node, *inside) for x in (*n.inputs, n) if x in known and x.op is not CONSTANT)
    stand = {x: placeholder(x.shape, x.dtype) for x in edge}
    if node in stand:
        return node
    cut = substituted(node, stand, known)
    small = simplified([cut])[0]
    return substituted(small, {s: x for x, s in stand.items()})
