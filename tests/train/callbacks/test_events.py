"""Who is told what and when, and what a callback may change: the compiled loop sees it, nothing else moves a bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import DataError, KedjaError
from kedja.train import loop

RNG = np.random.default_rng(3)
X = RNG.normal(size=(10, 3)).astype("float32")
Y = (X @ RNG.normal(size=(3, 1))).astype("float32")
ENGINES = ["reference", "xla"]


class Tell(kj.callbacks.Callback):
    """Writes down what it is told, and calls a function then."""

    def __init__(self, every="epoch", then=None):
        self.every, self.told, self.then = every, [], then or (lambda run, event, number: None)

    def before_fit(self, run):
        self.told.append("begin")

    def after_step(self, run, step, figures):
        self.told.append(("step", step, dict(figures)))
        self.then(run, "step", step)

    def after_epoch(self, run, epoch, figures):
        self.told.append(("epoch", epoch, dict(figures)))
        self.then(run, "epoch", epoch)

    def after_fit(self, run):
        self.told.append("end")

    @property
    def events(self):
        return [e if isinstance(e, str) else e[:2] for e in self.told]


def fitted(callbacks=(), epochs=4, engine="reference", optimizer=None, net=None, **how):
    """Ten rows in batches of three, so four steps an epoch, the last of one row."""
    net = net or kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(1)])
    rule = optimizer or kj.optim.SGD(0.05)
    how = {"batch_size": 3, "seed": 1, "loss": "mse", "verbose": 0} | how
    history = net.fit(X, Y, optimizer=rule, epochs=epochs, callbacks=callbacks, engine=engine, **how)
    return net, history


def bits(net):
    """All weights, as bytes."""
    return [w.tobytes() for w in net.get_weights()]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("every", "events"),
    [
        ("epoch", [("epoch", e) for e in range(1, 5)]),
        ("2 epochs", [("epoch", 2), ("epoch", 4)]),
        (3, [("step", 3), ("epoch", 1), ("step", 6), ("epoch", 2), ("step", 9), ("step", 12), ("epoch", 3),
             ("step", 15), ("epoch", 4)]),
        ("7 steps", [("epoch", 1), ("step", 7), ("epoch", 2), ("epoch", 3), ("step", 14), ("epoch", 4)]),
    ],
)  # fmt: skip
def test_the_cadence_is_kept(every, events, engine):
    """Events come at exactly the steps and epochs asked for, in order, between the beginning and the end."""
    tell = Tell(every)
    fitted([tell], engine=engine)
    assert tell.events == ["begin", *events, "end"]


def test_the_numbers_go_on_in_a_second_call():
    """Steps and epochs are counted over all calls of `fit`."""
    net, _ = fitted(epochs=1)
    tell = Tell(3)
    fitted([tell], epochs=2, net=net)
    assert tell.events[1:-1] == [("step", 6), ("epoch", 2), ("step", 9), ("step", 12), ("epoch", 3)]


def test_chunks_end_where_a_cadence_asks_and_nowhere_else(monkeypatch):
    """With long chunks the loop is called once for every five epochs, or for every six steps and epoch's end."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e6)
    calls = []
    plain = loop.Runner.run
    monkeypatch.setattr(loop.Runner, "run", lambda *a: (calls.append(a[3:]), plain(*a))[1])
    _, _ = fitted(epochs=1)  # from which the pace is known
    for every, expected in [("5 epochs", [(0, 16), (16, 36), (36, 40)]), (None, [(0, 40)]), (6, None)]:
        calls.clear()
        other, _ = fitted(epochs=1)
        calls.clear()
        fitted([Tell(every) if every else kj.callbacks.Log(lambda figures, step: None)], epochs=10, net=other)
        if every == 6:
            told = {4 * e for e in range(12)} | {6 * i for i in range(8)}
            assert {stop + 4 for _, stop in calls} == {t for t in told if 4 < t <= 44}
        else:
            assert calls == expected


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.sampled_from(["epoch", "step", 2, 3, 5, "2 epochs", "3 epochs"]), max_size=3), st.sampled_from(ENGINES)
)
def test_looking_changes_no_bit(cadences, engine):
    """Whatever the cadences of callbacks that only look, weights and figures are those of a run without them."""
    net, history = fitted(engine=engine, optimizer=kj.optim.Adam(0.01))
    other, watched = fitted([Tell(every) for every in cadences], engine=engine, optimizer=kj.optim.Adam(0.01))
    assert bits(net) == bits(other)
    assert history["loss"].tobytes() == watched["loss"].tobytes()


