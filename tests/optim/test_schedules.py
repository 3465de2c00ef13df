"""Schedules give PyTorch's and Keras's rates, the same in a compiled program, and a verdict that sums confirm."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kedja as kj
from kedja import schedules as s
from kedja.errors import DataError, UnknownNameError
from oracles.closeness import worst
from oracles.schedules import by_keras, by_torch

STEPS = 101
K = np.arange(STEPS)
ONE_OF_EACH = [
    s.Constant(0.1),
    s.StepDecay(0.1, every=7, factor=0.5),
    s.Piecewise([20, 60], [0.1, 0.03, 0.2]),
    s.Exponential(0.1, steps=40, factor=0.2),
    s.Polynomial(0.1, steps=80, end=0.01, power=2),
    s.InverseTime(0.1, steps=10, power=0.7),
    s.Cosine(0.1, steps=80, end=0.01),
    s.CosineRestarts(0.1, steps=13),
    s.CosineRestarts(0.1, steps=9, multiplier=2, end=0.01, factor=0.7),
    s.OneCycle(0.1, steps=80),
    s.OneCycle(0.1, steps=80, shape="linear"),
    s.WarmUp(s.Cosine(0.1, steps=60), steps=11, start=0.01),
    s.Chain([s.Constant(0.1), s.StepDecay(0.1, every=9), 0.5], [30, 60]),
    s.Exponential(0.1, factor=0.5).per_epoch(17),
]


@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (s.Constant(0.1), "ConstantLR", {"factor": 1.0}),
        (s.StepDecay(0.1, every=7, factor=0.5), "StepLR", {"step_size": 7, "gamma": 0.5}),
        (s.Piecewise([20, 60], [0.1, 0.03, 0.009]), "MultiStepLR", {"milestones": [20, 60], "gamma": 0.3}),
        (s.Exponential(0.1, factor=0.97), "ExponentialLR", {"gamma": 0.97}),
        (s.Polynomial(0.1, steps=80, power=2.5), "PolynomialLR", {"total_iters": 80, "power": 2.5}),
        (
            s.Polynomial(0.02, steps=50, end=0.08),
            "LinearLR",
            {"start_factor": 0.2, "end_factor": 0.8, "total_iters": 50},
        ),
        (s.Cosine(0.1, steps=100, end=0.01), "CosineAnnealingLR", {"T_max": 100, "eta_min": 0.01}),
        (s.CosineRestarts(0.1, steps=13, end=0.01), "CosineAnnealingWarmRestarts", {"T_0": 13, "eta_min": 0.01}),
        (s.CosineRestarts(0.1, steps=9, multiplier=2), "CosineAnnealingWarmRestarts", {"T_0": 9, "T_mult": 2}),
        (s.CosineRestarts(0.1, steps=4, multiplier=3), "CosineAnnealingWarmRestarts", {"T_0": 4, "T_mult": 3}),
        # PyTorch's cycle of 101 steps has its peak at 0.3 · 101 − 1 and its end at 100; ours at 0.3 · 100 and at 100.
        (s.OneCycle(0.1, 100, warm=0.293), "OneCycleLR", {"max_lr": 0.1, "total_steps": 101}),
        (
            s.OneCycle(0.1, 100, warm=0.293, start_factor=0.1, end_factor=0.001, shape="linear"),
            "OneCycleLR",
            {"max_lr": 0.1, "total_steps": 101, "div_factor": 10, "final_div_factor": 100, "anneal_strategy": "linear"},
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_rates_of_torch(ours, name, options, judged):
    """A hundred steps at PyTorch's rates."""
    start = 0.1
    expected = by_torch(name, start, STEPS, **options)
    np.testing.assert_allclose(ours.at(K), expected, rtol=1e-9, atol=1e-12)
    judged("PyTorch", f"schedules/{type(ours).__name__}", STEPS, worst(ours.at(K), expected))


