"""Every word a reader of an explanation sees passes through here, so that it can be said in another language.

A catalogue is `locale/<language>/LC_MESSAGES/kedja.mo` in this folder. Without one, the words are those of the program.
Formulas are the same everywhere.
"""

from __future__ import annotations

import gettext
from pathlib import Path
from threading import local

__all__ = ["_", "counted", "language"]

LOCALE = Path(__file__).parent / "locale"


class _Now(local):
    catalogue: gettext.NullTranslations = gettext.NullTranslations()


_now = _Now()


def language(code: str | None) -> None:
    """Explain in this language from now on, in this thread ("sv", "ro"); None or "en" is English.

    A language without a catalogue leaves the words in English.
    """
    languages = [code] if code else ["en"]
    _now.catalogue = gettext.translation("kedja", LOCALE, languages, fallback=True)


def _(words: str) -> str:
    """The words in the present language. Names in braces are filled in afterwards, with `.format`."""
    return _now.catalogue.gettext(words) if words else ""


def counted(one: str, many: str, n: int) -> str:
    """One of two wordings by the number n, in the present language, with {n} filled in.

    >>> counted("{n} node", "{n} nodes", 1), counted("{n} node", "{n} nodes", 1200)
    ('1 node', '1,200 nodes')
    """
    return _now.catalogue.ngettext(one, many, n).format(n=f"{n:,}")
