"""A page of an explanation as HTML with MathML: nothing is loaded, from nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from kedja.explain.show.blocks import Block, Line, Title, Words
from kedja.explain.show.figures import Figures
from kedja.explain.show.mathml import FONT, MINUS, mathml
from kedja.explain.show.printing import facts
from kedja.explain.words import _, spoken

__all__ = ["as_html", "document"]

STYLE = """
.kedja-page { max-width: 60em; line-height: 1.5 }
.kedja-page .line { margin: .8em 0; padding-left: .8em; border-left: 3px solid #8884 }
.kedja-page .fact { opacity: .75; font-size: .9em }
.kedja-page .note { border-left: 3px solid #d90; padding-left: .8em }
.kedja-page math { font-family: FONT; font-size: 1.05em }
.kedja-page .equation { overflow-x: auto; overflow-y: hidden; padding: .25em 0 }
""".replace("FONT", FONT)


def as_html(blocks: Sequence[Block], figures: Figures) -> str:
    """A section of HTML."""
    source = ""
    parts = [f'<section class="kedja-page"><style>{STYLE}</style>']
    for block in blocks:
        if isinstance(block, Title):
            parts.append(f"<h{block.level + 1}>{escape(block.text)}</h{block.level + 1}>")
        elif isinstance(block, Words):
            kind = ' class="note"' if block.note else ""
            parts.append(f"<p{kind}>{escape(MINUS.sub('−', block.text))}</p>")
        elif isinstance(block, Line):
            parts.append(_line(block, figures, source))
            source = block.source or source
        else:
            parts.append(block.html())
    return "\n".join([*parts, "</section>"])


def document(blocks: Sequence[Block], figures: Figures) -> str:
    """A whole file."""
    title = next((b.text for b in blocks if isinstance(b, Title)), "kedja")
    return (
        f'<!doctype html>\n<html lang="{spoken()}"><head><meta charset="utf-8"><title>{escape(title)}</title></head>\n'
        f"<body>\n{as_html(blocks, figures)}\n</body></html>\n"
    )


def _line(line: Line, figures: Figures, source: str) -> str:
    rows = line.rows(figures)
    arrow = r"\leftarrow" if line.arrow == "←" else "="
    parts = ['<div class="line">']
    number = f"{line.number}. " if line.number is not None else ""
    if number or facts(line):
        parts.append(f'<div class="fact">{escape(number + facts(line))}</div>')
    equation = line.name.tex + "".join(f" {arrow if i == 0 else '='} {row.tex}" for i, row in enumerate(rows))
    equations = [equation, *(" = ".join(w.tex for w in row) for row in line.elements)]
    parts += [f'<div class="equation">{mathml(e)}</div>' for e in equations]
    if line.old is not None:
        parts.append(f'<div class="fact">{escape(_("before:"))} {mathml(figures.written(line.old).tex)}</div>')
    parts += [f'<div class="fact">{mathml(f"{a.tex} = {b.tex}")}</div>' for a, b in line.derivatives]
    parts += [f'<div class="note">{escape(note)}</div>' for note in line.notes]
    if line.source and line.source != source:
        parts.append(f'<div class="fact"><code>{escape(line.source)}</code></div>')
    return "".join([*parts, "</div>"])
