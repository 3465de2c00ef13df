"""W4: digits by 784-512-512-10 relu, batch 128, Adam(0.001), 3,968 rows of MNIST (31 whole batches).

Both ways PyTorch has of doing Adam must be beaten. The check ends after four steps: Keras and scikit-learn put ε
elsewhere in Adam's formula, and with relu that alone moves the loss by 4 in a thousand in an epoch.
"""

from __future__ import annotations

from functools import partial

from bench.dense import DenseNet, digits
from bench.dense_contestants import contestants
from bench.harness import Agreement, Goal, Workload

__all__ = ["BENCHMARKS"]

NET = DenseNet((784, 512, 512, 10), "relu", "adam", rate=1e-3, data=partial(digits, 3968), batch=128, check_steps=4)

BENCHMARKS = [
    Workload(
        id="W4",
        title="MNIST 784-512-512-10, relu, cross-entropy, batch 128, Adam(0.001), 3,968 rows",
        module=__name__,
        contestants=contestants(
            NET,
            shown=("torch_eager", "torch_fused", "keras_jax", "sklearn"),
            optional=("torch_compile", "jax_loop", "keras_torch", "flax_nnx"),
            shares={"sklearn": 0.5},
        ),
        goals={"torch_eager": Goal(now=1.9), "torch_fused": Goal(now=1.9)},
        agreement=Agreement(NET.check, 1e-3, "loss after four steps from the same weights over the same batches"),
        loss=NET.loss,
        epochs=10,
        quick_epochs=3,
        warm_up_epochs=1,
    )
]
