"""Functions of vectors that no processor has: exp, sigmoid, tanh and softplus, to a few units in the last place.

x = n · ln 2 + r with a whole number n and |r| ≤ ln 2 / 2. The series of eʳ − 1 = r + r²/2! + r³/3! + … is short there,
and 2ⁿ is made by writing n into the exponent of a number; so eˣ − 1 = 2ⁿ (eʳ − 1) + (2ⁿ − 1) keeps its digits near 0.
Sigmoid, tanh and softplus are said with eˣ and eˣ − 1 of numbers below 0, which cannot grow too large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from kedja.engines.kernels.builder import Builder

__all__ = ["exp", "expm1", "sigmoid", "softplus", "tanh"]


class Numbers(NamedTuple):
    """What the functions must know of a type of number."""

    digits: int  # bits after the leading one
    bias: int  # the exponent of 1
    terms: int  # of the series
    odd: int  # of that of the logarithm
    ln2: tuple[float, float]  # in two parts, the first with zeros at its end: n times it is exact
    least: float  # below it eˣ is 0
    most: float  # above it eˣ is infinite

    @property
    def round(self) -> float:
        """Added to a number it leaves no room for a fraction: the sum ends in the nearest whole number."""
        return 1.5 * 2.0**self.digits


NUMBERS = {
    4: Numbers(23, 127, 7, 7, (0.693359375, -2.12194440054690583e-4), -104.0, 89.0),
    8: Numbers(52, 1023, 13, 16, (0.6931471803691238, 1.9082149292705877e-10), -746.0, 710.0),
}


def exp(b: Builder, x: Any) -> Any:
    """eˣ."""
    return _exp(b, _at_most(b, x, NUMBERS[b.itemsize].most))


def _exp(b: Builder, x: Any) -> Any:
    """eˣ for x that are not too large."""
    small, n = _reduced(b, _at_least(b, x, NUMBERS[b.itemsize].least))
    half = b.ir.ashr(n, _all(n.type, 1))  # 2ⁿ in two factors: it may be too large or too small for a number
    y = b.fma(small, _power_of_two(b, half), _power_of_two(b, half))
    return b.ir.fmul(y, _power_of_two(b, b.ir.sub(n, half)))


def expm1(b: Builder, x: Any) -> Any:
    """eˣ − 1."""
    of = NUMBERS[b.itemsize]
    small, n = _reduced(b, _at_most(b, _at_least(b, x, -of.bias * math.log(2) / 2), of.most))
    half = b.ir.ashr(n, _all(n.type, 1))
    rest = b.ir.sub(n, half)
    first, one = _power_of_two(b, half), _power_of_two(b, b.ir.neg(rest))  # 2ⁿ and 1, both over the second factor
    return b.ir.fmul(b.fma(small, first, b.ir.fsub(first, one)), _power_of_two(b, rest))


def _expm1(b: Builder, x: Any) -> Any:
    """eˣ − 1 for x that are not positive: below the limit set here it is −1."""
    small, n = _reduced(b, _at_least(b, x, -NUMBERS[b.itemsize].bias * math.log(2) / 2))
    power = _power_of_two(b, n)
    return b.fma(small, power, b.ir.fsub(power, b.everywhere(1.0)))


def sigmoid(b: Builder, x: Any) -> Any:
    """1 / (1 + e⁻ˣ)."""
    one = b.everywhere(1.0)
    e = _exp(b, _minus_size(b, x))
    return b.ir.fdiv(b.ir.select(b.ir.fcmp_ordered("<", x, b.zero), e, one), b.ir.fadd(one, e))


def tanh(b: Builder, x: Any) -> Any:
    """(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)."""
    down = _minus_size(b, x)
    e = _expm1(b, b.ir.fadd(down, down))
    return _with_sign(b, b.ir.fdiv(e, b.ir.fadd(e, b.everywhere(2.0))), x)


def softplus(b: Builder, x: Any) -> Any:
    """ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|), and ln(1 + e) = 2 (s + s³/3 + s⁵/5 + …) with s = e / (2 + e)."""
    e = _exp(b, _minus_size(b, x))
    s = b.ir.fdiv(e, b.ir.fadd(e, b.everywhere(2.0)))
    squared, last = b.ir.fmul(s, s), 2 * NUMBERS[b.itemsize].odd + 1
    series = _polynomial(b, [2 / k for k in range(last, 2, -2)], squared)
    above = b.ir.select(b.ir.fcmp_ordered("<", x, b.zero), b.zero, x)
    return b.ir.fadd(above, b.fma(b.ir.fmul(s, squared), series, b.ir.fadd(s, s)))


def _polynomial(b: Builder, factors: Sequence[float], x: Any) -> Any:
    """By Horner's rule, the factor of the highest power first."""
    found = b.everywhere(factors[0])
    for factor in factors[1:]:
        found = b.fma(found, x, b.everywhere(factor))
    return found


def _all(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _bits(b: Builder) -> Any:
    """Whole numbers as wide as the vector's."""
    return ir.VectorType(ir.IntType(8 * b.itemsize), b.lanes)


def _at_least(b: Builder, x: Any, limit: float) -> Any:
    """x, but the limit where x is below it; a missing number stays missing."""
    return b.ir.select(b.ir.fcmp_ordered("<", x, b.everywhere(limit)), b.everywhere(limit), x)


def _at_most(b: Builder, x: Any, limit: float) -> Any:
    return b.ir.select(b.ir.fcmp_ordered(">", x, b.everywhere(limit)), b.everywhere(limit), x)


def _reduced(b: Builder, x: Any) -> tuple[Any, Any]:
    """eʳ − 1, and n as whole numbers."""
    of = NUMBERS[b.itemsize]
    big = b.everywhere(of.round)
    shifted = b.fma(x, b.everywhere(1 / math.log(2)), big)
    whole = b.ir.fsub(shifted, big)
    r = x
    for part in of.ln2:
        r = b.fma(whole, b.everywhere(-part), r)
    series = _polynomial(b, [1 / math.factorial(k) for k in range(of.terms, 1, -1)], r)
    kind = _bits(b)
    n = b.ir.sub(b.ir.bitcast(shifted, kind), b.ir.bitcast(big, kind))
    return b.fma(b.ir.fmul(r, r), series, r), n


def _power_of_two(b: Builder, n: Any) -> Any:
    of = NUMBERS[b.itemsize]
    exponent = b.ir.add(n, _all(n.type, of.bias))
    return b.ir.bitcast(b.ir.shl(exponent, _all(n.type, of.digits)), b.vector)


def _sign_bit(b: Builder) -> Any:
    return _all(_bits(b), 1 << (8 * b.itemsize - 1))


def _minus_size(b: Builder, x: Any) -> Any:
    """−|x|."""
    return b.ir.bitcast(b.ir.or_(b.ir.bitcast(x, _bits(b)), _sign_bit(b)), b.vector)


def _with_sign(b: Builder, y: Any, x: Any) -> Any:
    """The size of y with the sign of x."""
    sign = b.ir.and_(b.ir.bitcast(x, _bits(b)), _sign_bit(b))
    size = b.ir.and_(b.ir.bitcast(y, _bits(b)), _all(_bits(b), (1 << (8 * b.itemsize - 1)) - 1))
    return b.ir.bitcast(b.ir.or_(sign, size), b.vector)
