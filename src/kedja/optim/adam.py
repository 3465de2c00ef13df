"""Adam and its relatives: rules that average the gradient, and measure it by its usual size (scope 4.3).

β₁ and β₂ are the shares that averages keep, t the number of the step from 1, δ is `epsilon`, λ the decay of weights.
"""

from __future__ import annotations

from typing import Any, Unpack

from kedja.graph.node import Tensor
from kedja.graph.variables import Variable
from kedja.ops import absolute, maximum, sign, sqrt, square
from kedja.optim.numbers import Options
from kedja.optim.optimizer import Optimizer, Part, Slots, Step, Steps
from kedja.optim.schedule import Schedule

__all__ = ["Adam", "AdamW", "Adamax", "Lion"]


class Adam(Optimizer):
    """m ← β₁m + (1−β₁)g, s ← β₂s + (1−β₂)g², θ ← θ − ε · m̂ / (√ŝ + δ), m̂ = m/(1−β₁ᵗ), ŝ = s/(1−β₂ᵗ).

    With `amsgrad`, ŝ is the largest s so far over 1−β₂ᵗ, so that no weight's rate grows again.
    Source: Kingma and Ba 2015; Reddi, Kale, Kumar 2018 (amsgrad, with PyTorch's correction of the bias); scope 4.3.
    δ stands outside the root.

    >>> Adam(1e-3)
    Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-08)
    """

    slots: tuple[str, ...] = ("mean", "square")
    scalars: tuple[str, ...] = ("learning_rate", "beta_1", "beta_2", "epsilon")
    switches = ("amsgrad",)
    amsgrad: Any = False

    def __init__(
        self, learning_rate: float | Schedule = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
        epsilon: float = 1e-8, *, amsgrad: bool = False, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_1: Any = beta_1
        self.beta_2: Any = beta_2
        self.epsilon: Any = epsilon
        self.amsgrad = amsgrad

    def own(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """With amsgrad the largest average of squares is remembered too."""
        slots, scalars = super().own()
        return ((*slots, "largest"), scalars) if self.amsgrad else (slots, scalars)

    def averages(self, gradient: Tensor, slots: Slots, time: Tensor) -> Part:
        """The steps that average; what they return is m̂ and √ŝ + δ."""
        mean = self.beta_1 * slots.mean + (1.0 - self.beta_1) * gradient
        yield Step("average the gradient", slots.mean, mean)
        squares = self.beta_2 * slots.square + (1.0 - self.beta_2) * square(gradient)
        yield Step("average its square", slots.square, squares)
        if self.amsgrad:
            squares = maximum(slots.largest, squares)
            yield Step("keep the largest", slots.largest, squares)
        spread = sqrt(squares / (1.0 - self.beta_2**time))
        return mean / (1.0 - self.beta_1**time), spread + self.epsilon

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        unbiased, spread = yield from self.averages(gradient, slots, time)
        yield Step("move", parameter, parameter - rate * unbiased / spread)


class AdamW(Adam):
    """θ ← θ − ελθ on weights that are penalised, then θ ← θ − ε · m̂ / (√ŝ + δ) as `Adam`.

    The decay does not go through the averages, so it pulls every weight alike. It is scaled by the rate (as in PyTorch
    and Keras), by factors and schedules too, and leaves out biases and norm parameters (`parameter.penalised`).
    Source: Loshchilov and Hutter 2019; scope 4.3.

    >>> AdamW(1e-3, weight_decay=0.1)
    AdamW(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-08, weight_decay=0.1)
    """

    scalars = (*Adam.scalars, "weight_decay")

    def __init__(
        self, learning_rate: float | Schedule = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
        epsilon: float = 1e-8, *, weight_decay: float = 0.01, amsgrad: bool = False, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad=amsgrad, **options)
        self.weight_decay: Any = weight_decay

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        unbiased, spread = yield from self.averages(gradient, slots, time)
        start: Tensor = parameter
        if penalised(parameter):
            start = parameter - rate * self.weight_decay * parameter
            yield Step("decay the weights", parameter, start)
        yield Step("move", parameter, start - rate * unbiased / spread)


class Adamax(Optimizer):
    """m ← β₁m + (1−β₁)g, u ← max(β₂u, |g|), θ ← θ − ε · m̂ / (u + δ), m̂ = m/(1−β₁ᵗ): Adam with the largest size.

    Source: Kingma and Ba 2015, section 7.1; scope 4.3. δ as in Keras; PyTorch adds it to |g|.

    >>> Adamax()
    Adamax(learning_rate=0.002, beta_1=0.9, beta_2=0.999, epsilon=1e-08)
    """

    slots = ("mean", "largest")
    scalars = ("learning_rate", "beta_1", "beta_2", "epsilon")

    def __init__(
        self, learning_rate: float | Schedule = 0.002, beta_1: float = 0.9, beta_2: float = 0.999,
        epsilon: float = 1e-8, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_1: Any = beta_1
        self.beta_2: Any = beta_2
        self.epsilon: Any = epsilon

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        mean = self.beta_1 * slots.mean + (1.0 - self.beta_1) * gradient
        yield Step("average the gradient", slots.mean, mean)
        top = maximum(self.beta_2 * slots.largest, absolute(gradient))
        yield Step("keep the largest size", slots.largest, top)
        unbiased = mean / (1.0 - self.beta_1**time)
        yield Step("move", parameter, parameter - rate * unbiased / (top + self.epsilon))


class Lion(Optimizer):
    """θ ← θ − ε · (sign(β₁m + (1−β₁)g) + λθ), m ← β₂m + (1−β₂)g: only the sign of an average counts.

    Every weight moves by ε at each step, so ε is three to ten times smaller than Adam's, λ as much larger; λ counts
    for weights that are penalised.  Source: Chen et al. 2023; Keras the same.

    >>> Lion()
    Lion(learning_rate=0.0001, beta_1=0.9, beta_2=0.99, weight_decay=0)
    """

    slots = ("mean",)
    scalars = ("learning_rate", "beta_1", "beta_2", "weight_decay")

    def __init__(
        self, learning_rate: float | Schedule = 0.0001, beta_1: float = 0.9, beta_2: float = 0.99, *,
        weight_decay: float = 0.0, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_1: Any = beta_1
        self.beta_2: Any = beta_2
        self.weight_decay: Any = weight_decay

    def steps(self, parameter: Variable, gradient: Tensor, slots: Slots, rate: Any, time: Tensor) -> Steps:
        start: Tensor = parameter
        if penalised(parameter):
            start = parameter - rate * self.weight_decay * parameter
            yield Step("decay the weights", parameter, start)
        direction = sign(self.beta_1 * slots.mean + (1.0 - self.beta_1) * gradient)
        yield Step("move by the sign", parameter, start - rate * direction)
        yield Step("average the gradient", slots.mean, self.beta_2 * slots.mean + (1.0 - self.beta_2) * gradient)


def penalised(parameter: Variable) -> bool:
    """Whether decay means this parameter: what it says itself, else matrices and larger."""
    return bool(getattr(parameter, "penalised", parameter.ndim >= 2))
