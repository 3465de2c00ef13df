"""How much work a graph is: nodes evaluated, and multiplications with their additions, counted from the shapes."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from kedja.graph.node import Tensor, ancestors
from kedja.ops.op import Elementwise

__all__ = ["Work", "work_of"]

FREE = {  # these move numbers and compute none
    "arange", "broadcast_to", "cast", "concatenate", "flip", "item", "pad", "reshape", "slice", "stop_gradient", "take",
    "take_along_axis", "transpose", "where",
}  # fmt: skip
ADDING = {"cumsum", "max", "min", "prod", "put_along_axis", "scatter_add", "sum", "sum_pool", "sum_pool_transpose"}
SOFTMAX = 4  # subtract the maximum, exponential, sum, divide


class Work(NamedTuple):
    """Nodes that are evaluated, and arithmetic operations in them; one multiply-add counts as one."""

    nodes: int
    operations: int

    def times(self, n: int) -> Work:
        """The same n times."""
        return Work(n * self.nodes, n * self.operations)

    def plus(self, other: Work) -> Work:
        """Both together."""
        return Work(self.nodes + other.nodes, self.operations + other.operations)


def work_of(outputs: Sequence[Tensor], known: Collection[Tensor] = (), stop: Sequence[Tensor] = ()) -> Work:
    """The work of computing the outputs when the nodes in `known` have their values already.

    >>> import kedja as kj
    >>> x, w = kj.placeholder((1, 3)), kj.placeholder((3, 5))
    >>> work_of([kj.tanh(x @ w)])
    Work(nodes=2, operations=20)
    """
    given = set(known)
    nodes = [n for n in ancestors(outputs, [*stop, *given]) if n not in given and not n.is_leaf]
    return Work(len(nodes), sum(operations(n) for n in nodes))


def operations(node: Tensor) -> int:
    """The arithmetic operations of one node; a loop counts its body for every step."""
    name = node.op.name
    if name in FREE:
        return 0
    if name == "matmul":
        return node.size * node.inputs[0].shape[-1]
    if name == "conv":  # every output number reads one window of its group's channels
        return node.size * math.prod(node.inputs[1].shape[:-1])
    if name == "conv_transpose":
        return node.inputs[0].size * math.prod(node.inputs[1].shape) // node.inputs[0].shape[-1]
    if name == "conv_kernel":  # the cotangent at every place times the window it came from
        return node.inputs[1].size * math.prod(node.shape[:-1])
    if name in ADDING:
        return node.inputs[-1].size if name in ("scatter_add", "put_along_axis") else node.inputs[0].size
    if name == "softmax":
        return SOFTMAX * node.size
    if name in ("scan", "map"):
        body = node.attrs["body"]
        return int(node.attrs["length"]) * work_of(body.outputs, stop=body.inputs).operations
    if isinstance(node.op, Elementwise):
        return node.size
    return max([node.size, *(x.size for x in node.inputs)])
