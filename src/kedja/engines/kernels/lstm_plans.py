"""The numbers that the kernels of recurrent layers are given."""

from __future__ import annotations

import numpy as np

from kedja.engines.kernels import lstm
from kedja.engines.kernels.plans import Plan
from kedja.engines.kernels.target import Target

__all__ = ["plan_lstm", "plan_lstm_back"]

GROUP_ROWS = 8  # of a batch, which go through all steps of a sequence by themselves


def plan_lstm(
    steps: int, batch: int, units: int, dtype: str, target: Target, reverse: bool, kept: tuple[str, ...]
) -> Plan:
    """A whole sequence through an LSTM."""
    tile, numbers, width = _recurrent(steps, batch, units, dtype, target, reverse)
    kind = lstm.Lstm(dtype, *tile, units % target.lanes(np.dtype(dtype).itemsize) != 0, kept)
    return Plan(kind, target, numbers, -(-units * lstm.GATES // width) * width * units)


def plan_lstm_back(steps: int, batch: int, units: int, dtype: str, target: Target, reverse: bool, each: bool) -> Plan:
    """The gradient of the same."""
    tile, numbers, width = _recurrent(steps, batch, units, dtype, target, reverse)
    kind = lstm.LstmBack(dtype, *tile, units % target.lanes(np.dtype(dtype).itemsize) != 0, each)
    return Plan(kind, target, numbers, -(-units // width) * width * units * lstm.GATES)


def _recurrent(
    steps: int, batch: int, units: int, dtype: str, target: Target, reverse: bool
) -> tuple[tuple[int, int], tuple[int, ...], int]:
    """Rows and vectors of a tile, the numbers of the plan, and the width of a block."""
    tile = (8, 2) if target.registers == 32 else (4, 2)
    numbers = (1, -(-batch // GROUP_ROWS), 0, steps, batch, units, GROUP_ROWS, int(reverse))
    return tile, numbers, tile[1] * target.lanes(np.dtype(dtype).itemsize)
