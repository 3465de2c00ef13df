"""Dropout and noise: which elements, how many, how strong, the same on both engines, and only in training."""

import numpy as np
import pytest
from scipy import stats

import kedja as kj
from kedja.errors import DataError, ShapeError
from kedja.train.training import training_of

RNG = np.random.default_rng(3)
ONES = np.ones((200, 50), "float32")


def drawn(layer, x, seed=0):
    """What the layer makes of x in training."""
    return layer(kj.tensor(x, dtype=x.dtype), training=True, key=kj.random.key(seed)).numpy()


@pytest.mark.parametrize(("rate", "dtype"), [(0.1, "float32"), (0.5, "float64"), (0.9, "float32")])
def test_the_mask_has_the_same_bits_on_both_engines(rate, dtype):
    """Which elements are kept, and the whole output, bit for bit."""
    layer = kj.nn.Dropout(rate)
    x = RNG.normal(size=(37, 11)).astype(dtype)

    def run(a, seed):
        return layer(a, training=True, key=seed)

    key = kj.random.key(5)
    found = [kj.compile(run, engine=e)(kj.tensor(x, dtype=dtype), key).numpy() for e in ("reference", "xla")]
    np.testing.assert_array_equal(found[0] != 0, found[1] != 0)
    np.testing.assert_allclose(found[0], found[1], rtol=2e-7)


def test_the_mask_is_the_same_in_every_dtype():
    """A run in float64 drops what the run in float32 drops."""
    masks = [drawn(kj.nn.Dropout(0.3), ONES.astype(d)) != 0 for d in ("float32", "float64")]
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.95])
def test_how_many_are_dropped(rate):
    """As many as a binomial distribution would have it, each alone (a test at the 1e-4 level)."""
    y = drawn(kj.nn.Dropout(rate), ONES)
    assert stats.binomtest(int((y == 0).sum()), y.size, rate).pvalue > 1e-4
    gone = y == 0
    for one, other in ((gone[::2], gone[1::2]), (gone[:, ::2], gone[:, 1::2])):  # neighbours know nothing of each other
        assert stats.binomtest(int((one & other).sum()), one.size, rate**2).pvalue > 1e-4


def test_what_is_kept_is_scaled_up():
    """By 1 / (1 − rate), so the expected value stays."""
    y = drawn(kj.nn.Dropout(0.75), ONES)
    assert set(np.unique(y)) == {0.0, 4.0}


def test_nothing_infinite_leaks_out_of_what_is_dropped():
    """A dropped element is 0 whatever it was."""
    y = drawn(kj.nn.Dropout(0.5), np.full((4, 50), np.inf, "float32"))
    assert set(np.unique(y)) == {0.0, np.inf}


def test_shared_axes_drop_whole_channels():
    """Every position of a channel of an image has the same fate, channels and images have their own."""
    y = drawn(kj.nn.Dropout(0.5, shared_axes=(1, 2)), np.ones((20, 4, 3, 6), "float32"))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert 30 < (y[:, 0, 0] == 0).sum() < 90 and len(np.unique(y[:, 0, 0], axis=0)) > 5


def test_shared_axes_must_be_there():
    """An axis that the input does not have is named, in inference too."""
    with pytest.raises(ShapeError, match="Dropout: axis 3 is out of range"):
        kj.nn.Dropout(0.5, shared_axes=3)(np.ones((2, 2)))


@pytest.mark.parametrize("rate", [1, 1.0, -0.1, 2.5, 50, "half", None, True, float("nan")])
@pytest.mark.parametrize("layer", [kj.nn.Dropout, kj.nn.GaussianDropout, kj.nn.AlphaDropout])
def test_a_rate_is_a_probability_below_1(layer, rate):
    """When the layer is made and when the rate is set later; the message has the layer, the value and the range."""
    with pytest.raises(DataError) as error:
        layer(rate)
    assert f"{layer.__name__}: rate is the probability of dropping, at least 0 and below 1; got" in str(error.value)
    made = layer(0.5)
    with pytest.raises(DataError):
        made.rate = rate
    assert made.rate == 0.5


@pytest.mark.parametrize(("rate", "hint"), [(50, "For 50 % write 0.5"), (1, "nothing would be left")])
def test_likely_mistakes_get_a_hint(rate, hint):
    """A percentage, and dropping everything."""
    with pytest.raises(DataError, match=hint):
        kj.nn.Dropout(rate)


