"""The reference engine: walks the graph with NumPy, node by node, and can be watched while it does."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kedja.engines.engine import CompileReport, LoopResult, Observer, check_shapes, table_of
from kedja.errors import DataError, GraphError, ShapeError
from kedja.graph.dtypes import as_array
from kedja.graph.node import CONSTANT, INPUT, Tensor, bind, by_serial
from kedja.graph.recording import is_tracing
from kedja.graph.scope import Source, caller
from kedja.graph.trace import Graph, without_gc
from kedja.graph.variables import Epoch, Variable
from kedja.ops.control import MANY, item
from kedja.ops.formula import text

__all__ = ["ReferenceEngine", "evaluate", "run_graph", "watch"]

Array = np.ndarray[Any, Any]
TINY = 64  # numbers: a value of so many takes about as much memory as its node
GROWN = 1000  # evaluations that each build on the one before: a graph that only grows


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
        raise _at_node(error, plan.nodes[s]) from None
    return [slots[s] for s in plan.ends]


def _at_node(error: DataError, node: Tensor) -> DataError:
    """A position out of range: say on which line of the user's the op was written."""
    return DataError(f"{node.op.name}: {error}" + (f"\n  at {node.source}" if node.source else ""))


def watch(graph: Graph, values: Sequence[Any], state: Sequence[Any] | None = None) -> Iterator[tuple[Tensor, Any]]:
    """Node by node: each op node with its value, in the order they are computed."""
    seen: list[tuple[Tensor, Any]] = []
    run_graph(graph, values, state, lambda node, value: seen.append((node, value)))
    yield from seen


def evaluate(node: Tensor) -> Array:
    """The value of a node now, kept until a variable it depends on changes."""
    if isinstance(node, Variable):
        if is_tracing():
            raise no_numbers_yet(node)
        return node.value
    if node.op is CONSTANT:
        value: Array = node.attrs["value"]
        return value
    cache = node._cache
    if cache is not None and (cache[0] == Epoch.now or all(v.version == k for v, k in cache[1])):
        node._cache = (Epoch.now, *cache[1:])
        kept: Array = cache[2]
        return kept
    with without_gc():
        graph, values, generation = _unknown_part(node)
        if is_tracing() and any(n.op is INPUT or isinstance(n, Variable) for n in graph.order):
            raise no_numbers_yet(node)
        array = np.asarray(_run_once(graph, values))
    if array.dtype != node.dtype:
        array = array.astype(node.dtype)
    if array.flags.writeable:
        array.flags.writeable = False
    versions: dict[Variable, int] = {v: v.version for v in graph.variables}
    for n in graph.inputs:
        versions.update(dict(n._cache[1]))
    node._cache = (Epoch.now, list(versions.items()), array, generation + 1)
    if generation + 1 == GROWN:
        warnings.warn(
            f"this tensor builds on {GROWN} earlier evaluations: a graph that only grows, and memory with it. "
            "In a training loop keep parameters in kj.Parameter and write w.assign(w - rate * gradient).",
            stacklevel=4,
        )
    return array


def no_numbers_yet(node: Tensor) -> GraphError:
    """The error for asking a tensor's value while a function is traced."""
    source = Source.of(caller())
    return GraphError(
        f"the value of {node.name or 'a tensor'} was asked for while its function is being traced: there are no "
        "numbers yet. Use kj.where(condition, a, b) instead of if, and kj.scan instead of a loop that depends on "
        "values." + (f"\n  at {source}" if source else "")
    )


def _unknown_part(node: Tensor) -> tuple[Graph, list[Array], int]:
    """The graph from the nearest nodes above that have a valid value, these values, and how many evaluations deep."""
    known: list[Tensor] = []
    seen: set[Tensor] = {node}
    stack = list(node.inputs)
    now = Epoch.now
    while stack:
        n = stack.pop()
        if n in seen:
            continue
        seen.add(n)
        cache = n._cache
        if cache is not None and (cache[0] == now or all(v.version == k for v, k in cache[1])):
            known.append(n)
        else:
            stack.extend(n.inputs)
    graph = Graph(known, [node], order=sorted(seen, key=by_serial))
    return graph, [n._cache[2] for n in known], max((n._cache[3] for n in known), default=0)


