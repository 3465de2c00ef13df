"""Threefry and what is drawn from it: known answers, distributions, the same bits on both engines."""

import jax
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from scipy import stats

import kedja as kj
from kedja.errors import DTypeError, GraphError, ShapeError
from kedja.ops.random import fold_array, key_words, permutation_array, threefry

KNOWN_ANSWERS = [  # Random123's kat_vectors, threefry2x32-20: key, counter, output
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]
N = 20_000
KEY = key_words(2024)


@pytest.mark.parametrize(("key", "counter", "output"), KNOWN_ANSWERS)
def test_threefry_gives_the_published_answers(key, counter, output):
    """The three vectors of the Random123 distribution."""
    with np.errstate(over="ignore"):
        found = threefry(np.array(key, np.uint32), *(np.array([c], np.uint32) for c in counter))
    assert tuple(int(f[0]) for f in found) == output


def test_threefry_gives_jax_its_bits():
    """On a thousand counters the cipher is JAX's."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2**32, (2, 1000), dtype=np.uint32)
    with np.errstate(over="ignore"):
        found = np.concatenate(threefry(KEY, x[0], x[1]))
    np.testing.assert_array_equal(found, threefry_2x32(KEY, x.reshape(-1)))


def test_ops_are_the_cipher_on_their_counters(judged):
    """Bits on the counters (i, 0), a folded key on (number, 1): JAX's cipher, bit for bit, on both engines."""
    n = 50
    bits = threefry_2x32(KEY, np.concatenate([np.arange(n), np.zeros(n)]).astype(np.uint32))
    folded = threefry_2x32(KEY, np.array([12, 1], np.uint32))
    for engine in ("reference", "xla"):
        ours = kj.compile(lambda k: (kj.random.bits(k, (2 * n,)), kj.random.fold(k, 12)), engine=engine)(KEY)
        np.testing.assert_array_equal(ours[0].numpy(), bits)
        np.testing.assert_array_equal(ours[1].numpy(), folded)
        judged("JAX", "ops/random_bits", 2 * n, 0.0)
        judged("JAX", "ops/fold_key", 1, 0.0)


def test_threefry_makes_the_bits_of_jax_random():
    """jax.random.bits is our cipher on JAX's counters (0, i), its two words joined by exclusive or."""
    with np.errstate(over="ignore"):
        a, b = threefry(KEY, np.zeros(100, np.uint32), np.arange(100, dtype=np.uint32))
    np.testing.assert_array_equal(a ^ b, jax.random.bits(jax.random.wrap_key_data(KEY, impl="threefry2x32"), (100,)))


@pytest.mark.parametrize(
    ("draw", "law"),
    [
        (lambda k: kj.random.uniform(k, (N,)), stats.uniform()),
        (lambda k: kj.random.uniform(k, (N,), dtype="float64"), stats.uniform()),
        (lambda k: kj.random.uniform(k, (N,), -2.0, 3.0), stats.uniform(-2, 5)),
        (lambda k: kj.random.normal(k, (N,)), stats.norm()),
        (lambda k: kj.random.normal(k, (N,), mean=3.0, std=0.5), stats.norm(3, 0.5)),
        (lambda k: kj.random.normal(k, (N,), dtype="float64"), stats.norm()),
    ],
)
def test_numbers_follow_their_law(draw, law, judged):
    """Kolmogorov and Smirnov find nothing to object to."""
    found = stats.kstest(draw(kj.random.key(11)).numpy().astype(float), law.cdf)
    assert found.pvalue > 0.01
    judged("SciPy, Kolmogorov-Smirnov", "ops/unit_interval", 1, found.statistic)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_bernoulli_is_true_with_its_probability(p):
    """Within four standard errors; never at 0, always at 1."""
    share = kj.random.bernoulli(kj.random.key(5), p, (N,)).numpy().mean()
    assert abs(share - p) <= 4 * np.sqrt(p * (1 - p) / N)


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-3, 4), (100, 101)])
def test_integers_are_equally_likely(low, high):
    """Each value occurs, none outside, and the counts pass a χ² test."""
    found = kj.random.integers(kj.random.key(8), low, high, (N,)).numpy()
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == list(range(low, high))
    assert len(counts) == 1 or stats.chisquare(counts).pvalue > 0.01


