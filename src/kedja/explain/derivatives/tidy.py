"""An expression made readable: like terms collected, powers put together, 1 · x, x + 0 and 0 · x gone.

This is mathematics for a reader, on exact fractions. What kedja computes with is the graph, whose simplifier allows
itself less: 0 · x is 0 here, and not for a computer, where x may be infinite.
"""

from __future__ import annotations

from fractions import Fraction

from kedja.explain.derivatives.expression import Binary, Call, Constant, Expression, Name, Negative, Number
from kedja.explain.derivatives.notation import text

__all__ = ["tidy"]

Factors = tuple[tuple[Expression, Expression], ...]  # (base, exponent), each base once
Form = dict[Factors, Number]  # a sum: the coefficient of every product
ZERO, HALF, ONE = Number(Fraction(0)), Number(Fraction(1, 2)), Number(Fraction(1))
E = Constant("e")
MOST_BITS, MOST_POWER = 192, 64  # of numbers worked out; larger powers stay as they are written
MOST_TERMS, MOST_EXPANDED = 9, 2


def tidy(e: Expression) -> Expression:
    """The same function, written as shortly as collecting and (where that is shorter) multiplying out make it.

    >>> from kedja.explain.derivatives.grammar import parse
    >>> print(tidy(parse("2*x*sin(x) + x**2*(cos(x)*1) + 0*x + x*sin(x)")))
    3 * x * sin(x) + x**2 * cos(x)
    >>> print(tidy(parse("(2*x*(x + 1) - x**2*1) / (x + 1)**2")))
    (x**2 + 2 * x) / (x + 1)**2
    """
    return min((Tidier(expanding).tidy(e) for expanding in (0, 1, 2)), key=lambda found: found.size)


