"""The optimiser as such: a rule made of named steps, and what every rule may be given besides (scope 4.1-4.3, 4.7).

Every number (rate, momentum, …) is a run-time scalar: changing it compiles nothing again. What a number means for the
program is only whether it is there. ε is the learning rate, as in the literature; α the momentum.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np

from kedja.errors import DataError, one_of
from kedja.graph.dtypes import DType
from kedja.graph.node import Tensor
from kedja.graph.variables import State, Variable
from kedja.ops import cast
from kedja.optim import averaging, clipping
from kedja.optim.numbers import CHECKS, LOOPS, Options, refuse_foreign
from kedja.optim.schedule import Schedule

__all__ = ["Optimizer", "Slots", "Step"]

COUNTER = "optimizer.steps"
SINCE = "optimizer.{}.since"  # of a parameter that was set free later: the step it began to learn at
RATE, LAYERS = "learning_rate.", "layer_rates."  # how the numbers of a schedule and of layers are named


class Step(NamedTuple):
    """One named step: `target` becomes `value`."""

    label: str
    target: Any
    value: Tensor


Steps = Iterator[Step]
Part = Generator[Step, None, Any]
"""Some steps of a rule that others go on from: what they return."""


class Slots(dict[str, Any]):
    """What an optimiser remembers about one parameter: its slots by name, also as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this optimiser keeps no slot {name!r}, only {list(self)}") from None


