"""An ONNX graph as nodes of kedja's: initializers become constants, inputs placeholders, nodes are translated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from kedja.errors import FormatError, KedjaError
from kedja.formats.onnx.registry import OPERATORS, domain_of, translate
from kedja.formats.onnx.values import Value, Words, value_of

__all__ = ["build", "inputs_of", "must_be_known", "opsets"]

SHAPES_ONLY = ("Shape", "Size")  # what they give depends on shapes, which are always known


def opsets(model: onnx.ModelProto) -> dict[str, int]:
    """The version of every domain the model uses."""
    return {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}


def inputs_of(graph: onnx.GraphProto) -> list[str]:
    """The names of the inputs that have no initializer."""
    given = {t.name for t in graph.initializer}
    return [i.name for i in graph.input if i.name not in given]


def must_be_known(graph: onnx.GraphProto) -> set[str]:
    """The inputs whose values decide shapes: those that reach an input of an operator which it must know."""
    wanted: set[str] = set()
    for node in reversed(graph.node):  # nodes stand in an order in which they can run
        found = OPERATORS.get((domain_of(node), node.op_type))
        if found is not None:
            wanted.update(name for i, name in enumerate(node.input) if name and i in found.known)
        if wanted & set(node.output) and node.op_type not in SHAPES_ONLY:
            wanted.update(name for name in node.input if name)
    return wanted & set(inputs_of(graph))


def build(graph: onnx.GraphProto, given: Mapping[str, Value], versions: Mapping[str, int], words: Words) -> list[Value]:
    """The graph's outputs for these inputs."""
    values: dict[str, Value] = {t.name: value_of(t, words) for t in graph.initializer}
    values.update(given)
    for node in graph.node:
        missing = [name for name in node.input if name and name not in values]
        if missing:
            raise FormatError(f"{node.op_type} {node.name!r} reads {missing[0]!r}, which nothing before it makes")
        if domain_of(node) not in versions:
            raise FormatError(f"the model does not say which version of the domain {node.domain!r} it uses")
        inputs = [values[name] if name else None for name in node.input]
        outputs = translate(node, inputs, versions[domain_of(node)], words=words)
        values.update({name: y for name, y in zip(node.output, outputs, strict=True) if name})
    absent = [o.name for o in graph.output if o.name not in values]
    if absent:
        raise FormatError(f"the graph's output {absent[0]!r} is made by none of its nodes")
    return [values[o.name] for o in graph.output]


def unknown(model: onnx.ModelProto) -> Sequence[str]:
    """The operators of the model that kedja has not."""
    return sorted({n.op_type for n in model.graph.node if (domain_of(n), n.op_type) not in OPERATORS})


def refuse_unknown(model: Any) -> None:
    """An error that names every operator kedja has not, before anything is built."""
    names = unknown(model)
    if names:
        raise FormatError(f"the model uses operators kedja has not: {', '.join(names)}")
    if model.functions:
        raise KedjaError("models with functions of their own are not read yet; inline them with onnx.inliner")
