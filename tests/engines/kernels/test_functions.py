"""exp, expm1, sigmoid, softplus and tanh of vectors, at every width, against functions with more digits."""

import ctypes
from typing import NamedTuple

import numpy as np
import pytest

from kedja.engines.xla import kernels

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")

FAR = (0.0, -0.0, 1e-30, -1e-30, 1e-45, 1e-310, 87.0, 89.0, -87.0, -88.5, -103.0, 300.0, -700.0, -745.0, 1e4, -1e4)


class Applied(NamedTuple):
    """A kernel that applies a function to each number of a buffer."""

    dtype: str
    name: str


def write(b, kind):
    """y = f(x), buffers x and y, the number of vectors in the plan."""
    from kedja.engines.kernels import functions

    with b.phase("work", ("prepare", "work", "finish", "vectors")) as (buffer, n, _), b.loop(n.vectors) as i:
        x = b.load(b.at(buffer(0), i * b.lanes))
        b.store(getattr(functions, kind.name)(b, x), b.at(buffer(1), i * b.lanes))
    # For this test alone: what a phase is called with, as a function that may be called from outside.
    b.module.globals["work"].linkage = "external"


def applied(name, x, bits):
    """The function of every number of x, whose length must be a multiple of the lanes."""
    from kedja.engines.kernels.compile import compiled, source
    from kedja.engines.kernels.target import narrowed

    target = narrowed(bits)
    machine = compiled(source(write, Applied(x.dtype.name, name), target), target)
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(machine.address("work"))
    y = np.empty_like(x)
    buffers = (ctypes.c_void_p * 2)(x.ctypes.data, y.ctypes.data)
    plan = (ctypes.c_int64 * 4)(0, 1, 0, x.size // target.lanes(x.itemsize))
    assert call(ctypes.addressof(buffers), ctypes.addressof(plan), 0) == 0
    return y


TRUE = {
    "exp": np.exp, "expm1": np.expm1, "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, np.zeros_like(x)),
    "sigmoid": lambda x: np.where(x < 0, np.exp(-abs(x)), 1) / (1 + np.exp(-abs(x))),
}  # fmt: skip


def units(y, true):
    """How far y is from the truth, in units of its last place."""
    return np.abs(y.astype(np.longdouble) - true) / np.spacing(np.abs(true).astype(y.dtype))


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(TRUE))
def test_within_a_few_units_of_the_last_place(name, dtype, bits):
    """Near 0, in the middle, where the result is subnormal, and where it leaves the numbers."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=4000) * s for s in (1e-6, 0.1, 1, 10, 100)] + [np.resize(FAR, 32)])
    x = x.astype(dtype)
    with np.errstate(all="ignore"):
        y, true = applied(name, x, bits), TRUE[name](x.astype(np.longdouble))
        inside = np.abs(true) < np.finfo(dtype).max
        away = units(y[inside], true[inside])
    assert away.max() < 4
    np.testing.assert_array_equal(y[~inside], np.inf)
    if name == "tanh":
        np.testing.assert_array_equal(np.signbit(y), np.signbit(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_no_number(dtype):
    """Infinities have the limits of the functions, and what is missing stays missing."""
    x = np.resize(np.array([np.inf, -np.inf, np.nan, np.finfo(dtype).max], dtype), 16)
    nan = np.nan
    for name, expected in {
        "exp": [np.inf, 0, nan, np.inf], "sigmoid": [1, 0, nan, 1], "tanh": [1, -1, nan, 1],
        "expm1": [np.inf, -1, nan, np.inf], "softplus": [np.inf, 0, nan, x[3]],
    }.items():  # fmt: skip
        np.testing.assert_array_equal(applied(name, x, 512)[:4], np.array(expected, dtype))