def test_permutations_put_every_element_everywhere_equally():
    """Where element 0 goes, over a thousand permutations of 5."""
    places = [int(np.where(permutation_array(fold_array(KEY, i), 5) == 0)[0][0]) for i in range(1000)]
    assert stats.chisquare(np.bincount(places, minlength=5)).pvalue > 0.01


def test_folded_keys_are_unrelated():
    """Draws of neighbouring keys do not correlate."""
    a, b = (kj.random.normal(kj.random.fold(kj.random.key(1), i), (N,)).numpy() for i in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(N)


@pytest.mark.parametrize(
    "draw",
    [
        lambda k: kj.random.bits(k, (5, 3)),
        lambda k: kj.random.uniform(k, (7,)),
        lambda k: kj.random.uniform(k, (7,), dtype="float64"),
        lambda k: kj.random.bernoulli(k, 0.3, (50,)),
        lambda k: kj.random.integers(k, -5, 1000, (20,)),
        lambda k: kj.random.permutation(k, 30),
        lambda k: kj.random.bits(kj.random.fold(kj.random.fold(k, "dense_1/dropout"), 12), (4,)),
        lambda k: kj.map(lambda i: kj.random.uniform(kj.random.fold(k, i), (3,)), kj.arange(4)),
        lambda k: kj.scan(lambda c, i: (c, kj.random.bits(kj.random.fold(c, i), (2,))), k, kj.arange(3))[1],
    ],
)
def test_both_engines_draw_the_same_bits(draw):
    """Drawn at once, compiled by either engine, alone or in a loop: bit for bit."""
    at_once = draw(kj.random.key(99)).numpy()
    for engine in ("reference", "xla"):
        np.testing.assert_array_equal(kj.compile(draw, engine=engine)(key_words(99)).numpy(), at_once)


def test_normal_numbers_agree_to_rounding():
    """Normal numbers pass through logarithm and cosine: equal to 1e-5."""
    draw = lambda k: kj.random.normal(k, (1000,))  # noqa: E731
    found = kj.compile(draw, engine="xla")(key_words(4)).numpy()
    np.testing.assert_allclose(found, draw(kj.random.key(4)).numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_never_reaches_one(dtype):
    """The largest word still gives a number below 1, in every type."""
    from kedja.ops.random import unit_interval

    top = unit_interval(kj.tensor(np.array([2**32 - 1], np.uint32)), dtype=np.dtype(dtype)).numpy()
    assert 0.99 < top[0] < 1


def test_folding_arrays_is_folding_tensors():
    """What `fit` draws at once is what the graph draws, by number and by name."""
    for part in (7, "layer/kernel"):
        np.testing.assert_array_equal(fold_array(KEY, part), kj.random.fold(kj.tensor(KEY), part).numpy())


def test_permutation_array_is_the_op():
    """The same order from both."""
    np.testing.assert_array_equal(permutation_array(KEY, 40), kj.random.permutation(kj.tensor(KEY), 40).numpy())


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda: kj.random.key(-1), GraphError),
        (lambda: kj.random.key(2**64), GraphError),
        (lambda: kj.random.key(True), GraphError),
        (lambda: kj.random.bits(kj.tensor([1.0, 2.0])), DTypeError),
        (lambda: kj.random.uniform(kj.random.key(0), dtype="int32"), DTypeError),
        (lambda: kj.random.bernoulli(kj.random.key(0), 1.5), GraphError),
        (lambda: kj.random.integers(kj.random.key(0), 3, 3), ShapeError),
        (lambda: kj.random.fold(kj.random.key(0), 2**32), GraphError),
        (lambda: kj.random.fold(kj.random.key(0), kj.tensor(1.0)), DTypeError),
    ],
)
def test_impossible_draws_are_refused(ask, error):
    """Seeds, keys, probabilities and ranges that are none."""
    with pytest.raises(error):
        ask()
