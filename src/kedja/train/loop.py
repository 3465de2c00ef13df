"""Running many steps: chunks of a compiled loop, Ctrl-C between them, and the way back when a number is not finite."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from kedja.engines.engine import LOOP_STEPS, Loop, LoopResult
from kedja.engines.reference import ReferenceLoop, run_graph
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor
from kedja.ops.random import fold_array, threefry

__all__ = ["Chunks", "Interrupt", "Runner", "TailedLoop", "interruptible", "orders"]

Array = np.ndarray[Any, Any]
CHUNK_SECONDS = 0.1  # short enough for progress and Ctrl-C, long enough that the call costs nothing
# A chunk leaves the state it began with as it was, so it begins by copying it. Large states are given more time, or a
# step of half a second would be copied at every step: 1 s for each 50 MB keeps the copy below a twentieth.
STATE_BYTES_PER_SECOND = 50e6
MOST_SECONDS = 3.0
FEW_MORE = 1.5  # a rest of an epoch this little longer than a chunk is not left to a chunk of its own
MOST_STEPS = LOOP_STEPS
MOST_ROWS = 1 << 18  # row numbers that are laid out at a time


class Interrupt:
    """Whether Ctrl-C was pressed. A second press stops at once."""

    def __init__(self) -> None:
        self.pressed = False


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Inside, the first Ctrl-C is only noted, so that a step is finished and everything kept."""
    found = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        found.pressed = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)


