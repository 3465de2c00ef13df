"""Clipping: gradients that are too long are shortened before the rule sees them (scope 4.7).

`clip_value` brings each entry into ±c; `clip_each_norm` shortens the gradient of each parameter to length c;
`clip_norm` shortens all gradients together, as one long vector, and so keeps their direction.
Source: Pascanu, Mikolov, Bengio 2013.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kedja.errors import DataError
from kedja.graph.node import Tensor
from kedja.ops import absolute, cast, maximum, minimum, sqrt, square, where
from kedja.ops import max as largest
from kedja.ops import sum as total

__all__ = ["KINDS", "clip_each_norm", "clip_norm", "clip_value", "global_norm"]


def clip_value(gradients: Sequence[Tensor], bound: Any) -> list[Tensor]:
    """g ← min(max(g, −c), c), entry by entry. What is not a number stays so; an infinite entry becomes ±c.

    >>> import kedja as kj
    >>> clip_value([kj.tensor([-3.0, 0.5])], 1.0)[0].tolist()
    [-1.0, 0.5]
    """
    found = []
    for g in gradients:
        c = _in_type(bound, g)
        found.append(minimum(maximum(g, -c), c))
    return found


def clip_each_norm(gradients: Sequence[Tensor], bound: Any) -> list[Tensor]:
    """g ← g · min(1, c / ‖g‖) for the gradient of each parameter apart.

    >>> import kedja as kj
    >>> [g.numpy().round(2).tolist() for g in clip_each_norm([kj.tensor([3.0, 4.0]), kj.tensor(0.5)], 2.5)]
    [[1.5, 2.0], 0.5]
    """
    return [clip_norm([g], bound)[0] for g in gradients]


def clip_norm(gradients: Sequence[Tensor], bound: Any) -> list[Tensor]:
    """g ← g · min(1, c / ‖g‖), where ‖g‖ is the length of all gradients together.

    A length that is not finite makes every gradient NaN, so that a run that diverges is seen to.

    >>> import kedja as kj
    >>> [g.tolist() for g in clip_norm([kj.tensor([3.0]), kj.tensor([4.0])], 2.5)]
    [[1.5], [2.0]]
    """
    length = global_norm(gradients)
    c = _in_type(bound, length)
    factor = c / maximum(length, c)  # exactly 1 where nothing is to be shortened; NaN stays NaN
    return [g * cast(factor, g.dtype) for g in gradients]


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """√Σg² over all entries of all gradients, without overflow: the largest entry is divided out before squaring.

    NaN when an entry is infinite or not a number.

    >>> import kedja as kj
    >>> round(global_norm([kj.tensor([3e30, 0.0]), kj.tensor(4e30)]).item() / 1e30, 4)
    5.0
    """
    dtype = max((g.dtype for g in gradients), key=lambda d: d.itemsize)
    whole = [cast(absolute(g), dtype) for g in gradients]
    top = largest(whole[0])
    for g in whole[1:]:
        top = maximum(top, largest(g))
    scale = where(top == 0, 1.0, top)  # ∞/∞ is NaN, and so is the length then
    squares = total(square(whole[0] / scale))
    for g in whole[1:]:
        squares = squares + total(square(g / scale))
    return scale * sqrt(squares)


def _in_type(bound: Any, like: Tensor) -> Any:
    """The bound as a node of the type of `like`; a Python number takes it anyway."""
    return cast(bound, like.dtype) if isinstance(bound, Tensor) else bound


class Clip(NamedTuple):
    """A way of clipping: the label of its step, and what it does to the gradients."""

    label: str
    apply: Callable[..., Any]


KINDS = {
    "clip_value": Clip("clip each entry", clip_value),
    "clip_each_norm": Clip("clip the length", clip_each_norm),
    "clip_norm": Clip("clip the length of all gradients", clip_norm),
}
"""Argument of an optimiser → how it clips."""


def at_most_one(given: Sequence[str]) -> None:
    """Raise when clipping is asked for in two ways: their order would matter, and nobody said it."""
    if len(given) > 1:
        raise DataError(f"{' and '.join(given)} are two ways of clipping: choose one, and leave the other at None")
