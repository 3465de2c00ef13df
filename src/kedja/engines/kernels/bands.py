"""How a kernel sees an image: in bands of rows, copied with their padding into a scratch that stays in the cache.

A unit of work is a band of output rows of one image, or several whole images where they are small. Its input lies in
the scratch, or in the array itself where nothing is padded or spread. A table says where the window of each output
place begins, so that a tile of places need not care whether they lie in one row, or in one image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from kedja.engines.kernels.builder import Builder, Int

__all__ = ["FIELDS", "Unit", "places_before", "units"]

FIELDS = (
    "images", "rows", "columns",  # of the output
    "in_rows", "in_columns", "channels",  # of the input
    "pitch",  # from one place of the scratch to the next: the channels, or a little more (see `plans`)
    "stride_rows", "stride_columns", "low_rows", "low_columns",
    "gap_rows", "gap_columns",  # the input's neighbours are so far apart: more than 1 for the gradient of a stride
    "units", "unit_images", "unit_rows", "bands",  # of a unit; how many units an image is
    "copied", "tall", "wide",  # whether there is a scratch, and rows and columns of an image in it
)  # fmt: skip


class Unit(NamedTuple):
    """One unit: where its input lies, the table of its places, how many they are and the number of the first.

    Where 2×2 windows are pooled, places are numbered window by window, and `order` says where each lies in the output.
    """

    source: Any
    table: Any
    places: Int
    first: Int
    order: Any = None


def places_before(n: Any, unit: Int) -> Int:
    """How many output places come before a unit."""
    rows = unit // n.bands * n.unit_images * n.rows + unit % n.bands * n.unit_rows
    before: Int = (rows * n.columns).least(n.images * n.rows * n.columns)
    return before


@contextmanager
def units(
    b: Builder, n: Any, x: Any, begin: Int, end: Int, by_windows: bool = False, ordered: bool = False
) -> Iterator[Unit]:
    """The units from `begin` to `end`, one after the other; the table is made once and serves all.

    With `by_windows` the places of each 2×2 window follow one another; rows and columns are even then.
    """
    row = b.choose(n.copied.compare("!=", 0), n.wide, n.in_columns) * n.pitch
    image = b.choose(n.copied.compare("!=", 0), n.tall, n.in_rows) * row
    table_bytes = n.unit_images * n.unit_rows * n.columns * 8
    table_bytes = (table_bytes + 63) // 64 * 64
    held = n.copied * n.unit_images * image
    with b.scratch(table_bytes * (2 if ordered else 1) + held * b.itemsize) as memory:
        table = memory
        scratch = b.after(memory, table_bytes)
        order = scratch if ordered else None
        if ordered:
            scratch = b.after(scratch, table_bytes)
        _fill_table(b, n, table, row, image, by_windows, order)
        with b.when(n.copied.compare("!=", 0)):
            b.clear(scratch, held)
        with b.loop(end - begin) as i:
            unit = begin + i
            start = unit // n.bands * n.unit_images
            first_row = unit % n.bands * n.unit_rows
            images = n.unit_images.least(n.images - start)
            rows = n.unit_rows.least(n.rows - first_row)
            with b.when(n.copied.compare("!=", 0)):
                _fill(b, n, x, scratch, start, first_row, images)
            whole = n.in_columns * n.channels
            inside = b.at(x, (start * n.in_rows + first_row * n.stride_rows) * whole)
            source = b.ir.select(n.copied.compare("!=", 0), scratch, inside)
            yield Unit(source, table, images * rows * n.columns, (start * n.rows + first_row) * n.columns, order)


def _fill_table(b: Builder, n: Any, table: Any, row: Int, image: Int, by_windows: bool, order: Any) -> None:
    with b.loop(n.unit_images) as i, b.loop(n.unit_rows) as r, b.loop(n.columns) as c:
        place = i * image + r * n.stride_rows * row + c * n.stride_columns * n.pitch
        number = (i * n.unit_rows + r) * n.columns + c
        at = number
        if by_windows:
            window = ((i * n.unit_rows + r) // 2 * n.columns + c // 2 * 2) * 2
            at = window + r % 2 * 2 + c % 2
        b.store_int(place, table, at)
        if order is not None:
            b.store_int(number, order, at)


def _fill(b: Builder, n: Any, x: Any, scratch: Any, start: Int, first_row: Int, images: Int) -> None:
    """Copy the rows that a unit needs. Padding beside them is zero from the start and stays it."""
    row = n.wide * n.pitch
    whole = n.in_columns * n.channels
    with b.loop(images) as i, b.loop(n.tall) as r:
        target = b.at(scratch, (i * n.tall + r) * row)
        at = first_row * n.stride_rows + r - n.low_rows
        real = b.ir.and_(at.compare(">=", 0), at.compare("<", (n.in_rows - 1) * n.gap_rows + 1))
        real = b.ir.and_(real, (at % n.gap_rows).compare("==", 0))
        with b.ir.if_else(real) as (there, missing):
            with there:
                source = b.at(x, ((start + i) * n.in_rows + at // n.gap_rows) * whole)
                inner = b.at(target, n.low_columns * n.pitch)
                with b.ir.if_else((n.gap_columns * n.pitch).compare("==", n.channels)) as (dense, spread):
                    with dense:
                        b.copy(inner, source, whole)
                    with spread, b.loop(n.in_columns) as c:
                        b.copy(b.at(inner, c * n.gap_columns * n.pitch), b.at(source, c * n.channels), n.channels)
            with missing:
                b.clear(target, row)
