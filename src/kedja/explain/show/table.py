"""A table in the four ways explanations are shown: text, Markdown, HTML and TeX."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

__all__ = ["ROOM", "Table", "Tabular"]

ROOM = "padding:.2em .7em"  # around the words of a cell, in HTML
TEX = {"\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}


class Table(NamedTuple):
    """Cells under a head; the columns whose numbers are in `right` end on one line. `notes` stand below.

    >>> print(Table(("layer", "size"), [("conv", "9"), ("pool", "12")], right=(1,)))
    layer  size
    ───────────
    conv      9
    pool     12
    """

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    right: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(w) if i in self.right else cell.ljust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (self.head, *self.rows)
        ]
        rule = "─" * (sum(widths) + 2 * len(widths) - 2)
        return "\n".join([lines[0], rule, *lines[1:], *([rule, *self.notes] if self.notes else [])])

    def markdown(self) -> str:
        """The table in Markdown."""
        marks = ["---:" if i in self.right else "---" for i in range(len(self.head))]
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.head, marks, *map(_barred, self.rows))]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])

    def html(self) -> str:
        """The table in HTML."""

        def line(cells: Sequence[str], tag: str) -> str:
            sides = ["right" if i in self.right else "left" for i in range(len(cells))]
            marked = zip(cells, sides, strict=True)
            return "".join(f'<{tag} style="text-align:{side};{ROOM}">{escape(c)}</{tag}>' for c, side in marked)

        body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in self.rows)
        notes = f"<p>{'<br>'.join(map(escape, self.notes))}</p>" if self.notes else ""
        return f"<table><thead><tr>{line(self.head, 'th')}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def tex(self) -> str:
        """The table as an array, its cells as text."""
        columns = "".join("r" if i in self.right else "l" for i in range(len(self.head)))
        lines = [" & ".join(rf"\text{{{_plain(c)}}}" for c in row) for row in (self.head, *self.rows)]
        body = lines[0] + r" \\ \hline " + r" \\ ".join(lines[1:])
        return rf"\begin{{array}}{{{columns}}} {body} \end{{array}}"


class Tabular:
    """What is shown as a table: a subclass has a `table`, and gets the ways to show it."""

    @property
    def table(self) -> Table:
        """What is shown."""
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.table)

    def __repr__(self) -> str:
        return str(self)

    def markdown(self) -> str:
        """The table in Markdown."""
        return self.table.markdown()

    def tex(self) -> str:
        """The table in TeX."""
        return self.table.tex()

    def _repr_html_(self) -> str:
        return self.table.html()


def _barred(row: Sequence[str]) -> list[str]:
    return [cell.replace("|", r"\|") for cell in row]


def _plain(cell: str) -> str:
    return "".join(TEX.get(c, c) for c in cell)
