"""Dropout."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from kedja import ops
from kedja.formats.onnx.registry import operator
from kedja.graph.node import Tensor, tensor


@operator("Dropout", known=("training_mode",))
def dropout(
    x: Tensor, ratio: Any = 0.5, training_mode: Any = False, *, seed: int | None = None, label: str
) -> tuple[Tensor, Tensor]:
    """x, or in training x with numbers dropped and the others divided by 1 − ratio; and what was kept.

    With a seed the draw is that of ONNX's reference, NumPy's Mersenne twister; without one it is ours, the same
    in every run, another for every node.
    """
    if not bool(np.asarray(training_mode).reshape(-1)[0]):
        return x, ops.full(x.shape, True, "bool")
    if seed is None:
        drawn = ops.random.uniform(ops.random.key(zlib.crc32(label.encode())), x.shape, dtype="float64")
    else:
        drawn = tensor(np.random.RandomState(seed).uniform(0, 1.0, x.shape), dtype="float64")
    rate = ops.cast(ratio, "float64") if isinstance(ratio, Tensor) else tensor(ratio, dtype="float64")
    kept = ops.logical_or(drawn >= rate, ops.equal(rate, 0))
    scale = ops.cast(1 / (1 - rate), x.dtype)
    return ops.where(kept, x * scale, 0.0), kept
