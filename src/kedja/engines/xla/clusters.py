"""Products of matrices whose numbers a kernel passes on: which nodes of a graph become one call.

- a product, then a bias, a relu and what else happens to each number by itself: x W + b;
- the gradient by the input of a layer, which is 0 where the relu below it is;
- the gradient by a matrix and all that an optimiser makes of it. It is never laid down: new weights and slots are
  written where the old ones were. For that, whoever else reads the old ones is waited for.

A product alone becomes a call too. Under `vmap` all of it is computed as the nodes say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax

from kedja.engines.kernels.activation import RELU
from kedja.engines.xla import kernels
from kedja.engines.xla.activations import compared, passed
from kedja.engines.xla.formulas import ELEMENTWISE, SMOOTH, programmed
from kedja.engines.xla.fusion import Fused, computed
from kedja.engines.xla.options import is_tiny
from kedja.graph.node import CONSTANT, Tensor
from kedja.graph.trace import Graph
from kedja.ops import elementwise, linalg, shaping

__all__ = ["Cluster", "clustered", "clusters"]

MOST_ARRAYS = 6  # that are read along with the factors; and so many results
MOST_WAITS = 4


class Factors(NamedTuple):
    """Of a product: two matrices as they lie, and whether each is transposed first."""

    a: Tensor
    b: Tensor
    left: bool
    right: bool


class Cluster(NamedTuple):
    """A product, the nodes that are computed with it, and what comes out."""

    product: Tensor
    factors: Factors
    members: tuple[Tensor, ...]  # in order, without the product
    outputs: tuple[Tensor, ...]
    reads: Mapping[Tensor, Tensor]  # of whose sign alone is asked: a relu has the same as what it is made of
    over: Mapping[int, Tensor]  # the variable in whose place an output is written
    waits: tuple[Tensor, ...]  # what else reads these variables

    @property
    def last(self) -> Tensor:
        return self.members[-1] if self.members else self.product


def clustered(graph: Graph, lower: Mapping[Any, Callable[..., Any]], found: Fused) -> Fused:
    """What to do for the nodes of clusters, besides what was found before."""
    together, signs = clusters(graph, found)
    made: Fused = {**found, **{node: _asked(relu, node) for node, relu in signs.items()}}
    for cluster in together:
        made.update(dict.fromkeys((cluster.product, *cluster.members)))
        made[cluster.last] = _work(cluster, lower)
    return made


def _asked(relu: Tensor, node: Tensor) -> Callable[[Mapping[Tensor, Any]], Mapping[Tensor, Any]]:
    """How a comparison of z is computed where there is only relu(z)."""
    return lambda values: {node: passed(node, values[relu])}


def clusters(graph: Graph, taken: Fused | None = None) -> tuple[list[Cluster], Mapping[Tensor, Tensor]]:
    """The products of a graph that kernels serve, with what is computed along with them.

    And the comparisons z > 0 for which there is no z any more, each with relu(z).
    """
    if not kernels.available() or is_tiny(graph):
        return [], {}
    known = _Known(graph, taken or {})
    roots = [x for x in known.computed if x.op is linalg.product and kernels.serves_product(*known.factors(x))]
    if not roots:
        return [], {}
    found = [known.update(root) or known.chain(root) for root in roots]
    return [known.in_place(cluster) for cluster in found], known.signs


class _Known:
    """What is known of a graph while clusters are looked for."""

    def __init__(self, graph: Graph, taken: Fused) -> None:
        self.taken = taken
        self.place = {node: i for i, node in enumerate(graph.order)}
        self.computed = dict.fromkeys(computed(graph))
        self.users: dict[Tensor, list[Tensor]] = {node: [] for node in graph.order}
        for node in self.computed:
            for x in dict.fromkeys(node.inputs):
                self.users[x].append(node)
        self.ends = set(graph.ends)
        self.written = {node: v for v, node in graph.updates}
        self.relus = {node.inputs[0]: node for node in self.computed if node.op is elementwise.relu}
        self.signs: dict[Tensor, Any] = {}  # z > 0, where z itself is not laid down: the relu to ask
        self.home: dict[Tensor, tuple[Tensor, Tensor]] = {}  # of nodes in clusters: a result, and when it is there

    def factors(self, product: Tensor) -> Factors:
        """The factors as they lie, and whether each is transposed first."""
        left, right = (
            x.op is shaping.permute_axes and x.attrs["axes"] == (1, 0) and x in self.computed for x in product.inputs
        )
        a, b = product.inputs
        return Factors(a.inputs[0] if left else a, b.inputs[0] if right else b, left, right)

    def update(self, root: Tensor) -> Cluster | None:
        """Everything that comes of the product, where all of it is elementwise and ends in new values."""
        members: dict[Tensor, None] = {}
        reached, waiting = {root}, sorted(self.users[root], key=self.place.__getitem__)
        while waiting:
            node = waiting.pop(0)
            if node in reached:
                continue
            if not self._fits(node, root, reached):
                return None
            reached.add(node)
            members[node] = None
            waiting = sorted({*waiting, *self.users[node]}, key=self.place.__getitem__)
        outputs = tuple(node for node in members if node in self.ends)
        if not outputs or root in self.ends or len(outputs) > MOST_ARRAYS:
            return None
        return self._made(root, members, outputs)

    def chain(self, root: Tensor) -> Cluster:
        """The product, and what its only user makes of it, and so on. Who asks for a sign can ask a relu."""
        members: dict[Tensor, None] = {}
        last = root
        while last not in self.ends:
            users, relu = dict.fromkeys(self.users[last]), self.relus.get(last)
            signs = [] if relu is None else [
                u for u in users if compared(u, last, RELU) and self.place[u] > self.place[relu]
            ]  # fmt: skip
            others = [u for u in users if u not in set(signs)]
            if len(others) != 1 or not self._fits(others[0], root, {root, *members}):
                break
            last = others[0]
            members[last] = None
            self.signs.update(dict.fromkeys(signs, relu))
        found = self._made(root, members, (last,))
        if found is None:
            self.home[root] = root, root
        return found or Cluster(root, self.factors(root), (), (root,), {}, {}, ())

    def _fits(self, node: Tensor, root: Tensor, inside: set[Tensor]) -> bool:
        """Whether a node can be computed from the numbers of the product one by one."""
        if not self._simple(node, root) or node.dtype != root.dtype:
            return False
        return all(x in inside or _kind(x, root) is not None or self._simple(x, root) for x in node.inputs)

    def _simple(self, node: Tensor, root: Tensor) -> bool:
        return (
            node.op in (*ELEMENTWISE, *SMOOTH) and node.shape == root.shape
            and node in self.computed and node not in self.taken and node not in self.home
            and (node.op is not elementwise.astype or node.inputs[0].dtype.name == "bool")
        )  # fmt: skip

    def _made(self, root: Tensor, members: dict[Tensor, None], outputs: tuple[Tensor, ...]) -> Cluster | None:
        """With what only the members read, as far as it is elementwise; None where something cannot be given."""
        reads: dict[Tensor, Tensor] = {}
        inside = {root, *members}
        waiting = list(members)
        while waiting:
            node = waiting.pop()
            for x in node.inputs:
                if x in inside or x.size == 1:
                    continue
                mine = self._simple(x, root) and x not in self.ends and all(u in inside for u in self.users[x])
                if mine and all(y in inside or _kind(y, root) or self._simple(y, root) for y in x.inputs):
                    inside.add(x)
                    waiting.append(x)
        ordered = sorted(inside - {root}, key=self.place.__getitem__)
        for node in ordered:
            z = node.inputs[0]
            relu = self.relus.get(z) if compared(node, z, RELU) and z not in inside else None
            if relu is not None and self.place[relu] < self.place[ordered[-1]]:
                reads[node] = relu
        given = {reads.get(node, x) if x is node.inputs[0] else x for node in ordered for x in node.inputs} - inside
        arrays = [x for x in given if _kind(x, root) == "array"]
        if len(arrays) > MOST_ARRAYS or any(_kind(x, root) is None for x in given):
            return None
        self.home.update(dict.fromkeys(inside, (outputs[0], ordered[-1] if ordered else root)))
        return Cluster(root, self.factors(root), tuple(ordered), outputs, reads, {}, ())

    def in_place(self, cluster: Cluster) -> Cluster:
        """With the variables whose new values can be written over the old, once all others have read these."""
        arrays = _given(cluster)["array"]
        new = {i: self.written[node] for i, node in enumerate(cluster.outputs) if node in self.written}
        over = {i: v for i, v in new.items() if v in set(arrays)}
        inside = {cluster.product, *cluster.members}
        readers: dict[Tensor, None] = {}
        waiting = [u for v in over.values() for u in self.users[v]]
        while waiting:
            node = waiting.pop()
            value, made = self.home.get(node, (node, node))
            if node in inside or self.place[made] > self.place[cluster.last] or node.op.runs_graphs:
                continue  # XLA then copies the variable if it has to
            if node.op is shaping.permute_axes:  # no kernel waits for that: it reads what lies below
                waiting.extend(self.users[node])
            else:
                readers[value] = None
        waits = tuple(node for node in readers if node not in self.taken and node.size)
        return cluster._replace(over=over, waits=waits[:MOST_WAITS])


def _kind(x: Tensor, root: Tensor) -> str | None:
    """As what a kernel is given a node that it does not compute; None where it cannot be."""
    if x.dtype != root.dtype:
        return None
    if x.size == 1 and root.size != 1:
        return "number"
    if x.shape == root.shape:
        return "array"
    return "column" if x.shape in (root.shape[1:], (1, *root.shape[1:])) else None


def _given(cluster: Cluster) -> dict[str, list[Tensor]]:
    """The inputs of a cluster by their kinds, each in the order in which it is met; numbers that are known left out."""
    inside = {cluster.product, *cluster.members}
    found: dict[str, dict[Tensor, None]] = {"array": {}, "column": {}, "number": {}}
    for node in cluster.members:
        for x in _inputs(cluster, node):
            if x not in inside and not (x.op is CONSTANT and x.size == 1):
                found[_kind(x, cluster.product) or ""][x] = None
    return {kind: list(nodes) for kind, nodes in found.items()}


def _inputs(cluster: Cluster, node: Tensor) -> Sequence[Tensor]:
    """What a member reads: for the sign of a relu's input, the relu."""
    return node.inputs if node not in cluster.reads else (cluster.reads[node], *node.inputs[1:])


