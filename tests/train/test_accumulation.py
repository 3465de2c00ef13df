"""Gradient accumulation: a step of several batches is a step of their rows together, in the memory of one."""

import jax
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.engines.xla.devices import exact_types
from kedja.engines.xla.program import _Lowered
from kedja.errors import DataError
from kedja.nn import losses
from kedja.nn.layers.layer import trainable
from kedja.train.scalars import Scalars
from kedja.train.step import Batch, training_graph
from kedja.train.training import training_of

nn = kj.nn
torch.set_num_threads(1)
rng = np.random.default_rng(0)
X = rng.normal(size=(50, 6))
Y = rng.integers(0, 3, 50)
W = rng.uniform(0.1, 2.0, 50)


def net(*between, dtype="float64") -> kj.Sequential:
    """A small network, in float64 so that what differs shows."""
    return kj.Sequential([nn.Dense(8, "tanh"), *between, nn.Dense(3)], dtype=dtype)


def weights(model) -> np.ndarray:
    """All weights as one vector."""
    return np.concatenate([np.ravel(w) for w in model.get_weights()])


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"sample_weight": W},
        {"class_weight": "balanced", "metrics": ["accuracy"]},
        {"regularizer": kj.regularizers.L2(0.1)},
        {"loss": kj.losses.CrossEntropy(reduction="sum"), "sample_weight": W},
        {"optimizer": kj.optim.Momentum(0.05, clip_norm=0.1)},
    ],
    ids=["plain", "weights", "classes", "penalty", "sum", "clipped"],
)
def test_as_one_large_batch(how, engine):
    """Batches of 5, four a step, give the weights and figures of batches of 20, a padded last step included."""
    how = {"loss": "cross_entropy", "optimizer": kj.optim.SGD(0.05), "epochs": 3, "seed": 1, "engine": engine, **how}
    large, small = net(), net()
    a = large.fit(X, Y, batch_size=20, **how)
    b = small.fit(X, Y, batch_size=5, accumulate=4, **how)
    np.testing.assert_allclose(weights(small), weights(large), rtol=1e-9, atol=1e-12)
    assert list(a.metrics) == list(b.metrics) and a.steps == b.steps == 9
    for name in a.metrics:
        np.testing.assert_allclose(b[name], a[name], rtol=1e-9)


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 50), size=st.integers(1, 9), times=st.integers(2, 7))
def test_any_sizes(n, size, times):
    """However rows, batch and number of batches divide, a step is that of their product."""
    how = {"loss": "cross_entropy", "optimizer": kj.optim.Adam(0.05), "epochs": 2, "seed": 2, "engine": "reference"}
    large, small = net(), net()
    large.fit(X[:n], Y[:n], batch_size=size * times, **how)
    small.fit(X[:n], Y[:n], batch_size=size, accumulate=times, **how)
    np.testing.assert_allclose(weights(small), weights(large), rtol=1e-7, atol=1e-10)


def test_as_pytorch_accumulates():
    """Gradients of batches added up by PyTorch's backward, each loss divided by their number: the same weights."""
    ours = net().build((None, 6), seed=3)
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    with torch.no_grad():
        for p, w in zip(theirs.parameters(), ours.get_weights(), strict=True):
            p.copy_(torch.from_numpy(np.array(w.T)))
    rule = torch.optim.SGD(theirs.parameters(), lr=0.1)
    x, y = torch.from_numpy(X[:48]), torch.from_numpy(Y[:48])
    for _ in range(4):
        for at in range(0, 48, 16):
            rule.zero_grad()
            for k in range(at, at + 16, 4):
                (torch.nn.functional.cross_entropy(theirs(x[k : k + 4]), y[k : k + 4]) / 4).backward()
            rule.step()
    ours.fit(
        X[:48], Y[:48], loss="cross_entropy", optimizer=kj.optim.SGD(0.1), epochs=4, batch_size=4, accumulate=4,
        shuffle=False,
    )  # fmt: skip
    told = np.concatenate([p.detach().numpy().T.ravel() for p in theirs.parameters()])
    np.testing.assert_allclose(weights(ours), told, rtol=1e-9)


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_batch_norm_sees_microbatches(engine):
    """Each microbatch is normalised by itself, and the running statistics move once for each, as PyTorch's do."""
    ours = kj.Sequential([nn.BatchNorm(), nn.Dense(1)], dtype="float64").build((None, 6), seed=4)
    theirs = torch.nn.Sequential(torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 1)).double()
    with torch.no_grad():
        theirs[1].weight.copy_(torch.from_numpy(ours.state["dense_1.kernel"].numpy().T.copy()))
        theirs[1].bias.zero_()
    y = X[:, :1] ** 2
    rule = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for at in range(0, 50, 20):  # steps of 20, 20 and 10 rows in batches of 8, 8, 4 and 8, 2
        rule.zero_grad()
        rows = np.arange(at, min(at + 20, 50))
        for part in np.split(rows, range(8, len(rows), 8)):
            z = theirs(torch.from_numpy(X[part]))
            (((z - torch.from_numpy(y[part])) ** 2).sum() / len(rows)).backward()
        rule.step()
    for a in (0, 20, 40):  # fewer rows than 3 batches of 8: one step takes them all, its last batch smaller
        ours.fit(
            X[a : a + 20], y[a : a + 20], loss="mse", optimizer=kj.optim.SGD(0.1), batch_size=8, accumulate=3,
            shuffle=False, engine=engine,
        )  # fmt: skip
    np.testing.assert_allclose(ours.state["dense_1.kernel"].numpy(), theirs[1].weight.detach().numpy().T, rtol=1e-9)
    np.testing.assert_allclose(ours.state["batch_norm_1.mean"].numpy(), theirs[0].running_mean.numpy(), rtol=1e-9)
    np.testing.assert_allclose(ours.state["batch_norm_1.variance"].numpy(), theirs[0].running_var.numpy(), rtol=1e-9)


