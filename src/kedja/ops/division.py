"""Remainders of a division: `fmod` cuts the quotient towards zero, `remainder` rounds it down."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor
from kedja.ops import elementwise
from kedja.ops.elementwise import logical_and, not_equal, where
from kedja.ops.notation import POWER, PRODUCT, infix
from kedja.ops.op import elementwise as stanza
from kedja.ops.op import operands
from kedja.ops.samples import nonzero, real

fmod = stanza(
    "fmod", np.fmod, partials=(lambda a, b, y: 1, lambda a, b, y: (y - a) / b),  # the quotient, cut, is (a − y)/b
    tex=infix(r"\operatorname{{fmod}}", PRODUCT, POWER), text="fmod({0}, {1})", samples=(real, nonzero),
    accepts="number",
)  # fmt: skip


def remainder(a: Any, b: Any) -> Tensor:
    """a − b ⌊a / b⌋: what is left of a after whole steps of b. It has the sign of b, as a % b in Python and NumPy.

    ∂/∂a = 1, ∂/∂b = −⌊a / b⌋, except at the jumps. `kj.fmod` has the sign of a instead.

    >>> from kedja.graph import tensor
    >>> remainder(tensor([5.5, -5.5]), 2.0).numpy().tolist(), fmod(tensor([5.5, -5.5]), 2.0).numpy().tolist()
    ([1.5, 0.5], [1.5, -1.5])
    """
    a, b = operands("remainder", (a, b))
    if not is_float(a.dtype) or a.dtype != b.dtype:  # the op says what is wrong with types that differ
        return elementwise.remainder(a, b)
    rest = fmod(a, b)
    return where(logical_and(not_equal(rest, 0), not_equal(rest < 0, b < 0)), rest + b, rest)


__all__ = ["fmod", "remainder"]
