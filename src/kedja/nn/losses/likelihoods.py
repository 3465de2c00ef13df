"""Losses that are minus a log-likelihood: of yes or no, of classes, of distributions, of counts (scope 3).

Behind a sigmoid or softmax they use the pre-activation z, which is exact at any size, and there their derivative is
a − t, output minus target.
"""

from __future__ import annotations

import numpy as np

from kedja.data.check import check_labels
from kedja.errors import DataError, DTypeError, ShapeError
from kedja.graph.dtypes import is_float
from kedja.graph.node import Array, Tensor
from kedja.graph.shapes import Shape
from kedja.nn.losses.loss import Loss, fitted, number, rows_of
from kedja.ops import cast, exp, log, log_softmax, maximum, one_hot, softplus, where
from kedja.ops import sum as total
from kedja.ops.elementwise import sigmoid
from kedja.ops.softmax import normalised_exp

__all__ = [
    "BinaryCrossEntropy", "CrossEntropy", "KLDivergence", "Likelihood", "Poisson", "check_classes", "logits_of",
    "one_hot_targets",
]  # fmt: skip

SLACK = 1e-3  # how far from 1 the sum of probabilities may lie: those of a float16 softmax are not exact


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


class Likelihood(Loss):
    """A loss that takes logits or probabilities.

    `from_logits`: True, the outputs are logits; False, they are probabilities; "auto", the pre-activation is used when
    the output is a sigmoid or softmax, and otherwise the output is taken as logits.
    """

    options: tuple[str, ...] = ("from_logits",)

    def __init__(self, *, from_logits: bool | str = "auto", reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        if from_logits not in (True, False, "auto"):
            raise DataError(f"from_logits is True, False or 'auto', got {from_logits!r}")
        self.from_logits = from_logits

    def logits(self, y: Tensor) -> Tensor | None:
        """The logits to use, or None when `y` are probabilities to be taken as they are."""
        if self.from_logits is True:
            return y
        found = logits_of(y)
        return y if found is None and self.from_logits == "auto" else found


# --- yes or no ------------------------------------------------------------------------------------------------------
class BinaryCrossEntropy(Likelihood):
    """ℓ = −(1/m) Σ (t ln a + (1 − t) ln(1 − a)); from logits z: (1/m) Σ (softplus(z) − t z).

    `label_smoothing` s puts t (1 − s) + s/2 for t. Certain and wrong costs −ln of the smallest number, not infinity.

    Shapes: t and y (n, …), or labels (n,) for one output (n, 1) → ℓ (n,). Raises ShapeError when they differ or when
    the outputs end in a softmax, DataError for targets or probabilities outside 0…1. Source: scope 3.
    Derivative: ∂ℓ/∂a = (1/m) (a − t) / (a (1 − a)); ∂ℓ/∂z = (1/m) (σ(z) − t).

    >>> import kedja as kj
    >>> round(kj.losses.BinaryCrossEntropy(from_logits=False)([[1.0]], kj.tensor([[0.1]])).item(), 4)
    2.3026
    """

    name = "binary_cross_entropy"
    options = ("label_smoothing", "from_logits")

    def __init__(
        self, label_smoothing: float = 0.0, *, from_logits: bool | str = "auto", reduction: str = "mean"
    ) -> None:
        super().__init__(from_logits=from_logits, reduction=reduction)
        self.label_smoothing = number(self.name, "label_smoothing", label_smoothing, 0, 1)

    def check_targets(self, targets: Array, outputs: Shape, name: str = "the targets") -> Array:
        wrong = np.flatnonzero(((targets < 0) | (targets > 1)).reshape(len(targets), -1).any(1))
        if wrong.size:
            raise DataError(
                f"binary_cross_entropy needs targets from 0 to 1, and row {wrong[0]} of {name} has "
                f"{targets[wrong[0]]}. For more than two classes use 'cross_entropy' with one output per class."
            )
        return targets

    def check_outputs(self, outputs: Array) -> None:
        if self.from_logits is False:
            wrong = np.flatnonzero(((outputs < 0) | (outputs > 1)).reshape(len(outputs), -1).any(1))
            if wrong.size:
                raise DataError(
                    f"binary_cross_entropy with from_logits=False needs outputs from 0 to 1, and row {wrong[0]} is "
                    f"{outputs[wrong[0]].tolist()}. For logits leave from_logits=False out."
                )

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        if self.from_logits == "auto" and y.op is normalised_exp:
            raise ShapeError(
                "binary_cross_entropy judges each output alone, and a softmax ties them together (one alone is always "
                "1). End the model with a sigmoid, or use 'cross_entropy'."
            )
        s = self.label_smoothing
        t = (1 - s) * t + 0.5 * s if s else t
        z = self.logits(y)
        if z is not None:
            return rows_of(softplus(z) - t * z, average=True)
        tiny = float(np.finfo(y.dtype).tiny)
        return rows_of(-(t * log(maximum(y, tiny)) + (1 - t) * log(maximum(1 - y, tiny))), average=True)


# --- classes that exclude each other --------------------------------------------------------------------------------
class CrossEntropy(Likelihood):
    """ℓ = −Σ t ln a over the classes; from logits z: −Σ t (z − ln Σ eᶻ).

    `label_smoothing` s puts t (1 − s) + s/classes for t. Certain and wrong costs −ln of the smallest number, not
    infinity. Further axes (the steps of a sequence, the pixels of an image) are averaged.

    Shapes: labels (n, …) or distributions such as one-hot rows (n, …, classes), y (n, …, classes) → ℓ (n,). Raises
    ShapeError when they do not fit or there is a single class, DTypeError for labels that are floats, DataError for
    labels out of range and for rows that do not add up to 1. Source: scope 3; label smoothing: Szegedy et al. 2016.
    Derivative: ∂ℓ/∂a = −t / a; ∂ℓ/∂z = softmax(z) − t, where t adds up to 1.

    >>> import kedja as kj
    >>> round(kj.losses.CrossEntropy()(kj.tensor([2], dtype="int64"), kj.tensor([[0.0, 0.0, 0.0, 0.0]])).item(), 4)
    1.3863
    """

    name = "cross_entropy"
    options = ("label_smoothing", "from_logits")

    def __init__(
        self, label_smoothing: float = 0.0, *, from_logits: bool | str = "auto", reduction: str = "mean"
    ) -> None:
        super().__init__(from_logits=from_logits, reduction=reduction)
        self.label_smoothing = number(self.name, "label_smoothing", label_smoothing, 0, 1)

    def fit_targets(self, targets: Tensor, outputs: Tensor) -> Tensor:
        if self.from_logits == "auto" and outputs.op is sigmoid and outputs.ndim > 1 and outputs.shape[-1] > 1:
            raise ShapeError(
                "cross_entropy is of classes that exclude each other, and sigmoids need not add up to 1. End the model "
                "with a softmax or no activation, or use 'binary_cross_entropy' with one 0 or 1 per output."
            )
        return one_hot_targets(targets, outputs, self.name)

    def check_targets(self, targets: Array, outputs: Shape, name: str = "the targets") -> Array:
        return check_classes(targets, outputs, self.name, name)

    def check_outputs(self, outputs: Array) -> None:
        if self.from_logits is False:
            check_distributions(outputs, self.name, "the outputs", "For logits leave from_logits=False out.")

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        s = self.label_smoothing
        t = (1 - s) * t + s / y.shape[-1] if s else t
        return rows_of(total(_times(t, -self.log_probabilities(y)), -1), average=True)

    def log_probabilities(self, y: Tensor) -> Tensor:
        """ln a of each class."""
        return _log_probabilities(self.logits(y), y)


class KLDivergence(Likelihood):
    """Kullback-Leibler divergence of the output p from the target t, ℓ = Σ t ln(t / p); 0 · ln 0 counts as 0.

    It is the cross-entropy less the entropy of the targets, and has the same derivative. Further axes are averaged.

    Shapes: t and y (n, …, classes) → ℓ (n,). Raises ShapeError when they differ, DataError for rows that do not add up
    to 1. Source: Kullback and Leibler 1951; scope 3.
    Derivative: ∂ℓ/∂p = −t / p; by logits ∂ℓ/∂z = softmax(z) − t.

    >>> import kedja as kj
    >>> p = kj.tensor([[0.5, 0.5]])
    >>> round(kj.losses.KLDivergence(from_logits=False)([[1.0, 0.0]], p).item(), 4)
    0.6931
    """

    name = "kl_divergence"

    def fit_targets(self, targets: Tensor, outputs: Tensor) -> Tensor:
        if targets.shape == outputs.shape[:-1]:
            raise ShapeError(
                f"kl_divergence compares distributions, and targets of shape {targets.shape} for outputs of shape "
                f"{outputs.shape} are labels: use 'cross_entropy', which is the same for labels."
            )
        return one_hot_targets(targets, outputs, self.name)

    def check_targets(self, targets: Array, outputs: Shape, name: str = "the targets") -> Array:
        return check_classes(targets, outputs, self.name, name)

    def check_outputs(self, outputs: Array) -> None:
        if self.from_logits is False:
            check_distributions(outputs, self.name, "the outputs", "For logits leave from_logits=False out.")

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        gap = log(where(t == 0, 1.0, t)) - _log_probabilities(self.logits(y), y)
        return rows_of(total(_times(t, gap), -1), average=True)


def _log_probabilities(z: Tensor | None, y: Tensor) -> Tensor:
    return log_softmax(z) if z is not None else log(maximum(y, float(np.finfo(y.dtype).tiny)))


def _times(t: Tensor, value: Tensor) -> Tensor:
    return where(t == 0, 0.0, t * value)  # 0 · ln 0 counts as 0


# --- counts ---------------------------------------------------------------------------------------------------------
class Poisson(Loss):
    """ℓ = (1/m) Σ (λ − t ln λ): counts t with expectation λ, the output; ln t! is left out, no weight changes it.

    λ must be above 0: end the model with activation="exponential" or "softplus". Behind an exponential the
    pre-activation z is used, eᶻ − t z, with derivative λ − t.

    Shapes: t and y (n, …) → ℓ (n,). Raises ShapeError when they differ, DataError for counts below 0.
    Derivative: ∂ℓ/∂λ = (1/m) (1 − t / λ); behind an exponential ∂ℓ/∂z = (1/m) (λ − t).

    >>> import kedja as kj
    >>> kj.losses.Poisson()([[3.0]], kj.tensor([[1.0]])).item()
    1.0
    """

    name = "poisson"

    def check_targets(self, targets: Array, outputs: Shape, name: str = "the targets") -> Array:
        wrong = np.flatnonzero((targets < 0).reshape(len(targets), -1).any(1))
        if wrong.size:
            raise DataError(
                f"poisson needs counts of at least 0, and row {wrong[0]} of {name} has {targets[wrong[0]].tolist()}."
            )
        return targets

    def check_outputs(self, outputs: Array) -> None:
        wrong = np.flatnonzero((outputs < 0).reshape(len(outputs), -1).any(1))
        if wrong.size:
            raise DataError(
                f"poisson needs outputs above 0, and row {wrong[0]} is {outputs[wrong[0]].tolist()}. "
                "They are expectations, not their logarithms: take kj.exp of those."
            )

    def formula(self, t: Tensor, y: Tensor) -> Tensor:
        z = y.inputs[0] if y.op is exp else log(maximum(y, float(np.finfo(y.dtype).tiny)))
        return rows_of(y - t * z, average=True)


# --- what targets of classes look like ------------------------------------------------------------------------------
def one_hot_targets(targets: Tensor, outputs: Tensor, loss: str) -> Tensor:
    """Labels or rows of probabilities as rows (n, …, classes) in the type of the outputs; errors where neither fits."""
    if outputs.ndim < 2:
        raise ShapeError(f"{loss} needs one output per class, got outputs of shape {outputs.shape}")
    classes = outputs.shape[-1]
    if classes == 1:
        raise ShapeError(
            f"{loss} over a single output is always 0. Use 'binary_cross_entropy' for one output, "
            "or give the last layer one unit per class."
        )
    if targets.shape == outputs.shape:
        return fitted(cast(targets, outputs.dtype), outputs, loss)
    if targets.shape == outputs.shape[:-1]:
        if is_float(targets.dtype):
            raise DTypeError(
                f"{loss}: labels of shape {targets.shape} must be integers, got {targets.dtype.name}. "
                "Use y.astype('int64'), or one-hot targets of shape (n, classes)."
            )
        return one_hot(targets, classes, outputs.dtype)
    raise ShapeError(
        f"{loss}: targets of shape {targets.shape} do not fit outputs of shape {outputs.shape}. "
        f"Give integer labels {outputs.shape[:-1]} or one-hot rows {outputs.shape}."
    )


def check_classes(targets: Array, outputs: Shape, loss: str, name: str) -> Array:
    """Labels inside the range of the outputs, as int64, or rows that are probabilities; what is neither is passed on.

    Whole numbers stored as floats are labels too.
    """
    if len(outputs) < 2 or outputs[-1] < 2:
        return targets
    classes = int(outputs[-1])
    if targets.ndim == 1 and len(outputs) == 2:
        return check_labels(targets, classes)
    if targets.ndim == len(outputs) - 1 and targets.shape[1:] == tuple(outputs[1:-1]):
        wrong = (targets < 0) | (targets >= classes) | (targets != np.floor(targets))
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise DataError(
                f"{loss} needs labels from 0 to {classes - 1}, and {name} has {targets[place]:g} at index {place} "
                "(counting from 0)."
            )
        return targets.astype(np.int64)
    if targets.shape[1:] == tuple(outputs[1:]):
        fix = f"Use labels, or kj.data.one_hot(labels, {classes})."
        check_distributions(targets, loss, name, fix)
    return targets


def check_distributions(rows: Array, loss: str, name: str, fix: str) -> None:
    """Raise DataError unless the last axis holds probabilities: at least 0, adding up to 1."""
    wrong = (rows < 0).any(-1) | (abs(rows.sum(-1, dtype=np.float64) - 1) > SLACK)
    off = np.flatnonzero(wrong.reshape(len(rows), -1).any(1))
    if off.size:
        raise DataError(
            f"{loss} needs rows of {name} that are probabilities (at least 0, adding up to 1), "
            f"and row {off[0]} is {rows[off[0]].tolist()}. {fix}"
        )
