"""`minimize`: hand-written functions by every kind of optimiser, what it reports, and what it refuses."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

import kedja as kj
from kedja.errors import DataError, DivergedError, GraphError, ShapeError, UnknownNameError
from kedja.optim import LBFGS, SGD, Adam, GradientDescent, Minimizer, Momentum, minimize


def parabola(w):
    """Its minimum is 1 at 2."""
    return (w - 2.0) ** 2 + 1.0


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize(
    "method",
    [
        "lbfgs",
        GradientDescent(0.2),
        Momentum(0.1, 0.5),
        Adam(0.3),
        kj.optim.RandomSearch(1.0, shrink=0.9),
        "brute_force",
    ],
    ids=repr,
)
def test_every_kind_solves_the_parabola(method, engine):
    """From 5 down to 1 at 2, to 1e-4, by steps of a rule, line search and trying."""
    found = minimize(parabola, 5.0, method, iterations=500, engine=engine, seed=1)
    assert found.x.shape == () and found.x.item() == pytest.approx(2, abs=1e-3)
    assert found.value == pytest.approx(1, abs=1e-5) and found.values[0] == 10.0
    assert len(found.values) == found.iterations + 1 and found.values[-1] == found.value


def test_steps_are_those_of_torch():
    """A thousand and more steps of momentum on Rosenbrock's valley end where PyTorch's do, with the path between."""
    p = torch.nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
    rule = torch.optim.SGD([p], lr=1e-4, momentum=0.9)
    way = [p.detach().numpy().copy()]
    for _ in range(1200):
        rule.zero_grad()
        ((1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2).backward()
        rule.step()
        way.append(p.detach().numpy().copy())

    def rosenbrock(x):
        return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    found = minimize(rosenbrock, [-1.2, 1.0], Momentum(1e-4, 0.9), iterations=1200, dtype="float64")
    np.testing.assert_allclose(found.x, way[-1], rtol=1e-9)
    found = minimize(rosenbrock, [-1.2, 1.0], Momentum(1e-4, 0.9), iterations=50, dtype="float64", path=True)
    np.testing.assert_allclose(found.path, way[:51], rtol=1e-12)


def test_stops_at_the_first_small_gradient():
    """Exactly where the tolerance is met: one step less is above it."""
    found = minimize(parabola, 5.0, GradientDescent(0.1), tolerance=1e-3, dtype="float64", engine="reference")
    error = abs(2 * (found.x.item() - 2))
    assert error <= 1e-3 < error / 0.8 and found.reason == "no entry of the gradient is above 0.001"
    assert found.evaluations == found.iterations + 1


def test_follows_a_schedule():
    """With rates ε₀, ε₁, … on a loss of slope 1, x is −Σε."""
    rates = kj.schedules.Cosine(0.1, 20)
    found = minimize(lambda x: x, 0.0, SGD(rates), iterations=15, dtype="float64", engine="reference")
    assert found.x.item() == pytest.approx(-rates.at(np.arange(15)).sum())


def test_several_unknowns_by_name():
    """A dict goes in, the function gets one, and one comes out: the line through points is scikit-learn's."""
    rng = np.random.default_rng(0)
    area, price = rng.normal(size=(30, 3)), rng.normal(size=30)
    best = LinearRegression().fit(area, price)
    rows, goal = kj.tensor(area, dtype="float64"), kj.tensor(price, dtype="float64")

    def squares(p):
        return ((rows @ p["w"] + p["b"] - goal) ** 2).mean()

    start = {"w": np.zeros(3), "b": 0.0}
    for method in (LBFGS(change_tolerance=0), GradientDescent(0.2)):
        found = minimize(squares, start, method, dtype="float64", iterations=2000)
        np.testing.assert_allclose(found.x["w"], best.coef_, atol=1e-6)
        assert found.x["b"].item() == pytest.approx(best.intercept_, abs=1e-6)
        assert set(found.x) == {"w", "b"} and (start["w"] == 0).all()


