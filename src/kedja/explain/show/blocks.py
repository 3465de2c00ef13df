"""What an explanation is made of: titles, sentences, lines of a calculation and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from kedja.explain.show.figures import Figures, Written
from kedja.explain.show.table import Table

__all__ = ["Block", "Line", "Title", "Words", "data", "numbered"]


class Title(NamedTuple):
    """A heading; level 1 is that of the page."""

    text: str
    level: int = 2


class Words(NamedTuple):
    """A paragraph. `note`: something to be careful of."""

    text: str
    note: bool = False


@dataclass
class Line:
    """One step of a calculation: what is computed, its formula with symbols and with numbers, and the value.

    `rule` says what the op does, in words; `derivatives` are the equations of the rule, `elements` the formulas of
    single numbers; `source` is the user's line. `arrow` is "=" or, where something is replaced, "←".
    """

    name: Written
    formula: Written | None = None
    numbers: Written | None = None
    value: Any = None
    op: str = ""
    layer: str = ""
    rule: str = ""
    source: str = ""
    old: Any = None
    derivatives: list[tuple[Written, Written]] = field(default_factory=list)
    elements: list[list[Written]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    arrow: str = "="
    number: int | None = None

    def rows(self, figures: Figures) -> list[Written]:
        """What stands behind the equals signs, one below the other; what repeats the row before is left out."""
        found = [w for w in (self.formula, self.numbers) if w is not None]
        if self.value is not None:
            found.append(figures.written(self.value))
        rows: list[Written] = []
        for row in found:
            if not rows or rows[-1].text != row.text:
                rows.append(row)
        return rows

    def __str__(self) -> str:
        rows = self.rows(Figures())
        return self.name.text + (f" {self.arrow} " + " = ".join(row.text for row in rows) if rows else "")

    def to_dict(self, figures: Figures) -> dict[str, Any]:
        """Plain data."""
        said: dict[str, Any] = {"name": self.name._asdict(), "op": self.op, "layer": self.layer, "rule": self.rule}
        said["formula"] = self.formula._asdict() if self.formula else None
        said["numbers"] = self.numbers._asdict() if self.numbers else None
        if self.old is not None:
            said["old"] = figures.data(self.old)
        if self.value is not None:
            said["value"], said["shape"] = figures.data(self.value), list(np.shape(self.value))
        said["source"] = self.source
        said["derivatives"] = [{"name": a._asdict(), "is": b._asdict()} for a, b in self.derivatives]
        said["elements"] = [[w._asdict() for w in row] for row in self.elements]
        said["notes"] = list(self.notes)
        return said


Block = Title | Words | Line | Table


def data(block: Block, figures: Figures) -> dict[str, Any]:
    """A block as plain data."""
    if isinstance(block, Title):
        return {"title": block.text, "level": block.level}
    if isinstance(block, Words):
        return {"note" if block.note else "words": block.text}
    if isinstance(block, Line):
        return {"line": block.to_dict(figures)}
    return {"table": {"head": list(block.head), "rows": [list(r) for r in block.rows], "notes": list(block.notes)}}


def numbered(lines: Sequence[Line], start: int = 1) -> list[Line]:
    """The lines with their numbers."""
    for i, line in enumerate(lines):
        line.number = start + i
    return list(lines)
