"""What a learning-rate schedule is: a formula of the number of steps made; its numbers are run-time scalars (4.4).

The formula is written once, on the graph. Asked with a number or an array it answers with one, in float64; asked with a
tensor it answers with a graph, which the compiled step contains. So a schedule costs nothing, and moving one of its
numbers compiles nothing.
"""

from __future__ import annotations

import copy
import inspect
import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kedja.elsewhere import Answering
from kedja.engines.values import evaluate
from kedja.errors import DataError, one_of
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, tensor
from kedja.ops import cast, floor
from kedja.optim.robbins_monro import RobbinsMonro, Tail, judged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CLASSES", "Schedule", "above", "at_least", "get", "periods", "share", "whole"]

CLASSES: dict[str, type[Schedule]] = {}
"""Every schedule by its class's name: what a saved one is made again from."""


class Slot(NamedTuple):
    """Where one number of a schedule lies: its name, the schedule that has it, and the place there."""

    name: str
    owner: Schedule
    field: str
    place: int | None  # in a list


class Schedule(Answering):
    """The base. A subclass stores its numbers in `__init__` and says the rate in `formula`, on the graph.

    An argument may be a number, a list of numbers, another schedule or a list of them; those in `structural` shape the
    program instead of being arguments of it.

    >>> import kedja as kj
    >>> class Sawtooth(kj.schedules.Schedule):
    ...     def __init__(self, rate, steps):
    ...         self.rate, self.steps = rate, steps
    ...     def formula(self, k):
    ...         return self.rate * (1 - k % self.steps / self.steps)
    >>> Sawtooth(0.1, 4).at([0, 1, 4, 6]).tolist()
    [0.1, 0.075..., 0.1, 0.05]
    """

    structural: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("kedja."):
            CLASSES[cls.__name__] = cls

    # --- what subclasses write --------------------------------------------------------------------------------------
    def formula(self, k: Tensor) -> Tensor:
        """The rate as a graph of k, the number of steps made so far: floating-point whole numbers from 0, any shape."""
        raise DataError(f"{type(self).__name__} does not say its rate: define formula(self, k)")

    def tail(self) -> Tail:
        """How the rate behaves for k → ∞, from which the Robbins-Monro verdict follows."""
        raise DataError(f"{type(self).__name__} does not say how it goes on for ever: define tail(self)")

    # --- the rate ---------------------------------------------------------------------------------------------------
    def at(self, step: Any) -> Any:
        """The rate of the step that comes after `step` others: of the first at 0.

        A number gives a float, an array or list an array of its shape, a tensor a graph.

        >>> import kedja as kj
        >>> kj.schedules.Exponential(0.1, steps=10, factor=0.5).at(20)
        0.025
        """
        own = next((v for v in self._present() if isinstance(v, Tensor)), None)
        if isinstance(step, Tensor):
            dtype = step.dtype if is_float(step.dtype) else (own.dtype if own is not None else None)
            k = cast(step, dtype or np.dtype(np.float32))
            return self._whole(self.formula(k), k)
        array = np.asarray(step)
        if array.dtype.kind not in "iuf" or not (array >= 0).all():
            raise DataError(f"{type(self).__name__}: steps are counted from 0, got {step!r}")
        k = tensor(array, dtype=own.dtype if own is not None else np.float64)
        found = self._whole(self.formula(k), k)
        if own is not None:
            return found
        value = evaluate(found)
        return value.item() if not array.shape else value.copy()

    @staticmethod
    def _whole(rate: Any, k: Tensor) -> Tensor:
        """The rate in the shape of k, also where the formula does not contain k."""
        return rate + 0.0 * k if not isinstance(rate, Tensor) or rate.shape != k.shape else rate

    def __call__(self, step: Any) -> Any:
        return self.at(step)

    def per_epoch(self, steps_per_epoch: int) -> Schedule:
        """This schedule with its steps counted in epochs: the rate changes when an epoch of so many steps begins.

        >>> import kedja as kj
        >>> kj.schedules.StepDecay(0.1, every=2, factor=0.5).per_epoch(100).at([0, 199, 200, 400]).tolist()
        [0.1, 0.1, 0.05, 0.025]
        """
        made: Schedule = CLASSES["PerEpoch"](self, steps_per_epoch)  # type: ignore[call-arg]
        return made

    # --- its numbers ------------------------------------------------------------------------------------------------
    @property
    def fields(self) -> list[str]:
        """The arguments it is made from."""
        taken = list(inspect.signature(type(self).__init__).parameters.values())[1:]
        return [p.name for p in taken if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]

    def _slots(self, prefix: str = "") -> Iterator[Slot]:
        for field in self.fields:
            value = getattr(self, field)
            items = [(None, value)] if not isinstance(value, tuple | list) else list(enumerate(value))
            for place, item in items:
                name = f"{prefix}{field}" if place is None else f"{prefix}{field}[{place}]"
                if isinstance(item, Schedule):
                    yield from item._slots(f"{name}.")
                elif field not in self.structural:
                    yield Slot(name, self, field, place)

    def _present(self) -> list[Any]:
        found = []
        for slot in self._slots():
            value = getattr(slot.owner, slot.field)
            found.append(value if slot.place is None else value[slot.place])
        return found

    @property
    def scalars(self) -> tuple[str, ...]:
        """The names of its numbers, which are arguments of a compiled program."""
        return tuple(slot.name for slot in self._slots())

    def scalar_values(self) -> list[float]:
        """The present numbers, in the order of `scalars`."""
        return [float(v) for v in self._present()]

    def with_scalars(self, values: Sequence[Any]) -> Schedule:
        """A copy whose numbers are these nodes: what a trace calls, so that the numbers stay run-time scalars."""
        made = copy.deepcopy(self)
        for slot, value in zip(made._slots(), values, strict=True):
            if slot.place is None:
                setattr(slot.owner, slot.field, value)
            else:
                items = list(getattr(slot.owner, slot.field))
                items[slot.place] = value
                setattr(slot.owner, slot.field, tuple(items))
        return made

    def structure(self) -> tuple[Any, ...]:
        """What a program depends on: the class, what is structural, and how many numbers there are; not the numbers."""

        def shape(field: str, value: Any) -> Any:
            if isinstance(value, Schedule):
                return value.structure()
            if isinstance(value, tuple | list):
                return tuple(shape(field, v) for v in value)
            return value if field in self.structural else None

        return (type(self), *(shape(field, getattr(self, field)) for field in self.fields))

    def config(self) -> dict[str, Any]:
        """Plain data from which `get` makes it again."""

        def plain(value: Any) -> Any:
            if isinstance(value, Schedule):
                return value.config()
            return [plain(v) for v in value] if isinstance(value, tuple | list) else value

        return {"name": type(self).__name__, **{field: plain(getattr(self, field)) for field in self.fields}}

    def __repr__(self) -> str:
        def shown(value: Any) -> str:
            if isinstance(value, tuple | list):
                return f"[{', '.join(map(shown, value))}]"
            return f"{value:g}" if isinstance(value, float) else repr(value)

        return f"{type(self).__name__}({', '.join(f'{f}={shown(getattr(self, f))}' for f in self.fields)})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.config() == other.config()

    __hash__ = object.__hash__

    # --- showing ----------------------------------------------------------------------------------------------------
    def plot(self, steps: int, path: str | os.PathLike[str] | None = None, ax: Axes | None = None) -> Figure:
        """The rate over the first `steps` steps; returns the Figure. `path` also writes it to a file."""
        from kedja.optim.curve import drawn

        at = np.unique(np.linspace(0, whole("plot", "steps", steps) - 1, 2000).astype(np.int64))
        rates = self.at(at)

        def draw(axes: Axes) -> None:
            axes.plot(at, rates, color="#2468b4", linewidth=1.7)
            if rates.min() > 0 and rates.max() > 100 * rates.min():
                axes.set_yscale("log")
            else:
                axes.set_ylim(bottom=0)
            axes.set_title(type(self).__name__, loc="left", fontsize=11, fontweight="bold")
            axes.set_xlabel("step")
            axes.set_ylabel("learning rate")

        return drawn(draw, path, ax)

    def robbins_monro(self) -> RobbinsMonro:
        """Whether stochastic gradient descent with this schedule, gone on for ever, meets Σε = ∞ and Σε² < ∞.

        The first lets it come from anywhere to a minimum, the second lets the noise of the batches die out.
        Source: Robbins and Monro 1951; scope 4.4.

        >>> import kedja as kj
        >>> print(kj.schedules.Constant(0.1).robbins_monro())
        Robbins-Monro conditions: not met, the rate stays at 0.1
          Σε = ∞   yes  100 after 1,000 steps, 1e+04 after 100,000
          Σε² < ∞  no   10 after 1,000 steps, 1,000 after 100,000
        """
        return judged(self.tail(), self.at)


