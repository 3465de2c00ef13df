"""A function with a derivative of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from kedja.diff.reverse import cotangents
from kedja.errors import GraphError, ShapeError
from kedja.graph.node import Tensor, placeholder, tensor
from kedja.ops.elementwise import stop_gradient
from kedja.ops.notation import ATOM, Notation
from kedja.ops.op import ByHand, Messages, operand

__all__ = ["custom_gradient"]


def _pull(node: Tensor, g: Tensor, needed: Sequence[bool]) -> list[Tensor | None]:
    answer = node.attrs["pull"](g)
    messages = list(answer) if isinstance(answer, tuple | list) else [answer]
    inputs = node.inputs[1:]
    if len(messages) != len(inputs):
        raise GraphError(f"the custom gradient returned {len(messages)} gradients for {len(inputs)} arguments")
    for i, (x, message) in enumerate(zip(inputs, messages, strict=True)):
        if message is not None:
            message = messages[i] = operand("the custom gradient", message, x.dtype)
        if message is not None and message.shape != x.shape:
            raise ShapeError(f"the custom gradient of an argument of shape {x.shape} has shape {message.shape}")
    return [None, *messages]


def _push(node: Tensor, moves: Messages) -> Tensor | None:
    """Forward mode from the backward rule: g ↦ pull(g) is linear, so its own cotangent along ẋ is the tangent."""
    g = placeholder(node.shape, node.dtype)
    messages = _pull(node, g, [True] * len(node.inputs))[1:]
    seeds: dict[Tensor, Tensor] = {}
    for m, t in zip(messages, moves[1:], strict=True):
        if m is not None and t is not None:  # one message may go to several arguments
            seeds[m] = seeds[m] + t if m in seeds else t
    if not seeds:
        return None
    found: Tensor | None = cotangents(seeds, {g}).get(g)
    return found


custom = ByHand(
    "custom", lambda y, *xs, pull: y, lambda y, *xs, pull: (y.shape, y.dtype), pull=_pull, push=_push,
    samples=lambda rng: (), tex=Notation("{0}", ATOM, (ATOM,)), text=Notation("{0}", ATOM, (ATOM,)),
    doc="y = a, the value of the first input, with a gradient of the user's own for the others.",
)  # fmt: skip


def custom_gradient(function: Callable[..., tuple[Any, Callable[[Tensor], Any]]]) -> Callable[..., Tensor]:
    """Decorate a function that returns its value and its pull-back, cotangent ↦ one gradient per argument.

    >>> import kedja as kj
    >>> @kj.custom_gradient
    ... def straight_through(x):
    ...     return kj.sign(x), lambda g: g
    >>> kj.grad(lambda x: straight_through(x) * 3.0)(-2.0).item()
    3.0
    """

    @wraps(function)
    def wrapped(*args: Any) -> Tensor:
        xs = [tensor(a) for a in args]
        y, pull = function(*xs)
        return custom(stop_gradient(y), *xs, pull=pull)

    return wrapped
