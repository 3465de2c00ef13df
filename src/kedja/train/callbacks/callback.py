"""The base of what a person can hang into a run: told at a declared cadence how it goes, it may stop or change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kedja.elsewhere import Answering

if TYPE_CHECKING:
    from kedja.train.run import Run

__all__ = ["Callback"]


class Callback(Answering):
    """The base: override what you need. `run` has the model, the history, the optimiser, and what changes the run.

    `every` says how often it is told: "epoch" (the default), "5 epochs", "step", or a number of steps. With steps it is
    told by `after_step`; by `after_epoch` of every epoch, where it has one. The loop comes back exactly there; how
    often it does changes no bits. `run.stop(reason)` ends the run at this step or epoch, `run.skip_epoch()` leaves out
    the rest of the epoch; rates (`run.optimizer.learning_rate = 0.01`), weights (`assign`) and `layer.trainable` may be
    set, and the next step heeds them.

    >>> import kedja as kj
    >>> class Watch(kj.callbacks.Callback):
    ...     def after_epoch(self, run, epoch, figures):
    ...         if figures["loss"] < 0.5:
    ...             run.stop("low enough")
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(1)])
    >>> net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(0.1), epochs=99, callbacks=[Watch()], seed=1).stopped
    'low enough'
    """

    every: Any = "epoch"  # how often it is told
    needs: tuple[str, ...] = ()  # figures that are worked out only when somebody asks: "gradient_norm"
    after_others = False  # told of each event after all others: for what saves what they remember
    writes: Any = None  # the file or folder it writes: two callbacks may not share one
    hindsight = False  # it looks at figures alone, so it may be told of an epoch when later ones are done already

    def before_fit(self, run: Run) -> None:
        """The run is about to begin."""

    def after_step(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        """A step is done that `every` asks for: how many there were, each epoch counted whole, and what was measured.

        "step_loss" and the like are of this step alone, "running_loss" is the mean over the epoch's steps so far, while
        the weights changed: at the end of the epoch it is what the History calls "loss".
        """

    def measure(self, run: Run, epoch: int) -> Mapping[str, float]:
        """Figures of its own, measured at an epoch's end: they join the epoch's, for callbacks and the History."""
        return {}

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        """An epoch is done: its number, counted over all calls of `fit`, and what was measured in it."""

    def between(self, run: Run, over: bool) -> None:
        """The run is between two steps and everybody was told of all that is behind; `over`: those were the last.

        Comes about ten times a second, wherever the compiled loop comes back: a place to write the run down.
        """

    def after_fit(self, run: Run) -> None:
        """The run is over, whatever ended it; `run.error` is the error that did, if one did."""

    def memory(self) -> dict[str, Any]:
        """What must not be forgotten when a run is killed and resumed: numbers, strings, None, lists, NumPy arrays."""
        return {}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` gave, in a run that is resumed; comes after `before_fit`."""
