"""The figures of docs/speed.md: the kept results as short tables, put between two marks of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.harness import OURS
from bench.report import hardware, ratio_of
from bench.results import Benchmark, Result, Row

__all__ = ["PAGE", "figures", "with_figures"]

PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
BEGIN, END = "<!-- figures: written by `python -m bench --page` -->", "<!-- end of the figures -->"
LISTS = ("imports", "growth", "memory", "ceiling")  # no contestants with ratios: a row is a figure
UNITS = {"µs/step": ((1e6, "s a step"), (1e3, "ms a step"), (1.0, "µs a step")), "s": ((1.0, "s"),)}


def with_figures(text: str, results: Iterable[Result], known: Sequence[Benchmark]) -> str:
    """The page with the tables of these results between its marks.

    Raises ValueError when the page has no marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN!r} and {END!r}; the figures go between them.")
    return f"{before}{BEGIN}\n\n{figures(results, known)}\n{END}{after}"


def figures(results: Iterable[Result], known: Sequence[Benchmark]) -> str:
    """Where it was measured, a table of all workloads with their goals, what they are, and the lists."""
    found = {result.id: result for result in results}
    lines = _machines(list(found.values()))
    lines += ["| | kedja | beside | its time | ratio, median (min … max) | goal | |"]
    lines += ["|---|---|---|---|---|---|---|"]
    workloads = [benchmark for benchmark in known if benchmark.id not in LISTS]
    for benchmark in workloads:
        lines += _workload(benchmark, found.get(benchmark.id))
    lines += ["", *(f"- **{benchmark.id}**: {benchmark.title}" for benchmark in workloads)]
    for benchmark in known:
        if benchmark.id in LISTS:
            lines += ["", f"**{benchmark.id}**: {benchmark.title}", ""]
            lines += _list(found.get(benchmark.id))
    return "\n".join(lines) + "\n"


def _machines(results: list[Result]) -> list[str]:
    """The machine and versions; versions that differ between results are said with the results they belong to."""
    by_versions: dict[str, list[Result]] = {}
    for result in results:
        packages = ", ".join(f"{name} {version}" for name, version in result.machine.get("packages", {}).items())
        by_versions.setdefault(f"{hardware(result.machine)}; {packages}", []).append(result)
    lines = []
    for versions, group in by_versions.items():
        days = sorted({result.measured[:10] for result in group})
        when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        which = "" if len(by_versions) == 1 else f" ({', '.join(result.id for result in group)})"
        threads = sorted({str(result.settings.get("threads", "?")) for result in group})
        lines += [f"Measured {when} on {versions}; {' or '.join(threads)} threads{which}.", ""]
    return lines


def _workload(benchmark: Benchmark, result: Result | None) -> list[str]:
    """A line for each contestant, ours in front of the first."""
    if result is None:
        return [_line(benchmark.id, "not measured yet", "", "", "", "", "")]
    ours = next((row for row in result.rows if row.contestant == OURS), None)
    peers = [row for row in result.rows if row is not ours]
    own = "" if ours is None else _figure(ours)
    lines = []
    if ours is not None and (ours.goal or not peers):
        lines.append(_line(result.id, own, "", "", "", ours.goal, ours.verdict))
    for row in peers:
        first = not lines
        front = (result.id, own) if first else ("", "")
        lines.append(_line(*front, row.contestant, _figure(row), ratio_of(row), row.goal, row.verdict))
    return lines


def _list(result: Result | None) -> list[str]:
    if result is None:
        return ["Not measured yet."]
    head = ["| | | goal | | |", "|---|---|---|---|---|"]
    return head + [
        _line(row.contestant, " ".join(filter(None, (_figure(row), ratio_of(row)))), row.goal, row.verdict, row.note)
        for row in result.rows
    ]


def _figure(row: Row) -> str:
    """The median in a unit that suits it, or why there is none."""
    if row.status != "ok" or row.time is None:
        return row.status if row.status != "ok" else ""
    median = row.time.median
    for size, unit in UNITS.get(row.unit, ()):
        if median >= size or size == min(size for size, _ in UNITS[row.unit]):
            return f"{median / size:.3g} {unit}" + (" (disturbed)" if row.disturbed else "")
    return f"{median:.3g} {row.unit}".rstrip()


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
