"""Text, whose words must be known while the graph is built: only their numbers flow through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kedja.errors import FormatError
from kedja.formats.onnx.registry import operator
from kedja.formats.onnx.values import WORDS, Coded, Words, known_value, value_of

CHANGED: dict[str, Callable[[str], str]] = {"LOWER": str.lower, "NONE": str, "UPPER": str.upper}


@operator("StringNormalizer", known=("x",), coded=True)
def normalised(
    x: Any, *, case_change_action: str = "NONE", is_case_sensitive: int = 0, locale: str = "",
    stopwords: Any = (), words: Words,
) -> Coded:  # fmt: skip
    """The words of a list, or of a row, without stop words, in capitals or small letters; none left: one empty word."""
    if not isinstance(x, Coded) or x.dtype != WORDS:
        raise FormatError("the input is not text")
    given = words.words(known_value(x.codes, "the text"))
    plain: Callable[[str], str] = str if is_case_sensitive else str.lower
    left_out = {plain(word) for word in stopwords}
    kept = [word for word in given.reshape(-1) if plain(word) not in left_out] or [""]
    changed = np.array([CHANGED[case_change_action](word) for word in kept], dtype=WORDS)
    found = value_of(changed.reshape((1, -1) if given.ndim == 2 else -1), words)
    assert isinstance(found, Coded)
    return found
