"""What a check found, in words: `str` for a terminal, HTML in a notebook, plain data for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Finding", "Findings"]

LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that was found: how bad it is, what it concerns, and what to do."""

    level: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.text}"


class Findings(Sequence[Finding]):
    """All that was found, the worst first; `bool` says whether there is nothing to worry about."""

    def __init__(self, found: Sequence[Finding], title: str) -> None:
        self.title = title
        self.found = sorted(found, key=lambda f: LEVELS.index(f.level))

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, i: Any) -> Any:
        return self.found[i]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.found)

    def __bool__(self) -> bool:
        return not self.errors and not self.warnings

    @property
    def errors(self) -> list[Finding]:
        """What makes learning impossible."""
        return [f for f in self.found if f.level == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """What makes learning slow, or its result worth less."""
        return [f for f in self.found if f.level == "warning"]

    def __str__(self) -> str:
        return "\n".join([f"{self.title}: {self._counted()}", *(f"  {f}" for f in self.found)])

    __repr__ = __str__

    def _counted(self) -> str:
        counts = [(len(self.errors), "error"), (len(self.warnings), "warning")]
        told = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n]
        return ", ".join(told) or "nothing wrong"

    def markdown(self) -> str:
        """As a Markdown list."""
        lines = [f"- **{f.level}**, {f.where}: {f.text}" for f in self.found]
        return "\n".join([f"**{self.title}**: {self._counted()}", "", *lines])

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"title": self.title, "findings": [asdict(f) for f in self.found]}

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><td><b>{f.level}</b></td><td>{escape(f.where)}</td>"
            f"<td style='text-align:left'>{escape(f.text)}</td></tr>"
            for f in self.found
        )
        return f"<p><b>{escape(self.title)}</b>: {self._counted()}</p><table>{rows}</table>"
