"""Results as a table in the terminal, as Markdown and as JSON; files appear whole or not at all."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.kept import FORMAT
from bench.results import Result, Row

__all__ = [
    "as_json",
    "as_markdown",
    "circumstances",
    "columns",
    "hardware",
    "json_of",
    "markdown_table",
    "print_table",
    "ratio_of",
    "time_of",
    "write_atomically",
]

HEADER = ("contestant", "time, median (quartiles)", "ratio, median (min … max)", "goal", "verdict", "result", "note")


def as_json(results: Sequence[Result]) -> str:
    """One document; figures that are not finite become null, which every JSON reader knows."""
    return json_of({"format": FORMAT, "results": [result.to_dict() for result in results]})


def json_of(document: dict[str, Any]) -> str:
    """As a file holds it; figures that are not finite become null."""
    return json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in rows]


def columns(table: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table for a terminal."""
    widths = [max(len(cells[i]) for cells in table) for i in range(len(table[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(cells, widths, strict=True)).rstrip() for cells in table]


def as_markdown(results: Sequence[Result]) -> str:
    """The page `results/latest.md`."""
    lines = [
        "# Benchmarks",
        "",
        "Ratio: the contestant's time divided by kedja's in the same round; above 1 kedja is faster.",
    ]
    for result in results:
        lines += ["", f"## {result.id}: {result.title}", ""]
        lines += markdown_table(HEADER, map(_cells, result.rows))
        if result.agreement:
            lines += ["", f"Result: {result.agreement}."]
        lines += ["", circumstances(result)]
    return "\n".join(lines) + "\n"


def circumstances(result: Result) -> str:
    """When, on what and with what a result was measured, as a sentence."""
    machine, settings = result.machine, result.settings
    packages = ", ".join(f"{name} {version}" for name, version in machine.get("packages", {}).items())
    said = f"Measured {result.measured} on {hardware(machine)} ({settings.get('threads', '?')} threads used), "
    rounds = f"{'up to ' if settings.get('patience') else ''}{settings.get('repeats', '?')} rounds"
    said += f"{rounds}{', QUICK' if settings.get('quick') else ''}; {packages}."
    return said + (f" Load before {machine['load_before']}." if "load_before" in machine else "")


def hardware(machine: dict[str, Any]) -> str:
    """The machine in one breath."""
    known = {part: machine.get(part, "?") for part in ("cpu", "cores", "system", "python")}
    return "{cpu}, {cores} cores, {system}, {python}".format(**known)


def print_table(result: Result) -> None:
    """One benchmark for people: with rich where it is installed, else as aligned text."""
    if importlib.util.find_spec("rich") is None:
        _print_plain(result)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"pass": "green", "fail": "red", "later": "yellow"}
    table = Table(title=f"{result.id}: {result.title}", caption=result.agreement or None, title_justify="left")
    for heading in HEADER[:-1]:
        table.add_column(heading)
    for row in result.rows:
        table.add_row(*(Text(cell, style=colours.get(cell, "")) for cell in _cells(row)[:-1]))
    console = Console()
    console.print(table)
    # Beneath, because a column of notes would squeeze the figures.
    for row in result.rows:
        if row.note:
            console.print(Text(f"  {row.contestant}: {row.note}"))


def write_atomically(path: Path, text: str) -> None:
    """Write beside the target and rename: a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp makes it private
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _cells(row: Row) -> tuple[str, ...]:
    if row.status != "ok":
        return (row.contestant, row.status, "", row.goal, row.verdict, "", row.note)
    return (row.contestant, time_of(row), ratio_of(row), row.goal, row.verdict, _result(row), row.note)


def time_of(row: Row) -> str:
    """Median and quartiles, and whether others worked meanwhile."""
    time, unit = row.time, row.unit
    if time is None:
        return ""
    disturbed = f", DISTURBED: others used {row.others:.1f} cores" if row.disturbed else ""
    quartiles = f" ({time.lower_quartile:.4g} … {time.upper_quartile:.4g})" if time.count > 1 else ""
    return f"{time.median:.4g} {unit}".rstrip() + quartiles + disturbed


def ratio_of(row: Row) -> str:
    """Median and range."""
    if row.ratio is None:
        return ""
    spread = f" ({row.ratio.minimum:.2f} … {row.ratio.maximum:.2f})" if row.ratio.count > 1 else ""
    return f"{row.ratio.median:.2f}×{spread}"


def _result(row: Row) -> str:
    if row.agreement is None or row.difference is None:
        return ""
    return f"{row.agreement:.6g} (Δ {row.difference:.1e}{'' if row.agrees else ', DIFFERS'})"


def _print_plain(result: Result) -> None:
    print(f"\n{result.id}: {result.title}")
    print("\n".join(columns([HEADER, *map(_cells, result.rows)])))
    if result.agreement:
        print(f"result: {result.agreement}")


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", "<br>")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
