"""Overfit one batch: the first thing to try when a network does not learn.

A network that is wired right can learn a few rows by heart. If it cannot, more data and more epochs will not help, and
the fault is near: in the loss, the targets, the activation of the output, the size of the steps, or the gradients.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.errors import DataError, DivergedError
from kedja.nn import losses
from kedja.nn.model import Module
from kedja.optim import Adam
from kedja.optim import get as get_optimizer
from kedja.train.adapting import adapt
from kedja.train.checking import Probe, examine
from kedja.train.evaluation import as_inputs, as_targets, output_shape
from kedja.train.fit import fit, whole
from kedja.train.parts import unpacked
from kedja.train.training import training_of

__all__ = ["Overfit", "overfit_one_batch"]

ENOUGH = 0.01  # of the loss at the start
RATES = (0.01, 0.001, 0.1)


@dataclass(frozen=True)
class Overfit:
    """How it went: the losses step by step, and where the batch was not learned by heart, what may be the reason."""

    losses: np.ndarray[Any, Any]
    rows: int
    learned: bool
    learning_rate: float
    reasons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.learned

    def __str__(self) -> str:
        first, last = float(self.losses[0]), float(self.losses[-1])
        way = f"loss {first:.3g} → {last:.2g} in {len(self.losses):,} steps (Adam, {self.learning_rate:g})"
        if self.learned:
            return f"{self.rows} rows learned by heart: {way}. The network, the loss and the gradients work."
        reasons = [f"  {reason}" for reason in self.reasons]
        return "\n".join([f"{self.rows} rows not learned by heart: {way}.", *reasons])

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "losses": self.losses.tolist(), "rows": self.rows, "learned": self.learned,
            "learning_rate": self.learning_rate, "reasons": list(self.reasons),
        }  # fmt: skip

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"


def overfit_one_batch(
    model: Module, x: Any, y: Any = None, *, loss: Any = None, rows: int = 8, steps: int = 500, optimizer: Any = None,
    seed: int = 0,
) -> Overfit:  # fmt: skip
    """Train a copy of the model on the first `rows` rows until it knows them by heart, or say why it does not.

    Dropout and noise are switched off in the copy: they are there to prevent what is tried here. Without an optimiser
    Adam is tried at three rates. The batch is learned when the loss is below 1 % of what it was at the start. Raises
    as `fit` does on data it cannot take. Source: Karpathy 2019, "A recipe for training neural networks".

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(4, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
    >>> tried = kj.overfit_one_batch(net, x, y, loss="binary_cross_entropy")
    >>> tried.learned, tried.rows, str(tried)[:23]
    (True, 4, '4 rows learned by heart')
    """
    rows, steps = whole("rows", rows), whole("steps", steps)
    chosen = losses.get(loss) if loss is not None else training_of(model).loss
    if chosen is None:
        raise DataError('overfit_one_batch needs a loss: loss="mse" for numbers, "cross_entropy" for classes')
    x, y = unpacked(x, y, model=model)
    fresh = copy.deepcopy(model)
    if not fresh.built:
        adapt(fresh, x, y, None)
    inputs = [a[:rows] for a in as_inputs(fresh, x)]
    fresh.build(*((None, *a.shape[1:]) for a in inputs), seed=seed)
    targets = as_targets(fresh, y, len(as_inputs(fresh, x)[0]), chosen, output_shape(fresh, inputs))[:rows]
    _without_noise(fresh)
    best: Overfit | None = None
    for rate in RATES if optimizer is None else (None,):
        net = copy.deepcopy(fresh)
        rule = Adam(rate) if rate is not None else copy.deepcopy(get_optimizer(optimizer))
        try:
            history = fit(
                net, inputs[0] if len(inputs) == 1 else tuple(inputs), targets, loss=chosen, optimizer=rule,
                epochs=steps, batch_size=None, seed=seed, verbose=0,
            )  # fmt: skip
        except DivergedError as error:
            history = error.history  # type: ignore[attr-defined]
        found = np.asarray(history["loss"], np.float64)
        if not len(found):
            continue
        floor = max(ENOUGH * found[0], 1e-10)
        shown = float(rate if rate is not None else np.nan)
        tried = Overfit(found, len(targets), bool(np.isfinite(found[-1]) and found[-1] <= floor), shown)
        if best is None or tried.learned or tried.losses[-1] < best.losses[-1]:
            best = tried
        if tried.learned:
            break
    if best is None:
        raise DataError("overfit_one_batch: the very first step diverges: scale the inputs and the targets")
    if best.learned:
        return best
    reasons = _reasons(fresh, chosen, inputs, targets, best.losses, seed)
    return Overfit(best.losses, best.rows, False, best.learning_rate, tuple(reasons))


def _without_noise(model: Module) -> None:
    for _, layer in model.layers_by_path():
        for name in ("rate", "std"):
            if name in layer.scalars:
                setattr(layer, name, 0.0)


def _reasons(model: Module, loss: Any, inputs: list[Any], targets: Any, found: Any, seed: int) -> list[str]:
    """What a check of the batch finds; where it finds nothing, what is left to try."""
    reasons = [f"{f.where}: {f.text}" for f in examine(model, loss, (inputs, targets, None), None, seed)]
    gradients = Probe(model, loss, inputs, targets, seed).gradients
    size = float(np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients.values())))
    if size < 1e-6:
        reasons.append(f"the gradient at the start has the length {size:.1g}: look at the starting weights.")
    if len(found) > 20 and found[-1] < 0.9 * found[-len(found) // 5]:
        reasons.append("the loss is still falling: give it more steps=.")
    if not reasons:
        reasons.append("the network may have too few units for these rows, or a layer gives away what is needed.")
    return reasons
