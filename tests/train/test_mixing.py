"""Mixup and CutMix: shares, partners, boxes, and the loss of a mixture inside `fit`."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

import kedja as kj
from kedja.errors import DataError, ShapeError, UnknownNameError
from kedja.ops.random import fold, fold_array, key_words
from kedja.train.augment import symmetric_beta
from kedja.train.training import training_of

RNG = np.random.default_rng(6)
X, LABELS = RNG.normal(size=(22, 4)), RNG.integers(0, 3, 22)
HOW = {"optimizer": "sgd", "seed": 3, "verbose": 0, "engine": "reference"}
torch.set_num_threads(1)


# --- shares ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("alpha", [0.1, 0.4, 0.5, 1.0, 2.0, 7.5, 200.0])
def test_shares_are_beta(alpha, judged):
    """SciPy's distribution, by Kolmogorov and Smirnov at the 1e-4 level."""
    drawn = symmetric_beta(kj.random.key(1), alpha, (4000,), dtype="float64").numpy()
    assert drawn.min() >= 0 and drawn.max() <= 1
    inside = drawn[(drawn > 1e-12) & (drawn < 1 - 1e-12)]  # nearer to 1 there are no numbers to tell apart
    law = stats.beta(alpha, alpha)
    low, high = law.cdf(1e-12), law.cdf(1 - 1e-12)
    assert stats.kstest(inside, lambda q: (law.cdf(q) - low) / (high - low)).pvalue > 1e-4
    assert stats.binomtest(len(inside), 4000, high - low).pvalue > 1e-4
    judged("SciPy", "symmetric beta", 1)


def test_shares_are_finite_for_any_alpha():
    """In float32, from almost never to almost always one half."""
    for alpha in (1e-6, 1e-3, 1e6):
        drawn = symmetric_beta(kj.random.key(0), alpha, (5000,), dtype="float32").numpy()
        assert np.isfinite(drawn).all() and drawn.min() >= 0 and drawn.max() <= 1
    assert np.abs(drawn - 0.5).max() < 0.01


# --- mixtures -------------------------------------------------------------------------------------------------------
def test_mixup_mixes_as_it_says():
    """What is λ of one row and 1 − λ of its partner; partners are a permutation."""
    mixed = kj.augment.Mixup(1.0).mix([kj.tensor(X, dtype="float64")], kj.random.key(0))
    partner, share = mixed.partner.numpy(), mixed.share.numpy()
    assert sorted(partner) == list(range(22)) and not np.array_equal(partner, np.arange(22))
    assert len(set(share)) == 22
    expected = torch.lerp(torch.tensor(X[partner]), torch.tensor(X), torch.tensor(share)[:, None])
    np.testing.assert_allclose(mixed.inputs[0].numpy(), expected.numpy(), atol=1e-12)


def test_some_rows_are_left_alone():
    """As many as `rate` says; they are what they were, and their share is 1."""
    x = RNG.random((500, 4, 4, 1))
    mixed = kj.augment.Mixup(1.0, rate=0.3).mix([kj.tensor(x, dtype="float64")], kj.random.key(0))
    alone = mixed.share.numpy() == 1
    np.testing.assert_array_equal(mixed.inputs[0].numpy()[alone], x[alone])
    assert stats.binomtest(int(500 - alone.sum()), 500, 0.3).pvalue > 1e-4


def test_cutmix_puts_in_a_box_of_the_partner():
    """A rectangle; the share is what is left of the image itself, and 1 − λ of the area where the box is whole."""
    x = np.broadcast_to(np.arange(300.0)[:, None, None, None], (300, 12, 16, 1))
    mixed = kj.augment.CutMix().mix([kj.tensor(x, dtype="float64")], kj.random.key(0))
    y, partner, share = mixed.inputs[0].numpy()[..., 0], mixed.partner.numpy(), mixed.share.numpy()
    other = y != np.arange(300)[:, None, None]
    np.testing.assert_array_equal(y[other], np.broadcast_to(partner[:, None, None], y.shape)[other])
    rows, columns = other.any(2), other.any(1)
    assert np.array_equal(other, rows[:, :, None] & columns[:, None])
    moved = partner != np.arange(300)
    np.testing.assert_allclose(share[moved], 1 - other.mean((1, 2))[moved], atol=1e-12)
    # What a box of share 1 − λ, λ uniform, keeps after edges have cut it: by drawing boxes with NumPy.
    rng = np.random.default_rng(0)
    side, centre = np.sqrt(rng.random((50_000, 1))), rng.random((50_000, 2))
    low, high = np.clip(centre - side / 2, 0, 1), np.clip(centre + side / 2, 0, 1)
    assert abs(share.mean() - (1 - (high - low).prod(1)).mean()) < 0.06


