"""W5: a wide network, 1024-4096-4096-1000 relu, batch 256, SGD and Adam: nearly all of a step is matrix products.

Beside the peers stands kedja's share of the machine's ceiling: the model flops of a step, over its time, over the best
rate of a matrix product measured just before and just after. By custom the model flops are 6 per weight and row, which
counts a gradient by the network's input that nobody needs; the row's note has the share without it.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.ceiling import matmul_rate
from bench.dense import DenseNet
from bench.dense_contestants import contestants
from bench.harness import OURS, Agreement, Goal, Workload, compare
from bench.process import write_down
from bench.results import Progress, Result, Row, Settings
from bench.spread import Spread

__all__ = ["BENCHMARKS", "Wide", "share_of_ceiling"]

ROWS, INPUTS, CLASSES = 1536, 1024, 1000


@cache
def synthetic() -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Normal rows; their class is the largest of as many random linear functions, so there is something to learn."""
    draw = np.random.default_rng(5)
    x = draw.standard_normal((ROWS, INPUTS), np.float32)
    return x, (x @ draw.standard_normal((INPUTS, CLASSES), np.float32)).argmax(axis=1)


@dataclass(frozen=True)
class Wide(Workload):
    """A workload that is also held against the ceiling."""

    net: DenseNet
    share: float

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """The ceiling before and after, the contestants in between."""
        row = Row("kedja of the ceiling", unit="%", goal=f"≥ {100 * self.share:g} %")
        ceilings: list[float] = []
        result = Result(self.id, self.title, [])
        for measured in (False, True):
            try:
                progress(f"{self.id}: the ceiling of matrix products")
                ceilings.append(matmul_rate(settings))
            except subprocess.CalledProcessError as error:
                write_down(error, row)
            if not measured:
                result = compare(self, settings, progress)
        ours = next((one for one in result.rows if one.contestant == OURS), None)
        if row.status == "ok" and ours is not None and ours.time is not None:
            share_of_ceiling(row, self.net, ours.time, max(ceilings), self.share)
            result.rows.append(row)
        return result


def share_of_ceiling(row: Row, net: DenseNet, microseconds: Spread, ceiling: float, goal: float) -> None:
    """Write into the row how much of the ceiling (flops per second) steps that take this long reach."""
    step = net.flops / ceiling * 1e6
    row.time = Spread(
        median=100 * step / microseconds.median,
        minimum=100 * step / microseconds.maximum,
        maximum=100 * step / microseconds.minimum,
        lower_quartile=100 * step / microseconds.upper_quartile,
        upper_quartile=100 * step / microseconds.lower_quartile,
        count=microseconds.count,
    )
    row.verdict = "pass" if row.time.median >= 100 * goal else "fail"
    needed = row.time.median * net.flops_needed / net.flops
    row.note = (
        f"ceiling {ceiling / 1e9:.0f} GFLOP/s; without the gradient by the input, which nobody computes, {needed:.1f} %"
    )
    row.extra = {"ceiling_flops_per_second": ceiling, "model_flops": net.flops, "flops_needed": net.flops_needed}


def _workload(rule: Literal["sgd", "adam"], name: str, rate: float, share: float) -> Wide:
    net = DenseNet(
        (INPUTS, 4096, 4096, CLASSES), "relu", rule, rate, data=synthetic, batch=256, check_steps=4, judged=256, seed=5
    )
    return Wide(
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
        net=net,
        share=share,
    )


BENCHMARKS = [_workload("sgd", "SGD", 0.1, 0.78), _workload("adam", "Adam", 1e-4, 0.70)]
