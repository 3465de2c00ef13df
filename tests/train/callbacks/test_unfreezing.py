"""Gradual unfreezing: when layers are set free, what the optimiser remembers, and rates of layers that wait."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, KedjaError

RNG = np.random.default_rng(2)
X = RNG.normal(size=(24, 4))
Y = X[:, :1] - X[:, 1:2] ** 2
HOW = {"loss": "mse", "batch_size": None, "verbose": 0, "seed": 3, "engine": "reference"}


def frozen():
    """A hidden layer that waits, and a head."""
    return kj.Sequential([kj.nn.Dense(5, "tanh"), kj.nn.Dense(1)], dtype="float64").freeze(upto="dense_1")


def by_torch(weights, epochs, free_after, rates):
    """The same in PyTorch: the hidden layer's parameters get gradients from an epoch on; Adam counts from there."""
    w1, b1, w2, b2 = (torch.tensor(w, requires_grad=True) for w in weights)
    groups = [{"params": [w2, b2], "lr": rates[1]}]
    rule = torch.optim.Adam(groups, eps=1e-8)
    x, y = torch.tensor(X), torch.tensor(Y)
    for epoch in range(epochs):
        if epoch == free_after:
            rule.add_param_group({"params": [w1, b1], "lr": rates[0]})
        rule.zero_grad()
        ((torch.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean().backward()
        rule.step()
    return [p.detach().numpy() for p in (w1, b1, w2, b2)]


@pytest.mark.parametrize("engine", ["reference", pytest.param("xla", marks=pytest.mark.long)])
@pytest.mark.parametrize("schedule", [{3: "dense_1"}, 3])
def test_as_pytorch_with_a_group_added_later(schedule, engine):
    """Set free after 3 epochs, each layer with a rate: weights are PyTorch's, whose Adam begins anew for a group."""
    net = frozen().build((None, 4), seed=3)
    start = net.get_weights()
    rule = kj.optim.Adam(0.05, layer_rates={"dense_1": 0.2})
    net.fit(X, Y, optimizer=rule, epochs=8, callbacks=[kj.callbacks.Unfreeze(schedule)], **(HOW | {"engine": engine}))
    for ours, theirs in zip(net.get_weights(), by_torch(start, 8, 3, (0.01, 0.05)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


def test_between_two_fits_too():
    """Freed between two calls of fit, the head keeps its memory and the hidden layer begins its own."""
    net = frozen().build((None, 4), seed=3)
    start = net.get_weights()
    net.fit(X, Y, optimizer=kj.optim.Adam(0.05), epochs=3, **HOW)
    net.unfreeze()
    net.fit(X, Y, epochs=2, **HOW)
    net.fit(X, Y, epochs=3, **HOW)
    for ours, theirs in zip(net.get_weights(), by_torch(start, 8, 3, (0.05, 0.05)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


def test_saved_after_unfreezing(tmp_path):
    """A loaded model goes on as the one that was saved: it knows since when each layer learns."""
    net = frozen()
    net.fit(X, Y, optimizer=kj.optim.Adam(0.05), epochs=3, **HOW)
    net.unfreeze()
    net.fit(X, Y, epochs=2, **HOW)
    again = kj.load(net.save(tmp_path))
    for one in (net, again):
        one.fit(X, Y, epochs=2, **HOW)
    for ours, theirs in zip(net.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_frozen_again_and_free_again_keeps_the_memory():
    """A layer that is frozen for a while and set free again goes on with what the optimiser knew."""
    net = kj.Sequential([kj.nn.Dense(5, "tanh"), kj.nn.Dense(1)], dtype="float64").build((None, 4), seed=3)
    net.fit(X, Y, optimizer=kj.optim.Momentum(0.05), epochs=3, **HOW)
    name = "optimizer.dense_1.kernel.velocity"
    kept = net._training.memory[name].numpy().copy()
    net.freeze(upto="dense_1").fit(X, Y, epochs=2, **HOW)
    np.testing.assert_array_equal(net._training.memory[name].numpy(), kept)


@pytest.mark.parametrize("killed", [5, 8])
def test_resumed_with_best_weights_from_before_a_layer_was_free(killed, tmp_path):
    """What EarlyStopping kept has no memory of a layer that was frozen then; resuming ends with the same bits."""

    class Crash(kj.callbacks.Callback):
        def after_epoch(self, run, epoch, figures):
            if epoch == killed:
                raise KeyboardInterrupt

    def run(*more, **how):
        net = frozen()
        rising = kj.callbacks.EarlyStopping("learning_rate", patience=99)  # best in the first epoch
        hooks = [kj.callbacks.Unfreeze({3: "dense_1"}), rising, *more]
        net.fit(X, Y, optimizer=kj.optim.Adam(0.01), epochs=10, callbacks=hooks, **HOW, **how)
        return net

    checkpoint = kj.callbacks.Checkpoint(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint, Crash())
    for a, b in zip(run(checkpoint, resume=tmp_path).get_weights(), run().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_layers_of_an_ensemble_are_not_set_free_unnoticed():
    """In an ensemble the steps are those of the beginning; a change of what learns is refused."""
    together = kj.Ensemble(frozen(), 2)
    with pytest.raises(KedjaError, match="ensemble"):
        together.fit(X, Y, epochs=3, callbacks=[kj.callbacks.Unfreeze(1)], **HOW)


@pytest.mark.parametrize(
    ("schedule", "says"),
    [({}, "empty"), ({0: "a"}, "at least 1"), (0, "number of epochs"), ({1: 3}, "names of layers"), (True, "dict")],
)
def test_bad_schedules(schedule, says):
    """A schedule that says nothing, or not when, or not which."""
    with pytest.raises(DataError, match=says):
        kj.callbacks.Unfreeze(schedule)


def test_an_unknown_layer_is_named_at_the_start():
    """A misspelt layer is found before the first epoch."""
    with pytest.raises(KedjaError, match="dense_7"):
        frozen().fit(X, Y, epochs=3, callbacks=[kj.callbacks.Unfreeze({2: "dense_7"})], **HOW)
