"""Every rule comes down a parabola and along Rosenbrock's bent valley, with stated steps and rates."""

import numpy as np
import pytest

import kedja as kj
from kedja.optim import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    GradientDescent,
    Lion,
    Momentum,
    Nesterov,
    RMSProp,
)


def parabola(w):
    """(w₀ − 2)² + (w₁ + 1)² + 1, with its minimum 1 at (2, −1)."""
    return ((w - kj.tensor([2.0, -1.0], dtype=w.dtype)) ** 2).sum() + 1.0


def rosenbrock(w):
    """(1 − x)² + 100 (y − x²)²: a bent valley a hundred times steeper across than along; its minimum 0 is at (1, 1)."""
    return (1.0 - w[0]) ** 2 + 100.0 * (w[1] - w[0] ** 2) ** 2


def falling(rate):
    """A rate that falls to 0.3 of itself every 1,000 steps: what rules with steps of one length need to settle."""
    return kj.schedules.Exponential(rate, steps=1000, factor=0.3)


def ends(rules, function, start, steps):
    """Where each rule is after these steps from `start`; all run in one program."""
    places = [kj.Parameter(start, dtype="float64", name=f"w{i}") for i in range(len(rules))]
    memories = [rule.make_slots({"w": w}) for rule, w in zip(rules, places, strict=True)]

    @kj.compile
    def step():
        for rule, w, memory in zip(rules, places, memories, strict=True):
            rule.update({"w": w}, [kj.grad(function(w), w)], memory)

    with kj.default_dtype("float64"):
        for _ in range(steps):
            step()
    return [w.numpy() for w in places]


def test_the_bottom_of_a_parabola():
    """300 steps from (5, 5) lead to the minimum, to within 0.001."""
    quick = kj.schedules.Exponential(0.3, steps=50, factor=0.2)
    rules = [
        GradientDescent(0.3), SGD(0.3), SGD(0.1, momentum=0.5), Momentum(0.1, 0.8), Nesterov(0.1, 0.8), Adagrad(1.0),
        Adadelta(epsilon=0.01), RMSProp(quick), RMSProp(quick, momentum=0.5),
        Adam(0.2), Adam(0.5, amsgrad=True), AdamW(0.2), Adamax(0.3),
        Lion(kj.schedules.Exponential(0.3, steps=50, factor=0.3), beta_2=0.9),
    ]  # fmt: skip
    for rule, end in zip(rules, ends(rules, parabola, [5.0, 5.0], 300), strict=True):
        assert end == pytest.approx([2.0, -1.0], abs=1e-3), rule


def test_rosenbrocks_valley():
    """5,000 steps from (−1.2, 1) round the bend to (1, 1), to within what is stated for each."""
    rules = {
        GradientDescent(0.002): 0.02, SGD(0.002): 0.02, Momentum(0.001, 0.9): 1e-8, Nesterov(0.001, 0.9): 1e-8,
        Adagrad(0.7): 0.02, Adadelta(falling(3.0)): 0.01, RMSProp(falling(0.01)): 0.01,
        RMSProp(0.001, momentum=0.9): 0.001, RMSProp(0.001, centered=True): 0.01, Adam(0.02): 1e-8,
        Adam(0.02, amsgrad=True): 0.01, AdamW(0.02, weight_decay=0.0): 1e-8, Adamax(0.05): 0.001,
        Lion(falling(0.02)): 0.001,
    }  # fmt: skip
    for (rule, within), end in zip(rules.items(), ends(list(rules), rosenbrock, [-1.2, 1.0], 5000), strict=True):
        assert np.abs(end - 1.0).max() < within, rule


def steps_needed(rules, bowl, start, steps):
    """After how many steps each rule's loss ½ wᵀ A w is first a millionth of what it was; `steps` where it is not."""
    places = [kj.Parameter(start, dtype="float64", name=f"w{i}") for i in range(len(rules))]
    memories = [rule.make_slots({"w": w}) for rule, w in zip(rules, places, strict=True)]
    matrix = kj.tensor(bowl, dtype="float64")

    @kj.compile
    def step():
        for rule, w, memory in zip(rules, places, memories, strict=True):
            rule.update({"w": w}, [matrix @ w], memory)
        return kj.stack([0.5 * (w * (matrix @ w)).sum() for w in places])

    with kj.default_dtype("float64"):
        losses = np.array([step().numpy() for _ in range(steps)])
    reached = losses < 1e-6 * losses[0]
    return [int(row.argmax()) if row.any() else steps for row in reached.T]


def test_momentum_along_a_narrow_valley():
    """Condition 100: plain descent needs ln 1000 / ln (101/99) = 346 steps at its best rate, momentum less than a
    fifth; turning the valley by 30° changes nothing for them, and takes from Adagrad what it had on the axes.
    """
    rules = [GradientDescent(2 / 101), Momentum(4 / 121, momentum=(9 / 11) ** 2), Nesterov(0.005), Adagrad(10.0)]
    cos, sin = np.cos(np.pi / 6), 0.5
    turn = np.array([[cos, -sin], [sin, cos]])
    along = steps_needed(rules, np.diag([1.0, 100.0]), [10.0, 1.0], 400)
    turned = steps_needed(rules, turn @ np.diag([1.0, 100.0]) @ turn.T, turn @ [10.0, 1.0], 400)
    assert along[0] == 346 and along[1] < 346 / 5 and along[2] < 346 / 5
    assert turned[:3] == along[:3]
    assert along[3] < 10 and turned[3] == 400
