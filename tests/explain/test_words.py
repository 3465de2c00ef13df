"""The languages that explanations can be read in: Swedish and Romanian beside English."""

from __future__ import annotations

import os
import re
import string
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

import kedja as kj
from kedja.cli import main
from kedja.errors import UnknownNameError
from kedja.explain import words

ROOT = Path(__file__).parents[2]
KEYWORDS = {"_": None, "mark": None, "counted": (1, 2), "worked": (2,), "Step": (1,), "Clip": (1,)}
OTHERS = [code for code in words.languages() if code != "en"]
GLOSSARY = ROOT / "docs" / "languages.md"


def catalogue(code: str):
    with open(words.LOCALE / code / "LC_MESSAGES" / "kedja.po", "rb") as file:
        return read_po(file, locale=code)


def said() -> set[str]:
    """Every sentence the code of the explanations has, by its first wording."""
    found = set()
    for room in ("explain", "optim"):
        for _, _, message, _, _ in extract_from_dir(ROOT / "src" / "kedja" / room, keywords=KEYWORDS):
            found.add(message if isinstance(message, str) else message[0])
    return found - {""}


def wordings_of(messages) -> dict[str, list[str]]:
    """Every wording, by the first wording in English."""
    pairs = [(m.id, m.string) if isinstance(m.id, str) else (m.id[0], list(m.string)) for m in messages if m.id]
    return dict(pairs)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("code", OTHERS)
def test_every_sentence_is_translated(code):
    """No sentence of the code lacks a wording, and no wording has lost its sentence."""
    have = catalogue(code)
    first = {m.id if isinstance(m.id, str) else m.id[0]: m for m in have if m.id}
    assert said() == set(first)
    for message in first.values():
        wordings = [message.string] if isinstance(message.string, str) else message.string
        assert all(wordings), message.id
        assert not message.fuzzy, message.id


@pytest.mark.parametrize("code", OTHERS)
def test_wordings_fill_in_the_same_names(code):
    """What is put into a sentence in English is put into it in every language, spaces at the ends included."""
    for message in catalogue(code):
        if not message.id:
            continue
        ids, wordings = (
            ([message.id], [message.string]) if isinstance(message.id, str) else (message.id, message.string)
        )
        for wording in wordings:
            assert fields(wording) == fields(ids[-1]), message.id
            assert re.findall(r"^\s*|\s*$", wording) == re.findall(r"^\s*|\s*$", ids[0]), message.id


@pytest.mark.parametrize("code", OTHERS)
def test_compiled_catalogue_is_of_these_words(code):
    """`make words` was run after the last change."""
    with open(words.LOCALE / code / "LC_MESSAGES" / "kedja.mo", "rb") as file:
        compiled = read_mo(file)
    assert wordings_of(compiled) == wordings_of(catalogue(code))


@pytest.mark.parametrize("code", OTHERS)
def test_glossary_is_kept(code):
    """A term of the glossary that is a sentence of its own is said as the glossary has it."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in GLOSSARY.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and "---" not in line
    ]
    column = rows[0].index({"sv": "svenska", "ro": "română"}[code])
    have = {m.id: m.string for m in catalogue(code) if isinstance(m.id, str)}
    checked = [row[0] for row in rows[1:] if row[0] in have]
    assert len(checked) > 20
    for row in rows[1:]:
        if row[0] in have:
            assert have[row[0]] == row[column], row[0]


@pytest.mark.parametrize(("code", "title", "rule"), [
    ("sv", "Ett träningssteg, med siffror", "kedjeregeln"), ("ro", "Un pas de antrenare, cu numere", "regula lanțului"),
])  # fmt: skip
def test_walkthrough_in_another_language(code, title, rule):
    """The words change, the numbers do not; the page says which language it is in; inside the block only."""
    net = kj.Sequential([kj.nn.Dense(2, activation="sigmoid"), kj.nn.Dense(1)]).build((None, 2), seed=1)
    plain = kj.explain.backprop(net, [[1.0, 0.5]], [[1.0]], loss="sse")
    with kj.explain.language(code):
        walk = kj.explain.backprop(net, [[1.0, 0.5]], [[1.0]], loss="sse")
        text, page = str(walk), walk.html()
    number = re.compile(r"-?\d+\.\d+")
    assert title in text and rule in text and rule in page
    assert number.findall(text) == number.findall(str(plain))
    assert "One step of training, with numbers" in str(plain) and words.spoken() == "en"


def test_plurals_follow_the_language():
    """Romanian has three forms: 1 pas, 2 pași, 20 de pași."""
    with kj.explain.language("ro"):
        assert [words.counted("{n} step", "{n} steps", n) for n in (1, 2, 20)] == ["1 pas", "2 pași", "20 de pași"]


def test_command_line_speaks(capsys):
    """`kedja derive --language` explains in it; an unknown one is refused with those there are."""
    try:
        assert main(["derive", "x**2", "--language", "sv"]) == 0
        assert "kvadrat" in capsys.readouterr().out
        assert main(["derive", "x +* 2", "--language", "ro"]) == 2
        assert "se aștepta un număr" in capsys.readouterr().err
        assert main(["derive", "x**2", "--language", "klingon"]) == 2
        assert "unknown language 'klingon'. Known: en, ro, sv" in capsys.readouterr().err
    finally:
        kj.explain.language(None)


def test_unknown_language_is_refused():
    """A language without a catalogue is named, with those there are; the present one stays."""
    with pytest.raises(UnknownNameError, match="Known: en, ro, sv"):
        kj.explain.language("tlh")
    assert words.spoken() == "en"


def test_environment_decides_at_the_start():
    """KEDJA_LANGUAGE is what is spoken from the start; one that is not there is English, with a warning."""
    program = "import kedja as kj; print(kj.explain.example('9.4').title)"
    for code, title, warned in (
        ("sv", "Gradienten för en vikt", ""),
        ("xx", "The gradient of one weight", "only en, ro"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True,
            env={**os.environ, "KEDJA_LANGUAGE": code, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        assert done.stdout.strip() == title, done.stderr
        assert warned in done.stderr
