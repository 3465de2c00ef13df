"""Mean and variance of each feature, and what is normalised with them: primitives, so that each reads x only once.

Written with sums and products, the derivative of a batch normalisation would go over x a dozen times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kedja.errors import ShapeError
from kedja.graph.node import Array, Tensor, constant
from kedja.graph.shapes import Shape
from kedja.ops.elementwise import sqrt
from kedja.ops.notation import ATOM, Notation
from kedja.ops.op import Messages, Op, Spec, by_hand
from kedja.ops.reductions import reduce_sum
from kedja.ops.samples import Sample, distinct
from kedja.ops.shaping import broadcast_to, stack

__all__ = ["centred_sums", "moments", "normalised"]


def others(ndim: int, axis: int) -> Shape:
    """All axes but one."""
    return tuple(i for i in range(ndim) if i != axis)


def along(v: Any, ndim: int, axis: int) -> Any:
    """A vector as an array of `ndim` axes that lies along one of them."""
    return v.reshape(tuple(v.shape[0] if i == axis else 1 for i in range(ndim)))


def _mean(x: Array, axis: int) -> Any:
    return np.sum(x, axis=others(x.ndim, axis), dtype=x.dtype) / x.dtype.type(x.size // x.shape[axis])


def _moments(x: Array, axis: int) -> Any:
    m = _mean(x, axis)
    return np.stack([m, _mean(np.square(x - along(m, x.ndim, axis)), axis)])


def _sums(g: Array, x: Array, m: Array, axis: int) -> Any:
    over, away = others(x.ndim, axis), x - along(m, x.ndim, axis)
    return np.stack([np.sum(g, axis=over, dtype=g.dtype), np.sum(g * away, axis=over, dtype=g.dtype)])


def _normalised(x: Array, moments: Array, gamma: Array, beta: Array, axis: int, epsilon: float) -> Any:
    scale = gamma / np.sqrt(moments[1] + moments.dtype.type(epsilon))
    return (x - along(moments[0], x.ndim, axis)) * along(scale, x.ndim, axis) + along(beta, x.ndim, axis)


# --- shapes ---------------------------------------------------------------------------------------------------------
def _features(x: Tensor, axis: int) -> int:
    if not x.ndim or not x.size:
        raise ShapeError(f"an array of shape {x.shape} has no mean")
    return x.shape[axis]


def _moments_spec(x: Tensor, axis: int) -> Spec:
    return (2, _features(x, axis)), x.dtype


def _sums_spec(g: Tensor, x: Tensor, m: Tensor, axis: int) -> Spec:
    c = _features(x, axis)
    if g.shape != x.shape or m.shape != (c,):
        raise ShapeError(f"of {x.shape}, {c} features, got g {g.shape} and means {m.shape}")
    return (2, c), x.dtype


def _normalised_spec(x: Tensor, moments: Tensor, gamma: Tensor, beta: Tensor, axis: int, epsilon: float) -> Spec:
    c = _features(x, axis)
    if moments.shape != (2, c) or gamma.shape != (c,) or beta.shape != (c,):
        raise ShapeError(f"of {x.shape}, {c} features, got {moments.shape}, γ {gamma.shape} and β {beta.shape}")
    return x.shape, x.dtype


# --- derivatives ----------------------------------------------------------------------------------------------------
def _away(x: Tensor, m: Tensor, axis: int) -> Tensor:
    away: Tensor = x - along(m, x.ndim, axis)
    return away


def _pull_moments(node: Tensor, g: Tensor, needed: Sequence[bool]) -> Messages:
    x, axis = node.inputs[0], node.attrs["axis"]
    n = x.size // x.shape[axis]
    share = g / n
    return (along(share[0], x.ndim, axis) + _away(x, node[0], axis) * along(2 * share[1], x.ndim, axis),)


def _push_moments(node: Tensor, moves: Messages) -> Tensor | None:
    x, axis = node.inputs[0], node.attrs["axis"]
    if moves[0] is None:
        return None
    sums = centred_sums(moves[0], x, node[0], axis=axis) / (x.size // x.shape[axis])
    return stack([sums[0], 2 * sums[1]])


def _pull_sums(node: Tensor, s: Tensor, needed: Sequence[bool]) -> Messages:
    g, x, m = node.inputs
    axis = node.attrs["axis"]
    second = along(s[1], x.ndim, axis)
    return (along(s[0], x.ndim, axis) + second * _away(x, m, axis), second * g, -s[1] * node[0])


def _push_sums(node: Tensor, moves: Messages) -> Tensor | None:
    g, x, m = node.inputs
    axis = node.attrs["axis"]
    zeros = constant(np.zeros(m.shape, m.dtype))
    parts: list[Tensor] = []
    if moves[0] is not None:
        parts.append(centred_sums(moves[0], x, m, axis=axis))
    if moves[1] is not None:
        parts.append(stack([zeros, reduce_sum(g * moves[1], axes=others(x.ndim, axis))]))
    if moves[2] is not None:
        parts.append(stack([zeros, -moves[2] * node[0]]))
    return _total(parts)


def _total(parts: list[Tensor]) -> Tensor | None:
    total: Tensor | None = None
    for part in parts:
        total = part if total is None else total + part
    return total


def _pull_normalised(node: Tensor, g: Tensor, needed: Sequence[bool]) -> Messages:
    x, both, gamma, _ = node.inputs
    axis = node.attrs["axis"]
    r = 1 / sqrt(both[1] + node.attrs["epsilon"])
    scale = gamma * r
    sums = centred_sums(g, x, both[0], axis=axis)
    back = stack([-scale * sums[0], -0.5 * scale * r * r * sums[1]])
    return (g * along(scale, x.ndim, axis), back, r * sums[1], sums[0])


def _push_normalised(node: Tensor, moves: Messages) -> Tensor | None:
    x, both, gamma, _ = node.inputs
    axis, n = node.attrs["axis"], x.ndim
    r = 1 / sqrt(both[1] + node.attrs["epsilon"])

    def stretched(v: Tensor) -> Tensor:
        return broadcast_to(along(v, n, axis), x.shape)

    parts: list[Tensor] = []
    if moves[0] is not None:
        parts.append(moves[0] * along(gamma * r, n, axis))
    away = _away(x, both[0], axis)
    if moves[1] is not None:
        parts.append(stretched(-moves[1][0] * gamma * r))
        parts.append(away * along(-0.5 * gamma * r * r * r * moves[1][1], n, axis))
    if moves[2] is not None:
        parts.append(away * along(moves[2] * r, n, axis))
    if moves[3] is not None:
        parts.append(stretched(moves[3]))
    return _total(parts)


# --- the ops --------------------------------------------------------------------------------------------------------
def _drawn(kind: str) -> Any:
    def samples(rng: np.random.Generator) -> Iterable[Sample]:
        for shape, axis in (((3, 4), 1), ((2, 3, 4), 2), ((2, 3, 4), 1), ((5, 1), 1)):
            x, c = distinct(rng, shape), shape[axis]
            if kind == "moments":
                yield Sample((x,), {"axis": axis})
            elif kind == "sums":
                yield Sample((distinct(rng, shape), x, distinct(rng, (c,))), {"axis": axis})
            else:
                both = np.stack([distinct(rng, (c,)), rng.uniform(0.5, 2.0, c)])
                yield Sample(
                    (x, both, distinct(rng, (c,)), distinct(rng, (c,))), {"axis": axis, "epsilon": 1e-3}
                )  # fmt: skip

    return samples


def _written(name: str) -> Notation:
    return Notation(rf"\operatorname{{{{{name}}}}}\left({{*}}\right)", ATOM, (0,))


moments: Op = by_hand(
    "moments", _moments, _moments_spec, pull=_pull_moments, push=_push_moments, accepts="float",
    samples=_drawn("moments"), tex=_written("moments"),
    doc="y₀ = mean of a and y₁ = mean of (a − y₀)², of each feature: over all axes but one.",
)  # fmt: skip
centred_sums: Op = by_hand(
    "centred_sums", _sums, _sums_spec, pull=_pull_sums, push=_push_sums, accepts="float", samples=_drawn("sums"),
    tex=_written("centredsums"),
    doc="y₀ = Σ a and y₁ = Σ a (b − c), of each feature: what the derivative of a normalisation needs.",
)  # fmt: skip
normalised: Op = by_hand(
    "normalised", _normalised, _normalised_spec, pull=_pull_normalised, push=_push_normalised, accepts="float",
    samples=_drawn("normalised"), tex=_written("normalised"),
    doc="y = (a − b₀) c / √(b₁ + ε) + d, with b, c and d of each feature.",
)  # fmt: skip
