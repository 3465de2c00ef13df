"""W8: VGG-16 for 64×64×3, 1000 classes, no dropout, batch 8, SGD(0.0001, momentum 0.9), 48 made-up images."""

from __future__ import annotations

from bench.deepnet_trainers import training
from bench.deepnets import DeepNet, vgg
from bench.harness import Agreement, Goal, Workload

__all__ = ["BENCHMARKS"]

WALK = vgg(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), hidden=4096, classes=1000)
NET = DeepNet("vgg16", WALK, classes=1000, size=64, rows=48, batch=8)

PLAIN = Workload(
    id="W8",
    title="VGG-16 at 64×64×3, 1000 classes, no dropout, batch 8, SGD(0.0001, momentum 0.9), 6 steps an epoch",
    module=__name__,
    contestants=training(NET),
    goals={name: Goal(now=1.2) for name in ("torch_last", "torch_first", "torch_compile")},
    agreement=Agreement(NET.check, 1e-3, "loss after two steps from the same weights over the same batches"),
    loss=NET.loss,
    epochs=3,
    quick_epochs=1,
    warm_up_epochs=1,
)

FOURS = {"KEDJA_KERNELS": "winograd"}
BENCHMARKS = [PLAIN, PLAIN.asking("W8.winograd", "KEDJA_KERNELS=winograd", FOURS)]
