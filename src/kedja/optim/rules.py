"""Optimisers, each a list of named steps on the graph, so that an explainer can show them one by one (scope 4.1-4.3).

Every number (rate, momentum, …) is a run-time scalar: changing it compiles nothing again. ε is the learning rate, as
in the literature; α the momentum.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kedja.errors import DataError, one_of
from kedja.graph.node import Tensor
from kedja.graph.variables import State, Variable
from kedja.ops import cast, sqrt, square

__all__ = ["SGD", "Adam", "GradientDescent", "Momentum", "Optimizer", "Slots", "Step", "get"]


class Step(NamedTuple):
    """One named step: `target` becomes `value`."""

    label: str
    target: Any
    value: Tensor


ELSEWHERE = {
    "alpha": "the rate is learning_rate=, the momentum is momentum=",
    "beta1": "kedja spells it beta_1=",
    "beta2": "kedja spells it beta_2=",
    "betas": "kedja spells them beta_1= and beta_2=",
    "clipnorm": "clipping is not there yet in this version",
    "eps": "kedja spells it epsilon=",
    "lr": "kedja spells it learning_rate=",
    "nesterov": "Nesterov's momentum is not there yet in this version",
    "params": "an optimiser is given to fit, which knows the parameters",
    "weight_decay": "weight decay is not there yet in this version",
}
"""How peers name what we name otherwise."""


class Slots(dict[str, Any]):
    """What an optimiser remembers about one parameter: its slots by name, also as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this optimiser keeps no slot {name!r}, only {list(self)}") from None


class Optimizer:
    """The base: `slots` names what is remembered per parameter, `scalars` the run-time numbers, `steps` the rule."""

    slots: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ("learning_rate",)
    full_batch = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name in ELSEWHERE and name not in inspect.signature(cls.__init__).parameters:
                raise TypeError(f"{cls.__name__} has no argument {name!r}: {ELSEWHERE[name]}")
        return super().__new__(cls)

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = positive("learning_rate", learning_rate)

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Iterator[Step]:
        """The rule: named steps in order. `time` is the number of this step, counted from 1."""
        raise DataError(f"{type(self).__name__} does not say its steps")

    def make_slots(self, parameters: Mapping[str, Variable]) -> State:
        """Fresh slots, zero, for every parameter; and the counter of steps."""
        made = State({"optimizer.steps": Variable(np.zeros((), np.int64), "optimizer.steps", kind="counter")})
        for path, p in parameters.items():
            for slot in self.slots:
                name = f"optimizer.{path}.{slot}"
                made.add(name, Variable(np.zeros(p.shape, p.dtype), name, dtype=p.dtype, kind="slot"))
        return made

    def with_scalars(self, values: Sequence[Any]) -> Optimizer:
        """A copy whose numbers are these nodes: what a trace calls, so that the numbers stay run-time scalars."""
        made = copy.copy(self)
        for name, value in zip(self.scalars, values, strict=True):
            setattr(made, name, value)
        return made

    def scalar_values(self) -> list[float]:
        """The present numbers, in the order of `scalars`."""
        return [float(getattr(self, name)) for name in self.scalars]

    def structure(self) -> tuple[Any, ...]:
        """What the program depends on: everything but the run-time numbers."""
        return (type(self), self.slots)

    def update(self, parameters: Mapping[str, Variable], gradients: Sequence[Tensor], memory: State) -> None:
        """Record the updates of all parameters, slots and the step counter in the present trace."""
        counter = memory["optimizer.steps"]
        counter.update(counter + 1)
        for (path, parameter), gradient in zip(parameters.items(), gradients, strict=True):
            time = cast(counter + 1, parameter.dtype)
            slots = Slots({s: memory[f"optimizer.{path}.{s}"] for s in self.slots})
            last: dict[Variable, Tensor] = {}
            for step in self.steps(parameter, gradient, slots, self.learning_rate, time):
                last[step.target] = step.value
            for target, value in last.items():
                target.update(value)

    def config(self) -> dict[str, Any]:
        """The class's name and its numbers."""
        return {"name": type(self).__name__, **{n: float(getattr(self, n)) for n in self.scalars}}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n):g}' for n in self.scalars)})"


