"""How an op is written, in text and in TeX, with just the parentheses it needs."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ATOM", "FUNCTION", "POWER", "PRODUCT", "SUM", "Notation", "function_notation", "infix"]

SUM, PRODUCT, FUNCTION, POWER, ATOM = 1, 2, 3, 4, 5


class Notation(NamedTuple):
    """A template with {0}, {1}, … for the inputs; `level` is how tightly it binds, `needs` what each input must have.

    An input that binds less tightly than needed is put in parentheses. {attr} stands for an attribute of the op.
    """

    template: str
    level: int
    needs: tuple[int, ...]

    def need(self, position: int) -> int:
        """How tightly the input at this position must bind."""
        return self.needs[position] if position < len(self.needs) else self.needs[-1] if self.needs else 0


def infix(sign: str, level: int, right: int | None = None) -> Notation:
    """`a sign b`; `right` when the right side must bind more tightly (a − (b − c)).

    >>> infix("-", SUM, PRODUCT).needs
    (1, 2)
    """
    return Notation(f"{{0}} {sign} {{1}}", level, (level, level if right is None else right))


def function_notation(name: str, tex: str | Notation | None, text: str | Notation | None) -> tuple[Notation, Notation]:
    r"""The two notations of an op from what its stanza says: a template alone is a function, written before its input.

    >>> function_notation("tanh", r"\tanh {0}", None)[1].template
    'tanh({*})'
    """
    if not isinstance(text, Notation):
        text = Notation(text or f"{name}({{*}})", ATOM, (0,))
    if tex is None:
        tex = r"\operatorname{{" + name.replace("_", r"\_") + r"}}\left({*}\right)"
        return Notation(tex, ATOM, (0,)), text
    if not isinstance(tex, Notation):
        simple = tex.rstrip().endswith("{0}")
        tex = Notation(tex, FUNCTION if simple else ATOM, (ATOM if simple else 0,))
    return tex, text
