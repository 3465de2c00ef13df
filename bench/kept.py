"""The results kept from earlier runs: a run replaces those it measured again and leaves the others alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.results import Result

__all__ = ["MachineDiffers", "merge", "read", "same_machine"]

FORMAT = 2  # 1 had one date and one machine for all results
HARDWARE = ("cpu", "cores", "system")


class MachineDiffers(ValueError):
    """Results of two machines do not belong in one table."""


def read(path: Path) -> list[Result]:
    """The results in a file, none where there is no file or one of format 1, which is only ever replaced."""
    if not path.exists():
        return []
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        return []
    return [Result.from_dict(fields) for fields in document["results"]]


def same_machine(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two descriptions are of the same kind of machine; versions of packages may differ, and are shown."""
    return all(a.get(part) == b.get(part) for part in HARDWARE)


def expect_same_machine(kept: Iterable[Result], machine: dict[str, Any], path: Path) -> None:
    """Raise MachineDiffers unless all that was kept was measured on this kind of machine."""
    for result in kept:
        if not same_machine(result.machine, machine):
            theirs, ours = (", ".join(str(m.get(part, "?")) for part in HARDWARE) for m in (result.machine, machine))
            raise MachineDiffers(
                f"{path.name} holds {result.id} as measured on another machine ({theirs}; this one: {ours}). "
                "Give --fresh to start anew, or --json and --markdown to write somewhere else."
            )


def merge(kept: Iterable[Result], new: Iterable[Result], order: Sequence[str]) -> list[Result]:
    """The new results and, of the kept ones, those not measured again; in this order of ids, without unknown ones."""
    found = {result.id: result for result in [*kept, *new]}
    return [found[name] for name in order if name in found]
