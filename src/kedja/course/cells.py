"""A lesson's text, taken apart into the cells of a notebook.

The text is Markdown. A `python` block is a code cell; the `text` block that follows it is what it must print, which
the tests hold and the notebook leaves out. Prose between code blocks is a Markdown cell; a heading of the second rank
and the words `**Exercise` begin a new one. What stands between the lines `::: solution` and `:::` is a solution.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kedja.errors import FormatError

__all__ = ["Cell", "cells_of"]

FENCE = "```"
OPENS, CLOSES = "::: solution", ":::"
BEGINS = re.compile(r"## |\*\*Exercise ")


@dataclass(frozen=True)
class Cell:
    """One cell: "markdown" or "code", its text, the line it begins in, and what it must print, if that is said."""

    kind: str
    source: str
    line: int
    solution: bool = False
    output: str | None = None


def cells_of(text: str, name: str = "lesson") -> list[Cell]:
    """The cells of a lesson, in order. FormatError, with name and line, where a block is not closed or out of place.

    >>> [(cell.kind, cell.source) for cell in cells_of("# Sums\\n\\nOne and one:\\n\\n```python\\n1 + 1\\n```\\n")]
    [('markdown', '# Sums\\n\\nOne and one:'), ('code', '1 + 1')]
    """
    found: list[Cell] = []
    for cell in Reader(text, name).cells():
        if cell.kind == "output":
            if not found or found[-1].kind != "code" or found[-1].output is not None:
                raise FormatError(
                    f"{name}, line {cell.line}: an output (a text block) must directly follow the code it is of"
                )
            found[-1] = replace(found[-1], output=cell.source)
        elif cell.source:
            found.append(cell)
    return found


class Reader:
    """Goes through the lines once."""

    def __init__(self, text: str, name: str) -> None:
        self.lines = list(enumerate(text.splitlines(), 1))
        self.name, self.solution = name, 0  # the line in which the present solution began

    def cells(self) -> Iterator[Cell]:
        """Cells as they come, outputs among them; prose may be empty."""
        prose: list[tuple[int, str]] = []
        lines = iter(self.lines)
        for number, line in lines:
            language = line.removeprefix(FENCE).strip() if line.startswith(FENCE) else None
            if language is not None:
                block = self.block(number, lines)
                if language in ("python", "text"):
                    yield self.markdown(prose)
                    prose = []
                    kind = "code" if language == "python" else "output"
                    yield Cell(kind, "\n".join(block), number, bool(self.solution))
                else:  # shown, not run
                    prose += [(number, shown) for shown in (line, *block, FENCE)]
            elif line.rstrip() in (OPENS, CLOSES):
                yield self.markdown(prose)
                prose = []
                self.turn(number, line.rstrip() == OPENS)
            elif BEGINS.match(line):
                yield self.markdown(prose)
                prose = [(number, line)]
            else:
                prose.append((number, line))
        yield self.markdown(prose)
        if self.solution:
            raise FormatError(f"{self.name}, line {self.solution}: this solution is never closed by a line {CLOSES!r}")

    def block(self, number: int, lines: Iterator[tuple[int, str]]) -> list[str]:
        """The lines up to the end of a fenced block."""
        block: list[str] = []
        for _, line in lines:
            if line.rstrip() == FENCE:
                return block
            block.append(line)
        raise FormatError(f"{self.name}, line {number}: this block is never closed by a line {FENCE!r}")

    def turn(self, number: int, opens: bool) -> None:
        """Into a solution, or out of it."""
        if opens and self.solution:
            raise FormatError(
                f"{self.name}, line {number}: a solution inside the one that begins in line {self.solution}"
            )
        if not opens and not self.solution:
            raise FormatError(f"{self.name}, line {number}: {CLOSES!r} ends a solution, but none has begun")
        self.solution = number if opens else 0

    def markdown(self, prose: list[tuple[int, str]]) -> Cell:
        """Lines of prose as a cell, without the empty ones around it."""
        text = "\n".join(line for _, line in prose)
        line = next((number for number, line in prose if line.strip()), 0)
        return Cell("markdown", text.strip("\n").rstrip(), line, bool(self.solution))
