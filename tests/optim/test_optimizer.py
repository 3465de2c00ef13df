"""What every optimiser can do besides its rule: rates of layers, schedules, constraints, numbers that change."""

from typing import ClassVar

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, UnknownNameError
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
    get,
)
from oracles.optimisers import by_ours, by_ours_together, by_torch_together

RNG = np.random.default_rng(13)
STARTS = {"encoder.in.kernel": (3, 2), "encoder.in.bias": (2,), "encoder.out.kernel": (2, 2), "head.kernel": (2, 1)}
STARTS = {path: RNG.normal(size=shape) for path, shape in STARTS.items()}
GRADIENTS = [[RNG.normal(size=s.shape) for s in STARTS.values()] for _ in range(50)]
ALL = [
    SGD(0.1), SGD(0.1, momentum=0.5), GradientDescent(0.2), Momentum(0.3, 0.4), Nesterov(0.1), Adagrad(0.1), Adadelta(),
    RMSProp(0.1), RMSProp(0.1, momentum=0.5, centered=True), RMSProp(0.1, bias_corrected=False), Adam(0.1, 0.8),
    Adam(0.1, amsgrad=True), AdamW(0.1), Adamax(0.1), Lion(0.1, weight_decay=0.1),
]  # fmt: skip
EVERYTHING = {"clip_norm": 1.0, "layer_rates": {"encoder": 0.5, "encoder.out.kernel": 0.1}, "average": 0.9}


def with_everything(rule):
    """The same optimiser with every option on."""
    return get({**rule.config(), **EVERYTHING})


