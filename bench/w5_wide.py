"""W5: a wide network, 1024-4096-4096-1000 relu, batch 256, SGD and Adam: nearly all of a step is matrix products.

Beside the peers stands kedja's share of the machine's ceiling: the model flops of a step, over its time, over the best
rate of a matrix product measured just before and just after. By custom the model flops are 6 per weight and row, which
counts a gradient by the network's input that nobody needs; the row's note has the share without it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.ceiling import matmul_rate
from bench.dense import DenseNet
from bench.dense_contestants import contestants
from bench.harness import Agreement, Goal
from bench.held import Held

__all__ = ["BENCHMARKS"]

ROWS, INPUTS, CLASSES = 1536, 1024, 1000


@cache
def synthetic() -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Normal rows; their class is the largest of as many random linear functions, so there is something to learn."""
    draw = np.random.default_rng(5)
    x = draw.standard_normal((ROWS, INPUTS), np.float32)
    return x, (x @ draw.standard_normal((INPUTS, CLASSES), np.float32)).argmax(axis=1)


def _workload(rule: Literal["sgd", "adam"], name: str, rate: float, share: float) -> Held:
    net = DenseNet(
        (INPUTS, 4096, 4096, CLASSES), "relu", rule, rate, data=synthetic, batch=256, check_steps=4, judged=256, seed=5
    )

    def noted(ceiling: float, reached: float) -> str:
        without = f"{reached * net.flops_needed / net.flops:.1f} %"
        return (
            f"ceiling {ceiling / 1e9:.0f} GFLOP/s; without the gradient by the input, which nobody computes, {without}"
        )

    return Held(
        id=f"W5.{rule}",
        title=f"1024-4096-4096-1000, relu, cross-entropy, batch 256, {name}({rate:g}), 1,536 made rows",
        module=__name__,
        contestants=contestants(
            net,
            shown=("torch_eager", "torch_fused"),
            optional=("torch_compile", "jax_loop", "keras_jax", "keras_torch", "flax_nnx"),
        ),
        goals={"torch_eager": Goal(now=1.9), "torch_fused": Goal(now=1.9)},
        agreement=Agreement(net.check, 1e-3, "loss after four steps from the same weights over the same batches"),
        loss=net.loss,
        epochs=1,
        quick_epochs=1,
        warm_up_epochs=1,
        limit="ceiling",
        amount=net.flops,
        rate=matmul_rate,
        noted=noted,
        share=share,
    )


BENCHMARKS = [_workload("sgd", "SGD", 0.1, 0.78), _workload("adam", "Adam", 1e-4, 0.70)]
