r"""Formulas as MathML, which browsers set by themselves: from the TeX of ops and activations.

The TeX is read as in the explanations of the package; here are the parts that a page puts together itself.

>>> from_tex(r"\frac{1}{x}")
'<math><mrow><mfrac><mn>1</mn><mi>x</mi></mfrac></mrow></math>'
"""

from __future__ import annotations

import html

from kedja.explain.show.mathml import elements

__all__ = ["by_itself", "fraction", "from_tex", "identifier", "math", "number", "operator", "power", "root", "row"]


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


def from_tex(tex: str) -> str:
    """TeX as MathML; an error that names the command where one is not known."""
    return math(elements(tex))