def test_schedules_made_of_schedules_are_pytorchs(judged):
    """One after the other, warmed up, and counted in epochs: as PyTorch's of the parts, each at its own steps."""
    cosine = by_torch("CosineAnnealingLR", 0.1, STEPS, T_max=STEPS, eta_min=0.02)
    step = by_torch("StepLR", 0.05, STEPS, step_size=9, gamma=0.5)
    line = by_torch("LinearLR", 0.1, STEPS, start_factor=0.1, end_factor=1.0, total_iters=11)
    for ours, expected in (
        (s.Chain([s.Cosine(0.1, STEPS, 0.02), s.StepDecay(0.05, 9, 0.5)], [40]), [*cosine[:40], *step[: STEPS - 40]]),
        (s.WarmUp(s.Cosine(0.1, STEPS, 0.02), 11, start=0.01), [*line[:11], *cosine[: STEPS - 11]]),
        (s.StepDecay(0.05, 9, 0.5).per_epoch(10), np.repeat(step, 10)[:STEPS]),
    ):
        np.testing.assert_allclose(ours.at(K), expected, rtol=1e-9, atol=1e-12)
        judged("PyTorch", f"schedules/{type(ours).__name__}", STEPS, worst(ours.at(K), expected))


@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (
            s.Exponential(0.1, steps=40, factor=0.2),
            "ExponentialDecay",
            {"initial_learning_rate": 0.1, "decay_steps": 40, "decay_rate": 0.2},
        ),
        (
            s.StepDecay(0.1, every=9, factor=0.2),
            "ExponentialDecay",
            {"initial_learning_rate": 0.1, "decay_steps": 9, "decay_rate": 0.2, "staircase": True},
        ),
        (
            s.InverseTime(0.1, steps=40 / 0.5),
            "InverseTimeDecay",
            {"initial_learning_rate": 0.1, "decay_steps": 40, "decay_rate": 0.5},
        ),
        # Keras changes the rate after the boundary's step, ours (and PyTorch) with it.
        (
            s.Piecewise([21, 61], [0.1, 0.03, 0.2]),
            "PiecewiseConstantDecay",
            {"boundaries": [20, 60], "values": [0.1, 0.03, 0.2]},
        ),
        (
            s.Polynomial(0.1, steps=80, end=0.01, power=2),
            "PolynomialDecay",
            {"initial_learning_rate": 0.1, "decay_steps": 80, "end_learning_rate": 0.01, "power": 2.0},
        ),
        (
            s.WarmUp(s.Cosine(0.1, steps=60, end=0.02), steps=11, start=0.01),
            "CosineDecay",
            {"initial_learning_rate": 0.01, "decay_steps": 60, "alpha": 0.2, "warmup_target": 0.1, "warmup_steps": 11},
        ),
        (
            s.CosineRestarts(0.1, steps=9, multiplier=2, end=0.01, factor=0.7),
            "CosineDecayRestarts",
            {"initial_learning_rate": 0.1, "first_decay_steps": 9, "t_mul": 2.0, "m_mul": 0.7, "alpha": 0.1},
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)  # fmt: skip
def test_rates_of_keras(ours, name, options, judged):
    """A hundred steps at Keras's rates, which are float32."""
    expected = by_keras(name, STEPS, **options)
    np.testing.assert_allclose(ours.at(K), expected, rtol=1e-5, atol=2e-7)
    judged("Keras float32", f"schedules/{type(ours).__name__}", STEPS, worst(ours.at(K), expected))


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_a_program_gives_the_same_rates(engine):
    """A schedule whose numbers are arguments of a program gives its float64 rates to float32's rounding."""

    def rates(k, numbers):
        found, rest = [], list(numbers)
        for schedule in ONE_OF_EACH:
            n = len(schedule.scalars)
            found.append(schedule.with_scalars(rest[:n]).at(k))
            rest[:n] = []
        return kj.stack(found)

    numbers = [np.float32(v) for schedule in ONE_OF_EACH for v in schedule.scalar_values()]
    got = kj.compile(rates, engine=engine)(K.astype(np.float32), numbers).numpy()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [schedule.at(K) for schedule in ONE_OF_EACH], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_an_optimiser_follows_it(engine):
    """Gradient descent on a loss of slope 1 moves by ε₀ + ε₁ + …, in one program; a new peak compiles nothing."""
    schedule = s.OneCycle(0.1, steps=20)
    rule = kj.optim.SGD(schedule)
    w = kj.Parameter(0.0, dtype="float64", name="w")
    memory = rule.make_slots({"w": w})

    def step(*numbers):
        rule.with_scalars(numbers).update({"w": w}, [kj.tensor(1.0, dtype="float64")], memory)

    step = kj.compile(step, engine=engine)
    with kj.default_dtype("float64"):
        for _ in range(25):
            step(*rule.scalar_values())
        assert w.item() == pytest.approx(-schedule.at(np.arange(25)).sum(), rel=1e-12)
        schedule.peak = 0.7
        step(*rule.scalar_values())
    assert w.item() == pytest.approx(-s.OneCycle(0.1, 20).at(np.arange(25)).sum() - schedule.at(25), rel=1e-12)
    assert len(step.reports) == 1


