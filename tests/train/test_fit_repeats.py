"""The seed decides a run: engines agree, runs repeat bit for bit, and go on where they ended."""

import numpy as np
import pytest

import kedja as kj
from kedja.train import loop

RNG = np.random.default_rng(2)
X = RNG.normal(size=(50, 4)).astype("float32")
Y = np.sin(X @ RNG.normal(size=(4, 1))).astype("float32")
SETTINGS = {"loss": "mse", "batch_size": 8, "verbose": 0}


def mlp(dtype: str | None = None) -> kj.Sequential:
    """4-8-1, not built."""
    return kj.Sequential([kj.nn.Dense(8, "tanh"), kj.nn.Dense(1)], dtype=dtype)


def bits(net: kj.Module) -> list[bytes]:
    """The weights, bit for bit."""
    return [w.tobytes() for w in net.get_weights()]


def flat(net: kj.Module) -> np.ndarray:
    """The weights in one row."""
    return np.concatenate([w.ravel() for w in net.get_weights()])


@pytest.mark.parametrize("rule", [kj.optim.SGD(0.05), kj.optim.Momentum(0.02), kj.optim.Adam(0.01)], ids=repr)
def test_engines_agree_in_float64(rule):
    """After 100 steps every weight agrees to 1e-9."""
    nets = [mlp("float64") for _ in range(2)]
    for net, engine in zip(nets, ("reference", "xla"), strict=True):
        history = net.fit(X, Y, optimizer=rule, epochs=15, seed=1, engine=engine, **SETTINGS)
        assert (history.steps, history.engine) == (105, engine)
    np.testing.assert_allclose(flat(nets[0]), flat(nets[1]), rtol=1e-9, atol=1e-9)


def test_engines_agree_in_float32():
    """After 100 steps the engines' difference is at most a hundredth of the way the weights went."""
    nets = [mlp() for _ in range(2)]
    for net, engine in zip(nets, ("reference", "xla"), strict=True):
        net.fit(X, Y, optimizer=kj.optim.Adam(0.01), epochs=15, seed=1, engine=engine, **SETTINGS)
    start = flat(mlp().build((None, 4), seed=1))
    assert np.linalg.norm(flat(nets[0]) - flat(nets[1])) <= 1e-2 * np.linalg.norm(flat(nets[0]) - start)


def test_gradients_of_the_engines_agree_in_float32():
    """One step's gradients agree to 1e-5 of the largest entry."""
    net = mlp().build((None, 4), seed=1)

    def gradients(x, y):
        return kj.grad(kj.losses.get("mse")(y, net(x)), net.parameters)

    pairs = zip(*(kj.compile(gradients, engine=e)(X, Y) for e in ("reference", "xla")), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-5 * np.abs(a.numpy()).max())


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("batch_size", [8, None])
def test_one_seed_one_run(engine, batch_size):
    """Weights and history repeat bit for bit; another seed is another run."""
    runs = []
    for seed in (3, 3, 4):
        net = mlp()
        history = net.fit(X, Y, loss="mse", epochs=3, batch_size=batch_size, seed=seed, engine=engine)
        runs.append((bits(net), history["loss"].tobytes(), history.seed))
    assert runs[0] == runs[1] and runs[0] != runs[2] and runs[2][2] == 4


def test_a_seed_nobody_gave_is_recorded():
    """Without a seed one is drawn, and with the recorded one the run repeats."""
    a, b = mlp(), mlp()
    seed = a.fit(X, Y, epochs=2, engine="reference", **SETTINGS).seed
    b.fit(X, Y, epochs=2, engine="reference", seed=seed, **SETTINGS)
    assert bits(a) == bits(b)


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("rule", [kj.optim.Momentum(0.02), kj.optim.Adam(0.01)], ids=repr)
def test_two_and_three_epochs_are_five(rule, engine):
    """A second `fit` goes on: epoch numbers, order, momentum and all, to the last bit."""
    whole, parts = mlp(), mlp()
    five = whole.fit(X, Y, optimizer=rule, epochs=5, seed=6, engine=engine, **SETTINGS)
    two = parts.fit(X, Y, optimizer=rule, epochs=2, seed=6, engine=engine, **SETTINGS)
    three = parts.fit(X, Y, epochs=3, engine=engine, **SETTINGS)
    assert bits(whole) == bits(parts)
    assert (two + three).epoch == five.epoch and (two + three).metrics == five.metrics


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_reset_starts_over(engine):
    """After `reset()` the same call gives the same run; with another seed another one."""
    net = mlp()
    first = net.fit(X, Y, epochs=3, seed=6, engine=engine, **SETTINGS)
    kept = bits(net)
    assert bits(net.reset()) != kept
    again = net.fit(X, Y, epochs=3, engine=engine, **SETTINGS)
    assert (bits(net), again.epoch, again.metrics) == (kept, [1, 2, 3], first.metrics)
    net.reset(seed=7).fit(X, Y, epochs=3, engine=engine, **SETTINGS)
    fresh = mlp()
    fresh.fit(X, Y, epochs=3, seed=7, engine=engine, **SETTINGS)
    assert bits(net) == bits(fresh) != kept


