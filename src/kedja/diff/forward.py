"""Forward mode: how one input affects every node, in one walk along the graph (scope 1.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, ancestors
from kedja.graph.scope import borrow
from kedja.ops.control import MANY

__all__ = ["tangents"]


def tangents(
    outputs: Sequence[Tensor], moves: Mapping[Tensor, Tensor], stop: Sequence[Tensor] = ()
) -> dict[Tensor, Any]:
    """How every node moves, to first order, when the inputs move as `moves` says; nodes that stay are left out.

    The walk does not look above the nodes in `stop` (the inputs of a loop's body).
    """
    found: dict[Tensor, Any] = dict(moves)
    edge = set(stop)
    before = borrow(None)
    try:
        for node in ancestors(outputs, stop):
            if node in found or node in edge or not any(x in found for x in node.inputs):
                continue
            if not is_float(node.dtype) and node.dtype != MANY:  # nothing flows through integers
                continue
            borrow(node.where)
            moved = node.op.push(node, [found.get(x) for x in node.inputs])
            if moved is not None:
                found[node] = moved
    finally:
        borrow(before)
    return found
