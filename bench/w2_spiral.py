"""W2: the two spirals of a playground, 2-8-8-1 tanh, batch 10, SGD with momentum: more steps than arithmetic.

Whole epochs, the rows shuffled anew for each. kedja and the hand-written loop train far more epochs a repetition than
the others, which need hundreds of times as long for a step.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.dense import DenseNet
from bench.dense_contestants import contestants
from bench.harness import Agreement, Goal, Workload

__all__ = ["BENCHMARKS"]

SHARES = {
    "torch_eager": 0.025,
    "torch_fused": 0.025,
    "torch_compile": 0.025,
    "keras_jax": 0.01,
    "keras_torch": 0.005,
    "flax_nnx": 0.025,
    "sklearn": 0.025,
}


@cache
def spiral() -> tuple[NDArray[np.float32], NDArray[Any]]:
    """400 points on two arms, and the arm of each as a column of 0 and 1."""
    import kedja

    x, y = kedja.data.load("spiral", n=400)
    return np.asarray(x, np.float32), np.asarray(y, np.float32).reshape(-1, 1)


NET = DenseNet((2, 8, 8, 1), "tanh", "momentum", rate=0.03, data=spiral, batch=10, check_steps=400)

BENCHMARKS = [
    Workload(
        id="W2",
        title="spiral 2-8-8-1, tanh, binary cross-entropy, batch 10, SGD(0.03, momentum 0.9), 400 points",
        module=__name__,
        contestants=contestants(
            NET,
            shown=("torch_eager", "jax_loop", "sklearn"),
            optional=("torch_fused", "torch_compile", "keras_jax", "keras_torch", "flax_nnx"),
            shares=SHARES,
        ),
        goals={"torch_eager": Goal(now=30)},
        agreement=Agreement(NET.check, 1e-3, "loss after 400 steps from the same weights over the same batches"),
        loss=NET.loss,
        epochs=2000,
        quick_epochs=400,
        warm_up_epochs=10,
    )
]
