"""How numbers and names are written in pictures."""

from __future__ import annotations

import html
import math
import re
from typing import Any

import numpy as np

__all__ = ["SUPERSCRIPT", "array", "number", "plain", "short", "width_of"]

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# What HTML forbids, and what would turn the direction of the text around it: names come from users' files.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
NARROW, WIDE = set("ijlftr.,:;|!'()[] ·⁻"), set("mwMWOQ@%−=+→∂Σ—")


def plain(value: object) -> str:
    """Any text made safe to stand in HTML or SVG, in an element or in an attribute.

    >>> plain('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(UNPRINTABLE.sub("\ufffd", str(value)), quote=True)


def number(value: float, digits: int = 4) -> str:
    """A number as one writes it: 1,234 and 0.05, 1.2×10⁻⁵ where it is very small or large, and a real minus.

    >>> number(-0.000012), number(12000), number(0.25), number(float("nan"))
    ('−1.2×10⁻⁵', '12,000', '0.25', 'not a number')
    """
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e7:
        written = f"{int(value):,}"
    elif 1e-3 <= abs(value) < 1e7:
        written = f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
        written = written.rstrip("0").rstrip(".") if "." in written else written
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        written = f"{mantissa.rstrip('0').rstrip('.')}×10{str(int(exponent)).translate(SUPERSCRIPT)}"
    return written.replace("-", "−")


def array(value: Any, most: int = 4, digits: int = 3) -> str:
    """A short array in full, of a longer one its shape without axes of one entry.

    >>> array([[0.5, -1.0]]), array(np.zeros((1, 3, 4)))
    ('(0.5, −1)', '3×4')
    """
    numbers = np.asarray(value)
    if numbers.size == 1:
        return number(float(numbers.reshape(())), digits + 1)
    if numbers.size <= most and sum(n > 1 for n in numbers.shape) <= 1:
        return "(" + ", ".join(number(float(v), digits) for v in numbers.ravel()) + ")"
    return "×".join(str(n) for n in numbers.shape if n != 1)


def short(name: str, most: int) -> str:
    """The name, cut where it is longer than `most` letters.

    >>> short("temperature", 6)
    'tempe…'
    """
    return name if len(name) <= most else name[: most - 1] + "…"


def width_of(text: str, size: float) -> float:
    """About how wide a line of text is: nobody here can measure it, so it is taken a little wide.

    >>> width_of("mm", 10) > width_of("ii", 10)
    True
    """
    return size * sum(0.38 if c in NARROW else 0.84 if c in WIDE else 0.6 for c in text)
