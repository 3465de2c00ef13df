"""Losses (scope 3): each gives one number per example; their weighted mean Σwℓ/Σw is what training lowers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from kedja.errors import DataError, DTypeError, ShapeError, one_of
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, tensor
from kedja.ops import cast, log, log_softmax, maximum, mean, one_hot, reshape, softplus, square, where
from kedja.ops import sum as total
from kedja.ops.elementwise import sigmoid
from kedja.ops.softmax import normalised_exp

__all__ = ["Loss", "get", "logits_of"]


def logits_of(output: Tensor) -> Tensor | None:
    """The pre-activation, when a node is a sigmoid or softmax: losses use it, because it is exact at any size.

    >>> import kedja as kj
    >>> z = kj.tensor([1.0, 2.0], name="z")
    >>> logits_of(kj.softmax(z)) is z, logits_of(z) is None
    (True, True)
    """
    if output.op is sigmoid or (output.op is normalised_exp and output.attrs["axis"] == output.ndim - 1):
        return output.inputs[0]
    return None


class Loss:
    """A loss by name. `reduction` "mean" averages over examples, "sum" adds up (the notes' data-set sums).

    `from_logits`: True, the outputs are logits; False, they are probabilities; "auto", the pre-activation is used when
    the output is a sigmoid or softmax, and otherwise the output is taken as logits.

    >>> import kedja as kj
    >>> kj.losses.get("sse")(kj.tensor([[1.0, 2.0]]), kj.tensor([[0.0, 0.0]])).item()
    5.0
    """

    def __init__(
        self, name: str, formula: Callable[..., Tensor], *, reduction: str = "mean", from_logits: bool | str = "auto"
    ) -> None:
        if reduction not in ("mean", "sum"):
            raise one_of("reduction", reduction, ("mean", "sum"))
        if from_logits not in (True, False, "auto"):
            raise DataError(f"from_logits is True, False or 'auto', got {from_logits!r}")
        self.name, self.formula, self.reduction, self.from_logits = name, formula, reduction, from_logits

    def per_example(self, targets: Any, outputs: Tensor) -> Tensor:
        """ℓ for each row: (n, …) → (n,)."""
        outputs = tensor(outputs)
        targets = fitted(tensor(targets), outputs, self.name)
        return self.formula(targets, outputs, self.from_logits)

    def __call__(self, targets: Any, outputs: Any, weights: Any = None) -> Tensor:
        """Σwℓ/Σw, or Σwℓ with reduction "sum"."""
        each = self.per_example(targets, outputs)
        if weights is None:
            return mean(each) if self.reduction == "mean" else total(each)
        w = tensor(weights, dtype=None if isinstance(weights, Tensor) else each.dtype)
        if w.shape != each.shape:
            raise ShapeError(f"{self.name}: one weight per example is needed, {each.shape}, got {w.shape}")
        summed = total(each * w)
        return summed / total(w) if self.reduction == "mean" else summed

    def config(self) -> dict[str, Any]:
        """Plain data from which `get` makes it again."""
        return {"name": self.name, "reduction": self.reduction, "from_logits": self.from_logits}

    def __repr__(self) -> str:
        return f"Loss({self.name!r}, reduction={self.reduction!r}, from_logits={self.from_logits!r})"


def fitted(targets: Tensor, outputs: Tensor, name: str) -> Tensor:
    """Targets checked against outputs, so that (n,) and (n, 1) never broadcast to (n, n) unnoticed."""
    if name == "cross_entropy":
        return targets
    if targets.shape == outputs.shape:
        return targets if is_float(targets.dtype) else cast(targets, outputs.dtype)
    labels = targets.ndim == 1 and outputs.shape == (*targets.shape, 1)
    if labels and not is_float(targets.dtype):
        return reshape(cast(targets, outputs.dtype), outputs.shape)  # class labels 0 and 1 for one output
    fix = f"reshape them to {outputs.shape}: y.reshape(-1, 1)" if labels else "they must be the same"
    raise ShapeError(f"{name}: the targets have shape {targets.shape} and the outputs {outputs.shape}; {fix}")


def _rows(each: Tensor, average: bool) -> Tensor:
    axes = tuple(range(1, each.ndim))
    if not axes:
        return each
    return mean(each, axes) if average else total(each, axes)


# --- squares and distances ------------------------------------------------------------------------------------------
def _mse(t: Tensor, y: Tensor, _: Any) -> Tensor:
    return _rows(square(y - t), average=True)


def _sse(t: Tensor, y: Tensor, _: Any) -> Tensor:
    return _rows(square(t - y), average=False)


def _half_sse(t: Tensor, y: Tensor, _: Any) -> Tensor:
    return 0.5 * _rows(square(t - y), average=False)


# --- likelihoods ----------------------------------------------------------------------------------------------------
def _logits(y: Tensor, from_logits: Any) -> Tensor | None:
    """The logits to use, or None when `y` are probabilities to be taken as they are."""
    if from_logits is True:
        return y
    found = logits_of(y)
    return y if found is None and from_logits == "auto" else found


def _binary_cross_entropy(t: Tensor, y: Tensor, from_logits: Any) -> Tensor:
    """−t ln a − (1−t) ln(1−a); from logits z: softplus(z) − t z, whose derivative is exactly a − t."""
    if from_logits == "auto" and y.op is normalised_exp:
        raise ShapeError(
            "binary_cross_entropy judges each output alone, and a softmax ties them together (one alone is always 1). "
            "End the model with a sigmoid, or use 'cross_entropy'."
        )
    z = _logits(y, from_logits)
    if z is not None:
        return _rows(softplus(z) - t * z, average=True)
    tiny = float(np.finfo(y.dtype).tiny)
    return _rows(-(t * log(maximum(y, tiny)) + (1 - t) * log(maximum(1 - y, tiny))), average=True)


def _cross_entropy(t: Tensor, y: Tensor, from_logits: Any) -> Tensor:
    """−Σ t ln a; from logits: −Σ t (z − ln Σ eᶻ), whose derivative is exactly a − t. Labels or one-hot targets."""
    if y.ndim < 2:
        raise ShapeError(f"cross_entropy needs one output per class, got outputs of shape {y.shape}")
    classes = y.shape[-1]
    if classes == 1:
        raise ShapeError(
            "cross_entropy over a single output is always 0. Use 'binary_cross_entropy' for one output, "
            "or give the last layer one unit per class."
        )
    if from_logits == "auto" and y.op is sigmoid:
        raise ShapeError(
            "cross_entropy is of classes that exclude each other, and sigmoids need not add up to 1. End the model "
            "with a softmax or no activation, or use 'binary_cross_entropy' with one 0 or 1 per output."
        )
    if t.shape == y.shape[:-1]:
        if is_float(t.dtype):
            raise DTypeError(
                f"cross_entropy: labels of shape {t.shape} must be integers, got {t.dtype.name}. "
                "Use y.astype('int64'), or one-hot targets of shape (n, classes)."
            )
        hot = one_hot(t, classes, y.dtype)
    elif t.shape == y.shape:
        hot = cast(t, y.dtype)
    else:
        raise ShapeError(
            f"cross_entropy: targets of shape {t.shape} do not fit outputs of shape {y.shape}. "
            f"Give integer labels {y.shape[:-1]} or one-hot rows {y.shape}."
        )
    z = _logits(y, from_logits)
    each = -log_softmax(z) if z is not None else -log(maximum(y, float(np.finfo(y.dtype).tiny)))
    return _rows(total(where(hot == 0, 0.0, hot * each), -1), average=True)  # 0 · ln 0 counts as 0


# --- a function of the user's ---------------------------------------------------------------------------------------
@lru_cache(maxsize=64)  # one function, one formula: a second fit finds the program compiled for it
def _of_your_own(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def formula(t: Tensor, y: Tensor, _: Any) -> Tensor:
        each = function(t, y)
        if not isinstance(each, Tensor) or each.shape[:1] != y.shape[:1]:
            got = f"a tensor of shape {each.shape}" if isinstance(each, Tensor) else type(each).__name__
            raise ShapeError(
                f"a loss function gives one number for each of the {y.shape[0]} rows, got {got}. "
                "Leave the mean over the rows to kedja."
            )
        return _rows(each, average=True)

    return formula


FORMULAS: dict[str, Callable[..., Tensor]] = {
    "binary_cross_entropy": _binary_cross_entropy,
    "cross_entropy": _cross_entropy,
    "half_sse": _half_sse,
    "mse": _mse,
    "sse": _sse,
}
ALIASES = {
    "binary_crossentropy": "binary_cross_entropy",
    "bce": "binary_cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "mean_squared_error": "mse",
    "rss": "sse",
    "sparse_categorical_crossentropy": "cross_entropy",
}


def get(loss: Any, **options: Any) -> Loss:
    """The loss of this name (ours or Keras's), the object itself, or one from a function of (targets, outputs).

    A function of your own gives one number per row, or several, which are averaged; it cannot be saved.

    >>> get("sparse_categorical_crossentropy").name
    'cross_entropy'
    >>> import kedja as kj
    >>> def cubed(t, y):
    ...     return abs(y - t) ** 3
    >>> get(cubed)(kj.tensor([[1.0], [2.0]]), kj.tensor([[0.0], [0.0]])).item()
    4.5
    """
    if isinstance(loss, Loss):
        return loss
    if callable(loss) and not isinstance(loss, type):
        return Loss(getattr(loss, "__name__", type(loss).__name__), _of_your_own(loss), **options)
    if isinstance(loss, dict):
        return get(loss["name"], **{k: v for k, v in loss.items() if k != "name"})
    name = ALIASES.get(loss, loss) if isinstance(loss, str) else loss
    if not isinstance(name, str) or name not in FORMULAS:
        raise one_of("loss", loss, [*FORMULAS])
    return Loss(name, FORMULAS[name], **options)