def periods(k: Tensor, n: Any) -> Tensor:
    """⌊k/n⌋ for a whole k: the half keeps it exact where a float division k/n ends just below a whole number."""
    return floor((floor(k) + 0.5) / n)


def get(schedule: Any) -> Schedule:
    """The schedule itself, a number as a constant one, or one from its saved configuration.

    >>> get(0.1), get({"name": "StepDecay", "rate": 0.1, "every": 10, "factor": 0.5})
    (Constant(rate=0.1), StepDecay(rate=0.1, every=10, factor=0.5))
    """
    if isinstance(schedule, Schedule):
        return schedule
    if isinstance(schedule, dict):
        if schedule.get("name") not in CLASSES:
            raise one_of("schedule", schedule.get("name"), CLASSES)
        parts = {k: _made(v) for k, v in schedule.items() if k != "name"}
        return CLASSES[schedule["name"]](**parts)
    if isinstance(schedule, type) and issubclass(schedule, Schedule):
        raise DataError(f"{schedule.__name__} is a class: write kj.schedules.{schedule.__name__}(…) with its numbers")
    if isinstance(schedule, str):
        raise DataError(f"a schedule is made with its numbers, as in kj.schedules.Cosine(0.1, 1000); got {schedule!r}")
    constant: Schedule = CLASSES["Constant"](schedule)  # type: ignore[call-arg]
    return constant


