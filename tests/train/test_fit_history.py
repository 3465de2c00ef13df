"""What `fit` reports: the figures of each epoch, why it stopped, what it ran on, and nothing on the screen unasked."""

import numpy as np
import pytest
import torch

import kedja as kj

RNG = np.random.default_rng(9)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 1))


def fitted(**settings) -> kj.History:
    """A short run on the reference engine."""
    net = kj.Sequential([kj.nn.Dense(1)])
    return net.fit(X, Y, **{"loss": "mse", "batch_size": 8, "seed": 5, "engine": "reference", **settings})


def test_what_is_in_it():
    """Figures, epochs, steps, seed, engine, times, settings and the reason."""
    h = fitted(epochs=3, metrics=["mae", "rmse"], validation=0.2, optimizer=kj.optim.SGD(0.1))
    assert list(h.metrics) == ["loss", "mae", "rmse", "val_loss", "val_mae", "val_rmse"]
    assert (h.epoch, h.steps, h.seed, h.engine, h.stopped) == ([1, 2, 3], 6, 5, "reference", "ran all 3 epochs")
    assert h.settings == {
        "loss": "mse", "optimizer": {"name": "SGD", "learning_rate": 0.1}, "batch_size": 8, "rows": 16, "shuffle": True,
    }  # fmt: skip
    assert h.seconds > 0 and h.compile_seconds >= 0


def test_metrics_of_an_epoch_count_rows():
    """20 rows in batches of 8, 8 and 4 that do not learn: the epoch's figures are those of the whole data."""
    net = kj.Sequential([kj.nn.Dense(1)]).build((None, 3), seed=0)
    h = net.fit(
        X, Y, loss="mse", metrics=["mae", "rmse"], batch_size=8, optimizer=kj.optim.SGD(1e-30), engine="reference"
    )
    error = net.predict(X) - Y
    assert h["loss"][0] == pytest.approx((error**2).mean(), rel=1e-5)
    assert h["mae"][0] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert h["rmse"][0] == pytest.approx((error**2).mean() ** 0.5, rel=1e-5)


def test_one_epoch_reads_as_one():
    """The reason is a sentence, in the singular where it is one."""
    assert fitted().stopped == "ran all 1 epoch"


def test_the_model_keeps_its_last_history():
    """Also available as `net.history`."""
    net = kj.Sequential([kj.nn.Dense(1)])
    assert net.fit(X, Y, loss="mse", engine="reference") is net.history


@pytest.mark.parametrize("verbose", [None, 0])
def test_silent_where_nobody_watches(verbose, capfd):
    """Without a terminal nothing is printed unless it was asked for."""
    fitted(epochs=50, verbose=verbose)
    assert capfd.readouterr() == ("", "")


def test_lines_when_asked_for(capfd):
    """verbose=2 writes an epoch a line, to stderr, so that stdout stays the program's."""
    fitted(epochs=3, verbose=2, validation=0.2)
    out, err = capfd.readouterr()
    assert out == "" and [line.split("  ")[0] for line in err.splitlines()] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "val_loss" in err


def test_batches_larger_than_the_data_are_the_data():
    """A batch size beyond the number of rows is one full batch."""
    assert fitted(batch_size=1000).settings["batch_size"] == 20


def test_batches_of_one():
    """SGD in its first sense: a step for every row."""
    assert fitted(batch_size=1).steps == 20


def test_the_rates_of_a_schedule_are_recorded():
    """History["learning_rate"] is the rate of the last step of every epoch, as PyTorch's ExponentialLR gives them."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs, rates = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9), []
    for _ in range(4 * 50):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    net = kj.Sequential([kj.nn.Dense(1)])
    rule = kj.optim.SGD(kj.schedules.Exponential(0.1, factor=0.9))
    x = np.ones((10, 2), "float32")
    history = net.fit(x, x[:, :1], loss="mse", optimizer=rule, epochs=50, batch_size=3, seed=0, engine="reference")
    assert history["learning_rate"].tolist() == pytest.approx(rates[3::4], rel=1e-12)
