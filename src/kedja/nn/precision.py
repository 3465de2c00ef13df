"""Computing in bfloat16 with weights that stay float32: casts, written into the graph of a forward pass.

The model is called as ever; then the graph it made is made again, with a cast wherever a type changes, so that nothing
is promoted silently and every cast can be seen. Three rules decide:

- products (matmul, convolutions) take bfloat16 and give bfloat16;
- sums, softmax, exponentials, logarithms, powers and roots, so losses and the statistics of normalisations too, are
  computed in the type of the weights;
- everything else (adding a bias, relu, pooling by the largest, reshaping) follows the examples: bfloat16 when they are.

What a layer hands to the next is bfloat16. What comes after the last product is not: the output of the model has the
type of the weights. Gradients follow: the derivative of a cast is the cast back, so those of weights arrive in theirs.

tf32 is no type of numbers in memory but a way to multiply float32: the graph stays as it is, and says that it is
allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import numpy as np

from kedja.errors import DTypeError, one_of
from kedja.graph.dtypes import DType, as_array, as_dtype, is_float
from kedja.graph.node import CONSTANT, Tensor, constant, is_literal, placeholder
from kedja.graph.scope import borrow
from kedja.graph.trace import Graph, trace, unflatten
from kedja.nn.layers.call import watching
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module
from kedja.ops import cast
from kedja.ops.control import MANY

__all__ = ["PRECISIONS", "TF32", "Low", "allowing", "check_precision", "forward"]


class RoundedFactors:
    """Products of float32 whose factors may be rounded to 10 binary digits of fraction; sums stay float32."""

    name = "tf32"


TF32: Final = RoundedFactors()
Low = DType | RoundedFactors

PRECISIONS = ("bfloat16", "float32", "float64", "tf32")
PRODUCTS = {"matmul", "conv", "conv_transpose", "conv_kernel"}
# Neither a sum of many terms nor a function that magnifies what is rounded away: these follow the examples.
FOLLOW = {
    "absolute", "add", "argmax", "argmin", "argsort", "broadcast_to", "ceil", "concatenate", "divide", "equal", "flip",
    "floor", "greater", "greater_equal", "isfinite", "isnan", "less", "less_equal", "max", "max_pool", "max_pool_pick",
    "max_pool_scatter", "maximum", "min", "minimum", "multiply", "negative", "not_equal", "pad",
    "put_along_axis", "relu",
    "reshape", "round", "sigmoid", "sign", "slice", "stop_gradient", "subtract", "take", "take_along_axis", "tanh",
    "transpose", "where",
}  # fmt: skip


def check_precision(precision: Any, dtype: DType) -> Low | None:
    """What to compute in where it is another than the type of the weights, `dtype`; None where it is not.

    >>> check_precision("bfloat16", as_dtype("float32")).name, check_precision("float32", as_dtype("float32"))
    ('bfloat16', None)
    """
    if precision is None:
        return None
    name = precision if isinstance(precision, str) else getattr(precision, "name", repr(precision))
    if "float16" in name and "bfloat16" not in name:
        raise DTypeError(
            f"precision={name!r}: float16 ends at 65,504 and below 0.00006 loses digits, so gradients vanish unless "
            'every loss is scaled up and back. Use precision="bfloat16", which has the range of float32.'
        )
    if name not in PRECISIONS:
        raise one_of("precision", name, PRECISIONS)
    if name == "bfloat16":
        return as_dtype(name)
    if name == "tf32":
        if dtype.name != "float32":
            raise DTypeError(
                f"precision='tf32', and the weights are {dtype.name}: tf32 is a faster way to multiply float32. Leave "
                "precision out, or make the model in float32."
            )
        return TF32
    if name != dtype.name:
        raise DTypeError(
            f"precision={name!r}, and the weights are {dtype.name}: weights are computed with in their own type or in "
            f'bfloat16. Leave precision out, or make the model in another type: kj.Sequential([...], dtype="{name}").'
        )
    return None


def allowing(graph: Graph, low: Low | None) -> Graph:
    """The graph, which says from now on whether products may be computed in tf32."""
    graph.tf32 = low is TF32
    return graph


def forward(model: Module, inputs: Sequence[Tensor], low: Low | None, **how: Any) -> Any:
    """`model(*inputs, **how)`, computed in the type `low` (None: as it is) by the rules of this module.

    Updates of variables that the call asks for go to the present trace, as ever.
    """
    if low is None or isinstance(low, RoundedFactors):
        return model(*inputs, **how)
    ends: dict[Tensor, None] = {}

    def look(layer: Layer, path: str, xs: Any, y: Any) -> None:
        ends.update((t, None) for t in (y if isinstance(y, tuple | list) else (y,)) if isinstance(t, Tensor))

    with watching(look):
        graph = trace(lambda *xs: model(*xs, **how), list(inputs))
    casts = Casts(low)
    order = graph.order
    found = casts.remade(order, {x: x for x in inputs}, depending(order, inputs), ends, feeding(order))
    for variable, node in graph.updates:
        variable.update(casts.to(found[node], node.dtype))
    return unflatten(graph.structure, [casts.to(found[t], t.dtype) for t in graph.outputs])


def depending(order: Iterable[Tensor], inputs: Iterable[Tensor]) -> set[Tensor]:
    """The nodes that depend on these inputs."""
    found = set(inputs)
    for node in order:
        if not found.isdisjoint(node.inputs):
            found.add(node)
    return found


def multiplies(node: Tensor) -> bool:
    """Whether the node is a product, or a loop with one in its body."""
    if node.is_leaf:
        return False
    if node.op.runs_graphs:
        return any(multiplies(n) for n in node.attrs["body"].order)
    return node.op.name in PRODUCTS


def feeding(order: Sequence[Tensor]) -> set[Tensor]:
    """The nodes that a later product depends on."""
    found: set[Tensor] = set()
    for node in reversed(order):
        if node in found or multiplies(node):
            found.update(node.inputs)
    return found


def saturated(x: Tensor, dtype: DType) -> Tensor:
    """A constant in a smaller type. The largest number of the one, which stands for "never", becomes the other's."""
    value = x.attrs["value"]
    found = value.astype(dtype)
    over = np.isinf(found) & np.isfinite(value)
    if over.any():
        limit = as_array([3.38953139e38], dtype)  # 2¹²⁸ (1 − 2⁻⁸)
        found = np.where(over, np.copysign(limit, found).astype(dtype), found)
    return constant(np.asarray(found, dtype), literal=is_literal(x))


