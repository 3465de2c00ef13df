"""Rooms whose names are loaded when they are first used, each with what it needs and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazily"]


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
