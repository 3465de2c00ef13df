"""The progress bar: quiet where nobody looks, cheap everywhere, and closed whatever happens."""

import io
import os
import subprocess
import sys

import pytest

from kedja.errors import UnknownNameError
from kedja.train.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self, tick):
        self.now, self.tick = 0.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now


def watch(stream, *, steps=100, tick=0.05, **options):
    with progress(steps, epochs=steps // 10, stream=stream, clock=Clock(tick), **options) as bar:
        for step in range(1, steps + 1):
            bar.update(step, epoch=step // 10, values={"loss": 1 / step})
    return stream.getvalue()


@pytest.mark.parametrize("verbose", [None, 0])
def test_silent_without_a_terminal(verbose):
    """In a log file or a pipe nothing is written unless asked for."""
    assert watch(io.StringIO(), verbose=verbose) == ""


def test_silent_when_told_so():
    """verbose=0 writes nothing, not even on a terminal."""
    assert watch(Terminal(), verbose=0) == ""


@pytest.mark.parametrize("verbose", [None, 1])
def test_short_run_shows_no_bar(verbose):
    """A run that ends within a second never draws."""
    assert watch(Terminal(), tick=0.001, verbose=verbose) == ""


def test_bar_ends_with_the_last_figures():
    """On a terminal the last state drawn is the end of the run."""
    assert "100%  epoch 10/10  loss 0.0100" in watch(Terminal())


def test_bar_without_rich(monkeypatch):
    """Where rich is missing a plain line is written over itself."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    shown = watch(Terminal())
    assert shown.startswith("\r[#") and "100%" in shown and shown.endswith("\n")


def test_bar_is_drawn_at_most_ten_times_a_second(monkeypatch):
    """Ten thousand updates in ten seconds draw about ninety times."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert 80 <= watch(Terminal(), steps=10_000, tick=0.001).count("\r") <= 100


def test_line_per_tenth_without_a_terminal():
    """verbose=1 writes ten lines to a file, whatever the number of steps."""
    lines = watch(io.StringIO(), steps=1000, verbose=1).splitlines()
    assert len(lines) == 10
    assert lines[0].startswith(" 10%  epoch 10/100  loss 0.0100")


def test_line_per_epoch():
    """verbose=2 writes one line when an epoch has ended."""
    lines = watch(Terminal(), verbose=2).splitlines()
    assert lines[0] == "epoch 1/10  loss 0.1000" and len(lines) == 10


def test_unknown_number_of_steps():
    """Without a total the bar counts steps."""
    stream = Terminal()
    with progress(None, stream=stream, clock=Clock(0.6)) as bar:
        bar.update(1500)
        bar.update(3000)
    assert "3,000 steps" in stream.getvalue()


def test_interrupted_run_gives_the_terminal_back():
    """Ctrl-C passes through, and the cursor that the bar hid is shown again."""
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), progress(10, stream=stream, clock=Clock(0.6)) as bar:
        bar.update(1)
        bar.update(2)
        raise KeyboardInterrupt
    assert "20%" in stream.getvalue() and bar._screen is None


def test_markup_in_names_is_shown_as_it_is():
    """A metric called [bold] is not taken for rich's markup."""
    stream = Terminal()
    with progress(10, stream=stream, clock=Clock(0.6)) as bar:
        bar.update(5, values={"[bold]x": 1.0})
        bar.update(9, values={"[bold]x": float("nan")})
    assert "[bold]x nan" in stream.getvalue()


def test_unknown_verbosity_is_refused():
    """verbose=3 is answered with the levels there are."""
    with pytest.raises(UnknownNameError, match="Known: 0, 1, 2, None"):
        progress(10, verbose=3)


def test_rich_is_loaded_only_when_a_bar_appears():
    """A silent run imports neither rich nor IPython."""
    code = (
        "import sys\nfrom kedja.train.progress import progress\n"
        "with progress(9) as bar:\n    bar.update(9)\n"
        "assert not {'rich', 'IPython', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
