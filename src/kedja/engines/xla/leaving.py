"""A quick and orderly end of the process once JAX is loaded.

A thread that is inside XLA when Python ends, and then asks for the interpreter back, is ended there by Python, in the
midst of C++, which aborts the whole process ("exception not rethrown"). So the end waits for calls that are under way
(a chunk of steps, a tenth of a second), and whoever comes later waits for ever.

At exit Python looks through all objects once more for garbage. JAX has some 100,000 of them, and all modules are gone
by then: taking them apart one by one lasts 0.3 s, a third of a short run, for memory that the system takes back anyway.
"""

from __future__ import annotations

import contextlib
import gc
import os
from _io import _IOBase as File  # io.IOBase asks an abstract class each time: seconds for all objects
from threading import Event, get_ident
from time import sleep

__all__ = ["CALLS", "Calls", "leave"]


class Calls:
    """The threads that are inside XLA: `with` one of these around each call, not within another."""

    def __init__(self) -> None:
        self._inside: set[int] = set()
        self._last: int | None = None  # the thread that ends the process

    def __enter__(self) -> None:
        self._inside.add(get_ident())
        if self._last is not None:
            self._stay()

    def __exit__(self, *error: object) -> None:
        self._inside.discard(get_ident())
        if self._last is not None:
            self._stay()

    def _stay(self) -> None:
        """All but the thread that ends the process wait here for its end."""
        if get_ident() != self._last:
            self._inside.discard(get_ident())
            Event().wait()

    def end(self) -> None:
        """Let those finish that are inside, and nobody in any more but this thread."""
        self._last = get_ident()
        while self._inside - {self._last}:
            sleep(0.002)

    def forget(self) -> None:
        """In a forked process the threads are gone."""
        self._inside.clear()


CALLS = Calls()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=CALLS.forget)


def leave() -> None:
    """Write out what open files hold back, then leave the last garbage collection nothing to look at.

    Files that nobody closed and that stand in a circle of objects are closed by that collection otherwise. Files in no
    circle, `with` blocks, weakref.finalize and atexit work as ever; a __del__ of an object in a circle is not called,
    which Python does not promise at exit.
    """
    for thing in gc.get_objects():
        if issubclass(type(thing), File):
            with contextlib.suppress(Exception):  # closed, or its own flush went wrong
                thing.flush()
    gc.freeze()
