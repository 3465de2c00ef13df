"""Where programs run, and the modes JAX is put in while kedja uses it. Its global flags stay as the user set them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import jax

__all__ = ["device", "exact_types", "put"]


def exact_types() -> AbstractContextManager[Any]:
    """64-bit types are kept inside this block: a float64 graph stays float64, an int64 label int64."""
    manager: AbstractContextManager[Any] = jax.enable_x64(True)
    return manager


def device() -> Any:
    """The device programs run on: JAX's default one."""
    return jax.devices()[0]


def put(array: Any) -> Any:
    """An array on the device, with its type."""
    if isinstance(array, jax.Array):
        return array
    return jax.device_put(array, device())
