"""Mean and variance, and what is normalised with them, for the compiler: kernels of our own where they serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from kedja.engines.xla import kernels
from kedja.ops.normalising import along, centred_sums, moments, normalised, others
from kedja.ops.op import Op

__all__ = ["NORMALISING"]


def _moments(x: Any, axis: int) -> Any:
    found = kernels.moments(x) if axis == x.ndim - 1 else None
    if found is not None:
        return found
    over = others(x.ndim, axis)
    m = jnp.mean(x, axis=over, dtype=x.dtype)
    return jnp.stack([m, jnp.mean(lax.square(x - along(m, x.ndim, axis)), axis=over, dtype=x.dtype)])


def _centred_sums(g: Any, x: Any, m: Any, axis: int) -> Any:
    found = kernels.moments(x, g, m) if axis == x.ndim - 1 else None
    if found is not None:
        return found
    over, away = others(x.ndim, axis), x - along(m, x.ndim, axis)
    return jnp.stack([jnp.sum(g, axis=over, dtype=g.dtype), jnp.sum(g * away, axis=over, dtype=g.dtype)])


def _normalised(x: Any, both: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    scale = gamma / lax.sqrt(both[1] + both.dtype.type(epsilon))
    middle, scale, beta = (along(v, x.ndim, axis) for v in (both[0], scale, beta))
    return (x - middle) * scale + beta


NORMALISING: dict[Op, Callable[..., Any]] = {
    moments: _moments, centred_sums: _centred_sums, normalised: _normalised,
}  # fmt: skip
