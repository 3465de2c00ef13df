"""The kernel of a product of two matrices, and of what is done to each of its numbers.

y[i, j] = Σ_k a[i, k] · b[k, j], where a or b may lie transposed. A tile of rows and vectors of columns is summed in
registers. A block of b's columns is packed first, [k][lanes], for a stretch of k that stays in the cache; so are the
rows of an a that lies transposed, [k][rows]. The sum runs over k in order, and the sums of stretches are added up in
theirs, whatever the tiles and the threads are.

The sums of a tile then go through an elementwise program with other arrays: a bias and relu, the gradient through a
relu, an optimiser's update of the parameter whose gradient the product is. The results may lie where these arrays lie.

Where a has few rows, each thread sums a stretch of k for all of y, reading b as it lies, and the stretches are joined
after that: it is the part of b that the same thread will write when b is updated.

Buffers: a, b, the program's arrays, columns and numbers (in one), what must be there first, then the results.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kedja.engines.kernels import elementwise
from kedja.engines.kernels.builder import Builder, Int
from kedja.engines.kernels.elementwise import ARRAY, COLUMN, NUMBER, Program
from kedja.engines.kernels.tile import accumulate

__all__ = ["FIELDS", "Product", "write"]

FIELDS = (
    "prepare", "work", "finish",
    "rows", "columns", "depth",  # of y, and how many products a sum has
    "tiles", "blocks",  # of rows, and of columns
    "row_groups", "column_groups",  # a chunk is a group of tiles and one of blocks
    "stretch", "stretches",  # of k
    "pitch",  # from a row of a to the next where they are copied apart; 0 where they are read as they lie
)  # fmt: skip


class Product(NamedTuple):
    """What a kernel is made for."""

    dtype: str
    rows: int  # of a tile
    vectors: int
    ragged: bool  # whether the last block is not full
    program: Program
    left: bool = False  # whether a lies transposed, [k, i]
    right: bool = False  # whether b does, [j, k]
    waits: int = 0  # arrays that are given only so that they are there first
    parts: bool = False  # whether stretches of k are summed apart, each by whoever takes it


def write(b: Builder, kind: Product) -> None:
    """The kernel's phases, as functions of the builder's module."""
    if kind.parts:
        _write_parts(b, kind)
        _write_join(b, kind)
        return
    if not kind.left:
        _write_copy(b, kind)
    _write_work(b, kind)


def _results(kind: Product) -> int:
    """The number of the first buffer that is written."""
    inputs = kind.program
    return 2 + len(inputs.of(ARRAY)) + len(inputs.of(COLUMN)) + bool(inputs.of(NUMBER)) + kind.waits


def _room(kind: Product) -> int:
    return _results(kind) + len(kind.program.outputs)


def _write_copy(b: Builder, kind: Product) -> None:
    """The rows of a, a little further apart: by powers of two they would fall on one another in the cache."""
    with b.phase("prepare", FIELDS) as (buffer, n, chunk):
        a, room = buffer(0), buffer(_room(kind))
        first, last = chunk * n.rows // n.prepare, (chunk + 1) * n.rows // n.prepare
        with b.loop(last - first) as i:
            b.copy(b.at(room, (first + i) * n.pitch), b.at(a, (first + i) * n.depth), n.depth)


def _write_work(b: Builder, kind: Product) -> None:
    width = kind.vectors * b.lanes
    with b.phase("work", FIELDS) as (buffer, n, chunk):
        row_group, column_group = chunk // n.column_groups, chunk % n.column_groups
        tile, last_tile = row_group * n.tiles // n.row_groups, (row_group + 1) * n.tiles // n.row_groups
        block = column_group * n.blocks // n.column_groups
        last_block = (column_group + 1) * n.blocks // n.column_groups
        tiles, blocks = last_tile - tile, last_block - block
        size = kind.rows * width
        whole = n.stretches.compare("==", 1)
        sums_size = b.choose(whole, size, tiles * blocks * size)
        panel_size = (n.stretch + b.lanes) * width
        rows_size = tiles * kind.rows * n.depth + b.lanes if kind.left else b.whole(0)
        with b.scratch((sums_size + panel_size + rows_size) * b.itemsize) as memory:
            sums, panel, packed = memory, b.at(memory, sums_size), b.at(memory, sums_size + panel_size)
            given = _Given(b, kind, buffer)
            if kind.left:
                _pack_rows(b, kind, n, buffer(0), packed, tile, tiles)
            with b.when(n.stretches.compare(">", 1)):
                b.clear(sums, sums_size)
            with b.loop(n.stretches) as s, b.loop(blocks) as j:
                first = s * n.stretch
                run = n.stretch.least(n.depth - first)
                out = (block + j) * width
                masks = b.masks(n.columns - out, kind.vectors, kind.ragged)
                if kind.right:
                    _pack_transposed(b, kind, n, buffer(1), panel, out, first, run)
                else:
                    _pack(b, kind, n, buffer(1), panel, out, first, run, masks)
                with b.loop(tiles) as i:
                    home = b.at(sums, b.choose(whole, 0, (j * tiles + i) * size))
                    row = (tile + i) * kind.rows
                    count = (n.rows - row).least(kind.rows)
                    ends = (s + 1).compare("==", n.stretches)
                    with b.when(ends):
                        given.fetch(n, row, out, count)
                    _tile(b, kind, n, buffer, packed, panel, home, i, row, first, run)
                    with b.when(ends):
                        given.finish(n, home, row, out, count, masks)


def _write_parts(b: Builder, kind: Product) -> None:
    """One stretch of k. The rows are so few that b is read as it lies: it would be packed for one use or two."""
    width = kind.vectors * b.lanes
    with b.phase("work", FIELDS) as (buffer, n, chunk):
        s = chunk % n.stretches
        group, first = chunk // n.stretches, s * n.stretch
        run = n.stretch.least(n.depth - first)
        tile, last_tile = group * n.tiles // n.row_groups, (group + 1) * n.tiles // n.row_groups
        with b.loop(last_tile - tile) as i, b.loop(n.blocks) as j:
            row, out = (tile + i) * kind.rows, j * width
            lines = [b.at(buffer(0), (row + t).least(n.rows - 1) * n.depth + first) for t in range(kind.rows)]
            sums = [[b.variable(b.zero) for _ in range(kind.vectors)] for _ in lines]
            panel, masks = b.at(buffer(1), first * n.columns + out), b.masks(n.columns - out, kind.vectors, kind.ragged)
            accumulate(b, lines, None, panel, run, sums, pitch=n.columns, masks=masks)
            home = b.at(buffer(_room(kind)), _part(n, s, tile + i, j) * (kind.rows * width))
            for t, line in enumerate(sums):
                for v, total in enumerate(line):
                    b.store(total.get(), b.at(home, (t * kind.vectors + v) * b.lanes))


def _write_join(b: Builder, kind: Product) -> None:
    """The sums of all stretches, in their order, and what is made of them."""
    size = kind.rows * kind.vectors * b.lanes
    with b.phase("finish", FIELDS) as (buffer, n, chunk):
        given = _Given(b, kind, buffer)
        tile, last_tile = chunk * n.tiles // n.finish, (chunk + 1) * n.tiles // n.finish
        with b.loop(last_tile - tile) as i, b.loop(n.blocks) as j:
            home = b.at(buffer(_room(kind)), _part(n, b.whole(0), tile + i, j) * size)
            with b.loop(n.stretches - 1) as s, b.loop(kind.rows * kind.vectors) as v:
                place, more = b.at(home, v * b.lanes), b.at(home, (s + 1) * n.tiles * n.blocks * size + v * b.lanes)
                b.store(b.ir.fadd(b.load(place), b.load(more)), place)
            row, out = (tile + i) * kind.rows, j * (kind.vectors * b.lanes)
            masks = b.masks(n.columns - out, kind.vectors, kind.ragged)
            given.finish(n, home, row, out, (n.rows - row).least(kind.rows), masks)


def _part(n: Any, s: Int, tile: Int, block: Int) -> Int:
    """The number of the sums of a tile and a block over a stretch."""
    number: Int = (s * n.tiles + tile) * n.blocks + block
    return number


def _pack_rows(b: Builder, kind: Product, n: Any, a: Any, packed: Any, tile: Int, tiles: Int) -> None:
    """The rows of an a that lies transposed, tile by tile; a vector at a time, of which the next hides the rest."""
    with b.loop(tiles) as i:
        row = (tile + i) * kind.rows
        target = b.at(packed, i * kind.rows * n.depth)
        for v in range(-(-kind.rows // b.lanes)):
            mask = b.mask((n.rows - row).least(kind.rows) - v * b.lanes)
            kept = b.mask(b.whole(kind.rows - v * b.lanes))
            with b.loop(n.depth) as k:
                found = b.load(b.at(a, k * n.rows + row + v * b.lanes), mask)
                b.store(found, b.at(target, k * kind.rows + v * b.lanes), kept)


def _pack(
    b: Builder, kind: Product, n: Any, right: Any, panel: Any, out: Int, first: Int, run: Int, masks: Any
) -> None:
    width = kind.vectors * b.lanes
    with b.loop(run) as k:
        for v, mask in enumerate(masks):
            found = b.load(b.at(right, (first + k) * n.columns + out + v * b.lanes), mask)
            b.store(found, b.at(panel, k * width + v * b.lanes))


def _pack_transposed(b: Builder, kind: Product, n: Any, right: Any, panel: Any, out: Int, first: Int, run: Int) -> None:
    """Squares of as many columns as a vector has lanes; what lies behind the last k is written behind the panel."""
    width = kind.vectors * b.lanes
    for v in range(kind.vectors):
        lanes = [(out + (v * b.lanes + lane)).least(n.columns - 1) * n.depth + first for lane in range(b.lanes)]
        with b.loop((run + (b.lanes - 1)) // b.lanes) as q:
            k = q * b.lanes
            mask = b.mask(run - k)
            square = b.transposed([b.load(b.at(right, lane + k), mask) for lane in lanes])
            for i, row in enumerate(square):
                b.store(row, b.at(panel, (k + i) * width + v * b.lanes))


def _tile(
    b: Builder, kind: Product, n: Any, buffer: Any, packed: Any, panel: Any, home: Any, i: Int, row: Int, first: Int,
    run: Int,
) -> None:  # fmt: skip
    """The sums of a tile over a stretch, added to those before it. Past the last row that row is done again."""
    spread = range(kind.rows)
    places = [[b.at(home, b.whole((t * kind.vectors + v) * b.lanes)) for v in range(kind.vectors)] for t in spread]
    whole = n.stretches.compare("==", 1)
    sums = [[b.variable(b.zero) for _ in line] for line in places]
    if kind.left:
        corner = b.at(packed, i * kind.rows * n.depth)
        accumulate(b, [b.at(corner, first * kind.rows + t) for t in spread], b.whole(kind.rows), panel, run, sums)
    else:
        apart = n.pitch.compare("!=", 0)
        source = b.ir.select(apart, buffer(_room(kind)), buffer(0))
        pitch = b.choose(apart, n.pitch, n.depth)
        lines = [b.at(source, (row + t).least(n.rows - 1) * pitch + first) for t in spread]
        accumulate(b, lines, None, panel, run, sums)
    for line, totals in zip(places, sums, strict=True):
        for place, total in zip(line, totals, strict=True):
            b.store(b.ir.select(whole, total.get(), b.ir.fadd(b.load(place), total.get())), place)


class _Given:
    """The program's inputs and results, and how a tile goes through it."""

    def __init__(self, b: Builder, kind: Product, buffer: Any) -> None:
        self.b, self.kind = b, kind
        program = kind.program
        arrays, columns, numbers = (program.of(k) for k in (ARRAY, COLUMN, NUMBER))
        self.arrays = {place: buffer(2 + i) for i, place in enumerate(arrays)}
        self.columns = {place: buffer(2 + len(arrays) + i) for i, place in enumerate(columns)}
        self.results = [buffer(_results(kind) + i) for i in range(len(program.outputs))]
        self.numbers = {}
        for i, place in enumerate(numbers):
            self.numbers[place] = b.splat(b.number(buffer(2 + len(arrays) + len(columns)), b.whole(i)))

    def fetch(self, n: Any, row: Int, out: Int, count: Int) -> None:
        """Ask for what the tile's program reads before the sums are made, which takes as long as memory does."""
        b, width = self.b, self.kind.vectors * self.b.lanes
        line = 64 // b.itemsize
        if self.arrays:
            with b.loop(count) as t:
                for array in self.arrays.values():
                    for v in range(0, width, line):
                        b.prefetch(b.at(array, (row + t) * n.columns + out + v))

    def finish(self, n: Any, home: Any, row: Int, out: Int, count: Int, masks: Any) -> None:
        """Every number of the tile through the program, and where it belongs."""
        b, kind = self.b, self.kind
        per_column = [
            {place: b.load(b.at(base, out + v * b.lanes), masks[v]) for place, base in self.columns.items()}
            for v in range(kind.vectors)
        ]
        with b.loop(count) as t:
            for v in range(kind.vectors):
                where = (row + t) * n.columns + out + v * b.lanes
                total = b.load(b.at(home, (t * kind.vectors + v) * b.lanes))
                known = self.numbers | per_column[v]
                known |= {place: b.load(b.at(base, where), masks[v]) for place, base in self.arrays.items()}
                values = [known.get(i, total) for i in range(len(kind.program.inputs))]
                for found, result in zip(elementwise.write(b, kind.program, values), self.results, strict=True):
                    b.store(found, b.at(result, where), masks[v])