def test_cutmix_of_series_takes_a_span():
    """One run of steps."""
    x = np.broadcast_to(np.arange(50.0)[:, None, None], (50, 20, 2))
    y = kj.augment.CutMix().mix([kj.tensor(x, dtype="float64")], kj.random.key(0)).inputs[0].numpy()
    other = y[..., 0] != np.arange(50)[:, None]
    assert (np.abs(np.diff(np.pad(other, ((0, 0), (1, 1))).astype(int))).sum(1) <= 2).all() and other.any()


def test_engines_mix_the_same():
    """Partners bit for bit, numbers to rounding."""

    def run(x, key):
        mixed = kj.augment.Mixup(0.3).mix([x], key)
        return mixed.inputs[0], mixed.partner, mixed.share

    args = kj.tensor(X, dtype="float32"), kj.random.key(2)
    a, b = ([t.numpy() for t in kj.compile(run, engine=e)(*args)] for e in ("reference", "xla"))
    np.testing.assert_array_equal(a[1], b[1])
    np.testing.assert_allclose(a[0], b[0], atol=1e-5)
    np.testing.assert_allclose(a[2], b[2], atol=1e-5)


# --- in fit ---------------------------------------------------------------------------------------------------------
def dense(outputs=3):
    """A single layer, so that PyTorch can do the step too."""
    return kj.Sequential([kj.nn.Dense(outputs)]).build((None, 4), seed=1)


def one_step(net, mixing, *, weights=None, soft=False):
    """The weights after one step of gradient descent on all rows with the rate 0.5, by PyTorch."""
    key = fold(kj.tensor(fold_array(key_words(3), 0)), "mixing")
    mixed = mixing.mix([kj.tensor(X, dtype="float32")], key)
    x, share = torch.tensor(mixed.inputs[0].numpy()), torch.tensor(mixed.share.numpy())
    partner = mixed.partner.numpy()
    kernel, bias = (torch.tensor(w, requires_grad=True) for w in net.get_weights())
    z = x @ kernel + bias
    t, u = torch.tensor(LABELS), torch.tensor(LABELS[partner])
    w = torch.ones(22) if weights is None else torch.tensor(weights, dtype=torch.float32)
    v = w[torch.tensor(partner.copy())]
    if soft:
        mixed_targets = share[:, None] * F.one_hot(t, 3) + (1 - share)[:, None] * F.one_hot(u, 3)
        loss = F.cross_entropy(z, mixed_targets)
    else:
        each = share * w * F.cross_entropy(z, t, reduction="none")
        each = each + (1 - share) * v * F.cross_entropy(z, u, reduction="none")
        loss = each.sum() / (share * w + (1 - share) * v).sum()
    gradients = torch.autograd.grad(loss, [kernel, bias])
    return loss.item(), [(a - 0.5 * g).detach().numpy() for a, g in zip((kernel, bias), gradients)]


@pytest.mark.parametrize("weights", [None, RNG.uniform(0, 2, 22)])
@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_one_step_with_labels(weights, engine, judged):
    """λ ℓ(t) + (1 − λ) ℓ(u), each target with the weight of its own row."""
    net, mixing = dense(), kj.augment.Mixup(0.6)
    loss, expected = one_step(net, mixing, weights=weights)
    how = HOW | {"engine": engine, "optimizer": kj.optim.SGD(0.5)}
    history = net.fit(X, LABELS, loss="cross_entropy", batch_size=None, augment=mixing, sample_weight=weights, **how)
    np.testing.assert_allclose(history["loss"][0], loss, rtol=1e-5)
    for ours, theirs in zip(net.get_weights(), expected):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    judged("PyTorch", "mixup", 1)


