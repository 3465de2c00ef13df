"""All operators: importing this module fills the table."""

from __future__ import annotations

from kedja.formats.onnx import (
    activations,
    arithmetic,
    casting,
    control,
    indexing,
    linear,
    logic,
    losses,
    normalization,
    pooling,
    recurrent,
    reductions,
    regularization,
    resizing,
    sequences,
    shaping,
    text,
    training,
)
from kedja.formats.onnx.registry import OPERATORS, Operator, translate

__all__ = ["OPERATORS", "Operator", "supported", "translate"]

FAMILIES = (
    activations, arithmetic, casting, control, indexing, linear, logic, losses, normalization, pooling, recurrent,
    reductions, regularization, resizing, sequences, shaping, text, training,
)  # fmt: skip


def supported() -> list[str]:
    """The names of the operators kedja has, with their domain where it is not the standard one.

    >>> {"Conv", "LSTM", "Einsum"} <= set(supported())
    True
    """
    return sorted(f"{domain}.{name}" if domain else name for domain, name in OPERATORS)