def test_report():
    """str() says value, place, cost, method and reason."""
    found = minimize(parabola, [5.0], GradientDescent(0.5), engine="reference")
    assert str(found) == (
        "1 at [2.]\n1 iterations and 2 evaluations of GradientDescent(learning_rate=0.5): "
        "no entry of the gradient is above 1e-07"
    )
    assert (
        minimize(parabola, [5.0], GradientDescent(0.01), iterations=3, engine="reference").reason
        == "made all 3 iterations"
    )


def test_runs_over_many_chunks():
    """More steps than one run of a loop takes are the same steps."""
    short = minimize(parabola, 5.0, GradientDescent(1e-4), iterations=2500, tolerance=0, engine="xla")
    assert short.iterations == 2500 and len(short.values) == 2501
    exact = 2 + 3 * (1 - 2e-4) ** 2500
    assert short.x.item() == pytest.approx(exact, rel=1e-4)


def test_a_minimiser_of_ones_own():
    """A subclass says its iteration and runs, with memory and a key of its own."""

    class Coordinate(Minimizer):
        """One coordinate after the other, to the minimum of the parabola through three points."""

        scalars = ("width",)

        def __init__(self, width=0.5):
            super().__init__(width=width)

        def start(self, size, dtype):
            return {"next": np.zeros((), np.int64)}

        def iterate(self, evaluate, point, memory, key):
            i = int(memory["next"]) % point.x.size
            step = np.zeros_like(point.x)
            step[i] = self.width
            low, high = evaluate(point.x - step).loss, evaluate(point.x + step).loss
            move = step * (low - high) / (2 * (low - 2 * point.loss + high))
            return evaluate(point.x + move), {**memory, "next": memory["next"] + 1}, None

    found = minimize(
        lambda p: (p[0] - 1) ** 2 + 3 * (p[1] + 2) ** 2, [0.0, 0.0], Coordinate(), iterations=2, engine="reference"
    )
    np.testing.assert_allclose(found.x, [1, -2], atol=1e-5)
    assert found.evaluations == 7


@pytest.mark.parametrize("method", ["gd", "lbfgs", "random"])
@pytest.mark.parametrize(
    ("function", "x", "error", "message"),
    [
        (lambda p: p, [1.0, 2.0], ShapeError, "must give one number, got shape (2,). Add it up: .sum()"),
        (lambda p: 3.0, 1.0, GraphError, "the function gave 3.0, which does not depend on x"),
        (parabola, [], DataError, "the start x must be finite numbers"),
        (parabola, float("nan"), DataError, "the start x must be finite numbers, got nan"),
        (lambda p: p["a"], {}, DataError, "there is nothing to find, x is empty"),
    ],
)
def test_impossible_problems(function, x, error, message, method):
    """Each is refused with what came and what was expected."""
    with pytest.raises(error) as raised:
        minimize(function, x, method, engine="reference")
    assert message in str(raised.value)


def test_impossible_arguments():
    """Methods, iterations and tolerances are checked."""
    with pytest.raises(UnknownNameError, match="Did you mean 'lbfgs'"):
        minimize(parabola, 1.0, "bfgs")
    with pytest.raises(DataError, match="iterations must be a whole number of at least 1, got 0"):
        minimize(parabola, 1.0, iterations=0)
    with pytest.raises(DataError, match="tolerance must be a number of at least 0, got -1"):
        minimize(parabola, 1.0, tolerance=-1)


def test_a_value_that_is_not_finite_ends_it():
    """A rate too high ends with DivergedError, which says how far it came."""
    with pytest.raises(DivergedError, match=r"not finite after \d+ steps of GradientDescent.learning_rate=5."):
        minimize(lambda p: p**4, 5.0, GradientDescent(5.0), engine="reference")
    with pytest.raises(DivergedError, match="not finite at the start"):
        minimize(lambda p: kj.log(p), -1.0, "gd", engine="reference")
