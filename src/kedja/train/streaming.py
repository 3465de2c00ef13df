"""Steps over data that are read meanwhile: two buffers, one of which is filled while the device works on the other.

A buffer holds the rows of some steps in the order they are taken, so the program of a step is the one that runs on data
in memory, and gives the same bits for the same order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.data.batches import Batch as Given
from kedja.data.batches import Batches, arrays_of
from kedja.data.source import Source
from kedja.engines.engine import Loop, LoopResult
from kedja.errors import DataError
from kedja.train.ahead import Ahead
from kedja.train.loop import Runner, TailedLoop
from kedja.train.stream import Feed

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Buffer", "Pace", "StreamRunner"]

Array = np.ndarray[Any, Any]
BUFFER_BYTES = 16 << 20
MOST_STEPS = 4096
UNKNOWN = 1 << 30  # steps of an epoch whose end nobody has seen


class Pace:
    """How long the epochs of a stream are, and how long the device waited for it. Shared by a run and its runner."""

    def __init__(self, rows: int | None, size: int, steps: int | None) -> None:
        self.rows, self.size, self.steps = rows, size, steps
        self.counts: list[int] = []  # rows of each step of the present epoch, as far as it was read
        self.stalls: list[float] = []  # of each finished epoch: the share of its time that was waiting
        self.waited = self.compiled = 0.0
        self.began = time.perf_counter()

    @property
    def spe(self) -> int:
        """Steps per epoch; a very large number until the first epoch of batches has ended."""
        if self.rows is not None:
            return -(-self.rows // self.size)
        return UNKNOWN if self.steps is None else self.steps

    @property
    def known(self) -> bool:
        """Whether the length of an epoch is known."""
        return self.spe < UNKNOWN

    def rows_per_step(self) -> Array:
        """How many real rows each step of an epoch has."""
        if self.rows is None:
            return np.asarray(self.counts, float)
        counts = np.full(self.spe, float(self.size))
        counts[-1] = self.rows - self.size * (self.spe - 1)
        return counts

    def epoch_ended(self, compiled: float) -> None:
        """Note what share of the epoch's time, without that of compiling, was waiting."""
        now = time.perf_counter()
        total = now - self.began - (compiled - self.compiled)
        self.stalls.append(round(min(1.0, self.waited / max(total, 1e-9)), 4))
        self.waited, self.compiled, self.began = 0.0, compiled, now


@dataclass
class Buffer:
    """The rows of some steps of an epoch, on the device."""

    epoch: int
    first: int  # number of its first step in the epoch
    counts: list[int]  # real rows of each step
    rows: Array  # (steps, batch): numbers of the rows in the source, −1 where there is none
    data: list[Any]
    order: Any  # (capacity, batch): where in `data` the rows of each step lie
    places: Array  # the same on the host
    last: bool  # whether the epoch ends with it
    before: list[int]  # real rows of the batches of the epoch that came before it (of a source: none)


