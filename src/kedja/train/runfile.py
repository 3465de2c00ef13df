"""A run's figures as a file of JSON lines: a line about the run, then one per epoch; and files written whole."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from kedja.errors import FormatError
from kedja.files import write_whole

__all__ = ["jsonable", "read_run", "write_run"]

FORMAT, VERSION = "kedja history", 1


def write_run(
    path: str | os.PathLike[str], head: Mapping[str, Any], epochs: Sequence[int], metrics: Mapping[str, Sequence[float]]
) -> None:
    """Write what `read_run` reads: `head` says how the run went, `metrics` has one value per epoch and name."""
    first = {"format": FORMAT, "version": VERSION, **jsonable(head), "metrics": list(metrics)}
    lines = [json.dumps(first, ensure_ascii=False, allow_nan=False)]
    for epoch, *values in zip(epochs, *metrics.values(), strict=True):
        row = {name: jsonable(value) for name, value in zip(metrics, values, strict=True)}
        lines.append(json.dumps({"epoch": epoch, **row}, ensure_ascii=False, allow_nan=False))
    write_whole(path, "\n".join(lines) + "\n")


def read_run(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[int], dict[str, list[float]]]:
    """The head, the epochs and the metrics of a run; every line is checked, null becomes nan."""
    try:
        lines = Path(path).read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(f"{os.fspath(path)} is not a text file: {error}") from error
    place = 1
    try:
        first = _parse(lines[0])
        if first.get("format") != FORMAT or first.get("version") != VERSION:
            raise ValueError(f'it does not begin with "format": "{FORMAT}", "version": {VERSION}')
        head, names = _checked_head(first), _checked_names(first)
        epochs: list[int] = []
        columns: dict[str, list[float]] = {name: [] for name in names}
        for line in lines[1:]:
            place += 1
            row = _parse(line)
            epochs.append(_checked_epoch(row, names))
            for name, column in columns.items():
                column.append(_checked_value(row[name]))
    except (ValueError, OverflowError, RecursionError) as error:
        raise FormatError(f"{os.fspath(path)}, line {place}, is not a kedja history: {error}") from error
    return head, epochs, columns


def jsonable(value: Any) -> Any:
    """Plain JSON data for a setting: arrays become lists, what is not finite null, other objects their text.

    >>> jsonable({"rate": np.float32(0.5), "shape": (2, 3), "best": math.inf})
    {'rate': 0.5, 'shape': [2, 3], 'best': None}
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value if value is None or isinstance(value, str | int) else str(value)


def _parse(line: str) -> dict[str, Any]:
    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is not JSON")

    row = json.loads(line, parse_constant=refuse)
    if not isinstance(row, dict):
        raise ValueError("a line is a JSON object")
    return row


def _checked_head(head: dict[str, Any]) -> dict[str, Any]:
    kinds: dict[str, tuple[type, ...]] = {
        "stopped": (str,),
        "seconds": (int, float, type(None)),
        "steps": (int,),
        "seed": (int, type(None)),
        "engine": (str,),
        "compile_seconds": (int, float, type(None)),
        "settings": (dict,),
    }
    for field, kind in kinds.items():
        if not isinstance(head.get(field), kind) or isinstance(head.get(field), bool):
            raise ValueError(f"{field!r} is {head.get(field)!r}")
    return {field: math.nan if head[field] is None and "seconds" in field else head[field] for field in kinds}


def _checked_names(head: dict[str, Any]) -> list[str]:
    names: Any = head.get("metrics")
    words = isinstance(names, list) and all(isinstance(name, str) and name not in ("", "epoch") for name in names)
    if not words or len(set(names)) != len(names):
        raise ValueError(f"'metrics' is {names!r}")
    return list(names)


def _checked_epoch(row: dict[str, Any], names: list[str]) -> int:
    epoch = row.get("epoch")
    if type(epoch) is not int or not 0 <= epoch < 2**63 or row.keys() != {"epoch", *names}:
        raise ValueError(f"it needs a whole 'epoch' and {names}; it has {list(row)}")
    return epoch


def _checked_value(value: object) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"a metric is a number or null, not {value!r}")
    return float(value)
