"""Where loops write a large state: over the one before the last, where nobody looks at that any more.

Memory that a program asks for anew is handed over by the system page by page, and each page is cleared first; for the
state of VGG-16 with momentum, 350 MB, that took as long as a third of a training step, once for every chunk of steps.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from kedja.engines.xla.devices import device

__all__ = ["LARGE", "Room"]

LARGE = 1 << 24  # bytes: a smaller state is written faster than its arrays are handed over one by one


class Room:
    """The memory for states that loops are about to make."""

    def __init__(self) -> None:
        # Only what loops made themselves: an array that came from outside may lie in the memory of NumPy.
        self._before: list[Any] = []
        self._last: list[Any] = []

    def take(self, state: Sequence[Any]) -> list[Any]:
        """Arrays of these shapes, whose memory may be written over; none where the state is small.

        The state itself is not among them: whoever runs a loop may need it again.
        """
        if device().platform != "cpu" or sum(v.nbytes for v in state) < LARGE:
            return []
        before, self._before = self._before, []
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

    def keep(self, made: Sequence[Any]) -> None:
        """Remember what a loop made; it is free two calls later, if nobody else holds it then."""
        self._before, self._last = self._last, list(made)

    def clear(self) -> None:
        """Hold nothing any more."""
        self._before, self._last = [], []


def _new(like: Any) -> Any:
    return jax.device_put(np.empty(like.shape, like.dtype), device(), may_alias=False)
