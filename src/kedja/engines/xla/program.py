"""Programs and loops compiled by XLA.

A loop is one `while_loop` with run-time bounds, so that its length changes neither the program nor the bits. It
gathers the rows of each step, runs forward, backward and update, writes the step's outputs into a row of a table,
and stops at a loss that is not finite.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Sequence
from threading import get_ident, main_thread
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kedja.engines.engine import LOOP_STEPS, CompileReport, LoopResult, check_shapes, table_of
from kedja.engines.xla import hoisting, kernels, options
from kedja.engines.xla.cache import executable
from kedja.engines.xla.devices import exact_types, multiplying, put
from kedja.engines.xla.kernels import calling
from kedja.engines.xla.leaving import CALLS
from kedja.engines.xla.lowering import emit, large_constants
from kedja.engines.xla.room import Room
from kedja.errors import DataError
from kedja.graph.node import Tensor
from kedja.graph.trace import Graph
from kedja.ops.indexing import first_outside, out_of_range, read_as_positions

atexit.register(CALLS.end)  # after JAX has registered its own end, so that it comes before

__all__ = ["XLAEngine", "XLALoop", "XLAProgram"]


class _Lowered:
    """A graph as a JAX function of (state, large constants, inputs)."""

    def __init__(self, graph: Graph, kernels: str = "auto") -> None:
        self.graph, self.kernels = graph, kernels
        self.variables = graph.variables
        self.constants = list(large_constants(graph))
        self._held: list[Any] | None = None

    def held(self) -> list[Any]:
        """The large constants, on the device."""
        if self._held is None:
            self._held = [put(c.attrs["value"]) for c in self.constants]
        return self._held

    def __call__(self, state: Sequence[Any], constants: Sequence[Any], inputs: Sequence[Any]) -> tuple[Any, Any]:
        known: dict[Tensor, Any] = dict(zip(self.variables, state, strict=True))
        known.update(zip(self.constants, constants, strict=True))
        with multiplying(self.graph.tf32), calling(self.kernels):
            ends = emit(self.graph, inputs, known)
        k = len(self.graph.outputs)
        return tuple(ends[k:]), tuple(ends[:k])


class Compiled:
    """A function compiled for arguments of certain shapes; calling it takes and gives the same nests of arrays."""

    def __init__(
        self, function: Callable[..., Any], args: Any, report: CompileReport, wishes: options.Options | None = None,
        donated: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        began = time.perf_counter()
        lowered = jax.jit(function, keep_unused=True, donate_argnums=donated).lower(*args)
        self._nest = jax.tree.structure(lowered.out_info)
        report.lower_seconds += time.perf_counter() - began
        began = time.perf_counter()
        self._run, report.from_cache = executable(lowered, jax.tree.structure(args), wishes)
        report.compile_seconds += time.perf_counter() - began

    def __call__(self, *args: Any) -> Any:
        return jax.tree.unflatten(self._nest, self._run(jax.tree.leaves(args)))


class XLAProgram:
    """A graph compiled once; called with values, it returns arrays of the device.

    Values of variables that the graph updates are handed over: XLA writes the new ones where the old ones lay, unless
    somebody still looks at those.
    """

    def __init__(self, graph: Graph, kernels: str = "auto") -> None:
        self.graph = graph
        self._lowered = _Lowered(graph, kernels)
        self.variables = self._lowered.variables
        written = {v for v, _ in graph.updates}
        self._written = [i for i, v in enumerate(self.variables) if v in written]
        self._read = [i for i, v in enumerate(self.variables) if v not in written]
        self.report = CompileReport(
            "xla", len(graph), len(self.variables), len(graph.inputs) + len(self._lowered.constants)
        )
        self._run: Any = None
        self._numbers: dict[int, tuple[bytes, Any]] = {}
        place = {t: i for i, t in enumerate(graph.inputs)}
        self._positions = [(place[t], op, n) for t, op, n in read_as_positions(graph.order) if t in place]

    def __call__(self, state: Sequence[Any], inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        check_shapes(self.graph, inputs)
        for k, node, n in self._positions:  # the device would take the nearest element and say nothing
            outside = first_outside(inputs[k], n)
            if outside is not None:
                place = f"\n  at {node.source}" if node.source else ""
                raise DataError(f"{node.op.name}: {out_of_range(outside, n)}{place}")
        with CALLS, exact_types():
            values = [put(v) for v in state]
            for i in self._read:  # what is only read stays on the device, and need not be brought there again
                if values[i] is not state[i] and self.variables[i].raw is state[i]:
                    self.variables[i].lie(values[i])
            given = [self._given(i, x, t) for i, (x, t) in enumerate(zip(inputs, self.graph.inputs, strict=True))]
            if self._run is None:
                self._run = self._hoisted(values, given) or Compiled(
                    self._step, (*self._handed_over(values), self._lowered.held(), given), self.report, donated=(0,)
                )
            if isinstance(self._run, hoisting.Hoisted):
                new, outputs = self._run(*self._fixed_and_free(values, given))
            else:
                new, outputs = self._run(*self._handed_over(values), self._lowered.held(), given)
            if get_ident() != main_thread().ident:  # wait while inside `CALLS`, as whoever asked does anyway
                for output in outputs:
                    output.block_until_ready()
        return list(new), list(outputs)

    def _hoisted(self, values: list[Any], given: list[Any]) -> hoisting.Hoisted | None:
        """The program in two parts, if it pays to keep what depends neither on data nor on anything it writes."""
        if not hoisting.pays(self.graph):
            return None
        fixed, free = self._fixed_and_free(values, given)
        n, k = len(values), len(self._lowered.constants)

        def step(fixed: Any, free: Any) -> Any:
            numbers, data = iter(fixed[n + k :]), iter(free)
            inputs = [next(data if t.ndim else numbers) for t in self.graph.inputs]
            with kernels.packing_apart():
                return self._lowered(fixed[:n], fixed[n : n + k], inputs)

        parts = hoisting.split(step, fixed, free)
        if parts is None:
            return None
        return hoisting.Hoisted(parts, lambda f, args: Compiled(f, args, self.report), fixed, free)

    def _fixed_and_free(self, values: list[Any], given: list[Any]) -> tuple[list[Any], list[Any]]:
        """What is the same in many calls: variables, constants, single numbers; and the data."""
        both = list(zip(given, self.graph.inputs, strict=True))
        numbers = [x for x, t in both if not t.ndim]
        return [*values, *self._lowered.held(), *numbers], [x for x, t in both if t.ndim]

    def _given(self, i: int, x: Any, node: Tensor) -> Any:
        """An input on the device. A single number that is still the same lies there already."""
        if node.ndim or isinstance(x, jax.Array):
            return put(_typed(x, node.dtype))
        bits = np.asarray(x, node.dtype).tobytes()
        if self._numbers.get(i, (None, None))[0] != bits:
            self._numbers[i] = bits, put(_typed(x, node.dtype))
        return self._numbers[i][1]

    def put(self, array: Any) -> Any:
        """An input that many calls share, laid where they want it."""
        with CALLS, exact_types():
            return put(array)

    def _handed_over(self, values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        return [values[i] for i in self._written], [values[i] for i in self._read]

    def _step(self, written: Any, read: Any, constants: Any, inputs: Any) -> tuple[Any, Any]:
        values: list[Any] = [None] * len(self.variables)
        for i, value in zip([*self._written, *self._read], [*written, *read], strict=True):
            values[i] = value
        return self._lowered(values, constants, inputs)


def _typed(array: Any, dtype: Any) -> Any:
    """An array of this type; one that lies on the device stays there."""
    return array if isinstance(array, jax.Array) and array.dtype == dtype else np.asarray(array, dtype)


class XLALoop:
    """Many steps of one graph in one call."""

    def __init__(
        self, graph: Graph, data: int, padded: bool, ordered: bool, room: Room, kernels: str = "auto"
    ) -> None:  # fmt: skip
        self.graph = graph
        self._lowered = _Lowered(graph, kernels)
        self.variables = self._lowered.variables
        self.data, self.padded, self.ordered = data, padded, ordered
        at = {v: i for i, v in enumerate(self.variables)}
        self._targets = [at[v] for v, _ in graph.updates]
        self._trainable = [i for i, v in enumerate(self.variables) if v.trainable]
        self.report = CompileReport("xla", len(graph), len(self.variables), len(graph.inputs))
        self._programs: dict[Any, Any] = {}
        self._room = room

    def put(self, array: Any) -> Any:
        with CALLS, exact_types():
            return put(array)

    def _steps(self, state: Any, constants: Any, data: Any, order: Any, arguments: Any, limits: Any, room: Any) -> Any:
        start, stop = (lax.index_in_dim(limits, k, keepdims=False) for k in (0, 1))
        width, dtype = table_of(self.graph)
        table = lax.full((LOOP_STEPS, width), 0, dtype)

        def step(carry: Any) -> Any:
            i, values, rows, _ = carry
            new, outputs = self._lowered(values, constants, [*self._batch(data, order, i), *arguments])
            values = list(values)
            for at, value in zip(self._targets, new, strict=True):
                values[at] = value
            figures = [lax.reshape(lax.convert_element_type(o, rows.dtype), (1, o.size)) for o in outputs]
            row = figures[0] if len(figures) == 1 else lax.concatenate(figures, 1)
            rows = lax.dynamic_update_slice(rows, row, (lax.sub(i, start), np.zeros((), i.dtype)))
            return lax.add(i, np.ones((), i.dtype)), tuple(values), rows, lax.is_finite(outputs[0])

        def on(carry: Any) -> Any:
            return lax.bitwise_and(lax.lt(carry[0], stop), carry[3])

        i, values, rows, finite = lax.while_loop(on, step, (start, tuple(state), table, jnp.asarray(True)))
        for at in self._trainable:
            each = lax.is_finite(values[at])
            whole = lax.reduce(each, np.ones((), bool), lax.bitwise_and, tuple(range(each.ndim)))
            finite = lax.bitwise_and(finite, whole)
        status = [lax.reshape(n, (1,)) for n in (i, lax.convert_element_type(finite, i.dtype))]
        return lax.concatenate(status, 0), values, rows

    def _batch(self, data: Any, order: Any, i: Any) -> list[Any]:
        if not self.ordered:
            return list(data)
        rows = lax.dynamic_index_in_dim(order, i, keepdims=False)
        places = jnp.maximum(rows, np.asarray(0, rows.dtype)) if self.padded else rows
        picked = [d.at[places].get(mode="promise_in_bounds") for d in data]
        return [*picked, rows >= 0] if self.padded else picked

    def run(
        self, state: Sequence[Any], data: Sequence[Any], order: Any, arguments: Sequence[Any], start: int, stop: int
    ) -> LoopResult:
        if stop - start > LOOP_STEPS:  # more than the table has rows
            first = self.run(state, data, order, arguments, start, start + LOOP_STEPS)
            if not first.finite:
                return first
            rest = self.run(first.state, data, order, arguments, first.done, stop)
            return LoopResult(rest.state, np.concatenate([first.outputs, rest.outputs]), rest.done, rest.finite)
        with CALLS, exact_types():
            values = [put(v) for v in state]
            args = (
                values, self._lowered.held(), [put(d) for d in data],
                put(order) if self.ordered else (), [put(a) for a in arguments],
                put(np.array([start, stop], np.int32)), self._room.take(values),
            )  # fmt: skip
            key = tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(args))
            if key not in self._programs:
                self._programs[key] = Compiled(
                    self._steps, args, self.report, options.for_loop(self.graph), donated=(6,)
                )  # fmt: skip
            status, values, rows = self._programs[key](*args)
            if args[-1]:
                self._room.keep(values)
            done, finite = np.asarray(status).tolist()
            return LoopResult(list(values), np.asarray(rows)[: done - start], done, bool(finite))


class XLAEngine:
    """XLA through JAX; `kernels` is which of our own its programs call (see `engines.choice.kernels_of`)."""

    name = "xla"
    _room = Room()  # one for all: loops that take turns in a run may be of several engines

    def __init__(self, kernels: str = "auto") -> None:
        self.kernels = kernels

    def program(self, graph: Graph) -> XLAProgram:
        return XLAProgram(graph, self.kernels)

    def loop(self, graph: Graph, *, data: int, padded: bool, ordered: bool) -> XLALoop:
        return XLALoop(graph, data, padded, ordered, self._room, self.kernels)

    def rest(self) -> None:
        self._room.clear()
