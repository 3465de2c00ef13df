"""Ensembles: members are the networks they would be alone, and what they say together."""

import numpy as np
import pytest
import scipy.stats
import torch

import kedja as kj
from kedja.errors import DataError, DivergedError, GraphError, ShapeError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(83, 6)).astype("float32")  # 83 rows: the last batch of 16 is one of 3
Y = (X[:, :2].sum(1) > 0).astype(int) + (X[:, 2] > 1)


def plain():
    """Dense layers, dropout between them."""
    return kj.Sequential([kj.nn.Dense(8, "relu"), kj.nn.Dropout(0.3), kj.nn.Dense(3)])


def normed():
    """Batch normalisation, whose running statistics are each member's own and whose last batch is not padded."""
    return kj.Sequential([kj.nn.Dense(8, use_bias=False), kj.nn.BatchNorm(), kj.nn.Activation("relu"), kj.nn.Dense(3)])


def branched():
    """A functional model with a skip."""
    x = kj.Input((6,))
    h = kj.nn.Dense(6, activation="tanh")(x)
    return kj.Model(x, kj.nn.Dense(3)(x + h))


def convolved():
    """Filters along the six numbers of a row, and a recurrent layer over them."""
    layers = [kj.nn.Reshape((6, 1)), kj.nn.Conv1D(4, 3, activation="relu"), kj.nn.GRU(5), kj.nn.Dense(3, "softmax")]
    return kj.Sequential(layers)


HOW = {"loss": "cross_entropy", "epochs": 3, "batch_size": 16, "verbose": 0, "engine": "reference"}


