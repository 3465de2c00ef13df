"""What older versions of operators said in other ways: attributes since dropped, broadcasting on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx

from kedja import ops
from kedja.formats.onnx.values import Value
from kedja.graph.node import Tensor

__all__ = ["modern"]

PAIRS = frozenset({"Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"})
# Attributes that say nothing any more: how memory was shared, and whether a node that is only run was run.
DROPPED = {
    "BatchNormalization": ("consumed_inputs", "is_test"),
    "Dropout": ("consumed_inputs", "is_test"),
    "Gemm": ("broadcast",),
    "InstanceNormalization": ("consumed_inputs",),
}
RENAMED = {"Pad": {"paddings": "pads"}}
IMPLIED = {"Concat": {"axis": 1}}  # what was the default once, before version 4


def modern(
    node: onnx.NodeProto, inputs: Sequence[Value], attributes: dict[str, Any], opset: int
) -> tuple[list[Value], dict[str, Any]]:
    """Inputs and attributes as the newest version of the operator takes them."""
    values, name = list(inputs), node.op_type
    if node.domain not in ("", "ai.onnx") or opset >= 13:
        return values, attributes
    for dropped in (*DROPPED.get(name, ()), *(("consumed_inputs",) if opset < 6 else ())):
        attributes.pop(dropped, None)
    for old, new in RENAMED.get(name, {}).items():
        if old in attributes:
            attributes[new] = attributes.pop(old)
    if opset < 4:
        attributes = {**IMPLIED.get(name, {}), **attributes}
    if opset < 7 and name in PAIRS:
        axis, stretched = attributes.pop("axis", None), attributes.pop("broadcast", 0)
        if stretched and axis is not None:
            values[1] = aligned(values[1], values[0], int(axis))
    if opset < 7 and name == "PRelu" and values[1].ndim == 1:
        values[1] = aligned(values[1], values[0], 1)
    return values, attributes


def aligned(b: Tensor, a: Tensor, axis: int) -> Tensor:
    """b with axes of size 1 behind its own, so that its first axis meets `axis` of a."""
    at = axis + a.ndim if axis < 0 else axis
    return ops.reshape(b, (*b.shape, *(1,) * max(a.ndim - at - b.ndim, 0)))
