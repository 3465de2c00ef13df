"""What things are called: net, o, t or z, a, y; w[in, out] or w[out, in]; layers written above, elements below."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kedja.errors import DataError
from kedja.explain.show.figures import Written
from kedja.ops.formula import GREEK

__all__ = ["Name", "Notation", "Slope", "Symbol", "symbol_of"]

UP = str.maketrans("0123456789()'n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁽⁾'ⁿ")
DOWN = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
LETTERS = dict(
    zip(
        ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "lambda", "mu", "nu", "xi", "pi", "rho",
         "sigma", "tau", "phi", "chi", "psi", "omega"],
        "αβγδεζηθλμνξπρστφχψω",
        strict=True,
    )
)  # fmt: skip
GREEK_OF = {letter: name for name, letter in LETTERS.items()}


@dataclass(frozen=True)
class Symbol:
    """A name, the layer it belongs to (written above), and something written below: W⁽¹⁾, X_h, ε.

    >>> w = Symbol("W", "1")
    >>> w.text, w.tex, w.at((1, 0)).text, w.at((1, 0)).tex
    ('W⁽¹⁾', 'W^{(1)}', 'w⁽¹⁾₂₁', 'w^{(1)}_{21}')
    """

    stem: str
    mark: str = ""
    below: str = ""
    index: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """As plain text."""
        above = f"({self.mark})".translate(UP) if self.mark else ""
        below = f"_{self.below}" if self.below and not self.below.isdigit() else self.below.translate(DOWN)
        joined = _joined(self.index)
        inner = joined.translate(DOWN) if "," not in joined else f"[{joined}]"
        inner = "," + inner if inner and self.below.isdigit() else inner
        return LETTERS.get(self.stem, self.stem) + above + below + inner

    @property
    def tex(self) -> str:
        """As TeX."""
        stem = self.stem
        if stem in GREEK or stem in GREEK_OF:
            stem = "\\" + GREEK_OF.get(stem, stem)
            stem = r"\varepsilon" if stem == r"\epsilon" else stem
        elif stem == "ŷ":
            stem = r"\hat{y}"
        elif len(stem) > 1:
            stem = r"\mathrm{" + stem.replace("_", r"\_") + "}"
        below = ",".join(part for part in (self.below, _joined(self.index)) if part)
        below = re.sub(r"[A-Za-z]{2,}", lambda m: rf"\mathrm{{{m[0]}}}", below)
        return stem + (f"^{{({self.mark})}}" if self.mark else "") + (f"_{{{below}}}" if below else "")

    @property
    def written(self) -> Written:
        """In both."""
        return Written(self.text, self.tex)

    def at(self, index: Sequence[int]) -> Symbol:
        """One element of it, by an index counted from 0; it is written counted from 1, and a matrix in small."""
        stem = self.stem.lower() if len(index) > 1 and len(self.stem) == 1 and self.stem.isalpha() else self.stem
        return replace(self, stem=stem, index=tuple(i + 1 for i in index))


def _joined(index: tuple[int, ...]) -> str:
    """12 for (1, 2); with a comma where two digits would be misread."""
    return ("" if all(i < 10 for i in index) else ",").join(map(str, index))


@dataclass(frozen=True)
class Slope:
    """∂of/∂by: the name of a derivative.

    >>> Slope(Symbol("E"), Symbol("o", "2")).text, Slope(Symbol("E"), Symbol("W")).at((0, 1)).tex
    ('∂E/∂o⁽²⁾', '\\\\frac{\\\\partial E}{\\\\partial w_{12}}')
    """

    of: Symbol
    by: Symbol

    @property
    def text(self) -> str:
        """As plain text."""
        return f"∂{self.of.text}/∂{self.by.text}"

    @property
    def tex(self) -> str:
        """As TeX."""
        return rf"\frac{{\partial {self.of.tex}}}{{\partial {self.by.tex}}}"

    @property
    def written(self) -> Written:
        """In both."""
        return Written(self.text, self.tex)

    def at(self, index: Sequence[int]) -> Slope:
        """By one element."""
        return replace(self, by=self.by.at(index))


Name = Symbol | Slope


def symbol_of(name: str) -> Symbol:
    """A user's name for something as a symbol: w1 → w₁, X_h → X_h, alpha → α.

    >>> symbol_of("w1").text, symbol_of("X_h").tex, symbol_of("dense_1.kernel").tex
    ('w₁', 'X_{h}', '\\\\mathrm{dense\\\\_1.kernel}')
    """
    found = re.fullmatch(r"([^\W\d_]+)(?:_?(\d+)|_([^\W_]+))?", name)
    return Symbol(found[1], "", found[2] or found[3] or "") if found else Symbol(name)


NAMES = {"net/o/t": ("net", "o", "t", "E"), "z/a/y": ("z", "a", "y", "E")}
ORDERS = {"w[in,out]": False, "w[out,in]": True}


@dataclass(frozen=True)
class Notation:
    """How the lecturer writes: `net` before the activation, `out` after it, the `target`, the `error`.

    `transposed`: weights are w[out, in] and inputs are columns that stand on the right, W x; else w[in, out] and rows
    that stand on the left, x W.

    >>> Notation.of("z/a/y w[out,in]")
    Notation(net='z', out='a', target='y', error='E', transposed=True)
    """

    net: str = "net"
    out: str = "o"
    target: str = "t"
    error: str = "E"
    transposed: bool = False

    @classmethod
    def of(cls, given: Any) -> Notation:
        """A notation as it is, or from words: "net/o/t", "z/a/y", "w[in,out]", "w[out,in]", or two of them."""
        if given is None:
            return cls()
        if isinstance(given, Notation):
            return given
        words = re.sub(r",\s+(?=out\]|in\])", ",", given).split() if isinstance(given, str) else [None]
        found = cls()
        for word in words:
            word = word.rstrip(",") if isinstance(word, str) else word
            if word in NAMES:
                net, out, target, error = NAMES[word]
                found = replace(found, net=net, out=out, target=target, error=error)
            elif word in ORDERS:
                found = replace(found, transposed=ORDERS[word])
            else:
                raise DataError(
                    f"unknown notation {given!r}: it is {', '.join(repr(n) for n in (*NAMES, *ORDERS))}, a name and an "
                    'order of indices such as "z/a/y w[out,in]", or kj.explain.Notation(net="net", out="y")'
                )
        return found
