"""Flips, crops, brightness, contrast, gain and cutout: what is done to an example, and how often."""

import keras
import numpy as np
import pytest
from scipy import stats

import kedja as kj
from kedja.errors import DataError, ShapeError, UnknownNameError
from kedja.train.training import training_of

nn = kj.nn
KEY = kj.random.key(4)
RNG = np.random.default_rng(2)
N = 400
X = RNG.normal(size=(N, 5, 4, 2))
SERIES = RNG.normal(size=(N, 9, 2))


def drawn(layer, x, key=KEY):
    """What the layer makes of x in training, in float64."""
    return layer(kj.tensor(x, dtype="float64"), training=True, key=key).numpy()


def how_many(y, candidates):
    """How many examples are which candidate; every one is one of them."""
    same = np.stack([[np.array_equal(a, b) for a, b in zip(y, c)] for c in candidates])
    assert same.any(0).all()
    return same.sum(1)


# --- flips ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("layer", "x", "flipped"),
    [
        (nn.RandomFlip(rate=0.3), X, X[:, :, ::-1]),
        (nn.RandomFlip("vertical", rate=0.3), X, X[:, ::-1]),
        (nn.RandomFlip("time", rate=0.3), SERIES, SERIES[:, ::-1]),
    ],
)
def test_flips(layer, x, flipped):
    """Each example is itself or its mirror image, the latter as often as was asked."""
    counts = how_many(drawn(layer, x), [x, flipped])
    assert counts.sum() == N and stats.binomtest(int(counts[1]), N, 0.3).pvalue > 1e-4


def test_flips_of_both_axes_are_independent(judged):
    """All four images, each a quarter of the time; Keras's own flips make the same four."""
    four = [X, X[:, ::-1], X[:, :, ::-1], X[:, ::-1, ::-1]]
    counts = how_many(drawn(nn.RandomFlip("both"), X), four)
    assert stats.chisquare(counts).pvalue > 1e-4
    theirs = keras.layers.RandomFlip("horizontal_and_vertical", seed=0)(X, training=True)
    how_many(keras.ops.convert_to_numpy(theirs), [a.astype("float32") for a in four])
    judged("Keras", "layers/RandomFlip", 1, 0.0)


# --- crops ----------------------------------------------------------------------------------------------------------
def test_crops_are_windows(judged):
    """Every window of 3×2 that a 5×4 image has is drawn equally often, and nothing else is."""
    windows = [X[:, i : i + 3, j : j + 2] for i in range(3) for j in range(3)]
    counts = how_many(drawn(nn.RandomCrop((3, 2)), X), windows)
    assert stats.chisquare(counts).pvalue > 1e-4
    judged("NumPy", "layers/RandomCrop", 1, 0.0)


@pytest.mark.parametrize(("fill", "mode"), [("constant", "constant"), ("nearest", "edge"), ("reflect", "symmetric")])
def test_crops_with_a_border(fill, mode):
    """Windows of what np.pad makes, as large as the series was."""
    how = {"constant_values": 7.0} if fill == "constant" else {}
    with_border = np.pad(SERIES, ((0, 0), (2, 2), (0, 0)), mode=mode, **how)
    y = drawn(nn.RandomCrop(padding=2, fill=fill, value=7.0), SERIES)
    counts = how_many(y, [with_border[:, i : i + 9] for i in range(5)])
    assert stats.chisquare(counts).pvalue > 1e-4


def test_crops_in_inference_take_the_middle():
    """As Keras's CenterCrop does."""
    layer = nn.RandomCrop((3, 2))
    theirs = keras.ops.convert_to_numpy(keras.layers.CenterCrop(3, 2)(X[:, :, :]))
    np.testing.assert_allclose(layer(kj.tensor(X, dtype="float64")).numpy(), theirs, rtol=1e-6)


# --- colour ---------------------------------------------------------------------------------------------------------
def test_brightness_is_one_number_for_an_example():
    """Uniform, and added to all of it."""
    added = drawn(nn.RandomBrightness(0.4), X) - X
    np.testing.assert_allclose(added, added[:, :1, :1, :1] * np.ones((1, 5, 4, 2)), atol=1e-12)
    assert stats.kstest(added[:, 0, 0, 0], stats.uniform(-0.4, 0.8).cdf).pvalue > 1e-4


