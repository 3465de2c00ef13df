"""The order in which the rows of a source are taken: a function of seed and epoch alone.

Where any row can be read at the same cost, or all of them fit into one window, it is the order arrays are taken in.
Large files are shuffled by blocks: the blocks, runs of rows that lie together, are put in a random order, and inside a
window of several blocks all rows are shuffled. Nothing as long as the file is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.ops.random import fold_array
from kedja.train.loop import orders, permutations

__all__ = ["RowOrder"]

Rows = NDArray[np.int64]


class RowOrder:
    """The rows of every epoch; `key` is that of the run.

    >>> order = RowOrder(np.array([1, 2], np.uint32), rows=10, block=2, window=4, shuffle=True)
    >>> whole = order.rows(0, 0, 10)
    >>> sorted(whole.tolist()) == list(range(10)), order.rows(0, 3, 6).tolist() == whole[3:6].tolist()
    (True, True)
    """

    def __init__(self, key: Any, rows: int, block: int, window: int, shuffle: bool) -> None:
        self.key, self.count, self.block, self.window, self.shuffle = key, rows, block, window, shuffle
        self._kept: dict[int, Rows] = {}  # of whole epochs, the last two
        self._blocks: tuple[int, Rows] | None = None  # the order of the blocks of one epoch

    def rows(self, epoch: int, start: int, stop: int) -> Rows:
        """The rows at these places of an epoch's order."""
        stop = min(stop, self.count)
        if not self.shuffle:
            return np.arange(start, stop)
        if self.block == 1 or self.count <= self.window:
            if epoch not in self._kept:
                self._kept = {e: kept for e, kept in self._kept.items() if e == epoch - 1}
                laid = orders(self.key, self.count, self.count, epoch, 1, 1, shuffle=True)
                self._kept[epoch] = laid[0].astype(np.int64)
            return self._kept[epoch][start:stop]
        parts, at = [], 0
        for number, here in enumerate(self._windows(epoch)):
            if at < stop and start < at + len(here) * self.block:
                members = self._members(here)
                size = len(members)
                if start < at + size:
                    shuffled = members[self._shuffled(epoch, number, size)]
                    parts.append(shuffled[max(0, start - at) : stop - at])
                at += size
            else:
                at += self._size(here)
            if at >= stop:
                break
        return np.concatenate(parts)

    def _windows(self, epoch: int) -> list[Rows]:
        """The blocks of each window, in the order of the epoch."""
        if self._blocks is None or self._blocks[0] != epoch:
            count = -(-self.count // self.block)
            words = fold_array(self.key, "blocks")
            self._blocks = (epoch, permutations(words, epoch, 1, count)[0].astype(np.int64))
        each = max(1, self.window // self.block)
        return [self._blocks[1][at : at + each] for at in range(0, len(self._blocks[1]), each)]

    def _members(self, blocks: Rows) -> Rows:
        members = (blocks[:, None] * self.block + np.arange(self.block)).ravel()
        return members[members < self.count]

    def _size(self, blocks: Rows) -> int:
        last = -(-self.count // self.block) - 1
        short = (last + 1) * self.block - self.count
        return len(blocks) * self.block - (short if bool((blocks == last).any()) else 0)

    def _shuffled(self, epoch: int, number: int, size: int) -> Rows:
        words = fold_array(fold_array(self.key, "windows"), number)
        found: Rows = permutations(words, epoch, 1, size)[0].astype(np.int64)
        return found
