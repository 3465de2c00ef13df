"""The end of a process that has used JAX: it is quick, and loses nothing."""

import gc
import subprocess
import sys

from kedja.engines.xla.leaving import leave

PROGRAM = """
import atexit, sys, weakref
from pathlib import Path
import kedja as kj
from kedja.engines import get_engine

folder = Path(sys.argv[1])
atexit.register(lambda: (folder / "early").write_text("written"))
get_engine("xla")
atexit.register(lambda: (folder / "late").write_text("written"))

class Log:
    def __init__(self, name):
        self.file = open(folder / name, "w")

kept = Log("plain")
kept.file.write("written")
circle = Log("circle")
circle.itself = circle
circle.file.write("written")
kept.end = weakref.finalize(kept, lambda: (folder / "finalised").write_text("written"))
with open(folder / "closed", "w") as file:
    file.write("written")
print("said", end="")
"""


def test_a_process_that_used_jax_ends_with_everything_written(tmp_path):
    """Callbacks and finalisers run, open files are whole, even in a circle of objects, and it exits with 0."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "said", "")
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == dict.fromkeys(("circle", "closed", "early", "finalised", "late", "plain"), "written")


def test_leaving_takes_all_objects_from_the_collector():
    """After the call the garbage collector has nothing left to walk but what is made later."""
    many = [[] for _ in range(1000)]
    before = gc.get_freeze_count()
    try:
        leave()
        assert gc.get_freeze_count() >= before + len(many)
    finally:
        gc.unfreeze()


COMPUTING = """
import threading
import numpy as np
import kedja as kj

x, y = np.random.default_rng(0).normal(size=(64, 16, 16, 8)).astype("float32"), np.arange(64) % 3
begun = [threading.Event() for _ in range(3)]

class Tell(kj.callbacks.Callback):
    def after_epoch(self, run, epoch, figures):
        begun[0].set()

def net():
    layers = [kj.nn.Conv2D(24, 3, padding="same", activation="relu"), kj.nn.Flatten(), kj.nn.Dense(3)]
    return kj.Sequential(layers).build((None, 16, 16, 8), seed=0)

def train():
    net().fit(x, y, loss="cross_entropy", epochs=10**6, batch_size=32, callbacks=[Tell()], verbose=0, engine="xla")

def ask(i):
    model = net()
    while True:
        model.predict(x, engine="xla")
        begun[i].set()

for work, args in ((train, ()), (ask, (1,)), (ask, (2,))):
    threading.Thread(target=work, args=args, daemon=True).start()
for event in begun:
    event.wait()
print("left", end="", flush=True)
"""


def test_a_process_ends_while_threads_train_and_predict():
    """Daemon threads inside XLA, and inside kernels, when the interpreter ends: exit code 0, not a word, no hang."""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", COMPUTING], capture_output=True, text=True, timeout=240)
        assert (done.returncode, done.stdout, done.stderr) == (0, "left", "")
