"""L-BFGS goes PyTorch's way point by point, ends where SciPy does, and survives what breaks a line search."""

import numpy as np
import pytest
import torch
from scipy import optimize

import kedja as kj
from kedja.errors import DataError, DivergedError
from kedja.optim import LBFGS, minimize
from kedja.optim.minimizer import Point
from kedja.optim.wolfe import Trial, strong_wolfe
from oracles.closeness import worst
from oracles.optimisers import by_torch_lbfgs

torch.set_num_threads(1)
RNG = np.random.default_rng(3)
ROOT, SHIFT = RNG.normal(size=(6, 6)), RNG.normal(size=6)
ROWS = RNG.normal(size=(40, 6))
LABELS = (ROWS @ SHIFT + RNG.normal(size=40) > 0).astype(float)


def rosenbrock(x):
    """The banana valley in any number of dimensions; works on tensors of ours, of PyTorch's, and on arrays."""
    return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()


def quadratic(matrix, shift):
    """0.5 xᵀAx − bᵀx with A of condition about 10³."""

    def value(x):
        z = matrix @ x
        return 0.5 * (z * z).sum() + 0.005 * (x * x).sum() - (shift * x).sum()

    return value


def logistic(rows, labels, softplus):
    """Logistic regression with a ridge."""

    def value(x):
        z = rows @ x
        return (softplus(z) - labels * z).mean() + 0.05 * (x * x).sum()

    return value


def problems(name):
    """A problem for ours and the same for PyTorch, and the start."""
    if name == "quadratic":
        with kj.default_dtype("float64"):
            ours = quadratic(kj.tensor(ROOT), kj.tensor(SHIFT))
        return ours, quadratic(torch.tensor(ROOT), torch.tensor(SHIFT)), np.ones(6)
    if name == "logistic":
        with kj.default_dtype("float64"):
            ours = logistic(kj.tensor(ROWS), kj.tensor(LABELS), kj.softplus)
        return ours, logistic(torch.tensor(ROWS), torch.tensor(LABELS), torch.nn.functional.softplus), np.zeros(6)
    return rosenbrock, rosenbrock, np.array([-1.2, 1.0]) if name == "rosenbrock" else np.linspace(-2, 2, 10)


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("name", ["quadratic", "logistic", "rosenbrock", "rosenbrock in 10"])
@pytest.mark.parametrize(
    "options", [{"lr": 1.0}, {"lr": 1.0, "history_size": 2}, {"lr": 0.3, "history_size": 5}], ids=str
)
def test_path_of_torch(name, options, engine, judged):
    """Twenty-five iterations, point by point to 1e-6, with as many evaluations."""
    ours, theirs, start = problems(name)
    rule = LBFGS(options["lr"], options.get("history_size", 10))
    path, asked = by_torch_lbfgs(theirs, start, 25, **({"history_size": 10} | options))
    found = minimize(ours, start, rule, iterations=25, dtype="float64", engine=engine, path=True)
    for a, b in zip(found.path, path, strict=False):
        np.testing.assert_allclose(a, b, atol=1e-6)
        judged("PyTorch", "optimisers/LBFGS", 1, worst(a, b))
    if found.iterations == 25:
        assert found.evaluations == asked


@pytest.mark.parametrize("name", ["quadratic", "logistic", "rosenbrock", "rosenbrock in 10"])
def test_minimum_of_scipy(name, judged):
    """The minimum is the one of SciPy's L-BFGS-B, to 1e-5."""
    ours, theirs, start = problems(name)

    def value_and_slope(x):
        p = torch.tensor(x, requires_grad=True)
        value = theirs(p)
        value.backward()
        return value.item(), p.grad.numpy()

    best = optimize.minimize(
        value_and_slope, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10}
    )
    found = minimize(ours, start, LBFGS(change_tolerance=0), dtype="float64", engine="reference")
    np.testing.assert_allclose(found.x, best.x, atol=1e-5)
    judged("SciPy, the minimum", "optimisers/LBFGS", 1, worst(found.x, best.x))
    assert found.value == pytest.approx(best.fun, abs=1e-9)