class Optimizer:
    """The base of all rules, and of your own: `steps` is the rule, `slots` what it remembers about each parameter,
    `scalars` the names of its run-time numbers, `switches` those of its True-or-False arguments.

    Every optimiser takes, as keywords:

    - `learning_rate`: a number, or a schedule of the step's number, counted from 0.
    - `clip_value`, `clip_norm`, `clip_each_norm`: one way to shorten gradients before the rule sees them.
    - `layer_rates`: a factor for the rate of every parameter whose path is, or begins with, a name; the longest that
      fits wins; 0 holds still.
    - `average`: keep an average of the weights, moving (0.999) or plain ("mean"), from step `average_from` on.

    After the rule a parameter with a constraint is brought back to it.
    """

    slots: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ("learning_rate",)
    switches: tuple[str, ...] = ()
    full_batch = False

    learning_rate: Any = None
    clip_value: Any = None
    clip_norm: Any = None
    clip_each_norm: Any = None
    layer_rates: Any = {}  # noqa: RUF012 (replaced, never changed)
    average: Any = None
    average_from: Any = 1

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        refuse_foreign(cls, kwargs)
        return super().__new__(cls)

    def __init__(self, learning_rate: float | Schedule, **options: Unpack[Options]) -> None:
        refuse_foreign(Optimizer, options)
        self.learning_rate = learning_rate
        for name, value in options.items():
            setattr(self, name, value)
        self.lay_out()

    def __setattr__(self, name: str, value: Any) -> None:
        check = None if isinstance(value, Schedule) and name == "learning_rate" else CHECKS.get(name)
        if check is not None:
            try:
                value = check(name, value)
            except DataError as error:
                raise DataError(f"{type(self).__name__}: {error}") from None
        if name in clipping.KINDS and value is not None:
            clipping.at_most_one([kind for kind in clipping.KINDS if kind == name or getattr(self, kind) is not None])
        super().__setattr__(name, value)
        if "scalars" in self.__dict__ and name != "scalars":
            self.lay_out()

    def __getattr__(self, name: str) -> Any:
        hint = f": {LOOPS[name]}" if name in LOOPS else ""
        raise AttributeError(f"{type(self).__name__} has no {name!r}{hint}")

    def own(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The slots and the run-time numbers of the rule alone, as its arguments are now."""
        return type(self).slots, type(self).scalars

    def lay_out(self) -> None:
        """Say which slots and run-time numbers there are in all; done again whenever an argument is set."""
        slots, scalars = self.own()
        names = list(scalars)
        if isinstance(self.learning_rate, Schedule):
            at = names.index("learning_rate")
            names[at : at + 1] = [RATE + name for name in self.learning_rate.scalars]
        names += [name for name in clipping.KINDS if getattr(self, name) is not None]
        names += [LAYERS + path for path in self.layer_rates]
        if self.average is not None:
            slots = (*slots, averaging.SLOT)
            names += ["average_from"] if isinstance(self.average, str) else ["average", "average_from"]
        self.__dict__.update(slots=slots, scalars=tuple(names))

    # --- what a rule says ------------------------------------------------------------------------------------------
    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        """The rule: named steps in order. `time` is the number of this step, counted from 1."""
        raise DataError(f"{type(self).__name__} does not say its steps: define steps(self, parameter, gradient, ...)")

    # --- run-time numbers ------------------------------------------------------------------------------------------
    def scalar_values(self) -> list[float]:
        """The present numbers, in the order of `scalars`."""
        found = {LAYERS + path: factor for path, factor in self.layer_rates.items()}
        if isinstance(rate := self.learning_rate, Schedule):
            found |= {RATE + name: value for name, value in zip(rate.scalars, rate.scalar_values(), strict=True)}
        return [float(found[name] if name in found else getattr(self, name)) for name in self.scalars]

    def with_scalars(self, values: Sequence[Any]) -> Optimizer:
        """A copy whose numbers are these nodes: what a trace calls, so that the numbers stay run-time scalars."""
        given = dict(zip(self.scalars, values, strict=True))
        made = copy.copy(self)
        inside = made.__dict__  # nodes are not numbers, so the checks are passed by
        if isinstance(self.learning_rate, Schedule):
            nodes = [given.pop(RATE + name) for name in self.learning_rate.scalars]
            inside["learning_rate"] = self.learning_rate.with_scalars(nodes)
        inside["layer_rates"] = {path: given.pop(LAYERS + path) for path in self.layer_rates}
        inside.update(given)
        return made

    def structure(self) -> tuple[Any, ...]:
        """What the program depends on: everything but the run-time numbers."""
        rate = self.learning_rate.structure() if isinstance(self.learning_rate, Schedule) else None
        return (*self.remembered(), self.scalars, tuple(getattr(self, name) for name in self.switches), rate)

    def remembered(self) -> tuple[Any, ...]:
        """What its memory depends on: two optimisers that agree here can go on from each other's."""
        return (type(self), self.slots)

    def rate_at(self, step: int) -> float:
        """The learning rate of the step with this number, counted from 0, before factors of layers."""
        return float(self.learning_rate.at(step) if isinstance(self.learning_rate, Schedule) else self.learning_rate)

    # --- memory ----------------------------------------------------------------------------------------------------
    def make_slots(
        self, parameters: Mapping[str, Variable], known: Collection[str] | None = None, since: int = 0
    ) -> State:  # fmt: skip
        """Fresh slots, zero, for every parameter; and the counter of steps.

        `known`: the paths `layer_rates` may name, where frozen parameters are among them. `since`: the step from which
        these parameters learn; a rule's time (Adam's bias correction) counts from there, as for one that is new.
        """
        self.expect_layers(parameters if known is None else known)
        made = State({COUNTER: Variable(np.zeros((), np.int64), COUNTER, kind="counter")})
        for path, p in parameters.items():
            for slot in self.slots:
                name = f"optimizer.{path}.{slot}"
                made.add(name, Variable(np.zeros(p.shape, p.dtype), name, dtype=p.dtype, kind="slot"))
            if since:
                made.add(SINCE.format(path), Variable(np.int64(since), SINCE.format(path), kind="counter"))
        return made

    def expect_layers(self, paths: Collection[str]) -> None:
        """Raise unless every name in `layer_rates` is that of a parameter with one of these paths, or begins one."""
        for name in self.layer_rates:
            if not any(path == name or path.startswith(name + ".") for path in paths):
                heads = {path[:n] for path in paths for n in range(len(path) + 1) if path[n : n + 1] in ("", ".")}
                raise one_of("layer that learns, in layer_rates,", name, heads)

    # --- one step of training --------------------------------------------------------------------------------------
    def update(self, parameters: Mapping[str, Variable], gradients: Sequence[Tensor], memory: State) -> None:
        """Record the updates of all parameters, slots and the step counter in the present trace."""
        counter = memory[COUNTER]
        counter.update(counter + 1)
        last: dict[Variable, Tensor] = {}
        for _, step in self.named_steps(parameters, gradients, memory):
            if isinstance(step.target, Variable):
                last[step.target] = step.value
        for target, value in last.items():
            target.update(value)

    def named_steps(
        self, parameters: Mapping[str, Variable], gradients: Sequence[Tensor], memory: State
    ) -> Iterator[tuple[str, Step]]:
        """Every step of one update, with the path of its parameter: clipping, the rule, constraint, average.

        A step that clips has the gradient as its target; the others a parameter or a slot.

        >>> import kedja as kj
        >>> w, rule = kj.Parameter([3.0, 4.0], name="w"), kj.optim.Momentum(0.1, clip_norm=1.0, average=0.9)
        >>> [step.label for _, step in rule.named_steps({"w": w}, [w * 1.0], rule.make_slots({"w": w}))]
        ['clip the length of all gradients', 'accumulate velocity', 'move', 'average the weights']
        """
        factors = _factors(self.layer_rates, parameters)
        label, clipped = self.clipped(gradients)
        present = self.learning_rate
        if isinstance(present, Schedule):
            present = present.at(cast(memory[COUNTER], next(iter(parameters.values())).dtype))
        here: dict[DType, tuple[Optimizer, Any, Tensor]] = {}
        for (path, parameter), gradient, short in zip(parameters.items(), gradients, clipped, strict=True):
            if label is not None:
                yield path, Step(label, gradient, short)
            dtype = parameter.dtype
            if dtype not in here:
                here[dtype] = self.in_type(dtype), _cast(present, dtype), cast(memory[COUNTER] + 1, dtype)
            rule, rate, time = here[dtype]
            if factors[path] is not None:
                rate = rate * rule.layer_rates[factors[path]]
            if (late := SINCE.format(path)) in memory:
                time = cast(memory[COUNTER] + 1 - memory[late], dtype)
            slots = Slots({s: memory[f"optimizer.{path}.{s}"] for s in self.slots})
            value: Tensor = parameter
            for step in rule.steps(parameter, short, slots, rate, time):
                yield path, step
                value = step.value if step.target is parameter else value
            constraint = getattr(parameter, "constraint", None)
            if constraint is not None:
                value = constraint.apply(value)
                yield path, Step("constrain", parameter, value)
            if self.average is not None:
                slot = slots[averaging.SLOT]
                new = averaging.with_new_weights(slot, value, rule.average, rule.average_from, time)
                yield path, Step("average the weights", slot, new)

    def clipped(self, gradients: Sequence[Tensor]) -> tuple[str | None, Sequence[Tensor]]:
        """The label of the step that clips (None: no clipping), and the gradients after it."""
        for name, (label, clip) in clipping.KINDS.items():
            if getattr(self, name) is not None:
                return label, clip(gradients, getattr(self, name))
        return None, gradients

    def in_type(self, dtype: DType) -> Optimizer:
        """This optimiser with its nodes in the type of a parameter, or itself when they are."""
        own = {n: getattr(self, n) for n in self.scalars if "." not in n}
        nodes = [v for v in (*own.values(), *self.layer_rates.values()) if isinstance(v, Tensor)]
        if all(node.dtype == dtype for node in nodes):
            return self
        made = copy.copy(self)
        made.__dict__.update({n: _cast(v, dtype) for n, v in own.items()})
        made.__dict__["layer_rates"] = {path: _cast(factor, dtype) for path, factor in self.layer_rates.items()}
        return made

    # --- to and from plain data --------------------------------------------------------------------------------------
    def settings(self) -> dict[str, Any]:
        """The arguments it would be made with again, without those that say nothing."""
        found: dict[str, Any] = {}
        for name in self.own()[1]:
            value = getattr(self, name)
            found[name] = value if isinstance(value, Schedule) else float(value)
        turned = [name for name in self.switches if getattr(self, name) != getattr(type(self), name)]
        found |= {name: getattr(self, name) for name in turned}
        found |= {name: getattr(self, name) for name in clipping.KINDS if getattr(self, name) is not None}
        if self.layer_rates:
            found["layer_rates"] = dict(self.layer_rates)
        if self.average is not None:
            found["average"] = self.average
            if self.average_from != 1:
                found["average_from"] = self.average_from
        return found

    def config(self) -> dict[str, Any]:
        """The class's name and its arguments, as plain data from which `get` makes it again."""
        told = {n: v.config() if isinstance(v, Schedule) else v for n, v in self.settings().items()}
        return {"name": type(self).__name__, **told}

    def __repr__(self) -> str:
        told = (f"{n}={v:g}" if isinstance(v, float) else f"{n}={v!r}" for n, v in self.settings().items())
        return f"{type(self).__name__}({', '.join(told)})"


def _cast(value: Any, dtype: DType) -> Any:
    """A node in this type; anything else as it is."""
    return cast(value, dtype) if isinstance(value, Tensor) else value


def _factors(layer_rates: Mapping[str, Any], parameters: Mapping[str, Variable]) -> dict[str, str | None]:
    """For each parameter the longest name in `layer_rates` that its path is or begins with, or None.

    >>> _factors({"block": 1, "block.out": 2}, dict.fromkeys(["block.in.bias", "block.out.bias", "blocks.bias"]))
    {'block.in.bias': 'block', 'block.out.bias': 'block.out', 'blocks.bias': None}
    """
    found: dict[str, str | None] = {}
    for path in parameters:
        fits = [name for name in layer_rates if path == name or path.startswith(name + ".")]
        found[path] = max(fits, key=len, default=None)
    return found
