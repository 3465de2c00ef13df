"""What a person can hang into a run: things told at a declared cadence how it goes, and which may stop or change it."""

from kedja.rooms import lazily
from kedja.train.callbacks.callback import Callback

HOMES: dict[str, tuple[str, ...]] = {
    "checkpoint": ("Checkpoint",),
    "tables": ("CSVLog", "JSONLog"),
    "telling": ("Evaluate", "LivePlot", "Log"),
    "tensorboard": ("TensorBoard",),
    "unfreezing": ("Unfreeze",),
    "watching": ("EarlyStopping", "ReduceOnPlateau", "StopOnGradient"),
}

__all__ = ["Callback"]
__all__ += [name for names in HOMES.values() for name in names]
__all__.sort()
__getattr__, __dir__ = lazily(__name__, HOMES)
