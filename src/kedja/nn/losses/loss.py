"""What a loss is: one number per example, of which the weighted mean Σwℓ/Σw is what training lowers (scope 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kedja.elsewhere import Answering
from kedja.errors import DataError, ShapeError, one_of
from kedja.graph.dtypes import is_float
from kedja.graph.node import CONSTANT, Array, Tensor, tensor
from kedja.graph.shapes import Shape
from kedja.ops import cast, mean, reshape
from kedja.ops import sum as total

__all__ = ["Loss", "OfYourOwn", "fitted", "number", "rows_of"]

REDUCTIONS = ("mean", "sum", "none")


class Loss(Answering):
    """A loss: `formula` gives one number per row, ℓ; calling it gives their mean.

    `reduction`: "mean" is Σwℓ/Σw over the examples; "sum" is Σwℓ, the notes' sum over the data set; "none" is wℓ, row
    by row, for calling it yourself. Options are part of a program's structure: another δ is another program.

    A loss of your own is a function of (targets, outputs), or a class made from this one:

    >>> import kedja as kj
    >>> class Cubed(kj.losses.Loss):
    ...     name = "cubed"
    ...     def formula(self, t, y):
    ...         return kj.sum(abs(y - t) ** 3, 1)
    >>> Cubed(reduction="none")([[0.0, 0.0], [0.0, 1.0]], kj.tensor([[1.0, 2.0], [0.0, 1.0]])).numpy().tolist()
    [9.0, 0.0]
    """

    name: str = ""
    options: tuple[str, ...] = ()  # names of constructor arguments besides `reduction`, kept as attributes

    def __init__(self, *, reduction: str = "mean") -> None:
        if reduction not in REDUCTIONS:
            raise one_of("reduction", reduction, REDUCTIONS)
        self.name = type(self).name or type(self).__name__
        self.reduction = reduction

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        """ℓ for each row, from targets that fit the outputs: (n, …) → (n,)."""
        raise NotImplementedError(f"{type(self).__name__} does not say its formula")

    def fit_targets(self, targets: Tensor, outputs: Tensor) -> Tensor:
        """The targets in the shape and type `formula` wants; an error when they do not fit the outputs."""
        return fitted(targets, outputs, self.name)

    def check_targets(self, targets: Array, outputs: Shape, name: str = "the targets") -> Array:
        """The targets as an array this loss can be taken of; raises DataError where their values make no sense."""
        return targets

    def check_outputs(self, outputs: Array) -> None:
        """Raise DataError when these are no outputs the loss can be taken of."""

    def per_example(self, targets: Any, outputs: Any) -> Tensor:
        """ℓ for each row: (n, …) → (n,). Values that are known already (constants) are checked, those to come not."""
        outputs, targets = tensor(outputs), tensor(targets)
        fit = self.fit_targets(targets, outputs)
        if targets.op is CONSTANT:
            self.check_targets(targets.attrs["value"], outputs.shape)
        if outputs.op is CONSTANT:
            self.check_outputs(outputs.attrs["value"])
        return self.formula(fit, outputs)

    def __call__(self, targets: Any, outputs: Any, weights: Any = None) -> Tensor:
        """Σwℓ/Σw, or with reduction "sum" Σwℓ, or with "none" each wℓ. Without weights every w is 1."""
        each = self.per_example(targets, outputs)
        if weights is None:
            return each if self.reduction == "none" else mean(each) if self.reduction == "mean" else total(each)
        w = tensor(weights, dtype=None if isinstance(weights, Tensor) else each.dtype)
        if w.shape != each.shape:
            raise ShapeError(f"{self.name}: one weight per example is needed, {each.shape}, got {w.shape}")
        weighted = each * w
        if self.reduction == "none":
            return weighted
        return total(weighted) / total(w) if self.reduction == "mean" else total(weighted)

    def structure(self) -> tuple[Any, ...]:
        """What a program depends on: the class and every option."""
        return (type(self), self.reduction, *(getattr(self, option) for option in self.options))

    def config(self) -> dict[str, Any]:
        """Plain data from which `get` makes it again."""
        return {"name": self.name, "reduction": self.reduction, **{o: getattr(self, o) for o in self.options}}

    def __repr__(self) -> str:
        options = ", ".join(f"{o}={getattr(self, o)!r}" for o in (*self.options, "reduction"))
        return f"{type(self).__name__}({options})"


class OfYourOwn(Loss):
    """A loss from a function of (targets, outputs) that gives one number per row, or several, which are averaged."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        each = self.function(t, y)
        if not isinstance(each, Tensor) or each.shape[:1] != y.shape[:1]:
            got = f"a tensor of shape {each.shape}" if isinstance(each, Tensor) else type(each).__name__
            raise ShapeError(
                f"a loss function gives one number for each of the {y.shape[0]} rows, got {got}. "
                "Leave the mean over the rows to kedja."
            )
        return rows_of(each, average=True)

    def structure(self) -> tuple[Any, ...]:
        return (*super().structure(), self.function)


def fitted(targets: Tensor, outputs: Tensor, name: str) -> Tensor:
    """Targets checked against outputs, so that (n,) and (n, 1) never broadcast to (n, n) unnoticed."""
    if targets.shape == outputs.shape:
        return targets if is_float(targets.dtype) else cast(targets, outputs.dtype)
    labels = targets.ndim == 1 and outputs.shape == (*targets.shape, 1)
    if labels and not is_float(targets.dtype):
        return reshape(cast(targets, outputs.dtype), outputs.shape)  # class labels 0 and 1 for one output
    fix = f"reshape them to {outputs.shape}: y.reshape(-1, 1)" if labels else "they must be the same"
    raise ShapeError(f"{name}: the targets have shape {targets.shape} and the outputs {outputs.shape}; {fix}")


def rows_of(each: Tensor, average: bool) -> Tensor:
    """One number per row, from one per output: their mean or their sum."""
    axes = tuple(range(1, each.ndim))
    if not axes:
        return each
    return mean(each, axes) if average else total(each, axes)


def number(loss: str, option: str, value: Any, low: float, high: float = np.inf, *, above: bool = False) -> float:
    """An option that is a number from `low` (`above`: greater than it) to below `high`.

    >>> number("huber", "delta", 0, 0, above=True)
    Traceback (most recent call last):
    kedja.errors.DataError: huber: delta is a number above 0, got 0
    """
    fits = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not fits or not (low < value if above else low <= value) or not value < high:
        span = f"{'above' if above else 'of at least'} {low:g}" + (f" and below {high:g}" if np.isfinite(high) else "")
        raise DataError(f"{loss}: {option} is a number {span}, got {value!r}")
    return float(value)
