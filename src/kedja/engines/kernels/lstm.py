"""The kernels of a whole sequence through an LSTM, forward and backward.

The rows of a batch know nothing of each other, so each group of rows goes through all steps by itself: a chunk. Its
state stays in the cache, and so does the packed matrix U, which is all that a step reads besides its own z.

Forward: (i, f, g, o) = z + h U, c′ = σ(f) c + σ(i) tanh g, h′ = σ(o) tanh c′. Buffers: h, c, z, U, then the last h and
c, what is kept of each step, and the room for U. Backward, with the gates' values and t = tanh c′ as kept:

    ∂c += ∂h o (1 − t²),  ∂z = (∂c g i (1 − i), ∂c c f (1 − f), ∂c i (1 − g²), ∂h t o (1 − o)),  ∂h = ∂z Uᵀ,  ∂c = ∂c f

Buffers: ∂h, ∂c, those of the outputs of each step if there are any, c before each step, i, f, g, o, t, U, then the
first ∂h and ∂c, ∂z of each step, and the room for Uᵀ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from kedja.engines.kernels.builder import Builder, Int
from kedja.engines.kernels.functions import sigmoid, tanh
from kedja.engines.kernels.panel import multiply, pack, pack_turned
from kedja.engines.kernels.target import LINE_BYTES

__all__ = ["FIELDS", "GATES", "Lstm", "LstmBack", "write"]

FIELDS = (
    "prepare", "work", "finish",
    "steps", "batch", "units", "group",  # of rows that go through all steps together
    "reverse",  # 1 where the last step is the first
)  # fmt: skip
GATES = 4


class Lstm(NamedTuple):
    """What the kernel of a sequence is made for."""

    dtype: str
    rows: int
    vectors: int
    ragged: bool  # whether the units do not fill their last vector
    kept: tuple[str, ...] = ()  # of each step: gates i, f, g, o, h and c after and before it, tanh_c after it


class LstmBack(NamedTuple):
    """What the kernel of its gradient is made for."""

    dtype: str
    rows: int
    vectors: int
    ragged: bool
    each: bool = False  # whether the outputs of each step have gradients of their own


def write(b: Builder, kind: Lstm | LstmBack) -> None:
    """The kernel's phases: U is packed, then the groups go through the steps."""
    back = isinstance(kind, LstmBack)
    u, packed = (8 + kind.each, 12 + kind.each) if isinstance(kind, LstmBack) else (3, 6 + len(kind.kept))
    with b.phase("prepare", FIELDS) as (buffer, n, chunk):
        depth, columns = (n.units * GATES, n.units) if back else (n.units, n.units * GATES)
        first, last = chunk * depth // n.prepare, (chunk + 1) * depth // n.prepare
        pack_it = pack_turned if back else pack
        pack_it(b, kind.vectors * b.lanes, buffer(u), buffer(packed), first, last, depth, columns)
    with b.phase("work", FIELDS) as (buffer, n, chunk):
        if isinstance(kind, LstmBack):
            _go_back(b, kind, n, buffer, chunk)
        else:
            _go(b, kind, n, buffer, chunk)