@pytest.mark.parametrize(
    ("make", "more"),
    [
        (plain, {"optimizer": "adam", "metrics": ["accuracy"], "validation": (X[:20], Y[:20]), "engine": "xla"}),
        pytest.param(normed, {"optimizer": "adam", "engine": "xla"}, marks=pytest.mark.long),
        (normed, {"optimizer": kj.optim.SGD(0.1, momentum=0.9)}),
        (normed, {"optimizer": "adam", "batch_size": None}),
        (branched, {"optimizer": "rmsprop", "sample_weight": np.linspace(0, 1, 83), "regularizer": "l2"}),
        pytest.param(
            convolved, {"optimizer": kj.optim.Adam(0.01, average=0.9, clip_norm=0.5), "engine": "xla"},
            marks=pytest.mark.long,
        ),
        (plain, {"optimizer": kj.optim.SGD(kj.schedules.Exponential(0.1, factor=0.9))}),
    ],
    ids=["xla", "batch norm on xla", "batch norm", "full batch", "skip", "convolution and GRU", "schedule"],
)  # fmt: skip
def test_a_member_is_the_network_trained_alone(make, more):
    """Weights, statistics and figures of member k are those of the same network fitted with its seed, to rounding."""
    together = kj.Ensemble(make(), 3)
    history = together.fit(X, Y, seed=4, **(HOW | more))
    alone = make()
    for k, member in enumerate(together):
        alone.reset(4 + k)
        theirs = alone.fit(X, Y, seed=4 + k, **(HOW | more))
        for ours, other in zip(member.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(ours, other, rtol=1e-5, atol=2e-6)
        own = history.members[k]
        for name in theirs.metrics:
            if name in own:
                np.testing.assert_allclose(own[name], theirs[name], rtol=1e-5, atol=2e-6)
    assert not np.allclose(together.members[0].get_weights()[0], together.members[1].get_weights()[0])


def test_a_second_fit_and_a_member_alone_go_on():
    """Two fits are one of their length, and a member taken out goes on with the memory its optimiser has."""
    short, long = kj.Ensemble(plain(), 2), kj.Ensemble(plain(), 2)
    long.fit(X, Y, optimizer="adam", seed=1, **(HOW | {"epochs": 5}))
    short.fit(X, Y, optimizer="adam", seed=1, **HOW)
    short.fit(X, Y, seed=1, **(HOW | {"epochs": 1}))
    short.members[1].fit(X, Y, **(HOW | {"epochs": 1}))
    assert len(short.history) == 1 and short.history.epoch == [4]
    for ours, other in zip(short.members[1].get_weights(), long.members[1].get_weights(), strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-5, atol=2e-6)


def test_rates_differ_in_one_program():
    """A list of optimisers gives each member its own rate; a member that overflows is left behind, the others go on."""
    rates = [0.01, 1e12, 0.1]
    together = kj.Ensemble(kj.Sequential([kj.nn.Dense(8, "tanh"), kj.nn.Dense(1)]), 3)
    goal = X[:, :1]
    with pytest.warns(UserWarning, match=r"member 1 \(learning rate 1e\+12\) diverged in epoch"):
        history = together.fit(
            X,
            goal,
            loss="mse",
            optimizer=[kj.optim.SGD(r) for r in rates],
            epochs=4,
            batch_size=16,
            seed=0,
            engine="reference",
        )
    for k in (0, 2):
        alone = kj.Sequential([kj.nn.Dense(8, "tanh"), kj.nn.Dense(1)])
        theirs = alone.fit(
            X, goal, loss="mse", optimizer=kj.optim.SGD(rates[k]), epochs=4, batch_size=16, seed=k, engine="reference"
        )
        np.testing.assert_allclose(history.members[k]["loss"], theirs["loss"], rtol=1e-5)
    assert all(np.isfinite(w).all() for w in together.members[1].get_weights())
    assert np.isfinite(history["loss"]).all() and list(together.diverged) == [1]


def test_a_member_that_diverged_has_no_say(tmp_path):
    """What is said together is the mean of those that went on; so after loading; a good fit gives the word back."""
    together = kj.Ensemble(kj.Sequential([kj.nn.Dense(8, "tanh"), kj.nn.Dense(1)]), 3)
    how = {"loss": "mse", "epochs": 3, "batch_size": 16, "seed": 0, "engine": "reference"}
    rates = [kj.optim.SGD(r) for r in (0.01, 1e12, 0.1)]
    with pytest.warns(UserWarning, match="no say in the ensemble"):
        together.fit(X, X[:, :1], optimizer=rates, **how)
    each = np.stack([m.predict(X) for m in together])
    np.testing.assert_allclose(together.predict(X), each[[0, 2]].mean(0), rtol=1e-5, atol=1e-6)
    assert together.spread(X).each.shape == (2, 83, 1) and len(together.evaluate_members(X, X[:, :1])) == 3
    sure = torch.nn.functional.mse_loss(torch.tensor(each[[0, 2]].mean(0)), torch.tensor(X[:, :1])).item()
    assert together.evaluate(X, X[:, :1])["loss"] == pytest.approx(sure, rel=1e-5)
    np.testing.assert_array_equal(kj.load(together.save(tmp_path)).predict(X), together.predict(X))
    together.fit(X, X[:, :1], optimizer=kj.optim.SGD(0.01), **how)
    np.testing.assert_allclose(together.predict(X), np.mean([m.predict(X) for m in together], 0), rtol=1e-5, atol=1e-6)


def test_when_all_diverge_the_run_ends():
    """An ensemble of which no member is left raises, and keeps weights that are finite."""
    together = kj.Ensemble(kj.Sequential([kj.nn.Dense(8), kj.nn.Dense(1)]), 2)
    with pytest.raises(DivergedError, match="every member of the ensemble diverged"):
        together.fit(X, X[:, :1], loss="mse", optimizer=kj.optim.SGD(1e12), epochs=4, seed=0, engine="reference")
    assert all(np.isfinite(w).all() for m in together for w in m.get_weights())


def test_run_time_numbers_are_each_members_own():
    """Members with dropout rates of their own learn as each would alone."""

    def make(k):
        return kj.Sequential([kj.nn.Dense(8, "relu"), kj.nn.Dropout(0.1 + 0.4 * k), kj.nn.Dense(3)])

    together = kj.Ensemble(make, 2)
    together.fit(X, Y, optimizer="adam", seed=0, **HOW)
    for k in range(2):
        alone = make(k)
        alone.fit(X, Y, optimizer="adam", seed=k, **HOW)
        np.testing.assert_allclose(together.members[k].get_weights()[0], alone.get_weights()[0], rtol=1e-5, atol=2e-6)


def test_shared_order_and_bootstrap():
    """With a shared order all see the rows as member 0 does; with bootstrap each learns from rows drawn for it."""
    shared, own = kj.Ensemble(plain(), 2), kj.Ensemble(plain(), 2)
    shared.fit(X, Y, optimizer="adam", seed=0, shuffle="shared", **HOW)
    own.fit(X, Y, optimizer="adam", seed=0, **HOW)
    np.testing.assert_allclose(shared.members[0].get_weights()[0], own.members[0].get_weights()[0], atol=2e-6)
    assert not np.allclose(shared.members[1].get_weights()[0], own.members[1].get_weights()[0], atol=1e-4)
    bagged = kj.Ensemble(kj.Sequential([kj.nn.Dense(1, init="zeros")]), 40)
    target = np.arange(83.0)[:, None]
    bagged.fit(X * 0, target, loss="mse", optimizer=kj.optim.GradientDescent(0.5), epochs=1, batch_size=None,
               bootstrap=True, seed=0, engine="reference")  # fmt: skip
    means = np.array(
        [m.layers[0].bias.numpy()[0] for m in bagged]
    )  # one step of ½ from 0 is the mean of what was drawn
    assert means.std() == pytest.approx(target.std() / np.sqrt(83), rel=0.3) and abs(means.mean() - 41) < 2


def test_validation_callbacks_and_history():
    """Early stopping looks at the mean over the members and brings back the best weights of all."""
    together = kj.Ensemble(plain(), 3)
    stop = kj.callbacks.EarlyStopping(patience=3)
    history = together.fit(
        X[:20], Y[:20], optimizer=kj.optim.Adam(0.05), validation=(X[20:], Y[20:]), callbacks=[stop], seed=0,
        **(HOW | {"epochs": 300}),
    )  # fmt: skip
    epoch, best = history.best("val_loss")
    assert len(history) == epoch + 3 < 300
    figures = [f["loss"] for f in together.evaluate_members(X[20:], Y[20:])]
    assert np.mean(figures) == pytest.approx(best, rel=1e-5)
    np.testing.assert_allclose(
        history["val_loss"], np.mean([h["val_loss"] for h in history.members], axis=0), rtol=1e-9
    )
    assert history.spread("loss").shape == (len(history),) and len(history.plot().axes[0].lines) == 2 + 2 * 3


@pytest.mark.parametrize("ending", [None, "softmax"])
def test_spread_of_classes_against_scipy_and_torch(ending):
    """Mean probability, entropy and mutual information are those of SciPy over PyTorch's softmax of each member."""
    nets = [kj.Sequential([kj.nn.Dense(3, ending)]).build((None, 6), seed=k) for k in range(5)]
    together = kj.Ensemble(nets).compile(loss="cross_entropy")
    x = X * 3
    p = np.stack([
        torch.softmax(torch.tensor(x @ n.get_weights()[0].astype("float64") + n.get_weights()[1]), -1).numpy()
        for n in nets
    ])  # fmt: skip
    found = together.spread(x)
    np.testing.assert_allclose(found.mean, p.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.std, p.std(0), atol=1e-6)
    whole, own = scipy.stats.entropy(p.mean(0), axis=-1), scipy.stats.entropy(p, axis=-1).mean(0)
    np.testing.assert_allclose(found.entropy, whole, atol=1e-5)
    np.testing.assert_allclose(found.mutual_information, whole - own, atol=1e-5)
    chosen = p.mean(0).argmax(-1)
    np.testing.assert_allclose(found.disagreement, (p.argmax(-1) != chosen).mean(0))
    np.testing.assert_array_equal(together.predict_labels(x), chosen)
    raw = torch.tensor(together.predict(x))
    np.testing.assert_allclose(raw if ending else torch.softmax(raw, -1), p.mean(0), atol=1e-6)
    told = together.evaluate(x, Y, metrics=["accuracy"])
    right = torch.nn.functional.nll_loss(torch.tensor(p.mean(0)).log(), torch.tensor(Y)).item()
    assert told["loss"] == pytest.approx(right, rel=1e-5) and told["accuracy"] == pytest.approx((chosen == Y).mean())


def test_spread_of_yes_or_no_and_of_values():
    """A single logit: the mean of sigmoids, Bernoulli entropy; values: mean and standard deviation as they are."""
    nets = [kj.Sequential([kj.nn.Dense(1)]).build((None, 6), seed=k) for k in range(4)]
    together = kj.Ensemble(nets)
    z = np.stack([n.predict(X) for n in nets])
    np.testing.assert_allclose(together.predict(X), z.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(together.predict(X, uncertainty=True).std, z.std(0), rtol=1e-4, atol=1e-6)
    together.compile(loss="binary_cross_entropy")
    p = torch.sigmoid(torch.tensor(z)).numpy()
    np.testing.assert_allclose(together.predict_proba(X), p.mean(0), atol=1e-6)
    bernoulli = scipy.stats.bernoulli(p.mean(0)[:, 0]).entropy()
    np.testing.assert_allclose(together.spread(X).entropy, bernoulli, atol=1e-5)
    yes = (X[:, :1] > 0).astype("float32")
    right = torch.nn.functional.binary_cross_entropy(torch.tensor(p.mean(0)), torch.tensor(yes)).item()
    assert together.evaluate(X, yes)["loss"] == pytest.approx(right, rel=1e-5)
    np.testing.assert_array_equal(together.predict_labels(X), p.mean(0)[:, 0] > 0.5)


def test_extreme_logits_do_not_underflow():
    """Members sure to hundreds of nats: the loss of the mean is finite and that of the surer one plus ln 2."""
    nets = [kj.Sequential([kj.nn.Dense(2, use_bias=False)]).build((None, 1), seed=k) for k in range(2)]
    for net, size in zip(nets, (300.0, 500.0), strict=True):
        net.set_weights([np.array([[size, -size]], "float32")])
    found = kj.Ensemble(nets).evaluate(np.ones((1, 1)), np.array([1]), loss="cross_entropy")
    assert found["loss"] == pytest.approx(600 + np.log(2), rel=1e-5)


def test_reset_repeats_and_the_net_is_untouched():
    """After a reset the same seed gives the same members; the net that was given is not changed by any of it."""
    net = plain().build((None, 6), seed=9)
    before = net.get_weights()
    together = kj.Ensemble(net, 2)
    together.fit(X, Y, optimizer="adam", seed=3, **HOW)
    first = [w.copy() for w in together.members[1].get_weights()]
    together.reset(3).fit(X, Y, optimizer="adam", seed=3, **HOW)
    for a, b in zip(first, together.members[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_layers_of_the_net_keep_their_weights():
    """Members of a net with a frozen body differ in what learns and share what does not."""
    net = plain().build((None, 6), seed=9).freeze(upto="dense_1")
    together = kj.Ensemble(net, 2)
    together.fit(X, Y, optimizer="adam", seed=0, **HOW)
    a, b = (m.get_weights() for m in together)
    np.testing.assert_array_equal(a[0], net.get_weights()[0])
    np.testing.assert_array_equal(b[0], net.get_weights()[0])
    assert not np.allclose(a[2], b[2])


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: kj.Ensemble(plain(), 0), DataError, "at least 1; got 0"),
        (lambda: kj.Ensemble(plain(), None), DataError, "at least 1; got None"),
        (lambda: kj.Ensemble(plain, 2).fit(X, Y, seed=[1, 1], **HOW), DataError, "seed 1 is given twice"),
        (lambda: kj.Ensemble(plain, 2).fit(X, Y, seed=[1, 2, 3], **HOW), DataError, "3 numbers for 2 members"),
        (lambda: kj.Ensemble(lambda k: kj.Sequential([kj.nn.Dense(2 + k)]), 2), GraphError, "member 1 is built unlike"),
        (lambda: kj.Ensemble([plain().build((None, n)) for n in (4, 5)]), ShapeError, r"1 has .* of shape \(5, 8\)"),
        (lambda: kj.Ensemble(lambda: NET, 2), GraphError, "same model twice"),
        (lambda: kj.Ensemble(kj.Sequential, 2), GraphError, "with brackets"),
        (lambda: kj.Ensemble(lambda: 3, 2), GraphError, "gave int"),
        (lambda: kj.Ensemble([NET, NET]), GraphError, "stands there twice"),
        (lambda: kj.Ensemble(plain(), 2).fit(X, Y, optimizer=["sgd", "adam"], **HOW), DataError, "of one kind"),
        (lambda: kj.Ensemble(plain(), 2).fit(X, Y, optimizer=["sgd"], **HOW), DataError, "1 entries for 2 members"),
        (lambda: kj.Ensemble(plain(), 2).fit(X, Y, optimizer="lbfgs", **HOW), DataError, "one by one"),
        (lambda: kj.Ensemble(plain(), 2).fit(X, Y, shuffle="no", **HOW), DataError, "shuffle is True"),
        (lambda: kj.Ensemble(plain().freeze(), 2).fit(X, Y, **HOW), GraphError, "every layer is frozen"),
        (lambda: kj.Ensemble(plain(), 2).fit(X, Y[:3], **HOW), DataError, "one target for each row"),
    ],
)  # fmt: skip
def test_bad_input_is_named(make, error, says):
    """Each mistake gets one clear message."""
    with pytest.raises(error, match=says):
        make()


def test_a_refused_call_changes_nothing():
    """A fit that is refused leaves the members unbuilt, so that the next one may have other data."""
    together = kj.Ensemble(plain(), 2)
    with pytest.raises(DataError):
        together.fit(X, Y[:5], optimizer="adam", **HOW)
    assert not any(m.built for m in together)
    together.fit(X[:, :3], Y, optimizer="adam", **HOW)
    assert together.count_parameters() == 2 * (3 * 8 + 8 + 8 * 3 + 3)


NET = plain()
