"""W7: conv32-conv32-pool-conv64-conv64-pool-128-10 on 28×28 digits, batch 64, Adam(0.001), 640 rows of MNIST."""

from __future__ import annotations

from bench.convnets import Convnet, contestants
from bench.harness import Agreement, Goal, Workload

__all__ = ["BENCHMARKS"]

NET = Convnet(
    ((32, 3, "same"), (32, 3, "same"), "pool", (64, 3, "same"), (64, 3, "same"), "pool"), (128, 10), adam=True,
    rate=1e-3, rows=640,
)  # fmt: skip

PLAIN = Workload(
    id="W7",
    title="28×28 CNN 32-32-pool-64-64-pool-128-10 (3×3, same), cross-entropy, batch 64, Adam(0.001), 640 rows",
    module=__name__,
    contestants=contestants(NET),
    goals={"torch_last": Goal(now=1.5)},
    agreement=Agreement(NET.check, 2e-3, "loss after four steps from the same weights over the same batches"),
    loss=NET.loss,
    epochs=2,
    quick_epochs=1,
    warm_up_epochs=1,
)

FOURS = {"KEDJA_KERNELS": "winograd"}
BENCHMARKS = [PLAIN, PLAIN.asking("W7.winograd", "KEDJA_KERNELS=winograd", FOURS)]