class _Group:
    """The rows of a chunk, and the room for what they carry."""

    def __init__(self, b: Builder, kind: Any, n: Any, chunk: Int) -> None:
        self.b, self.kind, self.n = b, kind, n
        self.first = chunk * n.group
        self.count = (n.batch - self.first).least(n.group)
        # Rows lie a line further apart than they are long: powers of two would share lines of the cache.
        line = LINE_BYTES // b.itemsize
        whole = kind.vectors * b.lanes
        self.narrow = (n.units + (whole - 1)) // whole * whole + line  # numbers from row to row: of a state
        self.wide = (n.units * GATES + (whole - 1)) // whole * whole + line  # and of the gates
        self.rows = (n.group + (kind.rows - 1)) // kind.rows * kind.rows

    @contextmanager
    def room(self) -> Iterator[tuple[Any, Any, Any]]:
        """For h, c and the gates, with zeros in them."""
        b, state = self.b, self.rows * self.narrow
        size = 2 * state + self.rows * self.wide
        with b.scratch(size * b.itemsize) as place:
            b.clear(place, size)
            yield place, b.at(place, state), b.at(place, 2 * state)

    @contextmanager
    def each(self) -> Iterator[tuple[Int, Int, Any]]:
        """Every vector of every row: the row, where in it, and which lanes there are."""
        b = self.b
        with b.loop(self.count) as row, b.loop((self.n.units + (b.lanes - 1)) // b.lanes) as v:
            lane = v * b.lanes
            yield row, lane, b.mask(self.n.units - lane) if self.kind.ragged else None

    def begin(self, s: Int) -> Int:
        """The first row of the group in the s-th step that is done, counted over all steps."""
        step = self.b.choose(self.n.reverse.compare("!=", 0), self.n.steps - 1 - s, s)
        begin: Int = step * self.n.batch + self.first
        return begin

    def copy_in(self, source: Any, target: Any) -> None:
        """These rows of an array (batch, units) to where they are carried."""
        with self.each() as (row, lane, mask):
            here = self.b.load(self.b.at(source, (self.first + row) * self.n.units + lane), mask)
            self.b.store(here, self.b.at(target, row * self.narrow + lane))

    def copy_out(self, source: Any, target: Any) -> None:
        """And back."""
        with self.each() as (row, lane, mask):
            here = self.b.load(self.b.at(source, row * self.narrow + lane))
            self.b.store(here, self.b.at(target, (self.first + row) * self.n.units + lane), mask)


def _go(b: Builder, kind: Lstm, n: Any, buffer: Any, chunk: Int) -> None:
    group = _Group(b, kind, n, chunk)
    z, packed = buffer(2), buffer(6 + len(kind.kept))
    kept = {name: buffer(6 + k) for k, name in enumerate(kind.kept)}
    with group.room() as (h, c, gates):
        group.copy_in(buffer(0), h)
        group.copy_in(buffer(1), c)
        with b.loop(n.steps) as s:
            multiply(
                b, kind.rows, kind.vectors, h, group.narrow, packed, n.units, n.units * GATES, group.count, gates,
                group.wide,
            )  # fmt: skip
            begin = group.begin(s)
            with group.each() as (row, lane, mask):
                at = (begin + row) * n.units
                sums, here = b.at(gates, row * group.wide + lane), row * group.narrow + lane
                found: dict[str, Any] = {}
                for k, name in enumerate("ifgo"):
                    given = b.load(b.at(z, at * GATES + n.units * k + lane), mask)
                    total = b.ir.fadd(given, b.load(b.at(sums, n.units * k)))
                    found[name] = tanh(b, total) if name == "g" else sigmoid(b, total)
                found["h_before"], found["c_before"] = b.load(b.at(h, here)), b.load(b.at(c, here))
                new = b.fma(found["i"], found["g"], b.ir.fmul(found["f"], found["c_before"]))
                found["c"], found["tanh_c"] = new, tanh(b, new)
                found["h"] = b.ir.fmul(found["o"], found["tanh_c"])
                b.store(found["h"], b.at(h, here))
                b.store(new, b.at(c, here))
                for name, place in kept.items():
                    b.store(found[name], b.at(place, at + lane), mask)
        group.copy_out(h, buffer(4))
        group.copy_out(c, buffer(5))


def _go_back(b: Builder, kind: LstmBack, n: Any, buffer: Any, chunk: Int) -> None:
    group = _Group(b, kind, n, chunk)
    more = int(kind.each)
    kept = {name: buffer(2 + more + k) for k, name in enumerate("cifgot")}
    one = b.everywhere(1.0)
    with group.room() as (dh, dc, dz):
        group.copy_in(buffer(0), dh)
        group.copy_in(buffer(1), dc)
        with b.loop(n.steps) as s:
            begin = group.begin(s)
            with group.each() as (row, lane, mask):
                at = (begin + row) * n.units
                here = row * group.narrow + lane
                c, i, f, g, o, t = (b.load(b.at(place, at + lane), mask) for place in kept.values())
                to_h, to_c = b.load(b.at(dh, here)), b.load(b.at(dc, here))
                if kind.each:
                    to_h = b.ir.fadd(to_h, b.load(b.at(buffer(2), at + lane), mask))
                slope = b.ir.fsub(one, b.ir.fmul(t, t))
                to_c = b.fma(b.ir.fmul(to_h, o), slope, to_c)
                b.store(b.ir.fmul(to_c, f), b.at(dc, here))
                through = [b.ir.fmul(y, b.ir.fsub(one, y)) for y in (i, f, o)]
                found = (
                    b.ir.fmul(b.ir.fmul(to_c, g), through[0]),
                    b.ir.fmul(b.ir.fmul(to_c, c), through[1]),
                    b.ir.fmul(b.ir.fmul(to_c, i), b.ir.fsub(one, b.ir.fmul(g, g))),
                    b.ir.fmul(b.ir.fmul(to_h, t), through[2]),
                )
                for k, value in enumerate(found):
                    b.store(value, b.at(dz, row * group.wide + n.units * k + lane), mask)
                    b.store(value, b.at(buffer(11 + more), at * GATES + n.units * k + lane), mask)
            multiply(
                b, kind.rows, kind.vectors, dz, group.wide, buffer(12 + more), n.units * GATES, n.units, group.count,
                dh, group.narrow,
            )  # fmt: skip
        group.copy_out(dh, buffer(9 + more))
        group.copy_out(dc, buffer(10 + more))
