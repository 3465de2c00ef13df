"""Search by trying: reproducible, never uphill, and slower than following the gradient."""

import numpy as np
import pytest
from scipy import stats

import kedja as kj
from kedja.errors import DataError
from kedja.ops.random import key_words, uniform_array
from kedja.optim import BruteForce, GradientDescent, RandomSearch, minimize
from oracles.closeness import worst

# Area in 10 m² and price in 10,000 €, about 2.4 · area + 3.
AREA = np.array([3.2, 4.1, 5.0, 5.6, 6.4, 7.5, 8.3, 9.1])
PRICE = np.array([10.9, 12.4, 15.3, 16.2, 18.6, 20.8, 23.3, 24.4])


def squares(p):
    """The mean squared error of the line w · area + b."""
    return ((p[0] * kj.tensor(AREA, dtype="float64") + p[1] - kj.tensor(PRICE, dtype="float64")) ** 2).mean()


@pytest.mark.parametrize("rule", [RandomSearch(0.3), RandomSearch(0.5, shrink=0.9, tries=3), BruteForce(0.5)], ids=repr)
def test_never_uphill_and_the_same_on_both_engines(rule):
    """Values only fall; the same seed gives the same way on both engines, and on a second run the same bits."""
    runs = [minimize(squares, [0.0, 0.0], rule, iterations=60, dtype="float64", engine=e, seed=5) for e in
            ("reference", "reference", "xla")]  # fmt: skip
    assert (np.diff(runs[0].values) <= 0).all() and runs[0].value < 0.2 * runs[0].values[0]
    np.testing.assert_array_equal(runs[0].values, runs[1].values)
    np.testing.assert_allclose(runs[2].values, runs[0].values, rtol=1e-12)
    np.testing.assert_allclose(runs[2].x, runs[0].x, rtol=1e-12)


def test_another_seed_goes_another_way():
    """The seed decides the tries of a random search; a grid has none."""

    def end(rule, seed):
        return minimize(squares, [0.0, 0.0], rule, iterations=20, seed=seed, dtype="float64", engine="reference").x

    assert (end(RandomSearch(0.3), 1) != end(RandomSearch(0.3), 2)).all()
    np.testing.assert_array_equal(end(BruteForce(0.3), 1), end(BruteForce(0.3), 2))


def test_steps_stay_inside_the_radius():
    """A step moves each parameter by at most r, and uses the whole of it."""
    found = minimize(lambda p: -p.sum(), [0.0, 0.0], RandomSearch(0.25), iterations=500, engine="reference", path=True)
    moves = np.diff(np.array(found.path), axis=0)
    assert np.abs(moves).max() <= 0.25 and np.abs(moves).max() > 0.23 and moves.min() < -0.2


def test_moves_follow_their_law(judged):
    """Downhill along one axis, nothing along the other: what is kept is uniform on (0, r) and on (−r, r)."""
    found = minimize(lambda p: -p[0], [0.0, 0.0], RandomSearch(0.25), iterations=3000, engine="reference", path=True)
    moves = np.diff(np.array(found.path), axis=0)
    moves = moves[moves[:, 0] > 0]
    for column, law in zip(moves.T, (stats.uniform(0, 0.25), stats.uniform(-0.25, 0.5)), strict=True):
        test = stats.kstest(column, law.cdf)
        assert len(column) > 1000 and test.pvalue > 0.01
        judged("SciPy, Kolmogorov-Smirnov", "optimisers/RandomSearch", len(column), test.statistic)


def test_tries_are_drawn_as_tensors_are():
    """The numbers of a search are those of `kj.random.uniform` with the same key, in float64."""
    words = key_words(7)
    drawn = kj.random.uniform(words, (3, 4), dtype="float64").numpy()
    np.testing.assert_array_equal(uniform_array(words, (3, 4)), drawn)


