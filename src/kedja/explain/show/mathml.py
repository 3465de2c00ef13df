"""TeX to MathML, for the TeX that kedja writes itself: browsers set it without any library.

It knows fractions, roots, indices, brackets, matrices, cases, functions and letters. A command it does not know is an
error that says where it stands, so that no page shows a formula half set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

from kedja.errors import FormatError

__all__ = ["FONT", "MINUS", "elements", "mathml"]

# Fonts whose brackets grow, for the style of a page; a browser's own choice may have none.
FONT = '"Latin Modern Math","STIX Two Math","Cambria Math","TeX Gyre DejaVu Math","DejaVu Math TeX Gyre",math'
TOKENS = re.compile(
    r"\\begin\{\w+\*?\}(?:\{[lcr|]*\})?|\\end\{\w+\*?\}|\\[A-Za-z]+\*?|\\.|[0-9]+(?:\.[0-9]+)?|\s+|.", re.S
)
LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "upsilon": "υ", "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
    "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ",
    "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω", "partial": "∂", "infty": "∞", "ell": "ℓ",
}  # fmt: skip
SIGNS = {
    "cdot": "·", "circ": "∘", "times": "×", "star": "⋆", "leq": "≤", "geq": "≥", "neq": "≠", "approx": "≈", "pm": "±",
    "sim": "∼", "leftarrow": "←", "rightarrow": "→", "to": "→", "land": "∧", "lor": "∨", "lnot": "¬", "oplus": "⊕",
    "odot": "⊙", "forall": "∀", "exists": "∃", "nabla": "∇", "ldots": "…", "cdots": "⋯", "bmod": "mod", "sum": "∑",
    "prod": "∏", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "Vert": "‖", "|": "‖", "mid": "|",
    "top": "⊤", "in": "∈", "lbrace": "{", "rbrace": "}", "hline": "",
}  # fmt: skip
PLAIN = {"-": "−", "*": "·"}  # keys that stand for a sign
FIXED = set("()[]|")  # these do not grow with what they hold; after \left and \right they do
FUNCTIONS = {
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log", "exp", "max", "min",
}  # fmt: skip
SPACES = {",": "0.17em", ";": "0.28em", ":": "0.22em", " ": "0.3em", "quad": "1em", "qquad": "2em", "!": "0"}
CLOSING = {"rfloor", "rceil", "rbrace", "top", "ldots", "cdots"}  # signs after which a minus takes something away
ESCAPED = set("_%&#${}")
MINUS = re.compile(r"(?<![\w.)\[=])-(?=[\dε])")  # a hyphen before a number, but in code
NO_SPACE = {"(", "[", "}", "&", r"\\", r"\left", r"\right"}  # after a function, if these follow


def mathml(tex: str) -> str:
    """A formula as a `<math>` element, its fractions in full size.

    >>> mathml(r"\\frac{1}{x^{2}}")
    '<math displaystyle="true"><mfrac><mn>1</mn><msup><mi>x</mi><mn>2</mn></msup></mfrac></math>'
    """
    return f'<math displaystyle="true">{elements(tex)}</math>'


def elements(tex: str) -> str:
    """What stands in `<math>`: the elements of a formula, side by side.

    Raises FormatError where something is not closed, and where a command is not known.

    >>> elements(r"\\Phi \\sim x_{1}")
    '<mi>Φ</mi><mo>∼</mo><msub><mi>x</mi><mn>1</mn></msub>'
    """
    return _Reader(tex).read()


class _Reader:
    """Reads tokens from left to right, one method for each kind of thing."""

    def __init__(self, tex: str) -> None:
        self.tex = tex
        found = list(TOKENS.finditer(tex))
        self.tokens = [m.group() for m in found]
        self.places = [m.start() + 1 for m in found]
        self.at = 0

    def read(self) -> str:
        """The whole formula."""
        found = self.row(lambda t: False)
        if self.at < len(self.tokens):
            raise FormatError(f"this TeX is not closed properly at {self.tokens[self.at]!r}: {self.tex!r}")
        return found

    def peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> str:
        token = self.peek()
        if token is None:
            raise FormatError(f"this TeX ends too early: {self.tex!r}")
        self.at += 1
        return token

    def row(self, ends: Callable[[str], bool]) -> str:
        """Things next to each other, up to a token that ends them (left where it is)."""
        parts: list[str] = []
        while (token := self.peek()) is not None and not ends(token):
            if token == "}" or token.startswith(r"\end") or token == r"\right":
                break
            if token.isspace():
                self.at += 1
                continue
            parts.append(self.scripted())
            named = token[1:] in FUNCTIONS or token == r"\operatorname"
            if named and self.after() not in NO_SPACE and not ends(self.after()):
                parts.append('<mspace width="0.17em"/>')
        return "".join(parts)

    def after(self) -> str:
        """The next token that is not a space; a closing bracket at the end."""
        self.skip()
        return self.peek() or "}"

    def scripted(self) -> str:
        """One thing with what stands above and below it."""
        base = self.atom()
        below = above = None
        while True:
            self.skip()
            token = self.peek()
            if token == "_" and below is None:
                self.at += 1
                below = self.argument()
            elif token == "^" and above is None:
                self.at += 1
                above = self.argument()
            elif token == "'":
                self.at += 1
                above = (above or "") + "<mo>′</mo>"
            else:
                break
        if below is None and above is None:
            return base
        base = grouped(base)
        if above is not None and base.startswith("<mfrac>"):
            base = f"<mrow><mo>(</mo>{base}<mo>)</mo></mrow>"
        if above is None:
            return f"<msub>{base}{grouped(below or '')}</msub>"
        if below is None:
            return f"<msup>{base}{grouped(above)}</msup>"
        return f"<msubsup>{base}{grouped(below)}{grouped(above)}</msubsup>"

    def skip(self) -> None:
        while (token := self.peek()) is not None and token.isspace():
            self.at += 1

    def argument(self) -> str:
        """What a command or a script takes: one group or one thing."""
        self.skip()
        return self.atom()

    def atom(self) -> str:
        token = self.take()
        if token == "{":
            inner = self.row(lambda t: t == "}")
            if self.peek() != "}":
                raise FormatError(f"this TeX has a bracket that is not closed: {self.tex!r}")
            self.at += 1
            return f"<mrow>{inner}</mrow>" if count(inner) != 1 else inner
        if token.startswith(r"\begin"):
            return self.table(token)
        if token.startswith("\\"):
            return self.command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token == "-" and self.starts():
            return '<mo form="prefix">−</mo>'
        if token.isalpha():
            return f"<mi>{escape(token)}</mi>"
        fixed = ' stretchy="false"' if token in FIXED else ""
        return f"<mo{fixed}>{escape(PLAIN.get(token, token))}</mo>"

    def starts(self) -> bool:
        """Whether the sign just taken begins something, and does not stand between two things."""
        before = self.tokens[: self.at - 1]
        last = next((t for t in reversed(before) if not t.isspace()), r"\\")
        if last == "|":  # of a pair, the one that opens
            return before.count("|") % 2 == 1
        if last.startswith((r"\begin", r"\end")):
            return last.startswith(r"\begin")
        if last.startswith("\\") and last[1:] not in ESCAPED:
            return last[1:] not in LETTERS and last[1:] not in CLOSING
        return not (last.isalnum() or last[0].isdigit() or last in ")}]'")

    def command(self, name: str) -> str:
        if name == "frac":
            above, below = self.argument(), self.argument()
            return f"<mfrac>{grouped(above)}{grouped(below)}</mfrac>"
        if name == "sqrt":
            return f"<msqrt>{self.argument()}</msqrt>"
        if name == "hat":
            return f"<mover>{grouped(self.argument())}<mo>^</mo></mover>"
        if name == "left":
            return self.bracketed()
        if name in ("text", "mathrm", "operatorname", "mathbf"):
            tag = "mtext" if name == "text" else "mi"
            upright = "" if name == "text" else ' mathvariant="normal"'
            words = self.verbatim()
            return f"<{tag}{upright}>{escape(MINUS.sub('−', words) if name == 'text' else words)}</{tag}>"
        if name in LETTERS:
            return f"<mi>{LETTERS[name]}</mi>"
        if name in SIGNS:
            return f"<mo>{SIGNS[name]}</mo>" if SIGNS[name] else ""
        if name in FUNCTIONS:
            return f"<mi>{name}</mi>"
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"/>'
        if name in ESCAPED:
            return f"<mo>{escape(name)}</mo>"
        place = self.places[self.at - 1]
        raise FormatError(f"this TeX has \\{name} at character {place}, which is not known here: {self.tex!r}")

    def bracketed(self) -> str:
        """From \\left( to \\right)."""
        opening = self.delimiter()
        inner = self.row(lambda t: t == r"\right")
        if self.peek() != r"\right":
            raise FormatError(f"this TeX has \\left without \\right: {self.tex!r}")
        self.at += 1
        closing = self.delimiter()
        signs = [f'<mo stretchy="true">{escape(s)}</mo>' if s else "" for s in (opening, closing)]
        return f"<mrow>{signs[0]}{inner}{signs[1]}</mrow>"

    def delimiter(self) -> str:
        token = self.take()
        if token == ".":
            return ""
        return SIGNS.get(token[1:], token[1:]) if token.startswith("\\") else token

    def verbatim(self) -> str:
        """The words of \\text{…}, signs unescaped."""
        self.skip()
        if self.take() != "{":
            raise FormatError(f"\\text takes words in braces: {self.tex!r}")
        words, depth = "", 1
        while True:
            token = self.take()
            depth += {"{": 1, "}": -1}.get(token, 0)
            if not depth:
                return words
            escaped = token.startswith("\\") and token[1:] in ESCAPED
            words += token[1:] if escaped else {r"\times": "×"}.get(token.rstrip(), token)

    def table(self, opening: str) -> str:
        """Matrices, cases and aligned lines."""
        kind = re.sub(r"\\begin\{(\w+\*?)\}.*", r"\1", opening)
        rows, cells = [], []
        while True:
            cells.append(self.row(lambda t: t in ("&", r"\\")))
            token = self.take()
            if token == "&":
                continue
            rows.append(cells)
            cells = []
            if token.startswith(r"\end"):
                break
        cell = '<mtd style="text-align:left">' if kind == "cases" else "<mtd>"
        body = "".join("<mtr>" + "".join(f"{cell}{c}</mtd>" for c in row) + "</mtr>" for row in rows if any(row))
        table = f"<mtable>{body}</mtable>"
        brackets = {"pmatrix": "()", "bmatrix": "[]", "vmatrix": "||", "cases": "{"}.get(kind)
        if brackets is None:
            return table
        signs = [f'<mo stretchy="true">{s}</mo>' for s in brackets]
        return f"<mrow>{signs[0]}{table}{signs[1] if len(signs) > 1 else ''}</mrow>"


def count(inner: str) -> int:
    """How many elements stand side by side."""
    depth = total = 0
    for tag in re.findall(r"<(/?)\w+[^>]*?(/?)>", inner):
        if tag[0]:
            depth -= 1
        else:
            total += depth == 0
            depth += not tag[1]
    return total


def grouped(inner: str) -> str:
    """One element, as scripts and fractions want it."""
    return inner if count(inner) == 1 else f"<mrow>{inner}</mrow>"