# --- both engines, both types ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "rule",
    [
        RMSProp(0.1, momentum=0.5, centered=True),
        with_everything(AdamW(0.1)),
        *(pytest.param(with_everything(rule), marks=pytest.mark.long) for rule in ALL),
    ],
    ids=repr,
)
def test_engines_agree(rule):
    """In float64 a hundred steps, every option on, are the same to rounding."""
    ours, compiled = (
        by_ours_together(rule, STARTS, GRADIENTS * 2, engine=engine)[-1] for engine in ("reference", "xla")
    )
    for path in STARTS:
        np.testing.assert_allclose(compiled[path], ours[path], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rule", ALL, ids=repr)
def test_float32_follows_float64(rule):
    """In float32 fifty steps stay within its rounding."""
    start, gradients = STARTS["encoder.in.kernel"], [row[0] for row in GRADIENTS]
    exact = by_ours(rule, start, gradients)[-1]
    far = np.abs(exact - start).max()
    np.testing.assert_allclose(by_ours(rule, start, gradients, dtype="float32")[-1], exact, atol=1e-4 * far)


@pytest.mark.parametrize("options", [{}, {**EVERYTHING, "layer_rates": {"a": 0.5, "b": 0.5}}], ids=["plain", "all"])
def test_parameters_of_two_types(options):
    """Numbers come in the type of the first parameter and are brought into that of each."""
    wide, narrow = kj.Parameter([[3.0, 4.0]], dtype="float64"), kj.Parameter([[3.0, 4.0]], dtype="float32")
    parameters = {"a": wide, "b": narrow}
    rule = AdamW(kj.schedules.Cosine(0.1, 100), **options)
    memory = rule.make_slots(parameters)

    def step(*numbers):
        rule.with_scalars(numbers).update(parameters, [wide * 1.0, narrow * 1.0], memory)

    program = kj.compile(step, engine="reference")
    with kj.default_dtype("float64"):
        for _ in range(5):
            program(*rule.scalar_values())
    assert wide.numpy()[0, 0] < 3.0
    np.testing.assert_allclose(wide.numpy(), narrow.numpy(), rtol=1e-5)


# --- run-time numbers -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rule", map(with_everything, ALL), ids=lambda r: type(r).__name__)
def test_changing_a_number_compiles_nothing(rule):
    """Every number is an argument of the program: halved midway, it acts, in the one program there is."""
    first = by_ours_together(rule, STARTS, GRADIENTS[:20])
    values = rule.scalar_values()
    assert len(values) == len(rule.scalars) and len(set(rule.scalars)) == len(values)
    own = [n for n in rule.scalars if "." not in n and n != "average_from"]
    halved = {n: getattr(rule, n) / 2 for n in own} | {"layer_rates": {p: f / 2 for p, f in rule.layer_rates.items()}}
    structure = rule.structure()
    again = by_ours_together(rule, STARTS, GRADIENTS[:20], each=lambda t: halved if t == 11 else {})
    for path in STARTS:
        np.testing.assert_array_equal(again[9][path], first[9][path])
        assert (again[10][path] != first[10][path]).any()
    assert rule.structure() == structure


def test_structure_tells_programs_apart():
    """What is on or off, and which layers have a factor, makes another program; numbers do not."""
    same = [Adam(0.1), Adam(0.2, 0.5, 0.6, 1e-3)]
    other = [
        AdamW(0.1), Adam(0.1, amsgrad=True), Adam(0.1, clip_norm=1.0), Adam(0.1, clip_value=1.0),
        Adam(0.1, layer_rates={"a": 1.0}), Adam(0.1, layer_rates={"b": 1.0}), Adam(0.1, average=0.9),
        Adam(0.1, average="mean"), Adam(kj.schedules.Constant(0.1)), Adam(kj.schedules.Cosine(0.1, 10)),
    ]  # fmt: skip
    assert same[0].structure() == same[1].structure()
    assert len({rule.structure() for rule in [*same, *other]}) == 1 + len(other)
    remembered = {rule.remembered() for rule in [*same, *other]}
    assert len(remembered) == 4  # AdamW's, amsgrad's, that with an average, and the rest


def test_fit_takes_new_numbers_without_compiling():
    """A second `fit` with other numbers of everything runs the program of the first."""
    x, y = kj.data.load("xor")
    net = kj.Sequential([kj.nn.Dense(3, activation="tanh"), kj.nn.Dense(1)])
    how = {"loss": "mse", "epochs": 3, "batch_size": None, "seed": 0, "verbose": 0}
    for rate in (0.1, 0.2):
        rule = Adam(rate, clip_norm=10 * rate, layer_rates={"dense_1": rate}, average=1 - rate)
        history = net.fit(x, y, optimizer=rule, **how)
    assert history.compile_seconds == 0
    assert len(net._training.loops) == 1


# --- rates of layers ------------------------------------------------------------------------------------------------
def test_rates_of_layers_are_torchs_groups():
    """The longest name that fits wins; PyTorch with a group for each parameter."""
    factors = {"encoder": 0.1, "encoder.out": 0.5, "head.kernel": 0.0}
    ours = by_ours_together(Momentum(0.2, 0.9, layer_rates=factors), STARTS, GRADIENTS)[-1]
    groups = [{"lr": 0.2 * f} for f in (0.1, 0.1, 0.5, 0.0)]
    theirs = by_torch_together("SGD", list(STARTS.values()), GRADIENTS, groups=groups, lr=0.2, momentum=0.9)
    for path, y in zip(STARTS, theirs[-1], strict=True):
        np.testing.assert_allclose(ours[path], y, rtol=1e-9, atol=1e-12)
    assert (ours["head.kernel"] == STARTS["head.kernel"]).all()


@pytest.mark.parametrize("rule", ALL, ids=repr)
def test_a_factor_of_0_holds_a_layer_still(rule):
    """For every rule; the other layers move as ever."""
    rule = get(rule.config())
    plain = by_ours_together(rule, STARTS, GRADIENTS[:5])[-1]
    rule.layer_rates = {"encoder": 0.0}
    found = by_ours_together(rule, STARTS, GRADIENTS[:5])[-1]
    for path, start in STARTS.items():
        assert (found[path] == (start if path.startswith("encoder") else plain[path])).all()


@pytest.mark.parametrize("name", ["encode", "encoder.in.kern", "hed", "kernel"])
def test_a_layer_nobody_has(name):
    """The beginning of a word is not a layer: the error names those there are."""
    with pytest.raises(UnknownNameError) as error:
        by_ours_together(SGD(layer_rates={name: 0.5}), STARTS, GRADIENTS[:1])
    assert f"layer_rates, {name!r}" in str(error.value)
    assert "Known: encoder, encoder.in, encoder.in.bias, encoder.in.kernel, encoder.out" in str(error.value)


# --- schedules ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [SGD, Momentum, Adam, AdamW], ids=lambda c: c.__name__)
@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_a_schedule_counts_steps_from_0(make, engine):
    """Step k uses the rate after k steps: as setting these rates by hand, one by one."""
    schedule = kj.schedules.Cosine(0.2, 30)
    start, gradients = STARTS["encoder.in.kernel"], [row[0] for row in GRADIENTS]
    by_hand = by_ours(make(0.1), start, gradients[:30], [schedule.at(k) for k in range(30)])
    found = by_ours(make(schedule), start, gradients[:30], engine=engine)
    np.testing.assert_allclose(found, by_hand, rtol=1e-9, atol=1e-12)
    assert make(schedule).rate_at(0) == 0.2 and make(0.1).rate_at(7) == 0.1


def test_a_schedule_of_torch():
    """An exponential fall with PyTorch's ExponentialLR beside it."""
    ours = by_ours_together(Adam(kj.schedules.Exponential(0.1, steps=1, factor=0.9)), STARTS, GRADIENTS)[-1]
    ps = [torch.nn.Parameter(torch.tensor(s)) for s in STARTS.values()]
    rule = torch.optim.Adam(ps, lr=0.1)
    falling = torch.optim.lr_scheduler.ExponentialLR(rule, 0.9)
    for row in GRADIENTS:
        for p, g in zip(ps, row, strict=True):
            p.grad = torch.tensor(g)
        rule.step()
        falling.step()
    for path, p in zip(STARTS, ps, strict=True):
        np.testing.assert_allclose(ours[path], p.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_a_number_in_place_of_a_schedule():
    """The rate may be set to a number or a schedule at any time; its run-time numbers follow."""
    rule = SGD(0.1, clip_norm=1.0)
    assert rule.scalars == ("learning_rate", "clip_norm")
    rule.learning_rate = kj.schedules.Cosine(0.1, 30)
    assert rule.scalars[0].startswith("learning_rate.") and rule.scalars[-1] == "clip_norm"
    rule.learning_rate = 0.2
    assert rule.scalars == ("learning_rate", "clip_norm") and rule.scalar_values() == [0.2, 1.0]


# --- constraints ----------------------------------------------------------------------------------------------------
def test_constraints_come_last():
    """After the rule a parameter is brought back to its set, and the average is of what it is then."""
    w = kj.Parameter([[1.0, -1.0]], name="w", constraint=kj.nn.constraints.NonNegative())
    rule = SGD(1.0, average=0.5)
    memory = rule.make_slots({"w": w})
    labels = [step.label for _, step in rule.named_steps({"w": w}, [w * 0.0 + 0.5], memory)]
    assert labels == ["move", "constrain", "average the weights"]

    @kj.compile
    def step():
        rule.update({"w": w}, [w * 0.0 + 0.5], memory)

    step()
    assert w.tolist() == [[0.5, 0.0]] and kj.optim.averaged(memory, {"w": w})["w"].tolist() == [[0.5, 0.0]]


# --- named steps ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rule", "labels"),
    [
        (SGD(0.1), ["move"]),
        (Momentum(0.1), ["accumulate velocity", "move"]),
        (SGD(0.1, momentum=0.9), ["accumulate velocity", "move"]),
        (Nesterov(0.1), ["accumulate velocity", "move ahead"]),
        (Adagrad(0.1), ["add up the squares", "move"]),
        (Adadelta(), ["average the squares", "average the squared steps", "move"]),
        (RMSProp(0.1), ["average the squares", "move"]),
        (
            RMSProp(0.1, centered=True, momentum=0.9),
            ["average the squares", "average the gradient", "accumulate velocity", "move"],
        ),
        (Adam(0.1), ["average the gradient", "average its square", "move"]),
        (Adam(0.1, amsgrad=True), ["average the gradient", "average its square", "keep the largest", "move"]),
        (AdamW(0.1), ["average the gradient", "average its square", "decay the weights", "move"]),
        (Adamax(0.1), ["average the gradient", "keep the largest size", "move"]),
        (Lion(0.1), ["decay the weights", "move by the sign", "average the gradient"]),
        (SGD(0.1, clip_value=1.0, average="mean"), ["clip each entry", "move", "average the weights"]),
        (SGD(0.1, clip_each_norm=1.0), ["clip the length", "move"]),
    ],
    ids=repr,
)
def test_steps_have_names(rule, labels):
    """An explainer can go through the rule step by step, each a target and a graph that can be read."""
    p = kj.Parameter([[1.0, 2.0]], name="p")
    found = [step for _, step in rule.named_steps({"p": p}, [kj.tensor([[0.5, 0.5]])], rule.make_slots({"p": p}))]
    assert [s.label for s in found] == labels
    assert all(s.value.shape == p.shape and s.value.text() for s in found)


def test_no_option_adds_no_node():
    """A rule whose options are off is the bare rule: θ − εg and the counter are five nodes."""
    p, g = kj.Parameter(np.ones((2,)), name="p"), kj.placeholder((2,), name="g")
    rule = SGD(0.1)
    memory = rule.make_slots({"p": p})
    graph = kj.trace(lambda g, rate: rule.with_scalars([rate]).update({"p": p}, [g], memory), [g, ((), "float32")])
    kinds = sorted(node.op.name for node in graph.order)
    assert kinds == ["add", "constant", "input", "input", "multiply", "subtract", "variable", "variable"]


# --- configurations -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "rule",
    [
        *ALL,
        *map(with_everything, ALL),
        Adam(kj.schedules.Cosine(0.1, 100), average="mean", average_from=10),
        SGD(0.1, clip_value=0.5),
    ],
    ids=repr,
)
def test_an_optimiser_survives_its_configuration(rule):
    """Made again from plain data, through JSON, it is the same."""
    import json

    again = get(json.loads(json.dumps(rule.config())))
    assert type(again) is type(rule) and repr(again) == repr(rule)
    assert again.structure() == rule.structure() and again.scalar_values() == rule.scalar_values()


