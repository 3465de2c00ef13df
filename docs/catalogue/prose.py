"""Docstrings as HTML: their parts, and their sentences with the formulas in them set as formulas.

A docstring says the formula first; then come paragraphs, some of which begin with a word that tells what they are:
Shapes, Inputs, Output, Parameters, Derivative, Raises, Source. That is how `parts` takes it apart.
"""

from __future__ import annotations

import html
import inspect
import re
import unicodedata
from itertools import zip_longest
from typing import Any

from .notation import HIGH, LETTERS, LOW, SIGNS, WORDS, formula

__all__ = ["parts", "typeset"]

HEADS = ("Shapes", "Inputs", "Output", "Parameters", "Derivative", "Raises", "Source")
SENTENCE = re.compile(rf"(?:^|(?<=[.:;)`])\s+)(?=(?:{'|'.join(HEADS)})\b(?:: | [A-Z]\w*Error| as (?:for|in) ))")
STRONG = set(SIGNS) - set("-/…<>*|") | set(LETTERS) | set(HIGH) | set(LOW) | set("√½′^‖⌊⌋⌈⌉\u0302\u0304")
STOP = {"the", "a", "an", "of", "one", "that", "this", "its", "each", "what", "where", "with", "and", "for", "between"}
WORDLETS = {"In", "If", "It", "An", "As", "At", "By", "He", "Is", "No", "Of", "On", "Or", "So", "To", "Up", "We", "Ba"}
EDGE = ".,;:!?\"'"
CODE = re.compile(r"(``?[^`]+``?)")


def parts(thing: Any) -> dict[str, str]:
    """The docstring of a class or function by its parts; "" is the formula and what follows it.

    >>> import kedja as kj
    >>> parts(kj.losses.MSE)["Source"]
    'scope 3.'
    """
    doc = inspect.cleandoc(inspect.getdoc(thing) or "").split(">>>")[0].strip()
    found: dict[str, list[str]] = {"": []}
    for paragraph in re.split(r"\n\s*\n", doc):
        if paragraph.startswith("TeX: ") or not paragraph.strip():
            continue
        if not re.match(r"- |    ", paragraph):
            paragraph = " ".join(paragraph.split())
        for piece in SENTENCE.split(paragraph):
            head = next((h for h in HEADS if re.match(rf"{h}\b(: | [A-Z]\w*Error| as )", piece.strip())), "")
            text = piece.strip().removeprefix(f"{head}:").strip() if head else piece.rstrip()
            if head == "Raises":
                text = text.removeprefix("Raises").strip()
            elif head == "Shapes" and text.startswith("Shapes as"):
                text = text.removeprefix("Shapes").strip()
            found.setdefault(head, []).append(text)
    for head in ("Shapes", "Source"):  # what is said after them belongs to the description
        for i, text in enumerate(found.get(head, ())):
            first, rest = first_sentence(text)
            found[head][i] = first
            found[""].append(rest)
    return {head: "\n\n".join(t for t in texts if t) for head, texts in found.items() if any(texts)}


def first_sentence(text: str) -> tuple[str, str]:
    """A text up to its first full stop, and the rest."""
    found = re.search(r"(?<!\bal)(?<!\bsec)\.\s+(?=[A-Z`αδγμ])", text)
    return (text[: found.start() + 1], text[found.end() :]) if found else (text, "")


def typeset(text: str) -> str:
    """Text with its formulas in MathML, code in code type, and lists as lists.

    >>> typeset("the rate `a` of x²").count("<code>a</code>"), typeset("the rate of x²").count("<math>")
    (1, 1)
    """
    blocks = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.split("\n")
        if all(line.startswith("    ") for line in lines):
            blocks.append(f"<pre><code>{html.escape(inspect.cleandoc(paragraph))}</code></pre>")
        elif lines[0].startswith("- "):
            entries = re.split(r"\n- ", paragraph[2:])
            blocks.append(f"<ul>{''.join(f'<li>{line(entry)}</li>' for entry in entries)}</ul>")
        else:
            blocks.append(f"<p>{line(paragraph)}</p>")
    return "".join(blocks)


def line(text: str) -> str:
    """One paragraph."""
    found = []
    for piece in CODE.split(" ".join(text.split())):
        if piece.startswith("`"):
            found.append(f"<code>{html.escape(piece.strip('`'), quote=False)}</code>")
        elif found and re.match(r"\w", piece):  # the end of a word that begins in code type
            word, blank, rest = piece.partition(" ")
            found.append(html.escape(word, quote=False) + blank + sentence(rest))
        else:
            found.append(sentence(piece))
    return "".join(found)


