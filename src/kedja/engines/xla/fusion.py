"""What kernels do in one go that a graph says in several nodes.

- a convolution, the numbers by which each channel is multiplied and which are added to it, as a norm in inference
  does, an array added to it, as in a residual block, an activation, then pooling by 2×2 windows, or the mean and
  variance that a norm in training asks for: all done where the sums lie in registers;
- the gradient through an activation of a convolution's gradient, or through a relu of a pooling's;
- the gradients by a convolution's kernel and by its bias, which read the same array;
- the loop over the steps of an LSTM, and that of its derivative.

`fused` finds these in a graph once. What kernels do not serve is computed as the nodes say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from kedja.engines.kernels.activation import RELU
from kedja.engines.xla import kernels
from kedja.engines.xla.activations import (
    Ended,
    Through,
    activations,
    applied,
    compared,
    gradient,
    passed,
    through,
)
from kedja.engines.xla.formulas import Formulas
from kedja.engines.xla.normalising import NORMALISING
from kedja.engines.xla.recurrent import sequences
from kedja.engines.xla.windows import WINDOWS
from kedja.graph.node import Tensor
from kedja.graph.trace import Graph
from kedja.ops import elementwise, reductions
from kedja.ops.convolution import collect, correlate, spread
from kedja.ops.normalising import moments
from kedja.ops.pooling import give_back, largest, window_sum
from kedja.ops.windows import Windows

__all__ = ["Fused", "computed", "fused"]

HALVING = Windows((2, 2), (2, 2), (0, 0), (0, 0), (1, 1))
POOLED = {largest: "max", window_sum: "sum"}
LINEAR = (elementwise.add, elementwise.subtract, elementwise.multiply, elementwise.divide)

# For a node: the values so far → the value of this node, and of others made along with it. None: it is left out.
Acts = Mapping[Tensor, list[Ended]]
Fused = dict[Tensor, Callable[[Mapping[Tensor, Any]], Mapping[Tensor, Any]] | None]


def fused(graph: Graph) -> Fused:
    """What to do for nodes that are not computed each by itself."""
    found: Fused = {}
    if not kernels.available():
        return found
    sequences(graph, found)
    if not any(node.op in (correlate, give_back) for node in graph.order):
        return found
    order = computed(graph)
    users: dict[Tensor, list[Tensor | None]] = {node: [] for node in graph.order}
    for node in order:
        for x in node.inputs:
            users[x].append(node)
    for end in graph.ends:
        users[end].append(None)
    place = {node: i for i, node in enumerate(graph.order)}
    acts = activations(order)
    formulas = Formulas(order, users, found)
    for node in order:
        if node.op is correlate:
            _epilogue(node, users, acts, formulas, place, found)
        elif node.op in (elementwise.multiply, elementwise.select, elementwise.add):
            _through(node, users, acts, place, found)
        elif node.op is collect:
            _with_sums(node, users, place, found)
    for node in order:
        if node.op is spread and node not in found and (far := formulas.through(node)) is not None:
            _passed(far[0], far[1], far[1].z, found)
    return found


def computed(graph: Graph) -> list[Tensor]:
    """The nodes that the graph computes. What the body of a loop is given may have inputs too, outside of it."""
    given = set(graph.inputs)
    return [node for node in graph.order if node not in given]


def _epilogue(c: Tensor, users: Any, acts: Acts, formulas: Formulas, place: Mapping[Tensor, int], found: Fused) -> None:
    """act(conv · scale + shift + plus), or a part of it: a norm in inference, a bias, a residual."""
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
    z, act, signs, elsewhere = last, None, [], []
    ended = next((x for x in acts.get(z, ()) if _closed(x, z, users, place, found)), None) or formulas.of(z)
    if ended is not None:
        inside = {ended.y, *ended.inner}
        elsewhere = [user for user in users[z] if user not in inside]
        found.update({user: _compared(ended.y, user) for user in elsewhere})  # comparisons of z: y tells as much
        found.update(dict.fromkeys([z, *ended.inner]))
        last, act = ended.y, ended.act
        signs = [x for x in ended.inner if compared(x, z, act) and any(user not in inside for user in users[x])]
    after = _after(last, plus, act, users, found)
    pooled = None if after is None else POOLED.get(after.op)
    # Where what is pooled is all that anybody reads, y itself is not laid down.
    whole = pooled is None or users[last] != [after] or bool(signs or elsewhere)
    if pooled and whole and any(n % 2 for n in last.shape[1:3]):
        after = pooled = None
    if last is c and after is None:
        return

    names = ([last] if whole else []) + ([] if after is None else [after])

    def work(values: Mapping[Tensor, Any]) -> Mapping[Tensor, Any]:
        x, w = (values[v] for v in c.inputs)
        scale, shift = _line(c.shape[-1], [(op, values[v]) for op, v in steps])
        more = None if plus is None else values[plus]
        wanted: Any = {"pooled": pooled, "whole": whole, "summed": after is not None and not pooled}
        y = kernels.conv(x, w, bias=shift, scale=scale, plus=more, act=act, **wanted, **c.attrs)
        made = {} if y is None else dict(zip(names, y if isinstance(y, list) else [y], strict=True))
        if y is None:
            y = WINDOWS[correlate](x, w, **c.attrs)
            y = y if scale is None else y * scale
            y = y if shift is None else y + shift
            y = y if more is None else y + more
            made = {last: applied(act, y)}
        if after is not None and made.get(after) is None:
            made[after] = {**WINDOWS, **NORMALISING}[after.op](made[last], **after.attrs)
        return {**made, **{sign: passed(sign, made[last]) for sign in signs}}

    found.update(dict.fromkeys((last, *names)))
    found.update(dict.fromkeys(names, work))


def _after(y: Tensor, plus: Tensor | None, act: Any, users: Any, found: Fused) -> Tensor | None:
    """What pools y by 2×2 windows, or takes the mean and variance of its channels."""
    readers: list[Tensor | None] = users[y]
    for user in readers:
        if user is None or user in found:
            continue
        if user.op is moments and act is None and user.attrs["axis"] == y.ndim - 1:
            return user
        if user.op in POOLED and plus is None and y.ndim == 4 and Windows(**user.attrs) == HALVING:
            return user
    return None


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


def _closed(ended: Ended, z: Tensor, users: Any, place: Mapping[Tensor, int], found: Fused) -> bool:
    """Whether nobody needs z, or what lies between it and y, but for comparisons that y answers too."""
    inside = {ended.y, *ended.inner}
    if any(node in found for node in inside):
        return False
    for node in (z, *ended.inner):
        for user in users[node]:
            if user in inside:
                continue
            asked = user if node is z else node
            later = user is None or place[user] > place[ended.y]
            if not (later and compared(asked, z, ended.act)):
                return False
    return True


def _compared(y: Tensor, node: Tensor) -> Callable[[Mapping[Tensor, Any]], Mapping[Tensor, Any]]:
    return lambda values: {node: passed(node, values[y])}


def _through(node: Tensor, users: Any, acts: Acts, place: Mapping[Tensor, int], found: Fused) -> None:
    """A gradient that a kernel makes, times the derivative of an activation."""
    way = gradient(node)
    if way is None or way.made.op not in (spread, give_back) or node.shape != way.made.shape:
        return
    made, inside = way.made, {node, *way.inner}
    y = next((x.y for x in acts.get(way.z, ()) if x.act == way.act), None)
    if y is None or place[y] > place[node] or found.get(y, ()) is None:
        return
    if any(user not in inside for inner in (made, *way.inner) for user in users[inner]):
        return
    if made.op is give_back and (way.act != RELU or made.inputs[0] is not y):
        return
    _passed(node, way, y, found)


def _passed(node: Tensor, way: Through, y: Tensor, found: Fused) -> None:
    """What to do for it: y is what tells the derivative."""
    made, act = way.made, way.act

    def work(values: Mapping[Tensor, Any]) -> Mapping[Tensor, Any]:
        a, b = (values[v] for v in made.inputs)
        if made.op is spread:
            g = kernels.transpose(a, b, value=values[y], act=act, **made.attrs)
        else:
            g = kernels.give_back(a, b, positive=True, **made.attrs)
        return {node: through(act, values[y], WINDOWS[made.op](a, b, **made.attrs)) if g is None else g}

    found.update(dict.fromkeys([made, *way.inner]))
    found[node] = work


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
