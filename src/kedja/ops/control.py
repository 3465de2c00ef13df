"""Loops as ops: `scan` carries values from step to step, `map` treats each slice alone.

The body is a Graph; what it uses from around it becomes an explicit input, so that gradients flow there too. A scan
also returns the carries before each step, over which its derivative (again a scan) runs, and those values in its body
that are expensive to work out again; engines drop what is not used. The derivative rules need to differentiate the
body, so the room above (`diff.loops`) lends them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from kedja.errors import GraphError, ShapeError
from kedja.graph.dtypes import DType, is_float
from kedja.graph.node import Tensor, tensor
from kedja.graph.shapes import Shape
from kedja.graph.trace import Graph, flatten, trace, unflatten
from kedja.ops.notation import ATOM, Notation
from kedja.ops.op import ByHand, Messages, missing_rule
from kedja.ops.samples import Sample, distinct

Run = Callable[[Graph, Sequence[Any]], list[Any]]
MANY = np.dtype(object)  # the type of a node with several outputs
# Ops whose values in a body are kept for the derivative: a look into memory is cheaper than doing them twice.
KEPT = {
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "conv", "cos", "cosh", "erf", "exp", "expm1", "log",
    "log1p", "matmul", "power", "sigmoid", "sin", "sinh", "softmax", "softplus", "tan", "tanh",
}  # fmt: skip


class Part(tuple[int, Tensor]):
    """A cotangent for one output, number `index`, of a node with several."""

    __slots__ = ()


class Loop(ByHand):
    """An op with a body, whose derivative rules are lent by `diff.loops`."""

    runs_graphs = True

    def __init__(self, name: str, compute: Any, **more: Any) -> None:
        super().__init__(name, compute, self._spec, pull=None, push=None, **more)

    def _spec(self, *inputs: Tensor, **attrs: Any) -> tuple[Shape, DType]:
        return (), MANY

    def lend_rules(self, pull: Any, push: Any) -> None:
        """Called once by the room that can differentiate bodies."""
        self._pull, self._push = pull, push

    def pull(self, node: Tensor, cotangent: Any, needed: Sequence[bool]) -> Messages:
        if self._pull is None:
            raise missing_rule(node)
        return super().pull(node, cotangent, needed)


# --- one output of several ------------------------------------------------------------------------------------------
def _item_pull(node: Tensor, g: Tensor, needed: Any) -> tuple[Any]:
    return (Part((node.attrs["index"], g)),)


def _item_push(node: Tensor, tangents: Any) -> Tensor | None:
    (parts,) = tangents
    found: Tensor | None = None if parts is None else parts[node.attrs["index"]]
    return found


def _item_spec(node: Tensor, index: int) -> tuple[Shape, DType]:
    spec: tuple[Shape, DType] = output_specs(node)[index]
    return spec


item = ByHand(
    "item", lambda values, index: values[index], _item_spec, pull=_item_pull, push=_item_push,
    samples=lambda rng: (), tex=Notation("{0}_{{{index}}}", ATOM, (ATOM,)), text="{0}[{index}]",
    doc="y = aᵢ, one output of a loop. Sampled through `scan` and `map`, the only ops that make such nodes.",
)  # fmt: skip


def output_specs(node: Tensor) -> list[tuple[Shape, DType]]:
    """Shape and type of every output of a loop node."""
    body: Graph = node.attrs["body"]
    n = node.attrs["length"]
    c = node.attrs.get("carries", 0)
    one = [(t.shape, t.dtype) for t in body.outputs]
    stacked = [((n, *shape), dtype) for shape, dtype in one]
    return [*one[:c], *stacked[c:], *stacked[:c]]


# --- scan -----------------------------------------------------------------------------------------------------------
def _scan(
    *values: Any, run: Run, body: Graph, carries: int, sequences: int, length: int, reverse: bool,
    wanted: Collection[int] | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    carry, xs, around = values[:carries], values[carries : carries + sequences], values[carries + sequences :]
    ys = range(carries, len(body.outputs))
    used = [wanted is None or k in wanted for k in range(len(body.outputs) + carries)]
    before: list[Any] = [None] * length
    rows: list[Any] = [None] * length
    for t in reversed(range(length)) if reverse else range(length):
        before[t] = carry
        outs = run(body, [*carry, *(x[t] for x in xs), *around])
        carry, rows[t] = tuple(outs[:carries]), [outs[k] if used[k] else None for k in ys]
    return (
        *carry, *stacked(rows, body.outputs[carries:], used[carries : len(body.outputs)]),
        *stacked(before, body.outputs[:carries], used[len(body.outputs) :]),
    )  # fmt: skip


def stacked(rows: list[Any], likes: Sequence[Tensor], used: Sequence[bool]) -> list[Any]:
    """Per output that is used, the values of all steps along a new first axis."""
    return [
        (np.stack([np.asarray(row[i], t.dtype) for row in rows]) if rows else np.zeros((0, *t.shape), t.dtype))
        if wanted
        else None
        for i, (t, wanted) in enumerate(zip(likes, used, strict=True))
    ]


def _body(function: Any, dtype: Any, *shapes: Shape) -> Graph:
    return trace(function, [(s, dtype) for s in shapes])


def _scan_samples(rng: np.random.Generator) -> Any:
    def recurrent(h: Tensor, x: Tensor, w: Tensor) -> Any:
        new = (h * w + x) / (1 + h * h)
        return new, new * x

    def plain(h: Tensor, w: Tensor) -> Any:
        return h * w

    for length, reverse in ((4, False), (3, True), (1, False), (0, False)):
        yield Sample(
            (distinct(rng, (3,)), distinct(rng, (length, 3)), distinct(rng, (3,))),
            lambda dtype, n=length, r=reverse: {
                "body": _body(recurrent, dtype, (3,), (3,), (3,)), "carries": 1, "sequences": 1, "length": n,
                "reverse": r,
            },
            label=f"length {length}{', reverse' if reverse else ''}",
        )  # fmt: skip
    yield Sample(
        (distinct(rng, (2,)), distinct(rng, (2,))),
        lambda dtype: {
            "body": _body(plain, dtype, (2,), (2,)), "carries": 1, "sequences": 0, "length": 3, "reverse": False,
        },
        label="no sequence",
    )  # fmt: skip


scan_op = Loop(
    "scan", _scan, samples=_scan_samples, tex=r"\operatorname{{scan}}\left({*}\right)",
    doc="cᵢ₊₁, yᵢ = f(cᵢ, xᵢ): a loop that hands a carry c on, and collects the y of every step.",
)  # fmt: skip


def scan(
    body: Callable[..., Any], carry: Any, xs: Any = None, *, length: int | None = None, reverse: bool = False
) -> tuple[Any, Any]:
    """Run `carry, y = body(carry, x)` for every slice x of `xs` along its first axis; returns (carry, stacked ys).

    `carry`, `xs` and y may be nested tuples, lists and dicts. Without `xs` the body gets None, `length` times.

    >>> total, running = scan(lambda c, x: (c + x, c + x), tensor(0.0), tensor([1.0, 2.0, 3.0]))
    >>> total.item(), running.numpy().tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    c_leaves, c_nest = flatten(carry)
    x_leaves, x_nest = flatten(xs)
    c_leaves, x_leaves = [tensor(c) for c in c_leaves], [tensor(x) for x in x_leaves]
    n = _length("scan", x_leaves, length)
    c = len(c_leaves)
    y_nest: list[Any] = []

    def flat(*slices: Tensor) -> Any:
        new, y = body(unflatten(c_nest, slices[:c]), unflatten(x_nest, slices[c:]))
        new_leaves, new_nest = flatten(new)
        if new_nest != c_nest:
            raise GraphError("scan: the body must return a carry nested like the one it gets")
        y_leaves, nest = flatten(y)
        y_nest.append(nest)
        return tuple(tensor(v) for v in new_leaves) + tuple(tensor(v) for v in y_leaves)

    specs = [(t.shape, t.dtype) for t in c_leaves] + [(t.shape[1:], t.dtype) for t in x_leaves]
    graph = trace(flat, specs, capture=True)
    for i, (old, new) in enumerate(zip(c_leaves, graph.outputs, strict=False)):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise ShapeError(
                f"scan: carry {i} comes in as {old.dtype.name}{list(old.shape)} and the body returns "
                f"{new.dtype.name}{list(new.shape)}. A carry keeps its shape and type."
            )
    around = graph.inputs[len(specs) :]
    there = {*graph.inputs, *graph.outputs[c:]}
    kept = [t for t in graph.order if t.op.name in KEPT and is_float(t.dtype) and t not in there]
    node = scan_op(
        *c_leaves, *x_leaves, *around, body=Graph(graph.inputs, [*graph.outputs, *kept]), carries=c,
        sequences=len(x_leaves), length=n, reverse=reverse,
    )  # fmt: skip
    outs = [item(node, index=i) for i in range(len(graph.outputs))]
    return unflatten(c_nest, outs[:c]), unflatten(y_nest[0], outs[c:])


