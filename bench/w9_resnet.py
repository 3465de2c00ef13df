"""W9: ResNet-50 at 224×224×3, 1000 classes: prediction of 1 and of 8 images, training with batch 4."""

from __future__ import annotations

from bench.deepnet_trainers import predicting, training
from bench.deepnets import DeepNet, resnet
from bench.harness import Agreement, Goal, Workload

__all__ = ["BENCHMARKS"]

TORCH = ("torch_last", "torch_first", "torch_compile")
WALK = resnet((3, 4, 6, 3), classes=1000)


def network(batch: int, rows: int, settled: bool) -> DeepNet:
    """ResNet-50 on so many images."""
    return DeepNet("resnet50", WALK, classes=1000, size=224, rows=rows, batch=batch, settled=settled)


def prediction(batch: int, epochs: int) -> Workload:
    """One batch predicted `epochs` times a repetition."""
    net = network(batch, rows=batch, settled=True)
    return Workload(
        id=f"W9.infer{batch}",
        title=f"ResNet-50 at 224×224×3, prediction of {batch} image{'s' if batch > 1 else ''}",
        module=__name__,
        contestants=predicting(net),
        goals={name: Goal(now=1.1) for name in TORCH} | {"onnxruntime": Goal(now=1.0)},
        agreement=Agreement(
            net.check_outputs, 1e-3, "1 + largest difference from NumPy's logits in float64, relative to the largest"
        ),
        loss=net.distance,
        epochs=epochs,
        quick_epochs=max(1, epochs // 6),
        warm_up_epochs=2,
    )


TRAINED = network(4, rows=16, settled=False)

FOURS = {"KEDJA_KERNELS": "winograd"}
PLAIN = [
    prediction(1, epochs=24),
    prediction(8, epochs=4),
    Workload(
        id="W9.train4",
        title="ResNet-50 at 224×224×3, training, batch 4, SGD(0.0001, momentum 0.9), 4 steps an epoch",
        module=__name__,
        contestants=training(TRAINED),
        goals={name: Goal(now=1.1) for name in TORCH},
        agreement=Agreement(
            TRAINED.check, 1e-2, "loss after two steps from the same weights, plus the mean size of running statistics"
        ),
        loss=TRAINED.loss,
        epochs=2,
        quick_epochs=1,
        warm_up_epochs=1,
    ),
]

BENCHMARKS = [*PLAIN, *(p.asking(f"{p.id}.winograd", "KEDJA_KERNELS=winograd", FOURS) for p in PLAIN)]