def orders(seed: Array, rows: int, batch: int, first: int, epochs: int, capacity: int, shuffle: bool) -> Array:
    """Row numbers of `epochs` epochs from number `first`, (capacity·steps, batch) int32, −1 where a batch is padded.

    Epoch e is shuffled by a key of its own, so a continued run takes the same order as an uninterrupted one.
    """
    steps = -(-rows // batch)
    laid = np.full((capacity, steps * batch), -1, np.int32)
    laid[:epochs, :rows] = permutations(fold_array(seed, "order"), first, epochs, rows) if shuffle else np.arange(rows)
    return laid.reshape(capacity * steps, batch)


def permutations(words: Array, first: int, epochs: int, rows: int) -> Array:
    """`permutation_array` of the key folded with each epoch's number, for all of them at once: (epochs, rows)."""
    numbers = np.arange(first, first + epochs, dtype=np.uint32)
    half = np.arange((rows + 1) // 2, dtype=np.uint32)
    with np.errstate(over="ignore"):
        keys = np.stack(threefry(words, numbers, np.ones_like(numbers)))
        bits = np.concatenate(threefry(keys[:, :, None], half, np.zeros_like(half)), axis=1)
    # Word and row number in one 64-bit number: sorted, they are the stable order of the words, in half of the time.
    pairs = bits[:, :rows].astype(np.uint64) << np.uint64(32) | np.arange(rows, dtype=np.uint64)
    pairs.sort(axis=1)
    return (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


class TailedLoop:
    """A loop whose epochs end in a step of fewer rows, which is a program of its own.

    Where the rows of a batch depend on each other (batch norm), the last batch cannot be padded: rows that are not
    there would count. Both programs have the same variables and arguments.
    """

    def __init__(self, main: Loop, tail: Loop, steps_per_epoch: int) -> None:
        self.main, self.tail, self.spe = main, tail, steps_per_epoch
        self.variables, self.report, self.graph, self.padded, self.ordered = (
            main.variables, main.report, main.graph, False, True,
        )  # fmt: skip
        at = {v: i for i, v in enumerate(main.variables)}
        self._to_tail = [at[v] for v in tail.variables]

    def put(self, array: Any) -> Any:
        return self.main.put(array)

    def lay(self, order: Any) -> Any:
        rows = self.tail.graph.inputs[0].shape[0]
        return self.main.put(order), self.tail.put(np.ascontiguousarray(order[:, :rows]))

    def at(self, step: int, order: Any) -> tuple[Loop, Any]:
        """The loop that runs this step, and its rows."""
        last = step % self.spe == self.spe - 1
        return (self.tail, order[1]) if last else (self.main, order[0])

    def run(
        self, state: Sequence[Any], data: Sequence[Any], order: Any, arguments: Sequence[Any], start: int, stop: int
    ) -> LoopResult:
        state, tables, at, finite = list(state), [], start, True
        while at < stop and finite:
            loop, rows = self.at(at, order)
            if loop is self.tail:
                here = loop.run([state[i] for i in self._to_tail], data, rows, arguments, at, at + 1)
                for i, value in zip(self._to_tail, here.state, strict=True):
                    state[i] = value
            else:
                here = loop.run(state, data, rows, arguments, at, min(stop, at - at % self.spe + self.spe - 1))
                state = list(here.state)
            tables.append(here.outputs)
            at, finite = here.done, here.finite
        found = np.concatenate(tables) if tables else np.zeros((0, len(self.graph.outputs)))
        return LoopResult(state, found, at, finite)


class Runner:
    """A loop with its data laid out, its state, and the point it can go back to."""

    def __init__(
        self, loop: Loop, data: Sequence[Any], arguments: Sequence[Any], steps_per_epoch: int, names: Mapping[Any, str]
    ) -> None:  # fmt: skip
        self.loop: Any = loop
        self.names = names
        self.data = [loop.put(d) for d in data]
        self.give(arguments)
        self.spe = steps_per_epoch
        self.state: list[Any] = [v.raw for v in loop.variables]

    def changed(self, loop: Loop, arguments: Sequence[Any]) -> Runner:
        """The same data for other steps."""
        return Runner(loop, self.data, arguments, self.spe, self.names)

    def close(self) -> None:
        """Nothing is held open."""

    def give(self, arguments: Sequence[Any]) -> None:
        """The numbers and the key of the steps to come, put where the loop wants them."""
        self.arguments = [self.loop.put(a) for a in arguments]

    def lay(self, order: Any) -> Any:
        """The row numbers of many steps, put where the loop wants them."""
        return self.loop.lay(order) if isinstance(self.loop, TailedLoop) else self.loop.put(order)

    def run(self, state: Sequence[Any], order: Any, start: int, stop: int) -> Any:
        return self.loop.run(state, self.data, order, self.arguments, start, stop)

    def store(self, state: Sequence[Any]) -> None:
        """Give the variables their values."""
        self.state = list(state)
        for variable, value in zip(self.loop.variables, state, strict=True):
            variable.store(value)

    def last_finite(self, state: Sequence[Any], order: Any, start: int, failed: int) -> int:
        """The last step up to which everything is finite: replayed from the start of the chunk, by halving."""
        low, high = start, failed
        while low < high:
            middle = (low + high + 1) // 2
            if self.run(state, order, start, middle).finite:
                low = middle
            else:
                high = middle - 1
        return low

    def replayed(self, state: Sequence[Any], order: Any, start: int, stop: int) -> list[Any]:
        """The state after these steps, bit for bit as before."""
        return list(state) if start == stop else list(self.run(state, order, start, stop).state)

    def first_bad_number(self, state: Sequence[Any], order: Any, step: int) -> str:
        """Where in one step the first number arises that is not finite, found on the reference engine."""
        loop = self.loop
        if isinstance(loop, TailedLoop):
            loop, order = loop.at(step, order)
        graph = loop.graph
        at = ReferenceLoop(graph, len(self.data), loop.padded, loop.ordered)
        numbers = [np.asarray(a) for a in self.arguments]
        inputs = [*at.batch(self.data, None if order is None else np.asarray(order), step), *numbers]
        rows = None if order is None else np.asarray(order)[step]
        found: list[tuple[Tensor, Any]] = []

        def look(node: Tensor, value: Any) -> None:
            if not found and is_float(node.dtype) and not np.isfinite(value).all():
                found.append((node, np.asarray(value)))

        values = dict(zip(self.loop.variables, state, strict=True))
        ends = run_graph(graph, inputs, [np.asarray(values[v]) for v in graph.variables], look)
        broken = [
            self.names.get(v, v.label) for (v, _), new in zip(graph.updates, ends[len(graph.outputs) :], strict=True)
            if v.trainable and not np.isfinite(new).all()
        ]  # fmt: skip
        if not found:
            return "the reference engine computes this step without overflow: the numbers are at the edge of the type"
        node, value = found[0]
        where = f"in {node.op.name}" + (f", {node.source}" if node.source else "")
        batch = inputs[0].shape[0]
        if value.ndim and value.shape[0] == batch:
            sample = int(np.flatnonzero(~np.isfinite(value.reshape(batch, -1)).all(1))[0])
            where += f", for row {int(rows[sample]) if rows is not None else sample} of the data"
        return where + (
            f"; it reaches the parameters {', '.join(broken[:3])}{' …' if len(broken) > 3 else ''}" if broken else ""
        )


class Chunks:
    """How many steps to run at a time: about a tenth of a second, whole epochs where an epoch is shorter than that.

    Up to three seconds where the state is so large that to copy it would cost more than a little.

    `marks` are the numbers of steps after whose multiples somebody wants to be told; no chunk goes past one. They are
    counted from the first step of all, of which `before` come before step 0 here.
    """

    def __init__(self, spe: int, marks: Sequence[int], pace: float | None, state_bytes: int = 0) -> None:
        self.spe, self.marks, self.pace, self.before = spe, list(marks), pace, 0
        self.seconds = min(max(CHUNK_SECONDS, state_bytes / STATE_BYTES_PER_SECOND), MOST_SECONDS)

    def stop(self, start: int, end: int) -> int:
        """Where the chunk that begins at `start` ends; never across an epoch's end unless it then ends on one."""
        at, left = self.before + start, self.spe - start % self.spe
        most = min([end - start, *(mark - at % mark for mark in self.marks)])
        wanted = 16 if self.pace is None else int(self.seconds / max(self.pace, 1e-9))
        wanted = max(1, min(wanted, MOST_STEPS))
        if wanted < left <= FEW_MORE * wanted:
            wanted = left
        wanted = min(wanted, most)
        if wanted <= left:
            return start + wanted
        return start + left + (wanted - left) // self.spe * self.spe

    @contextmanager
    def timing(self, steps: int) -> Iterator[None]:
        """Remember how long a step takes, from a block that runs this many."""
        began = time.perf_counter()
        yield
        self.pace = (time.perf_counter() - began) / max(steps, 1)
