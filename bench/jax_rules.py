"""Update rules as a JAX user writes them by hand, for the loops in JAX that kedja is measured beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["EPSILON", "MOMENTUM", "UpdateRule"]

MOMENTUM, BETA1, BETA2, EPSILON = 0.9, 0.9, 0.999, 1e-8  # all contestants have these


@dataclass(frozen=True)
class UpdateRule:
    """SGD, with momentum or without, or Adam; the carry of a loop is (weights, slots …, number of steps)."""

    name: Literal["sgd", "momentum", "adam"]
    rate: float

    def carry(self, start: Sequence[Any]) -> Any:
        """What the loop begins with."""
        import jax.numpy as jnp

        weights = [jnp.asarray(w) for w in start]
        slots = {"sgd": 0, "momentum": 1, "adam": 2}[self.name]
        zeros = [[jnp.zeros_like(w) for w in weights] for _ in range(slots)]
        return (weights, *zeros, jnp.zeros((), jnp.int32))

    def moved(self, carry: Any, gradients: Any) -> Any:
        """The carry after one step."""
        return {"sgd": self._sgd, "momentum": self._momentum, "adam": self._adam}[self.name](carry, gradients)

    def _sgd(self, carry: Any, gradients: Any) -> Any:
        weights, step = carry
        return [w - self.rate * g for w, g in zip(weights, gradients, strict=True)], step

    def _momentum(self, carry: Any, gradients: Any) -> Any:
        weights, velocities, step = carry
        velocities = [MOMENTUM * v - self.rate * g for v, g in zip(velocities, gradients, strict=True)]
        return [w + v for w, v in zip(weights, velocities, strict=True)], velocities, step

    def _adam(self, carry: Any, gradients: Any) -> Any:
        import jax.numpy as jnp

        weights, first, second, step = carry
        step = step + 1
        first = [BETA1 * m + (1 - BETA1) * g for m, g in zip(first, gradients, strict=True)]
        second = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(second, gradients, strict=True)]
        scale1, scale2 = 1 / (1 - BETA1**step), 1 / (1 - BETA2**step)
        moved = [
            w - self.rate * (m * scale1) / (jnp.sqrt(v * scale2) + EPSILON)
            for w, m, v in zip(weights, first, second, strict=True)
        ]
        return moved, first, second, step