def test_one_step_with_mixed_targets():
    """For the cross-entropy it is the loss against mixed one-hot rows, as PyTorch computes it."""
    net, mixing = dense(), kj.augment.Mixup(1.0)
    _, expected = one_step(net, mixing, soft=True)
    net.fit(
        X, LABELS, loss="cross_entropy", batch_size=None, augment=mixing, **(HOW | {"optimizer": kj.optim.SGD(0.5)})
    )
    for ours, theirs in zip(net.get_weights(), expected):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_smaller_last_batches_are_mixed_among_themselves():
    """22 rows in steps of 8: no padding is mixed in, so a model that says 1 has no loss where all targets are 1."""
    net = kj.Sequential([kj.nn.Dense(1, init="zeros")]).build((None, 4))
    net.set_weights([np.zeros((4, 1)), np.ones(1)])
    history = net.fit(X, np.ones((22, 1)), loss="mse", batch_size=8, augment="mixup", **HOW)
    assert history["loss"][0] == 0
    net.fit(X[:9], np.ones((9, 1)), loss="mse", batch_size=8, augment="mixup", **HOW)  # a last batch of one row
    assert net.get_weights()[1] == 1


def test_regression_and_metrics_are_mixed():
    """Numbers as targets, with metrics that are means over rows; the run repeats by its seed."""
    y = X.sum(1, keepdims=True)
    runs = [
        dense(1).fit(X, y, loss="mse", metrics=["mae"], epochs=3, batch_size=8, augment=kj.augment.Mixup(1.0), **HOW)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(runs[0]["loss"], runs[1]["loss"])
    plain = dense(1).fit(X, y, loss="mse", metrics=["mae"], epochs=3, batch_size=8, **HOW)
    assert runs[0]["mae"][0] != plain["mae"][0]
    assert (
        runs[0].settings["augment"] == {"class": "Mixup", "alpha": 1.0, "rate": 1.0} and "augment" not in plain.settings
    )


def test_numbers_of_a_mixing_are_run_time_numbers():
    """Changed between two calls they take effect, and nothing is compiled; at rate 0 nothing is mixed."""
    net, other, mixing = dense(), dense(), kj.augment.Mixup(0.4)
    how = HOW | {"loss": "cross_entropy", "batch_size": None}
    net.fit(X, LABELS, augment=mixing, **how)
    mixing.rate = 0.0
    other.set_weights(net.get_weights())
    a, b = net.fit(X, LABELS, augment=mixing, **how)["loss"], other.fit(X, LABELS, **how)["loss"]
    assert len(training_of(net).loops) == 1
    np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"augment": "cutout"}, UnknownNameError, "mixup"),
        ({"augment": kj.augment.Mixup}, DataError, r"write kj.augment.Mixup\(\)"),
        ({"augment": kj.nn.RandomFlip()}, DataError, "RandomFlip is a layer: put it at the beginning"),
        ({"augment": "cutmix"}, ShapeError, r"got \(N, 4\). Give the examples in that form"),
    ],
)
def test_refusals_of_fit(given, error, said):
    """What augment takes."""
    with pytest.raises(error, match=said):
        dense().fit(X, LABELS, loss="cross_entropy", **HOW, **given)


def test_words_are_not_mixed():
    """Half of word 3 and half of word 8 is no word."""
    net = kj.Sequential([kj.nn.Embedding(9, 2), kj.nn.Flatten(), kj.nn.Dense(1)])
    with pytest.raises(DataError, match="whole numbers that stand for words have no parts"):
        net.fit(RNG.integers(0, 9, (6, 3)), np.ones((6, 1)), loss="mse", augment="mixup", **HOW)


@pytest.mark.parametrize("alpha", [0, -1, "a lot", float("inf"), True])
def test_alpha_is_above_0(alpha):
    """Whenever it is set."""
    with pytest.raises(DataError, match="Mixup: alpha is the shape of the distribution of shares, a number above 0"):
        kj.augment.Mixup(alpha)