def test_figures_of_steps_have_names_of_their_own():
    """step_loss is one step's; running_loss is the rows' mean so far, and at the end what the History calls loss."""
    tell = Tell("step")
    _, history = fitted([tell], metrics=["mae"], epochs=2)
    steps = [f for kind, _, f in tell.told[1:-1] if kind == "step"]
    losses, rows = np.array([f["step_loss"] for f in steps]).reshape(2, 4), np.array([3, 3, 3, 1])
    np.testing.assert_allclose(np.average(losses, axis=1, weights=rows), history["loss"], rtol=1e-6)
    for epoch in range(2):
        for k in range(1, 5):
            expected = np.average(losses[epoch, :k], weights=rows[:k])
            assert steps[4 * epoch + k - 1]["running_loss"] == pytest.approx(expected, rel=1e-6)
    assert set(steps[0]) == {"step_loss", "running_loss", "step_mae", "running_mae", "learning_rate"}
    assert steps[3]["running_mae"] == pytest.approx(history["mae"][0], rel=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_stopping_in_the_middle_of_an_epoch(engine):
    """The run ends after the very step, with its weights; whole epochs alone are in the History."""
    tell = Tell("step", lambda run, event, n: run.stop("enough") if n == 6 and event == "step" else None)
    net, history = fitted([tell], engine=engine)
    assert (history.stopped, history.steps, len(history)) == ("enough", 6, 1)
    assert net._training.memory["optimizer.steps"].item() == 6
    one_more = Tell("step", lambda run, event, n: run.stop("") if n == 6 else None)
    assert bits(net) == bits(fitted([one_more], engine=engine)[0])


@pytest.mark.parametrize("engine", ENGINES)
def test_skipping_the_rest_of_an_epoch(engine):
    """With every epoch cut after two steps there are two steps an epoch; figures are means over those done."""
    tell = Tell("step", lambda run, event, n: run.skip_epoch() if event == "step" and n % 4 == 2 else None)
    net, history = fitted([tell], engine=engine)
    assert history.steps == 8 == net._training.memory["optimizer.steps"].item()
    assert [e for e in tell.events if e[0] == "step"] == [("step", n) for n in (1, 2, 5, 6, 9, 10, 13, 14)]
    losses = np.array([e[2]["step_loss"] for e in tell.told[1:-1] if e[0] == "step"]).reshape(4, 2)
    np.testing.assert_allclose(history["loss"], losses.mean(1), rtol=1e-6)
    with pytest.raises(KedjaError, match="only after_step"):
        fitted([Tell("epoch", lambda run, event, n: run.skip_epoch())])


@pytest.mark.parametrize("engine", ENGINES)
def test_rates_set_after_a_step_are_those_of_the_next(engine):
    """PyTorch's SGD on all rows, whose rate is halved after every step, goes to the same weights."""
    net = kj.Sequential([kj.nn.Dense(1)]).build((None, 3), seed=2)
    linear = torch.nn.Linear(3, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(net.get_weights()[0].T))
        linear.bias.zero_()
    rule = torch.optim.SGD(linear.parameters(), lr=0.2)
    for _ in range(5):
        rule.zero_grad()
        torch.nn.functional.mse_loss(linear(torch.tensor(X)), torch.tensor(Y)).backward()
        rule.step()
        rule.param_groups[0]["lr"] /= 2

    def halve(run, event, number):
        if event == "step":
            run.optimizer.learning_rate /= 2

    fitted([Tell("step", halve)], epochs=5, net=net, optimizer=kj.optim.SGD(0.2), batch_size=None, engine=engine)
    np.testing.assert_allclose(net.get_weights()[0].T, linear.weight.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_set_after_a_step_are_those_of_the_next(engine):
    """Weights put back after each step never move, whatever the rate."""
    net = kj.Sequential([kj.nn.Dense(1)]).build((None, 3), seed=2)
    start = net.get_weights()
    put_back = Tell("step", lambda run, event, n: run.model.set_weights(start))
    fitted([put_back], net=net, engine=engine)
    assert [w.tobytes() for w in start] == bits(net)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("at", [("epoch", 2), ("step", 6)])
def test_freezing_and_setting_free(engine, at):
    """PyTorch's momentum, with a layer held still in between, goes to the same weights; the rest keeps its velocity."""
    net = kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(1)]).build((None, 3), seed=2)
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    with torch.no_grad():
        for parameter, weight in zip(theirs.parameters(), net.get_weights(), strict=True):
            parameter.copy_(torch.tensor(weight.T))
    rule = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.5)
    net.layers[0].trainable = False
    for epoch in range(4):
        for p in theirs[0].parameters():
            p.requires_grad_(epoch >= 2)
        rule.zero_grad()
        torch.nn.functional.mse_loss(theirs(torch.tensor(X)), torch.tensor(Y)).backward()
        rule.step()

    def free(run, event, number):
        if (event, number) == (at[0], 2):
            run.model.layers[0].trainable = True

    tell = Tell("step" if at[0] == "step" else "epoch", free)
    momentum = kj.optim.Momentum(0.05, 0.5)
    fitted([tell], epochs=4, net=net, optimizer=momentum, batch_size=None, engine=engine)
    for parameter, weight in zip(theirs.parameters(), net.get_weights(), strict=True):
        np.testing.assert_allclose(weight.T, parameter.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_freezing_in_the_middle_of_an_epoch():
    """From the step on the layer does not move, the epoch's figures are whole, and training goes on."""
    seen = []

    def freeze(run, event, number):
        if event == "step" and number == 2:
            run.model.layers[0].trainable = False
        if event == "step" and number >= 2:
            seen.append(run.model.layers[0].kernel.numpy().tobytes())

    _, history = fitted([Tell("step", freeze)], epochs=3, regularizer="l2")
    assert len(set(seen)) == 1 and len(history) == 3 and np.isfinite(history["loss"]).all()
    assert history.steps == 12 and history["loss"][2] < history["loss"][0]


@pytest.mark.parametrize("event", ["before_fit", "after_step", "after_epoch", "after_fit", "measure"])
def test_an_error_in_a_callback_names_it(event):
    """The error keeps its type, says whose event it was, keeps what was learned, and everybody is told of the end."""

    class Broken(kj.callbacks.Callback):
        every = "step"

    def fail(self, run, *told):
        if event in ("before_fit", "after_fit") or told[0] >= 3:
            raise ZeroDivisionError("no such luck")
        return {}

    setattr(Broken, event, fail)
    first, last = Tell(), Tell()
    net = kj.Sequential([kj.nn.Dense(1)]).build((None, 3), seed=0)
    start = bits(net)
    with pytest.raises(ZeroDivisionError, match="no such luck") as caught:
        fitted([first, Broken(), last], net=net)
    assert f"Broken.{event}" in caught.value.__notes__[0]
    assert first.told[-1] == "end" and (last.told == [] or last.told[-1] == "end")
    if event not in ("before_fit", "after_fit"):
        assert f"Broken.{event}" in net.history.stopped and "ZeroDivisionError" in net.history.stopped
        assert bits(net) != start
    history = fitted(net=net, epochs=1)[1]  # and the model can be trained on
    assert history.stopped == "ran all 1 epoch"


@pytest.mark.parametrize("every", [0, -1, True, "never", "0 epochs", "3 days", 2.5, None])
def test_what_is_no_cadence(every):
    """The message says what `every` may be."""
    with pytest.raises(DataError, match="Tell: every is"):
        fitted([Tell(every)])


def test_a_function_is_no_callback():
    """A function given as a callback is answered with the class that calls it."""
    with pytest.raises(DataError, match=r"callbacks\.Log"):
        fitted([print])
