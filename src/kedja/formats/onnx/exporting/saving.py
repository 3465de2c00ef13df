"""`kj.onnx.save`: a model as one ONNX file, checked; `kj.onnx.check`: the file beside the model on the same numbers."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import kedja
from kedja.errors import FormatError, GraphError, StorageError
from kedja.files import write_whole
from kedja.formats.onnx.exporting import elementwise, indexing, loops, reductions, shaping, windows  # noqa: F401
from kedja.formats.onnx.exporting.recognition import recognise
from kedja.formats.onnx.exporting.sites import Site, traced
from kedja.formats.onnx.exporting.sizes import Size
from kedja.formats.onnx.exporting.transposes import settle, transposes
from kedja.formats.onnx.exporting.writer import Node, Subgraph, Writer
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module
from kedja.train.evaluation import as_inputs, input_shapes, model_dtype

__all__ = ["NEWEST", "OLDEST", "Saved", "as_model", "check", "save"]

NEWEST = 26  # the newest opset that both onnx 1.23 and onnxruntime 1.31 take; a test looks whether it still is
OLDEST = 18  # reductions have had their axes as an input since
LARGEST = 2**31 - 2**20  # bytes of weights in one file: protocol buffers end at 2 GB
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Saved:
    """What was written: where, for which opset, its inputs and outputs, how many nodes of each kind."""

    path: Path
    opset: int
    inputs: dict[str, tuple[Any, ...]]
    outputs: dict[str, tuple[Any, ...]]
    operators: dict[str, int]
    parameters: int
    transposes: int
    data: Path | None = None

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        def told(ends: dict[str, tuple[Any, ...]]) -> str:
            return ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in ends.items())

        kinds = ", ".join(f"{op} {n}" if n > 1 else op for op, n in self.operators.items())
        beside = f", the weights in {self.data.name} beside it" if self.data else ""
        return (
            f"{self.path}: ONNX opset {self.opset}, {self.parameters:,} numbers{beside}\n"
            f"  {told(self.inputs)} → {told(self.outputs)}\n"
            f"  {sum(self.operators.values())} nodes: {kinds}"
        )


def save(
    model: Module, path: str | os.PathLike[str], *, opset: int | None = None, batch: int | str = "dynamic",
    name: str | None = None,
) -> Saved:  # fmt: skip
    """Write the model, as it predicts, as an ONNX file; what stood there before is replaced, all at once.

    All that is on the graph is written, also what prepares the data (Normalize, Impute, Columns, …). With
    `batch="dynamic"` the file takes any number of rows, with a number that many. Weights are named by their paths in
    `model.state`; inputs are called `input` (or by their names, or input_1, …), outputs `output`. `opset` is the newest
    that onnx and onnxruntime both take unless given. Weights of more than 2 GB go to a file `….onnx.data` beside it.

    Raises GraphError for a model without weights, FormatError for an op that has no form in ONNX (it names op and
    layer) and for an opset that is not known, StorageError when the file cannot be written.

    >>> import tempfile, kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(3, "relu"), kj.nn.Dense(1)]).build((None, 2), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = kj.onnx.save(net, f"{folder}/net.onnx")
    >>> saved.operators, saved.inputs
    ({'Gemm': 2, 'Relu': 1}, {'input': ('batch', 2)})
    """
    if name is not None and not isinstance(name, str):
        raise FormatError(f"the name of an ONNX graph is text, got {name!r}")
    made, written, spread = as_model(model, opset=opset, batch=batch, name=name)
    target = Path(path)
    data = target.with_name(f"{target.name}.data") if written.bytes > LARGEST else None
    if data is None:
        onnx.checker.check_model(made, full_check=True)
        write_whole(target, made.SerializeToString())
    else:
        _write_apart(made, target, data)
    (inputs, outputs), kinds = spread, dict(written.operators.most_common())
    version = made.opset_import[0].version
    return Saved(target, version, inputs, outputs, kinds, written.numbers, written.transposes, data)


@dataclass(frozen=True)
class Written:
    """Counts of a model that has been made."""

    operators: Counter[str]
    numbers: int
    bytes: int
    transposes: int


def as_model(
    model: Module, *, opset: int | None = None, batch: int | str = "dynamic", name: str | None = None
) -> tuple[onnx.ModelProto, Written, Any]:
    """The model as an onnx.ModelProto, its counts, and the shapes of its inputs and outputs by name."""
    opset = _checked_opset(opset)
    n = _checked_batch(batch)
    if not isinstance(model, Layer):
        hint = " Save its members one by one: for net in ensemble: …" if type(model).__name__ == "Ensemble" else ""
        raise GraphError(f"kj.onnx.save writes models and got a {type(model).__name__}.{hint}")
    if not isinstance(model, Module):
        raise GraphError(f"{model.title} is a layer: put it in a model first, kj.Sequential([layer])")
    if not model.built:
        raise GraphError("there is nothing to save yet: the model has no weights. Fit it, or build it with a shape.")
    model.expect_weights()
    shapes, dtype = input_shapes(model), model_dtype(model)
    loose = [s for s in shapes if any(m is None for m in s[1:])]
    if loose:
        raise FormatError(
            f"the model was built for inputs {loose[0]}: only the number of examples may be open in ONNX files that "
            "kedja writes. Build it with all other sizes."
        )
    found = traced(model, shapes, dtype, n)
    recognise(found, opset)
    w = Writer(opset)
    given = _names([getattr(s, "name", None) for s in getattr(model, "_inputs", [])], len(shapes), "input")
    for stem, site in zip(given, found.inputs, strict=True):
        w.names[site] = w.fresh(stem)
        w.shared.ranks[w.names[site]] = site.ndim
    w.first = w.names[found.inputs[0]]
    ends = _names([], len(found.outputs), "output")
    for stem in ends:
        w.fresh(stem)
    names = settle(w, w.write(found.outputs))
    _finish(w, names, ends)
    graph = helper.make_graph(
        [_node(node) for node in w.nodes], name or model.name or type(model).__name__,
        [_value(w.names[s], s) for s in found.inputs],
        [_value(end, s) for end, s in zip(ends, found.outputs, strict=True)],
        [numpy_helper.from_array(v, k) for k, v in w.shared.initialisers.items()], doc_string=_doc(model),
    )  # fmt: skip
    domains = [helper.make_opsetid("", opset)]
    made = helper.make_model(graph, opset_imports=domains, producer_name="kedja", producer_version=kedja.__version__)
    made.ir_version = helper.find_min_ir_version_for(domains)
    made.doc_string = graph.doc_string
    helper.set_model_props(made, {k: v for k, v in _properties(model).items() if v})
    arrays = w.shared.initialisers.values()
    counts = Written(
        _operators(w.nodes), sum(a.size for a in arrays), sum(a.nbytes for a in arrays), transposes(w.nodes)
    )
    spread = [
        {k: _told(s) for k, s in zip(keys, sites, strict=True)}
        for keys, sites in ((given, found.inputs), (ends, found.outputs))
    ]
    return made, counts, spread


def _checked_opset(opset: Any) -> int:
    if opset is None:
        return min(NEWEST, onnx.defs.onnx_opset_version())
    if isinstance(opset, bool) or not isinstance(opset, int):
        raise FormatError(f"opset is a whole number, such as {NEWEST}; got {opset!r}")
    newest = onnx.defs.onnx_opset_version()
    if opset < OLDEST:
        raise FormatError(
            f"opset {opset} is too old: kedja writes opsets {OLDEST} to {newest}. Leave opset out for {NEWEST}, or "
            "turn the file back with onnx.version_converter."
        )
    if opset > newest:
        raise FormatError(f"opset {opset} is newer than those onnx {onnx.__version__} knows, up to {newest}.")
    return opset


def _checked_batch(batch: Any) -> int | None:
    if batch == "dynamic":
        return None
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise FormatError(f'batch is "dynamic" or a number of rows, at least 1; got {batch!r}')
    return batch


def _names(own: Sequence[str | None], n: int, stem: str) -> list[str]:
    plain = [stem] if n == 1 else [f"{stem}_{i + 1}" for i in range(n)]
    return [a or b for a, b in zip([*own, *[None] * n], plain, strict=False)]


def _finish(w: Writer, names: list[str], ends: list[str]) -> None:
    """Give the outputs their names; one that is an input, a weight, or another output too gets a node of its own."""
    made = {name for node in w.nodes for name in node.outputs}
    renamed: dict[str, str] = {}
    for name, end in zip(names, ends, strict=True):
        if name in made and name not in renamed:
            renamed[name] = end
        else:
            w.nodes.append(Node("Identity", [name], [end]))
    _rename(w.nodes, renamed)


def _rename(nodes: Sequence[Node], names: dict[str, str]) -> None:
    for node in nodes:
        node.inputs = [names.get(x, x) for x in node.inputs]
        node.outputs = [names.get(x, x) for x in node.outputs]
        for value in node.attrs.values():
            if isinstance(value, Subgraph):
                _rename(value.nodes, names)


# --- as protocol buffers --------------------------------------------------------------------------------------------
def _node(node: Node) -> onnx.NodeProto:
    attrs = {k: _subgraph(v) if isinstance(v, Subgraph) else v for k, v in node.attrs.items()}
    return helper.make_node(node.op, node.inputs, node.outputs, name=node.outputs[0], **attrs)


def _subgraph(graph: Subgraph) -> onnx.GraphProto:
    inputs, outputs = ([_value(name, site) for name, site in part] for part in (graph.inputs, graph.outputs))
    return helper.make_graph([_node(node) for node in graph.nodes], graph.name, inputs, outputs)


def _value(name: str, site: Site) -> onnx.ValueInfoProto:
    shape = [str(n) if isinstance(n, Size) else n for n in site.shape]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(site.dtype), shape)


def _told(site: Site) -> tuple[Any, ...]:
    return tuple(str(n) if isinstance(n, Size) else n for n in site.shape)


def _operators(nodes: Sequence[Node]) -> Counter[str]:
    found = Counter(node.op for node in nodes)
    for node in nodes:
        for value in node.attrs.values():
            if isinstance(value, Subgraph):
                found.update(_operators(value.nodes))
    return found


def _doc(model: Module) -> str:
    about = model.info.get("data")
    trained = f", trained on {about}" if isinstance(about, str) else ""
    return f"{model.name or type(model).__name__}{trained}; written by kedja {kedja.__version__}."


def _properties(model: Module) -> dict[str, str]:
    """What the numbers of inputs and outputs are, where the model knows, as JSON: names, what images go through."""
    known = {k: model.info.get(k) for k in ("task", "target", "feature_names", "class_names", "preprocess")}
    return {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in known.items() if v}


def _write_apart(made: onnx.ModelProto, target: Path, data: Path) -> None:
    """The weights in a file of their own; both are written under other names first."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.{secrets.token_hex(4)}.", dir=target.parent) as draft:
            inside = Path(draft) / target.name
            onnx.save_model(
                made, inside, save_as_external_data=True, all_tensors_to_one_file=True, location=data.name,
                size_threshold=1024,
            )  # fmt: skip
            onnx.checker.check_model(os.fspath(inside), full_check=True)
            os.replace(Path(draft) / data.name, data)
            os.replace(inside, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error


# --- the file beside the model --------------------------------------------------------------------------------------
def check(path: str | os.PathLike[str], model: Module, x: Any) -> float:
    """The largest difference between the file and the model on these inputs, over the largest output (at least 1).

    The file is run by onnxruntime where it is installed, and otherwise by kedja itself.

    >>> import tempfile, kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(3, "relu"), kj.nn.Dense(1)]).build((None, 2), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bool(kj.onnx.check(kj.onnx.save(net, f"{folder}/net.onnx"), net, [[1.0, 2.0]]) < 1e-5)
    True
    """
    inputs = as_inputs(model, x)
    ours = model.predict(x)
    theirs = _outputs(os.fspath(path), inputs)
    worst = 0.0
    for a, b in zip(ours if isinstance(ours, tuple) else (ours,), theirs, strict=True):
        if a.shape != b.shape:
            raise FormatError(f"{path}: gives an output of shape {b.shape} where the model gives {a.shape}")
        if not a.size:
            continue
        wide, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if not np.array_equal(np.isfinite(wide), np.isfinite(other)):
            return float("inf")
        there = np.isfinite(wide)
        scale = max(1.0, float(np.abs(wide[there]).max(initial=0.0)))
        worst = max(worst, float(np.abs(wide[there] - other[there]).max(initial=0.0)) / scale)
    return worst


def _outputs(path: str, inputs: Sequence[Array]) -> list[Array]:
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError:
        from kedja.formats.onnx.backend import run_model

        return list(run_model(onnx.load(path), list(inputs)))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {i.name: a for i, a in zip(session.get_inputs(), inputs, strict=True)}
    return list(session.run(None, given))
