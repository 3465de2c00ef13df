"""The reference engine: walks the graph with NumPy, node by node, and can be watched while it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kedja.engines.engine import CompileReport, LoopResult, Observer, check_shapes, table_of
from kedja.errors import DataError, GraphError
from kedja.graph.dtypes import as_array
from kedja.graph.node import CONSTANT, INPUT, Tensor, bind
from kedja.graph.trace import Graph, without_gc
from kedja.graph.variables import Variable
from kedja.ops.control import MANY, item

__all__ = ["ReferenceEngine", "run_graph", "watch"]

Array = np.ndarray[Any, Any]


class Plan:
    """A graph with its nodes numbered: running it is a loop over tuples that frees values after their last use."""

    __slots__ = ("constants", "ends", "given", "nodes", "size", "steps", "variables")

    def __init__(self, graph: Graph) -> None:
        order = graph.order
        slot = {n: i for i, n in enumerate(order)}
        self.size = len(order)
        self.nodes = order
        self.given = [slot.get(n, -1) for n in graph.inputs]
        self.ends = [slot[n] for n in graph.ends]
        self.constants: list[tuple[int, Any]] = []
        self.variables: list[tuple[int, Variable]] = []
        self.steps: list[tuple[int, Any, list[int], dict[str, Any], list[int]]] = []
        inputs = set(graph.inputs)
        calls: list[tuple[int, Tensor, list[int]]] = []
        keep = set(self.ends)
        wanted: dict[Tensor, set[int]] = {}  # which outputs of a loop are used
        for i, n in enumerate(order):
            if n in inputs:
                continue
            if n.op is CONSTANT:
                self.constants.append((i, n.attrs["value"]))
                keep.add(i)
            elif n.op is INPUT:
                raise no_value(n)
            elif isinstance(n, Variable):
                self.variables.append((i, n))
            else:  # an op may have no inputs: arange
                calls.append((i, n, [slot[x] for x in n.inputs]))
                if n.op is item:
                    wanted.setdefault(n.inputs[0], set()).add(n.attrs["index"])
                else:  # a loop that stands whole in the body of another one
                    keep.update(slot[x] for x in n.inputs if x.dtype is MANY)
        later = set(keep)  # read after the step at hand: from the end, a slot is last read where it is first met
        for i, n, sources in reversed(calls):
            free = [s for s in sources if s not in later]
            later.update(free)
            attrs = n.attrs
            if n.op.runs_graphs:
                attrs = {**attrs, "run": run_graph, "wanted": None if i in keep else wanted.get(n, set())}
            self.steps.append((i, rounded(n), sources, attrs, free))
        self.steps.reverse()


def no_value(node: Tensor) -> GraphError:
    """The error for running a graph one of whose inputs was given no value."""
    return GraphError(
        f"{node.name or 'an input'} of shape {node.shape} is an input of a graph and has no value here. "
        "Give one, or ask for it inside the compiled function."
    )


def rounded(node: Tensor) -> Callable[..., Any]:
    """How to compute a node. In bfloat16 as hardware does it: sums are kept in float32, the result is rounded once."""
    compute: Callable[..., Any] = node.op.compute
    low = [x.dtype.kind == "V" for x in node.inputs]  # bfloat16: no other type has no kind of its own
    if not any(low) or node.op.runs_graphs or node.op is item or node.dtype is MANY:
        return compute

    def wide(*values: Any, **attrs: Any) -> Any:
        found = compute(*(v.astype(np.float32) if b else v for v, b in zip(values, low, strict=True)), **attrs)
        return np.asarray(found, node.dtype)

    return wide


def plan_of(graph: Graph) -> Plan:
    """The graph's plan, made once and kept with it."""
    if graph._plan is None:
        with without_gc():
            graph._plan = Plan(graph)
    plan: Plan = graph._plan
    return plan


def run_graph(
    graph: Graph, values: Sequence[Any], state: Sequence[Any] | None = None, observe: Observer | None = None
) -> list[Any]:
    """Values of the graph's ends, given those of its inputs and (instead of the present ones) of its variables."""
    plan = plan_of(graph)
    slots: list[Any] = [None] * plan.size
    for s, value in plan.constants:
        slots[s] = value
    if state is None:
        for s, variable in plan.variables:
            slots[s] = variable.value
    else:
        held = dict(zip(graph.variables, state, strict=True))
        for s, variable in plan.variables:
            slots[s] = held[variable]
    for s, value in zip(plan.given, values, strict=True):
        if s >= 0:
            slots[s] = value
    s = 0
    try:
        with np.errstate(all="ignore"):
            if observe is None:
                for s, compute, sources, attrs, free in plan.steps:
                    slots[s] = compute(*[slots[i] for i in sources], **attrs)
                    for i in free:
                        slots[i] = None
            else:
                for s, compute, sources, attrs, _ in plan.steps:
                    slots[s] = compute(*[slots[i] for i in sources], **attrs)
                    observe(plan.nodes[s], slots[s])
    except DataError as error:
        raise at_node(error, plan.nodes[s]) from None
    return [slots[s] for s in plan.ends]


