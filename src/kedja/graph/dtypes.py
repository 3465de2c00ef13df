"""Element types: what Python numbers and NumPy arrays become, and the one default everything else follows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from kedja.errors import DTypeError, ShapeError, one_of

__all__ = ["as_array", "as_dtype", "default_dtype", "get_default_dtype", "is_float", "set_default_dtype"]

DType = np.dtype[Any]

BOOL = np.dtype(np.bool_)
INT64 = np.dtype(np.int64)
KNOWN: dict[str, DType] = {
    name: np.dtype(name)
    for name in (
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
    )
}

_default: ContextVar[DType] = ContextVar("kedja_default_dtype", default=KNOWN["float32"])


def as_dtype(dtype: Any) -> DType:
    """The NumPy dtype that a name, type or dtype stands for.

    >>> as_dtype("float32")
    dtype('float32')
    """
    if type(dtype) is str and dtype in KNOWN:
        return KNOWN[dtype]
    try:
        found: DType = np.dtype(dtype)
    except TypeError:
        if not isinstance(dtype, str) or dtype != "bfloat16":
            raise one_of("dtype", dtype, KNOWN) from None
        import ml_dtypes  # comes with JAX; until it is loaded NumPy does not know the name

        found = np.dtype(ml_dtypes.bfloat16)
    if found.name not in KNOWN and found.name != "bfloat16":
        raise one_of("dtype", found.name, KNOWN)
    return KNOWN.get(found.name, found)


def is_float(dtype: DType) -> bool:
    """Whether elements of this type can have a derivative (bfloat16 included, whose kind is 'V')."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def get_default_dtype() -> DType:
    """The type Python numbers and float64 arrays become when no `dtype=` is given; float32 at the start."""
    return _default.get()


def set_default_dtype(dtype: Any) -> None:
    """Change the default for what follows in this thread. `with default_dtype(...)` undoes itself."""
    found = as_dtype(dtype)
    if not is_float(found):
        raise DTypeError(f"the default dtype must be a floating-point type, got {found.name}. Use 'float32'.")
    _default.set(found)


@contextmanager
def default_dtype(dtype: Any) -> Iterator[None]:
    """Use another default inside a `with` block: float64 for checking, say.

    >>> import kedja as kj
    >>> with kj.default_dtype("float64"):
    ...     kj.tensor(0.1).dtype
    dtype('float64')
    """
    before = _default.get()
    set_default_dtype(dtype)
    try:
        yield
    finally:
        _default.set(before)


def as_array(value: Any, dtype: Any = None) -> np.ndarray[Any, Any]:
    """`value` as a NumPy array under the rule of the house.

    float64 and Python numbers become the default dtype unless `dtype` says otherwise; float32, integer and boolean
    arrays stay what they are.
    """
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # a PyTorch tensor, without importing PyTorch
        value = value.detach().cpu().numpy()
    if dtype is not None:
        return _plain(value, as_dtype(dtype))
    array = _plain(value, None)
    if array.dtype == np.float64 or (array.dtype.kind in "iu" and not holds_typed(value)):
        array = array.astype(_default.get())
    return array


def holds_typed(value: Any) -> bool:
    """Whether this is an array, a NumPy number, or a list of them: things with a type of their own."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return hasattr(value, "dtype")


def _plain(value: Any, dtype: DType | None) -> np.ndarray[Any, Any]:
    """`value` as an array of real numbers or truth values, in the byte order of the machine."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        kind = type(value).__name__
        raise ShapeError(f"cannot make a tensor of this {kind}: give rows of equal length ({error})") from None
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise DTypeError(
            f"cannot make a tensor of {type(value).__name__} with elements of type {array.dtype}: "
            "kedja computes with booleans, integers and real floating-point numbers. Turn text into numbers first."
        )
    if dtype is None:
        return array if array.dtype.isnative else array.astype(KNOWN[array.dtype.name])
    if array.dtype.kind in "iu" and dtype.kind in "iu" and array.dtype != dtype and not _within(array, dtype):
        limits = np.iinfo(dtype)
        raise DTypeError(f"{_shown(value)} does not fit into {dtype.name}, which holds {limits.min} to {limits.max}")
    return np.asarray(array, dtype=dtype)


def _within(array: np.ndarray[Any, Any], dtype: DType) -> bool:
    limits = np.iinfo(dtype)
    return not array.size or (int(array.min()) >= limits.min and int(array.max()) <= limits.max)


def _shown(value: Any) -> str:
    written = repr(value)
    return written if len(written) <= 40 else f"a value of this {type(value).__name__}"
