r"""Formulas as MathML, which browsers set by themselves: from the TeX of ops and activations.

Known is the TeX that kedja writes; anything else is an error, so that no page shows a formula half set.

>>> from_tex(r"\frac{1}{x}")
'<math><mrow><mfrac><mn>1</mn><mi>x</mi></mfrac></mrow></math>'
"""

from __future__ import annotations

import html
import re

__all__ = ["by_itself", "fraction", "from_tex", "identifier", "math", "number", "operator", "power", "root", "row"]

TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)
GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "varphi": "φ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Phi": "Φ", "infty": "∞",
}  # fmt: skip
SIGNS = {
    "leq": "≤", "geq": "≥", "neq": "≠", "partial": "∂", "sum": "∑", "star": "⋆", "sim": "∼", "lfloor": "⌊",
    "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "land": "∧", "lor": "∨", "oplus": "⊕", "lnot": "¬", "ldots": "…",
    "forall": "∀", "exists": "∃", "bmod": "mod", "cdot": "·", "times": "×", "leftarrow": "←",
}  # fmt: skip
WORDS = {
    "ln", "exp", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "max", "min", "log",
}  # fmt: skip
SPACES = {",": "0.17em", ";": "0.28em", " ": "0.3em", "quad": "1em", "!": "0"}


# --- parts ----------------------------------------------------------------------------------------------------------
def identifier(name: str) -> str:
    """A letter, which is set slanted, or a word, which is set upright."""
    return f"<mi>{html.escape(name)}</mi>"


def number(digits: str) -> str:
    """A number."""
    return f"<mn>{digits}</mn>"


def operator(sign: str, **how: str) -> str:
    """A sign."""
    told = "".join(f' {name}="{value}"' for name, value in how.items())
    return f"<mo{told}>{html.escape(sign)}</mo>"


def row(*parts: str) -> str:
    """Parts side by side."""
    return f"<mrow>{''.join(parts)}</mrow>"


def grouped(parts: list[str]) -> str:
    """The same, but a part that is alone stands for itself."""
    return parts[0] if len(parts) == 1 else row(*parts)


def fraction(above: str, below: str) -> str:
    """One over the other."""
    return f"<mfrac>{above}{below}</mfrac>"


def root(inside: str) -> str:
    """A square root."""
    return f"<msqrt>{inside}</msqrt>"


def power(base: str, low: str = "", high: str = "") -> str:
    """A base with what stands below and above it at its right."""
    if low and high:
        return f"<msubsup>{base}{low}{high}</msubsup>"
    return f"<msub>{base}{low}</msub>" if low else f"<msup>{base}{high}</msup>" if high else base


def math(*parts: str) -> str:
    """A formula in a line of text."""
    return f"<math>{row(*parts)}</math>"


def by_itself(formula: str) -> str:
    """The same formula on a line of its own."""
    return formula.replace("<math>", '<math display="block">', 1)


# --- TeX ------------------------------------------------------------------------------------------------------------
def from_tex(tex: str) -> str:
    """TeX as MathML; an error that names the command where one is not known."""
    return math(*Reader(tex).parts())


class Reader:
    """Recursive descent over the tokens of a formula."""

    def __init__(self, tex: str) -> None:
        self.tokens = [t for t in TOKEN.findall(tex) if not t.isspace()]
        self.tex = tex

    def next(self) -> str:
        """The next token, taken."""
        if not self.tokens:
            raise ValueError(f"the formula ends too early: {self.tex}")
        return self.tokens.pop(0)

    def parts(self, *ends: str) -> list[str]:
        """Everything up to one of these tokens, which is left standing."""
        found = []
        while self.tokens and self.tokens[0] not in ends:
            word = self.tokens[0][1:] in WORDS
            found.append(self.scripted())
            if word and self.tokens and self.tokens[0] not in ("(", "\\left", *ends):
                found.append('<mspace width="0.17em"/>')
        return found

    def scripted(self) -> str:
        """An atom and its indices and exponents."""
        base, low, high = self.atom(), "", ""
        while self.tokens and self.tokens[0] in ("_", "^"):
            if self.next() == "_":
                low = self.argument()
            else:
                high = self.argument()
        if high and base.startswith("<mfrac>"):
            base = row(operator("("), base, operator(")"))
        return power(base, low, high)

    def argument(self) -> str:
        """What stands in braces, or the next atom."""
        if self.tokens[0] != "{":
            return self.atom()
        self.next()
        found = grouped(self.parts("}"))
        self.next()
        return found

    def word(self) -> str:
        """The text in braces."""
        self.next()
        text = ""
        while (token := self.next()) != "}":
            text += token.removeprefix("\\")
        return text

    def atom(self) -> str:
        """One letter, number, sign, or command with its arguments."""
        token = self.next()
        if token == "{":
            self.tokens.insert(0, token)
            return self.argument()
        if not token.startswith("\\"):
            return self.plain(token)
        command = token[1:]
        if command in GREEK:
            return identifier(GREEK[command])
        if command in WORDS:
            return identifier(command)
        if command in SIGNS:
            return operator(SIGNS[command])
        if command in SPACES:
            return f'<mspace width="{SPACES[command]}"/>'
        if command == "frac":
            return fraction(self.argument(), self.argument())
        if command == "sqrt":
            return root(self.argument())
        if command == "operatorname":
            return identifier(self.word())
        if command == "text":
            return f"<mtext>{html.escape(self.word())}</mtext>"
        if command == "left":
            return self.fenced()
        if command == "begin":
            return self.cases()
        raise ValueError(f"\\{command} is not known to docs/catalogue/mathml.py; it stands in {self.tex}")

    def plain(self, token: str) -> str:
        """A letter, number or sign."""
        if token[0].isdigit():
            return number(token)
        if token.isalpha():
            return identifier(token)
        sign = {"-": "−", "*": "·", "'": "′"}.get(token, token)
        return operator(sign, stretchy="false") if token in "()|[]" else operator(sign)

    def fenced(self) -> str:
        r"""What stands between \left and \right, whose brackets grow with it."""
        left = self.sign()
        inside = self.parts("\\right")
        self.next()
        return row(operator(left, fence="true"), *inside, operator(self.sign(), fence="true"))

    def sign(self) -> str:
        """A bracket."""
        token = self.next()
        return SIGNS.get(token[1:], token[1:]) if token.startswith("\\") else token

    def cases(self) -> str:
        """A definition by cases: a value and where it holds on each line."""
        if self.word() != "cases":
            raise ValueError(f"of environments only cases is known; this stands in {self.tex}")
        lines = []
        while True:
            value = grouped(self.parts("&"))
            self.next()
            where = grouped(self.parts("\\\\", "\\end"))
            lines.append(f"<mtr><mtd>{value}</mtd><mtd>{where}</mtd></mtr>")
            if self.next() == "\\end":
                break
        self.word()
        return row(operator("{", fence="true"), f'<mtable columnalign="left left">{"".join(lines)}</mtable>')
