"""Convolutions by kernels of our own, for the CPU: what calls them from a compiled program.

A kernel is called through JAX's typed foreign-function interface, by a name that holds the hash of its code; so the
text of a program, and with it the compile cache, knows which kernels it was compiled with. The name is registered when
a program is lowered, which happens before a cached one is loaded too.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kedja.engines.choice import kernels_of
from kedja.engines.kernels.activation import RELU
from kedja.engines.xla.activations import through
from kedja.engines.xla.devices import holding
from kedja.graph.shapes import Shape
from kedja.ops.windows import Windows, count

if TYPE_CHECKING:
    from kedja.engines.kernels.elementwise import Act

__all__ = [
    "available", "calling", "can_be_called", "conv", "give_back", "lstm", "lstm_back", "max_pool", "moments",
    "packing_apart", "product", "serves_product", "transpose", "weights",
]  # fmt: skip

FLOATS = ("float32", "float64")
_asked: ContextVar[str | None] = ContextVar("kedja_kernels", default=None)


def calling(kernels: str) -> AbstractContextManager[None]:
    """Programs lowered inside this block call these kernels (see `engines.choice.kernels_of`)."""
    return holding(_asked, kernels)


def chosen() -> str:
    """Which kernels are asked for."""
    return kernels_of(_asked.get())


def available() -> bool:
    """Whether programs may call kernels: they are asked for, and can be called."""
    return chosen() != "xla" and can_be_called()


def can_be_called() -> bool:
    """Whether there are kernels here: on a CPU, with llvmlite, and with a JAX whose interface is the known one."""
    return jax.default_backend() == "cpu" and _interface_fits()


_apart: ContextVar[bool] = ContextVar("kedja_packing_apart", default=False)


def packing_apart() -> AbstractContextManager[None]:
    """Kernels called inside this block have their weights packed by calls of their own, which can be moved away."""
    return holding(_apart, True)


@lru_cache(maxsize=1)
def _interface_fits() -> bool:
    if find_spec("llvmlite") is None or not sys.platform.startswith(("linux", "darwin")):
        return False
    with suppress(OSError, AttributeError, ImportError):
        from kedja.engines.kernels import layout

        header = Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"
        return layout.fits(header.read_text(encoding="utf-8"))
    return False


def conv(
    x: Any, w: Any, groups: int, bias: Any = None, scale: Any = None, plus: Any = None, act: Act | None = None,
    pooled: str | None = None, whole: bool = True, summed: bool = False, **p: Shape,
) -> Any:  # fmt: skip
    """act(y · scale + bias + plus), y from x and w, or None where no kernel serves.

    With `pooled` ("max" or "sum", along two axes) also what each 2×2 window comes to, and without `whole` this alone.
    With `summed` also mean and variance of each channel (or None: few are no work for a kernel). All as a list.
    """
    more = {"bias": bias, "scale": scale, "plus": plus, "act": act}
    return _with_two_axes(_conv, x, w, groups, pooled=pooled, whole=whole, summed=summed, **more, **p)


def transpose(g: Any, w: Any, sizes: Shape, groups: int, value: Any = None, act: Act = RELU, **p: Shape) -> Any:
    """x from y and w, or None; with `value`, which `act` gave, times its derivative there."""
    return _with_two_axes(_transpose, g, w, groups, sizes=sizes, value=value, act=act, **p)


def weights(x: Any, g: Any, kernel: Shape, groups: int, sums: bool = False, **p: Shape) -> Any:
    """w from x and y, or None; with `sums` also the sums of y over all but its channels."""
    return _with_two_axes(_weights, x, g, groups, kernel=kernel, sums=sums, **p)


def max_pool(x: Any, **attrs: Shape) -> Any:
    """The largest of each window, or None."""
    return _pooled(x, None, False, Windows(**attrs))


def give_back(x: Any, g: Any, positive: bool = False, **attrs: Shape) -> Any:
    """The gradient of `max_pool`, or None; with `positive` 0 for windows whose largest is not positive."""
    return _pooled(x, g, positive, Windows(**attrs))


def moments(x: Any, g: Any = None, m: Any = None) -> Any:
    """Mean and variance of each channel, or Σ g and Σ g (x − m), or None where no kernel serves."""
    if not (available() and x.dtype.name in FLOATS and x.ndim > 1 and x.size):
        return None
    from kedja.engines.kernels.plans import plan_moments

    c = x.shape[-1]
    plan = plan_moments(x.size // c, c, x.dtype.name, _target(), g is not None)
    return None if plan is None else _called(_writer(plan), plan, (x,) if g is None else (g, x, m), [(2, c)])[0]


def sums_rows(columns: int, g: Any) -> bool:
    """Whether `weights` is faster than a product where every row of so many columns is one place."""
    from kedja.engines.kernels.plans import sums_rows

    return sums_rows(columns, g.shape[-1], g.dtype.name)


def lstm(h: Any, c: Any, z: Any, u: Any, kept: tuple[str, ...], reverse: bool) -> list[Any]:
    """The last h and c, and what is kept of each step."""
    from kedja.engines.kernels import lstm as family
    from kedja.engines.kernels.lstm_plans import plan_lstm

    (batch, units), steps = h.shape, z.shape[0]
    plan = plan_lstm(steps, batch, units, z.dtype.name, _target(), reverse, kept)
    shapes: list[Shape] = [h.shape, c.shape, *[(steps, batch, units)] * len(kept)]
    return _called(family.write, plan, (h, c, z, u), shapes)


def lstm_back(h: Any, c: Any, each: Any, kept: Sequence[Any], u: Any, reverse: bool) -> list[Any]:
    """From the gradients by the last h and c (and each h) those by the first h and c, and by each z."""
    from kedja.engines.kernels import lstm as family
    from kedja.engines.kernels.lstm_plans import plan_lstm_back

    steps, batch, units = kept[0].shape
    plan = plan_lstm_back(steps, batch, units, h.dtype.name, _target(), reverse, each is not None)
    shapes: list[Shape] = [h.shape, c.shape, (steps, batch, family.GATES * units)]
    given = (h, c, *(() if each is None else (each,)), *kept, u)
    return _called(family.write, plan, given, shapes)


def serves_product(a: Any, b: Any, left: bool, right: bool) -> bool:
    """Whether a kernel of our own makes a @ b, of which each may lie transposed."""
    if not (available() and a.ndim == b.ndim == 2 and a.dtype.name in FLOATS and a.dtype == b.dtype):
        return False
    from kedja.engines.kernels.product_plans import product_pays

    rows, depth = a.shape[::-1] if left else a.shape
    return product_pays(rows, b.shape[0] if right else b.shape[1], depth, left)


def product(
    a: Any, b: Any, left: bool, right: bool, program: Any, arrays: Any = (), columns: Any = (), numbers: Any = (),
    waits: Any = (), over: Any = None,
) -> list[Any]:  # fmt: skip
    """What a program makes of a @ b. `over`: for arrays by their number, the result that is written in their place.

    `waits` are only there first.
    """
    from kedja.engines.kernels import product as family
    from kedja.engines.kernels.product_plans import plan_product

    rows, depth = a.shape[::-1] if left else a.shape
    shape = (rows, b.shape[0] if right else b.shape[1])
    plan = plan_product(*shape, depth, a.dtype.name, _target(), program, left, right, len(waits))
    columns = [v.reshape(-1) for v in columns]
    numbers = [jnp.stack([v.reshape(()) for v in numbers])] if numbers else []
    given = (a, b, *arrays, *columns, *numbers, *waits)
    aliases = {2 + i: k for i, k in (over or {}).items()}
    return _called(family.write, plan, given, [shape] * len(program.outputs), aliases)


def _pooled(x: Any, g: Any, positive: bool, windows: Windows) -> Any:
    side_by_side = windows.stride == windows.size and windows.is_bare and set(windows.dilation) == {1}
    if not (available() and x.ndim == 4 and side_by_side and x.dtype.name in FLOATS and all(x.shape)):
        return None
    from kedja.engines.kernels.plans import plan_pool

    out = count(x.shape[1:3], windows)
    if not all(out):
        return None
    plan = plan_pool(x.shape, windows.size, x.dtype.name, _target(), g is not None, positive)
    if plan is None:
        return None
    given, shape = ((x,), (x.shape[0], *out, x.shape[3])) if g is None else ((x, g), x.shape)
    return _called(_writer(plan), plan, given, [shape])[0]


def _with_two_axes(serve: Callable[..., Any], a: Any, b: Any, groups: int, **more: Any) -> Any:
    """A convolution along one axis is one along two, the first of size 1."""
    rank = a.ndim - 2
    if not (available() and rank in (1, 2) and a.dtype.name in FLOATS and a.dtype == b.dtype):
        return None
    # One group, or each channel by itself.
    alone = a.shape[-1] == groups if serve is _weights else b.shape[-2] == 1
    each = groups > 1 and b.shape[-1] == groups and alone
    if groups > 1 and not each:
        return None
    more["each"] = each
    if rank == 2:
        return serve(a, b, **more)
    wide = {"stride": 1, "dilation": 1, "low": 0, "high": 0, "sizes": 1, "kernel": 1}
    more = {k: (wide[k], *v) if k in wide else v for k, v in more.items()}
    for name in ("value", "plus"):
        if more.get(name) is not None:
            more[name] = more[name][:, None]
    over = serve is _weights
    found = serve(a[:, None], b[:, None] if over else b[None], **more)
    if found is None:
        return None
    if isinstance(found, list):
        return [found[0][0] if over else found[0][:, 0], *found[1:]]
    return found[0] if over else found[:, 0]


def _geometry(n: int, into: Shape, channels: int, outs: int, each: bool, windows: Windows) -> Any:
    from kedja.engines.kernels.plans import Geometry

    out = count(into, windows)
    if not all((n, channels, outs, *into, *out)):
        return None
    return Geometry(n, tuple(into), out, channels, outs, *windows, each)


def _conv(
    x: Any, w: Any, bias: Any, scale: Any, plus: Any, act: Act | None, each: bool, pooled: str | None,
    whole: bool, summed: bool, **p: Shape,
) -> Any:  # fmt: skip
    from kedja.engines.kernels.plans import plan_conv

    g = _geometry(x.shape[0], x.shape[1:3], x.shape[3], w.shape[3], each, Windows(w.shape[:2], **p))
    if g is None:
        return None
    more = {"bias": bias, "scaled": scale, "plus": plus}
    has: dict[str, Any] = {k: v is not None for k, v in more.items()}
    if pooled is not None:
        has |= {"pooled": pooled, "whole": whole}
    plan = plan_conv(g, x.dtype.name, _target(), fours=_fours(), act=act, summed=summed, **has)
    apart = summed and not getattr(plan.kind, "summed", False)
    shapes = [(g.n, *g.out, g.outs)] if whole else []
    if pooled is not None:
        shapes.append((g.n, g.out[0] // 2, g.out[1] // 2, g.outs))
    if summed and not apart:
        shapes.append((2, g.outs))
    found = _convolved(plan, x, w, more, shapes)
    if apart:  # by another kernel
        found.append(moments(found[0]))
    return found if pooled or summed else found[0]


def _transpose(y: Any, w: Any, sizes: Shape, value: Any, act: Act | None, each: bool, **p: Shape) -> Any:
    from kedja.engines.kernels.plans import in_phases, plan_transpose

    if not each and in_phases(sizes, w.shape[:2], p["stride"], p["dilation"]):
        x = _by_phases(y, w, sizes, p["stride"], p["low"])
        return x if x is None or value is None or act is None else through(act, value, x)
    g = _geometry(y.shape[0], sizes, y.shape[3] if each else w.shape[2], y.shape[3], each, Windows(w.shape[:2], **p))
    more = {} if value is None else {"masked": True, "act": act}
    plan = None if g is None else plan_transpose(g, y.dtype.name, _target(), fours=_fours(), **more)
    if plan is None:
        return None
    return _convolved(plan, y, w, {"masked": value}, [(g.n, *g.into, g.channels)])[0]


def _convolved(plan: Any, x: Any, w: Any, epilogue: Mapping[str, Any], shapes: list[Shape]) -> list[Any]:
    """The kernel's results, its weights packed by a kernel of their own where that is asked for and worth it."""
    from kedja.engines.kernels import plans

    more = {part: v for part, v in epilogue.items() if v is not None}
    two = plans.apart(plan) if _apart.get() else None
    if two is None:
        return _called(_writer(plan), plan, (x, w, *more.values()), shapes)
    packing, work = two
    early = [v for part, v in more.items() if not getattr(work.kind, part)]
    late = [v for part, v in more.items() if getattr(work.kind, part)]
    packed = _called(_writer(packing), packing, (w, *early), [(plan.room,)])[0]
    return _called(_writer(work), work, (x, packed, *late), shapes)