def _run_once(graph: Graph, given: list[Array]) -> Any:
    """The value of the only output of a graph that is not run again.

    Among tiny nodes, planning which value can be freed when would take longer than the run, and save little.
    """
    order = graph.order
    if any((n.shape and n.size > TINY) or n.dtype.kind in "VO" for n in order):  # V is bfloat16, O a loop
        return run_graph(graph, given)[0]
    values: dict[Tensor, Any] = dict(zip(graph.inputs, given, strict=True))
    try:
        with np.errstate(all="ignore"):
            for n in order:
                op = n.op
                if n.inputs:
                    if n not in values:
                        values[n] = op.compute(*[values[x] for x in n.inputs], **n.attrs)
                elif op is CONSTANT:
                    values[n] = n.attrs["value"]
                elif isinstance(n, Variable):
                    values[n] = n.value
                elif n not in values:
                    if op is INPUT:
                        raise no_value(n)
                    values[n] = op.compute(**n.attrs)
    except DataError as error:
        raise _at_node(error, n) from None
    return values[graph.outputs[0]]


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


# --- what this room lends to tensors --------------------------------------------------------------------------------
def _number(node: Tensor, kind: Callable[[Any], Any], word: str) -> Any:
    if node.size != 1:
        raise ShapeError(f"only a tensor of one element is a {word}; this one has shape {node.shape}")
    return kind(evaluate(node).reshape(()))


def _bool(node: Tensor) -> bool:
    if node.size != 1:
        raise ShapeError(
            f"the truth of a tensor of shape {node.shape} is not one thing: use kj.all(x) or kj.any(x), "
            "or kj.where(condition, a, b) to choose elementwise"
        )
    return bool(evaluate(node).reshape(()))


def _index(node: Tensor) -> int:
    if node.dtype.kind not in "iu":
        raise TypeError(f"a {node.dtype.name} tensor is no position")
    return int(_number(node, int, "number"))


def _array(node: Tensor, dtype: Any = None, copy: bool | None = None) -> Array:
    value = evaluate(node)
    return np.array(value, dtype=dtype) if copy or (dtype is not None and dtype != value.dtype) else value


def _repr(node: Tensor) -> str:
    kind = type(node).__name__
    name = f"{node.name}: " if node.name else ""
    head = f"{kind}({name}{node.dtype.name}{list(node.shape)}"
    try:
        value = np.array2string(evaluate(node), precision=6, separator=", ", threshold=40, edgeitems=3)
        value = value.replace("\n", "\n  ")
    except GraphError:
        value = "not computed: depends on inputs"
    shown = "" if node.is_leaf else f",\n  = {_cut(text(node))}"
    return f"{head},\n  {value}{shown})" if shown or "\n" in value else f"{head}, {value})"


def _cut(formula: str, most: int = 400) -> str:
    return formula if len(formula) <= most else formula[:most] + " …"


def _run(graph: Graph, values: Sequence[Any], observe: Observer | None = None) -> list[Array]:
    arrays = [as_array(v, t.dtype) for v, t in zip(values, graph.inputs, strict=True)]
    return [np.asarray(v) for v in run_graph(graph, arrays, None, observe)]


bind(
    Tensor,
    numpy=evaluate, __array__=_array, __repr__=_repr, __bool__=_bool, __index__=_index,
    __float__=lambda node: _number(node, float, "number"), __int__=lambda node: _number(node, int, "number"),
    item=lambda node: _number(node, lambda a: a.item(), "number"), tolist=lambda node: evaluate(node).tolist(),
)  # fmt: skip
bind(Graph, run=_run)
