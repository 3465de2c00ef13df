"""Figures handed on while a run goes on: to a function, to a plot in a notebook; and figures measured besides."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kedja.errors import DataError
from kedja.train.callbacks.cadence import cadence
from kedja.train.callbacks.callback import Callback
from kedja.train.progress import in_notebook

if TYPE_CHECKING:
    from kedja.train.run import Run

__all__ = ["Evaluate", "LivePlot", "Log"]


class Log(Callback):
    """Call `function(figures, step)`: a dict of numbers, and the number of the epoch, or of the step.

    So the loggers of others work as they are: `Log(wandb.log)`, `Log(mlflow.log_metrics)`.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(1, init="zeros")])
    >>> log = kj.callbacks.Log(lambda figures, step: print(step, figures["loss"]))
    >>> history = net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(0.5), epochs=1, callbacks=[log], seed=0)
    1 0.5
    """

    hindsight = True

    def __init__(self, function: Callable[[dict[str, float], int], Any], every: Any = "epoch") -> None:
        if not callable(function):
            raise DataError(f"Log: function takes figures and a number, as print does; got {function!r}")
        self.function, self.every = function, every
        self.unit = cadence(every, "Log").unit

    def after_step(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        self.function(dict(figures), step)

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        if self.unit == "epoch":
            self.function(dict(figures), epoch)


class Evaluate(Callback):
    """Measure loss and metrics on further rows at an epoch's end, under a name of their own: "train_loss".

    "loss" of the History is the mean over an epoch's steps, each before its own update; "train_loss" is that of all
    rows with the weights at the end, as "val_loss" is. It costs a pass over the rows; `every="5 epochs"` makes it rare.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(1)])
    >>> ends = kj.callbacks.Evaluate(x, y)
    >>> history = net.fit(x, y, loss="mse", epochs=3, callbacks=[ends], seed=0)
    >>> bool(abs(history["train_loss"][-1] - net.evaluate(x, y)["loss"]) < 1e-6)
    True
    """

    def __init__(self, x: Any, y: Any = None, name: str = "train", every: Any = "epoch") -> None:
        if not isinstance(name, str) or not name or name in ("val", "step", "running"):
            raise DataError(
                f"Evaluate: name is a word its figures begin with, such as 'train'; 'val', 'step' and 'running' are "
                f"taken. Got {name!r}"
            )
        if cadence(every, "Evaluate").unit == "step":
            raise DataError(f'Evaluate measures at the end of epochs: every="epoch" or "5 epochs"; got {every!r}')
        self.x, self.y, self.name, self.every = x, y, name, every

    def measure(self, run: Run, epoch: int) -> Mapping[str, float]:
        history = run.history
        found = run.model.evaluate(
            self.x, self.y, engine=history.engine, kernels=history.settings.get("kernels", "auto")
        )
        return {f"{self.name}_{key}": value for key, value in found.items()}


class LivePlot(Callback):
    """Curves of the run in a notebook, drawn again in the same place while it goes on; elsewhere it does nothing.

    It draws at most every `seconds`, and takes at most a tenth of the time of the run.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(1)])
    >>> net.fit(x, y, loss="mse", epochs=3, callbacks=[kj.callbacks.LivePlot()], seed=0).stopped
    'ran all 3 epochs'
    """

    hindsight = True

    def __init__(self, seconds: float = 1.0) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
            raise DataError(f"LivePlot: seconds is how long a picture stays at least; got {seconds!r}")
        self.seconds = float(seconds)

    def before_fit(self, run: Run) -> None:
        self.handle: Any = None
        self.seen = in_notebook()
        self.next = time.monotonic() + self.seconds

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        if self.seen and len(run.history) and time.monotonic() >= self.next:
            self.draw(run)

    def after_fit(self, run: Run) -> None:
        if self.seen and len(run.history):
            self.draw(run)

    def draw(self, run: Run) -> None:
        """Replace the picture."""
        from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

        began = time.monotonic()
        file = io.BytesIO()
        run.history.plot(file)  # type: ignore[arg-type]  # matplotlib writes into an open file as well
        shown = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": repr(run.history)}
        if self.handle is None:
            self.handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call, unused-ignore]
        else:
            self.handle.update(shown, raw=True)
        now = time.monotonic()
        self.next = now + max(self.seconds, 9 * (now - began))