def sentence(text: str) -> str:
    """Words, with the runs of them that are formulas set as such."""
    words = re.findall(r"\S+\s*", text)
    found, run, depth = [re.match(r"\s*", text)[0]], [], 0  # type: ignore[index]
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        core, after = word.strip(), following.strip()
        prose = re.fullmatch(r"[a-z]{2,}", core) and re.fullmatch(r"[a-z]{2,}[.,)]*", after) and not weight(core)
        inside = depth > 0 and not prose
        goes_on = bool(run) and awaits(run[-1].strip()) and core not in STOP
        named = re.fullmatch(r"[a-z]{3,}", core) and after in ("←", "=")
        mathematical = inside or weight(core) or goes_on or named
        if mathematical:
            run.append(word)
            depth = max(0, depth + brackets(core))
            if depth == 0 and core[-1:] in EDGE:
                found.append(set_run(run))
                run = []
        else:
            found.append(set_run(run))
            run, depth = [], 0
            found.append(html.escape(word, quote=False))
    found.append(set_run(run))
    return "".join(found)


def brackets(core: str) -> int:
    """How many brackets a word of a formula leaves open; a closing one that was opened in prose counts for nothing."""
    return sum(core.count(c) for c in "([") - sum(core.count(c) for c in ")]")


def awaits(core: str) -> bool:
    """Whether a formula goes on after this word whatever follows: it ends in a sign."""
    return core[-1:] in set(SIGNS) - set("…|‖⌋⌉>")


def weight(core: str) -> int:
    """2 for a word only a formula has, 1 for one that may stand in a formula, 0 for prose."""
    bare = core.strip(EDGE + "()[]{}")
    if not bare:
        return 1 if core.strip(EDGE) else 0
    if '"' in core:
        return 0
    if bare in "<>":
        return 2
    strong = set(unicodedata.normalize("NFD", bare)) & STRONG
    if re.fullmatch(r"[A-Za-z]_\w+", bare):
        return 2
    if re.fullmatch(r"[a-z_]+\([a-zA-Zα-ω\d₀-₉|]{1,2}", core.strip(EDGE + ")")):
        return 2
    if re.search(r"[A-Za-z]{3,}", bare) and not (strong or re.match(r"[a-zA-Z]+[(\[]|\d/", bare)):
        return int(bare in WORDS)
    if strong or (re.fullmatch(r"\|?[^|]+\|?", bare) and "|" in bare):
        return 2
    if re.search(r"^[A-Za-z](\(.*|\[.*)$", bare) or re.fullmatch(r"[\da-z]/\w+|\d[a-z]", bare):
        return 2
    if re.fullmatch(r"[A-Z][a-z]", bare) and bare not in WORDLETS:
        return 1
    if re.fullmatch(r"[a-zA-Z]|[\d.,]+(e-?\d+)?|[/|<>…-]", bare):
        return 1
    if re.fullmatch(rf"({'|'.join(WORDS)})([(\[].*)?", bare):
        return 2 if re.search(r"[(\[]", bare) else 1
    return 0


def set_run(run: list[str]) -> str:
    """A run of words that may be a formula: without what at its ends is prose after all."""
    words, before, after = list(run), [], []
    while words and (weight(words[0].strip()) < 2 and not single(words[0])):
        if any(weight(w.strip()) == 2 for w in words) and starts(words[0].strip()):
            break
        if len(words) > 1 and words[1].strip() in set(SIGNS):  # a = …, running ← …
            break
        before.append(words.pop(0))
    while words and plain_end(words[-1].strip(), words):
        after.insert(0, words.pop())
    if not words:
        return html.escape("".join(run), quote=False)
    text = "".join(words)
    body = text.rstrip()
    blank = text[len(body) :]
    core = body.rstrip(EDGE)
    tail = body[len(core) :]
    lead = ""
    while core.startswith("(") and unbalanced(core) > 0:
        lead, core = lead + "(", core[1:]
    while core.endswith(")") and unbalanced(core) < 0:
        core, tail = core[:-1], ")" + tail
    told = formula(core) if core else ""
    if told and tail + lead:
        told, lead, tail = f"<span>{lead}{told}{tail}</span>", "", ""  # so that no line begins with a full stop
    rest = html.escape("".join(after), quote=False)
    return html.escape("".join(before), quote=False) + lead + told + tail + blank + rest


def unbalanced(text: str) -> int:
    """Brackets that are opened and not closed, or closed and not opened (less than 0)."""
    return text.count("(") - text.count(")") + text.count("[") - text.count("]")


def single(word: str) -> bool:
    """A letter alone, as x or W; a, A and I are words."""
    core = word.strip().strip(EDGE + "()[]")
    return len(core) == 1 and core.isalpha() and core not in "aAI"


def starts(core: str) -> bool:
    """Whether a formula may begin with this weak word."""
    return single(core) or core[:1].isdigit() or core.strip("([") in WORDS or core[:1] in "([|"


def plain_end(core: str, words: list[str]) -> bool:
    """Whether the last word of a run is no part of the formula: a number or article after it."""
    if weight(core) == 2 or single(core):
        return False
    if len(words) > 1 and (awaits(words[-2].strip()) or words[-2].strip() in WORDS or core[:1] == "I"):
        return False
    opened = unbalanced("".join(words[:-1]))
    return opened <= 0 and not core[:1].isdigit() and core.strip(EDGE + "()") not in WORDS
