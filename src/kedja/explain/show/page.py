"""How an explanation made of blocks is shown: in text, in a terminal, in notebooks, as Markdown, LaTeX and data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kedja.explain.show.blocks import Block, data
from kedja.explain.show.figures import Figures
from kedja.explain.show.html import as_html, document
from kedja.explain.show.printing import as_markdown, as_rich, as_tex, as_text

__all__ = ["Page"]


class Page:
    """The base of what `explain` returns: `str()`, HTML in notebooks, Markdown, LaTeX, and plain data.

    A subclass says its `blocks`; `figures` is how numbers are written.
    """

    figures: Figures = Figures()

    def blocks(self) -> Iterator[Block]:
        """What stands on the page, in order."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {"blocks": [data(b, self.figures) for b in self.blocks()]}

    def __str__(self) -> str:
        return as_text(list(self.blocks()), self.figures)

    __repr__ = __str__

    def markdown(self) -> str:
        """The page in Markdown, its formulas as TeX between dollar signs."""
        return as_markdown(list(self.blocks()), self.figures)

    def tex(self) -> str:
        """The page in LaTeX (for a document that uses amsmath)."""
        return as_tex(list(self.blocks()), self.figures)

    def _repr_html_(self) -> str:
        return as_html(list(self.blocks()), self.figures)

    def html(self) -> str:
        """The page as a file of HTML with MathML, complete and without anything to be loaded."""
        return document(list(self.blocks()), self.figures)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        yield from as_rich(list(self.blocks()), self.figures)
