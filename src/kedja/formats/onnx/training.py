"""Steps of optimisers, by kedja's own rules where the conventions allow (domain ai.onnx.preview.training)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kedja import ops, optim
from kedja.errors import one_of
from kedja.formats.onnx.registry import operator
from kedja.graph.node import Tensor
from kedja.optim import Slots

DOMAIN = "ai.onnx.preview.training"


def stepped(rule: Any, x: Tensor, g: Tensor, slots: Mapping[str, Tensor], rate: Tensor, time: Tensor) -> list[Tensor]:
    """The parameter and the slots after the rule's steps."""
    now: dict[Any, Tensor] = {}
    for step in rule.steps(x, g, Slots(slots), rate, time):
        now[step.target] = step.value
    return [now[t] for t in (x, *slots.values())]


def each(xs: tuple[Tensor, ...], groups: int, step: Callable[..., Any]) -> tuple[Tensor, ...]:
    """`step` for every parameter: inputs and outputs are listed kind by kind, first all parameters, and so on."""
    n = len(xs) // groups
    results = [step(*xs[i::n]) for i in range(n)]
    return tuple(value for kind in zip(*results, strict=True) for value in kind)


@operator("Adagrad", domain=DOMAIN)
def adagrad(
    rate: Tensor, time: Tensor, *xs: Tensor, decay_factor: float = 0.0, epsilon: float = 0.0,
    norm_coefficient: float = 0.0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """kedja's Adagrad at the rate R / (1 + T · decay)."""
    slowed = rate / (1 + ops.cast(time, rate.dtype) * decay_factor)
    rule = optim.Adagrad().with_scalars([slowed, epsilon])

    def step(x: Tensor, g: Tensor, h: Tensor) -> list[Tensor]:
        return stepped(rule, x, g + norm_coefficient * x, {"square": h}, slowed, time)

    return each(xs, 3, step)


@operator("Adam", domain=DOMAIN)
def adam(
    rate: Tensor, time: Tensor, *xs: Tensor, alpha: float = 0.9, beta: float = 0.999, epsilon: float = 0.0,
    norm_coefficient: float = 0.0, norm_coefficient_post: float = 0.0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """kedja's Adam. ε stands beside √h before its bias is corrected, and at T = 0 nothing is corrected: as at T = ∞."""
    t = ops.where(time > 0, ops.cast(time, rate.dtype), np.inf)
    rule = optim.Adam().with_scalars([rate, alpha, beta, epsilon / ops.sqrt(1 - beta**t)])

    def step(x: Tensor, g: Tensor, v: Tensor, h: Tensor) -> list[Tensor]:
        g = g + norm_coefficient * x
        x, v, h = stepped(rule, x, g, {"mean": v, "square": h}, rate, t)
        return [x * (1 - norm_coefficient_post), v, h]

    return each(xs, 4, step)


@operator("Momentum", domain=DOMAIN)
def momentum(
    rate: Tensor, time: Tensor, *xs: Tensor, alpha: float, beta: float, mode: str, norm_coefficient: float
) -> tuple[Tensor, ...]:
    """kedja's momentum on the gradient βg, with β = 1 in the first step.

    ONNX's v does not hold the rate: v ← αv + βg, x ← x − Rv; ours is −Rv. Nesterov's looks ahead with g and not βg,
    x ← x − R (g + αv), which no rule of ours does unless β = 1.
    """
    if mode not in ("nesterov", "standard"):
        raise one_of("mode", mode, ("nesterov", "standard"))
    share = ops.where(time > 0, ops.full((), beta, rate.dtype), 1.0)
    rule = optim.Momentum().with_scalars([rate, alpha])

    def step(x: Tensor, g: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        g = g + norm_coefficient * x
        new = alpha * v + share * g
        if mode == "nesterov":
            return x - rate * (g + alpha * new), new
        moved, _ = stepped(rule, x, share * g, {"velocity": -rate * v}, rate, time)
        return moved, new

    return each(xs, 3, step)