def test_a_configuration_says_only_what_is_on():
    """Plain optimisers are told by their name and numbers."""
    assert Adam(0.1).config() == {"name": "Adam", "learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
    assert repr(SGD(0.1, clip_norm=2, layer_rates={"a": 0.5})) == (
        "SGD(learning_rate=0.1, clip_norm=2, layer_rates={'a': 0.5})"
    )


# --- a rule of one's own --------------------------------------------------------------------------------------------
class Signs(kj.optim.Optimizer):
    """θ ← θ − εh · g / (|g| + 1)."""

    scalars: ClassVar = ("learning_rate", "h")

    def __init__(self, learning_rate, h, **options):
        super().__init__(learning_rate, **options)
        self.h = h

    def steps(self, parameter, gradient, slots, rate, time):
        yield kj.optim.Step("move", parameter, parameter - rate * self.h * gradient / (abs(gradient) + 1.0))


def test_a_rule_of_ones_own_has_the_options_too():
    """A subclass says its steps and names its numbers; clipping, rates, averages come with the base."""
    rule = Signs(0.1, 2.0, clip_value=1.0, layer_rates={"head": 0.5}, average=0.9)
    assert rule.scalars == ("learning_rate", "h", "clip_value", "layer_rates.head", "average", "average_from")
    found = by_ours_together(rule, {"body.w": np.zeros(1), "head.w": np.zeros(1)}, [[np.full(1, 9.0)] * 2])[-1]
    assert found["body.w"] == pytest.approx(-0.1) and found["head.w"] == pytest.approx(-0.05)
    with pytest.raises(TypeError, match="Signs has no argument 'clipnorm': kedja spells it clip_each_norm="):
        Signs(0.1, 2.0, clipnorm=1.0)


def test_a_rule_that_says_nothing():
    """The base itself is no rule."""
    with pytest.raises(DataError, match="Optimizer does not say its steps"):
        by_ours(kj.optim.Optimizer(0.1), np.zeros(1), [np.zeros(1)])
