"""The graph of a model as it is for any batch: traced for a few batch sizes side by side, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kedja.errors import FormatError
from kedja.formats.onnx.exporting.sizes import Dim, Shape, generalised, same
from kedja.graph.dtypes import DType
from kedja.graph.node import CONSTANT, Tensor
from kedja.graph.trace import Graph, trace
from kedja.graph.variables import Variable
from kedja.nn.layers.call import watching
from kedja.nn.layers.layer import Layer

__all__ = ["Body", "Called", "Site", "Traced", "traced"]

BATCHES = (3, 5, 8)
Array = np.ndarray[Any, Any]


class Site:
    """An op of the graph with its inputs, as it is for any batch; `layer` is the path of the layer it belongs to.

    Leaves have the ops "input", "variable" and "constant". Recognition changes sites in place; sites that nobody reads
    any more are not written.
    """

    __slots__ = ("attrs", "dtype", "inputs", "layer", "node", "op", "shape")

    def __init__(
        self, op: str, inputs: Sequence[Site], attrs: Mapping[str, Any], shape: Shape, dtype: DType, layer: str,
        node: Tensor,
    ) -> None:  # fmt: skip
        self.op, self.inputs, self.attrs = op, list(inputs), dict(attrs)
        self.shape, self.dtype, self.layer, self.node = shape, dtype, layer, node

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def become(self, op: str, inputs: Sequence[Site], **attrs: Any) -> None:
        """Be another op with the same result."""
        self.op, self.inputs, self.attrs = op, list(inputs), attrs

    def known(self) -> tuple[Array, str | None] | None:
        """The value, where it is known already, and the path of the variable it comes from."""
        if self.op == "constant":
            return self.attrs["value"], None
        if self.op == "variable":
            return self.attrs["value"], self.attrs["path"]
        if self.op not in ("reshape", "transpose", "flip"):
            return None
        found = self.inputs[0].known()
        if found is None:
            return None
        value, path = found
        if self.op == "reshape":
            whole = all(isinstance(n, int) for n in self.shape)
            return (value.reshape([int(str(n)) for n in self.shape]), path) if whole else None
        how: Any = np.transpose if self.op == "transpose" else np.flip
        return how(value, self.attrs["axes"]), path

    def __repr__(self) -> str:
        return f"<{self.op} {list(map(str, self.shape))} in {self.layer or 'the model'}>"


class Body(NamedTuple):
    """What a loop does in one step."""

    inputs: list[Site]
    outputs: list[Site]


class Called(NamedTuple):
    """A call of a layer that made a node."""

    layer: Layer
    path: str
    inputs: list[Tensor]


class Traced(NamedTuple):
    """A model for any batch. `site_of` finds the site of a node of the first trace, `calls` who made it."""

    inputs: list[Site]
    outputs: list[Site]
    site_of: dict[Tensor, Site]
    calls: dict[Tensor, Called]
    structure: Any


def traced(model: Any, shapes: Sequence[tuple[Any, ...]], dtype: Any, batch: int | None) -> Traced:
    """The model's inference graph for inputs of these shapes; for one batch size only where `batch` says so."""
    batches = BATCHES if batch is None else (batch,)
    owners, calls = dict[Tensor, str](), dict[Tensor, Called]()

    def claim(layer: Layer, path: str, inputs: Any, output: Any) -> None:
        given, stack, seen = set(_tensors(inputs)), _tensors(output), set[Tensor]()
        for y in stack:
            calls.setdefault(y, Called(layer, path, _tensors(inputs)))
        while stack:
            node = stack.pop()
            if node not in seen and node not in given:
                seen.add(node)
                owners.setdefault(node, path)
                stack.extend(node.inputs)

    graphs: list[Graph] = []
    for n in batches:
        sizes = [tuple(n if i == 0 else int(m) for i, m in enumerate(s)) for s in shapes]
        if graphs:
            graphs.append(trace(lambda *xs: model(*xs), [(s, dtype) for s in sizes]))
        else:
            with watching(claim):
                graphs.append(trace(lambda *xs: model(*xs), [(s, dtype) for s in sizes]))
    found = _Pairing(batches, owners, {v: path for path, v in model.state.items()})
    inputs = [found.leaf("input", nodes) for nodes in zip(*(g.inputs for g in graphs), strict=True)]
    outputs = found.sites(graphs)
    return Traced(inputs, outputs, found.site_of, calls, graphs[0].structure)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for v in value for t in _tensors(v)] if isinstance(value, list | tuple) else []


Nodes = tuple[Tensor, ...]