def _made(value: Any) -> Any:
    if isinstance(value, dict):
        return get(value)
    return [_made(v) for v in value] if isinstance(value, list) else value


# --- what an argument may be ----------------------------------------------------------------------------------------
def _number(owner: str, name: str, value: Any, fits: bool | None, wanted: str) -> float:
    if fits is None or not fits:
        raise DataError(f"{owner}: {name} must be {wanted}, got {value!r}")
    return float(value)


def _read(value: Any) -> float:
    """The number, or nan for what is none (which no comparison accepts)."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(float(value)) else math.nan


def above(owner: str, name: str, value: Any) -> float:
    """A finite number above 0."""
    return _number(owner, name, value, _read(value) > 0, "a number above 0")


def at_least(owner: str, name: str, value: Any) -> float:
    """A finite number of at least 0."""
    return _number(owner, name, value, _read(value) >= 0, "a number of at least 0")


def share(owner: str, name: str, value: Any) -> float:
    """A number above 0 and below 1."""
    return _number(owner, name, value, 0 < _read(value) < 1, "a number between 0 and 1")


def whole(owner: str, name: str, value: Any) -> int:
    """A whole number of at least 1."""
    read = _read(value)
    return int(_number(owner, name, value, read >= 1 and read == round(read), "a whole number of at least 1"))
