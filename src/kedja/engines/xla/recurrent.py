"""Recurrent networks in a graph: a `scan` whose body is a step of an LSTM, and the `scan` that is its derivative.

Nothing in the graph says so. The bodies are compared with one that is written here and with what differentiating it
gives: nodes that are the same op of the same things have the same number, whatever else a body computes or returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kedja.diff.reverse import cotangents
from kedja.engines.xla import kernels
from kedja.graph.dtypes import DType
from kedja.graph.node import CONSTANT, Tensor, placeholder
from kedja.graph.trace import Graph
from kedja.ops import elementwise, linalg, reductions, scan, shaping
from kedja.ops.control import item, scan_op

__all__ = ["sequences"]

Work = Callable[[Mapping[Tensor, Any]], Mapping[Tensor, Any]]
BARE = {"stride": (1, 1), "low": (0, 0), "high": (0, 0), "dilation": (1, 1)}  # of a convolution that sees one place
Table = dict[Any, int]  # an op, its attributes and the numbers of its inputs → the number of what it makes


class Loop(NamedTuple):
    """What a loop looks like: the types and the roles of its body's inputs, and the numbers of the body's outputs."""

    inputs: list[Any]
    roles: tuple[str, ...]
    outputs: tuple[int | None, ...]


class Cell(NamedTuple):
    """The loop of an LSTM, what its body's values are called, and the loops that may be its derivative."""

    table: Table
    forward: Loop
    names: Mapping[int | None, str]
    back: tuple[Loop, ...]


def sequences(graph: Graph, found: dict[Tensor, Work | None]) -> None:
    """Add what to do for the loops of a graph that a kernel runs as a whole."""
    loops: dict[Tensor, set[int]] = {}  # and which of their outputs are used
    for node in graph.order:
        if node.op is scan_op:
            loops[node] = set()
        elif node.op is item and node.inputs[0] in loops:
            loops[node.inputs[0]].add(node.attrs["index"])
    for node, wanted in loops.items():
        body: Graph = node.attrs["body"]
        state = body.inputs[0] if body.inputs else None
        if node.attrs["carries"] != 2 or state is None or state.ndim != 2 or not state.size * node.attrs["length"]:
            continue
        if state.dtype.name in kernels.FLOATS:
            cell = _lstm(*state.shape, state.dtype)
            work = _forward(node, cell, wanted) or _backward(node, cell, wanted)
            if work is not None:
                found[node] = work
                _gradients(graph, node, found)


def _forward(node: Tensor, cell: Cell, wanted: set[int]) -> Work | None:
    """The whole loop as one call, if all that is wanted of it is what a kernel can give."""
    body: Graph = node.attrs["body"]
    if _types(body.inputs) != cell.forward.inputs:
        return None
    numbers = _outputs(body, cell.table)
    if numbers[:2] != cell.forward.outputs[:2]:
        return None
    stacked = [*(cell.names.get(number) for number in numbers[2:]), "h_before", "c_before"]
    kept = dict.fromkeys(name for k, name in enumerate(stacked, start=2) if k in wanted)
    if None in kept:
        return None
    names = tuple(str(name) for name in kept)

    def work(values: Mapping[Tensor, Any]) -> Mapping[Tensor, Any]:
        h, c, z, u = (values[x] for x in node.inputs)
        h, c, *made = kernels.lstm(h, c, z, u, names, node.attrs["reverse"])
        steps = dict(zip(names, made, strict=True))
        return {node: (h, c, *(steps.get(str(name)) for name in stacked))}

    return work


def _backward(node: Tensor, cell: Cell, wanted: set[int]) -> Work | None:
    """The same of the derivative; what it carries from step to step only second derivatives want."""
    body: Graph = node.attrs["body"]
    types = _types(body.inputs)
    loop = next((known for known in cell.back if known.inputs == types), None)
    if loop is None or max(wanted, default=0) >= len(loop.outputs) or _outputs(body, cell.table) != loop.outputs:
        return None

    def work(values: Mapping[Tensor, Any]) -> Mapping[Tensor, Any]:
        given = {role: values[x] for role, x in zip(loop.roles, node.inputs, strict=True)}
        kept = [given[name] for name in ("c_before", "i", "f", "g", "o", "tanh_c")]
        dh, dc, each = (given.get(name) for name in ("dh", "dc", "dh_each"))
        return {node: tuple(kernels.lstm_back(dh, dc, each, kept, given["u"], node.attrs["reverse"]))}

    return work


