"""Activations that a kernel applies while its sums lie in registers: linear in pieces, so that y tells all of y′."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from kedja.engines.kernels.builder import Builder

__all__ = ["RELU", "Activation"]


class Activation(NamedTuple):
    """y is x kept between `low` and `high`; or, with a slope (greater than 0), x above 0 and slope · x below.

    y′ is 1 strictly between the bounds and 0 elsewhere; 1 above 0, else the slope. A missing number stays missing.
    """

    low: float = 0.0
    high: float = inf
    slope: float = 0.0

    def of(self, b: Builder, x: Any) -> Any:
        """The vector y of a vector x."""
        if self.slope:
            return b.ir.select(b.ir.fcmp_ordered(">", x, b.zero), x, b.ir.fmul(b.everywhere(self.slope), x))
        low = b.everywhere(self.low)
        y = b.ir.select(b.ir.fcmp_ordered("<", x, low), low, x)
        if self.high == inf:
            return y
        high = b.everywhere(self.high)
        return b.ir.select(b.ir.fcmp_ordered(">", y, high), high, y)

    def through(self, b: Builder, y: Any, g: Any) -> Any:
        """g · y′, where y is what the activation gave."""
        if self.slope:
            return b.ir.select(b.ir.fcmp_ordered(">", y, b.zero), g, b.ir.fmul(b.everywhere(self.slope), g))
        g = b.ir.select(b.ir.fcmp_ordered(">", y, b.everywhere(self.low)), g, b.zero)
        return g if self.high == inf else b.ir.select(b.ir.fcmp_ordered("<", y, b.everywhere(self.high)), g, b.zero)


RELU = Activation()
