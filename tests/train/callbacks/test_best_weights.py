"""EarlyStopping: the best weights come back whatever ends the run; being told late changes nothing."""

import signal
from functools import cache

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DivergedError
from kedja.train import loop

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(230, 1)).astype("float32")
Y = np.sin(3 * X) + RNG.normal(size=X.shape).astype("float32") * 0.3
LEARN, JUDGE = (X[:30], Y[:30]), (X[30:], Y[30:])


class Prompt(kj.callbacks.EarlyStopping):
    """The same, told of every epoch before the next begins."""

    hindsight = False


class Act(kj.callbacks.Callback):
    """Does something after one step."""

    every = "step"

    def __init__(self, at, do):
        self.at, self.do = at, do

    def after_step(self, run, step, figures):
        if step == self.at:
            self.do(run)


def fitted(callbacks, epochs=40, validation=JUDGE, engine="reference", batch_size=10, rate=0.05):
    """A network with more weights than rows; three steps an epoch."""
    net = kj.Sequential([kj.nn.Dense(32, "tanh"), kj.nn.BatchNorm(), kj.nn.Dense(1)])
    try:
        net.fit(
            *LEARN, loss="mse", optimizer=kj.optim.Adam(rate), epochs=epochs, batch_size=batch_size, verbose=0,
            validation=validation, callbacks=callbacks, seed=2, engine=engine,
        )  # fmt: skip
    except (RuntimeError, DivergedError, KeyboardInterrupt) as error:
        net.ended = type(error).__name__
    return net


@cache
def plain(epochs, engine):
    """The network after so many epochs that nobody watched; it is only looked at."""
    return fitted([], epochs=epochs, engine=engine)


def blow_up(run):
    run.optimizer.learning_rate = 1e38


def fail(run):
    raise RuntimeError("broken")


def press_twice(run):
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize(
    ("do", "ended"),
    [
        (None, None),
        (lambda run: signal.raise_signal(signal.SIGINT), None),
        (lambda run: run.stop("enough"), None),
        (press_twice, "KeyboardInterrupt"),
        (fail, "RuntimeError"),
        (blow_up, "DivergedError"),
    ],
    ids=["last epoch", "Ctrl-C", "stop", "Ctrl-C twice", "error", "not finite"],
)
def test_the_best_weights_come_back(do, ended, engine):
    """In the middle of epoch 38, by whatever: weights, statistics and optimiser are those of the best epoch's end."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        acting = [Act(113, do)] if do else []
        net = fitted([kj.callbacks.EarlyStopping(patience=99), *acting], engine=engine)
    finally:
        signal.signal(signal.SIGINT, before)
    assert net.__dict__.get("ended") == ended
    best_epoch, best = net.history.best("val_loss")
    assert best_epoch < 37
    assert net.evaluate(*JUDGE, engine=engine)["loss"] == pytest.approx(best, rel=1e-5)
    until = plain(best_epoch, engine)
    memory = net._training.memory
    assert memory["optimizer.steps"].item() == 3 * best_epoch
    for path, variable in {**net.state, **memory}.items():
        there = {**until.state, **until._training.memory}[path]
        assert variable.value.tobytes() == there.value.tobytes(), path


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("seconds", [1e-6, 10.0])
@pytest.mark.parametrize("batch_size", [10, None])
def test_told_late_is_told_the_same(engine, seconds, batch_size, monkeypatch):
    """Whether it hears of an epoch at once or when later ones are done, the run ends alike, to the last bit."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", seconds)
    found = []
    for kind in (kj.callbacks.EarlyStopping, Prompt):
        net = fitted([kind(patience=4, tolerance=1e-3)], 300, None, engine, batch_size)
        found.append(
            (net.history.stopped, net.history.metrics, net.history.steps, [w.tobytes() for w in net.get_weights()])
        )
        found[-1] += ({p: v.value.tobytes() for p, v in net._training.memory.items()}, net._training.epochs)
    assert found[0] == found[1] and "no better for 4 epochs" in found[0][0]


def test_a_rate_lowered_late_is_lowered_in_time():
    """ReduceOnPlateau too: rates and losses of a run are the same whether its chunks are long or an epoch."""

    class AtOnce(kj.callbacks.ReduceOnPlateau):
        hindsight = False

    runs = []
    for kind in (kj.callbacks.ReduceOnPlateau, AtOnce):
        net = fitted([kind(patience=2, factor=0.5, tolerance=1e-3)], 120, None, rate=0.2)
        runs.append((net.history.metrics, [w.tobytes() for w in net.get_weights()]))
    assert runs[0] == runs[1] and runs[0][0]["learning_rate"][-1] < 0.1


def test_a_subclass_that_looks_at_weights_is_told_in_time():
    """Whoever overrides after_epoch of EarlyStopping sees the weights of that epoch: it did not promise otherwise."""
    seen = []

    class Looks(kj.callbacks.EarlyStopping):
        def after_epoch(self, run, epoch, figures):
            seen.append(run.model.get_weights()[0].tobytes())
            super().after_epoch(run, epoch, figures)

    fitted([Looks(patience=99)], 20, None)
    assert len(set(seen)) == 20


@pytest.mark.parametrize("validation", [JUDGE, None])
def test_what_it_remembers_is_enough(validation):
    """A second object that recalls the first one's memory gives the same weights back."""
    stop, other = kj.callbacks.EarlyStopping(patience=99), kj.callbacks.EarlyStopping(patience=99)
    memories = []

    class Ask(kj.callbacks.Callback):
        def after_epoch(self, run, epoch, figures):
            if epoch == 30:
                memories.append(stop.memory())
                other.before_fit(run)
                other.recall(memories[0])

    net = fitted([stop, Ask()], validation=validation)
    assert all(v is None or isinstance(v, str | int | float | list | np.ndarray) for v in memories[0].values())
    assert (other.best, other.best_epoch, other.waited) == tuple(
        memories[0][k] for k in ("best", "best_epoch", "waited")
    )
    if stop.best_epoch <= 30:
        weights = net.get_weights()
        other.kept.restore()
        assert [w.tobytes() for w in weights] == [w.tobytes() for w in net.get_weights()]
    else:
        assert stop.best != other.best