def positive(name: str, value: Any) -> float:
    """A number above 0 and finite, or an error that says so."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < float(value) < float("inf"):
        raise DataError(f"{name} must be a number above 0, got {value!r}")
    return float(value)


def fraction(name: str, value: Any) -> float:
    """A number in [0, 1), or an error that says so."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= float(value) < 1:
        raise DataError(f"{name} must be at least 0 and below 1, got {value!r}")
    return float(value)


class Momentum(Optimizer):
    """v ← αv − εg, θ ← θ + v.  Source: Polyak 1964; scope 4.2.

    >>> Momentum(0.1, 0.9)
    Momentum(learning_rate=0.1, momentum=0.9)
    """

    slots = ("velocity",)
    scalars = ("learning_rate", "momentum")

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(learning_rate)
        self.momentum = fraction("momentum", momentum)

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Iterator[Step]:
        velocity = self.momentum * slots.velocity - rate * gradient
        yield Step("accumulate velocity", slots.velocity, velocity)
        yield Step("move", parameter, parameter + velocity)


class SGD(Optimizer):
    """θ ← θ − εg, one mini-batch at a time; with momentum > 0 as `Momentum`.  Source: scope 4.1; Robbins, Monro 1951.

    >>> SGD(0.1)
    SGD(learning_rate=0.1)
    """

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.0) -> None:
        super().__init__(learning_rate)
        self.momentum = fraction("momentum", momentum)
        if self.momentum:
            self.slots, self.scalars = Momentum.slots, Momentum.scalars

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Iterator[Step]:
        if self.slots:
            yield from Momentum.steps(self, parameter, gradient, slots, rate, time)  # type: ignore[arg-type]
        else:
            yield Step("move", parameter, parameter - rate * gradient)


class GradientDescent(SGD):
    """θ ← θ − ε∇J on all examples at once: `fit` then takes the whole data set as one batch.  Source: scope 4.1.

    >>> GradientDescent(0.5).full_batch
    True
    """

    full_batch = True

    def __init__(self, learning_rate: float = 0.01) -> None:
        super().__init__(learning_rate)


class Adam(Optimizer):
    """m ← β₁m + (1−β₁)g, s ← β₂s + (1−β₂)g², θ ← θ − ε · m̂ / (√ŝ + δ), m̂ = m/(1−β₁ᵗ), ŝ = s/(1−β₂ᵗ).

    Source: Kingma and Ba 2015; scope 4.3. δ stands outside the root.

    >>> Adam(1e-3)
    Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-08)
    """

    slots = ("mean", "square")
    scalars = ("learning_rate", "beta_1", "beta_2", "epsilon")

    def __init__(
        self, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        super().__init__(learning_rate)
        self.beta_1, self.beta_2 = fraction("beta_1", beta_1), fraction("beta_2", beta_2)
        self.epsilon = positive("epsilon", epsilon)

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Iterator[Step]:
        mean = self.beta_1 * slots.mean + (1.0 - self.beta_1) * gradient
        yield Step("average the gradient", slots.mean, mean)
        squares = self.beta_2 * slots.square + (1.0 - self.beta_2) * square(gradient)
        yield Step("average its square", slots.square, squares)
        unbiased = mean / (1.0 - self.beta_1**time)
        spread = sqrt(squares / (1.0 - self.beta_2**time))
        yield Step("move", parameter, parameter - rate * unbiased / (spread + self.epsilon))


CLASSES: dict[str, type[Optimizer]] = {c.__name__: c for c in (SGD, Adam, GradientDescent, Momentum)}
NAMES = {"adam": Adam, "gd": GradientDescent, "gradient_descent": GradientDescent, "momentum": Momentum, "sgd": SGD}


def get(optimizer: Any) -> Optimizer:
    """The optimiser of this name with its defaults, the object itself, or one from its saved configuration.

    >>> get("adam")
    Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-08)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, dict):
        if optimizer.get("name") not in CLASSES:
            raise one_of("optimizer", optimizer.get("name"), CLASSES)
        return CLASSES[optimizer["name"]](**{k: v for k, v in optimizer.items() if k != "name"})
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        raise DataError(
            f"{optimizer.__name__} is a class: write kj.optim.{optimizer.__name__}(), with brackets and its numbers"
        )
    if not isinstance(optimizer, str) or optimizer.lower() not in NAMES:
        raise one_of("optimizer", optimizer, NAMES)
    made: Optimizer = NAMES[optimizer.lower()]()
    return made
