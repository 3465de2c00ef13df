"""A quick end of the process once JAX is loaded.

At exit Python looks through all objects once more for garbage. JAX has some 100,000 of them, and all modules are gone
by then: taking them apart one by one lasts 0.3 s, a third of a short run, for memory that the system takes back anyway.
"""

from __future__ import annotations

import contextlib
import gc
from _io import _IOBase as File  # io.IOBase asks an abstract class each time: seconds for all objects

__all__ = ["leave"]


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