def test_reset_of_a_model_built_by_hand():
    """Weights drawn by `build` come back by `reset`, though `fit` had a seed of its own."""
    net = mlp().build((None, 4))
    start = bits(net)
    net.fit(X, Y, epochs=1, seed=2, engine="reference", **SETTINGS)
    assert bits(net) != start and bits(net.reset()) == start


def test_fit_leaves_given_weights_alone():
    """A seed given to `fit` draws weights only for layers that have none."""
    net = mlp().build((None, 4), seed=1)
    net.fit(X, Y, optimizer=kj.optim.SGD(1e-30), epochs=1, seed=2, engine="reference", **SETTINGS)
    np.testing.assert_allclose(flat(net), flat(mlp().build((None, 4), seed=1)), atol=1e-25)


def test_full_batches_are_not_shuffled():
    """All rows at once: the order does not matter, so the seed changes nothing once the weights are there."""
    nets = [mlp().build((None, 4), seed=1) for _ in range(2)]
    for seed, net in enumerate(nets):
        net.fit(X, Y, loss="mse", epochs=3, batch_size=None, seed=seed, engine="reference")
    assert bits(nets[0]) == bits(nets[1])


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("batch_size", [8, None])
def test_length_of_chunks_never_changes_bits(engine, batch_size, monkeypatch):
    """Stopping after every step or after thousands gives one run."""
    seen = set()
    for seconds in (0.0, 1e-4, 10.0):
        monkeypatch.setattr(loop, "CHUNK_SECONDS", seconds)
        net = mlp()
        history = net.fit(X, Y, loss="mse", metrics=["mae"], epochs=12, batch_size=batch_size, seed=5, engine=engine)
        seen.add((*bits(net), history["loss"].tobytes(), history["mae"].tobytes()))
    assert len(seen) == 1


def test_numbers_of_the_optimiser_compile_nothing():
    """Another learning rate, momentum or seed, and more epochs, run the program there is."""
    net = mlp()
    rule = kj.optim.Momentum(0.02)
    first = net.fit(X, Y, optimizer=rule, epochs=2, seed=1, engine="xla", **SETTINGS)
    rule.learning_rate, rule.momentum = 0.001, 0.5
    second = net.fit(X, Y, optimizer=rule, epochs=7, engine="xla", **SETTINGS)
    third = net.reset(seed=4).fit(X, Y, optimizer=kj.optim.Momentum(0.5, 0.1), epochs=1, engine="xla", **SETTINGS)
    assert first.compile_seconds > 0 == second.compile_seconds == third.compile_seconds
    assert third.settings["optimizer"] == {"name": "Momentum", "learning_rate": 0.5, "momentum": 0.1}


def test_the_new_rate_is_used():
    """A rate changed between two calls is the rate of the second."""
    net = mlp().build((None, 4), seed=0)
    rule = kj.optim.SGD(0.1)
    net.fit(X, Y, optimizer=rule, epochs=1, engine="reference", **SETTINGS)
    before = bits(net)
    rule.learning_rate = 1e-30
    net.fit(X, Y, epochs=1, engine="reference", **SETTINGS)
    assert bits(net) == before


def test_another_optimiser_starts_afresh():
    """After a change of optimiser nothing of the old one's memory is left."""
    net, plain = mlp(), mlp()
    net.fit(X, Y, optimizer=kj.optim.Momentum(0.02), epochs=2, seed=1, engine="reference", **SETTINGS)
    plain.build((None, 4)).set_weights(net.get_weights())
    net.fit(X, Y, optimizer=kj.optim.Adam(0.01), batch_size=None, loss="mse", engine="reference")
    plain.fit(X, Y, optimizer=kj.optim.Adam(0.01), batch_size=None, loss="mse", engine="reference")
    assert bits(net) == bits(plain)
