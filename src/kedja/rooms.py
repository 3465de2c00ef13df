"""Rooms whose names are loaded when they are first used, each with what it needs; and how a large package is loaded."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

__all__ = ["lazily", "loading"]


@contextmanager
def loading() -> Iterator[None]:
    """Load a large package inside: the garbage collector waits meanwhile, and takes what came for old.

    All that arrives stays, and the collector would go through it again and again: a fifth of the time that JAX takes.
    """
    if not gc.isenabled():
        yield
        return
    gc.collect(1)  # young garbage must not become old with the rest
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if not gc.get_freeze_count():  # what somebody has frozen stays frozen
            gc.freeze()
            gc.unfreeze()  # into the oldest generation, without a look at any of it


def lazily(room: str, homes: Mapping[str, tuple[str, ...]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A room's `__getattr__` and `__dir__`: `homes` says which module inside it has which public names.

    No module there may have the name of anything public: an import would put the one in the place of the other.
    """
    home = {name: module for module, names in homes.items() for name in names}
    inside = vars(sys.modules[room])

    def load(name: str) -> Any:
        if name not in home:
            from kedja.elsewhere import missing

            raise missing(room, name, inside["__all__"])
        found = inside[name] = getattr(import_module(f"{room}.{home[name]}"), name)
        return found

    return load, lambda: sorted({*inside, *inside["__all__"]})