class Tidier:
    """Sums of products of powers. `expanding` 1 multiplies out products of sums without quotients, 2 quotients too."""

    def __init__(self, expanding: int) -> None:
        self.expanding = expanding

    def tidy(self, e: Expression) -> Expression:
        found = self.form(e)
        if not found.keys() - {()}:  # a number alone, also a fraction
            return found.get((), ZERO)
        return written(found)

    def form(self, e: Expression) -> Form:
        """e as a sum of products."""
        match e:
            case Number():
                return {(): e} if e.value else {}
            case Name() | Constant():
                return {((e, ONE),): ONE}
            case Negative(of):
                return scaled(self.form(of), Number(Fraction(-1)))
            case Binary("+", left, right):
                return added(self.form(left), self.form(right))
            case Binary("-", left, right):
                return added(self.form(left), scaled(self.form(right), Number(Fraction(-1))))
            case Binary("*", left, right):
                return self.times(self.form(left), self.form(right))
            case Binary("/", left, right):
                return self.times(self.form(left), self.raised(self.below(right), Number(Fraction(-1))))
            case Binary("^", base, exponent):
                return self.raised(self.form(base), self.tidy(exponent))
            case Call("exp", (of,)):
                return self.raised({((E, ONE),): ONE}, self.tidy(of))
            case Call("sqrt", (of,)):
                return self.raised(self.form(of), HALF)
        return self.called(e.with_parts(*map(self.tidy, e.parts)))

    def below(self, e: Expression) -> Form:
        """A denominator, which is easier to read as a product."""
        return Tidier(0).form(e)

    def called(self, e: Expression) -> Form:
        """A function of tidy arguments, with the values everybody knows."""
        assert isinstance(e, Call)
        u, f = e.arguments[0], e.function
        known: Expression | None = None
        if isinstance(u, Number) and not u.value:
            known = {"cos": ONE, "sigmoid": Number(Fraction(1, 2))}.get(
                f, None if f in ("ln", "log", "arccos") else ZERO
            )
        elif f == "ln" and u in (ONE, E):
            known = ZERO if u == ONE else ONE
        elif f == "ln" and isinstance(u, Call) and u.function == "exp":
            known = u.arguments[0]
        elif f == "log" and u in (ONE, e.arguments[1]):
            known = ZERO if u == ONE else ONE
        return {((e, ONE),): ONE} if known is None else self.form(known)

    # --- products ---------------------------------------------------------------------------------------------------
    def times(self, a: Form, b: Form) -> Form:
        if not a or not b:
            return {}
        out = self.expanding > 1 or (self.expanding and whole(a) and whole(b))
        if out and len(a) * len(b) <= MOST_TERMS:
            return self.multiplied(a, b)
        return self.multiplied(self.closed(a), self.closed(b))

    def multiplied(self, a: Form, b: Form) -> Form:
        found: Form = {}
        for fa, ca in a.items():
            for fb, cb in b.items():
                found = added(found, self.product([*fa, *fb], times(ca, cb)))
        return found

    def product(self, factors: list[tuple[Expression, Expression]], coefficient: Number) -> Form:
        """One product, the powers of a base put together."""
        powers: dict[Expression, Expression] = {}
        for base, exponent in factors:
            powers[base] = self.tidy(powers[base] + exponent) if base in powers else exponent
        kept = []
        for base, exponent in powers.items():
            if exponent == ZERO:
                continue
            if isinstance(base, Number) and isinstance(exponent, Number):
                exact = power(base.value, exponent.value)
                if exact is not None:
                    coefficient = times(coefficient, Number(exact, base.decimal))
                    continue
            if base == E and isinstance(exponent, Call) and exponent.function == "ln":
                kept += [(b, p) for key in self.form(exponent.arguments[0]) for b, p in key]
                if len(self.form(exponent.arguments[0])) != 1:
                    kept.append((exponent.arguments[0], ONE))
                continue
            kept.append((base, exponent))
        if not coefficient.value:
            return {}
        if (
            len(kept) == 1
            and kept[0][1] == ONE
            and is_sum(kept[0][0])
            and (self.expanding or abs(coefficient.value) == 1)
        ):
            return scaled(self.form(kept[0][0]), coefficient)
        return {tuple(sorted(kept, key=_rank)): coefficient}

    def closed(self, a: Form) -> Form:
        """A sum of several terms as one thing, so that it can be a factor."""
        return a if len(a) == 1 else {((written(a), ONE),): ONE}

    def raised(self, base: Form, exponent: Expression) -> Form:
        """base ^ exponent."""
        if exponent == ZERO:
            return {(): ONE}
        if exponent == ONE:
            return base
        n = exponent.value if isinstance(exponent, Number) else None
        if not base:
            return {} if n is not None and n > 0 else {((ZERO, exponent),): ONE}
        if len(base) > 1:
            if self.expanding and n in range(2, MOST_EXPANDED + 1) and whole(base) and len(base) <= MOST_EXPANDED:
                found = base
                for _ in range(int(n or 0) - 1):
                    found = self.times(found, base)
                return found
            return {((written(base), exponent),): ONE}
        ((factors, coefficient),) = base.items()
        parts: list[tuple[Expression, Expression]] = []
        outside = ONE
        whole_number = n is not None and n.denominator == 1
        if coefficient != ONE or not factors:
            exact = power(coefficient.value, n) if n is not None else None
            if exact is not None:
                outside = Number(exact, coefficient.decimal)
            elif not factors or whole_number:
                parts.append((coefficient, exponent))
            else:  # sqrt(2 x): kept together
                return {((written(base), exponent),): ONE}
        if not whole_number and not all(b == E for b, _ in factors) and (len(factors) > 1 or factors[0][1] != ONE):
            # (x^2)^(1/2) is |x|, and sqrt(x y) more than sqrt(x) sqrt(y)
            parts.append((written({factors: ONE}), exponent))
        else:
            parts += [(b, self.tidy(p * exponent)) for b, p in factors]
        return self.product(parts, outside)


