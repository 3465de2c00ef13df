"""Softmax, a primitive because of what it means: its result is a distribution, and losses look through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.graph.node import Array, Tensor
from kedja.graph.shapes import as_axis
from kedja.ops.elementwise import exp, isfinite, log, stop_gradient, where
from kedja.ops.notation import ATOM, Notation
from kedja.ops.op import Messages, by_hand, operands
from kedja.ops.reductions import max, sum
from kedja.ops.samples import arrays


def _softmax(x: Array, axis: int) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True, dtype=e.dtype)


def _through(node: Tensor, g: Tensor) -> Tensor:
    """The Jacobian diag(s) − s sᵀ times a vector; it is symmetric, so both modes use it."""
    return node * (g - sum(g * node, axis=node.attrs["axis"], keepdims=True))


def _pull(node: Tensor, g: Tensor, needed: Sequence[bool]) -> tuple[Tensor]:
    return (_through(node, g),)


def _push(node: Tensor, tangents: Messages) -> Tensor | None:
    return None if tangents[0] is None else _through(node, tangents[0])


normalised_exp = by_hand(
    "softmax", _softmax, lambda x, axis: (x.shape, x.dtype), pull=_pull, push=_push, accepts="float",
    samples=arrays(([(3, 4)], {"axis": 1}), ([(3, 4)], {"axis": 0}), ([(5,)], {"axis": 0}), ([(1, 1)], {"axis": 1})),
    tex=Notation(r"\operatorname{{softmax}}\left({0}\right)", ATOM, (0,)),
    doc="yᵢ = exp(aᵢ) / Σ exp(aⱼ) along an axis: positive numbers that add up to 1.",
)  # fmt: skip


def softmax(x: Any, axis: int = -1) -> Tensor:
    """eˣ / Σ eˣ along the axis: positive numbers that add up to 1. The largest x is taken out first: no overflow.

    >>> import kedja as kj
    >>> kj.softmax(kj.tensor([0.0, 0.0])).numpy().tolist()
    [0.5, 0.5]
    """
    x = operands("softmax", (x,))[0]
    return normalised_exp(x, axis=as_axis(axis, x.ndim))


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """ln softmax(x) = x − ln Σ eˣ, without the underflow that taking the logarithm of a softmax has.

    The largest x is taken out of both, so that the difference keeps its digits when x is large.

    >>> import kedja as kj
    >>> kj.log_softmax(kj.tensor([0.0, -1000.0])).numpy().tolist()
    [0.0, -1000.0]
    """
    z = operands("log_softmax", (x,))[0]
    top = stop_gradient(max(z, axis, keepdims=True))
    rest = z - where(isfinite(top), top, 0.0)  # −∞ − (−∞) would not be a number
    return rest - log(sum(exp(rest), axis, keepdims=True))


__all__ = ["log_softmax", "softmax"]