def test_solves_parabola_and_rosenbrock_in_float32():
    """In float32 the parabola is exact and Rosenbrock's minimum as near as the type tells."""
    assert minimize(lambda w: (w - 2.0) ** 2 + 1.0, 5.0).x.item() == pytest.approx(2.0, abs=1e-6)
    found = minimize(rosenbrock, [-1.2, 1.0])
    np.testing.assert_allclose(found.x, [1, 1], atol=1e-3)
    assert found.x.dtype == np.float32 and found.iterations < 60


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (LBFGS(change_tolerance=0, gradient_tolerance=1e-4), "no entry of the gradient is above 0.0001"),
        (LBFGS(change_tolerance=1e-3, gradient_tolerance=0), "by less than 0.001"),
        (LBFGS(change_tolerance=0, gradient_tolerance=0), "no lower loss is found along the gradient"),
    ],
)
def test_why_it_stops(rule, words):
    """The reason names the tolerance, or that the type tells no lower point."""
    ours, _, start = problems("logistic")
    found = minimize(ours, start, rule, dtype="float64", engine="reference")
    assert words in found.reason and found.iterations < 100


def test_a_start_at_the_minimum_moves_nowhere():
    """One evaluation, no step."""
    found = minimize(rosenbrock, [1.0, 1.0], engine="reference")
    assert (found.evaluations, found.x.tolist()) == (1, [1.0, 1.0]) and "gradient" in found.reason


def test_a_loss_that_overflows_far_away_is_searched_nearer():
    """A first step into infinity is halved until the loss is finite again."""
    found = minimize(
        lambda x: kj.where(x > 3.0, np.inf, (x - 2.0) ** 2), -5.0, LBFGS(1000.0), dtype="float64", engine="reference"
    )
    assert found.x.item() == pytest.approx(2.0, abs=1e-6)
    found = minimize(lambda x: kj.exp(x * x * x) - x, -1.0, LBFGS(1e6), dtype="float64", engine="reference")
    assert 3 * found.x.item() ** 2 * np.exp(found.x.item() ** 3) == pytest.approx(1.0, abs=1e-6)


def test_a_start_that_is_not_finite_is_refused():
    """It begins nowhere."""
    with pytest.raises(DivergedError, match="not finite at the start"):
        minimize(lambda x: kj.log(x), -1.0, engine="reference")


def test_both_wolfe_conditions_hold():
    """On random quartics the step found lowers the loss enough and flattens the slope."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b, c = rng.uniform(0.1, 3), rng.uniform(-2, 2), -rng.uniform(0.1, 5)
        value, slope = (
            lambda t, a=a, b=b, c=c: a * t**4 + b * t**2 + c * t,
            lambda t, a=a, b=b, c=c: 4 * a * t**3 + 2 * b * t + c,
        )
        asked = []

        def along(t, value=value, slope=slope, asked=asked):
            asked.append(t)
            return Trial(t, value(t), slope(t), Point(np.array([t]), value(t)))

        first = 10.0 ** rng.uniform(-4, 3)
        found = strong_wolfe(along, Trial(0.0, 0.0, c, Point(np.zeros(1), 0.0)), first)
        assert value(found.t) <= 1e-4 * found.t * c and abs(slope(found.t)) <= 0.9 * abs(c)
        assert len(asked) <= 26


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LBFGS(0), "learning_rate must be a number above 0, got 0"),
        (lambda: LBFGS(kj.schedules.Cosine(0.1, 10)), "learning_rate must be a number above 0, got Cosine"),
        (lambda: LBFGS(history=0), "history must be a whole number of at least 1, got 0"),
        (lambda: LBFGS(history=2.5), "history must be a whole number of at least 1, got 2.5"),
        (lambda: LBFGS(gradient_tolerance=-1), "gradient_tolerance must be a number of at least 0, got -1"),
        (lambda: LBFGS(line_evaluations=0), "line_evaluations must be a whole number of at least 1, got 0"),
    ],
)
def test_impossible_numbers(make, message):
    """Each is refused by name, with what came and what was expected."""
    with pytest.raises(DataError) as error:
        make()
    assert message in str(error.value)


def test_survives_its_configuration():
    """Made again from plain data it is the same."""
    rule = LBFGS(0.5, history=7, change_tolerance=0, line_evaluations=9)
    again = kj.optim.get(rule.config())
    assert repr(again) == repr(rule) and again.history == 7 and again.structure() == rule.structure()
    assert LBFGS(history=6).structure() != rule.structure() and kj.optim.get("lbfgs").full_batch
