"""W6: LeNet-5 with relu and max-pooling, batch 64, SGD(0.01, momentum 0.9), 3,968 rows of MNIST (62 whole batches)."""

from __future__ import annotations

from bench.convnets import Convnet, contestants
from bench.harness import Agreement, Goal, Workload

__all__ = ["BENCHMARKS"]

NET = Convnet(((6, 5, "same"), "pool", (16, 5, "valid"), "pool"), (120, 84, 10), adam=False, rate=0.01, rows=3968)

BENCHMARKS = [
    Workload(
        id="W6",
        title="LeNet-5 (relu, max-pooling), cross-entropy, batch 64, SGD(0.01, momentum 0.9), 3,968 rows of MNIST",
        module=__name__,
        contestants=contestants(NET),
        goals={"torch_last": Goal(now=2)},
        agreement=Agreement(NET.check, 1e-3, "loss after four steps from the same weights over the same batches"),
        loss=NET.loss,
        epochs=4,
        quick_epochs=1,
        warm_up_epochs=1,
    )
]