def _gradients(graph: Graph, loop: Tensor, found: dict[Tensor, Work | None]) -> None:
    """After the derivative: the gradients by U, W and b, products Aᵀ ∂z over all rows of all steps, and sums of ∂z."""
    place = {node: i for i, node in enumerate(graph.order)}
    for dz in (node for node in graph.order if node.op is item and node.inputs[0] is loop and node.ndim == 3):
        rows = {node for node in graph.order if node.op is shaping.change_shape and node.inputs[0] is dz}
        sums = [node for node in graph.order if node.op is reductions.reduce_sum and node.inputs[0] is dz]
        sums = [node for node in sums if node.attrs["axes"] == (0, 1)]
        for node in graph.order:
            if node.op is not linalg.product or node.inputs[1] not in rows or node.inputs[1].ndim != 2:
                continue
            turned = node.inputs[0]
            if turned.op is not shaping.permute_axes or not kernels.sums_rows(turned.shape[0], dz):
                continue
            a = turned.inputs[0]
            total = sums.pop() if sums and place[a] < place[sums[-1]] else None
            found[node] = work = _sums(a, dz, node, total)
            if total is not None:
                found[total] = work


def _sums(a: Tensor, g: Tensor, node: Tensor, total: Tensor | None) -> Work:
    def work(values: Mapping[Tensor, Any]) -> Mapping[Tensor, Any]:
        x, y = (values[v].reshape(1, 1, -1, v.shape[-1]) for v in (a, g))
        made = kernels.weights(x, y, (1, 1), 1, sums=total is not None, **BARE)
        if total is None:
            return {node: made.reshape(node.shape)}
        return {node: made[0].reshape(node.shape), total: made[1]}

    return work


@lru_cache(maxsize=64)
def _lstm(batch: int, units: int, dtype: DType) -> Cell:
    """What a step of an LSTM looks like, and its derivative, for states of this shape and type."""
    parts: dict[str, Tensor] = {}

    def step(state: tuple[Tensor, Tensor], z: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        h, c = state
        sums = z + h @ u
        i, f, o = (elementwise.sigmoid(sums[:, k * units : (k + 1) * units]) for k in (0, 1, 3))
        g = elementwise.tanh(sums[:, 2 * units : 3 * units])
        after = f * c + i * g
        tanh_c = elementwise.tanh(after)
        parts.update(i=i, f=f, g=g, o=o, tanh_c=tanh_c, c=after, h=o * tanh_c)
        return (parts["h"], after), parts["h"]

    h, c = placeholder((batch, units), dtype), placeholder((batch, units), dtype)
    z, u = placeholder((1, batch, 4 * units), dtype), placeholder((units, 4 * units), dtype)
    (last_h, last_c), each = scan(step, (h, c), z)
    loop = last_h.inputs[0]
    body: Graph = loop.attrs["body"]
    table: Table = {}
    numbers = _numbered(body, table, learn=True)
    names = {numbers[part]: name for name, part in parts.items()}
    forward = Loop(_types(body.inputs), ("h", "c", "z", "u"), tuple(numbers[x] for x in body.outputs))
    # What the derivative is given: gradients, what the loop was given, and what it returned of each step.
    dh, dc, dh_each = (placeholder(x.shape, dtype) for x in (last_h, last_c, each))
    roles = {dh: "dh", dc: "dc", dh_each: "dh_each", h: "h", c: "c", z: "z", u: "u"}
    back = []
    for seeds in ({last_h: dh, last_c: dc}, {last_h: dh, last_c: dc, each: dh_each}):
        derivative = cotangents(seeds, [h, c, z, u])[z].inputs[0]
        graph: Graph = derivative.attrs["body"]
        made = _numbered(graph, table, learn=True)
        called = tuple(roles.get(x) or _role(x, loop, numbers, names) for x in derivative.inputs)
        back.append(Loop(_types(graph.inputs), called, tuple(made[x] for x in graph.outputs)))
    return Cell(table, forward, names, tuple(back))


def _role(x: Tensor, loop: Tensor, numbers: Mapping[Tensor, int | None], names: Mapping[int | None, str]) -> str:
    """What an output of each step of the loop is called."""
    outputs = loop.attrs["body"].outputs
    k = x.attrs["index"] - len(outputs)
    return ("h_before", "c_before")[k] if k >= 0 else names[numbers[outputs[k]]]


def _types(nodes: Sequence[Tensor]) -> list[Any]:
    return [(x.shape, x.dtype) for x in nodes]


def _outputs(body: Graph, table: Table) -> tuple[int | None, ...]:
    numbers = _numbered(body, table, learn=False)
    return tuple(numbers[x] for x in body.outputs)


def _numbered(body: Graph, table: Table, learn: bool) -> dict[Tensor, int | None]:
    """A number for each node of a body, the same for what is the same; None for what the table does not know."""
    numbers: dict[Tensor, int | None] = {x: -1 - i for i, x in enumerate(body.inputs)}
    for node in body.order:
        if node in numbers:
            continue
        if node.op is CONSTANT:
            key: Any = (node.shape, node.dtype, node.attrs["value"].tobytes())
        elif node.is_leaf or node.op.runs_graphs:
            key = node
        else:
            key = (node.op, repr(sorted(node.attrs.items())), *(numbers[x] for x in node.inputs))
        numbers[node] = table.setdefault(key, len(table)) if learn else table.get(key)
    return numbers