def test_slower_than_gradient_descent():
    """With 40 parameters random tries need over 20 times the evaluations of gradient descent, with 2 fewer (4.5)."""

    def asked(n, rule):
        """How many evaluations it takes from 1 to a thousandth in Σp²/n."""
        found = minimize(lambda p: (p * p).mean(), np.ones(n), rule, iterations=1000, engine="reference")
        return int(np.argmax(found.values < 1e-3)) or 1000

    for n, least, most in ((2, 1, 20), (40, 20, np.inf)):
        down = asked(n, GradientDescent(0.1 * n))
        tries = min(asked(n, RandomSearch(r, shrink=0.999)) for r in (0.1, 0.5))
        assert least < tries / down < most, (n, tries, down)


def test_a_radius_that_shrinks_ends():
    """Where nothing is lower the radius shrinks until the type tells no difference, and that is the reason."""
    found = minimize(
        lambda p: (p * p).sum(), [0.3, -0.7], BruteForce(1.0, points=5), iterations=500, engine="reference"
    )
    assert found.value < 1e-12 and "shrunk below what float32 tells apart" in found.reason
    found = minimize(lambda p: abs(p - 1.0).sum(), [0.3], RandomSearch(1.0, shrink=0.7), engine="reference")
    assert abs(found.x[0] - 1) < 0.01 and "shrunk" in found.reason


def test_brute_force_counts_its_cost():
    """pointsⁿ evaluations an iteration, without the middle, which is known."""
    for n, points in ((1, 3), (2, 3), (2, 5), (3, 4)):
        found = minimize(lambda p: (p * p).sum(), np.ones(n), BruteForce(0.1, points), iterations=2, engine="reference")
        each = points**n - points % 2
        assert found.evaluations == 1 + 2 * each


def test_brute_force_finds_the_best_of_its_grid(judged):
    """The point taken is the one NumPy finds on the same grid."""
    found = minimize(squares, [1.0, 2.0], BruteForce(1.0, 5), iterations=1, dtype="float64", engine="reference")
    w, b = np.meshgrid(np.linspace(0, 2, 5), np.linspace(1, 3, 5))
    errors = ((w[..., None] * AREA + b[..., None] - PRICE) ** 2).mean(-1)
    at = np.unravel_index(errors.argmin(), errors.shape)
    np.testing.assert_allclose(found.x, [w[at], b[at]])
    judged("NumPy, the same grid", "optimisers/BruteForce", 1, worst(found.x, [w[at], b[at]]))
    assert found.value == pytest.approx(errors.min())


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (12, "3 values for each of 12 parameters are 3^12 = 531,441 evaluations an iteration, and its limit is 10,000"),
        (79_510, "3 values for each of 79,510 parameters are 3^79510 ≈ 10^37,936 evaluations"),
    ],
)
def test_brute_force_refuses_what_would_take_for_ever(n, message):
    """The message has the arithmetic and what to use instead."""
    with pytest.raises(DataError) as error:
        minimize(lambda p: (p * p).sum(), np.ones(n), "brute_force", engine="reference")
    assert message in str(error.value) and "kj.optim.LBFGS()" in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomSearch(0), "radius must be a number above 0, got 0"),
        (lambda: RandomSearch(shrink=0), "shrink must be above 0 and at most 1, got 0"),
        (lambda: RandomSearch(shrink=1.5), "shrink must be above 0 and at most 1, got 1.5"),
        (lambda: RandomSearch(tries=0), "tries must be a whole number of at least 1, got 0"),
        (lambda: BruteForce(points=2.5), "points must be a whole number of at least 1, got 2.5"),
    ],
)
def test_impossible_numbers(make, message):
    """Each is refused by name, with what came and what was expected."""
    with pytest.raises(DataError) as error:
        make()
    assert message in str(error.value)


@pytest.mark.parametrize("rule", [RandomSearch(0.3, 0.9, 4), BruteForce(2.0, 5, 0.25, 100)], ids=repr)
def test_survives_its_configuration(rule):
    """Made again from plain data it is the same."""
    assert repr(kj.optim.get(rule.config())) == repr(rule)
