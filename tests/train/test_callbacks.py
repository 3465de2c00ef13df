"""Callbacks: early stopping, the plateau, the norm of the gradient, and what the user writes."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, DivergedError, KedjaError


@pytest.fixture(scope="module")
def noisy():
    """Thirty noisy rows to learn from, two hundred to judge by: a large network overfits."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(230, 1)).astype("float32")
    y = np.sin(3 * x) + rng.normal(size=x.shape).astype("float32") * 0.3
    return (x[:30], y[:30]), (x[30:], y[30:])


def wide():
    """A network with far more weights than there are rows."""
    return kj.Sequential([kj.nn.Dense(64, "tanh"), kj.nn.Dense(64, "tanh"), kj.nn.Dense(1)])


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_early_stopping_gives_the_best_weights_back(noisy, engine):
    """The run ends `patience` epochs after the best one, with its weights: the loss they have is the best seen."""
    learn, judge = noisy
    net = wide()
    stop = kj.callbacks.EarlyStopping(patience=15)
    history = net.fit(
        *learn, loss="mse", optimizer=kj.optim.Adam(0.01), epochs=2000, batch_size=None, validation=judge,
        callbacks=[stop], seed=2, engine=engine,
    )  # fmt: skip
    best_epoch, best = history.best("val_loss")
    assert len(history) == best_epoch + 15 < 2000
    assert net.evaluate(*judge)["loss"] == pytest.approx(best, rel=1e-5)
    assert f"in epoch {best_epoch}" in history.stopped and "restored" in history.stopped


def test_the_best_weights_come_back_when_the_run_breaks(noisy):
    """After a loss that is not finite too, the weights are those of the best epoch."""
    learn, judge = noisy
    net = wide()

    class Ruin(kj.callbacks.Callback):
        def after_epoch(self, run, epoch, figures):
            if epoch == 8:
                run.optimizer.learning_rate = 1e30

    with pytest.raises(DivergedError) as caught:
        net.fit(
            *learn, loss="mse", optimizer=kj.optim.SGD(0.05), epochs=50, batch_size=None, validation=judge,
            callbacks=[kj.callbacks.EarlyStopping(patience=30), Ruin()], seed=2,
        )  # fmt: skip
    best = caught.value.history.best("val_loss")[1]
    assert net.evaluate(*judge)["loss"] == pytest.approx(best, rel=1e-5)


def test_patience_counts_epochs_without_improvement():
    """A figure that never improves by the tolerance ends the run after first epoch plus patience."""
    x, y = kj.data.load("xor")
    net = kj.Sequential([kj.nn.Dense(1)])
    stop = kj.callbacks.EarlyStopping("loss", patience=4, tolerance=10.0, restore=False)
    history = net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(0.1), epochs=99, callbacks=stop, seed=0)
    assert len(history) == 5 and "restored" not in history.stopped


def test_plateau_lowers_the_rate_as_pytorch_does():
    """The rates of ReduceLROnPlateau for the same losses, with PyTorch's patience counted one lower."""
    losses = [5.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0, 2.0]
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=2, threshold=1e-4, threshold_mode="abs"
    )
    expected = []
    for value in losses:
        theirs.step(value)
        expected.append(optimizer.param_groups[0]["lr"])

    class Pretend:
        def __init__(self):
            self.optimizer = kj.optim.SGD(1.0)

    run, ours = Pretend(), kj.callbacks.ReduceOnPlateau("loss", factor=0.5, patience=3)
    ours.before_fit(run)
    found = []
    for epoch, value in enumerate(losses, 1):
        ours.after_epoch(run, epoch, {"loss": value})
        found.append(run.optimizer.learning_rate)
    assert found == expected


