"""Formulas as they stand in docstrings, written in letters and signs of Unicode, as MathML.

>>> formula("ε · m̂ / (√ŝ + δ)").count("<mfrac>"), formula("xᵢ²").count("<msubsup>")
(1, 1)
"""

from __future__ import annotations

import re
import unicodedata

from .mathml import fraction, grouped, identifier, math, number, operator, power, root, row

__all__ = ["HIGH", "LETTERS", "LOW", "SIGNS", "WORDS", "formula"]

HIGH = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱᵗᵀˣʸᶻᵃᵏᵐᵈᵖᵢ", "0123456789+−()nitTxyzakmdpi", strict=True))
HIGH.pop("ᵢ")
LOW = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ᵢⱼₖₙₕₓₘₜₐ", "0123456789+−()ijknhxmta", strict=True))
FRACTIONS = {"½": ("1", "2"), "¼": ("1", "4"), "⅓": ("1", "3")}
LETTERS = "αβγδεζηθκλμνξπρστφχψωΔΣΠΦΘ∇ℓσ∂∞"
SIGNS = "=+−-·×÷/←→≤≥<>≠≈∈⊙∘∼*…±"
WORDS = {
    "ln", "exp", "sin", "cos", "tan", "cosh", "tanh", "sinh", "erf", "min", "max", "softmax", "sigmoid",
    "softplus", "relu", "elu", "argmax", "hard_sigmoid", "maxⱼ",
}  # fmt: skip
TOKEN = re.compile(
    r"\d+(?:\.\d+)?(?:e-?\d+)?"  # numbers
    r"|[a-zA-Z]{2,}(?:_(?:[a-z]+|\d))?"  # words, as fan_in
    r"|[a-zA-Zα-ωΑ-Ωℓŷŝ∂∇∞][\u0302\u0304]?"  # letters, with a hat or a bar
    r"|\s+|.",
    re.DOTALL,
)
LONE_FRACTION = r"<mrow><mo>\(</mo>(<mfrac>(?:(?!<mfrac>).)*</mfrac>)<mo>\)</mo></mrow>"  # whose brackets are needless
ACCENTS = {"\u0302": "^", "\u0304": "¯"}
CLOSE = {"(": ")", "[": "]", "{": "}", "⌊": "⌋", "⌈": "⌉"}


def formula(text: str) -> str:
    """A formula in Unicode as MathML."""
    return math(*Reader(text).parts())