def _by_phases(y: Any, w: Any, sizes: Shape, stride: Shape, low: Shape) -> Any:
    """x from y and w where a stride leaves gaps: every s-th place sees every s-th of the kernel's, without any gap."""
    most = tuple(-(-n // s) for n, s in zip(sizes, stride, strict=True))
    zero = np.zeros((), y.dtype)
    rows = []
    for a in range(stride[0]):
        row = []
        for b in range(stride[1]):
            begin = [(i + m) % s for i, m, s in zip((a, b), low, stride, strict=True)]
            sub = w[begin[0] :: stride[0], begin[1] :: stride[1]]
            here = tuple(-(-(n - i) // s) for n, i, s in zip(sizes, (a, b), stride, strict=True))
            ahead = tuple((i + m) // s for i, m, s in zip((a, b), low, stride, strict=True))
            behind = tuple(
                o - n - m + k - 1 for o, n, m, k in zip(y.shape[1:3], here, ahead, sub.shape[:2], strict=True)
            )
            one = (1, 1)
            part = _transpose(y, sub, here, None, None, False, stride=one, low=ahead, high=behind, dilation=one)
            if part is None:
                return None
            missing = [(0, m - n, 0) for m, n in zip(most, here, strict=True)]
            row.append(lax.pad(part, zero, [(0, 0, 0), *missing, (0, 0, 0)]))
        rows.append(jnp.stack(row, axis=3))
    whole = [m * s for m, s in zip(most, stride, strict=True)]
    return jnp.stack(rows, axis=2).reshape(y.shape[0], *whole, w.shape[2])[:, : sizes[0], : sizes[1]]


def _weights(x: Any, y: Any, kernel: Shape, sums: bool, each: bool, **p: Shape) -> Any:
    from kedja.engines.kernels.plans import plan_weights

    g = _geometry(x.shape[0], x.shape[1:3], x.shape[3], y.shape[3], each, Windows(kernel, **p))
    if g is None:
        return None
    plan = plan_weights(g, x.dtype.name, _target(), sums, fours=_fours())
    shapes = [(*kernel, 1 if each else g.channels, g.outs)] + ([(g.outs,)] if sums else [])
    found = _called(_writer(plan), plan, (x, y), shapes)
    return found if sums else found[0]


def _writer(plan: Any) -> Any:
    """What writes the kernel: it stands in the module of its kind."""
    return sys.modules[type(plan.kind).__module__].write


def _fours() -> bool:
    return chosen() == "winograd"


def _target() -> Any:
    from kedja.engines.kernels import target

    return target.host()


def _called(
    write: Any, plan: Any, given: tuple[Any, ...], shapes: list[Shape], over: dict[int, int] | None = None
) -> list[Any]:
    """The kernel's results, without its own room. `over`: the inputs in whose place results are written."""
    dtype = given[0].dtype
    result: Any = jax.ShapeDtypeStruct
    rooms = [(plan.room,)] if plan.room else []
    results = [result(s, dtype) for s in [*shapes, *rooms]]
    name = _registered(write, plan.kind, plan.target)
    call = jax.ffi.ffi_call(name, results, vmap_method="sequential", input_output_aliases=over or {})
    return list(call(*given, plan=np.array(plan.numbers, np.int64)))[: len(shapes)]


@cache
def _registered(write: Any, kind: Any, target: Any) -> str:
    """The name under which XLA finds a kernel."""
    from kedja.engines.kernels.compile import compiled, source

    machine = compiled(source(write, kind, target), target)
    name = f"kedja_{type(kind).__name__.lower()}_{machine.name}"
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    jax.ffi.register_ffi_target(name, new(machine.address(), None, None), platform="cpu")
    return name