def test_a_lowered_rate_is_used_at_once():
    """The compiled loop sees the rate a callback sets: with rate 1e-12 nothing moves any more."""
    x, y = kj.data.load("xor")
    net = kj.Sequential([kj.nn.Dense(1)])

    class Freeze(kj.callbacks.Callback):
        def after_epoch(self, run, epoch, figures):
            if epoch == 3:
                run.optimizer.learning_rate = 1e-12

    history = net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(0.1), epochs=6, callbacks=Freeze(), seed=0, engine="xla")
    assert history["loss"][2] > history["loss"][3] == pytest.approx(history["loss"][5], rel=1e-6)
    assert history["learning_rate"].tolist() == pytest.approx([0.1] * 3 + [1e-12] * 3)


def test_weights_changed_by_a_callback_are_used():
    """A callback may assign to variables; the next step starts from there."""
    x, y = kj.data.load("xor")
    net = kj.Sequential([kj.nn.Dense(1)]).build((None, 2))

    class Zero(kj.callbacks.Callback):
        def after_epoch(self, run, epoch, figures):
            for p in run.model.parameters:
                p.assign(np.zeros(p.shape))

    history = net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(0.1), epochs=4, callbacks=Zero(), batch_size=None)
    np.testing.assert_allclose(history["loss"][1:], 0.5, rtol=1e-6)


def test_the_norm_of_the_gradient_is_pytorchs():
    """History["gradient_norm"] is the norm of all gradients together; below the bound the run ends and says so."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)).astype("float32"), rng.normal(size=(20, 1)).astype("float32")
    net = kj.Sequential([kj.nn.Dense(1)]).build((None, 3), seed=5)
    linear = torch.nn.Linear(3, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(net.get_weights()[0].T))
        linear.bias.zero_()
    torch.nn.functional.mse_loss(linear(torch.tensor(x)), torch.tensor(y)).backward()
    expected = torch.nn.utils.get_total_norm([p.grad for p in linear.parameters()]).item()
    stop = kj.callbacks.StopOnGradient(1e-3)
    history = net.fit(x, y, loss="mse", optimizer=kj.optim.GradientDescent(0.1), epochs=5000, callbacks=stop)
    assert history["gradient_norm"][0] == pytest.approx(expected, rel=1e-5)
    assert history["gradient_norm"][-1] < 1e-3 <= history["gradient_norm"][-2]
    assert history.stopped == "the norm of the gradient fell below 0.001"


def test_callbacks_do_not_change_the_numbers():
    """A callback that only looks leaves every bit as it was."""
    x, y = kj.data.load("xor")
    ends = []
    for hooks in ((), (kj.callbacks.Callback(),)):
        net = kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(1)])
        net.fit(x, y, loss="mse", epochs=50, batch_size=3, seed=7, callbacks=hooks)
        ends.append(np.concatenate([w.ravel() for w in net.get_weights()]))
    assert (ends[0] == ends[1]).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: kj.callbacks.EarlyStopping(patience=-1), "patience"),
        (lambda: kj.callbacks.EarlyStopping(tolerance=-1.0), "tolerance"),
        (lambda: kj.callbacks.EarlyStopping(monitor=3), "monitor"),
        (lambda: kj.callbacks.ReduceOnPlateau(factor=1.5), "factor"),
        (lambda: kj.callbacks.StopOnGradient(0.0), "below"),
    ],
)
def test_bad_settings(make, words):
    """The message names the argument."""
    with pytest.raises(DataError, match=words):
        make()


def test_what_is_no_callback():
    """A class instead of an object, and a figure that is not measured, are named."""
    x, y = kj.data.load("xor")
    net = kj.Sequential([kj.nn.Dense(1)])
    with pytest.raises(DataError, match="brackets"):
        net.fit(x, y, loss="mse", callbacks=[kj.callbacks.EarlyStopping])
    with pytest.raises(DataError, match="brackets"):
        net.fit(x, y, loss="mse", callbacks=kj.callbacks.EarlyStopping)
    with pytest.raises(DataError, match="got 'early_stopping'"):
        net.fit(x, y, loss="mse", callbacks="early_stopping")
    with pytest.raises(KedjaError, match="val_loss"):
        net.fit(x, y, loss="mse", callbacks=[kj.callbacks.EarlyStopping("val_loss")])
