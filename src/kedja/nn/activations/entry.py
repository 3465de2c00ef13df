"""What is known of an activation besides its function: one `Entry` each, in `TABLE`, in the order they are written.

The names that strings are looked up by, the layer classes, the catalogue in the documentation, the plots and the tests
all follow from this table, so that a new activation is one decorated function.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from kedja.errors import DataError, DTypeError
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor
from kedja.ops.op import operands

__all__ = ["TABLE", "Entry", "activation", "cases", "checked", "floats"]

Function = TypeVar("Function", bound=Callable[..., Tensor])


@dataclass(frozen=True)
class Entry:
    """An activation f: its name and function, and what a reader wants to know of it.

    `formula` and `derivative` are TeX; `range` is where its values lie, `[a, b)` with the end that is reached in a
    square bracket. `kinks` are the places, with the parameters it starts with, where f or f′ jumps. `init` is what
    "auto" draws the weights before it by. An activation that is not `elementwise` looks at a whole row.
    """

    name: str
    function: Callable[..., Tensor]
    formula: str
    derivative: str
    range: str
    source: str
    layer: str
    monotone: bool
    aliases: tuple[str, ...]
    kinks: tuple[float, ...]
    init: str
    elementwise: bool

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Its parameters and what they start with.

        >>> TABLE["leaky_relu"].parameters
        {'slope': 0.01}
        """
        if not inspect.isfunction(self.function):
            return {}  # an op
        known = list(inspect.signature(self.function).parameters.values())[1:]
        return {p.name: p.default for p in known if p.kind is p.POSITIONAL_OR_KEYWORD}

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and the other names it answers to."""
        return self.name, *self.aliases


TABLE: dict[str, Entry] = {}
"""Every activation by name (scope 2.3)."""


def activation(
    formula: str, derivative: str, range: str, source: str, *, layer: str, monotone: bool = True,
    aliases: tuple[str, ...] = (), kinks: tuple[float, ...] = (), init: str = "glorot_uniform",
    elementwise: bool = True,
) -> Callable[[Function], Function]:  # fmt: skip
    """Put the function that follows into `TABLE` under its own name."""

    def enter(function: Function) -> Function:
        name = str(getattr(function, "name", None) or getattr(function, "__name__", ""))
        TABLE[name] = Entry(
            name, function, formula, derivative, range, source, layer, monotone, aliases, kinks, init, elementwise
        )
        return function

    return enter


def cases(*lines: str) -> str:
    r"""A definition by cases in TeX.

    >>> cases("x & x > 0", "0 & x \\leq 0")
    '\\begin{cases} x & x > 0 \\\\ 0 & x \\leq 0 \\end{cases}'
    """
    return r"\begin{cases} " + r" \\ ".join(lines) + r" \end{cases}"


def floats(name: str, x: Any) -> Tensor:
    """What an activation was given, as a tensor of floating-point numbers."""
    found = operands(name, (x,))[0]
    if not is_float(found.dtype):
        raise DTypeError(f"{name} needs floating-point tensors, got {found.dtype.name}. Use kj.cast(x, 'float32').")
    return found


def checked(name: str, what: str, value: Any, *, above: float = -math.inf, least: float = -math.inf) -> Any:
    """A parameter that is a finite number in its range, or a tensor, as it came; else an error.

    >>> checked("softplus", "beta", 2.0, above=0)
    2.0
    """
    if isinstance(value, Tensor):
        return value
    wanted = f" above {above:g}" if above > -math.inf else f" of at least {least:g}" if least > -math.inf else ""
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > above and number >= least):
        raise DataError(f"{name}: {what} is a finite number{wanted}, got {value!r}")
    return value
