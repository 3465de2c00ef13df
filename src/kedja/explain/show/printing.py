"""A page of an explanation as plain text, in a terminal with colours, as Markdown, and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kedja.explain.show.blocks import Block, Line, Title, Words
from kedja.explain.show.figures import Figures, Written
from kedja.explain.words import _

__all__ = ["as_markdown", "as_rich", "as_tex", "as_text", "facts"]

WIDE = 100  # letters of a line of text that may stand behind one equals sign


def facts(line: Line) -> str:
    """What kind of step a line is: op, layer, shape."""
    where = _("{op} in {layer}").format(op=line.op, layer=line.layer) if line.op and line.layer else line.op
    shape = getattr(line.value, "shape", None)
    sized = _("shape {shape}").format(shape=tuple(shape)) if shape and np.size(line.value) > 1 else ""
    said = ", ".join(part for part in (where or line.layer, sized) if part)
    return f"{said}: {line.rule}" if said and line.rule else said or line.rule


def as_text(blocks: Sequence[Block], figures: Figures) -> str:
    """Plain text."""
    return "\n".join(text for text, _kind in _printed(blocks, figures)).strip("\n")


def as_rich(blocks: Sequence[Block], figures: Figures) -> Iterator[Any]:
    """The same with colours, for a terminal of rich."""
    from rich.text import Text

    styles = {"title": "bold", "note": "yellow", "fact": "dim", "equation": "", "words": "", "table": ""}
    for text, kind in _printed(blocks, figures):
        yield Text(text, style=styles[kind], no_wrap=False)


def _printed(blocks: Sequence[Block], figures: Figures) -> Iterator[tuple[str, str]]:
    """Lines of text, each with its kind."""
    source = ""
    for block in blocks:
        if isinstance(block, Title):
            yield "", "words"
            yield (block.text if block.level < 3 else f"— {block.text}"), "title"
            if block.level < 3:
                yield ("═" if block.level == 1 else "─") * len(block.text), "title"
        elif isinstance(block, Words):
            yield (("! " if block.note else "") + block.text), ("note" if block.note else "words")
        elif isinstance(block, Line):
            yield from _line(block, figures, source)
            source = block.source or source
        else:
            yield "", "words"
            yield from ((row, "table") for row in str(block).splitlines())


def _line(line: Line, figures: Figures, source: str) -> Iterator[tuple[str, str]]:
    head = f"{line.number:>3}. " if line.number is not None else "  "
    yield "", "words"
    yield from ((row, "equation") for row in _equation(head, line.name, line.rows(figures), line.arrow))
    if line.old is not None:
        yield _("     before: {old}").format(old=figures.written(line.old).text), "fact"
    for row in line.elements:
        yield from ((r, "equation") for r in _equation("       ", row[0], row[1:], "="))
    if said := facts(line):
        yield "     " + said, "fact"
    for left, right in line.derivatives:
        yield f"     {left.text} = {right.text}", "fact"
    for note in line.notes:
        yield "     ! " + note, "note"
    if line.source and line.source != source:
        shown = line.source if len(line.source) <= WIDE else line.source[:WIDE] + " …"
        yield "     " + shown, "fact"


def _equation(head: str, name: Written, rows: Sequence[Written], arrow: str) -> list[str]:
    if not rows:
        return [head + name.text]
    first = f"{head}{name.text} {arrow} {rows[0].text}"
    joined = first + "".join(f" = {row.text}" for row in rows[1:])
    if len(joined) <= WIDE:
        return [joined]
    indent = " " * (len(head) + len(name.text))
    return [first, *(f"{indent} = {row.text}" for row in rows[1:])]


# --- Markdown ---------------------------------------------------------------------------------------------------------
def as_markdown(blocks: Sequence[Block], figures: Figures) -> str:
    """Markdown with TeX between dollar signs, as notebooks and most sites read it."""
    parts: list[str] = []
    for block in blocks:
        if isinstance(block, Title):
            parts.append("#" * block.level + " " + block.text)
        elif isinstance(block, Words):
            parts.append(("> " if block.note else "") + _marked(block.text))
        elif isinstance(block, Line):
            number = f"**{block.number}.** " if block.number is not None else ""
            if said := facts(block):
                parts.append(number + _marked(said))
            elif number:
                parts.append(number.strip())
            parts.append(f"$$\n{_aligned(block, figures)}\n$$")
            if block.old is not None:
                parts.append(_("before: {old}").format(old=f"${figures.written(block.old).tex}$"))
            parts += [f"${left.tex} = {right.tex}$" for left, right in block.derivatives]
            parts += ["> " + _marked(note) for note in block.notes]
            if block.source:
                parts.append(f"`{block.source}`")
        else:
            parts.append(block.markdown())
    return "\n\n".join(parts) + "\n"


def _marked(words: str) -> str:
    return re.sub(r"([*_`|])", r"\\\1", words)


def _aligned(line: Line, figures: Figures) -> str:
    rows = line.rows(figures)
    arrow = r"\leftarrow" if line.arrow == "←" else "="
    if not rows:
        return line.name.tex
    lines = [f"{line.name.tex} &{arrow} {rows[0].tex}", *(f"&= {row.tex}" for row in rows[1:])]
    for row in line.elements:
        lines += [f"{row[0].tex} &= {row[1].tex}", *(f"&= {w.tex}" for w in row[2:])]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


# --- LaTeX ------------------------------------------------------------------------------------------------------------
SIGNS = {
    "\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "∂": r"$\partial$", "σ": r"$\sigma$", "ε": r"$\varepsilon$", "α": r"$\alpha$", "β": r"$\beta$", "Σ": r"$\Sigma$",
    "∇": r"$\nabla$", "Δ": r"$\Delta$", "θ": r"$\theta$", "·": r"$\cdot$", "∘": r"$\circ$", "×": r"$\times$",
    "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$", "∞": r"$\infty$", "′": "$'$", "²": "$^2$", "½": r"$\frac12$",
    "‖": r"$\Vert$", "←": r"$\leftarrow$", "→": r"$\to$", "…": r"\ldots{}", "δ": r"$\delta$", "γ": r"$\gamma$",
    "λ": r"$\lambda$", "ρ": r"$\rho$", "≈": r"$\approx$", "ᵀ": r"$^\top$", "⁻": "$^-$", "ˣ": "$^x$",
}  # fmt: skip
RAISED = {c: str(i) for i, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")} | {"⁽": "(", "⁾": ")"}
LOWERED = {c: str(i) for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")}
MINUS = re.compile("(?<![\\w-])-(?=[\\dα-ω∞])")  # the hyphen that stands before a number


def as_tex(blocks: Sequence[Block], figures: Figures) -> str:
    """LaTeX: sections, sentences, and aligned equations."""
    parts: list[str] = []
    for block in blocks:
        if isinstance(block, Title):
            kind = {1: "section*", 2: "subsection*"}.get(block.level, "paragraph")
            parts.append(f"\\{kind}{{{plain(block.text)}}}")
        elif isinstance(block, Words):
            parts.append((r"\emph{" + plain(block.text) + "}") if block.note else plain(block.text))
        elif isinstance(block, Line):
            if said := facts(block):
                parts.append((f"{block.number}. " if block.number is not None else "") + plain(said))
            parts.append("\\[\n" + _aligned(block, figures) + "\n\\]")
            parts += [f"\\[ {left.tex} = {right.tex} \\]" for left, right in block.derivatives]
            parts += [r"\emph{" + plain(note) + "}" for note in block.notes]
        else:
            parts.append("\\[ " + block.tex() + " \\]")
    return "\n\n".join(parts) + "\n"


def plain(words: str) -> str:
    """Words as LaTeX sets them: its signs escaped, mathematical ones in mathematics."""
    words = "".join(SIGNS.get(c, c) for c in MINUS.sub("−", words))
    for sign, table in (("^", RAISED), ("_", LOWERED)):
        runs = re.compile(f"[{''.join(table)}]+")
        words = runs.sub(lambda m, s=sign, t=table: f"${s}{{{''.join(t[c] for c in m[0])}}}$", words)  # type: ignore[misc]
    return words
