"""An ONNX graph as nodes of kedja's: initializers become constants, inputs placeholders, nodes are translated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import onnx
from onnx import inliner

from kedja.errors import FormatError
from kedja.formats.onnx.lacking import lacking
from kedja.formats.onnx.registry import OPERATORS, domain_of, translate
from kedja.formats.onnx.scope import Scope
from kedja.formats.onnx.values import Value, Words, value_of

__all__ = ["build", "every_node", "inlined", "inputs_of", "inside", "must_be_known", "opsets", "refuse_unknown"]

# Definitions that leave attributes out which stand at their defaults.
UNFINISHED = ("BlackmanWindow", "HammingWindow", "HannWindow")
SHAPES_ONLY = ("SequenceLength", "Shape", "Size")  # what they give depends on shapes, which are always known


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
    _ask(graph, wanted)
    names = set(inputs_of(graph))
    deciding = {node.input[0] for node in every_node(graph) if node.op_type == "If"}
    return (wanted | deciding) & names


def _ask(graph: onnx.GraphProto, wanted: set[str]) -> None:
    """Add to the names wanted in a graph those that they are made from."""
    for node in reversed(graph.node):  # nodes stand in an order in which they can run
        found = OPERATORS.get((domain_of(node), node.op_type))
        if found is not None:
            wanted.update(name for i, name in enumerate(node.input) if name and i in found.known)
        asked = wanted & set(node.output)
        if asked and node.op_type not in SHAPES_ONLY:
            wanted.update(name for name in node.input if name)
        for inner in inside(node):
            if asked:
                wanted.update(o.name for o in inner.output)
            _ask(inner, wanted)


def inside(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside an operator."""
    return [g for a in node.attribute for g in ([a.g] if a.HasField("g") else a.graphs)]


def build(graph: onnx.GraphProto, given: Mapping[str, Value], versions: Mapping[str, int], words: Words) -> list[Value]:
    """The graph's outputs for these inputs; a graph inside an operator is given the values around it too."""
    values: dict[str, Value] = dict(given)
    own = {i.name for i in graph.input}
    values.update({t.name: value_of(t, words) for t in graph.initializer if t.name not in given or t.name not in own})
    scope = Scope(values, lambda inner, around: build(inner, around, versions, words))
    for node in graph.node:
        missing = [name for name in node.input if name and name not in values]
        if missing:
            raise FormatError(f"{node.op_type} {node.name!r} reads {missing[0]!r}, which nothing before it makes")
        if domain_of(node) not in versions:
            raise FormatError(f"the model does not say which version of the domain {node.domain!r} it uses")
        inputs = [values[name] if name else None for name in node.input]
        outputs = translate(node, inputs, versions[domain_of(node)], words=words, scope=scope)
        values.update({name: y for name, y in zip(node.output, outputs, strict=True) if name})
    absent = [o.name for o in graph.output if o.name not in values]
    if absent:
        raise FormatError(f"the graph's output {absent[0]!r} is made by none of its nodes")
    return [values[o.name] for o in graph.output]


def every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the graphs inside its operators."""
    for node in graph.node:
        yield node
        for inner in inside(node):
            yield from every_node(inner)


def unknown(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes whose operators kedja has not."""
    return [node for node in every_node(graph) if (domain_of(node), node.op_type) not in OPERATORS]


def refuse_unknown(model: onnx.ModelProto) -> None:
    """An error that names every operator kedja has not, before anything is built."""
    first = {node.op_type: node for node in reversed(unknown(model.graph))}
    if first:
        names = sorted(first)
        each = "\n".join(f"  {lacking(first[name])}" for name in names)
        raise FormatError(f"the model uses operators kedja has not: {', '.join(names)}\n{each}")


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions: nodes stand for those of its own, and for operators that ONNX defines by others."""
    found = model
    if model.functions:
        found = inliner.inline_local_functions(model)
    defined = {("", node.op_type) for node in unknown(found.graph) if domain_of(node) == "" and _defined(node.op_type)}
    if defined:
        with suppress(RuntimeError):  # inputs left out before others are too much for it; the operators stay then
            found = inliner.inline_selected_functions(found, sorted(defined), False, True)
    return found


def _defined(name: str) -> bool:
    """Whether ONNX itself says what an operator is in terms of others."""
    if not onnx.defs.has(name) or name in UNFINISHED:
        return False
    schema: Any = onnx.defs.get_schema(name)
    return bool(schema.has_function or schema.has_context_dependent_function)