@pytest.mark.parametrize("every", [3, 7, 10, 49, 1000, 12345])
def test_float32_changes_the_rate_at_the_very_step(every):
    """Steps of float32 programs are not a step early or late, also where k/n rounds below a whole number."""
    k = np.array([i * every + d for i in (1, 2, 5, 41, 100) for d in (-1, 0)])
    rounds = s.StepDecay(1.0, every, factor=0.5).at(kj.tensor(k, dtype="float32")).numpy()
    exact = [0.5 ** float(i) for i in k // every]
    np.testing.assert_allclose(rounds, exact, rtol=1e-5)
    restart = s.CosineRestarts(1.0, every, end=0.0).at(kj.tensor(k, dtype="float32")).numpy()
    assert (restart[1::2] > 0.99).all() and (every < 5 or (restart[::2] < 0.5).all())


@given(
    rate=st.floats(1e-5, 10), steps=st.integers(1, 10**6), share=st.floats(0, 1), k=st.integers(0, 2 * 10**6),
    multiplier=st.integers(1, 4),
)  # fmt: skip
def test_rates_stay_between_their_ends(rate, steps, share, k, multiplier):
    """Cosines, polynomials and restarts never leave the range from the end rate to the first."""
    end = rate * share
    for schedule in (
        s.Cosine(rate, steps, end),
        s.Polynomial(rate, steps, end, 1.5),
        s.CosineRestarts(rate, steps, multiplier, end),
    ):
        assert end * (1 - 1e-9) <= schedule.at(k) <= rate * (1 + 1e-9)


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=repr)
def test_survives_its_configuration(schedule):
    """Made again from plain data it is the same, and so is what it does; its numbers do not change its structure."""
    again = s.get(schedule.config())
    assert again == schedule and repr(again) == repr(schedule)
    np.testing.assert_array_equal(again.at(K), schedule.at(K))
    assert again.structure() == schedule.structure() and hash(schedule.structure()) == hash(again.structure())
    other = schedule.with_scalars([2 * v for v in schedule.scalar_values()])
    assert other.structure() == schedule.structure() and other != schedule


def test_structure_tells_programs_apart():
    """Another class, another length of a list or another multiplier is another program; another number is not."""
    same = [s.Piecewise([3], [1.0, 2.0]), s.Piecewise([9], [0.5, 0.25])]
    assert len({schedule.structure() for schedule in same}) == 1
    different = [
        *same, s.Piecewise([3, 9], [1.0, 2.0, 3.0]), s.Cosine(0.1, 5), s.CosineRestarts(0.1, 5), s.WarmUp(0.1, 5),
        s.CosineRestarts(0.1, 5, multiplier=2), s.WarmUp(s.Cosine(0.1, 5), 5), s.OneCycle(0.1, 5),
        s.OneCycle(0.1, 5, shape="linear"),
    ]  # fmt: skip
    assert len({schedule.structure() for schedule in different}) == len(different) - 1


def test_what_at_takes_and_gives():
    """A number gives a float, a list or array an array of its shape, a tensor a tensor of its type."""
    schedule = s.Cosine(0.1, 10)
    assert isinstance(schedule.at(3), float) and isinstance(schedule.at(np.int64(3)), float)
    assert schedule.at([[0, 1], [2, 3]]).shape == (2, 2) and schedule.at(K).dtype == np.float64
    assert schedule.at(kj.tensor([1.0, 2.0])).dtype == np.float32
    assert schedule.at(kj.tensor([1, 2])).dtype == np.float32
    assert schedule(3) == schedule.at(3)


