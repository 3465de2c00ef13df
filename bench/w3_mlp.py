"""W3: the first network everyone trains on digits, 784-100-10, batch 32, Adam(0.001), 4,000 rows of MNIST.

Whole epochs, the rows shuffled anew for each. All contestants hold the data in memory.
"""

from __future__ import annotations

from functools import partial

from bench.dense import DenseNet, digits
from bench.dense_contestants import contestants
from bench.harness import Agreement, Goal, Workload

__all__ = ["BENCHMARKS"]

NET = DenseNet((784, 100, 10), "sigmoid", "adam", rate=1e-3, data=partial(digits, 4000), batch=32, check_steps=125)

BENCHMARKS = [
    Workload(
        id="W3",
        title="MNIST 784-100-10, sigmoid, cross-entropy, batch 32, Adam(0.001), 4,000 rows",
        module=__name__,
        contestants=contestants(
            NET,
            shown=("torch_eager", "keras_jax", "sklearn"),
            optional=("torch_fused", "torch_compile", "jax_loop", "keras_torch", "flax_nnx"),
        ),
        goals={"torch_eager": Goal(now=3.5), "keras_jax": Goal(now=2.2), "sklearn": Goal(now=6)},
        agreement=Agreement(NET.check, 1e-3, "loss after one epoch from the same weights over the same batches"),
        loss=NET.loss,
        epochs=8,
        quick_epochs=2,
        warm_up_epochs=1,
    )
]