@pytest.mark.parametrize("std", [-1, float("inf"), "much"])
def test_noise_has_a_spread(std):
    """A standard deviation is a number of at least 0."""
    with pytest.raises(DataError, match="GaussianNoise: std is a standard deviation"):
        kj.nn.GaussianNoise(std)


def test_gaussian_noise_is_normal():
    """Kolmogorov and Smirnov agree, at the 1e-4 level."""
    noise = drawn(kj.nn.GaussianNoise(0.3), ONES) - 1
    assert stats.kstest(noise.ravel().astype("float64") / 0.3, "norm").pvalue > 1e-4


def test_gaussian_dropout_has_the_mean_and_variance_of_dropout():
    """Srivastava's: mean 1 and variance rate / (1 − rate), as the mask of dropout has."""
    y = drawn(kj.nn.GaussianDropout(0.4), ONES)
    ours, bernoulli = (y.mean(), y.var()), drawn(kj.nn.Dropout(0.4), ONES)
    np.testing.assert_allclose(ours, (bernoulli.mean(), bernoulli.var()), rtol=0.05)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(rate):
    """What comes in standardised goes out standardised (Klambauer et al. 2017), and dropped elements are all alike."""
    x = RNG.normal(size=(400, 100)).astype("float32")
    y = drawn(kj.nn.AlphaDropout(rate), x)
    assert abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.03
    values, counts = np.unique(y, return_counts=True)
    assert abs(counts.max() / y.size - rate) < 0.02 and values[counts.argmax()] < 0


def net(rate):
    """A small net with dropout in it, or, without a rate, without."""
    middle = [] if rate is None else [kj.nn.Dropout(rate)]
    return kj.Sequential([kj.nn.Dense(8, "tanh"), *middle, kj.nn.Dense(1)])


X = RNG.normal(size=(20, 3))
Y = X.sum(1, keepdims=True)
HOW = {"loss": "mse", "optimizer": "sgd", "batch_size": None, "seed": 1, "verbose": 0, "engine": "reference"}


def test_the_rate_is_a_run_time_number():
    """Set between two calls of `fit`, it takes effect and nothing is compiled."""
    model = net(0.5)
    model.fit(X, Y, epochs=2, **HOW)
    assert len(training_of(model).loops) == 1
    layer = model.layers[1]
    layer.rate = 0.0
    history = model.fit(X, Y, epochs=1, **HOW)
    assert len(training_of(model).loops) == 1
    # Without dropout the loss of a step is the loss before it.
    model2 = net(0.5)
    model2.fit(X, Y, epochs=2, **HOW)
    np.testing.assert_allclose(history["loss"][0], model2.evaluate(X, Y)["loss"], rtol=1e-6)


def test_the_present_rate_is_saved(tmp_path):
    """What was set later is what a loaded model has."""
    model = net(0.5).build((None, 3))
    model.layers[1].rate = 0.25
    again = kj.load(model.save(tmp_path / "m"))
    assert again.layers[1].rate == 0.25 and model.config() == again.config()


def test_rate_0_changes_nothing():
    """Training with rate 0 is training without the layer."""
    with_it, without = (net(rate).build((None, 3)) for rate in (0.0, None))
    with_it.set_weights(without.get_weights())
    a, b = (m.fit(X, Y, epochs=3, **HOW)["loss"] for m in (with_it, without))
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_every_layer_and_step_draws_anew():
    """Two layers of one rate drop different elements, and so does one layer in two steps."""
    model = kj.Sequential([kj.nn.Dropout(0.5), kj.nn.Dropout(0.5)])
    once, both = (m(kj.tensor(ONES), training=True, key=kj.random.key(0)).numpy() for m in (model.layers[0], model))
    kept = (both != 0).mean()
    assert 0.22 < kept < 0.28  # a quarter: the second layer's mask is another one
    other = model.layers[0](kj.tensor(ONES), training=True, key=kj.random.key(1)).numpy()
    assert 0.45 < (once == other).mean() < 0.55


@pytest.mark.parametrize("engine", ["reference", pytest.param("xla", marks=pytest.mark.long)])
def test_a_run_with_dropout_repeats(engine):
    """The same seed, the same losses to the last bit."""
    how = HOW | {"engine": engine}
    a, b = (net(0.5).fit(X, Y, epochs=4, **how)["loss"] for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_engines_drop_the_same_in_fit():
    """Training losses with dropout agree between the engines, which other masks would not let them."""
    a, b = (net(0.5).fit(X, Y, epochs=5, **(HOW | {"engine": e}))["loss"] for e in ("reference", "xla"))
    np.testing.assert_allclose(a, b, rtol=1e-5)
