"""An ONNX file as a whole and sound model: parsed, its outside data fetched, every claim about sizes checked."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from kedja.errors import FormatError
from kedja.formats.onnx.graph import every_node, inside, opsets

__all__ = ["every_tensor", "read"]

NEWEST = 1 << 31  # bytes of a protobuf message
PLAIN = ("double_data", "float_data", "int32_data", "int64_data", "string_data", "uint64_data")
PACKED = {  # types of which several stand in a byte
    getattr(TensorProto, name): bits
    for name, bits in {"FLOAT4E2M1": 4, "INT2": 2, "INT4": 4, "UINT2": 2, "UINT4": 4}.items()
    if hasattr(TensorProto, name)
}
PAIRED: dict[int, int] = {TensorProto.COMPLEX64: 2, TensorProto.COMPLEX128: 2}  # two numbers for each element


def read(source: Any) -> onnx.ModelProto:
    """The model in a file, in bytes, or as onnx has it; a copy, checked.

    Raises FormatError for what is no ONNX model, or is cut short, cyclic, newer than the package onnx, or claims sizes
    its data have not; and for data outside the model's own folder.
    """
    if isinstance(source, onnx.ModelProto):
        model, folder, name = onnx.ModelProto(), None, "the model"
        model.CopyFrom(source)
    elif isinstance(source, bytes):
        model, folder, name = parsed(source, "the model"), None, "the model"
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        model, folder, name = parsed(content(path), str(path)), path.parent, str(path)
    else:
        raise FormatError(f"an ONNX model comes from a path, bytes or an onnx.ModelProto; got {type(source).__name__}")
    try:
        sound(model, folder)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None
    return model


def content(path: Path) -> bytes:
    """The bytes of a file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FormatError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise FormatError(f"{path} is a folder; an ONNX model is a file, and kj.load reads kedja's folders") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from error


def parsed(blob: bytes, name: str) -> onnx.ModelProto:
    """The message in these bytes."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model = onnx.ModelProto()
    try:
        model.ParseFromString(blob)
    except DecodeError:
        raise FormatError(f"{name} is no ONNX model, or is cut short: {len(blob)} bytes that do not parse") from None
    if not (model.ir_version and model.opset_import and (model.graph.node or model.graph.output)):
        raise FormatError(f"{name} is no ONNX model: it has no version, or no graph")
    return model


def sound(model: onnx.ModelProto, folder: Path | None) -> None:
    """Check a model, sort its nodes, and bring its outside data in."""
    for domain, version in opsets(model).items():
        newest = onnx.defs.onnx_opset_version()
        if domain == "" and version > newest:
            raise FormatError(
                f"it uses opset {version} and the package onnx here knows {newest}: update onnx, or export with "
                f"opset_version={newest}"
            )
    for node in every_node(model.graph):
        said: list[Any] = [node.name, node.op_type, node.domain, *node.input, *node.output]
        if not all(isinstance(word, str) for word in said):  # what is no UTF-8 comes as bytes
            raise FormatError(f"a node has a name that is no text: {said}")
    for tensor in every_tensor(model.graph):
        fetch(tensor, folder)
        measured(tensor)
    in_order(model.graph)
    if model.ByteSize() < NEWEST:
        try:
            onnx.checker.check_model(model)
        except (onnx.checker.ValidationError, ValueError) as error:
            raise FormatError(f"this is no valid ONNX model: {' '.join(str(error).split())}") from None


def every_tensor(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """The tensors that stand in a graph, and in the graphs inside its operators."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
        for inner in inside(node):
            yield from every_tensor(inner)