class Reader:
    """Reads factors side by side; a stroke makes a fraction of what touches it, or of the words at its sides."""

    def __init__(self, text: str) -> None:
        self.tokens = TOKEN.findall(unicodedata.normalize("NFC", text.strip()))

    def parts(self, end: str = "") -> list[str]:
        """Everything up to a closing bracket, which is taken."""
        found: list[str] = []
        word = 0  # where in `found` the factors begin that stand together without a blank
        while self.tokens:
            token = self.tokens[0]
            if end and token == end:
                self.tokens.pop(0)
                break
            if token.isspace():
                self.tokens.pop(0)
                if self.tokens and self.tokens[0] == "/":
                    continue
                if found and self.tokens and not self.signed(found[-1]) and self.tokens[0] not in SIGNS + ",;)]":
                    found.append('<mspace width="0.2em"/>')
                word = len(found)
            elif token == "/" and found and not self.signed(found[-1]):
                self.tokens.pop(0)
                above, found[word:] = found[word:], []
                found.append(fraction(bare(above), bare(self.word(end))))
            elif token in SIGNS or token in ",;:":
                found.append(self.factor())
                word = len(found)
            else:
                alone = word == len(found)
                found.append(self.factor())
                if alone and (part := re.fullmatch(LONE_FRACTION, found[-1])):
                    found[-1] = part[1]
        return found

    @staticmethod
    def signed(part: str) -> bool:
        """Whether this is a sign, after which no product is meant."""
        return part.startswith(("<mo>", "<mo ")) and not part.startswith('<mo stretchy="false">)')

    def word(self, end: str) -> list[str]:
        """The factors below a stroke: those that stand together."""
        while self.tokens and self.tokens[0].isspace():
            self.tokens.pop(0)
        found = []
        while self.tokens and not self.tokens[0].isspace() and self.tokens[0] not in SIGNS + ",;:)]" and (
            self.tokens[0] != end
        ):  # fmt: skip
            found.append(self.factor())
            if "∑" in found[-1] and self.tokens and self.tokens[0].isspace():
                self.tokens.pop(0)
        return found or [self.factor()]

    def factor(self) -> str:
        """An atom with its indices, exponents and primes."""
        base, low, high = self.atom(), "", ""
        while self.tokens:
            token = self.tokens[0]
            if token in LOW:
                low += self.run(LOW)
            elif token in HIGH:
                high += self.run(HIGH)
            elif token == "_":
                self.tokens.pop(0)
                low += self.script()
            elif token == "^":
                self.tokens.pop(0)
                high += self.script()
            elif token in "′″":
                high += operator(self.tokens.pop(0), lspace="0", rspace="0")
            else:
                break
        return power(base, row(low) if low else "", row(high) if high else "")

    def run(self, table: dict[str, str]) -> str:
        """Small letters and digits side by side: each letter by itself."""
        text = ""
        while self.tokens and self.tokens[0] in table:
            text += table[self.tokens.pop(0)]
        return "".join("".join(Reader(piece).parts()) for piece in re.findall(r"\d+|.", text))

    def script(self) -> str:
        """What follows _ or ^: brackets, which are dropped, or the next atom; a stroke in it stays one."""
        if self.tokens[0] != "(":
            return self.factor()
        self.tokens.pop(0)
        inside, depth = "", 1
        while self.tokens:
            token = self.tokens.pop(0)
            depth += (token == "(") - (token == ")")
            if not depth:
                break
            inside += token
        return "".join(Reader(inside.replace("/", "∕")).parts())  # the division slash makes no fraction

    def atom(self) -> str:
        """One letter, word, number, sign or bracket with what is in it."""
        token = self.tokens.pop(0)
        if token in FRACTIONS:
            above, below = FRACTIONS[token]
            return fraction(number(above), number(below))
        if token == "√":
            inside = self.factor()
            return root(bare([inside]))
        if token in "([{⌊⌈":
            inside = self.parts(CLOSE[token])
            return row(operator(token), *inside, operator(CLOSE[token]))
        if token in "|‖" and token in self.tokens:
            at = self.tokens.index(token)
            inside, self.tokens = Reader("".join(self.tokens[:at])).parts(), self.tokens[at + 1 :]
            return row(operator(token, fence="true"), *inside, operator(token, fence="true"))
        if token in ("Σ", "∏"):
            return operator("∑" if token == "Σ" else token)
        if token[0].isdigit():
            return scientific(token)
        if len(token) > 1 and "_" in token:
            base, _, low = token.partition("_")
            return power(identifier(base), identifier(low))
        letter, *accent = unicodedata.normalize("NFD", token)
        if accent and accent[0] in ACCENTS:
            return f'<mover accent="true">{identifier(letter)}{operator(ACCENTS[accent[0]])}</mover>'
        if token[0].isalpha() or token in LETTERS:
            return identifier(token)
        return operator({"-": "−", "∕": "/"}.get(token, token))


def scientific(token: str) -> str:
    """A number; 1e-8 as a power of ten."""
    digits, _, exponent = token.partition("e")
    if not exponent:
        return number(digits)
    ten = power(number("10"), "", row(number(exponent.replace("-", "−"))))
    return ten if digits == "1" else row(number(digits), operator("·"), ten)


def bare(parts: list[str]) -> str:
    """Parts as one, without brackets that a stroke or a root makes needless."""
    if len(parts) == 1:
        found = re.fullmatch(r"<mrow><mo>\(</mo>(.*)<mo>\)</mo></mrow>", parts[0])
        if found and balanced(found[1]):
            return f"<mrow>{found[1]}</mrow>"
    return grouped(parts)


def balanced(inside: str) -> bool:
    """Whether no bracket closes that was not opened inside."""
    depth = 0
    for sign in re.findall(r"<mo>([()])</mo>", inside):
        depth += 1 if sign == "(" else -1
        if depth < 0:
            return False
    return depth == 0
