"""Comparison and logic."""

from __future__ import annotations

from typing import Any

from kedja import ops
from kedja.formats.onnx.registry import define, operator
from kedja.formats.onnx.values import Coded
from kedja.graph.node import Tensor

SAME = {
    "And": ops.logical_and, "Greater": ops.greater, "GreaterOrEqual": ops.greater_equal, "Less": ops.less,
    "LessOrEqual": ops.less_equal, "Not": ops.logical_not, "Or": ops.logical_or, "Where": ops.where,
    "Xor": ops.logical_xor,
}  # fmt: skip


def _entered(name: str, function: Any) -> None:
    define(name, lambda *xs: function(*xs))


for _name, _op in SAME.items():
    _entered(_name, _op)


@operator("Equal", coded=True)
def equal(a: Any, b: Any) -> Tensor:
    """Where a and b are the same; words are the same when their numbers are."""
    if isinstance(a, Coded):
        a, b = a.codes, b.codes
    same: Tensor = ops.equal(a, b)
    return same
