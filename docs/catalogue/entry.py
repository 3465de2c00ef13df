"""What a page says of one item, and how that is written in HTML."""

from __future__ import annotations

import html
import inspect
import re
from dataclasses import dataclass, field
from typing import Any

from .mathml import by_itself
from .oracles import judged
from .prose import typeset

__all__ = ["Entry", "call", "code", "documented"]

ORDER = (
    "Steps", "Derivative", "Range", "Kinks", "Robbins-Monro", "Call", "Shapes", "Inputs", "Output", "Parameters",
    "Also called", "Raises", "Source",
)  # fmt: skip


@dataclass
class Entry:
    """One item: a formula, what else is to be said, the facts by their names, and a picture or why there is none.

    `formula` and the facts are HTML; `summary` is one line of plain text for lists.
    """

    kind: str
    name: str
    formula: str
    facts: dict[str, str] = field(default_factory=dict)
    body: str = ""
    picture: str = ""
    caption: str = ""

    @property
    def anchor(self) -> str:
        """Where its heading stands on the page."""
        return re.sub(r"[^\w\s-]", "", self.name.lower()).strip()

    def markdown(self) -> str:
        """A heading, and one block of HTML."""
        figure = f"<figure>{self.picture}<figcaption>{self.caption}</figcaption></figure>" if self.picture else ""
        if not self.picture and self.caption:
            figure = f'<figure class="none"><figcaption>{self.caption}</figcaption></figure>'
        facts = {name: self.facts[name] for name in (*ORDER, *self.facts) if self.facts.get(name)}
        facts["Judged by"] = judged(self.kind, self.name)
        listed = "".join(f"<dt>{name}</dt><dd>{told}</dd>" for name, told in facts.items())
        inside = (
            f'<div class="formula">{self.formula}</div>{figure}<div class="told">{self.body}<dl>{listed}</dl></div>'
        )
        block = f'<div class="kj-item" data-kind="{self.kind}">{inside}</div>'
        return f"## {self.name}\n\n{block}\n"


def code(text: str) -> str:
    """Code type."""
    return f"<code>{html.escape(text, quote=False)}</code>"


def call(function: Any, name: str) -> str:
    """A call with all arguments and what they are when they are not given: Dense(units, activation=None, *, …)."""
    told = []
    star = False
    for p in inspect.signature(function).parameters.values():
        if p.name in ("self", "name", "dtype"):
            continue
        if p.kind is p.KEYWORD_ONLY and not star:
            told.append("*")
            star = True
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            told.append(f"{'*' if p.kind is p.VAR_POSITIONAL else '**'}{p.name}")
        elif p.default is p.empty:
            told.append(p.name)
        else:
            told.append(f"{p.name}={written(p.default)}")
    while told and told[-1] == "*":
        told.pop()
    return code(f"{name}({', '.join(told)})").replace("(", "(<wbr/>", 1)


def written(value: Any) -> str:
    """A default as one types it."""
    if isinstance(value, float) and len(repr(value)) > 8:
        return f"{value:.4g}"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def documented(kind: str, name: str, thing: Any, said: dict[str, str], **facts: str) -> Entry:
    """An entry from the parts of a docstring: the first paragraph is the formula."""
    first, _, rest = said.get("", "").partition("\n\n")
    formula = typeset(first)
    if alone := re.fullmatch(r"<p>(?:<span>)?(<math>(?:(?!<math>).)*</math>)\.?(?:</span>)?</p>", formula):
        formula = by_itself(alone[1])
    told = {head: (plain if head in ("Shapes", "Source") else inline)(text) for head, text in said.items() if head}
    return Entry(kind, name, formula, {**told, **facts}, typeset(rest) if rest else "")


def inline(text: str) -> str:
    """A paragraph without its tags."""
    found = typeset(text)
    return found.removeprefix("<p>").removesuffix("</p>") if found.count("<p>") == 1 else found


def plain(text: str) -> str:
    """Shapes and sources: as they are written, but for code type and the full stop."""
    return re.sub(r"`([^`]+)`", lambda m: code(m[1]), html.escape(text.removesuffix("."), quote=False))