def test_contrast_is_kerass(judged):
    """The factors are uniform on 1 ± 0.5; with each, Keras makes the same of its image."""
    image = RNG.random((N, 5, 4, 3)).astype("float32")
    y = drawn(nn.RandomContrast(0.5), image)
    factors = y.std((1, 2))[:, 0] / image.std((1, 2), dtype="float64")[:, 0]
    assert stats.kstest(factors, stats.uniform(0.5, 1).cdf).pvalue > 1e-4
    theirs = keras.layers.RandomContrast(0.5, value_range=(-9, 9))
    worst = 0.0
    for i in range(20):
        factor = {"contrast_factor": np.full((1, 1, 1, 1), factors[i], "float32")}
        one = keras.ops.convert_to_tensor(image[i : i + 1])
        expected = keras.ops.convert_to_numpy(theirs.transform_images(one, factor, training=True))
        worst = max(worst, np.abs(y[i] - expected[0]).max())
    assert worst < 1e-5
    judged("Keras", "layers/RandomContrast", 20, worst)


def test_gain_is_as_often_half_as_double():
    """Its logarithm is uniform."""
    factors = drawn(nn.RandomGain(1.0), SERIES) / SERIES
    np.testing.assert_allclose(factors, factors[:, :1, :1] * np.ones((1, 9, 2)))
    assert stats.kstest(np.log2(factors[:, 0, 0]), stats.uniform(-1, 2).cdf).pvalue > 1e-4


@pytest.mark.parametrize("layer", [nn.RandomBrightness(2.0, limits=(0, 1)), nn.RandomGain(3.0, limits=(0, 1))])
def test_limits(layer):
    """What would be larger or smaller is clipped."""
    y = drawn(layer, X)
    assert y.min() == 0 and y.max() == 1


# --- cutout ---------------------------------------------------------------------------------------------------------
def test_cutout_hides_one_box():
    """Of the size asked for, with its centre anywhere; a box that is cut off at an edge is smaller."""
    x = np.ones((2000, 8, 10, 2))
    y = drawn(nn.Cutout(0.5, value=3.0), x)
    hidden = y[..., 0] == 3.0
    assert set(np.unique(y)) == {1.0, 3.0} and np.array_equal(y[..., 0], y[..., 1])
    rows, columns = hidden.any(2), hidden.any(1)
    assert np.array_equal(hidden, rows[:, :, None] & columns[:, None])
    for line, side in ((rows, 4), (columns, 5)):
        runs = np.abs(np.diff(np.pad(line, ((0, 0), (1, 1))).astype(int), axis=1)).sum(1)
        assert (runs == 2).all() and line.sum(1).max() == side and line.sum(1).min() >= side // 2
        m = line.shape[1]
        whole_boxes = (line.sum(1) == side).mean()
        assert abs(whole_boxes - (m - side + 1) / m) < 0.05


def test_cutout_now_and_then():
    """As often as `rate` says; of a series a span."""
    hidden = (drawn(nn.Cutout(0.3, rate=0.25), np.ones((N, 10, 1))) == 0).any((1, 2))
    assert stats.binomtest(int(hidden.sum()), N, 0.25).pvalue > 1e-4


# --- all of them ----------------------------------------------------------------------------------------------------
EXACT = [nn.RandomFlip(), nn.RandomCrop(3, padding=1), nn.Cutout(0.4)]
OTHERS = [
    nn.RandomAffine(20, 0.1, 0.2, 10), nn.RandomShift(0.2), nn.RandomZoom(0.3), nn.RandomRotation(40),
    nn.RandomContrast(0.4), nn.RandomBrightness(0.2), nn.RandomGain(0.2),
]  # fmt: skip


