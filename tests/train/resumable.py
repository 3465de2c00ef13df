"""Runs that can be killed: `python resumable.py CASE FOLDER [EPOCHS]` trains with checkpoints in FOLDER, and resumes.

At its end it writes FOLDER/result.json: the weights bit for bit, the History, what the callbacks remember.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np

import kedja as kj
from kedja.train.snapshot import put_away

RNG = np.random.default_rng(0)
X = RNG.normal(size=(75, 5)).astype("float32")
Y = np.sin(X @ RNG.normal(size=(5, 1))).astype("float32")
ROW_WEIGHTS = RNG.uniform(0.5, 2.0, size=75)


def noisy(units=8):
    """Batch norm, dropout and noise: statistics and random numbers of every step."""
    return kj.Sequential(
        [kj.nn.Dense(units), kj.nn.BatchNorm(), kj.nn.Dropout(0.2), kj.nn.GaussianNoise(0.1), kj.nn.Dense(1)]
    )


def plain():
    """5-8-1."""
    return kj.Sequential([kj.nn.Dense(8, "tanh"), kj.nn.Dense(1)])


class Halt(Exception):
    """What Crash raises."""


class Crash(kj.callbacks.Callback):
    """Ends a run with an error at one of its steps, as a kill would."""

    every = "step"

    def __init__(self, step=0):
        self.step = step

    def after_step(self, run, step, figures):
        if step == self.step:
            raise Halt


class Thaw(kj.callbacks.Callback):
    """Sets the first layer free after two epochs."""

    def after_epoch(self, run, epoch, figures):
        if epoch == 2:
            run.model.get_layer("dense_1").trainable = True


def frozen():
    """5-8-1, the first layer frozen."""
    net = plain()
    net.get_layer("dense_1").trainable = False
    return net


CASES = {
    "adam": (noisy, lambda: {"optimizer": kj.optim.Adam(0.01), "batch_size": 8, "sample_weight": ROW_WEIGHTS}, 3, list),
    "schedule": (
        noisy,
        lambda: {"optimizer": kj.optim.Momentum(kj.schedules.Cosine(0.05, 60)), "batch_size": 16, "validation": 0.2},
        1,
        lambda: [kj.callbacks.EarlyStopping(patience=8)],
    ),
    "plateau": (
        plain,
        lambda: {
            "optimizer": kj.optim.SGD(0.05),
            "batch_size": 16,
            "validation": 0.2,
            "metrics": ["mae"],
            "regularizer": kj.regularizers.L2(1e-3),
        },
        "epoch",
        lambda: [kj.callbacks.ReduceOnPlateau(factor=0.5, patience=1, tolerance=0.02)],
    ),
    "lbfgs": (plain, lambda: {"optimizer": kj.optim.LBFGS(), "batch_size": None}, "epoch", list),
    "average": (plain, lambda: {"optimizer": kj.optim.SGD(0.05, average=0.9), "batch_size": 8}, 4, list),
    "thaw": (frozen, lambda: {"optimizer": kj.optim.Adam(0.01), "batch_size": 16}, 3, lambda: [Thaw()]),
    "unfreeze": (
        frozen,
        lambda: {"optimizer": kj.optim.Adam(0.01, layer_rates={"dense_1": 0.3}), "batch_size": 16},
        3,
        lambda: [kj.callbacks.Unfreeze({2: "dense_1"})],
    ),
    "auto": (noisy, lambda: {"optimizer": kj.optim.RMSProp(0.01), "batch_size": 8}, "auto", list),
}


def options(case, engine):
    """How this case is fitted, but for epochs and callbacks."""
    return {"loss": "mse", "seed": 4, "engine": engine, "verbose": 0, **CASES[case][1]()}


def hooks(case):
    """Its callbacks."""
    return CASES[case][3]()


def result(net, history, callbacks):
    """All that a resumed run must have in common with one that was not interrupted."""
    memory = {**net.state, **net._training.memory}
    arrays: dict[str, np.ndarray] = {}
    own = [put_away(c.memory(), arrays, str(i)) for i, c in enumerate(callbacks)]
    held = {path: v.value for path, v in memory.items()} | arrays
    return {
        "bits": {path: hashlib.sha256(np.array(a).tobytes()).hexdigest() for path, a in held.items()},
        "history": history.metrics,
        "epochs": history.epoch,
        "steps": history.steps,
        "stopped": history.stopped,
        "callbacks": own,
        "rate": repr(net._training.optimizer.learning_rate),
    }


NETS = {}


def run(case, engine, folder, epochs, crash=0, more=(), **how):
    """One call of `fit` with checkpoints in the folder (None: without), on a net as it was before any training.

    The nets of a process are used again, so that their steps are compiled once.
    """
    # What the optimiser knows of a layer that was set free stays with the net, so those cases have new ones.
    net = frozen() if CASES[case][0] is frozen else NETS.setdefault((case, engine), CASES[case][0]()).reset(4)
    own = hooks(case)
    keep = [] if folder is None else [kj.callbacks.Checkpoint(folder, every=CASES[case][2])]
    callbacks = [*own, *keep, *more, Crash(crash)]
    history = net.fit(X, Y, epochs=epochs, callbacks=callbacks, **{**options(case, engine), **how})
    return result(net, history, own)


if __name__ == "__main__":
    case, engine, folder, epochs = sys.argv[1:]
    found = run(case, engine, folder, int(epochs), resume=folder)
    draft = Path(folder, "draft")
    draft.write_text(json.dumps(found), encoding="utf-8")
    os.replace(draft, Path(folder, "result.json"))
