"""Made data are what their formulas say, balanced, and the same for the same seed."""

import numpy as np
import pytest
import sklearn.datasets

import kedja.data as data
from kedja.errors import DataError

CLOUDS = ["blobs", "circles", "moons", "spiral", "xor_cloud"]


def _sorted(points):
    return points[np.lexsort(points.round(4).T)]


@pytest.mark.parametrize("name", CLOUDS)
def test_the_seed_decides_everything(name):
    """The same seed gives the same bits, another seed other rows."""
    first, again, other = (data.load(name, n=50, seed=seed) for seed in (3, 3, 4))
    assert first.x.tobytes() == again.x.tobytes() and first.y.tobytes() == again.y.tobytes()
    assert first.x.tobytes() != other.x.tobytes()


@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize("n", [2, 3, 7, 100, 101])
def test_n_rows_of_balanced_classes(name, n):
    """n rows exactly, no class more than one larger than another, in random order."""
    n = max(n, 3) if name == "blobs" else n  # three classes need three rows
    _, y = data.load(name, n=n)
    counts = np.bincount(y)
    assert len(y) == n and counts.max() - counts.min() <= 1
    if n >= 100:
        assert np.abs(np.diff(y)).mean() < 0.95


def test_moons_without_noise_equal_scikit_learn():
    """The same points in the same classes as make_moons."""
    x, y = data.load("moons", n=60, noise=0)
    theirs, labels = sklearn.datasets.make_moons(60, shuffle=False)
    for label in (0, 1):
        np.testing.assert_allclose(_sorted(x[y == label]), _sorted(theirs[labels == label]), atol=1e-6)


def test_circles_without_noise_equal_scikit_learn():
    """The same points in the same classes as make_circles."""
    x, y = data.load("circles", n=60, noise=0, factor=0.3)
    theirs, labels = sklearn.datasets.make_circles(60, shuffle=False, factor=0.3)
    for label in (0, 1):
        np.testing.assert_allclose(_sorted(x[y == label]), _sorted(theirs[labels == label]), atol=1e-6)


def test_noise_has_the_deviation_asked_for():
    """The points of a noisy moon lie off the clean ones by normal numbers of that deviation."""
    clean, noisy = (data.load("moons", n=20_000, noise=noise, seed=2) for noise in (0, 0.3))
    offset = noisy.x - clean.x
    np.testing.assert_allclose(offset.std(axis=0), 0.3, rtol=0.02)
    np.testing.assert_allclose(offset.mean(axis=0), 0, atol=0.01)
    assert abs(np.corrcoef(offset.T)[0, 1]) < 0.03


def test_row_order_tells_nothing_about_noise():
    """The words that order the rows are not the words that moved them."""
    clean, noisy = (data.load("moons", n=5_000, noise=noise) for noise in (0, 0.3))
    offset = (noisy.x - clean.x)[:, 0]
    assert abs(np.corrcoef(offset, np.arange(5_000))[0, 1]) < 0.05


def test_spiral_arms_are_turned_copies():
    """Arm k is arm 0 turned by 2πk/classes."""
    x, y = data.load("spiral", n=90, noise=0, classes=3)
    points = [np.sort_complex((x[y == k] @ [1, 1j]).round(5) * np.exp(-2j * np.pi * k / 3)) for k in range(3)]
    for arm in points[1:]:
        np.testing.assert_allclose(np.sort(np.abs(arm)), np.sort(np.abs(points[0])), atol=1e-4)
        np.testing.assert_allclose(arm.sum(), points[0].sum(), atol=1e-3)


def test_the_words_of_the_generator_are_philox():
    """The first words for key 0 at counter 1, as NumPy's own Philox gives them through another door."""
    from kedja.data import draws

    state = np.random.Philox(key=0)
    assert draws.words(5, seed=0).tolist() == state.random_raw(5).tolist()
    assert draws.words(5, seed=0).tolist() != draws.words(5, seed=0, stream=1).tolist()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("moons", {"n": 1}, "moons: n=1 rows cannot show 2 classes"),
        ("moons", {"n": 2.5}, "both must be whole numbers"),
        ("moons", {"noise": -1}, "noise=-1: it is a standard deviation"),
        ("moons", {"noise": float("nan")}, "noise=nan"),
        ("moons", {"seed": -1}, "seed is -1: it must be a whole number, 0 or more"),
        ("moons", {"seed": 0.5}, "seed is 0.5"),
        ("spiral", {"classes": 1}, "spiral: classes=1: at least 2"),
        ("circles", {"factor": 1.5}, "factor=1.5: the inner radius"),
    ],
)
def test_impossible_wishes_are_refused(name, options, message):
    """Each option out of range is named with what it may be."""
    with pytest.raises(DataError, match=message):
        data.load(name, **options)
