"""Ctrl-C ends a run after the present step, keeps everything, and training can go on."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import kedja as kj
from kedja.train.loop import interruptible

PROGRAM = """
import numpy as np, kedja as kj
x, y = kj.data.load("xor")
net = kj.Sequential([kj.nn.Dense(4, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
start = net.build((None, 2), seed=0).get_weights()
net.fit(x, y, loss="mse", epochs=1, batch_size=BATCH, engine=ENGINE)
print("running", flush=True)
history = net.fit(x, y, epochs=10**8, batch_size=BATCH, engine=ENGINE)
moved = max(abs(a - b).max() for a, b in zip(start, net.get_weights()))
again = net.fit(x, y, epochs=2, batch_size=BATCH, engine=ENGINE)
print(history.stopped, "|", len(history) > 0, bool(moved > 1e-4), all(np.isfinite(w).all() for w in net.get_weights()),
      again.stopped, again.epoch[0] == history.epoch[-1] + 1)
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize(("engine", "batch"), [("xla", None), ("reference", 2)])
def test_ctrl_c(engine, batch):
    """The weights are those of the last step, the history says it was interrupted, a second `fit` continues."""
    program = PROGRAM.replace("ENGINE", repr(engine)).replace("BATCH", repr(batch))
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "running\n"
        threading.Event().wait(0.7)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 0, err
    stopped, facts = out.strip().split(" | ")
    assert stopped.startswith("interrupted by Ctrl-C after ") and " steps (" in stopped and "whole epoch" in stopped
    assert facts == "True True True ran all 2 epochs True"


def test_the_first_press_is_noted_and_the_second_stops_at_once():
    """Inside, one SIGINT sets a flag; a second is Python's KeyboardInterrupt; outside, the old handler is back."""
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores SIGINT
    try:
        with pytest.raises(KeyboardInterrupt), interruptible() as interrupt:
            signal.raise_signal(signal.SIGINT)
            assert interrupt.pressed
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, outside)


def test_in_another_thread_signals_are_left_alone():
    """Only the main thread may handle signals; a run in another one works without."""
    found = []

    def work() -> None:
        net = kj.Sequential([kj.nn.Dense(1)])
        found.append(net.fit(np.ones((4, 2)), np.ones((4, 1)), loss="mse", engine="reference").stopped)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["ran all 1 epoch"]


def test_a_press_between_chunks_ends_the_run(monkeypatch):
    """Pressed during a step, the run ends after it, in the middle of an epoch, with that step's weights."""
    from kedja.train import loop, run

    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    x, y = np.arange(40.0).reshape(20, 2) / 40, np.ones((20, 1))
    net = kj.Sequential([kj.nn.Dense(1)]).build((None, 2), seed=0)
    net.fit(x, y, loss="mse", optimizer="sgd", batch_size=4, seed=0, engine="reference")  # now one step a chunk
    steps = []
    plain = loop.Runner.run

    def pressing(self, state, order, start, stop):
        steps.append(stop)
        if len(steps) == 8:
            signal.raise_signal(signal.SIGINT)
        return plain(self, state, order, start, stop)

    monkeypatch.setattr(run.Runner, "run", pressing)
    history = net.fit(x, y, epochs=100, batch_size=4, engine="reference")
    assert (history.stopped, len(history), history.steps) == (
        "interrupted by Ctrl-C after 8 steps (1 whole epoch)",
        1,
        8,
    )
    assert net._training.memory["optimizer.steps"].item() == 5 + 8
