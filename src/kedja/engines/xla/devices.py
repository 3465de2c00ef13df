"""Where programs run, and the modes JAX is put in while kedja uses it. Its global flags stay as the user set them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import jax
from jax import lax

__all__ = ["device", "exact_types", "holding", "multiplying", "product_precision", "put"]

_tf32: ContextVar[bool] = ContextVar("kedja_tf32", default=False)


def exact_types() -> AbstractContextManager[Any]:
    """64-bit types are kept inside this block: a float64 graph stays float64, an int64 label int64."""
    manager: AbstractContextManager[Any] = jax.enable_x64(True)
    return manager


def multiplying(tf32: bool) -> AbstractContextManager[None]:
    """Programs lowered inside this block may, or may not, round factors of float32 products to tf32."""
    return holding(_tf32, tf32)


@contextmanager
def holding(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    """The variable has this value inside the block."""
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)


def product_precision(dtype: Any) -> lax.Precision:
    """How exactly products of such numbers are asked for.

    On a GPU anything but DEFAULT rules out XLA's generated kernels for a product; for float32 it means tf32 there, for
    bfloat16 nothing is lost. On a TPU DEFAULT rounds float32 to bfloat16, and HIGH is a little better than tf32.
    """
    platform = jax.default_backend()
    if platform == "cpu":
        return lax.Precision.HIGHEST
    if dtype.name == "bfloat16":
        return lax.Precision.DEFAULT
    if dtype.name == "float32" and _tf32.get():
        return lax.Precision.HIGH if platform == "tpu" else lax.Precision.DEFAULT
    return lax.Precision.HIGHEST


def device() -> Any:
    """The device programs run on: JAX's default one."""
    return jax.devices()[0]


def put(array: Any) -> Any:
    """An array on the device, with its type."""
    if isinstance(array, jax.Array):
        return array
    return jax.device_put(array, device())
