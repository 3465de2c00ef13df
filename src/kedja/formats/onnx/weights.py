"""Which tensors of an ONNX model are weights: what feeds the kernel of a Conv, the matrix of a Gemm, and so on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import onnx
from onnx import TensorProto

from kedja.formats.onnx.reading import reads

__all__ = ["FLOATS", "Place", "Plan", "planned", "readable"]

AFFINE = {1: "kernel", 2: "bias"}
SCALED = {1: "scale", 2: "bias"}
RECURRENT = {1: "kernel", 2: "recurrent_kernel", 3: "bias"}
ROLES: dict[str, dict[int, str]] = {
    "BatchNormalization": {**SCALED, 3: "mean", 4: "variance"},
    "Conv": AFFINE,
    "ConvTranspose": AFFINE,
    "Einsum": dict.fromkeys(range(8), "kernel"),
    "GRU": RECURRENT,
    "Gather": {0: "table"},
    "Gemm": {0: "kernel", **AFFINE},
    "GroupNormalization": SCALED,
    "InstanceNormalization": SCALED,
    "LSTM": {**RECURRENT, 7: "peepholes"},
    "LayerNormalization": SCALED,
    "MatMul": {0: "kernel", 1: "kernel"},
    "PRelu": {1: "slope"},
    "RMSNormalization": {1: "scale"},
    "RNN": RECURRENT,
}
STATISTICS = ("mean", "variance")
# Arithmetic with a constant is part of a network behind its first weights (a bias, a scale), and preparation before.
LOOSE = {"Add": "bias", "Div": "scale", "Mul": "scale", "Sub": "bias"}
PRODUCTS = ("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul")
# Through these a weight goes on its way to where it is used.
PASSING = frozenset(
    {"Cast", "Concat", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
SHAPES = ("Shape", "Size")
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True)
class Place:
    """Where a weight is used first: the number of the node, and what the weight is there."""

    node: int
    role: str

    @property
    def statistic(self) -> bool:
        """Whether it is a mean or variance, which is not learned by gradient."""
        return self.role in STATISTICS


@dataclass
class Plan:
    """What a graph's values are.

    `constant`: those that depend on nothing; `still`: also those made of shapes alone, known when the graph is built.
    `weights`: the initializers that are weights. `folded`: weights that nodes make of constants, to be worked out once.
    """

    constant: set[str] = field(default_factory=set)
    still: set[str] = field(default_factory=set)
    weights: dict[str, Place] = field(default_factory=dict)
    folded: dict[str, Place] = field(default_factory=dict)


def planned(graph: onnx.GraphProto) -> Plan:
    """The plan of a graph whose nodes stand in order."""
    plan = Plan()
    stored = {t.name: t for t in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output if name}
    plan.constant.update(stored)
    plan.still.update(stored)
    behind: set[str] = set()  # values that a weight has gone into
    wanted: dict[str, Place] = {}
    for i, node in enumerate(graph.node):
        needed = reads(node)
        if needed <= plan.constant:
            plan.constant.update(node.output)
        if needed <= plan.still or node.op_type in SHAPES:
            plan.still.update(node.output)
            continue
        asked = dict(_asked(node, plan.constant, behind, stored, makers))
        if needed & behind or any(not Place(i, role).statistic for role in asked.values()):
            behind.update(node.output)
        for name, role in asked.items():
            wanted.setdefault(name, Place(i, role))
    for name, place in wanted.items():
        _trace(name, place, stored, makers, plan)
    return plan


def _asked(
    node: onnx.NodeProto, constant: set[str], behind: set[str], stored: dict[str, TensorProto],
    makers: dict[str, onnx.NodeProto],
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """The constants a node uses as weights, and as what."""
    if node.domain not in ("", "ai.onnx"):
        return
    for at, name in enumerate(node.input):
        if name not in constant:
            continue
        role = ROLES.get(node.op_type, {}).get(at)
        if role is not None:
            yield name, role
        elif node.op_type in LOOSE and behind & set(node.input):
            other = makers.get(node.input[1 - at])
            follows = other is not None and other.op_type in PRODUCTS and node.op_type == "Add"
            shape = _dims(name, stored, makers)
            if shape is None or (shape and (follows or max(shape) > 1)):
                yield name, LOOSE[node.op_type]


def _dims(name: str, stored: dict[str, TensorProto], makers: dict[str, onnx.NodeProto]) -> tuple[int, ...] | None:
    """The shape of what a constant comes from; None where that is computed."""
    while name not in stored:
        node = makers[name]
        if node.op_type not in PASSING:
            return None
        name = node.input[0]
    return tuple(stored[name].dims)


def _trace(
    name: str, place: Place, stored: dict[str, TensorProto], makers: dict[str, onnx.NodeProto], plan: Plan
) -> None:
    """Follow a weight back to the initializers it comes from."""
    if name in stored:
        if stored[name].data_type in FLOATS and (name not in plan.weights or plan.weights[name].statistic):
            plan.weights[name] = place
    elif makers[name].op_type in PASSING:
        node = makers[name]
        for source in node.input if node.op_type == "Concat" else node.input[:1]:
            _trace(source, place, stored, makers, plan)
    else:
        plan.folded.setdefault(name, place)


READABLE = re.compile(r"[A-Za-z_][\w./-]*")


def readable(name: str) -> str | None:
    """A tensor's name as part of a path, or None for one that a program has made up."""
    clean = name.strip("/").replace("/", ".").replace(":", "_")
    if "::" in name or not READABLE.fullmatch(clean) or re.fullmatch(r"(val|_val|t|v|const|constant)_?\d+", clean):
        return None
    return clean.strip(".")