def fetch(tensor: TensorProto, folder: Path | None) -> None:
    """Put the data of a tensor that lie in another file into it."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return
    said = {entry.key: entry.value for entry in tensor.external_data}
    name = said.get("location", "")
    what = f"the data of {tensor.name!r} lie in the file {name!r}"
    if folder is None:
        raise FormatError(f"{what}, and the model itself came without a folder: give its path")
    path = beside(folder, name, what)
    size = path.stat().st_size
    try:
        start = int(said.get("offset", 0))
        length = int(said["length"]) if "length" in said else size - start
    except ValueError:
        raise FormatError(f"{what}, at no whole number of bytes") from None
    if start < 0 or length < 0 or start + length > size:
        raise FormatError(f"{what}, bytes {start} to {start + length}, and that file has {size}")
    claimed = claim(tensor)
    if length != claimed:
        raise FormatError(f"{what}: {length} bytes for a tensor of shape {tuple(tensor.dims)}, which takes {claimed}")
    with path.open("rb") as file:
        file.seek(start)
        tensor.raw_data = file.read(length)
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


def beside(folder: Path, name: str, what: str) -> Path:
    """The path of a file in the folder or below it; links and names that lead out of it are refused."""
    shape = PureWindowsPath(name)  # knows both kinds of slashes, and drives
    if not name or shape.drive or shape.root or ".." in shape.parts or "\0" in name:
        raise FormatError(f"{what}: only files beside the model, or in folders there, are read")
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise FormatError(f"{what}, a link that leads out of the model's folder")
    if not path.is_file():
        raise FormatError(f"{what}, which is missing")
    return path


def claim(tensor: TensorProto) -> int:
    """How many bytes a tensor's shape and type claim."""
    if any(n < 0 for n in tensor.dims):
        raise FormatError(f"the tensor {tensor.name!r} has the shape {tuple(tensor.dims)}")
    count: int = math.prod(tensor.dims)
    if tensor.data_type in PACKED:
        return -(-count * PACKED[tensor.data_type] // 8)
    try:
        return count * int(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize)
    except (KeyError, TypeError, ValueError):
        raise FormatError(f"the tensor {tensor.name!r} is of a type onnx does not know: {tensor.data_type}") from None


def measured(tensor: TensorProto) -> None:
    """Refuse a tensor that claims more, or less, than it brings."""
    claimed, count = claim(tensor), math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        has, wants, unit = len(tensor.raw_data), claimed, "bytes"
    else:
        has, unit = sum(len(getattr(tensor, field)) for field in PLAIN), "numbers"
        wants = count * PAIRED.get(int(tensor.data_type), 1)
        if tensor.data_type in PACKED:
            wants = claimed
    if has != wants:
        raise FormatError(f"the tensor {tensor.name!r} of shape {tuple(tensor.dims)} brings {has} {unit}, not {wants}")


def in_order(graph: onnx.GraphProto) -> None:
    """Sort the nodes so that each stands behind those it reads from; a circle is an error."""
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in graph.node] if not _sorted(graph) else []
    if not nodes:
        return
    needs = [{makers[name] for name in reads(node) if name in makers} for node in nodes]
    order: list[int] = []
    left = dict.fromkeys(range(len(nodes)))
    while left:
        ready = [i for i in left if not needs[i] & left.keys()]
        if not ready:
            names = [nodes[i].name or nodes[i].op_type for i in list(left)[:4]]
            raise FormatError(f"the graph goes round in a circle: {' → '.join(names)} wait for each other")
        order += ready
        for i in ready:
            del left[i]
    del graph.node[:]
    graph.node.extend(nodes[i] for i in order)


def _sorted(graph: onnx.GraphProto) -> bool:
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    return all(makers.get(name, -1) < i for i, node in enumerate(graph.node) for name in reads(node))


def reads(node: onnx.NodeProto) -> set[str]:
    """The names a node reads, those that the graphs inside it read from outside included."""
    found = {name for name in node.input if name}
    for inner in inside(node):
        own = {i.name for i in inner.input} | {t.name for t in inner.initializer}
        made = {name for n in inner.node for name in n.output}
        found |= {name for n in inner.node for name in reads(n)} - own - made
        found |= {o.name for o in inner.output} - own - made
    return found
