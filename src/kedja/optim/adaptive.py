"""Rules that give every weight a rate of its own, from the size of its past gradients (scope 4.3).

Squares are of each entry. δ is `epsilon`, which keeps the division finite.
"""

from __future__ import annotations

from typing import Any, Unpack

from kedja.graph.node import Tensor
from kedja.graph.variables import Variable
from kedja.ops import maximum, sqrt, square
from kedja.optim.numbers import Options
from kedja.optim.optimizer import Optimizer, Slots, Step, Steps
from kedja.optim.schedule import Schedule

__all__ = ["Adadelta", "Adagrad", "RMSProp"]


class Adagrad(Optimizer):
    """s ← s + g², θ ← θ − ε · g / (√s + δ): rates that only fall, least where gradients are rare.

    Source: Duchi, Hazan, Singer 2011; scope 4.3. PyTorch the same with δ = 1e-10; Keras begins at s = 0.1 and has δ
    inside the root.

    >>> Adagrad(0.1)
    Adagrad(learning_rate=0.1, epsilon=1e-08)
    """

    slots = ("square",)
    scalars = ("learning_rate", "epsilon")

    def __init__(
        self, learning_rate: float | Schedule = 0.01, epsilon: float = 1e-8, **options: Unpack[Options]
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.epsilon: Any = epsilon

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        squares = slots.square + square(gradient)
        yield Step("add up the squares", slots.square, squares)
        yield Step("move", parameter, parameter - rate * gradient / (sqrt(squares) + self.epsilon))


class Adadelta(Optimizer):
    """s ← ρs + (1−ρ)g², Δ = g · √(u + δ) / √(s + δ), u ← ρu + (1−ρ)Δ², θ ← θ − εΔ.

    The step is in the units of θ: √u is the usual length of past steps, so ε = 1 needs no tuning, only patience at
    the start. δ stands inside both roots.  Source: Zeiler 2012 (ε = 1, ρ = 0.95, δ = 1e-6); scope 4.3. PyTorch the
    same with ρ = 0.9; Keras with ε = 0.001, δ = 1e-7.

    >>> Adadelta()
    Adadelta(learning_rate=1, rho=0.95, epsilon=1e-06)
    """

    slots = ("square", "square_step")
    scalars = ("learning_rate", "rho", "epsilon")

    def __init__(
        self, learning_rate: float | Schedule = 1.0, rho: float = 0.95, epsilon: float = 1e-6,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.rho: Any = rho
        self.epsilon: Any = epsilon

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        squares = self.rho * slots.square + (1.0 - self.rho) * square(gradient)
        yield Step("average the squares", slots.square, squares)
        step = gradient * sqrt(slots.square_step + self.epsilon) / sqrt(squares + self.epsilon)
        usual = self.rho * slots.square_step + (1.0 - self.rho) * square(step)
        yield Step("average the squared steps", slots.square_step, usual)
        yield Step("move", parameter, parameter - rate * step)


class RMSProp(Optimizer):
    """s ← ρs + (1−ρ)g², θ ← θ − ε · g / (√ŝ + δ), ŝ = s / (1−ρᵗ).

    - `centered` divides by the gradient's spread instead: m ← ρm + (1−ρ)g, ŝ = (s − m²) / (1−ρᵗ).
    - `momentum` α > 0 moves by a velocity: v ← αv − ε · g / (√ŝ + δ), θ ← θ + v.
    - `bias_corrected=False` leaves ŝ = s, as Hinton, PyTorch (ρ = 0.99) and Keras do: the first steps are then
      1/√(1−ρ) times as long.

    Source: Tieleman and Hinton 2012, lecture 6.5; Graves 2013 (centred, momentum); scope 4.3. δ stands outside the
    root; in Keras inside. With bias correction and no momentum it is Adam with β₁ = 0.

    >>> RMSProp(0.01), RMSProp(0.01, centered=True)
    (RMSProp(learning_rate=0.01, rho=0.9, epsilon=1e-08), RMSProp(learning_rate=0.01, ..., centered=True))
    """

    slots = ("square",)
    scalars = ("learning_rate", "rho", "epsilon")
    switches = ("centered", "bias_corrected")
    momentum: Any = 0.0
    centered: Any = False
    bias_corrected: Any = True

    def __init__(
        self, learning_rate: float | Schedule = 0.001, rho: float = 0.9, epsilon: float = 1e-8, *,
        momentum: float = 0.0, centered: bool = False, bias_corrected: bool = True, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.rho: Any = rho
        self.epsilon: Any = epsilon
        self.momentum, self.centered, self.bias_corrected = momentum, centered, bias_corrected

    def own(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The mean where it is centred, and a velocity with momentum."""
        slots, scalars = super().own()
        if self.centered:
            slots = ("mean", *slots)
        if self.momentum or "velocity" in self.slots:
            slots, scalars = (*slots, "velocity"), (*scalars, "momentum")
        return slots, scalars

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        squares = self.rho * slots.square + (1.0 - self.rho) * square(gradient)
        yield Step("average the squares", slots.square, squares)
        if self.centered:
            mean = self.rho * slots.mean + (1.0 - self.rho) * gradient
            yield Step("average the gradient", slots.mean, mean)
            squares = maximum(squares - square(mean), 0.0)  # rounding can make it a little less
        if self.bias_corrected:
            squares = squares / (1.0 - self.rho**time)
        step = rate * gradient / (sqrt(squares) + self.epsilon)
        if "velocity" in self.slots:
            velocity = self.momentum * slots.velocity - step
            yield Step("accumulate velocity", slots.velocity, velocity)
            yield Step("move", parameter, parameter + velocity)
        else:
            yield Step("move", parameter, parameter - step)