class Casts:
    """The casts of one step: each value is cast once, however often it is used."""

    def __init__(self, low: DType) -> None:
        self.low = low
        self.made: dict[tuple[Tensor, DType], Tensor] = {}

    def to(self, x: Tensor, dtype: DType) -> Tensor:
        """x in this floating-point type."""
        if x.dtype == dtype or not is_float(x.dtype):
            return x
        if (x, dtype) not in self.made:
            self.made[x, dtype] = saturated(x, dtype) if x.op is CONSTANT and dtype == self.low else cast(x, dtype)
            self.made[self.made[x, dtype], x.dtype] = x  # a value that was widened goes back as it was
        return self.made[x, dtype]

    def remade(
        self, order: Iterable[Tensor], found: dict[Tensor, Tensor], data: set[Tensor], ends: Collection[Tensor],
        feeds: Collection[Tensor],
    ) -> dict[Tensor, Tensor]:  # fmt: skip
        """For each node the one that takes its place.

        `found` has the inputs; `data`: what depends on the examples; `ends`: what layers hand on; `feeds`: what a later
        product depends on, all else being computed in the type of the weights.
        """
        before = borrow(None)
        try:
            for node in order:
                if node in found:
                    continue
                if node.is_leaf or not node.inputs:
                    found[node] = node
                    continue
                borrow(node.where)
                new = self.node(node, [found[x] for x in node.inputs], data, node in feeds)
                if node in ends and node in feeds and node in data and is_float(new.dtype):
                    new = self.to(new, self.low)
                new.name = node.name
                found[node] = new
        finally:
            borrow(before)
        return found

    def node(self, node: Tensor, inputs: list[Tensor], data: set[Tensor], feeds: bool) -> Tensor:
        """One node again, on inputs of the types its op is computed in."""
        if node.op.runs_graphs:
            return self.loop(node, inputs, data)
        if node.dtype != MANY and all(x.dtype != MANY for x in node.inputs):
            inputs = self.typed(node, inputs, data, feeds)
        if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            return node
        made: Tensor = node.op(*inputs, **node.attrs)
        return made

    def typed(self, node: Tensor, inputs: list[Tensor], data: set[Tensor], feeds: bool) -> list[Tensor]:
        """The inputs of a node in the types its op is computed in."""
        floats = [is_float(x.dtype) for x in inputs]
        low = node.op.name in PRODUCTS and node in data
        if node.op.name in FOLLOW and feeds and any(x.dtype == self.low for x in inputs):
            # weights, numbers and noise go along; examples that are wide stay so
            low = all(
                x.dtype == self.low or old not in data
                for x, old, f in zip(inputs, node.inputs, floats, strict=True) if f
            )  # fmt: skip
        return [
            (self.to(x, self.low if low else old.dtype) if f else x)
            for x, old, f in zip(inputs, node.inputs, floats, strict=True)
        ]

    def loop(self, node: Tensor, inputs: list[Tensor], data: set[Tensor]) -> Tensor:
        """A loop again. What it carries keeps its type; matrices that are only multiplied are cast once, before it."""
        body: Graph = node.attrs["body"]
        carries, sequences = node.attrs.get("carries", 0), node.attrs["sequences"]
        inside = multiplies(node) and node in data
        users: dict[Tensor, list[Tensor]] = {}
        for n in body.order:
            for x in n.inputs:
                users.setdefault(x, []).append(n)
        given: dict[Tensor, Tensor] = {}
        outer = []
        for i, (x, old, inner) in enumerate(zip(inputs, node.inputs, body.inputs, strict=True)):
            dtype = old.dtype
            if inside and is_float(dtype) and i >= carries:
                only = i >= carries + sequences and all(u.op.name in PRODUCTS for u in users.get(inner, ()))
                dtype = self.low if only else x.dtype
            outer.append(self.to(x, dtype))
            given[inner] = inner if dtype == inner.dtype else placeholder(inner.shape, dtype, inner.name)
        if not inside:
            same = all(a is b for a, b in zip(outer, node.inputs, strict=True))
            return node if same else self.again(node, outer, body)
        casts = Casts(self.low)  # casts inside a body belong to the body
        pairs = enumerate(zip(body.inputs, node.inputs, strict=True))
        start = [inner for i, (inner, old) in pairs if old in data or i < carries]
        found = casts.remade(body.order, dict(given), depending(body.order, start), (), set(body.order))
        outs = [casts.to(found[t], t.dtype) if i < carries else found[t] for i, t in enumerate(body.outputs)]
        return self.again(node, outer, Graph([given[b] for b in body.inputs], outs))

    def again(self, node: Tensor, inputs: Sequence[Tensor], body: Graph) -> Tensor:
        made: Tensor = node.op(*inputs, **{**node.attrs, "body": body})
        return made
