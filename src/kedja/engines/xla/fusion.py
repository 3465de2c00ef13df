"""What kernels do in one go that a graph says in several nodes.

- a convolution, the numbers by which each channel is multiplied and which are added to it, as a norm in inference
  does, an array added to it, as in a residual block, and relu: all done where the sums lie in registers;
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

__all__ = ["Fused", "fused", "is_sign", "sign_of"]

LINEAR = (elementwise.add, elementwise.subtract, elementwise.multiply, elementwise.divide)

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
    """relu(conv · scale + shift + plus), or a part of it: a norm in inference, a bias, a residual."""
    last, steps, plus = c, [], None
    while (user := _only_user(last, users, found)) is not None:
        if user.op not in LINEAR:
            break
        other = user.inputs[1] if user.inputs[0] is last else user.inputs[0]
        if other is last or other.dtype != c.dtype or user.shape != c.shape:
            break
        swapped = user.inputs[0] is not last
        if _per_channel(other, c) and not (swapped and user.op in (elementwise.subtract, elementwise.divide)):
            steps.append((user.op, other))
        elif user.op is elementwise.add and other.shape == c.shape:
            plus = other
        else:
            break
        found[last], last = None, user
        if plus is not None:
            break
    relu = relus.get(last)
    if relu is not None and all(u is relu or (is_sign(u, last) and place[u] > place[relu]) for u in users[last]):
        for user in users[last]:
            if user is not relu:  # relu(z) > 0 is z > 0
                found[user] = sign_of(relu, user)
        found[last] = None
        last = relu
    elif last is c:
        return
    has_relu = last is relu

    def work(values: Mapping[Tensor, Any]) -> Mapping[Tensor, Any]:
        x, w = (values[v] for v in c.inputs)
        scale, shift = _line(c.shape[-1], [(op, values[v]) for op, v in steps])
        more = None if plus is None else values[plus]
        y = kernels.conv(x, w, bias=shift, scale=scale, plus=more, relu=has_relu, **c.attrs)
        if y is None:
            y = WINDOWS[correlate](x, w, **c.attrs)
            y = y if scale is None else y * scale
            y = y if shift is None else y + shift
            y = y if more is None else y + more
            y = lax.max(y, jnp.zeros_like(y)) if has_relu else y
        return {last: y}

    found[last] = work


def _only_user(node: Tensor, users: Any, found: Fused) -> Tensor | None:
    """The node that alone reads this one, if it is not done elsewhere."""
    user = users[node][0] if len(users[node]) == 1 else None
    return None if user is None or user in found else user


def _per_channel(v: Tensor, c: Tensor) -> bool:
    """Whether v is one number, or one for each channel of c."""
    return v.ndim <= c.ndim and v.size in (1, c.shape[-1]) and (v.size == 1 or v.shape[-1] == c.shape[-1])


def _line(channels: int, steps: list[Any]) -> tuple[Any, Any]:
    """The scale and the shift of each channel that the steps come to; None where there is none."""
    scale = shift = None
    for op, v in steps:
        v = jnp.broadcast_to(v.reshape(-1), (channels,))
        if op is elementwise.add:
            shift = v if shift is None else shift + v
        elif op is elementwise.subtract:
            shift = -v if shift is None else shift - v
        else:
            factor = v if op is elementwise.multiply else jnp.reciprocal(v)
            scale = factor if scale is None else scale * factor
            shift = None if shift is None else shift * factor
    return scale, shift


def sign_of(relu: Tensor, sign: Tensor) -> Callable[[Mapping[Tensor, Any]], Mapping[Tensor, Any]]:
    """How z > 0 is computed where there is only relu(z)."""
    return lambda values: {sign: lax.gt(values[relu], jnp.zeros_like(values[relu]))}


def is_sign(node: Tensor | None, z: Tensor) -> bool:
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
            or not is_sign(sign.inputs[0], z)
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
