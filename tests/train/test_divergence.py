"""A run that leaves the finite numbers stops, says where and why, and keeps what was good."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DivergedError
from kedja.train import loop

RNG = np.random.default_rng(6)
X = RNG.normal(size=(40, 3)).astype("float32")
Y = (X @ RNG.normal(size=(3, 1))).astype("float32")
ENGINES = ["reference", "xla"]


def linear() -> kj.Sequential:
    """One weight per column."""
    return kj.Sequential([kj.nn.Dense(1)])


def diverged(net, rate: float, **settings) -> DivergedError:
    """The error of a run with this rate."""
    with pytest.raises(DivergedError) as error:
        net.fit(X, Y, loss="mse", optimizer=kj.optim.SGD(rate), seed=1, verbose=0, **settings)
    return error.value


def last_finite_epoch(batch_size, rate: float) -> tuple[int, list[np.ndarray]]:
    """Epoch by epoch: how many end with finite weights, and these weights."""
    net, good, weights = linear(), 0, None
    for _ in range(200):
        try:
            net.fit(X, Y, loss="mse", optimizer=kj.optim.SGD(rate), batch_size=batch_size, seed=1, engine="reference")
        except DivergedError:
            return good, weights if weights is not None else linear().build((None, 3), seed=1).get_weights()
        good, weights = good + 1, net.get_weights()
    raise AssertionError("it did not diverge")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("batch_size", "rate"), [(8, 3.0), (None, 3.0), (8, 1e30)], ids=["batches", "full", "at once"])
@pytest.mark.parametrize("seconds", [0.0, 10.0], ids=["short chunks", "long chunks"])
def test_the_last_good_epoch_is_kept(engine, batch_size, rate, seconds, monkeypatch):
    """Weights, epoch count and history are those after the last epoch that ended finite, however long the chunks."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", seconds)
    good, weights = last_finite_epoch(batch_size, rate)
    net = linear()
    error = diverged(net, rate, epochs=500, batch_size=batch_size, engine=engine)
    for ours, expected in zip(net.get_weights(), weights, strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, expected, rtol=1e-3)
    assert len(net.history) == good and net.history.epoch == list(range(1, good + 1)) == error.history.epoch
    assert np.isfinite(net.history["loss"]).all() if good else True
    assert f"diverged in epoch {good + 1}, step " in str(error) and f"those after epoch {good}." in str(error)
    assert net.history.stopped.startswith(f"diverged in epoch {good + 1}")


def test_the_message_says_where():
    """Epoch, step, op, the user's line, the row, the parameters it reaches, the rate."""
    net = kj.Sequential([kj.nn.Dense(4, "relu"), kj.nn.Dense(1)])  # made here
    text = str(diverged(net, 100.0, epochs=50, batch_size=8, engine="reference"))
    for part in (
        "training diverged in epoch 1, step ", " of 5: the first number that is not finite arose in ",
        "test_divergence.py:", "# made here", "of the data; it reaches the parameters dense_1.kernel, ",
        "Lower the learning rate (it was 100), or scale the data.",
    ):  # fmt: skip
        assert part in text


def test_the_op_is_named():
    """A logarithm of a negative number is found as such."""

    class Log(kj.nn.Layer):
        def call(self, x):
            return kj.log(x)  # a bad idea

    net = kj.Sequential([kj.nn.Dense(1), Log()])
    text = str(diverged(net, 0.1, epochs=1, batch_size=None, engine="reference"))
    assert "arose in log, test_divergence.py:" in text and "# a bad idea" in text


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_name_the_same_place(engine):
    """The failing step is found by replay, and run on the reference engine, whichever engine trained."""
    texts = {str(diverged(linear(), 1e12, epochs=9, batch_size=8, engine=e)) for e in (engine, "reference")}
    assert len(texts) == 1


def test_training_goes_on_after_it():
    """With a smaller rate the same model learns on from its last good weights."""
    net = linear()
    diverged(net, 1e30, epochs=5, batch_size=8, engine="reference")
    history = net.fit(X, Y, loss="mse", optimizer=kj.optim.SGD(0.05), epochs=40, batch_size=8, engine="reference")
    assert history["loss"][-1] < 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_the_memory_of_the_optimiser_goes_back_too(engine):
    """Velocities are finite again, and the counter of steps stands where the last good epoch ended."""
    net = linear()
    with pytest.raises(DivergedError):
        net.fit(X, Y, loss="mse", optimizer=kj.optim.Momentum(5.0), epochs=100, batch_size=8, seed=1, engine=engine)
    memory = net._training.memory
    assert all(np.isfinite(v.numpy()).all() for v in memory.values())
    assert memory["optimizer.steps"].item() == 5 * len(net.history) == net.history.steps


def test_validation_until_it_diverged():
    """The history has the validation losses of the epochs before."""
    net = linear()
    diverged(net, 0.9, epochs=500, batch_size=8, validation=(X, Y), engine="reference")
    assert len(net.history) > 3 and np.isfinite(net.history["val_loss"][:-1]).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_epoch_begun_in_an_earlier_chunk(engine, monkeypatch):
    """A chunk that starts inside an epoch, ends good ones and diverges: the figures of all good epochs are whole."""
    monkeypatch.setattr(loop.Chunks, "stop", lambda self, start, end: 3 if start < 3 else end)
    good = last_finite_epoch(8, 3.0)[0]
    finite = linear()
    expected = finite.fit(
        X, Y, loss="mse", optimizer=kj.optim.SGD(3.0), batch_size=8, epochs=good, seed=1, engine=engine
    )
    net = linear()
    diverged(net, 3.0, epochs=500, batch_size=8, engine=engine)
    assert good > 2 and net.history.metrics == expected.metrics and net.history.steps == 5 * good
    assert [w.tobytes() for w in net.get_weights()] == [w.tobytes() for w in finite.get_weights()]
