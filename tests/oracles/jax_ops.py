"""Ops as JAX has them, where it is the nearer relative: ties, powers, order, padding between elements."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def _pad(x: Any, low: Any, high: Any, interior: Any) -> Any:
    return lax.pad(x, np.zeros((), x.dtype), list(zip(low, high, interior, strict=True)))


JAX: dict[str, Callable[..., Any]] = {
    "argmax": lambda x, axis: jnp.argmax(x, axis=axis),
    "argsort": lambda x, axis: jnp.argsort(x, axis=axis, stable=True),
    "max": lambda x, axes: jnp.max(x, axis=axes),
    "maximum": jnp.maximum,
    "min": lambda x, axes: jnp.min(x, axis=axes),
    "minimum": jnp.minimum,
    "pad": _pad,
    "power": jnp.power,
    "relu": jax.nn.relu,
    "sign": jnp.sign,  # PyTorch calls the sign of a missing number 0
    "softmax": lambda x, axis: jax.nn.softmax(x, axis=axis),
    "softplus": jax.nn.softplus,
}
