"""What ONNX's conformance suite talks to: a model in, arrays in, arrays out, computed by one of kedja's engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.backend import base

from kedja.engines.choice import asked, choose
from kedja.engines.engine import Engine, Program
from kedja.errors import DataError, FormatError, GraphError
from kedja.formats.onnx import operators  # noqa: F401  (fills the table)
from kedja.formats.onnx.graph import build, inlined, inputs_of, must_be_known, opsets, refuse_unknown
from kedja.formats.onnx.values import Coded, Value, Words, arrays_in, decoded, value_of
from kedja.graph.node import Tensor, placeholder
from kedja.graph.trace import Graph, flatten, unflatten, without_gc

__all__ = ["Backend", "Prepared", "prepare", "run_model"]

Array = np.ndarray[Any, Any]


class Prepared(base.BackendRep):
    """A model ready to run. Every new combination of input shapes is translated and compiled once.

    Inputs that decide shapes (the shape of a Reshape, the axes of a ReduceSum) are constants of a program; a new
    value of one of them makes a new program too.
    """

    def __init__(self, model: onnx.ModelProto, engine: Any) -> None:
        self.model = model = inlined(model)
        refuse_unknown(model)
        self.engine = engine
        self.names = inputs_of(model.graph)
        self.known = must_be_known(model.graph)
        self.versions = opsets(model)
        self._words = Words()
        self._programs: dict[Any, tuple[Program, list[Any]]] = {}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs for these inputs, a list in the order of the graph's inputs or a dict by name."""
        given = self._named(inputs)
        key = tuple((name, _signature(value, name in self.known)) for name, value in given.items())
        if key not in self._programs:
            self._programs[key] = self._compiled(given)
        program, described = self._programs[key]
        arrays = [
            arrays_in(leaf, self._words)[0]
            for name, value in given.items() if name not in self.known
            for leaf in flatten(value)[0]
        ]  # fmt: skip
        _, found = program([], arrays)
        outputs = []
        for (nest, dtypes), start in described:
            parts = [decoded(np.asarray(found[start + i]), t, self._words) for i, t in enumerate(dtypes)]
            outputs.append(unflatten(nest, parts))
        return tuple(outputs)

    def _named(self, inputs: Any) -> dict[str, Any]:
        if isinstance(inputs, Mapping):
            given = dict(inputs)
        else:
            listed = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
            if len(listed) > len(self.names):
                raise DataError(f"the model has the inputs {self.names}, got {len(listed)} arrays")
            given = dict(zip(self.names, listed, strict=False))
        absent = [name for name in self.names if name not in given]
        strange = [name for name in given if name not in self.names]
        if absent or strange:
            raise DataError(f"the model has the inputs {self.names}; missing {absent}, not among them {strange}")
        return {name: given[name] for name in self.names}

    def _compiled(self, given: Mapping[str, Any]) -> tuple[Program, list[Any]]:
        """The program, and for every output how it is nested, which type it stands for and where it begins."""
        made: list[Tensor] = []

        def waiting(name: str, value: Any) -> Value:
            if name in self.known:
                return value_of(value, self._words)
            leaves, nest = flatten(value)
            nodes: list[Value] = []
            for leaf in leaves:
                array, dtype = arrays_in(leaf, self._words)
                node = placeholder(array.shape, array.dtype, name)
                made.append(node)
                nodes.append(node if dtype is None else Coded(node, dtype))
            return unflatten(nest, nodes)

        with without_gc():
            values = {name: waiting(name, value) for name, value in given.items()}
            outputs = build(self.model.graph, values, self.versions, self._words)
        described: list[Any] = []
        ends: list[Tensor] = []
        for value in outputs:
            leaves, nest = _leaves(value)
            described.append(((nest, [v.dtype if isinstance(v, Coded) else None for v in leaves]), len(ends)))
            ends.extend(v.codes if isinstance(v, Coded) else v for v in leaves)
        graph = Graph(made, ends)
        return choose(self.engine, graph).program(graph), described


def _leaves(value: Value) -> tuple[list[Any], Any]:
    """As `flatten`; a Coded is one leaf."""
    if isinstance(value, list):
        parts = [_leaves(v) for v in value]
        return [leaf for leaves, _ in parts for leaf in leaves], (list, [nest for _, nest in parts])
    return ([], None) if value is None else ([value], ...)


def _signature(value: Any, known: bool) -> Any:
    leaves, nest = flatten(value)
    arrays = [np.asarray(leaf) for leaf in leaves]
    kinds = [(a.shape, a.dtype.str, a.dtype.name, a.tobytes() if known else b"") for a in arrays]
    return repr(nest), tuple(kinds)


class Backend(base.Backend):
    """kedja as a backend of ONNX: `prepare`, `run_model`, `run_node`, as `onnx.backend` describes them.

    `engine` is "reference" (the default), "xla" or "auto"; `kernels` as in `fit`.

    >>> from onnx import TensorProto, helper
    >>> node = helper.make_node("Add", ["a", "b"], ["y"])
    >>> [y.tolist() for y in Backend.run_node(node, [np.float32([1, 2]), np.float32([10, 20])])]
    [[11.0, 22.0]]
    """

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """The model, checked and ready to `run`."""
        if not cls.supports_device(device):
            raise GraphError(f"kedja's ONNX backend runs on the CPU, not on {device!r}")
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as error:
            raise FormatError(f"this is no valid ONNX model: {error}") from None
        return Prepared(model, _engine(kwargs))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """The outputs of a model, once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """The outputs of one node; `opset_version=` names the version of its domain, else the newest."""
        if not cls.supports_device(device):
            raise GraphError(f"kedja's ONNX backend runs on the CPU, not on {device!r}")
        domain = node.domain or ""
        newest = onnx.defs.onnx_opset_version() if domain in ("", "ai.onnx") else 1
        given = [name for name in node.input if name]
        blank = [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(given)]
        out = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], "node", blank, out)
        version = helper.make_opsetid(domain, kwargs.pop("opset_version", newest))
        model = helper.make_model(graph, opset_imports=[version])
        return Prepared(model, _engine(kwargs)).run(inputs)  # inputs without types: nothing to check

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether this is the CPU."""
        return device == "CPU"


def _engine(asked_for: Mapping[str, Any]) -> str | Engine:
    """The engine of a backend's arguments."""
    return asked(asked_for.get("engine", "reference"), asked_for.get("kernels"))


def prepare(model: onnx.ModelProto, engine: str = "reference", kernels: str | None = None) -> Prepared:
    """The model, ready to be run often: `prepare(model).run([x])`. `kernels` as in `fit`."""
    return Backend.prepare(model, engine=engine, kernels=kernels)


def run_model(
    model: onnx.ModelProto, inputs: Sequence[Array] | Mapping[str, Array], engine: str = "reference",
    kernels: str | None = None,
) -> Any:  # fmt: skip
    """The outputs of an ONNX model for these inputs, a tuple of arrays."""
    return Backend.run_model(model, inputs, engine=engine, kernels=kernels)
