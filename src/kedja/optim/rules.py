"""Rules that move down the gradient, with or without momentum (scope 4.1, 4.2).

The velocity v holds the learning rate: v ← αv − εg. So a rate that changes scales the new gradients only, as in Keras;
PyTorch's velocity is −v/ε, which moves alike at a constant rate.
"""

from __future__ import annotations

from typing import Any, Unpack

from kedja.graph.node import Tensor
from kedja.graph.variables import Variable
from kedja.optim.numbers import Options
from kedja.optim.optimizer import Optimizer, Slots, Step, Steps
from kedja.optim.schedule import Schedule

__all__ = ["SGD", "GradientDescent", "Momentum", "Nesterov"]


class Momentum(Optimizer):
    """v ← αv − εg, θ ← θ + v.  Source: Polyak 1964; scope 4.2.

    >>> Momentum(0.1, 0.9)
    Momentum(learning_rate=0.1, momentum=0.9)
    """

    slots = ("velocity",)
    scalars = ("learning_rate", "momentum")
    momentum: Any = 0.9

    def __init__(
        self, learning_rate: float | Schedule = 0.01, momentum: float = 0.9, **options: Unpack[Options]
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.momentum = momentum

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        velocity = self.momentum * slots.velocity - rate * gradient
        yield Step("accumulate velocity", slots.velocity, velocity)
        yield Step("move", parameter, parameter + velocity)


class Nesterov(Momentum):
    """v ← αv − εg, θ ← θ + αv − εg: the step that momentum would take next, taken now.

    This is Keras's and PyTorch's form of Nesterov's accelerated gradient. θ is the point at which the gradient is
    taken, Nesterov's own iterate is θ − αv, and g is always the gradient at θ.
    Source: Nesterov 1983; Sutskever, Martens, Dahl, Hinton 2013; Bengio, Boulanger-Lewandowski, Pascanu 2013 (the
    form).

    >>> Nesterov(0.1)
    Nesterov(learning_rate=0.1, momentum=0.9)
    """

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        velocity = self.momentum * slots.velocity - rate * gradient
        yield Step("accumulate velocity", slots.velocity, velocity)
        yield Step("move ahead", parameter, parameter + self.momentum * velocity - rate * gradient)


class SGD(Optimizer):
    """θ ← θ − εg, one mini-batch at a time; with momentum > 0 as `Momentum`.  Source: scope 4.1; Robbins, Monro 1951.

    >>> SGD(0.1), SGD(0.1, clip_norm=1.0)
    (SGD(learning_rate=0.1), SGD(learning_rate=0.1, clip_norm=1))
    """

    momentum: Any = 0.0

    def __init__(
        self, learning_rate: float | Schedule = 0.01, momentum: float = 0.0, **options: Unpack[Options]
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.momentum = momentum

    def own(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """With momentum those of `Momentum`; a momentum that is set to 0 later keeps its velocity."""
        moving = self.momentum or "velocity" in self.slots
        return (Momentum.slots, Momentum.scalars) if moving else super().own()

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        if "velocity" in self.slots:
            yield from Momentum.steps(self, parameter, gradient, slots, rate, time)  # type: ignore[arg-type]
        else:
            yield Step("move", parameter, parameter - rate * gradient)


class GradientDescent(SGD):
    """θ ← θ − ε∇J on all examples at once: `fit` then takes the whole data set as one batch.  Source: scope 4.1.

    >>> GradientDescent(0.5).full_batch
    True
    """

    full_batch = True

    def __init__(self, learning_rate: float | Schedule = 0.01, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, **options)
