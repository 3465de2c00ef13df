"""The gradient of a mini-batch is an unbiased estimate of the whole gradient, and its noise falls as 1/B, measured."""

import numpy as np
import pytest
from scipy import stats

import kedja as kj

RNG = np.random.default_rng(14)
ROWS, DRAWS = 400, 3000
X = RNG.normal(size=(ROWS, 3))
Y = X @ np.array([1.0, -2.0, 0.5]) + RNG.normal(size=ROWS)
W = kj.Parameter([0.3, 0.1, -0.2], name="w", dtype="float64")
SIZES = [1, 4, 16, 64]


@kj.compile
def gradient(rows, targets):
    """The gradient of the mean squared error on these rows."""
    return kj.grad(((rows @ W - targets) ** 2).mean(), W)


@kj.compile
def gradients(rows, targets):
    """The same for many batches at once: (draws, batch, 3) and (draws, batch) → (draws, 3)."""
    return kj.map(lambda batch: kj.grad(((batch[0] @ W - batch[1]) ** 2).mean(), W), (rows, targets))


def drawn(size: int, draws: int = DRAWS) -> np.ndarray:
    """Gradients of batches of rows drawn with replacement."""
    rows = np.random.default_rng(size).integers(0, ROWS, (draws, size))
    with kj.default_dtype("float64"):
        return gradients(X[rows], Y[rows]).numpy()


def whole() -> np.ndarray:
    """The gradient on all rows."""
    with kj.default_dtype("float64"):
        return gradient(X, Y).numpy()


@pytest.mark.parametrize("size", SIZES)
def test_unbiased(size):
    """The mean over 3,000 batches is the whole gradient within its own uncertainty: a t-test per entry."""
    p = stats.ttest_1samp(drawn(size), whole(), axis=0).pvalue
    assert p.min() > 0.001


def test_a_biased_estimate_would_be_noticed():
    """Taking rows from the first half alone, in an order that is not random, fails the same test."""
    half = np.argsort(Y)[: ROWS // 2]
    rows = half[np.random.default_rng(0).integers(0, len(half), (DRAWS, 16))]
    with kj.default_dtype("float64"):
        found = gradients(X[rows], Y[rows]).numpy()
    assert stats.ttest_1samp(found, whole(), axis=0).pvalue.min() < 1e-10


def test_noise_falls_as_one_over_the_batch_size():
    """The variance, summed over entries, against B in a log-log fit: slope −1, and variance · B is that of one row."""
    noise = [drawn(size).var(axis=0, ddof=1).sum() for size in SIZES]
    fit = stats.linregress(np.log(SIZES), np.log(noise))
    assert fit.slope == pytest.approx(-1, abs=0.05) and fit.rvalue < -0.999
    with kj.default_dtype("float64"):
        each = gradients(X[:, None], Y[:, None]).numpy()
    np.testing.assert_allclose(np.array(noise) * SIZES, each.var(axis=0).sum(), rtol=0.1)


def test_an_epoch_without_replacement_has_no_noise_on_the_whole():
    """Shuffled batches of one size share every row once, so their gradients have the whole gradient as their mean."""
    order = np.random.default_rng(3).permutation(ROWS).reshape(-1, 16)
    with kj.default_dtype("float64"):
        found = gradients(X[order], Y[order]).numpy()
    np.testing.assert_allclose(found.mean(axis=0), whole(), rtol=1e-12)