class _Pairing:
    """Walks the traces together, from the outputs down."""

    def __init__(self, batches: Sequence[int], owners: Mapping[Tensor, str], paths: Mapping[Tensor, str]) -> None:
        self.batches, self.owners, self.paths = batches, owners, paths
        self.site_of: dict[Tensor, Site] = {}
        self.partners: dict[Tensor, Nodes] = {}

    def leaf(self, op: str, nodes: Nodes, layer: str = "", **attrs: Any) -> Site:
        """The site of nodes without inputs."""
        return self._enter(nodes, Site(op, (), attrs, self._shape(nodes), nodes[0].dtype, layer, nodes[0]))

    def sites(self, graphs: Sequence[Graph], layer: str = "") -> list[Site]:
        """The sites of the graphs' outputs; those of everything above them are made."""
        ends = list(zip(*(g.outputs for g in graphs), strict=True))
        stack = [(nodes, False) for nodes in reversed(ends)]
        while stack:
            nodes, ready = stack.pop()
            if nodes[0] in self.site_of:
                if any(a is not b for a, b in zip(self.partners[nodes[0]], nodes, strict=True)) and not _is_fixed(
                    nodes
                ):
                    raise _other_form(nodes)
            elif ready or not nodes[0].inputs:
                self._make(nodes, layer)
            else:
                if any(len(n.inputs) != len(nodes[0].inputs) or n.op is not nodes[0].op for n in nodes):
                    raise _other_form(nodes)
                stack.append((nodes, True))
                stack.extend((above, False) for above in reversed(list(zip(*(n.inputs for n in nodes), strict=True))))
        return [self.site_of[nodes[0]] for nodes in ends]

    def _enter(self, nodes: Nodes, site: Site) -> Site:
        self.site_of[nodes[0]], self.partners[nodes[0]] = site, nodes
        return site

    def _shape(self, nodes: Nodes) -> Shape:
        shape: tuple[Dim, ...] = generalised([n.shape for n in nodes], self.batches)
        return shape

    def _make(self, nodes: Nodes, around: str) -> None:
        first, layer = nodes[0], self.owners.get(nodes[0], around)
        if first.op is CONSTANT:
            self._constant(nodes, layer)
        elif isinstance(first, Variable):
            self.leaf("variable", nodes, layer, value=first.value, path=self.paths.get(first, first.name or "variable"))
        elif first.is_leaf:
            raise FormatError(f"the graph reads {first!r}, which is no input of the model")
        else:
            attrs: dict[str, Any] = {}
            for key, value in first.attrs.items():
                values = [n.attrs[key] for n in nodes]
                attrs[key] = (
                    self._body(nodes, values, layer) if isinstance(value, Graph) else generalised(values, self.batches)
                )
            inputs = [self.site_of[x] for x in first.inputs]
            self._enter(nodes, Site(first.op.name, inputs, attrs, self._shape(nodes), first.dtype, layer, first))

    def _constant(self, nodes: Nodes, layer: str) -> None:
        values = [n.attrs["value"] for n in nodes]
        if same(values):
            self.leaf("constant", nodes, layer, value=values[0])
            return
        steps = [np.float64(1) * n for n in self.batches]
        if len({v.shape for v in values}) == 1:
            wide = [v.astype(np.float64) for v in values]
            times = (wide[1] - wide[0]) / (steps[1] - steps[0])
            plus = wide[0] - times * steps[0]
            if all(np.allclose(times * n + plus, v, rtol=1e-6, atol=0) for n, v in zip(steps, wide, strict=True)):
                self.leaf("line", nodes, layer, times=times, plus=plus)
                return
        raise FormatError(
            f'the layer "{layer}" uses a constant that is another for each number of examples. '
            "Save the model for one batch size: kj.onnx.save(net, path, batch=32)."
        )

    def _body(self, nodes: Nodes, graphs: Sequence[Graph], layer: str) -> Body:
        """The body of a loop. What it takes from around it is the site there; what changes step by step is a leaf."""
        first = nodes[0]
        loose = first.attrs.get("carries", 0) + first.attrs.get("sequences", 0)
        made = []
        for i, inner in enumerate(zip(*(g.inputs for g in graphs), strict=True)):
            if i < loose:
                made.append(self.leaf("step", inner, layer))
            else:
                made.append(self._enter(inner, self.site_of[first.inputs[i]]))
        return Body(made, self.sites(graphs, layer))


def _is_fixed(nodes: Nodes) -> bool:
    """Constants and variables may be met again under other nodes of the same value."""
    return all(n.is_leaf for n in nodes)


def _other_form(nodes: Nodes) -> FormatError:
    names = ", ".join(sorted({n.op.name for n in nodes}))
    return FormatError(
        f"the model computes in another way for another number of examples (at {names}). "
        "Save it for one batch size: kj.onnx.save(net, path, batch=32)."
    )