# --- sums of products -----------------------------------------------------------------------------------------------
def added(a: Form, b: Form) -> Form:
    """a + b, like terms collected."""
    found = dict(a)
    for factors, c in b.items():
        total = found.get(factors, ZERO)
        total = Number(total.value + c.value, total.decimal or c.decimal)
        if total.value:
            found[factors] = total
        else:
            found.pop(factors, None)
    return found


def scaled(a: Form, by: Number) -> Form:
    """by · a."""
    return {factors: times(c, by) for factors, c in a.items()}


def times(a: Number, b: Number) -> Number:
    """The product of two numbers; it is a decimal fraction if one of them is."""
    return Number(a.value * b.value, a.decimal or b.decimal)


def whole(a: Form) -> bool:
    """Whether it may be multiplied out: no term is a quotient."""
    return all(not (isinstance(p, Number) and p.value < 0) for factors in a for _, p in factors)


def is_sum(e: Expression) -> bool:
    """Whether it is u + v or u − v."""
    return isinstance(e, Binary) and e.sign in "+-"


def power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """base ^ exponent where that is a fraction that can be written down, else None.

    >>> power(Fraction(4, 9), Fraction(-1, 2)), power(Fraction(2), Fraction(1, 2))
    (Fraction(3, 2), None)
    """
    if exponent.denominator > 4 or abs(exponent) > MOST_POWER or (not base and exponent <= 0):
        return None
    if exponent.denominator > 1:
        roots = [_root(n, exponent.denominator) for n in (base.numerator, base.denominator)]
        if roots[0] is None or roots[1] is None:
            return None
        base = Fraction(roots[0], roots[1])
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent.numerator) > MOST_BITS:
        return None
    return Fraction(base**exponent.numerator)


def _root(n: int, degree: int) -> int | None:
    if n < 0 or n.bit_length() > 50:
        return None
    root: int = round(n ** (1 / degree))
    return root if root**degree == n else None


# --- written out again ----------------------------------------------------------------------------------------------
def written(a: Form) -> Expression:
    """The sum as an expression, a positive term first."""
    terms = [_term(factors, c) for factors, c in a.items()]
    if not terms:
        return ZERO
    terms.sort(key=lambda t: t[0]) if terms[0][0] else None
    negative, found = terms[0]
    if negative:
        found = Number(-found.value, found.decimal) if isinstance(found, Number) else Negative(found)
    for minus, term in terms[1:]:
        found = found - term if minus else found + term
    return found


def _term(factors: Factors, coefficient: Number) -> tuple[bool, Expression]:
    """Whether the term is subtracted, and the term without that sign: a quotient of products."""
    value = abs(coefficient.value)
    above: list[Expression] = []
    below: list[Expression] = []
    if coefficient.decimal:
        above.append(Number(value, True))
    else:
        above.append(Number(Fraction(value.numerator)))
        below.append(Number(Fraction(value.denominator)))
    for base, exponent in factors:
        if isinstance(exponent, Number) and exponent.value < 0 and base != E:
            below.append(_power(base, Number(-exponent.value, exponent.decimal)))
        else:
            above.append(_power(base, exponent))
    top, bottom = _joined(above), _joined(below)
    return coefficient.value < 0, top if bottom == ONE else top / bottom


def _joined(factors: list[Expression]) -> Expression:
    kept = [f for f in factors if f != ONE]
    found = kept[0] if kept else ONE
    for f in kept[1:]:
        found = found * f
    return found


def _power(base: Expression, exponent: Expression) -> Expression:
    if exponent == ONE:
        return base
    if base == E:
        return Call("exp", (exponent,))
    if exponent == HALF:
        return Call("sqrt", (base,))
    return base**exponent


def _rank(factor: tuple[Expression, Expression]) -> tuple[int, str]:
    """Numbers, constants, letters, exponentials, functions, sums; each by its text."""
    base, exponent = factor
    kinds = {Number: 0, Constant: 3 if base == E and exponent != ONE else 1, Name: 2, Call: 4}
    return kinds.get(type(base), 5), text(base)
