"""What a person can hang into a run: things told at a declared cadence how it goes, and which may stop or change it."""

from typing import Any

from kedja.elsewhere import missing
from kedja.train.callbacks.callback import Callback
from kedja.train.callbacks.checkpoint import Checkpoint
from kedja.train.callbacks.tables import CSVLog, JSONLog
from kedja.train.callbacks.telling import Evaluate, LivePlot, Log
from kedja.train.callbacks.tensorboard import TensorBoard
from kedja.train.callbacks.unfreezing import Unfreeze
from kedja.train.callbacks.watching import EarlyStopping, ReduceOnPlateau, StopOnGradient

__all__ = [
    "CSVLog", "Callback", "Checkpoint", "EarlyStopping", "Evaluate", "JSONLog", "LivePlot", "Log", "ReduceOnPlateau",
    "StopOnGradient", "TensorBoard", "Unfreeze",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
