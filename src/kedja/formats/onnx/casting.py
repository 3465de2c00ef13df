"""Casts, also to and from floats of 8 and 4 bits and whole numbers of 4 and 2 bits, which stand as their bits."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from kedja import ops
from kedja.errors import FormatError
from kedja.formats.onnx.registry import operator
from kedja.formats.onnx.values import WORDS, Coded, Value, element_type, is_plain
from kedja.graph.dtypes import DType
from kedja.graph.node import Tensor, tensor

Array = np.ndarray[Any, Any]
BITS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2}
POWERS = "float8_e8m0fnu"  # a power of two and nothing else: no sign, no zero


class SmallFloat(NamedTuple):
    """A float type of few bits: its numbers from 0 up, in the order of their bits, and the bits of the rest."""

    numbers: Array
    sign: int
    beyond: int
    missing: int
    has_minus_zero: bool


@cache
def small_float(name: str) -> SmallFloat:
    """The type's table, read from its bits."""
    import ml_dtypes

    dtype = np.dtype(getattr(ml_dtypes, name))
    count = 16 if name.startswith("float4") else 256
    every = np.arange(count, dtype=np.uint8).view(dtype).astype(np.float64)
    half = every if name == POWERS else every[: count // 2]
    numbers = half[np.isfinite(half)]
    infinite, missing = np.flatnonzero(every == np.inf), np.flatnonzero(np.isnan(every))
    nan = int(missing[0]) if len(missing) else count // 2  # a type without NaN writes −0
    if name == "float8_e5m2":
        nan = 0x7E  # the quiet one
    beyond = int(infinite[0]) if len(infinite) else nan if len(missing) else len(numbers) - 1
    return SmallFloat(numbers, count // 2, beyond, nan, every[count // 2] == 0)


def to_small_float(x: Tensor, name: str, saturate: bool, round_mode: str) -> Tensor:
    """The bits of the nearest number: how many boundaries between neighbours |x| has passed. Ties go to even bits."""
    kind = small_float(name)
    number = ops.cast(x, "float64")
    size = ops.expand_dims(ops.absolute(number), -1)
    top = len(kind.numbers) - 1
    if name == POWERS:
        steps = {"up": kind.numbers, "down": kind.numbers[1:], "nearest": (kind.numbers[1:] + kind.numbers[:-1]) / 2}
        bounds = tensor(steps[round_mode], dtype="float64")
        passed = ops.greater(size, bounds) if round_mode == "up" else ops.greater_equal(size, bounds)
        codes = ops.sum(ops.cast(passed, "int64"), -1)
        codes = ops.minimum(codes, top) if saturate else codes
        missing = ops.logical_not(ops.isfinite(number))
        return ops.cast(ops.where(missing, 255, codes), "uint8")
    following = np.append(kind.numbers[1:], 2 * kind.numbers[-1] - kind.numbers[-2])
    middle = tensor((kind.numbers + following) / 2, dtype="float64")
    odd = tensor(np.arange(top + 1) % 2 == 1)
    passed = ops.logical_or(size > middle, ops.logical_and(ops.equal(size, middle), odd))
    codes = ops.sum(ops.cast(passed, "int64"), -1)
    codes = ops.where(codes > top, top if saturate else kind.beyond, codes)
    negative = ops.logical_or(number < 0, ops.logical_and(ops.equal(number, 0), 1 / number < 0))
    if not kind.has_minus_zero:
        negative = ops.logical_and(ops.logical_and(negative, codes > 0), codes < kind.sign)
    codes = ops.where(negative, codes + kind.sign, codes)
    return ops.cast(ops.where(ops.isnan(number), kind.missing, codes), "uint8")


def from_codes(x: Coded, dtype: DType) -> Tensor:
    """The numbers that bits stand for, looked up."""
    name = x.dtype.name
    if name in BITS:
        n = 2 ** BITS[name]
        table = np.arange(n) - (n * (np.arange(n) >= n // 2) if name.startswith("int") else 0)
        found = ops.take(tensor(table), ops.cast(ops.remainder(x.codes, n), "int64"))
        return ops.cast(found, dtype)
    import ml_dtypes

    count = 16 if name.startswith("float4") else 256
    every = np.arange(count, dtype=np.uint8).view(getattr(ml_dtypes, name)).astype(np.float64)
    return ops.cast(ops.take(tensor(every, dtype="float64"), ops.cast(x.codes, "int64")), dtype)


def converted(x: Value, dtype: DType, saturate: bool, round_mode: str) -> Value:
    """`x` as this type."""
    if isinstance(x, Coded) and x.dtype == dtype:
        return x
    if WORDS in (dtype, getattr(x, "dtype", None)):
        raise FormatError("kedja does not turn text into numbers or numbers into text")
    plain = from_codes(x, dtype if is_plain(dtype) else np.dtype(np.float64)) if isinstance(x, Coded) else x
    if is_plain(dtype):
        return ops.cast(plain, dtype)
    if dtype.name in BITS:
        whole = ops.cast(plain, "int64")
        return Coded(ops.cast(ops.remainder(whole, 2 ** BITS[dtype.name]), "uint8"), dtype)
    return Coded(to_small_float(plain, dtype.name, saturate, round_mode), dtype)


@operator("Cast", coded=True)
def cast(x: Value, *, to: int, saturate: int = 1, round_mode: str = "up") -> Value:
    """x as another type."""
    return converted(x, element_type(to), bool(saturate), round_mode)


@operator("CastLike", coded=True)
def cast_like(x: Value, like: Value, *, saturate: int = 1, round_mode: str = "up") -> Value:
    """x as the type of another."""
    return converted(x, like.dtype, bool(saturate), round_mode)
