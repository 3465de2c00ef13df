"""Who judged an item, and how far off it was: from docs/oracles.json, which the tests write."""

from __future__ import annotations

import functools
import json
from pathlib import Path

__all__ = ["FILE", "OWN", "judged", "table"]

FILE = Path(__file__).parents[1] / "oracles.json"
OWN = {
    "XLA = reference": "both engines",
    "forward = reverse": "forward against reverse mode",
    "perturbation": "perturbation",
    "second order": "second derivatives against perturbation",
    "shape and type": "shapes and types",
}
"""What every op is held to by itself, as a reader would call it."""


@functools.cache
def table() -> dict[str, dict[str, list[float]]]:
    """item → judge → [cases, worst error]."""
    found: dict[str, dict[str, list[float]]] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def judged(kind: str, name: str) -> str:
    """The judges of an item, outside ones first, with the worst error and the number of cases."""
    rows = table().get(f"{kind}/{name}", {})
    outside = [row(judge, *rows[judge]) for judge in rows if judge not in OWN]
    own = [judge for judge in rows if judge in OWN]
    told = "; ".join(outside) or "nobody yet"
    if own:
        times, apart = sum(rows[judge][0] for judge in own), max(rows[judge][1] or 0.0 for judge in own)
        told += f'<br><span class="own">and by itself, {row("", times, apart)}: {", ".join(map(OWN.get, own))}</span>'
    return told


def row(judge: str, cases: int, worst: float | None) -> str:
    """One judge, as a reader wants it."""
    times = f"{cases:,} case{'s' if cases != 1 else ''}"
    if worst is None:
        return f"{judge} ({times})".strip()
    apart = "exactly" if not worst else f"to\u00a0{power(worst)}"
    return f"{judge} {apart} ({times})".strip()


def power(worst: float) -> str:
    """3e-16 as 3 · 10⁻¹⁶."""
    digit, exponent = f"{worst:.0e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if digit == "1" else f"{digit}\u00a0·\u00a010{raised}"