def _length(name: str, xs: list[Tensor], length: int | None) -> int:
    found = {t.shape[0] for t in xs if t.shape}
    if any(not t.shape for t in xs) or len(found) > 1 or (length is not None and found - {length}):
        shapes = ", ".join(str(t.shape) for t in xs)
        raise ShapeError(f"{name}: the sequences must share their first axis, got shapes {shapes} and length {length}")
    if not found and length is None:
        raise GraphError(f"{name}: give xs or length=")
    return found.pop() if found else int(length)  # type: ignore[arg-type]


# --- map ------------------------------------------------------------------------------------------------------------
def _map(
    *values: Any, run: Run, body: Graph, sequences: int, length: int, wanted: Collection[int] | None = None
) -> tuple[Any, ...]:
    xs, around = values[:sequences], values[sequences:]
    rows = [run(body, [*(x[t] for x in xs), *around]) for t in range(length)]
    return tuple(stacked(rows, body.outputs, [wanted is None or k in wanted for k in range(len(body.outputs))]))


def _map_samples(rng: np.random.Generator) -> Any:
    def square_and_dot(x: Tensor, w: Tensor) -> Any:
        return x * x * w, x * w

    for length in (3, 1, 0):
        yield Sample(
            (distinct(rng, (length, 2)), distinct(rng, (2,))),
            lambda dtype, n=length: {"body": _body(square_and_dot, dtype, (2,), (2,)), "sequences": 1, "length": n},
            label=f"length {length}",
        )