def _program(cluster: Cluster, given: Mapping[str, Sequence[Tensor]]) -> Any:
    """The members as a kernel's program."""
    kinds = [("sum", cluster.product), *((kind, x) for kind, nodes in given.items() for x in nodes)]
    return programmed(kinds, cluster.members, cluster.outputs, partial(_inputs, cluster))


def _work(
    cluster: Cluster, lower: Mapping[Any, Callable[..., Any]]
) -> Callable[[Mapping[Tensor, Any]], Mapping[Tensor, Any]]:
    """How a cluster is computed: by a kernel, or node by node where many are mapped over."""
    given = _given(cluster)
    program = _program(cluster, given)
    a, b, left, right = cluster.factors
    inputs = [x for nodes in given.values() for x in nodes]
    first = 2 + len(given["array"])
    number = {x: i for i, x in enumerate(given["array"])}
    over = {number[v]: i for i, v in cluster.over.items()}
    constants = {x: x.attrs["value"] for node in cluster.members for x in node.inputs if x.op is CONSTANT}

    def plain(*values: Any) -> list[Any]:
        known: dict[Tensor, Any] = {**constants, **dict(zip([a, b, *inputs], values, strict=False))}
        for x, turned in ((cluster.product.inputs[0], left), (cluster.product.inputs[1], right)):
            known[x] = known[x.inputs[0]].T if turned else known[x]
        for node in (cluster.product, *cluster.members):
            known[node] = lower[node.op](*(known[x] for x in _inputs(cluster, node)), **node.attrs)
        return [known[node] for node in cluster.outputs]

    def kernel(*values: Any) -> list[Any]:
        arrays, columns = values[2:first], values[first : first + len(given["column"])]
        numbers = values[first + len(columns) : 2 + len(inputs)]
        waits = values[2 + len(inputs) :]
        x, y = values[:2]
        return kernels.product(x, y, left, right, program, arrays, columns, numbers, waits, over)

    served = jax.custom_batching.custom_vmap(kernel)

    @served.def_vmap
    def mapped(n: int, there: Sequence[bool], *values: Any) -> Any:
        k = 2 + len(inputs)
        found = jax.vmap(plain, in_axes=[0 if t else None for t in list(there)[:k]], axis_size=n)(*values[:k])
        return found, [True] * len(found)

    def work(values: Mapping[Tensor, Any]) -> Mapping[Tensor, Any]:
        return dict(zip(cluster.outputs, served(*(values[x] for x in (a, b, *inputs, *cluster.waits))), strict=True))

    return work