class StreamRunner(Runner):
    """A loop whose data come in buffers. `run` stops where a buffer ends, which may be before it was asked to."""

    def __init__(
        self, loop: Any, feed: Feed, arguments: Sequence[Any], names: Mapping[Any, str], pace: Pace, key: Any,
        shuffle: bool, span: tuple[int, int], short: Callable[[int], Any],
    ) -> None:  # fmt: skip
        """`span`: the first epoch and the one after the last; `short`: what makes a loop for a batch of fewer rows."""
        self.feed, self.pace, self.size, self.span, self.short = feed, pace, pace.size, span, short
        self.source, self.key, self.shuffle = feed.data, key, shuffle
        self.use(loop)
        self.names, self.data = names, []
        self.give(arguments)
        self.spe = pace.spe
        self.state = [v.raw for v in loop.variables]
        steps = max(1, min(MOST_STEPS, BUFFER_BYTES // max(1, feed.row_bytes * self.size), pace.spe))
        self.capacity = steps
        self.slots = [feed.space(steps * self.size) for _ in range(2)]
        self.slot = 0
        self.reader = _Reader(feed, pace, steps, key, shuffle)
        self.ahead = Ahead("rows")
        self.held: Buffer | None = None
        self.coming: tuple[tuple[int, int], Future[Buffer]] | None = None
        self._full: tuple[Any, Array] | None = None
        self._ask((span[0], 0))

    def use(self, loop: Any) -> None:
        """Take these steps."""
        self.loop = loop
        self.main: Any = loop.main if isinstance(loop, TailedLoop) else loop
        self.others: dict[int, Any] = {}
        self.at = {v: i for i, v in enumerate(loop.variables)}

    def changed(self, loop: Loop, arguments: Sequence[Any]) -> StreamRunner:
        self.use(loop)
        self.give(arguments)
        self.state = [v.raw for v in loop.variables]
        return self

    def lay(self, order: Any) -> Any:
        return order

    def run(self, state: Sequence[Any], order: Any, start: int, stop: int) -> LoopResult:
        """Steps from `start` of the epochs that begin with number `order`, as far as the buffer and one program go."""
        epoch, step = order + start // self.pace.spe, start % self.pace.spe
        buffer = self._buffer(epoch, step)
        at = step - buffer.first
        end = at + 1
        while end < min(len(buffer.counts), at + stop - start) and self._alike(buffer.counts[at], buffer.counts[end]):
            end += 1
        loop, places = self._steps_of(buffer, buffer.counts[at])
        mine, own = list(state), [self.at[v] for v in loop.variables]
        result = loop.run([mine[i] for i in own], buffer.data, places, self.arguments, at, end)
        for i, value in zip(own, result.state, strict=True):
            mine[i] = value
        if buffer.last and result.done == len(buffer.counts) and result.finite:
            self._ended(buffer)
        return LoopResult(mine, result.outputs, start + result.done - at, result.finite)

    def first_bad_number(self, state: Sequence[Any], order: Any, step: int) -> str:
        buffer = self._buffer(order + step // self.pace.spe, step % self.pace.spe)
        at = step % self.pace.spe - buffer.first
        loop, places = self._steps_of(buffer, buffer.counts[at])
        own = [self.at[v] for v in loop.variables]
        inner = Runner(loop, buffer.data, self.arguments, self.pace.spe, self.names)
        found = inner.first_bad_number([state[i] for i in own], np.asarray(places), at)
        for place, number in zip(buffer.places[at].tolist(), buffer.rows[at].tolist(), strict=True):
            found = found.replace(f", for row {place} of the data", f", for row {number} of {self.source.name}")
        return found

    def close(self) -> None:
        """Stop reading."""
        self.ahead.close()
        self.reader.close()

    # --- buffers ----------------------------------------------------------------------------------------------------
    def _buffer(self, epoch: int, step: int) -> Buffer:
        held = self.held
        if held is not None and held.epoch == epoch and 0 <= step - held.first < len(held.counts):
            return held
        began = time.perf_counter()
        wanted = (epoch, step if self.reader.sequential else step // self.capacity * self.capacity)
        if self.coming is None or self.coming[0] != wanted:
            self.coming = None  # a buffer that nobody asks for is read to its end, and its place is used again
            self._ask(wanted)
        assert self.coming is not None
        found = self.coming[1]
        self.held = self.coming = None
        self.held = found.result()
        self.pace.waited += time.perf_counter() - began
        following = (epoch + 1, 0) if self.held.last else (epoch, self.held.first + len(self.held.counts))
        if following[0] < self.span[1]:
            self._ask(following)
        if self.reader.sequential:
            self.pace.counts = [*self.held.before, *self.held.counts]
        return self.held

    def _ask(self, ticket: tuple[int, int]) -> None:
        space = self.slots[self.slot]
        self.slot = 1 - self.slot
        self.coming = (ticket, self.ahead.do(self._read, ticket, space))

    def _read(self, ticket: tuple[int, int], space: list[Array]) -> Buffer:
        counts, rows, last, before = self.reader.fill(*ticket, space)
        places = np.arange(self.capacity * self.size, dtype=np.int32).reshape(self.capacity, self.size)
        full = all(n == self.size for n in counts)
        if not full and self.main.padded:
            for i, n in enumerate(counts):
                places[i, n:] = -1
        if full and self._full is None:
            self._full = (self.main.put(places), places)
        order, places = self._full if full and self._full is not None else (self.main.put(places), places)
        return Buffer(
            ticket[0], ticket[1], counts, rows, [self.main.put(a) for a in space], order, places, last, before
        )

    def _alike(self, a: int, b: int) -> bool:
        return self.main.padded or a == b

    def _steps_of(self, buffer: Buffer, count: int) -> tuple[Any, Any]:
        """The loop for batches of so many rows, and where it finds them."""
        if count == self.size or self.main.padded:
            return self.main, buffer.order
        if count not in self.others:
            self.others[count] = self.loop.tail if isinstance(self.loop, TailedLoop) else self.short(count)
        loop = self.others[count]
        places = buffer.places.copy()
        if not loop.padded:
            return loop, np.ascontiguousarray(places[:, :count])
        for i, n in enumerate(buffer.counts):
            places[i, n:] = -1
        return loop, places

    def _ended(self, buffer: Buffer) -> None:
        if not self.pace.known:
            self.pace.steps = buffer.first + len(buffer.counts)
        loops = [self.main, *self.others.values()]
        self.pace.epoch_ended(sum(loop.report.compile_seconds + loop.report.lower_seconds for loop in loops))


class _Reader:
    """Fills buffers, on the thread that works ahead."""

    def __init__(self, feed: Feed, pace: Pace, capacity: int, key: Any, shuffle: bool) -> None:
        self.feed, self.pace, self.capacity, self.size = feed, pace, capacity, pace.size
        self.sequential = isinstance(feed.data, Batches)
        self.order = None if self.sequential else feed.row_order(key, shuffle)
        self.first_epoch: int | None = None
        self.passed: list[int] = []  # real rows of the batches of the present epoch, as far as they were read
        self.flow: tuple[int, int, Iterator[Given], Given | None] | None = None  # epoch, step, what comes, the next

    def fill(self, epoch: int, step: int, into: list[Array]) -> tuple[list[int], Array, bool, list[int]]:
        """Real rows of each step, the rows' numbers, whether the epoch ends here, and the real rows of steps before."""
        return self._batches(epoch, step, into) if self.sequential else (*self._rows(epoch, step, into), [])

    def _rows(self, epoch: int, step: int, into: list[Array]) -> tuple[list[int], Array, bool]:
        assert isinstance(self.feed.data, Source) and self.order is not None
        if self.first_epoch is None:
            self.first_epoch = epoch
        rows = self.order.rows(epoch, step * self.size, (step + self.capacity) * self.size)
        self.feed.fill(rows, into, look=epoch == self.first_epoch)
        steps = -(-len(rows) // self.size)
        laid = np.full(steps * self.size, -1, np.int64)
        laid[: len(rows)] = rows
        counts = [self.size] * steps
        counts[-1] = len(rows) - self.size * (steps - 1)
        return counts, laid.reshape(steps, self.size), step + steps >= self.pace.spe

    def _batches(self, epoch: int, step: int, into: list[Array]) -> tuple[list[int], Array, bool, list[int]]:
        data = self.feed.data
        assert isinstance(data, Batches)
        if self.flow is None or self.flow[:2] != (epoch, step):
            flow = data.epoch(epoch + 1)
            self.passed = [len(arrays_of(batch)[0]) for batch in islice(flow, step)]
            self.flow = (epoch, step, flow, next(flow, None))
        _, at, flow, coming = self.flow
        before = self.passed
        counts: list[int] = []
        numbers: list[Array] = []
        while coming is not None and len(counts) < self.capacity and not (self.pace.known and at >= self.pace.spe):
            given = self.feed.convert(coming, f"{data.name}, epoch {epoch + 1}, batch {at + 1}")
            n, place = len(given[0]), len(counts) * self.size
            if not 0 < n <= self.size:
                raise DataError(
                    f"{data.name}, epoch {epoch + 1}, batch {at + 1} has {n} rows, the first batch had {self.size}: "
                    "batches may be smaller than the first one, not larger."
                )
            for out, array in zip(into, given, strict=True):
                out[place : place + n] = array
                out[place + n : place + self.size] = array[-1]
            counts.append(n)
            numbers.append(np.where(np.arange(self.size) < n, at * self.size + np.arange(self.size), -1))
            at += 1
            coming = next(flow, None)
        known = self.pace.known
        if known and coming is None and at < self.pace.spe:
            raise DataError(
                f"{data.name} ended in epoch {epoch + 1} after {at} of {self.pace.spe} batches: every epoch has as "
                "many as the first. Give steps= a smaller number: kj.data.batches(rows, steps=...)."
            )
        self.flow, self.passed = (epoch, at, flow, coming), [*before, *counts]
        last = coming is None or (known and at >= self.pace.spe)
        if not counts:
            raise DataError(f"{data.name}, epoch {epoch + 1}: there is no batch {step + 1}.")
        return counts, np.stack(numbers), last, before

    def close(self) -> None:
        """Let go of what is read."""
        if self.flow is not None:
            self.flow[2].close()  # type: ignore[attr-defined]
            self.flow = None
        if isinstance(self.feed.data, Source):
            self.feed.data.close()
