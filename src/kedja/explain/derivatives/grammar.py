"""The grammar of expressions: what a person types, read letter by letter. Nothing typed is ever run as a program.

sum      = product {("+" | "-") product}
product  = signed {("*" | "/") signed | power}          two parts side by side are multiplied: 2x, 3(x + 1)
signed   = ("-" | "+") signed | power
power    = part [("**" | "^") signed]                   from the right: 2^3^2 = 2^9; and -x^2 = -(x^2)
part     = number | name | function "(" sum {"," sum} ")" | "(" sum ")"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple, NoReturn

from kedja.errors import KedjaError, one_of
from kedja.explain.derivatives.expression import Binary, Call, Constant, Expression, Name, Negative, Number
from kedja.explain.derivatives.functions import FUNCTIONS
from kedja.explain.words import _

__all__ = ["ExpressionError", "parse", "value_of"]

LONGEST, DEEPEST = 2000, 40  # characters; parentheses within parentheses
MOST_PARTS, MOST_LEVELS = 100, 36
ALIASES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
BASES = {"log10": 10, "log2": 2}
CALLED = sorted({*FUNCTIONS, *ALIASES, *BASES})
SAME = {"^": "**", "·": "*", "×": "*", "÷": "/", "−": "-", "–": "-", "∗": "*"}
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d⁰¹²³⁴⁵⁶⁷⁸⁹][^\W⁰¹²³⁴⁵⁶⁷⁸⁹]*)"
    r"|(?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
    r"|(?P<sign>\*\*|[-+*/^(),·×÷−–∗])|(?P<end>$))"
)


class ExpressionError(KedjaError, ValueError):
    """An expression outside the grammar: it points at the character, and says what was expected there.

    >>> parse("2 * (x + )")
    Traceback (most recent call last):
    kedja.explain.derivatives.grammar.ExpressionError: a number, a name or "(" was expected, not ")"
      2 * (x + )
               ^
    """

    def __init__(self, why: str, source: str, place: int) -> None:
        self.why, self.source, self.place = why, source, place
        super().__init__(f"{why}\n  {source}\n  {' ' * place}^")


class Token(NamedTuple):
    """A word of the expression and where it begins."""

    kind: str
    text: str
    place: int

    @property
    def called(self) -> str:
        """How an error calls it."""
        return _("the end") if self.kind == "end" else f'"{self.text}"'


def parse(source: str) -> Expression:
    """The expression that was typed, as a tree.

    Numbers, names, + - * / ** ^, parentheses, the constants pi and e, and the functions sin cos tan arcsin arccos
    arctan exp ln log sqrt tanh sigmoid relu abs; `log(x)` is the natural one, `log(x, 10)` that to base 10.

    >>> print(parse("2x^2 - sin(x)/3"))
    2 * x**2 - sin(x) / 3
    """
    if not isinstance(source, str):
        raise ExpressionError(_("an expression is a text, not {kind}").format(kind=type(source).__name__), "", 0)
    line = "".join(" " if c.isspace() else c for c in source)
    if len(line) > LONGEST:
        why = _("the expression has {n} characters, at most {most} can be explained")
        raise ExpressionError(why.format(n=len(line), most=LONGEST), line[:60] + " …", 0)
    if not line.strip():
        raise ExpressionError(_("the expression is empty"), line, 0)
    reader = Reader(line, _tokens(line))
    found = reader.sum()
    reader.finish()
    if found.size > MOST_PARTS or _depth(found) > MOST_LEVELS:
        why = _("the expression has {n} parts, too many to explain step by step")
        raise ExpressionError(why.format(n=found.size), line if len(line) < 80 else line[:60] + " …", 0)
    return found


def value_of(source: str) -> float:
    """The number that an expression without names is.

    >>> value_of("pi / 2")
    1.5707963267948966
    """
    found = parse(source)
    if found.names:
        why = _("a number was expected, and {name} is none").format(name=found.names[0])
        raise ExpressionError(why, source, source.find(found.names[0]))
    return float(found.at({}))


def _tokens(line: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while True:
        match = TOKEN.match(line, at)
        if match is None:
            place = at + len(line[at:]) - len(line[at:].lstrip())
            raise ExpressionError(_stranger(line[place]), line, place)
        kind = str(match.lastgroup)
        word = match.group(kind)
        found.append(Token(kind, SAME.get(word, word), match.start(kind)))
        if kind == "end":
            return found
        at = match.end()


def _stranger(character: str) -> str:
    """What to say of a character that no expression has."""
    hints = {
        "=": _("give one side alone, not an equation"),
        "[": _('use round parentheses, "(" and ")"'),
        "]": _('use round parentheses, "(" and ")"'),
        "{": _('use round parentheses, "(" and ")"'),
        "}": _('use round parentheses, "(" and ")"'),
        "|": _("write abs(x) for |x|"),
        "!": _("factorials are not in the grammar"),
        "√": _("write sqrt(x)"),
        ".": _("a decimal point stands between digits"),
    }
    why = _('the character "{character}" does not belong in an expression').format(character=character)
    return f"{why}: {hints[character]}" if character in hints else why


class Reader:
    """Recursive descent: a method per line of the grammar."""

    def __init__(self, line: str, tokens: Sequence[Token]) -> None:
        self.line, self.tokens = line, tokens
        self.at, self.depth = 0, 0

    @property
    def next(self) -> Token:
        """The word that comes now."""
        return self.tokens[self.at]

    def take(self) -> Token:
        """That word, which has been understood."""
        token = self.next
        self.at += token.kind != "end"
        return token

    def wrong(self, why: str, token: Token | None = None) -> NoReturn:
        raise ExpressionError(why, self.line, (token or self.next).place)

    def deeper(self, by: int) -> None:
        self.depth += by
        if self.depth > DEEPEST:
            self.wrong(_("more than {most} parts stand within each other here").format(most=DEEPEST))

    def finish(self) -> None:
        """Nothing may be left."""
        if self.next.text == ")":
            self.wrong(_('this ")" closes nothing'))
        if self.next.text == ",":
            before = self.tokens[self.at - 1].kind, self.tokens[self.at + 1].kind
            if before == ("number", "number"):
                self.wrong(_('a decimal point is written ".", as in 0.5'))
            self.wrong(_('a "," stands only between the arguments of a function'))
        if self.next.kind != "end":
            expected = _("an operator or the end was expected, not {found}")
            self.wrong(expected.format(found=self.next.called))

    def sum(self) -> Expression:
        left = self.product()
        while self.next.text in ("+", "-"):
            left = Binary(self.take().text, left, self.product())
        return left

    def product(self) -> Expression:
        left = self.signed()
        while True:
            if self.next.text in ("*", "/"):
                left = Binary(self.take().text, left, self.signed())
            elif self.next.kind == "name" or self.next.text == "(":  # side by side: 2x, (x + 1)(x - 1)
                left = Binary("*", left, self.power())
            elif self.next.kind == "number":
                self.wrong(_("an operator was expected before {found}").format(found=self.next.called))
            else:
                return left

    def signed(self) -> Expression:
        if self.next.text not in ("-", "+"):
            return self.power()
        self.deeper(1)
        minus = self.take().text == "-"
        of = self.signed()
        self.deeper(-1)
        return Negative(of) if minus else of

    def power(self) -> Expression:
        base = self.part()
        if self.next.kind == "raised":
            digits = self.take().text.translate(RAISED)
            base = Binary("^", base, Number(Fraction(int(digits[:9]))))
        if self.next.text != "**":
            return base
        self.take()
        self.deeper(1)
        exponent = self.signed()
        self.deeper(-1)
        return Binary("^", base, exponent)

    def part(self) -> Expression:
        token = self.take()
        if token.kind == "number":
            return self.number(token)
        if token.kind == "name":
            return self.named(token)
        if token.text == "(":
            self.deeper(1)
            inner = self.sum()
            self.close(token)
            self.deeper(-1)
            return inner
        expected = _('a number, a name or "(" was expected, not {found}')
        self.wrong(expected.format(found=token.called), token)

    def close(self, opened: Token) -> None:
        if self.next.text == ",":
            if self.tokens[self.at - 1].kind == self.tokens[self.at + 1].kind == "number":
                self.wrong(_('a decimal point is written ".", as in 0.5'))
            self.wrong(_('")" was expected, not ","'))
        if self.next.kind == "end":
            self.wrong(_('this "(" is never closed'), opened)
        if self.take().text != ")":
            self.at -= 1
            self.wrong(_('")" was expected, not {found}').format(found=self.next.called))

    def number(self, token: Token) -> Expression:
        mantissa, _e, exponent = token.text.lower().partition("e")
        if abs(int(exponent or 0)) > 300 or len(mantissa) > 300:
            self.wrong(_("the number is too large or too small"), token)
        return Number(Fraction(token.text), decimal="." in token.text or "e" in token.text.lower())

    def named(self, token: Token) -> Expression:
        name = {"π": "pi"}.get(token.text, token.text)
        function = ALIASES.get(name, name)
        opens = self.next.text == "("
        if function in FUNCTIONS or function in BASES:
            if not opens:
                why = _('"(" was expected after {name}: write {name}(x)')
                self.wrong(why.format(name=token.text))
            return self.call(token, function)
        if name in ("pi", "e"):
            return Constant(name)
        if opens:
            why = _("{name} is no function.").format(name=name)
            if len(name) > 1:
                why = str(one_of(_("function"), name, CALLED))
            self.wrong(why + " " + _("For a product write {name} * (…).").format(name=name), token)
        return Name(name)

    def call(self, token: Token, function: str) -> Expression:
        opened = self.take()
        self.deeper(1)
        if self.next.text == ")":
            self.wrong(_("{name} needs an argument").format(name=token.text))
        arguments = [self.sum()]
        most = 2 if function == "log" else 1
        while self.next.text == "," and len(arguments) < most:
            self.take()
            arguments.append(self.sum())
        if self.next.text == ",":
            why = _("{name} takes two arguments") if most == 2 else _("{name} takes one argument")
            self.wrong(why.format(name=token.text) + _(", and here comes another"))
        self.close(opened)
        self.deeper(-1)
        if function in BASES:
            return Call("log", (arguments[0], Number(Fraction(BASES[function]))))
        if function == "log" and len(arguments) == 1:
            function = "ln"
        return Call(function, tuple(arguments))


def _depth(e: Expression) -> int:
    return 1 + max((_depth(part) for part in e.parts), default=0)
