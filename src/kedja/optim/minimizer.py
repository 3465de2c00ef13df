"""Minimisers: optimisers that may ask for the loss at several points before they move once (scope 4.3, 4.5).

A gradient step is a formula, so it is a graph. A line search or a search by trying is not: how often it asks depends on
the answers. So these rules run in NumPy, on all parameters as one long vector, and ask a compiled program for the loss
(and the gradient, if they want it) of all rows at a point. What they remember lies in variables, as every optimiser's
memory does: a run that is continued or loaded goes on with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from kedja.errors import DataError
from kedja.graph.dtypes import DType
from kedja.graph.node import Tensor
from kedja.graph.variables import State, Variable
from kedja.ops import concatenate, reshape
from kedja.optim.optimizer import Optimizer

__all__ = ["Evaluate", "Memory", "Minimizer", "Point", "above", "at_least", "shrinking", "whole"]

Array = np.ndarray[Any, Any]
Memory = dict[str, Array]
PREFIX = "optimizer."
GRADIENT = PREFIX + "gradient"
STEPS, EVALUATIONS = PREFIX + "steps", PREFIX + "evaluations"


class Point(NamedTuple):
    """All parameters as one vector, the loss there, its gradient (None if it was not asked for), and what else came."""

    x: Array
    loss: float
    gradient: Array | None = None
    rest: Any = None

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are."""
        return bool(np.isfinite(self.loss) and (self.gradient is None or np.isfinite(self.gradient).all()))


Evaluate = Callable[[Array], Point]


class Minimizer(Optimizer):
    """The base: `start` says what is remembered, `iterate` makes one iteration. `fit` counts iterations as epochs.

    >>> import kedja as kj
    >>> class Halving(kj.optim.Minimizer):
    ...     def iterate(self, evaluate, point, memory, key):
    ...         return evaluate(point.x / 2), memory, None
    >>> kj.optim.minimize(lambda w: (w * w).sum(), [4.0], Halving(), iterations=3).value
    0.25
    """

    full_batch = True
    scalars: tuple[str, ...] = ()
    needs_gradient = False
    checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {}

    def __init__(self, **numbers: Any) -> None:
        for name, value in numbers.items():
            setattr(self, name, value)
        self.lay_out()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, self.checks[name](name, value) if name in self.checks else value)

    # --- what a rule says -------------------------------------------------------------------------------------------
    def start(self, size: int, dtype: DType) -> Memory:
        """What it remembers, by name, zero: arrays whose shapes never change, for this many parameters."""
        return {}

    def iterate(
        self, evaluate: Evaluate, point: Point, memory: Memory, key: Array
    ) -> tuple[Point, Memory, str | None]:  # fmt: skip
        """One iteration from a point: the next point, the new memory, and the reason to stop, if there is one.

        `key` is the random key of this iteration. The point that is returned came from `evaluate`, or is the old one.
        """
        raise DataError(f"{type(self).__name__} does not say its iteration: define iterate(self, evaluate, point, ...)")

    # --- what training asks every optimiser -------------------------------------------------------------------------
    def make_slots(
        self, parameters: Mapping[str, Variable], known: Collection[str] | None = None, since: int = 0
    ) -> State:  # fmt: skip
        """Counters of iterations and of evaluations, the gradient, and what `start` says."""
        first = next(iter(parameters.values()))
        size, dtype = sum(p.size for p in parameters.values()), first.dtype
        for path, p in parameters.items():
            if p.dtype != dtype:
                raise DataError(f"{type(self).__name__} needs parameters of one type; {path} is not {dtype.name}")
            if getattr(p, "constraint", None) is not None:
                raise DataError(
                    f"{type(self).__name__} moves all parameters freely and cannot keep the constraint of {path}. "
                    "Use an optimiser that goes step by step, such as kj.optim.Adam()."
                )
        made = State({name: Variable(np.zeros((), np.int64), name, kind="counter") for name in (STEPS, EVALUATIONS)})
        slots = {"gradient": np.zeros(size, dtype)} if self.needs_gradient else {}
        for name, value in {**slots, **self.start(size, dtype)}.items():
            kind = "counter" if value.dtype.kind == "i" else "slot"
            made.add(PREFIX + name, Variable(value, PREFIX + name, dtype=value.dtype, kind=kind))
        return made

    def update(self, parameters: Mapping[str, Variable], gradients: Sequence[Tensor], memory: State) -> None:
        """In the present trace: the gradient of all parameters goes into memory, where the loop finds it."""
        if self.needs_gradient:
            flat = [reshape(g, (-1,)) for g in gradients]
            memory[GRADIENT].update(concatenate(flat) if len(flat) > 1 else flat[0])

    def settings(self) -> dict[str, Any]:
        """The arguments it would be made with again."""
        return {name: getattr(self, name) for name in (*type(self).switches, *type(self).scalars)}

    def remembered(self) -> tuple[Any, ...]:
        """What its memory depends on."""
        return (type(self), *(getattr(self, name) for name in self.switches))


# --- what an argument may be ----------------------------------------------------------------------------------------
def above(name: str, value: Any) -> float:
    """A finite number above 0."""
    return _number(name, value, lambda v: v > 0, "a number above 0")


def at_least(name: str, value: Any) -> float:
    """A finite number of at least 0."""
    return _number(name, value, lambda v: v >= 0, "a number of at least 0")


def shrinking(name: str, value: Any) -> float:
    """A factor above 0, at most 1."""
    return _number(name, value, lambda v: 0 < v <= 1, "above 0 and at most 1")


def whole(name: str, value: Any) -> int:
    """A whole number of at least 1."""
    return int(_number(name, value, lambda v: v >= 1 and v == round(v), "a whole number of at least 1"))


def _number(name: str, value: Any, fits: Callable[[float], bool], wanted: str) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or not fits(float(value)):
        raise DataError(f"{name} must be {wanted}, got {value!r}")
    return float(value)