map_op = Loop(
    "map", _map, samples=_map_samples, tex=r"\operatorname{{map}}\left({*}\right)",
    doc="yᵢ = f(xᵢ): a loop whose steps know nothing of each other.",
)  # fmt: skip


def map(body: Callable[..., Any], *xs: Any) -> Any:
    """`body` applied to every slice along the first axis, results stacked: one compiled batch, no Python loop.

    >>> map(lambda x: x * x, tensor([1.0, 2.0, 3.0])).numpy().tolist()
    [1.0, 4.0, 9.0]
    """
    leaves, nest = flatten(tuple(xs))
    leaves = [tensor(x) for x in leaves]
    n = _length("map", leaves, None)
    y_nest: list[Any] = []

    def flat(*slices: Tensor) -> Any:
        y_leaves, found = flatten(body(*unflatten(nest, slices)))
        y_nest.append(found)
        return tuple(tensor(v) for v in y_leaves)

    graph = trace(flat, [(t.shape[1:], t.dtype) for t in leaves], capture=True)
    around = graph.inputs[len(leaves) :]
    node = map_op(*leaves, *around, body=graph, sequences=len(leaves), length=n)
    return unflatten(y_nest[0], [item(node, index=i) for i in range(len(graph.outputs))])


__all__ = ["map", "scan"]
