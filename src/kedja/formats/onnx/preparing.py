"""An ONNX model put in the form an import starts from: cut, pruned, all its weights initializers, light to store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kedja.engines.values import evaluate
from kedja.errors import FormatError, UnknownNameError, one_of
from kedja.formats.onnx.graph import inside, opsets
from kedja.formats.onnx.reading import every_tensor, reads
from kedja.formats.onnx.registry import domain_of, translate
from kedja.formats.onnx.values import Value, Words, value_of
from kedja.formats.onnx.weights import planned, readable
from kedja.graph.node import Tensor

__all__ = ["array_of", "has_numbers", "lightened", "prepared"]

Array = np.ndarray[Any, Any]
LARGEST = 1 << 34  # bytes that a weight made by nodes may take
WIDTHS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE}
STATED = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


def prepared(model: onnx.ModelProto, outputs: Sequence[str] | None, dtype: Any) -> onnx.ModelProto:
    """The model to import; `outputs` are values (or names of nodes) to end at, `dtype` the type of its floats."""
    graph = model.graph
    if outputs is not None:
        cut(graph, outputs)
    hoist(graph)
    prune(graph)
    if dtype is not None:
        recast(graph, np.dtype(dtype))
    fold(model)
    apart(graph)
    prune(graph)
    return model


def cut(graph: onnx.GraphProto, outputs: Sequence[str]) -> None:
    """Let the graph end at these values."""
    known = {readable(node.name): node.output[0] for node in graph.node if node.name}
    known.update({node.name: node.output[0] for node in graph.node if node.name})
    known.update({name: name for node in graph.node for name in node.output if name})
    for name in outputs:
        if name not in known:
            close = get_close_matches(name, [str(k) for k in known], n=3)
            hint = (
                f"Did you mean {' or '.join(map(repr, close))}?" if close else "kj.onnx.load(…).summary() shows them."
            )
            raise UnknownNameError(f"outputs: the model has no value or node {name!r}. {hint}")
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=known[name]) for name in outputs)


def hoist(graph: onnx.GraphProto) -> None:
    """Make initializers of the Constant nodes that hold numbers."""
    kept = []
    for node in graph.node:
        tensor = _constant(node) if node.op_type == "Constant" and domain_of(node) == "" else None
        if tensor is None:
            kept.append(node)
        else:
            graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(kept)


def _constant(node: onnx.NodeProto) -> TensorProto | None:
    (attribute,) = node.attribute
    if attribute.name in STATED:
        value = np.asarray(helper.get_attribute_value(attribute), STATED[attribute.name])
        return numpy_helper.from_array(value, node.output[0])
    if attribute.name != "value":
        return None
    found = TensorProto()
    found.CopyFrom(attribute.t)
    found.name = node.output[0]
    return found


def prune(graph: onnx.GraphProto) -> None:
    """Drop nodes, tensors and inputs that no output needs, and what is only written for readers."""
    wanted = {o.name for o in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= reads(node)
            node.ClearField("doc_string")
            node.ClearField("metadata_props")
            kept.append(node)
    stored = [t for t in graph.initializer if t.name in wanted]
    names = {t.name for t in stored}
    entries = [i for i in graph.input if i.name in wanted and i.name not in names]
    for held, new in ((graph.node, kept[::-1]), (graph.initializer, stored), (graph.input, entries)):
        copies = [type(x).FromString(x.SerializeToString()) for x in new]
        del held[:]
        held.extend(copies)
    del graph.value_info[:]
    if not graph.input:
        raise FormatError("the outputs depend on no input of the model: there is nothing to compute")


def recast(graph: onnx.GraphProto, dtype: np.dtype[Any]) -> None:
    """Make float32 and float64 this type, in tensors, inputs and casts."""
    if dtype not in WIDTHS:
        raise one_of("dtype", str(dtype), [str(t) for t in WIDTHS])
    new, old = WIDTHS[dtype], set(WIDTHS.values())
    for tensor in every_tensor(graph):
        if tensor.data_type in old and tensor.data_type != new:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(dtype), tensor.name))
    for entry in (*graph.input, *graph.output):
        if entry.type.tensor_type.elem_type in old:
            entry.type.tensor_type.elem_type = new
    _recast_attributes(graph, new, old)


def _recast_attributes(graph: onnx.GraphProto, new: int, old: set[Any]) -> None:
    """Types that nodes name: of a Cast, of what EyeLike and the random operators make."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("dtype", "to") and attribute.i in old:
                attribute.i = new
        for inner in inside(node):
            _recast_attributes(inner, new, old)


def fold(model: onnx.ModelProto) -> None:
    """Work out the weights that nodes make of constants, and make initializers of them."""
    graph, versions = model.graph, opsets(model)
    wanted = planned(graph).folded
    if not wanted:
        return
    makers = {name: node for node in graph.node for name in node.output if name}
    words = Words()
    values: dict[str, Value] = {t.name: value_of(t, words) for t in graph.initializer}

    def value(name: str) -> Value:
        waiting = [name]
        while waiting:
            node = makers.get(waiting[-1])
            missing = [n for n in node.input if n and n not in values] if node is not None else []
            if node is not None and not missing and waiting[-1] not in values:
                made = translate(
                    node, [values[n] if n else None for n in node.input], versions[domain_of(node)], words=words
                )
                values.update(zip(node.output, made, strict=True))
            waiting = [*waiting, *missing] if missing else waiting[:-1]
        return values[name]

    for name in wanted:
        found = value(name)
        if isinstance(found, Tensor) and found.dtype.kind == "f":
            if found.size * found.dtype.itemsize > LARGEST:
                raise FormatError(f"the weight {name!r} of shape {found.shape} would take more than 16 GiB")
            node = makers[name]
            node.output[list(node.output).index(name)] = ""
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(evaluate(found)), name))


def apart(graph: onnx.GraphProto) -> None:
    """Give running statistics that are stored once for several places (equal numbers often are) to each its own."""
    used = Counter(name for node in graph.node for name in node.input)
    stored = {t.name: t for t in graph.initializer}
    for node in graph.node:
        if node.op_type != "BatchNormalization":
            continue
        for at in (3, 4):
            name = node.input[at] if len(node.input) > at else ""
            if used[name] > 1 and name in stored:
                copy = TensorProto()
                copy.CopyFrom(stored[name])
                used[name] -= 1
                copy.name = node.input[at] = f"{name}.{node.output[0]}.{'mean' if at == 3 else 'variance'}"
                graph.initializer.append(copy)


def lightened(model: onnx.ModelProto, weights: Mapping[str, Any]) -> onnx.ModelProto:
    """The model without the numbers of its weights, whose shapes stay."""
    found = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name, graph=onnx.GraphProto())
    found.opset_import.extend(model.opset_import)
    graph = found.graph
    graph.name = model.graph.name
    for field in ("input", "node", "output"):
        getattr(graph, field).extend(getattr(model.graph, field))
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            graph.initializer.append(TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims))
        else:
            graph.initializer.append(tensor)
    return found


def array_of(tensor: TensorProto) -> Array:
    """A tensor's numbers; zeros for one whose numbers are kept elsewhere."""
    if not has_numbers(tensor):
        return np.zeros(tuple(tensor.dims), np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)))
    found: Array = numpy_helper.to_array(tensor)
    return found


def has_numbers(tensor: TensorProto) -> bool:
    """Whether a tensor's numbers stand in it."""
    fields = ("double_data", "float_data", "int32_data")
    return 0 in tensor.dims or tensor.HasField("raw_data") or any(len(getattr(tensor, f)) for f in fields)
