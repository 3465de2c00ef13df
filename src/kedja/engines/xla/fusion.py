"""What kernels do in one go that a graph says in several nodes.

- conv + bias, and relu of it: the bias and the relu are done where the sums lie in registers;
- the gradient through a relu of a convolution's or a pooling's gradient: 0 where the relu's value is not positive;
- the gradients by a convolution's kernel and by its bias, which read the same array.

`fused` finds these in a graph once. What kernels do not serve is computed as the nodes say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from kedja.engines.xla import kernels
from kedja.engines.xla.windows import WINDOWS
from kedja.graph.node import CONSTANT, Tensor
from kedja.graph.trace import Graph
from kedja.ops import elementwise, reductions
from kedja.ops.convolution import collect, correlate, spread
from kedja.ops.pooling import give_back

__all__ = ["Fused", "fused"]

# For a node: the values so far → the value of this node, and of others made along with it. None: it is left out.
Fused = dict[Tensor, Callable[[Mapping[Tensor, Any]], Mapping[Tensor, Any]] | None]


def fused(graph: Graph) -> Fused:
    """What to do for nodes that are not computed each by itself."""
    found: Fused = {}
    if not kernels.available() or not any(node.op in (correlate, give_back) for node in graph.order):
        return found
    users: dict[Tensor, list[Tensor | None]] = {node: [] for node in graph.order}
    for node in graph.order:
        for x in node.inputs:
            users[x].append(node)
    for end in graph.ends:
        users[end].append(None)
    place = {node: i for i, node in enumerate(graph.order)}
    relus = {node.inputs[0]: node for node in graph.order if node.op is elementwise.relu}
    for node in graph.order:
        if node.op is correlate:
            _epilogue(node, users, relus, place, found)
        elif node.op is elementwise.multiply:
            _masked(node, users, relus, place, found)
        elif node.op is collect:
            _with_sums(node, users, place, found)
    return found


def _epilogue(c: Tensor, users: Any, relus: Mapping[Tensor, Tensor], place: Mapping[Tensor, int], found: Fused) -> None:
    """relu(conv + bias), relu(conv), conv + bias."""
    last, bias = c, None
    if len(users[c]) == 1 and users[c][0] is not None and users[c][0].op is elementwise.add:
        total = users[c][0]
        other = next((x for x in total.inputs if x is not c), None)
        if other is not None and other.shape == c.shape[-1:] and other.dtype == c.dtype:
            last, bias = total, other
    relu = relus.get(last)
    if relu is not None and all(u is relu or (_is_sign(u, last) and place[u] > place[relu]) for u in users[last]):
        for user in users[last]:
            if user is not relu:  # relu(z) > 0 is z > 0
                found[user] = _sign_of(relu, user)
        found[last] = None
        last = relu
    elif bias is None:
        return
    found[c] = None
    relu_too = last is relu

    def work(values: Mapping[Tensor, Any]) -> Mapping[Tensor, Any]:
        x, w = (values[v] for v in c.inputs)
        b = None if bias is None else values[bias]
        y = kernels.conv(x, w, bias=b, relu=relu_too, **c.attrs)
        if y is None:
            y = WINDOWS[correlate](x, w, **c.attrs)
            y = y if b is None else y + b
            y = lax.max(y, jnp.zeros_like(y)) if relu_too else y
        return {last: y}

    found[last] = work


def _sign_of(relu: Tensor, sign: Tensor) -> Callable[[Mapping[Tensor, Any]], Mapping[Tensor, Any]]:
    return lambda values: {sign: lax.gt(values[relu], jnp.zeros_like(values[relu]))}


def _is_sign(node: Tensor | None, z: Tensor) -> bool:
    """Whether the node is z > 0."""
    return (
        node is not None and node.op is elementwise.greater and node.inputs[0] is z
        and node.inputs[1].op is CONSTANT and node.inputs[1].size == 1 and not np.any(node.inputs[1].attrs["value"])
    )  # fmt: skip


def _masked(
    node: Tensor, users: Any, relus: Mapping[Tensor, Tensor], place: Mapping[Tensor, int], found: Fused
) -> None:
    """(z > 0) · a gradient that a kernel makes."""
    for made, sign in (node.inputs, node.inputs[::-1]):
        if made.op not in (spread, give_back) or users[made] != [node] or sign.op is not elementwise.astype:
            continue
        z = sign.inputs[0].inputs[0] if sign.inputs[0].inputs else None
        relu = None if z is None else relus.get(z)
        if (
            z is None
            or relu is None
            or not _is_sign(sign.inputs[0], z)
            or node.shape != made.shape
            or place[relu] > place[node]
        ):
            continue
        if made.op is give_back and made.inputs[0] is not relu:
            continue
        found[made] = None

        def work(
            values: Mapping[Tensor, Any], made: Tensor = made, sign: Tensor = sign, relu: Tensor = relu
        ) -> Mapping[Tensor, Any]:
            a, b = (values[v] for v in made.inputs)
            if made.op is spread:
                y = kernels.transpose(a, b, positive=values[relu], **made.attrs)
            else:
                y = kernels.give_back(a, b, positive=True, **made.attrs)
            if y is None:
                y = WINDOWS[made.op](a, b, **made.attrs) * values[sign]
            return {node: y}

        found[node] = work
        return


def _with_sums(node: Tensor, users: Any, place: Mapping[Tensor, int], found: Fused) -> None:
    """The gradient by a kernel, with the sum of the same array over all axes but the last."""
    x, g = node.inputs
    over = tuple(range(g.ndim - 1))
    total = next(
        (u for u in users[g] if u is not None and u.op is reductions.reduce_sum and u.attrs["axes"] == over), None
    )
    if total is None or total in found or place[x] > place[total]:
        return

    def work(values: Mapping[Tensor, Any]) -> Mapping[Tensor, Any]:
        both = kernels.weights(values[x], values[g], sums=True, **node.attrs)
        if both is None:
            both = WINDOWS[collect](values[x], values[g], **node.attrs), jnp.sum(values[g], over, values[g].dtype)
        return {node: both[0], total: both[1]}

    found[node] = found[total] = work
