"""Optimisers step as PyTorch's and Keras's do on the same gradients, and their numbers are checked."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, UnknownNameError
from kedja.optim import SGD, Adam, GradientDescent, Momentum
from oracles.optimisers import by_keras, by_torch

RNG = np.random.default_rng(8)
START = RNG.normal(size=(3, 2))
GRADIENTS = [RNG.normal(size=(3, 2)) * 10.0 ** RNG.integers(-3, 3) for _ in range(25)]
RATES = [0.1 / (1 + k) for k in range(25)]


def steps(rule, rates=None, dtype="float64") -> list[np.ndarray]:
    """The parameter after each step of ours on GRADIENTS, at the learning rates that `rates` says."""
    p = kj.Parameter(START, dtype=dtype, name="p")
    memory = rule.make_slots({"p": p})

    @kj.compile
    def step(gradient, *numbers):
        rule.with_scalars(numbers).update({"p": p}, [gradient], memory)

    found = []
    for k, g in enumerate(GRADIENTS):
        if rates is not None:
            rule.learning_rate = rates[k]
        with kj.default_dtype(dtype):
            step(g, *rule.scalar_values())
        found.append(p.numpy().copy())
    assert len(step.reports) == 1  # one program, whatever the numbers
    return found


@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (SGD(0.05), "SGD", {"lr": 0.05}),
        (GradientDescent(0.05), "SGD", {"lr": 0.05}),
        (SGD(0.05, momentum=0.9), "SGD", {"lr": 0.05, "momentum": 0.9}),
        (Momentum(0.05, 0.5), "SGD", {"lr": 0.05, "momentum": 0.5}),
        (Adam(0.05), "Adam", {"lr": 0.05}),
        (Adam(0.2, 0.8, 0.95, 1e-3), "Adam", {"lr": 0.2, "betas": (0.8, 0.95), "eps": 1e-3}),
    ],
)
def test_steps_of_torch(ours, name, options):
    """At a constant rate PyTorch's momentum moves as ours, and its ε of Adam stands where ours does."""
    for a, b in zip(steps(ours), by_torch(name, START, GRADIENTS, **options), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [(SGD(0.1), "SGD", {}), (Momentum(0.1, 0.9), "SGD", {"momentum": 0.9}), (Adam(0.1), "Adam", {"epsilon": 1e-8})],
)
def test_steps_of_keras_while_the_rate_falls(ours, name, options):
    """Under a schedule momentum is Keras's: the rate scales the gradient, not the velocity."""
    for a, b in zip(steps(ours, RATES), by_keras(name, START, GRADIENTS, RATES, **options), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rule", [SGD(0.05), Momentum(0.05), Adam(0.05)], ids=repr)
def test_float32_follows_float64(rule):
    """In float32 twenty-five steps stay within its rounding."""
    far = np.abs(steps(rule)[-1] - START).max()
    np.testing.assert_allclose(steps(rule, dtype="float32")[-1], steps(rule)[-1], atol=1e-4 * far)


@pytest.mark.parametrize(
    "rule", [GradientDescent(0.3), SGD(0.3), SGD(0.1, momentum=0.5), Momentum(0.1, 0.8), Adam(0.2)], ids=repr
)
def test_finds_the_bottom_of_a_parabola(rule):
    """From 5 down to the minimum of (w − 2)² + 1."""
    w = kj.Parameter(5.0, name="w")
    memory = rule.make_slots({"w": w})

    @kj.compile
    def step():
        loss = (w - 2.0) ** 2 + 1.0
        rule.update({"w": w}, [kj.grad(loss, w)], memory)
        return loss

    for _ in range(300):
        loss = step()
    assert w.item() == pytest.approx(2, abs=1e-3) and loss.item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("rule", "labels"),
    [
        (SGD(0.1), ["move"]),
        (Momentum(0.1), ["accumulate velocity", "move"]),
        (SGD(0.1, momentum=0.9), ["accumulate velocity", "move"]),
        (Adam(0.1), ["average the gradient", "average its square", "move"]),
    ],
)
def test_steps_have_names(rule, labels):
    """An explainer can go through the rule step by step, each a target and a graph."""
    p = kj.Parameter([1.0, 2.0])
    memory = rule.make_slots({"p": p})
    slots = kj.optim.rules.Slots({s: memory[f"optimizer.p.{s}"] for s in rule.slots})
    found = list(rule.steps(p, kj.tensor([0.5, 0.5]), slots, rule.learning_rate, kj.tensor(1.0)))
    assert [s.label for s in found] == labels
    assert found[-1].target is p and found[-1].value.text()


