"""The table op → jax.lax: what each op is for the compiler. Everything states its dtypes; nothing is promoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kedja.diff.custom import custom
from kedja.engines.xla.clusters import clustered
from kedja.engines.xla.devices import device, holding, product_precision
from kedja.engines.xla.fusion import fused
from kedja.engines.xla.normalising import NORMALISING
from kedja.engines.xla.pointwise import POINTWISE, Lowering, stretched
from kedja.engines.xla.windows import WINDOWS
from kedja.graph.node import CONSTANT, Tensor
from kedja.graph.trace import Graph
from kedja.ops import control, indexing, linalg, random, reductions, shaping
from kedja.ops.op import Op
from kedja.ops.random import threefry
from kedja.ops.softmax import normalised_exp

__all__ = ["LITERAL_BYTES", "LOWER", "emit", "large_constants"]

LITERAL_BYTES = 1024  # larger constants are arguments of the program, never literals in it
MOST_SPREAD = 1 << 20  # numbers that a factor shared by many products is repeated into at most
_mapped: ContextVar[bool] = ContextVar("kedja_mapped", default=False)  # inside a map, where products are many at once


def _take(x: Any, indices: Any, axis: int) -> Any:
    return jnp.take(x, _wrapped(indices, x.shape[axis]), axis=axis, mode="clip")


def _wrapped(indices: Any, n: int) -> Any:
    return jnp.where(indices < 0, indices + np.asarray(n).astype(indices.dtype), indices) if n else indices


def _scatter_add(updates: Any, indices: Any, shape: tuple[int, ...], axis: int) -> Any:
    where = (slice(None),) * axis + (_wrapped(indices, shape[axis]),)
    return jnp.zeros(shape, updates.dtype).at[where].add(updates)


def _take_along_axis(x: Any, indices: Any, axis: int) -> Any:
    return jnp.take_along_axis(x, _wrapped(indices, x.shape[axis]), axis=axis, mode="clip")


def _put_along_axis(updates: Any, indices: Any, n: int, axis: int) -> Any:
    zeros = jnp.zeros((*updates.shape[:axis], n, *updates.shape[axis + 1 :]), updates.dtype)
    places: list[Any] = list(jnp.ogrid[tuple(slice(k) for k in updates.shape)])
    places[axis] = _wrapped(indices, n)
    return zeros.at[tuple(places)].add(updates)


def _random_bits(key: Any, shape: tuple[int, ...]) -> Any:
    n = int(np.prod(shape, dtype=int))
    half = (n + 1) // 2
    a, b = threefry(key, lax.iota(np.uint32, half), jnp.zeros(half, np.uint32))
    return jnp.concatenate([a, b])[:n].reshape(shape)


def _fold(key: Any, number: Any) -> Any:
    a, b = threefry(key, number.astype(np.uint32).reshape(1), jnp.ones(1, np.uint32))
    return jnp.concatenate([a, b])


def _unit(bits: Any, dtype: Any) -> Any:
    dropped = random.dropped_bits(dtype)
    return (bits >> np.uint32(dropped)).astype(dtype) * dtype.type(2.0 ** (dropped - 32))


def _sum(x: Any, axes: tuple[int, ...]) -> Any:
    if x.dtype.name in ("float32", "float64"):
        return lax.reduce(x, np.zeros((), x.dtype), lax.add, axes)
    return jnp.sum(x, axis=axes, dtype=x.dtype)  # adds short types up in longer ones


def _matmul(a: Any, b: Any) -> Any:
    precision = product_precision(a.dtype)
    if _mapped.get() or (a.ndim, b.ndim) != (2, 2):
        return _product(precision)(a, b)
    return lax.dot_general(a, b, (((1,), (0,)), ((), ())), precision=precision, preferred_element_type=a.dtype)


@lru_cache(maxsize=4)
def _product(precision: lax.Precision) -> Any:
    """a @ b, and how many of them are done at once."""
    single = jax.custom_batching.custom_vmap(partial(jnp.matmul, precision=precision))
    single.def_vmap(partial(_matmuls, precision))
    return single


def _matmuls(precision: lax.Precision, n: int, mapped: Sequence[bool], a: Any, b: Any) -> tuple[Any, bool]:
    """Many small products at once, in a loop whose steps know nothing of each other.

    XLA's fast kernels on a CPU take neither a transposed first factor nor one that all products share; both are laid
    out first, and the barrier keeps XLA from undoing it.
    """
    there = list(mapped)
    if device().platform == "cpu":
        if not there[0] and b.ndim > 2 and n * a.size <= MOST_SPREAD:
            a, there[0] = jnp.broadcast_to(a, (n, *a.shape)), True
        if there[0]:
            a = lax.optimization_barrier(a)  # type: ignore[no-untyped-call]
    axes = [0 if t else None for t in there]
    return jax.vmap(partial(jnp.matmul, precision=precision), in_axes=axes)(a, b), True


def _softmax(x: Any, axis: int) -> Any:
    """eˣ/Σeˣ. XLA may work x out again for the difference, in another order of sums: x − max is held at 0 or below."""
    z = jnp.exp(jnp.minimum(x - jnp.max(x, axis=axis, keepdims=True, initial=-jnp.inf), jnp.zeros((), x.dtype)))
    return z / jnp.sum(z, axis=axis, keepdims=True, dtype=x.dtype)


def _pad(x: Any, low: tuple[int, ...], high: tuple[int, ...], interior: tuple[int, ...]) -> Any:
    return lax.pad(x, np.zeros((), x.dtype), list(zip(low, high, interior, strict=True)))


def _scan(*values: Any, body: Graph, carries: int, sequences: int, length: int, reverse: bool, constants: Any) -> Any:
    carry, xs, around = values[:carries], values[carries : carries + sequences], values[carries + sequences :]

    def step(held: Any, slices: Any) -> Any:
        outs = emit(body, [*held, *slices, *around], constants)
        return tuple(outs[:carries]), (tuple(outs[carries:]), held)

    last, (ys, before) = lax.scan(step, tuple(carry), tuple(xs), length=length, reverse=reverse)
    return (*last, *ys, *before)


def _map(*values: Any, body: Graph, sequences: int, length: int, constants: Any) -> Any:
    xs, around = values[:sequences], values[sequences:]
    if length == 0:
        return tuple(jnp.zeros((0, *t.shape), t.dtype) for t in body.outputs)
    with holding(_mapped, True):
        return jax.vmap(lambda *slices: tuple(emit(body, [*slices, *around], constants)))(*xs)


LOWER: dict[Op, Lowering] = {
    **POINTWISE, normalised_exp: _softmax, custom: lambda y, *xs, pull: y,
    # reductions
    reductions.reduce_sum: _sum, reductions.reduce_max: lambda x, axes: jnp.max(x, axis=axes),
    reductions.reduce_min: lambda x, axes: jnp.min(x, axis=axes),
    reductions.reduce_all: lambda x, axes: jnp.all(x, axis=axes),
    reductions.reduce_any: lambda x, axes: jnp.any(x, axis=axes),
    reductions.first_max: lambda x, axis: jnp.argmax(x, axis=axis).astype(np.int64),
    reductions.first_min: lambda x, axis: jnp.argmin(x, axis=axis).astype(np.int64),
    reductions.stable_order: lambda x, axis: jnp.argsort(x, axis=axis, stable=True).astype(np.int64),
    reductions.running_sum: lambda x, axis: jnp.cumsum(x, axis=axis, dtype=x.dtype),
    # shaping
    shaping.change_shape: lambda x, shape: lax.reshape(x, shape),
    shaping.permute_axes: lambda x, axes: lax.transpose(x, axes),
    shaping.stretch: stretched,
    shaping.cut: lambda x, start, stop, step: lax.slice(x, start, stop, step), shaping.pad_zeros: _pad,
    shaping.reverse: lambda x, axes: lax.rev(x, axes), shaping.join: lambda *parts, axis: lax.concatenate(parts, axis),
    shaping.counting: lambda n, dtype: lax.iota(dtype, n),
    # products, indexing, random
    linalg.product: _matmul,
    indexing.gather: _take, indexing.scatter: _scatter_add,
    indexing.pick_along: _take_along_axis, indexing.put_along: _put_along_axis,
    random.random_bits: _random_bits, random.fold_key: _fold, random.unit_interval: _unit,
    # windows that slide, and norms
    **WINDOWS, **NORMALISING,
    # loops
    control.item: lambda values, index: values[index], control.scan_op: _scan, control.map_op: _map,
}  # fmt: skip


def large_constants(graph: Graph, found: dict[Tensor, None] | None = None) -> dict[Tensor, None]:
    """The constants of the graph and of the bodies of its loops that are too large to be literals."""
    found = {} if found is None else found
    for node in graph.order:
        if node.op is CONSTANT and node.attrs["value"].nbytes > LITERAL_BYTES:
            found[node] = None
        elif not node.is_leaf and node.op.runs_graphs:
            large_constants(node.attrs["body"], found)
    return found


def emit(graph: Graph, inputs: Sequence[Any], known: Mapping[Tensor, Any]) -> list[Any]:
    """The graph's ends for tracers `inputs`; `known` holds variables and large constants. One pass, no recursion."""
    values: dict[Tensor, Any] = {}
    values.update(zip(graph.inputs, inputs, strict=True))
    together = clustered(graph, LOWER, fused(graph))
    for node in graph.order:
        if node in values:
            continue
        if node in together:
            work = together[node]
            values.update({} if work is None else work(values))
            continue
        if node in known:
            values[node] = known[node]
        elif node.op is CONSTANT:
            values[node] = jnp.asarray(node.attrs["value"])
        else:
            attrs = {**node.attrs, "constants": known} if node.op.runs_graphs else node.attrs
            values[node] = LOWER[node.op](*[values[x] for x in node.inputs], **attrs)
    return [values[n] for n in graph.ends]
