"""Averages of the weights over steps: often better than the last weights, at no cost to training (scope 4.7).

`average=0.999` keeps an exponential moving average, `average="mean"` the plain mean from step `average_from` on
(stochastic weight averaging). The slot "average" always holds the average itself, with nothing to correct.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kedja.errors import GraphError
from kedja.graph.node import Tensor, tensor
from kedja.graph.variables import State, Variable
from kedja.ops import maximum, where

__all__ = ["SLOT", "averaged", "with_new_weights"]

Array = np.ndarray[Any, Any]
SLOT = "average"


def with_new_weights(average: Tensor, weights: Tensor, decay: Any, begin: Any, time: Tensor) -> Tensor:
    """ā ← (1 − w) ā + w θ, with w = (1 − β) / (1 − βᵏ), or 1/k for "mean"; k counts steps from `begin` on, from 1.

    With this w, ā is Σ βᵏ⁻ⁱ θᵢ / Σ βᵏ⁻ⁱ at every step: the average of the weights of steps 1 … k, in which where it
    began has no part (Adam's correction of the bias, made at once). Before `begin` ā is θ.
    Source: Polyak and Juditsky 1992; Kingma and Ba 2015, section 3; Izmailov et al. 2018 ("mean").

    >>> import kedja as kj
    >>> with_new_weights(kj.tensor(1.0), kj.tensor(4.0), "mean", 1, kj.tensor(3.0)).item()
    2.0
    """
    k = maximum(time - begin + 1.0, 1.0)
    if isinstance(decay, str):
        share = 1.0 / k
    else:
        beta = decay if isinstance(decay, Tensor) else tensor(decay, average.dtype)  # one β above and below the line
        share = where(k > 1.0, (1.0 - beta) / (1.0 - beta**k), 1.0)
    return (1.0 - share) * average + share * weights


def averaged(memory: State, parameters: Mapping[str, Variable]) -> dict[str, Array]:
    """The averaged weights by path, from an optimiser's memory; before the first step they are the weights.

    Raises GraphError when the optimiser keeps no average.

    >>> import kedja as kj
    >>> w = kj.Parameter([2.0], name="w")
    >>> memory = kj.optim.SGD(0.1, average=0.9).make_slots({"w": w})
    >>> averaged(memory, {"w": w})["w"].tolist()
    [2.0]
    """
    names = {path: f"optimizer.{path}.{SLOT}" for path in parameters}
    kept = {path: name for path, name in names.items() if name in memory}
    if not kept:
        raise GraphError(
            'this optimiser keeps no average of the weights: make it with average=0.999, or average="mean", and train'
        )
    begun = int(memory["optimizer.steps"].value) > 0
    return {path: np.array((memory[name] if begun else parameters[path]).value) for path, name in kept.items()}
