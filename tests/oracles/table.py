"""The table of oracles: which item of the catalogue was held against which outside judge, and how far apart they were.

An item is called `kind/name`, as in "losses/huber"; what belongs to no kind of the catalogue has a name alone.
`docs/oracles.json` keeps the table of a whole run, for the catalogue in the documentation.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["FILE", "KEY", "Table", "gathered", "lines", "missing", "read", "write"]

KEY = "judged"
FILE = Path(__file__).parents[2] / "docs" / "oracles.json"
OWN = ("XLA = reference", "forward = reverse", "perturbation", "second order", "shape and type")
Table = dict[str, dict[str, tuple[int, float | None]]]
"""item → oracle → (number of cases, worst error)"""


def gathered(reports: Iterable[Any]) -> Table:
    """The table from the properties of passed tests, which travel from xdist's workers with the reports."""
    table: Table = defaultdict(dict)
    for report in reports:
        for key, value in getattr(report, "user_properties", ()):
            if key == KEY:
                oracle, item, cases, error = value
                before, worst = table[item].get(oracle, (0, None))
                if error is not None:
                    worst = max(float(error), worst or 0.0)
                table[item][oracle] = before + cases, worst
    return {item: table[item] for item in sorted(table)}


def in_order(judges: Iterable[str]) -> list[str]:
    """Outside judges first, then what an item is held to by itself: perturbation, the other engine."""
    return sorted(judges, key=lambda judge: (judge in OWN, judge.lower()))


def lines(table: Table) -> Iterator[str]:
    """The table as it is printed: a heading for each kind, a line for each item.

    >>> print(*lines({"losses/mse": {"PyTorch": (2, 3.1e-16)}, "ops/add": {"JAX": (1, None)}}), sep="\\n")
    losses (1)
      mse                      PyTorch 3e-16 (2)
    ops (1)
      add                      JAX (1)
    judged: 2 items, 3 cases; worst errors are relative to the largest entry
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for item in table:
        kinds[item.partition("/")[0] if "/" in item else "other"].append(item)
    for kind in sorted(kinds, key=lambda k: (k == "other", k)):
        yield f"{kind} ({len(kinds[kind])})"
        for item in kinds[kind]:
            outside = {judge: row for judge, row in table[item].items() if judge not in OWN}
            told = [f"{judge} {shown(outside[judge][1])}({outside[judge][0]})" for judge in in_order(outside)]
            if own := [row for judge, row in table[item].items() if judge in OWN]:
                apart = max((error for _, error in own if error is not None), default=None)
                told.append(f"checks of its own {shown(apart)}({sum(cases for cases, _ in own)})")
            yield f"  {item.partition('/')[2] or item:<24} {', '.join(told)}"
    cases = sum(cases for judges in table.values() for cases, _ in judges.values())
    yield f"judged: {len(table)} items, {cases} cases; worst errors are relative to the largest entry"


def shown(error: float | None) -> str:
    """An error to one digit, and a blank."""
    return "" if error is None else f"{error:.0e} " if error else "0 "


def missing(table: Table, items: Iterable[str]) -> list[str]:
    """The items of the catalogue that no outside judge was asked about."""
    return sorted(set(items) - {item for item, judges in table.items() if set(judges) - set(OWN)})


def read(path: Path = FILE) -> Table:
    """The table that was kept."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {item: {judge: (row[0], row[1]) for judge, row in judges.items()} for item, judges in kept.items()}


def write(table: Table, path: Path = FILE) -> None:
    """Keep the table, an item a line, errors to one digit."""
    rows = []
    for item in sorted(table):
        judges = {j: [cases, None if e is None else float(f"{e:.0e}")] for j, (cases, e) in table[item].items()}
        told = json.dumps({judge: judges[judge] for judge in in_order(judges)}, ensure_ascii=False)
        rows.append(f"{json.dumps(item, ensure_ascii=False)}: {told}")
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
