"""How numbers and arrays are written in an explanation: in text, in TeX, and as plain data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kedja.errors import DataError
from kedja.explain.words import _
from kedja.ops.notation import ATOM, PRODUCT, SUM

__all__ = ["Figures", "Written"]

Array = np.ndarray[Any, Any]
SIGNS = {"×": r"\times", "…": r"\ldots", "∞": r"\infty"}
TIMES = re.compile("[×…∞]")  # signs that words of TeX do not have
FIRST = 3  # entries of a large array that its summary shows


class Written(NamedTuple):
    """The same formula in text and in TeX."""

    text: str
    tex: str


@dataclass(frozen=True)
class Figures:
    """`digits` after the point; arrays of up to `entries` numbers are written out; `transposed`: matrices turned over.

    >>> Figures().number(0.12345678), Figures(digits=6).number(-0.0000012345678)
    (('0.1235', 5), ('-1.23457e-06', 1))
    """

    digits: int = 4
    entries: int = 24
    transposed: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.digits, int) or isinstance(self.digits, bool) or not 0 < self.digits <= 15:
            raise DataError(f"digits is how many digits stand after the point, from 1 to 15; got {self.digits!r}")

    def number(self, value: Any, style: str = "text") -> tuple[str, int]:
        """A number, and how tightly it binds (a minus sign loosely)."""
        value = np.asarray(value)[()]
        if value.dtype.kind in "biu":
            shown = str(int(value))
            return shown, SUM if shown.startswith("-") else ATOM
        if not np.isfinite(value):
            if np.isnan(value):
                return ("nan" if style == "text" else r"\text{nan}"), ATOM
            return ("-" if value < 0 else "") + ("∞" if style == "text" else r"\infty"), SUM if value < 0 else ATOM
        shown = self._plain(float(value), np.finfo(value.dtype).eps)
        level = SUM if shown.startswith("-") else ATOM
        if style == "tex" and "e" in shown:
            mantissa, power = shown.split("e")
            return rf"{mantissa} \cdot 10^{{{int(power)}}}", min(level, PRODUCT)
        return shown, level

    def _plain(self, value: float, eps: float) -> str:
        """In digits after the point, or as powers of ten where those would say nothing, or too much."""
        size = abs(value)
        rounded = round(value, self.digits)
        exact = abs(rounded - value) <= 2 * eps * size
        if value == 0 or 10.0 ** (1 - self.digits) <= size < 1e7 or (exact and size < 1e7):
            shown = f"{value:.{self.digits}f}".rstrip("0").rstrip(".")
            return "0" if shown in ("-0", "") else shown
        mantissa, power = f"{value:.{max(self.digits - 1, 1)}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{power}"

    def small(self, value: Array) -> bool:
        """Whether it is written out."""
        return bool(0 < value.size <= self.entries and value.ndim <= 2)

    def array(self, value: Any, style: str = "text") -> tuple[str, int] | None:
        """An array as it is read, or None when it is too large: a number, (a, b), or [[a, b], [c, d]]."""
        value = np.asarray(value)
        if value.ndim > 2 and value.size <= self.entries:  # axes of one entry are left out
            value = value.reshape([n for n in value.shape if n != 1] or [1])
        if not self.small(value):
            return None
        if value.size == 1:
            return self.number(value.reshape(()), style)
        value = value.T if self.transposed else value
        line = value.ndim == 1 or (1 in value.shape and style == "text")
        rows = [[self.number(v, style)[0] for v in row] for row in (value.reshape(1, -1) if line else value)]
        if style == "tex":
            if value.ndim == 1 and self.transposed:
                rows = [[cell] for cell in rows[0]]
            return r"\begin{pmatrix} " + r" \\ ".join(" & ".join(row) for row in rows) + r" \end{pmatrix}", ATOM
        if line:
            return "(" + ", ".join(rows[0]) + ")", ATOM
        return "[" + ", ".join("[" + ", ".join(row) + "]" for row in rows) + "]", ATOM

    def summary(self, value: Any) -> str:
        """What is said of an array too large to write out."""
        value = np.asarray(value)
        shape = "×".join(map(str, value.shape[::-1] if self.transposed and value.ndim == 2 else value.shape))
        if not value.size:
            return _("{shape} numbers, none").format(shape=shape)
        kind = value.astype(np.float64) if value.dtype.kind in "biu" else value
        least, middle, most = (self.number(f(kind))[0] for f in (np.min, np.mean, np.max))
        first = ", ".join(self.number(v)[0] for v in value.reshape(-1)[:FIRST])
        return _("{shape} numbers from {least} to {most}, mean {middle}; the first {first}, …").format(
            shape=shape, least=least, most=most, middle=middle, first=first
        )

    def written(self, value: Any) -> Written:
        """An array written out, or its summary."""
        text, tex = self.array(value, "text"), self.array(value, "tex")
        if text is None or tex is None:
            said = self.summary(value)
            return Written(said, r"\text{" + TIMES.sub(lambda m: rf"}}{SIGNS[m[0]]}\text{{", said) + "}")
        return Written(text[0], tex[0])

    def data(self, value: Any, most: int = 1000) -> Any:
        """Plain data: nested lists, or of a large array its shape, smallest, mean, largest and first entries."""
        value = np.asarray(value)
        if value.size <= most:
            return value.tolist()
        kind = value.astype(np.float64)
        return {
            "shape": list(value.shape), "min": float(kind.min()), "mean": float(kind.mean()), "max": float(kind.max()),
            "first": value.reshape(-1)[:FIRST].tolist(),
        }  # fmt: skip