def at_node(error: DataError, node: Tensor) -> DataError:
    """A position out of range: say on which line of the user's the op was written."""
    return DataError(f"{node.op.name}: {error}" + (f"\n  at {node.source}" if node.source else ""))


def watch(graph: Graph, values: Sequence[Any], state: Sequence[Any] | None = None) -> Iterator[tuple[Tensor, Any]]:
    """Node by node: each op node with its value, in the order they are computed."""
    seen: list[tuple[Tensor, Any]] = []
    run_graph(graph, values, state, lambda node, value: seen.append((node, value)))
    yield from seen


class ReferenceProgram:
    """A graph run with NumPy."""

    def __init__(self, graph: Graph) -> None:
        began = time.perf_counter()
        self.graph = graph
        self.variables = graph.variables
        plan_of(graph)
        self.report = CompileReport(
            "reference", len(graph), len(self.variables), len(graph.inputs), time.perf_counter() - began
        )

    def put(self, array: Any) -> Any:
        return np.asarray(array)

    def __call__(
        self, state: Sequence[Any], inputs: Sequence[Any], observe: Observer | None = None
    ) -> tuple[list[Any], list[Any]]:
        check_shapes(self.graph, inputs)
        ends = run_graph(self.graph, inputs, [np.asarray(v) for v in state], observe)
        typed = [np.asarray(v, n.dtype) for v, n in zip(ends, self.graph.ends, strict=True)]
        k = len(self.graph.outputs)
        return typed[k:], typed[:k]


class ReferenceLoop:
    """Steps one after the other, each a NumPy run of the graph."""

    def __init__(self, graph: Graph, data: int, padded: bool, ordered: bool) -> None:
        self.program = ReferenceProgram(graph)
        self.graph, self.variables, self.report = graph, self.program.variables, self.program.report
        self.data, self.padded, self.ordered = data, padded, ordered

    def put(self, array: Any) -> Any:
        return np.asarray(array)

    def batch(self, data: Sequence[Any], order: Any, step: int) -> list[Any]:
        """The inputs of one step: its rows of every array, and the mask when batches are padded."""
        if not self.ordered:
            return [np.asarray(d) for d in data]
        rows = np.asarray(order[step])
        picked = [np.asarray(d)[np.maximum(rows, 0)] for d in data]
        return [*picked, rows >= 0] if self.padded else picked

    def run(
        self, state: Sequence[Any], data: Sequence[Any], order: Any, arguments: Sequence[Any], start: int, stop: int
    ) -> LoopResult:
        values = [np.asarray(v) for v in state]
        at = {v: i for i, v in enumerate(self.variables)}
        targets = [at[v] for v, _ in self.graph.updates]
        rows: list[Array] = []
        finite = True
        for step in range(start, stop):
            new, outputs = self.program(values, [*self.batch(data, order, step), *arguments])
            for i, value in zip(targets, new, strict=True):
                values[i] = value
            rows.append(np.concatenate([np.ravel(o) for o in outputs]))
            if not np.isfinite(outputs[0]):
                finite = False
                break
        if finite:
            finite = all(bool(np.isfinite(values[i]).all()) for i, v in enumerate(self.variables) if v.trainable)
        width, dtype = table_of(self.graph)
        found = np.array(rows, dtype).reshape(len(rows), width)
        return LoopResult(values, found, start + len(rows), finite)


class ReferenceEngine:
    """NumPy, node by node."""

    name = "reference"

    def program(self, graph: Graph) -> ReferenceProgram:
        return ReferenceProgram(graph)

    def loop(self, graph: Graph, *, data: int, padded: bool, ordered: bool) -> ReferenceLoop:
        return ReferenceLoop(graph, data, padded, ordered)

    def rest(self) -> None:
        """Nothing is kept."""


# --- what this room lends to graphs ----------------------------------------------------------------------------------
def _run(graph: Graph, values: Sequence[Any], observe: Observer | None = None) -> list[Array]:
    arrays = [as_array(v, t.dtype) for v, t in zip(values, graph.inputs, strict=True)]
    return [np.asarray(v) for v in run_graph(graph, arrays, None, observe)]


bind(Graph, run=_run)
