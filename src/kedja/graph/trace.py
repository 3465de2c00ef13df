"""Tracing: run a Python function once on placeholders and keep the graph it builds."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kedja.errors import GraphError
from kedja.graph.node import CONSTANT, Tensor, ancestors, placeholder, tensor
from kedja.graph.recording import recording
from kedja.graph.variables import Variable

__all__ = ["Graph", "flatten", "trace", "unflatten", "without_gc"]


@contextmanager
def without_gc() -> Iterator[None]:
    """Pause the garbage collector: building many nodes is several times faster, and nothing here makes garbage."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Graph:
    """A piece of graph with named ends: run it by giving values to `inputs` (and variables) and asking for `outputs`.

    Any node can be an input: what lies above it is then not part of the graph. `structure` says how the outputs
    were nested in what the function returned; `order`, all nodes, is for callers that have walked the graph already.
    `tf32` allows devices that can to multiply float32 in tf32.
    """

    __slots__ = ("_order", "_plan", "inputs", "outputs", "structure", "tf32", "updates")

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        updates: Sequence[tuple[Variable, Tensor]] = (),
        structure: Any = None,
        order: list[Tensor] | None = None,
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.updates = tuple(updates)
        self.structure = structure
        self.tf32 = False
        self._order = order
        self._plan: Any = None  # how an engine numbers the nodes, kept with the graph

    @property
    def ends(self) -> tuple[Tensor, ...]:
        """Everything that must be computed: outputs, then new values of variables."""
        return self.outputs + tuple(node for _, node in self.updates)

    @property
    def order(self) -> list[Tensor]:
        """All nodes, inputs before users."""
        if self._order is None:
            self._order = ancestors(self.ends, self.inputs)
        return self._order

    @property
    def variables(self) -> list[Variable]:
        """The variables read or written, in the order they were made."""
        given = set(self.inputs)
        found = {n: None for n in self.order if isinstance(n, Variable) and n not in given}
        found.update((v, None) for v, _ in self.updates)
        return sorted(found, key=lambda v: v.serial)

    @property
    def constants(self) -> list[Tensor]:
        """The constants it uses."""
        return [n for n in self.order if n.op is CONSTANT]

    def __len__(self) -> int:
        return len(self.order)

    def __repr__(self) -> str:
        ends = ", ".join(f"{t.name or t.op.name}{list(t.shape)}" for t in self.inputs)
        outs = ", ".join(f"{t.op.name}{list(t.shape)}" for t in self.outputs)
        return f"Graph({ends} → {outs}; {len(self)} nodes, {len(self.updates)} updates)"


def flatten(value: Any) -> tuple[list[Any], Any]:
    """The leaves of nested tuples, lists and dicts, and what is needed to nest them again.

    >>> leaves, structure = flatten((1, {"a": [2, 3]}))
    >>> leaves, unflatten(structure, "xyz")
    ([1, 2, 3], ('x', {'a': ['y', 'z']}))
    """
    leaves: list[Any] = []
    return leaves, _taken_apart(value, leaves)


def _taken_apart(v: Any, leaves: list[Any]) -> Any:
    # Not a function inside `flatten`: one that calls itself is a cycle and would keep the leaves, and with them whole
    # graphs, until the garbage collector comes.
    if isinstance(v, tuple) and hasattr(v, "_fields"):
        return type(v), [_taken_apart(x, leaves) for x in v]
    if isinstance(v, tuple | list):
        return type(v), [_taken_apart(x, leaves) for x in v]
    if isinstance(v, dict):
        return dict, {k: _taken_apart(x, leaves) for k, x in v.items()}
    if v is None:
        return None
    leaves.append(v)
    return ...


def unflatten(structure: Any, leaves: Any) -> Any:
    """Nest `leaves` the way `structure` says."""
    return _nested(structure, iter(leaves))


def _nested(s: Any, rest: Iterator[Any]) -> Any:
    if s is ...:
        return next(rest)
    if s is None:
        return None
    kind, parts = s
    if kind is dict:
        return {k: _nested(p, rest) for k, p in parts.items()}
    values = [_nested(p, rest) for p in parts]
    return kind(*values) if hasattr(kind, "_fields") else kind(values)


def trace(function: Callable[..., Any], inputs: Sequence[Tensor | tuple[Any, Any]], capture: bool = False) -> Graph:
    """Run `function` on placeholders of the given (shape, dtype)s, or on given nodes, and return the Graph it builds.

    With `capture` the nodes from outside that the function used become inputs too, after the given ones (bodies
    of loops need that: so gradients flow to them).

    >>> graph = trace(lambda x: x * 2, [((3,), "float32")])
    >>> graph.outputs[0].shape, len(graph)
    ((3,), 3)
    """
    with recording() as record, without_gc():
        nodes = [x if isinstance(x, Tensor) else placeholder(*x) for x in inputs]
        result = function(*nodes)
    leaves, structure = flatten(result)
    outputs = [tensor(leaf) for leaf in leaves]
    updates = list(record.updates.items())
    if capture:
        if updates:
            raise GraphError(
                f"{updates[0][0].label} is updated inside the body of a loop or map. Carry the value through the loop."
            )
        nodes += captured(outputs, nodes, record.start)
    return Graph(nodes, outputs, updates, structure)


def captured(outputs: Sequence[Tensor], given: Sequence[Tensor], start: int) -> list[Tensor]:
    """The nodes made before `start` that the outputs use directly: what a body took from around it."""
    found: dict[Tensor, None] = {}
    inside = set(given)
    seen: set[Tensor] = set()
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node in seen or node in inside:
            continue
        seen.add(node)
        if isinstance(node, Variable) or node.serial < start:
            found[node] = None
        else:
            stack.extend(node.inputs)
    return sorted(found, key=lambda n: n.serial)
