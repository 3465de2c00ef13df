"""The value of a node, asked for at once: `.numpy()`, `float()`, printing."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kedja.engines.reference import at_node, no_value, run_graph
from kedja.errors import DataError, GraphError, ShapeError
from kedja.graph.dtypes import KNOWN
from kedja.graph.node import CONSTANT, INPUT, VARIABLE, Array, Tensor, bind, by_serial
from kedja.graph.recording import is_tracing
from kedja.graph.scope import Source, caller
from kedja.graph.trace import Graph, without_gc
from kedja.graph.variables import Epoch, Variable
from kedja.ops.elementwise import add, divide, multiply, subtract
from kedja.ops.formula import text

__all__ = ["evaluate"]

PLAIN = frozenset(KNOWN.values())  # neither bfloat16 nor a loop
OPERATORS: dict[Any, Callable[[Any, Any], Any]] = {
    add: operator.add, subtract: operator.sub, multiply: operator.mul, divide: operator.truediv,
}  # fmt: skip
"""For two single numbers: NumPy's functions take 0.9 µs, Python's operators 0.05, and give the same bits."""
TINY = 64  # numbers: a value of so many takes about as much memory as its node
GROWN = 1000  # evaluations that each build on the one before: a graph that only grows


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
        part = _unknown_part(node)
        if is_tracing() and any(n.op is INPUT or n.op is VARIABLE for n in part.leaves):
            raise no_numbers_yet(node)
        array = np.asarray(_run_once(node, part) if part.tiny else run_graph(*_as_graph(node, part))[0])
    if array.dtype != node.dtype:
        array = array.astype(node.dtype)
    if array.flags.writeable:
        array.flags.writeable = False
    versions: dict[Variable, int] = {v: v.version for v in part.leaves if isinstance(v, Variable)}
    for n in part.known:
        versions.update(dict(n._cache[1]))
    generation = max((n._cache[3] for n in part.known), default=0) + 1
    node._cache = (Epoch.now, list(versions.items()), array, generation)
    if generation == GROWN:
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


class _Part(NamedTuple):
    """What must be run for the value of one node: all below the nearest nodes above it that have a valid value."""

    known: list[Tensor]
    leaves: list[Tensor]
    rest: list[Tensor]
    tiny: bool


def _unknown_part(node: Tensor) -> _Part:
    known: list[Tensor] = []
    leaves: list[Tensor] = []
    rest: list[Tensor] = []
    seen: set[Tensor] = set()
    stack = [node]
    now = Epoch.now
    tiny = True
    while stack:
        n = stack.pop()
        if n in seen:
            continue
        seen.add(n)
        if tiny and (n.dtype not in PLAIN or (n.shape and n.size > TINY)):
            tiny = False
        cache = n._cache
        if cache is not None and n is not node and (cache[0] == now or all(v.version == k for v, k in cache[1])):
            known.append(n)
        elif inputs := n.inputs:
            rest.append(n)
            stack += inputs
        else:
            leaves.append(n)
    rest.sort(key=by_serial)
    return _Part(known, leaves, rest, tiny)


def _as_graph(node: Tensor, part: _Part) -> tuple[Graph, list[Array]]:
    order = sorted([*part.known, *part.leaves, *part.rest], key=by_serial)
    return Graph(part.known, [node], order=order), [n._cache[2] for n in part.known]


def _run_once(node: Tensor, part: _Part) -> Any:
    """The value of a node of a graph that is not run again.

    Among tiny nodes, planning which value can be freed when would take longer than the run, and save little.
    """
    values: dict[Tensor, Any] = {n: n._cache[2][()] for n in part.known}
    operators = OPERATORS.get
    try:
        with np.errstate(all="ignore"):
            for n in part.leaves:
                values[n] = _value_of_leaf(n)
            for n in part.rest:
                inputs = n.inputs
                if not n.shape and len(inputs) == 2 and (quick := operators(n.op)) is not None:
                    a, b = inputs
                    values[n] = quick(values[a], values[b])
                else:
                    values[n] = n.op.compute(*[values[x] for x in inputs], **n.attrs)
    except DataError as error:
        raise at_node(error, n) from None
    return values[node]


def _value_of_leaf(n: Tensor) -> Any:
    """Of single numbers the number itself: NumPy is slower with arrays of one."""
    if n.op is CONSTANT:
        return n.attrs["value"][()]
    if isinstance(n, Variable):
        return n.value[()]
    if n.op is INPUT:
        raise no_value(n)
    return n.op.compute(**n.attrs)


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


bind(
    Tensor,
    numpy=evaluate, __array__=_array, __repr__=_repr, __bool__=_bool, __index__=_index,
    __float__=lambda node: _number(node, float, "number"), __int__=lambda node: _number(node, int, "number"),
    item=lambda node: _number(node, lambda a: a.item(), "number"), tolist=lambda node: evaluate(node).tolist(),
)  # fmt: skip
