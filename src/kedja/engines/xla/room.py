"""Where loops write a large state: over the one before the last, where nobody looks at that any more.

Memory that a program asks for anew is handed over by the system page by page, and each page is cleared first; for the
state of VGG-16 with momentum, 350 MB, that took as long as a third of a training step, once for every chunk of steps.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from kedja.engines.xla.devices import device

__all__ = ["LARGE", "Room"]

LARGE = 1 << 24  # bytes: a smaller state is written faster than its arrays are handed over one by one


class Room:
    """The memory for states that loops are about to make."""

    def __init__(self) -> None:
        # Only what loops made themselves is written over: an array from outside may lie in the memory of NumPy.
        self._own: dict[int, weakref.ref[Any]] = {}
        self._before: list[Any] = []  # of the state that the last call began with

    def take(self, state: Sequence[Any]) -> list[Any]:
        """Arrays of these shapes, whose memory may be written over; none where the state is small.

        The state itself is not among them: whoever runs a loop may need it again.
        """
        if device().platform != "cpu" or sum(v.nbytes for v in state) < LARGE:
            return []
        before, self._before = self._before, [v for v in state if self._made(v)]
        free: dict[Any, list[Any]] = {}
        while before:
            one = before.pop()
            if sys.getrefcount(one) == 2:  # `one`, and what the counting itself holds
                free.setdefault((one.shape, one.dtype), []).append(one)
        found = []
        for v in state:
            fitting = free.get((v.shape, v.dtype))
            found.append(fitting.pop() if fitting else _new(v))
        return found

    def _made(self, array: Any) -> bool:
        known = self._own.get(id(array))
        return known is not None and known() is array

    def keep(self, made: Sequence[Any]) -> None:
        """Remember what a loop made: it may be written over once a later call has begun with it and ended."""
        for array in made:
            self._own[id(array)] = weakref.ref(array, partial(self._forget, id(array)))

    def _forget(self, number: int, gone: weakref.ref[Any]) -> None:
        if self._own.get(number) is gone:  # else another array has its number by now
            del self._own[number]

    def clear(self) -> None:
        """Hold nothing any more."""
        self._before = []


def _new(like: Any) -> Any:
    return jax.device_put(np.empty(like.shape, like.dtype), device(), may_alias=False)
