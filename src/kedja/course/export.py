"""Lessons as .ipynb files in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from kedja.course.lesson import lesson, names
from kedja.course.notebook import notebook
from kedja.errors import DataError
from kedja.files import write_whole

__all__ = ["export"]


def export(
    folder: str | os.PathLike[str], wanted: Iterable[str] | None = None, *, solutions: bool = True
) -> list[Path]:  # fmt: skip
    """Write these lessons, all by default, and say where. If one of the files is there already, none is written.

    DataError names the file in the way, UnknownNameError a lesson that does not exist.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in export(folder, ["1"])]
    ['01-perceptron.ipynb']
    """
    chosen = sorted({lesson(name).name for name in wanted} if wanted is not None else names())
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise DataError(f"{place} is a file; notebooks need a folder: give another name with --out.")
    targets = {name: place / f"{name}.ipynb" for name in chosen}
    there = [path for path in targets.values() if path.exists()]
    if there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise DataError(f"{there[0]} exists already{more} and is not overwritten: give another folder with --out.")
    place.mkdir(parents=True, exist_ok=True)
    for name, path in targets.items():
        made = notebook(lesson(name), solutions)
        write_whole(path, json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    return list(targets.values())