def test_each_microbatch_draws_its_own_mask():
    """Dropout drops other units in each microbatch of a step, the same on both engines, and again when repeated."""
    found = []
    for engine in ("reference", "xla", "xla"):
        model = net(nn.Dropout(0.5))
        model.fit(X, Y, loss="cross_entropy", epochs=2, batch_size=10, accumulate=5, seed=5, engine=engine)
        found.append(weights(model))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)
    np.testing.assert_array_equal(found[1], found[2])
    ones = kj.Sequential([nn.Dense(1, init="ones", use_bias=False), nn.Dropout(0.5)], dtype="float64")
    # A gradient of rows that are all alike shows how many were kept: with one mask for all it would be 0 or all of them
    history = ones.fit(
        np.ones((64, 1)),
        np.zeros((64, 1)),
        loss="mse",
        optimizer=kj.optim.SGD(1e-9),
        batch_size=1,
        accumulate=64,
        seed=6,
    )
    assert 0.5 < history["loss"][0] < 3.5  # a mean of 64 values, 0 or 4 each


def test_with_bfloat16():
    """Microbatches in bfloat16 add up their gradients in float32."""
    one, many = net(dtype="float32"), net(dtype="float32")
    how = {"loss": "cross_entropy", "optimizer": kj.optim.SGD(0.1), "epochs": 2, "seed": 7, "precision": "bfloat16"}
    one.fit(X, Y, batch_size=20, **how)
    many.fit(X, Y, batch_size=5, accumulate=4, **how)
    moved = weights(one) - weights(net(dtype="float32").build((None, 6), seed=7))
    assert np.linalg.norm(weights(many) - weights(one)) < 0.02 * np.linalg.norm(moved)


def test_continued_runs():
    """Two epochs and two more are four, bit for bit."""
    how = {"loss": "cross_entropy", "batch_size": 4, "accumulate": 3, "seed": 8}
    whole, parts = net(nn.Dropout(0.2)), net(nn.Dropout(0.2))
    whole.fit(X, Y, epochs=4, **how)
    for _ in range(2):
        parts.fit(X, Y, epochs=2, **how)
    np.testing.assert_array_equal(weights(whole), weights(parts))
    assert whole.history.settings["accumulate"] == 3 and whole.history.settings["batch_size"] == 4


def test_memory_falls():
    """What XLA lays out between beginning and end of a step is less than half when 256 rows come in eight parts."""
    model = kj.Sequential([nn.Dense(256, "relu"), nn.Dense(256, "relu"), nn.Dense(256, "relu"), nn.Dense(3)])
    model.build((None, 64), seed=0)
    rule, training, parameters = kj.optim.SGD(), training_of(model), trainable(model)
    training.use(rule, parameters)
    x, y = np.zeros((4096, 64), np.float32), np.zeros(4096, np.int64)

    def room(micro: int | None) -> int:
        graph = training_graph(
            model, losses.get("cross_entropy"), Scalars(model, rule, []), training.memory, [],
            Batch([x], y, 4096, False, False), parameters, micro=micro,
        )  # fmt: skip
        lowered = _Lowered(graph)
        with exact_types():
            args = (
                [np.asarray(v.value) for v in lowered.variables], [],
                [np.zeros(t.shape, t.dtype) for t in graph.inputs],
            )  # fmt: skip
            return jax.jit(lowered, keep_unused=True).lower(*args).compile().memory_analysis().temp_size_in_bytes

    assert room(512) < 0.5 * room(None)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"accumulate": 0}, "a whole number of at least 1"),
        ({"accumulate": 2.0}, "a whole number of at least 1"),
        ({"accumulate": True}, "a whole number of at least 1"),
        ({"accumulate": 0.5}, "make batch_size smaller"),
        ({"accumulate": 4, "batch_size": None}, r"batch_size=-\(-len\(x\) // 4\)"),
        ({"accumulate": 4, "optimizer": kj.optim.LBFGS()}, "LBFGS takes all rows in one step"),
    ],
)
def test_what_is_refused(how, words):
    """Numbers that are none, and steps that take all rows anyway; the call changes nothing."""
    model = net()
    with pytest.raises(DataError, match=words):
        model.fit(X, Y, loss="cross_entropy", **how)
    assert not model.built
