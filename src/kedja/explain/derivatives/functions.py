"""The signs, constants and functions an expression may hold: what NumPy makes of each, and which op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import kedja.ops as ops

__all__ = ["ARITHMETIC", "CONSTANTS", "FUNCTIONS", "Function"]


class Function(NamedTuple):
    """A function of the table: its NumPy meaning, its op, how TeX writes its name, and what it is defined for."""

    compute: Callable[..., Any]
    op: Callable[..., Any]
    tex: str
    domain: str = ""
    arguments: tuple[int, ...] = (1,)


def _(text: str) -> str:
    """Marks words for the catalogues of translations; they are looked up when they are shown."""
    return text


def _log(x: Any, base: Any) -> Any:
    return np.log(x) / np.log(base)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _step(x: Any) -> Any:
    return ops.cast(x > 0, x.dtype)


CONSTANTS = {"pi": float(np.pi), "e": float(np.e)}
ARITHMETIC: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "+": (np.add, ops.add),
    "-": (np.subtract, ops.subtract),
    "*": (np.multiply, ops.multiply),
    "/": (np.divide, ops.divide),
    "^": (np.power, ops.power),
}
ABOVE_0, FROM_0, UP_TO_1 = _("numbers above 0"), _("numbers from 0 on"), _("numbers from -1 to 1")
FUNCTIONS: dict[str, Function] = {
    "sqrt": Function(np.sqrt, ops.sqrt, r"\sqrt", FROM_0),
    "exp": Function(np.exp, ops.exp, r"\exp"),
    "ln": Function(np.log, ops.log, r"\ln", ABOVE_0),
    "log": Function(_log, ops.logarithm, r"\log", ABOVE_0, (2,)),
    "sin": Function(np.sin, ops.sin, r"\sin"),
    "cos": Function(np.cos, ops.cos, r"\cos"),
    "tan": Function(np.tan, ops.tan, r"\tan"),
    "arcsin": Function(np.arcsin, ops.arcsin, r"\arcsin", UP_TO_1),
    "arccos": Function(np.arccos, ops.arccos, r"\arccos", UP_TO_1),
    "arctan": Function(np.arctan, ops.arctan, r"\arctan"),
    "tanh": Function(np.tanh, ops.tanh, r"\tanh"),
    "sigmoid": Function(_sigmoid, ops.sigmoid, r"\sigma"),
    "relu": Function(lambda x: np.maximum(x, 0.0), ops.relu, r"\operatorname{relu}"),
    "abs": Function(np.absolute, ops.absolute, r"\operatorname{abs}"),
    "sign": Function(np.sign, ops.sign, r"\operatorname{sign}"),
    "step": Function(lambda x: np.where(x > 0, 1.0, 0.0)[()], _step, r"\operatorname{step}"),
}
