"""What flows along the edges of a graph: values upwards, gradients back; and the derivative of each op alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from kedja.diff.reverse import active, add_up, cotangents
from kedja.engines import get_engine
from kedja.graph.node import CONSTANT, Tensor, ancestors, is_literal
from kedja.graph.trace import Graph, without_gc
from kedja.graph.variables import Variable
from kedja.ops import broadcast_to
from kedja.ops.control import MANY
from kedja.ops.op import operand
from kedja.ops.reductions import unbroadcast

__all__ = ["Flows", "learnable", "numbers_of"]

Array = np.ndarray[Any, Any]


class Flows:
    """The values of all nodes, and from `output` (one number) back to `wrt`: `gradients` of nodes, `messages` of edges.

    An edge is (input, node); its message is what the node sends back to the input, its `slope`, for single numbers,
    ∂node/∂input with everything else held still. Without `wrt` there are values alone. `also` are further nodes whose
    values are wanted.
    """

    def __init__(self, output: Tensor, wrt: Collection[Tensor], also: Sequence[Tensor] = ()) -> None:
        self.order = ancestors([output])
        self.sent: dict[tuple[Tensor, Tensor], Tensor] = {}
        self.flows = active(self.order, set(wrt))
        totals: dict[Tensor, Tensor] = {}
        slopes: dict[tuple[Tensor, Tensor], Tensor] = {}
        if wrt and output in self.flows:
            with without_gc():
                one = broadcast_to(operand("explain", 1, output.dtype), output.shape)
                rules = {n.op: self._recorded for n in self.order if n.inputs}
                found = cotangents({output: one}, set(wrt), rules)
                totals = {n: t for n, t in found.items() if isinstance(t, Tensor) and n in self.flows}
                for parent, node in self.sent:
                    if node.size == 1 and parent.size == 1:
                        one = broadcast_to(operand("explain", 1, node.dtype), node.shape)
                        slopes[parent, node] = self._messages(node, one)[parent]
        asked = [n for n in (*self.order, *also) if n.dtype != MANY]
        known = numbers_of([*asked, *totals.values(), *self.sent.values(), *slopes.values()])
        self.values: dict[Tensor, Array] = {n: known[n] for n in asked}
        self.gradients = {n: known[t] for n, t in totals.items()}
        self.messages = {edge: known[m] for edge, m in self.sent.items()}
        self.slopes = {edge: float(known[s].reshape(())) for edge, s in slopes.items()}

    def _recorded(self, node: Tensor, total: Any) -> Sequence[Any]:
        """The op's own rule; what it sends is written down on the way."""
        if isinstance(total, Tensor) and all(x.dtype != MANY for x in node.inputs):
            for parent, message in self._messages(node, total).items():
                self.sent[parent, node] = message
        needed = [x in self.flows for x in node.inputs]
        messages: Sequence[Any] = node.op.pull(node, total, needed)
        return messages

    def _messages(self, node: Tensor, total: Tensor) -> dict[Tensor, Tensor]:
        """What a node sends to each of its inputs; to one that is used twice the sum."""
        needed = [x in self.flows for x in node.inputs]
        found: dict[Tensor, list[Tensor]] = {}
        for parent, message, want in zip(node.inputs, node.op.pull(node, total, needed), needed, strict=True):
            if want and message is not None:
                fitting = message if message.shape == parent.shape else unbroadcast(message, parent.shape)
                found.setdefault(parent, []).append(fitting)
        return {parent: add_up(messages) for parent, messages in found.items()}


def numbers_of(nodes: Sequence[Tensor]) -> Mapping[Tensor, Array]:
    """The values of these nodes, all in one run."""
    known: dict[Tensor, Array] = {}
    asked = []
    for n in dict.fromkeys(nodes):
        if n.op is CONSTANT:
            known[n] = n.attrs["value"]
        elif isinstance(n, Variable):
            known[n] = np.asarray(n.value)
        else:
            asked.append(n)
    if asked:
        program = get_engine("reference").program(Graph([], asked))
        _, outputs = program([v.raw for v in program.variables], [])
        known |= {n: np.asarray(v) for n, v in zip(asked, outputs, strict=True)}
    return known


def learnable(order: Sequence[Tensor]) -> list[Tensor]:
    """What derivatives are taken by, where nobody says: the parameters; without any, all inputs but literals."""
    leaves = [n for n in order if n.is_leaf and n.dtype.kind == "f" and not is_literal(n)]
    return [n for n in leaves if isinstance(n, Variable) and n.trainable] or leaves
