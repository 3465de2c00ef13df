"""bandwidth: a step that is nearly all memory traffic: one row through 4096-4096, SGD and Adam.

Beside PyTorch stands kedja's share of the copy bandwidth: the bytes that a step cannot do without, over its time, over
the best rate of a copy measured just before and just after. Weights (64 MiB) are read on the way forward and, since no
cache holds them, again by the update, which writes them; Adam reads and writes two more arrays of their size.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.ceiling import copy_rate
from bench.dense import DenseNet
from bench.dense_contestants import contestants
from bench.harness import Agreement
from bench.held import Held

__all__ = ["BENCHMARKS"]

ROWS, SIZE = 8, 4096
ARRAYS = {"sgd": 3, "adam": 7}  # of the size of the weights, read or written
SHARES = {"torch_eager": 0.5, "torch_fused": 0.5}  # their sixteen steps take a second: enough for a rate


@cache
def made() -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Normal rows, each a class of its own."""
    draw = np.random.default_rng(7)
    return draw.standard_normal((ROWS, SIZE), np.float32), np.arange(ROWS)


def _workload(rule: Literal["sgd", "adam"], name: str, rate: float) -> Held:
    net = DenseNet((SIZE, SIZE), "relu", rule, rate, data=made, batch=1, check_steps=4, seed=7)
    return Held(
        id=f"bandwidth.{rule}",
        title=f"one row through {SIZE}-{SIZE}, cross-entropy, {name}({rate:g}): {ARRAYS[rule]} × 64 MiB a step",
        module=__name__,
        contestants=contestants(net, shown=("torch_eager", "torch_fused"), optional=("jax_loop",), shares=SHARES),
        goals={},
        agreement=Agreement(net.check, 1e-3, "loss after four steps from the same weights over the same rows"),
        loss=net.loss,
        epochs=4,
        quick_epochs=1,
        warm_up_epochs=1,
        limit="copy bandwidth",
        amount=4.0 * ARRAYS[rule] * (SIZE * SIZE + SIZE),
        rate=copy_rate,
        noted=lambda rate, _: f"copies at {rate / 1e9:.0f} GB/s, read and written",
    )


BENCHMARKS = [_workload("sgd", "SGD", 1e-3), _workload("adam", "Adam", 1e-5)]