# --- the verdict ----------------------------------------------------------------------------------------------------
VERDICTS = [
    (s.Constant(0.1), True, False, "stays at 0.1"),
    (s.StepDecay(0.1, every=10, factor=0.5), False, True, "falls by 0.5 every 10 steps"),
    (s.StepDecay(0.1, every=10, factor=1.0), True, False, "stays the same"),
    (s.Piecewise([10], [0.1, 0.0]), False, True, "is 0 after 10 steps"),
    (s.Piecewise([10], [0.1, 0.05]), True, False, "stays at 0.05"),
    (s.Exponential(0.1, steps=10, factor=0.5), False, True, "a finite sum"),
    (s.Polynomial(0.1, steps=10), False, True, "is 0 after 10 steps"),
    (s.Polynomial(0.1, steps=10, end=0.01), True, False, "stays at 0.01"),
    (s.InverseTime(0.1), True, True, "as 1/k: the sum of 1/k is infinite, that of 1/k^2 finite"),
    (s.InverseTime(0.1, power=0.75), True, True, "1/k^1.5 finite"),
    (s.InverseTime(0.1, power=0.5), True, False, "that of 1/k infinite"),
    (s.InverseTime(0.1, power=2.0), False, True, "the sum of 1/k^2 is finite"),
    (s.Cosine(0.1, steps=100), False, True, "is 0 after 100 steps"),
    (s.CosineRestarts(0.1, steps=10), True, False, "comes back"),
    (s.CosineRestarts(0.1, steps=10, factor=0.5), False, True, "falls by 0.5 every 10 steps"),
    (s.CosineRestarts(0.1, steps=10, multiplier=2, factor=0.6), True, True, "as 1/k^0.737"),
    (s.CosineRestarts(0.1, steps=10, multiplier=2, factor=0.8), True, False, "as 1/k^0.322"),
    (s.CosineRestarts(0.1, steps=10, multiplier=2, factor=0.4), False, True, "as 1/k^1.32"),
    (s.OneCycle(0.1, steps=100, end_factor=0.0), False, True, "is 0 after 100 steps"),
    (s.WarmUp(s.InverseTime(0.1), steps=10), True, True, "after the warm-up the rate falls as 1/k"),
    (s.Chain([0.1, s.InverseTime(0.1)], [10]), True, True, "in the last of its parts"),
    (s.InverseTime(0.1).per_epoch(10), True, True, "counted in epochs"),
]


@pytest.mark.parametrize(("schedule", "diverges", "converges", "words"), VERDICTS)
def test_verdict_agrees_with_sums(schedule, diverges, converges, words):
    """Σε goes on growing by as much each time the steps are multiplied, and Σε² by less and less, or not."""
    found = schedule.robbins_monro()
    assert (found.sum_diverges, found.squares_converge) == (diverges, converges)
    assert bool(found) is found.holds is (diverges and converges) and words in found.reason
    # The part of an infinite sum from n to 8n does not shrink as n grows eightfold; that of a finite one does.
    rates = schedule.at(np.arange(8**6))
    for values, infinite in ((rates, diverges), (rates**2, not converges)):
        parts = [values[8**i : 8 ** (i + 1)].sum() for i in (3, 4, 5)]
        shrinks = [after / before if before > 0 else 0.0 for before, after in pairwise(parts)]
        assert bool(min(shrinks) > 0.95) == infinite, shrinks


def test_verdict_in_words():
    """str() says the verdict, the reason, and how the sums have grown."""
    text = str(s.InverseTime(1.0).robbins_monro())
    assert text.splitlines() == [
        "Robbins-Monro conditions: met, the rate falls as 1/k: the sum of 1/k is infinite, that of 1/k^2 finite",
        "  Σε = ∞   yes  7.485 after 1,000 steps, 12.09 after 100,000",
        "  Σε² < ∞  yes  1.644 after 1,000 steps, 1.645 after 100,000",
    ]


