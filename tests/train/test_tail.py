"""The last, smaller batch of an epoch, where the rows of a batch depend on each other: never padded."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DivergedError


class Centred(kj.nn.Layer):
    """Takes the mean of the batch away in training: padding would be seen."""

    couples_rows = True

    def build(self, x):
        self.mean = self.variable("mean", np.zeros(x[-1:]))

    def call(self, x, training):
        if not training:
            return x - self.mean
        here = x.mean(0)
        self.mean.update(here)
        return x - here


def made(dtype="float64"):
    """A small network with such a layer."""
    return kj.Sequential([kj.nn.Dense(4, "tanh"), Centred(), kj.nn.Dense(1)], dtype=dtype)


@pytest.fixture(scope="module")
def rows():
    """Twenty-three rows: batches of five leave three."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(23, 2)), rng.normal(size=(23, 1))


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_an_epoch_equals_its_steps_one_by_one(rows, engine):
    """Without shuffling, an epoch of fit is train_on_batch on each batch, the last of them three rows."""
    x, y = rows
    net, twin = made().build((None, 2), seed=1), made().build((None, 2), seed=1)
    how = {"loss": "mse", "optimizer": kj.optim.Adam(0.01), "engine": engine}
    history = net.fit(x, y, epochs=2, batch_size=5, shuffle=False, seed=1, **how)
    parts = []
    for _ in range(2):
        parts = [twin.train_on_batch(x[at : at + 5], y[at : at + 5], **how)["loss"] for at in range(0, 23, 5)]
    for a, b in zip(net.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert history["loss"][-1] == pytest.approx(np.average(parts, weights=[5, 5, 5, 5, 3]), rel=1e-10)
    assert history.steps == 10


def test_engines_agree_and_runs_repeat(rows):
    """Shuffled and weighted, both engines end in the same weights, and a continued run in those of one."""
    x, y = rows
    ends = []
    for engine, parts in (("reference", (6,)), ("xla", (6,)), ("xla", (2, 4))):
        net = made()
        for epochs in parts:
            net.fit(
                x, y, loss="mse", epochs=epochs, batch_size=5, seed=3, engine=engine, sample_weight=np.arange(1.0, 24)
            )
        ends.append(np.concatenate([w.ravel() for w in net.get_weights()]))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-9, atol=1e-12)
    assert (ends[1] == ends[2]).all()


def test_divergence_is_found_in_the_tail_too(rows):
    """A row that breaks the loss only in the last batch is named, and the weights go back to the epoch before."""
    x, y = rows
    net = made("float32")
    y = y.copy()
    y[22] = 1e30
    with pytest.raises(DivergedError, match="step 5 of 5"):
        net.fit(x, y, loss="mse", epochs=2, batch_size=5, shuffle=False, seed=0)
    assert all(np.isfinite(w).all() for w in net.get_weights())
