"""Writing a run down while it goes, so that it can be killed at any moment and go on to the same bits."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, StorageError, one_of
from kedja.nn.layers.config import plain
from kedja.train.callbacks.cadence import cadence
from kedja.train.callbacks.callback import Callback
from kedja.train.checkpoints import Checkpoints
from kedja.train.history import larger_is_better
from kedja.train.lock import locked
from kedja.train.resume import snapshot_of

if TYPE_CHECKING:
    from kedja.train.run import Run

__all__ = ["Checkpoint"]

SHARE = 0.01  # of the time of a run that "auto" may cost
AUTO = "auto"
FIRST_GUESS = 0.005  # seconds a checkpoint takes, before one was written
BEST = "best"


class Checkpoint(Callback):
    """Write all that is needed to continue the run bit for bit into `folder`; `fit(..., resume=folder)` does so.

    `every` is as for every callback, "epoch", "5 epochs", "step" or a number of steps; or "auto": as often as it costs
    at most 1 % of the time. The newest `keep` stay. With `best`, the name of a figure such as "val_loss", the model of
    the epoch where that was best lies in folder/best, for `kj.load`. One run to a folder: it is locked. When a
    checkpoint cannot be written (a full disk) the run goes on, says so, and tries again; the one before stays.

    >>> import tempfile, kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> def run(epochs, folder, **how):
    ...     net = kj.Sequential([kj.nn.Dense(4, activation="tanh"), kj.nn.Dense(1)])
    ...     keep = kj.callbacks.Checkpoint(folder)
    ...     history = net.fit(x, y, loss="mse", epochs=epochs, batch_size=2, seed=1, callbacks=[keep], **how)
    ...     return net.predict(x).tolist(), history["loss"].tolist()
    >>> with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
    ...     part = run(3, two)
    ...     run(5, two, resume=two) == run(5, one)
    True
    """

    def __init__(
        self, folder: str | os.PathLike[str], every: str | int = "epoch", keep: int = 2, best: str | None = None
    ) -> None:  # fmt: skip
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise DataError(f"Checkpoint: folder is a path, such as 'run'; got {folder!r}")
        if every != AUTO:
            cadence(every, "Checkpoint")
        if isinstance(keep, bool) or not isinstance(keep, int | np.integer) or keep < 1:
            raise DataError(f"Checkpoint: keep is how many checkpoints stay, at least 1; got {keep!r}")
        if best is not None and not isinstance(best, str):
            raise DataError(f"Checkpoint: best is the name of a figure, such as 'val_loss'; got {best!r}")
        self.folder, self.keep, self.best = Path(folder), int(keep), best
        self.every, self.auto = ("epoch", True) if every == AUTO else (every, False)
        if self.auto and best is None:  # nobody needs to tell it of every epoch, so that many are run at once
            self.__dict__["after_epoch"] = super().after_epoch
        self.shelf = Checkpoints(self.folder)
        self.last: Path | None = None  # the one written last by this object
        self.trouble: str | None = None  # why the last try failed

    # --- the folder -------------------------------------------------------------------------------------------------
    @contextmanager
    def claimed(self, resume: Any) -> Iterator[None]:
        """The folder, made and locked; refused when it has another run's checkpoints, not to be continued."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {self.folder}: {error.strerror or error}") from error
        try:
            with locked(self.folder):
                self.shelf.tidy()
                there = self.shelf.files()
                continued = isinstance(resume, str | os.PathLike) and Path(resume).resolve() == self.folder.resolve()
                if there and not continued and there[-1] != self.last:
                    raise DataError(
                        f"{self.folder} has the checkpoints of a run already, the newest is {there[-1].name}. Continue "
                        f"it with fit(..., resume={os.fspath(self.folder)!r}), or give another folder."
                    )
                yield
        finally:
            with suppress(OSError):
                self.folder.rmdir()  # nothing was written

    # --- the run ----------------------------------------------------------------------------------------------------
    def before_fit(self, run: Run) -> None:
        if self.best is not None:
            plain(run.model)  # refuses a model that cannot be saved, before hours are spent on it
        self.value, self.epoch = math.nan, 0
        self.better, self.trouble = False, None
        self.due, self.cost, self.rested = False, FIRST_GUESS, time.perf_counter()
        self.position: tuple[int, int] | None = _position(run) if run.resumed is not None else None

    def memory(self) -> dict[str, Any]:
        return {"best": self.best, "value": self.value, "epoch": self.epoch}

    def recall(self, memory: Mapping[str, Any]) -> None:
        if memory["best"] == self.best:
            self.value, self.epoch = memory["value"], memory["epoch"]

    def after_step(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        self.due = True

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        self.due = self.due or (not self.auto and cadence(self.every).unit == "epoch")
        if self.best is None:
            return
        if self.best not in figures:
            raise one_of("figure for Checkpoint", self.best, figures)
        value = float(figures[self.best])
        if math.isnan(self.value) or (value > self.value if larger_is_better(self.best) else value < self.value):
            self.value, self.epoch, self.better = value, epoch, True

    def between(self, run: Run, over: bool) -> None:
        if self.better:
            with self.tried():
                run.model.save(self.folder / BEST)
                self.better = False
        now = time.perf_counter()
        waited = self.auto and now - self.rested >= self.cost / SHARE
        if (self.due or waited or over) and (over or _position(run) != self.position):
            with self.tried():
                self.last = self.shelf.write(snapshot_of(run), self.keep)
                self.position = _position(run)
                self.trouble = None
            self.due, self.rested = False, time.perf_counter()
            self.cost = self.rested - now

    def after_fit(self, run: Run) -> None:
        if self.trouble is not None:
            there = self.shelf.files()
            kept = f"The newest that is there is {there[-1]}" if there else "There is none of this run"
            warnings.warn(
                f"the run has ended, and its last checkpoint was NOT written: {self.trouble}. {kept}. "
                'What was learned is in memory: make room, or save the model elsewhere with net.save("folder").',
                stacklevel=2,
            )

    @contextmanager
    def tried(self) -> Iterator[None]:
        """Inside, a failure to write costs a warning, not the run: hours of training are worth more than a copy."""
        try:
            yield
        except StorageError as error:
            if self.trouble is None:
                warnings.warn(
                    f"no checkpoint was written: {error}. The run goes on and will try again; "
                    f"what is in {self.folder} already is untouched.",
                    stacklevel=2,
                )
            self.trouble = str(error)


def _position(run: Run) -> tuple[int, int]:
    """Epochs and steps of the unfinished one that are done."""
    return run.training.epochs, sum(map(len, run.pending))
