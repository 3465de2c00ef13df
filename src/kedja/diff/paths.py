"""The chain rule as a sum over paths: multiply the derivatives of the edges along each path, add the paths (scope 1.6).

Reverse mode gives the same number without walking any path twice. How many there are is counted from node to node,
never by listing them: a chain of n nodes with two edges between each has 2ⁿ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from kedja.diff.reverse import active
from kedja.diff.simplify import simplified
from kedja.errors import DTypeError, GraphError
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, ancestors
from kedja.graph.node import _next_serial as next_serial
from kedja.ops.control import MANY
from kedja.ops.op import is_differentiable, operand
from kedja.ops.reductions import unbroadcast
from kedja.ops.shaping import broadcast_to

__all__ = ["Edge", "Web", "web"]


class Edge(NamedTuple):
    """An input of a node: `position` tells the two edges of x * x apart."""

    start: Tensor
    end: Tensor
    position: int


class Web:
    """All paths from x up to y: the nodes between them, inputs first, and the edges that leave each."""

    def __init__(self, y: Tensor, x: Tensor) -> None:
        self.y, self.x = y, x
        order = ancestors([y], [x])
        flows = active(order, {x}, {x})
        if any(n.dtype == MANY for n in flows):
            raise GraphError("paths: there is a loop (kj.scan) between the two nodes; paths do not go inside loops")
        leaving: dict[Tensor, list[Edge]] = {n: [] for n in order}
        for node in order:
            if node in flows and node is not x and is_differentiable(node.op):
                for i, parent in enumerate(node.inputs):
                    if parent in flows:
                        leaving[parent].append(Edge(parent, node, i))
        # Every number below is of paths, so it may be far too large for a machine integer; Python's are not.
        self.onward = {n: 0 for n in order}
        self.onward[y] = 1
        for node in reversed(order):
            if node is not y:
                self.onward[node] = sum(self.onward[e.end] for e in leaving[node])
        self.nodes = [n for n in order if self.onward.get(n) and n in flows]
        self.leaving = {n: [e for e in leaving[n] if self.onward[e.end]] for n in self.nodes}
        self.reached = {n: 0 for n in self.nodes}
        if x in self.reached:
            self.reached[x] = 1
        for node in self.nodes:
            for edge in self.leaving[node]:
                self.reached[edge.end] += self.reached[node]

    @property
    def count(self) -> int:
        """How many paths there are, counted from node to node."""
        return self.onward.get(self.x, 0)

    @property
    def edges(self) -> list[Edge]:
        """The edges on some path."""
        return [edge for node in self.nodes for edge in self.leaving[node]]

    @property
    def waists(self) -> list[Tensor]:
        """The nodes that every path goes through, from x to y: between two of them the sums can be multiplied."""
        return [n for n in self.nodes if self.reached[n] * self.onward[n] == self.count]

    def walk(self, start: Tensor | None = None, end: Tensor | None = None) -> Iterator[tuple[Edge, ...]]:
        """The paths one after the other, without recursion; between two waists when `start` and `end` are given."""
        start, end = start or self.x, end or self.y
        if start not in self.leaving:
            return
        if start is end:
            yield ()
            return
        path: list[Edge] = []
        stack = [iter(self.leaving[start])]
        while stack:
            edge = next(stack[-1], None)
            if edge is None:
                stack.pop()
                if path:
                    path.pop()
            elif edge.end is end:
                yield (*path, edge)
            else:
                path.append(edge)
                stack.append(iter(self.leaving[edge.end]))

    def listed(self, most: int) -> list[tuple[Edge, ...]]:
        """The first `most` paths."""
        return list(islice(self.walk(), most))

    def contributions(self, paths: Sequence[Sequence[Edge]]) -> list[Tensor]:
        """What each path adds to ∂y/∂x, as a graph of the shape of x: the edges' derivatives multiplied along it."""
        start = next_serial()
        seed = broadcast_to(operand("paths", 1, self.y.dtype), self.y.shape)
        found = [along(path, seed) for path in paths]
        return simplified(found, start)

    def derivative(self, edge: Edge) -> Tensor:
        """∂end/∂start of one edge, as a graph; for tensors, the sum over the entries of `end`."""
        start = next_serial()
        seed = broadcast_to(operand("paths", 1, edge.end.dtype), edge.end.shape)
        return simplified([along([edge], seed)], start)[0]


def along(path: Sequence[Edge], message: Tensor) -> Tensor:
    """The message sent down one path alone, as reverse mode would send it."""
    for edge in reversed(path):
        node = edge.end
        needed = [i == edge.position for i in range(len(node.inputs))]
        sent = node.op.pull(node, message, needed)[edge.position]
        if sent is None:
            sent = broadcast_to(operand("paths", 0, edge.start.dtype), edge.start.shape)
        message = sent if sent.shape == edge.start.shape else unbroadcast(sent, edge.start.shape)
    return message


def web(y: Tensor, x: Tensor) -> Web:
    """All paths between two nodes of a graph.

    Raises DTypeError for integers, through which nothing flows, and GraphError when a loop lies between them.

    >>> import kedja as kj
    >>> x = kj.tensor(1.0)
    >>> y = x
    >>> for _ in range(100):
    ...     y = y * y
    >>> web(y, x).count == 2**100
    True
    """
    for node, what in ((y, "y"), (x, "x")):
        if not isinstance(node, Tensor):
            raise GraphError(f"paths: {what} is a node of a graph, got {type(node).__name__}")
        if not is_float(node.dtype):
            raise DTypeError(f"paths: {what} is of type {node.dtype.name}; derivatives need floating-point tensors")
    return Web(y, x)
