"""The progress bar of a training run: on a terminal or in a notebook, and only when the run takes a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, TextIO

from kedja.errors import one_of

__all__ = ["progress"]

APPEARS_AFTER = 1.0  # seconds: a run shorter than this shows nothing
REDRAW_EVERY = 0.1  # seconds: more often is unreadable, and costs the training loop
BAR_WIDTH = 24

_State = tuple[int, int | None, Mapping[str, float] | None]  # steps done, last epoch, its figures


class progress:
    """Shows how far a run is: ``with progress(total_steps) as bar: bar.update(steps_done)``.

    `verbose`: None shows a bar on a terminal or in a notebook and nothing elsewhere; 0 shows nothing; 1 shows the
    bar, or where there is no terminal a line per tenth of the run; 2 writes a line whenever an epoch has ended.
    Everything goes to `stream`, by itself stderr, so that stdout stays the program's own. A bar appears after one
    second and is redrawn at most ten times a second: `update` otherwise only looks at the clock.

    >>> import io
    >>> log = io.StringIO()
    >>> with progress(20, epochs=2, verbose=2, stream=log) as bar:
    ...     bar.update(10, epoch=1, values={"loss": 0.52, "val_loss": 0.61})
    ...     bar.update(20, epoch=2, values={"loss": 0.31, "val_loss": 0.45})
    >>> print(log.getvalue(), end="")
    epoch 1/2  loss 0.5200  val_loss 0.6100
    epoch 2/2  loss 0.3100  val_loss 0.4500
    """

    def __init__(
        self,
        total_steps: int | None,
        *,
        verbose: int | None = None,
        epochs: int | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if verbose not in (None, 0, 1, 2):
            raise one_of("verbose", verbose, ["None", "0", "1", "2"])
        self.total_steps = total_steps
        self.epochs = epochs
        self._verbose = verbose
        self._stream = stream
        self._clock = clock
        self._screen: _Screen | None = None
        self._mode = "silent"
        self._latest: _State = (0, None, None)
        self._drawn: _State = self._latest
        self._tenths = 0
        self._epoch_written = 0
        self._start = self._next_draw = 0.0

    def __enter__(self) -> progress:
        self._stream = self._stream or sys.stderr
        terminal = bool(self._stream and self._stream.isatty())
        if self._verbose == 2:
            self._mode = "epochs"
        elif self._verbose != 0 and (terminal or in_notebook()):
            self._mode = "bar"
        elif self._verbose == 1:
            self._mode = "tenths"
        if self._stream is None:  # a windowed program on Windows has no stderr at all
            self._mode = "silent"
        self._start = self._clock()
        self._next_draw = self._start + APPEARS_AFTER
        return self

    def update(self, steps_done: int, *, epoch: int | None = None, values: Mapping[str, float] | None = None) -> None:
        """Say how many steps are done, the epoch that ended last, and its figures."""
        if self._mode == "silent":
            return
        before = self._latest
        self._latest = (
            steps_done,
            before[1] if epoch is None else epoch,
            before[2] if values is None else values,
        )
        if self._mode == "bar":
            now = self._clock()
            if now >= self._next_draw:
                self._next_draw = now + REDRAW_EVERY
                self._draw()
        elif self._mode == "epochs":
            if epoch is not None and epoch > self._epoch_written:
                self._epoch_written = epoch
                self._write(self._words())
        elif self.total_steps and steps_done * 10 // self.total_steps > self._tenths:
            self._tenths = steps_done * 10 // self.total_steps
            percent = f"{steps_done / self.total_steps:4.0%}"
            self._write("  ".join(filter(None, [percent, self._words(), _duration(self._clock() - self._start)])))

    def wants(self) -> bool:
        """Whether `update` would show something now: figures that cost something need not be worked out otherwise."""
        return self._mode == "bar" and self._clock() >= self._next_draw

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._screen is not None:
            if self._drawn is not self._latest:
                self._draw()  # the last state stays on the screen, not the one of up to 0.1 s before
            self._screen.close()
            self._screen = None

    def _write(self, line: str) -> None:
        if self._stream is not None:
            self._stream.write(line + "\n")
            self._stream.flush()

    def _draw(self) -> None:
        if self._screen is None:
            self._screen = _open_screen(self._stream or sys.stderr)
        elapsed = self._clock() - self._start
        steps = self._latest[0]
        fraction = min(steps / self.total_steps, 1.0) if self.total_steps else None
        left = f"{_duration(elapsed * (1 / fraction - 1))} left" if fraction and fraction < 1 else ""
        count = f"{fraction:.0%}" if fraction is not None else f"{steps:,} steps"
        self._screen.show(fraction, "  ".join(filter(None, [count, self._words(), _duration(elapsed), left])))
        self._drawn = self._latest

    def _words(self) -> str:
        _, epoch, values = self._latest
        words = []
        if epoch is not None:
            words.append(f"epoch {epoch}/{self.epochs}" if self.epochs else f"epoch {epoch}")
        words += [f"{name} {_figure(value)}" for name, value in (values or {}).items()]
        return "  ".join(words)


def _figure(value: float) -> str:
    """Four decimals where they say something, so that a line's columns do not jump about."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3e}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def in_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # a notebook has it loaded already; nothing else is worth loading it for
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class _Screen(Protocol):
    def show(self, fraction: float | None, words: str) -> None: ...
    def close(self) -> None: ...


def _open_screen(stream: TextIO) -> _Screen:
    if in_notebook():
        return _NotebookScreen()
    try:
        return _RichScreen(stream)
    except ImportError:
        return _PlainScreen(stream)


class _RichScreen:
    """A bar drawn by rich, which also keeps what the program prints meanwhile above the bar."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        one_line = Column(no_wrap=True, overflow="ellipsis")  # a narrow terminal must not break the bar in two
        columns = (
            BarColumn(bar_width=BAR_WIDTH, complete_style="blue", finished_style="blue"),
            TextColumn("{task.description}", markup=False, table_column=one_line),
        )
        # No refresh thread: it would compete with the training loop. The bar is drawn when `show` is called.
        self._bar: Any = Progress(*columns, console=Console(file=stream), auto_refresh=False)
        self._task = self._bar.add_task("", total=1.0)
        self._bar.start()

    def show(self, fraction: float | None, words: str) -> None:
        total = None if fraction is None else 1.0
        self._bar.update(self._task, total=total, completed=fraction or 0.0, description=words, refresh=True)

    def close(self) -> None:
        self._bar.stop()


class _NotebookScreen:
    """A browser's own progress element, replaced in place."""

    def __init__(self) -> None:
        from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

        self._handle: Any = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call, unused-ignore]

    def show(self, fraction: float | None, words: str) -> None:
        from html import escape

        value = "" if fraction is None else f' value="{fraction:.4f}"'
        bar = f'<progress max="1"{value} style="width:16em;vertical-align:middle"></progress>'
        page = f'<div>{bar} <span style="font-variant-numeric:tabular-nums">{escape(words)}</span></div>'
        self._handle.update({"text/html": page, "text/plain": words}, raw=True)

    def close(self) -> None:
        pass


class _PlainScreen:
    """A line written over itself, where rich is not installed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0

    def show(self, fraction: float | None, words: str) -> None:
        full = round((fraction or 0.0) * BAR_WIDTH)
        line = f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {words}"
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def close(self) -> None:
        self._stream.write("\n")
        self._stream.flush()