@pytest.mark.parametrize("layer", EXACT + OTHERS, ids=lambda layer: type(layer).__name__)
def test_engines_make_the_same(layer):
    """What only moves numbers about does so bit for bit; what computes, to rounding."""
    x = RNG.random((20, 6, 6, 2)).astype("float32")
    run = [
        kj.compile(lambda a, k: layer(a, training=True, key=k), engine=e)(kj.tensor(x), KEY).numpy()
        for e in ("reference", "xla")
    ]
    if layer in EXACT:
        np.testing.assert_array_equal(*run)
    else:
        np.testing.assert_allclose(*run, atol=2e-5)


@pytest.mark.parametrize("layer", EXACT + OTHERS, ids=lambda layer: type(layer).__name__)
def test_every_example_and_every_step_has_its_own(layer):
    """Equal examples come out different, and so do two keys; one key gives one result."""
    x = np.broadcast_to(RNG.random((1, 6, 6, 2)), (12, 6, 6, 2))
    y = drawn(layer, x)
    assert len({a.tobytes() for a in y}) > 1
    assert not np.array_equal(y, drawn(layer, x, kj.random.key(5)))
    np.testing.assert_array_equal(y, drawn(layer, x))


def test_amounts_are_run_time_numbers():
    """Set between two calls of `fit`, they take effect and nothing is compiled; and they are saved as they are."""
    x, y = X.astype("float32"), X.mean((1, 2))
    layers = [nn.RandomAffine(20, 0.1), nn.RandomBrightness(0.5), nn.Cutout(0.4)]
    net, plain = (kj.Sequential([*some, nn.Flatten(), nn.Dense(2)]) for some in (layers, []))
    how = {"loss": "mse", "optimizer": "sgd", "batch_size": None, "seed": 1, "verbose": 0, "engine": "reference"}
    net.fit(x, y, epochs=1, **how)
    layers[0].rotation = layers[0].shift = layers[1].amount = layers[2].rate = 0.0
    plain.build((None, 5, 4, 2)).set_weights(net.get_weights())
    losses = [m.fit(x, y, epochs=1, **how)["loss"][0] for m in (net, plain)]
    assert len(training_of(net).loops) == 1
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert net.config()["layers"][0]["rotation"] == 0.0


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: nn.RandomFlip("sideways"), UnknownNameError, "horizontal"),
        (lambda: nn.RandomFlip()(SERIES), ShapeError, 'use direction="time"'),
        (lambda: nn.RandomFlip("time")(X), ShapeError, "is images"),
        (lambda: nn.RandomFlip(rate=50), DataError, "a probability, from 0 to 1; got 50. For 50 % write 0.5"),
        (lambda: nn.RandomCrop(0), ShapeError, "a whole number ≥ 1; got 0"),
        (lambda: nn.RandomCrop(()), ShapeError, "size has no numbers"),
        (lambda: nn.RandomCrop(3, padding=-1), ShapeError, "a whole number ≥ 0; got -1"),
        (lambda: nn.RandomCrop(), ShapeError, "nothing is cropped: give size=24, or padding=4"),
        (lambda: nn.RandomCrop(6)(X), ShapeError, r"does not fit the input .*: 6 > 5. A smaller size, or padding=1"),
        (lambda: nn.RandomCrop(9, padding=1)(X), ShapeError, r"5 \+ 2·1 = 7"),
        (lambda: nn.RandomCrop((3, 3))(SERIES), ShapeError, "has 2 numbers and the input"),
        (lambda: nn.RandomContrast(1.5), DataError, "from 0 to 1"),
        (lambda: nn.RandomBrightness(-0.1), DataError, "RandomBrightness: amount is the largest that is added"),
        (lambda: nn.RandomBrightness(0.1, limits=(1, 0)), DataError, "limits are the smallest and the largest"),
        (lambda: nn.RandomGain(None), DataError, "RandomGain: amount"),
        (lambda: nn.Cutout(8), DataError, "Cutout: size is a share of the size, from 0 to 1; got 8"),
        (lambda: nn.Cutout(0.5)(np.ones((3, 784))), ShapeError, "Reshape"),
    ],
)
def test_refusals(make, error, said):
    """What came, and what was expected."""
    with pytest.raises(error, match=said):
        make()