def test_averages_settle_where_the_conditions_hold():
    """On noisy gradients of (w − 1)² the last weight of 1/k lies nearer to 1 than that of a constant or a fast rate."""
    noise = np.random.default_rng(0).normal(size=(200, 3000))

    def spread(schedule: s.Schedule) -> float:
        w = np.full(200, 3.0)
        for rate, n in zip(schedule.at(np.arange(3000)), noise.T, strict=True):
            w -= rate * (2 * (w - 1) + n)
        return float(np.sqrt(np.mean((w - 1) ** 2)))

    good = spread(s.InverseTime(0.4))
    assert good < 0.2 * spread(s.Constant(0.4)) and good < 0.2 * spread(s.Exponential(0.4, factor=0.5))


# --- bad input ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: s.Constant(0), "Constant: rate must be a number above 0, got 0"),
        (lambda: s.Constant(float("nan")), "Constant: rate must be a number above 0, got nan"),
        (lambda: s.Constant(True), "rate must be a number above 0, got True"),
        (lambda: s.StepDecay(0.1, every=2.5), "StepDecay: every must be a whole number of at least 1, got 2.5"),
        (lambda: s.StepDecay(0.1, every=0), "every must be a whole number of at least 1, got 0"),
        (lambda: s.Cosine(0.1, 10, end=-1), "Cosine: end must be a number of at least 0, got -1"),
        (lambda: s.Cosine("0.1", 10), "Cosine: rate must be a number above 0, got '0.1'"),
        (lambda: s.OneCycle(0.1, 10, warm=1.0), "OneCycle: warm must be a number between 0 and 1, got 1.0"),
        (lambda: s.OneCycle(0.1, 10, shape="cosin"), "unknown shape of OneCycle 'cosin'. Did you mean 'cosine'?"),
        (lambda: s.Piecewise([20, 10], [1, 2, 3]), "Piecewise: boundaries must rise, and 10 comes after 20"),
        (lambda: s.Piecewise([10], [1, 2, 3]), "Piecewise: 1 boundaries lie between 2 rates, got 3"),
        (lambda: s.Chain([0.1], [5]), "Chain: 1 boundaries lie between 2 schedules, got 1"),
        (lambda: s.WarmUp("cosine", 5), "made with its numbers, as in kj.schedules.Cosine(0.1, 1000); got 'cosine'"),
        (lambda: s.get(s.Cosine), "Cosine is a class: write kj.schedules.Cosine(…) with its numbers"),
        (lambda: s.get({"name": "Cosin"}), "unknown schedule 'Cosin'. Did you mean 'Cosine'?"),
        (lambda: s.Cosine(0.1, 10).at(-1), "Cosine: steps are counted from 0, got -1"),
        (lambda: s.Cosine(0.1, 10).at("3"), "steps are counted from 0, got '3'"),
        (lambda: s.Cosine(0.1, 10).per_epoch(0), "steps_per_epoch must be a whole number of at least 1, got 0"),
        (lambda: s.Schedule().at(0), "Schedule does not say its rate: define formula(self, k)"),
    ],
)
def test_impossible_schedules(make, message):
    """Each is refused by name, with what came and what was expected."""
    with pytest.raises((DataError, UnknownNameError)) as error:
        make()
    assert message in str(error.value)


def test_plot(tmp_path):
    """The curve has the rates of the schedule, and is written where it is asked for."""
    from matplotlib.figure import Figure

    figure = s.Cosine(0.1, 50).plot(100, path=tmp_path / "rate.png")
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), s.Cosine(0.1, 50).at(np.arange(100)))
    assert (tmp_path / "rate.png").stat().st_size > 1000
    axes = Figure().add_subplot()
    s.Exponential(0.1, 1, 0.8).plot(100, ax=axes)
    assert axes.get_yscale() == "log"


def test_rates_of_a_users_own_schedule():
    """A subclass says a formula and is a schedule like any other."""

    class Triangle(s.Schedule):
        def __init__(self, low, high, steps):
            self.low, self.high, self.steps = low, high, steps

        def formula(self, k):
            return self.low + (self.high - self.low) * (1 - abs(k % (2 * self.steps) / self.steps - 1))

    ours = s.WarmUp(Triangle(0.1, 0.5, 10), 5)
    theirs = {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 10, "cycle_momentum": False}
    np.testing.assert_allclose(ours.at(np.arange(5, STEPS)), by_torch("CyclicLR", 0.1, STEPS - 5, **theirs))
    assert ours.scalars == ("schedule.low", "schedule.high", "schedule.steps", "steps", "start")
