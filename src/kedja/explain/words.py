"""Every word a reader of an explanation sees passes through here, so that it can be said in another language.

A catalogue is `locale/<language>/LC_MESSAGES/kedja.po` in this folder, and `kedja.mo`, which is made
from it (`make words`). Formulas are the same everywhere.
"""

from __future__ import annotations

import gettext
import os
import warnings
from pathlib import Path
from threading import local
from types import TracebackType

from kedja.errors import one_of

__all__ = ["LOCALE", "_", "counted", "language", "languages", "spoken"]

LOCALE = Path(__file__).parent / "locale"
VARIABLE = "KEDJA_LANGUAGE"  # of the environment: what is spoken from the start


def languages() -> list[str]:
    """The languages that explanations can be read in.

    >>> languages()
    ['en', 'ro', 'sv']
    """
    return sorted(["en", *(path.parts[-3] for path in LOCALE.glob("*/LC_MESSAGES/kedja.mo"))])


def _catalogue(code: str) -> gettext.NullTranslations:
    if code not in languages():
        raise one_of("language", code, languages())
    return gettext.translation("kedja", LOCALE, [code]) if code != "en" else gettext.NullTranslations()


class _Now(local):
    """What this thread speaks: at first what the environment says."""

    def __init__(self) -> None:
        self.code = os.environ.get(VARIABLE) or "en"
        if self.code not in languages():
            warnings.warn(
                f"{VARIABLE}={self.code}: there are only {', '.join(languages())}; this is English", stacklevel=3
            )
            self.code = "en"
        self.catalogue = _catalogue(self.code)


_now = _Now()


class language:
    """Explain in this language from now on, in this thread: "sv", "ro", "en"; None is English again.

    As a block it holds inside it only. The environment variable KEDJA_LANGUAGE says what is spoken from the start.
    Raises DataError for a language without a catalogue.

    >>> import kedja as kj
    >>> with kj.explain.language("sv"):
    ...     text = str(kj.explain.derive("x**2"))
    >>> print(text.splitlines()[-1])
    formeln avviker från grafen med högst 0 på 40 ställen
    """

    def __init__(self, code: str | None) -> None:
        found = _catalogue(code or "en")
        self._before = (_now.code, _now.catalogue)
        _now.code, _now.catalogue = code or "en", found

    def __enter__(self) -> language:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        _now.code, _now.catalogue = self._before


def spoken() -> str:
    """The code of the present language, as a page says it of itself.

    >>> spoken()
    'en'
    """
    return _now.code


def _(words: str) -> str:
    """The words in the present language. Names in braces are filled in afterwards, with `.format`."""
    return _now.catalogue.gettext(words) if words else ""


def counted(one: str, many: str, n: int) -> str:
    """One of two wordings by the number n, in the present language, with {n} filled in.

    >>> counted("{n} node", "{n} nodes", 1), counted("{n} node", "{n} nodes", 1200)
    ('1 node', '1,200 nodes')
    """
    return _now.catalogue.ngettext(one, many, n).format(n=f"{n:,}")
