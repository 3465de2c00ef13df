"""Reverse mode: how every node affects one output, in one walk from the output down (scope 1.5)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kedja.errors import ShapeError
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, ancestors
from kedja.graph.scope import borrow
from kedja.ops.control import MANY, Part
from kedja.ops.op import Messages
from kedja.ops.reductions import unbroadcast
from kedja.ops.shaping import pad_zeros, sum_of_pads

__all__ = ["Rules", "cotangents"]

Rules = Mapping[Any, Callable[..., Any]]
"""Replacements for the rules of some ops: op → (node, cotangent) → one message per input."""


def active(order: Sequence[Tensor], wrt: Collection[Tensor], edge: Collection[Tensor] = ()) -> set[Tensor]:
    """The nodes through which something can flow: those that depend on one of `wrt` and are not integers."""
    found: set[Tensor] = set()
    for node in order:
        reached = node in wrt or (node not in edge and not found.isdisjoint(node.inputs))
        if reached and (is_float(node.dtype) or node.dtype is MANY):
            found.add(node)
    return found


def cotangents(
    seeds: Mapping[Tensor, Tensor],
    wrt: Collection[Tensor],
    rules: Rules | None = None,
    stop: Sequence[Tensor] = (),
) -> dict[Tensor, Any]:
    """For every node that depends on `wrt` and that the outputs depend on: Σ seed · ∂output/∂node.

    `seeds` gives each output its cotangent. The answer is a graph: it can be printed, compiled, differentiated again.
    The walk does not look above the nodes in `stop` (the inputs of a loop's body).
    """
    edge = set(stop)
    order = ancestors(seeds, edge)
    flows = active(order, set(wrt), edge)
    received: dict[Tensor, Any] = {}
    for output, seed in seeds.items():
        received.setdefault(output, []).append(seed)
    before = borrow(None)
    try:
        for node in reversed(order):
            if node not in flows:
                received.pop(node, None)
                continue
            messages = received.pop(node, None)
            if not messages:
                continue
            borrow(node.where)
            total = messages[0] if len(messages) == 1 and node.dtype is not MANY else add_up(messages)
            received[node] = total  # a node used twice gets the sum (scope 2.8)
            if node.inputs and node not in edge:
                needed = [x in flows for x in node.inputs]
                messages = node.op.pull(node, total, needed) if rules is None else pulled(node, total, needed, rules)
                for parent, message, wanted in zip(node.inputs, messages, needed, strict=True):
                    if wanted and message is not None:
                        if parent.dtype is not MANY and message.shape != parent.shape:
                            message = unbroadcast(message, parent.shape)
                        if parent in received:
                            received[parent].append(message)
                        else:
                            received[parent] = [message]
    finally:
        borrow(before)
    return received


def pulled(node: Tensor, total: Any, needed: Sequence[bool], rules: Rules) -> Messages:
    """What the op's rule, or the one that replaces it, sends to each input."""
    if node.op not in rules:
        messages: Messages = node.op.pull(node, total, needed)
        return messages
    answer = rules[node.op](node, total)
    messages = answer if isinstance(answer, tuple | list) else (answer,)
    if len(messages) != len(node.inputs):
        raise ShapeError(
            f"the rule given for {node.op.name} returned {len(messages)} messages for {len(node.inputs)} inputs"
        )
    return messages


def add_up(messages: list[Any]) -> Any:
    """The sum of what arrived; for a loop, one sum per output."""
    if isinstance(messages[0], Part):
        parts: dict[int, Any] = {}
        for index, message in messages:
            parts[index] = parts[index] + message if index in parts else message
        return parts
    if messages[0].op is pad_zeros and len(messages) > 1:  # a node that was cut into pieces
        joined = sum_of_pads(messages)
        if joined is not None:
            return joined
    total = messages[0]
    for message in messages[1:]:
        total = total + message
    return total