def test_momentum_by_hand():
    """v ← 0.9v − 0.1g from v = 0, twice with g = 1: θ falls by 0.1, then by 0.19."""
    p = kj.Parameter(0.0, dtype="float64")
    rule = Momentum(0.1, 0.9)
    memory = rule.make_slots({"p": p})

    @kj.compile
    def step():
        rule.update({"p": p}, [kj.tensor(1.0, dtype="float64")], memory)

    step()
    assert p.item() == pytest.approx(-0.1)
    step()
    assert p.item() == pytest.approx(-0.29) and memory["optimizer.steps"].item() == 2


def test_adam_starts_with_the_sign_of_the_gradient():
    """Bias correction makes the first step the learning rate, however large or small the gradient."""
    p = kj.Parameter([0.0, 0.0, 0.0], dtype="float64")
    rule = Adam(0.1)
    memory = rule.make_slots({"p": p})

    @kj.compile
    def step():
        rule.update({"p": p}, [kj.tensor([1e-3, -1e3, 5.0], dtype="float64")], memory)

    step()
    np.testing.assert_allclose(p.numpy(), [-0.1, 0.1, -0.1], rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0), "learning_rate must be a number above 0, got 0"),
        (lambda: SGD(-0.1), "learning_rate must be a number above 0, got -0.1"),
        (lambda: Adam(float("nan")), "learning_rate must be a number above 0, got nan"),
        (lambda: Adam(float("inf")), "learning_rate must be a number above 0, got inf"),
        (lambda: Adam("0.1"), "learning_rate must be a number above 0, got '0.1'"),
        (lambda: Momentum(0.1, 1.0), "momentum must be at least 0 and below 1, got 1.0"),
        (lambda: SGD(0.1, momentum=-0.5), "momentum must be at least 0 and below 1, got -0.5"),
        (lambda: Adam(0.1, beta_2=1), "beta_2 must be at least 0 and below 1, got 1"),
        (lambda: Adam(0.1, epsilon=0), "epsilon must be a number above 0, got 0"),
        (lambda: kj.optim.get(Adam), "Adam is a class: write kj.optim.Adam(), with brackets"),
    ],
)
def test_impossible_numbers(make, message):
    """Each is refused by name, with what came and what was expected."""
    with pytest.raises(DataError) as error:
        make()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(lr=0.1), "SGD has no argument 'lr': kedja spells it learning_rate="),
        (lambda: Adam(betas=(0.9, 0.99)), "kedja spells them beta_1= and beta_2="),
        (lambda: Adam(eps=1e-7), "kedja spells it epsilon="),
        (lambda: SGD(0.1, nesterov=True), "not there yet in this version"),
    ],
)
def test_spellings_of_peers(make, message):
    """Arguments that peers name otherwise are answered with our names."""
    with pytest.raises(TypeError) as error:
        make()
    assert message in str(error.value)


def test_names():
    """Ours in any case; an unknown one lists the known and the nearest."""
    assert repr(kj.optim.get("Adam")) == repr(Adam())
    assert kj.optim.get("gd").full_batch and not kj.optim.get("sgd").full_batch
    with pytest.raises(
        UnknownNameError, match="Did you mean 'adam'. Known: adam, gd, gradient_descent, momentum, sgd."
    ):
        kj.optim.get("adamm")


@pytest.mark.parametrize(
    "rule", [SGD(0.1), SGD(0.1, momentum=0.5), GradientDescent(0.2), Momentum(0.3, 0.4), Adam(0.1, 0.8)]
)
def test_an_optimiser_survives_its_configuration(rule):
    """Made again from plain data it is the same."""
    assert repr(kj.optim.get(rule.config())) == repr(rule)
