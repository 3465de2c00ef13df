"""Activations as a graph has them, in several nodes, and the gradients through them: found, so that kernels do them.

Here are those that are linear in pieces: relu, relu6, leaky relu, hard tanh, clipping. A comparison of z = the
activation's input with a bound says the same of y, its output; so z need not be kept. Others are in `formulas`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from kedja.engines.kernels.activation import RELU, Activation
from kedja.engines.xla.pointwise import evaluated
from kedja.graph.node import CONSTANT, Tensor
from kedja.ops import elementwise as e

if TYPE_CHECKING:
    from kedja.engines.kernels.elementwise import Act

__all__ = ["Ended", "Through", "activations", "applied", "compared", "gradient", "number", "passed", "through"]

COMPARISONS = {e.greater: lax.gt, e.greater_equal: lax.ge, e.less: lax.lt, e.less_equal: lax.le}


class Ended(NamedTuple):
    """An activation of z: the node that is y, what it is, and the nodes between."""

    y: Tensor
    act: Act
    inner: tuple[Tensor, ...]


class Through(NamedTuple):
    """A gradient that was made, through an activation of z, with the nodes between."""

    made: Tensor
    z: Tensor
    act: Act
    inner: tuple[Tensor, ...]


def activations(order: Sequence[Tensor]) -> dict[Tensor, list[Ended]]:
    """For each node the activations of it, the longest first."""
    found: dict[Tensor, list[Ended]] = {}
    for node in order:
        for z, ended in _read(node):
            found.setdefault(z, []).insert(0, ended)
    return found


def _read(y: Tensor) -> Iterator[tuple[Tensor, Ended]]:
    """What a node is an activation of."""
    if y.op is e.relu:
        yield y.inputs[0], Ended(y, RELU, ())
        return
    if y.op is not e.select:
        return
    asked, yes, no = y.inputs
    z, bound = _asked(asked)
    if z is None or bound is None:
        return
    if asked.op is e.greater and bound == 0 and yes is z and no.op is e.multiply:
        a, b = no.inputs
        slope = number(a) if b is z else number(b) if a is z else None
        if slope is not None and 0 < slope < inf:
            yield z, Ended(y, Activation(slope=slope), (asked, no))
    if number(yes) != bound:
        return
    if asked.op is e.greater_equal and no.op is e.relu and no.inputs[0] is z and bound > 0:  # relu6
        yield z, Ended(y, Activation(0.0, bound), (asked, no))
    if no.op is not e.select:
        return
    below, low = _asked(no.inputs[0])
    if below is not None and low is not None and number(no.inputs[1]) == low < bound and no.inputs[2] is below:
        ops = (asked.op, no.inputs[0].op)
        if ops == (e.greater_equal, e.less_equal) and below is z:  # hard tanh
            yield z, Ended(y, Activation(low, bound), (asked, no, no.inputs[0]))
        if ops == (e.greater, e.less) and z is no:  # clip
            yield below, Ended(y, Activation(low, bound), (asked, no, no.inputs[0]))


def compared(node: Tensor | None, z: Tensor, act: Act) -> bool:
    """Whether a node compares z with a bound such that comparing y says the same."""
    if not isinstance(act, Activation) or node is None or node.op not in COMPARISONS or node.inputs[0] is not z:
        return False
    bound = number(node.inputs[1])
    if bound == act.low:
        return node.op is e.greater or (node.op is e.less_equal and not act.slope)
    return bound == act.high and node.op in (e.greater_equal, e.less)


def passed(node: Tensor, y: Any) -> Any:
    """The comparison, of y instead of z."""
    return COMPARISONS[node.op](y, jnp.full(y.shape, node.inputs[1].attrs["value"], y.dtype))


def gradient(node: Tensor) -> Through | None:
    """What a node is if it is a gradient through an activation."""
    if node.op is e.multiply:  # relu's: g · (z > 0); relu6's: (0 where z ≥ 6, else g) · (z > 0)
        for g, sign in (node.inputs, node.inputs[::-1]):
            z, bound = _asked(sign.inputs[0]) if sign.op is e.astype else (None, None)
            if z is None or bound != 0 or sign.inputs[0].op is not e.greater:
                continue
            high, kept = _zeroed(g, z)
            if kept is not None and g.inputs[0].op is e.greater_equal and high is not None:
                return Through(kept, z, Activation(0.0, high), (g,))
            return Through(g, z, RELU, ())
    if node.op is e.select:  # hard tanh's: 0 where z ≤ −1, else 0 where z ≥ 1, else g
        low, first = _zeroed(node)
        if first is not None and low is not None and node.inputs[0].op is e.less_equal:
            z = node.inputs[0].inputs[0]
            high, kept = _zeroed(first, z)
            if kept is not None and high is not None and first.inputs[0].op is e.greater_equal and low < high:
                return Through(kept, z, Activation(low, high), (first,))
    if node.op is e.add:  # leaky relu's: (g where z > 0, else 0) + slope · (0 where z > 0, else g)
        above, scaled = node.inputs
        if above.op is not e.select or scaled.op is not e.multiply:
            return None
        for factor, below in (scaled.inputs, scaled.inputs[::-1]):
            slope, (z, bound) = number(factor), _asked(above.inputs[0])
            if (
                slope is not None and 0 < slope < inf and below.op is e.select and z is not None and bound == 0
                and above.inputs[0].op is e.greater and below.inputs[0] is above.inputs[0]
                and above.inputs[1] is below.inputs[2]
                and number(above.inputs[2]) == 0 and number(below.inputs[1]) == 0
            ):  # fmt: skip
                return Through(above.inputs[1], z, Activation(slope=slope), (above, scaled, below))
    return None


def _zeroed(node: Tensor, of: Tensor | None = None) -> tuple[float | None, Tensor | None]:
    """Of `0 where z compares with a bound, else g`: the bound and g."""
    if node.op is not e.select or number(node.inputs[1]) != 0:
        return None, None
    z, bound = _asked(node.inputs[0])
    return (bound, node.inputs[2]) if z is not None and (of is None or of is z) else (None, None)


def _asked(node: Tensor) -> tuple[Tensor | None, float | None]:
    """What is compared with what number."""
    if node.op not in COMPARISONS:
        return None, None
    bound = number(node.inputs[1])
    return (None, None) if bound is None else (node.inputs[0], bound)


def number(node: Tensor) -> float | None:
    """The value of a constant of one element."""
    if node.op is not CONSTANT or node.size != 1 or node.dtype.name == "bool":
        return None
    return float(np.asarray(node.attrs["value"]).reshape(()))


# --- for the compiler -----------------------------------------------------------------------------------------------
def applied(act: Act | None, x: Any) -> Any:
    """y, where no kernel applies the activation."""
    if act is None:
        return x
    if not isinstance(act, Activation):
        return evaluated(act.program, [x])[0]
    if act.slope:
        return jnp.where(x > 0, x, np.asarray(act.slope, x.dtype) * x)
    y = lax.max(x, jnp.full_like(x, act.low))
    return y if act.high == inf else lax.min(y, jnp.full_like(x, act.high))


def through(act: Act, y: Any, g: Any) -> Any:
    """g · y′, where y is what the activation gave."""
    if not isinstance(act, Activation):
        return evaluated(act.program, [g, y])[0]
    if act.slope:
        return jnp.where(y > 0, g, np.asarray(act.slope, g.dtype) * g)
    return jnp.where((y > act.low) & (y < act.high) if act.high < inf else y > act.low, g, jnp.zeros_like(g))
