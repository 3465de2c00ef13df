"""Counting on the graph: multiply-adds of products, and sizes in bytes, as people write them."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from kedja.graph.node import Tensor
from kedja.graph.trace import Graph

__all__ = ["bytes_of", "in_bytes", "multiply_adds"]


def multiply_adds(nodes: Iterable[Tensor]) -> int:
    """How many multiplications with an addition the products among these nodes take: matmul, convolution, in loops too.

    A product of (n, k) and (k, m) takes n·k·m; a convolution one for each number of its output, place of the kernel and
    channel that it reads, as papers count (places in the padding too). Everything else is not counted.

    >>> import kedja as kj
    >>> multiply_adds([kj.ones((32, 784)) @ kj.ones((784, 100))])
    2508800
    """
    return sum(_of(node) for node in nodes)


def _of(node: Tensor) -> int:
    if node.is_leaf:
        return 0
    if node.op.runs_graphs:
        body: Graph = node.attrs["body"]
        return multiply_adds(body.order) * int(node.attrs["length"])
    name = node.op.name
    if name == "matmul":
        return node.size * node.inputs[0].shape[-1]
    if name == "conv":  # (x, w (*places, channels of a group, channels out))
        return node.size * prod(node.inputs[1].shape[:-1])
    if name == "conv_transpose":  # (y, w): every number of y is sent to each place and channel
        return node.inputs[0].size * prod(node.inputs[1].shape[:-1])
    if name == "conv_kernel":  # (x, y) → w
        return node.inputs[1].size * prod(node.shape[:-1])
    return 0


def bytes_of(node: Tensor) -> int:
    """What the values of a node take."""
    return node.size * node.dtype.itemsize


def in_bytes(n: float) -> str:
    """A number of bytes as people write it.

    >>> in_bytes(512), in_bytes(318_040), in_bytes(3 * 2**30)
    ('512 B', '310.6 KiB', '3.0 GiB')
    """
    if n < 1024:
        return f"{n:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        n /= 1024
        if n < 1024:
            return f"{n:.1f} {unit}"
    return f"{n / 1024:.1f} TiB"
