"""Each activation against PyTorch and Keras, at its kinks and far out, on both engines, and against its printed TeX."""

import os
import re

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import kedja as kj
from oracles.tex import computed
from oracles.torch_activations import TORCH_ACTIVATIONS

activations, TABLE = kj.activations, kj.activations.TABLE
NAMES = sorted(TABLE)
SINGLE = [name for name in NAMES if TABLE[name].elementwise]
EVERY = pytest.mark.parametrize("name", NAMES)
EACH = pytest.mark.parametrize("name", SINGLE)
SMOOTH = [name for name in NAMES if not TABLE[name].kinks]
FAR = np.array([1e4, -1e4, 1e3, -1e3, 90, -90, 30, -30, 9, -9, 1e-4, -1e-4])


def points(name: str) -> np.ndarray:
    """Random ones, the kinks themselves, and their near neighbours on both sides."""
    kinks = np.array([*TABLE[name].kinks, 0.0, -0.0])
    drawn = np.random.default_rng(len(name)).uniform(-6, 6, 200)
    near = [kinks, kinks + 1e-12, kinks - 1e-12]
    return np.concatenate([drawn, *near, np.zeros(-3 * len(kinks) % 4)]).reshape(-1, 4)


def derivatives(f, x: np.ndarray, dtype: str = "float64") -> list[np.ndarray]:
    """Values of ours, and the gradient of a weighted sum of them."""
    z = kj.tensor(x, dtype=dtype)
    y = f(z)
    return [y.numpy(), kj.grad((y * kj.tensor(weights(y.shape), dtype=dtype)).sum(), z).numpy()]


def of_torch(f, x: np.ndarray) -> list[np.ndarray]:
    """The same in PyTorch."""
    z = torch.tensor(x, requires_grad=True)
    y = f(z)
    (g,) = torch.autograd.grad((y * torch.tensor(weights(tuple(y.shape)))).sum(), z)
    return [y.detach().numpy(), g.numpy()]


def weights(shape: tuple[int, ...]) -> np.ndarray:
    """Another weight for each output."""
    return np.random.default_rng(0).uniform(0.5, 1.5, shape)


def off(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """The worst difference, relative where numbers are large."""
    return max(float((np.abs(a - b) / np.maximum(1, np.abs(b))).max()) for a, b in zip(ours, theirs, strict=True))


# --- PyTorch and Keras ----------------------------------------------------------------------------------------------
@EVERY
def test_values_and_derivatives_are_pytorchs(name, judged):
    """In float64, at random points, on the kinks and beside them."""
    x = points(name)
    worst = off(derivatives(TABLE[name].function, x), of_torch(TORCH_ACTIVATIONS[name], x))
    judged("PyTorch", f"activations/{name}", 1, worst)
    assert worst < 1e-13


@pytest.mark.parametrize(
    ("name", "parameters", "theirs"),
    [
        ("leaky_relu", {"slope": 0.2}, lambda x: F.leaky_relu(x, 0.2)),
        ("prelu", {"slope": -0.5}, lambda x: F.prelu(x, torch.tensor([-0.5], dtype=x.dtype))),
        ("rrelu", {"low": 0.1, "high": 0.5}, lambda x: F.rrelu(x, 0.1, 0.5, training=False)),
        ("elu", {"alpha": 0.3}, lambda x: F.elu(x, 0.3)),
        ("celu", {"alpha": 0.5}, lambda x: F.celu(x, 0.5)),
        ("thresholded_relu", {"threshold": -0.4}, lambda x: F.threshold(x, -0.4, 0.0)),
        ("gelu", {"approximate": "tanh"}, lambda x: F.gelu(x, approximate="tanh")),
        ("gelu", {"approximate": True}, lambda x: F.gelu(x, approximate="tanh")),
        ("gelu", {"approximate": "none"}, F.gelu),
        ("swish", {"beta": 2.0}, lambda x: F.silu(2 * x) / 2),
        ("softplus", {"beta": 2.5}, lambda x: F.softplus(x, 2.5, threshold=100)),
        ("mish", {"beta": 2.5}, lambda x: x * torch.tanh(F.softplus(x, 2.5, threshold=100))),
        ("hard_tanh", {"low": -2.0, "high": 0.5}, lambda x: F.hardtanh(x, -2.0, 0.5)),
        ("soft_shrink", {"threshold": 1.2}, lambda x: F.softshrink(x, 1.2)),
        ("hard_shrink", {"threshold": 1.2}, lambda x: F.hardshrink(x, 1.2)),
        ("softmax", {"axis": 0}, lambda x: F.softmax(x, 0)),
        ("log_softmax", {"axis": 0}, lambda x: F.log_softmax(x, 0)),
        ("glu", {"axis": 0}, lambda x: F.glu(x, 0)),
    ],
)
def test_parameters_mean_what_they_mean_in_pytorch(name, parameters, theirs):
    """As a configured function, as a layer with the same keywords, and in Activation."""
    x = np.random.default_rng(4).uniform(-4, 4, (60, 4))
    expected = of_torch(theirs, x)
    forms = [lambda x: TABLE[name].function(x, **parameters)]
    if name != "prelu":  # whose layer learns its slope
        forms += [activations.get(name, **parameters), kj.nn.Activation(name, **parameters)]
        forms += [getattr(kj.nn, TABLE[name].layer)(**parameters)]
    for form in forms:
        assert off(derivatives(form, x), expected) < 1e-13


@pytest.mark.parametrize(
    "name",
    ["celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "linear",
     "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax",
     "softplus", "softsign", "swish", "tanh", "tanh_shrink"],
)  # fmt: skip
def test_keras_names_mean_what_they_mean_in_keras(name):
    """Keras's strings are answered by the same functions. (Its leaky_relu starts with slope 0.2, ours 0.01.)"""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(1).uniform(-5, 5, (50, 4)).astype("float32")
    theirs = keras.ops.convert_to_numpy(keras.activations.get(name)(keras.ops.convert_to_tensor(x)))
    np.testing.assert_allclose(activations.get(name)(x).numpy(), theirs, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives_are_pytorchs(name):
    """Of the smooth ones: the graph of the derivative differentiates like PyTorch's double backward."""
    x = np.random.default_rng(2).uniform(-5, 5, (40, 4))
    z, t = kj.tensor(x, dtype="float64"), torch.tensor(x, requires_grad=True)
    y, w = activations.get(name)(z), TORCH_ACTIVATIONS[name](t)
    ours = kj.grad((kj.grad((y * y).sum(), z) ** 2).sum(), z).numpy()
    (first,) = torch.autograd.grad((w * w).sum(), t, create_graph=True)
    (theirs,) = torch.autograd.grad((first**2).sum(), t)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-8, atol=1e-10)


# --- far out, and on both engines -----------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_float32_holds_far_out(engine):
    """At up to ±1e4 values and derivatives are finite, and those that PyTorch has in float64, to 1e-5."""
    chosen = [name for name in SINGLE if name != "exponential"]  # e^90 is beyond float32

    def all_of_them(x):
        ys = [activations.TABLE[name].function(x) for name in chosen]
        return [*ys, *(kj.grad(y.sum(), x) for y in ys)]

    found = [y.numpy() for y in kj.compile(all_of_them, engine=engine)(FAR.astype("float32"))]
    for name, value, slope in zip(chosen, found[: len(chosen)], found[len(chosen) :], strict=True):
        z = torch.tensor(FAR.astype("float32").astype("float64"), requires_grad=True)
        y = TORCH_ACTIVATIONS[name](z)
        (g,) = torch.autograd.grad(y.sum(), z)
        assert value.dtype == slope.dtype == "float32"
        np.testing.assert_allclose(value, y.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(slope, g.numpy(), rtol=1e-5, atol=1e-6, err_msg=f"{name}, derivative")


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "glu"])
def test_rows_hold_far_out(name):
    """Distributions over logits of ±1e4 in float32."""
    x = np.array([[1e4, -1e4, 3.0, 1.0], [-1e4, -1e4 + 1, -1e4, -1e4], [5.0, 1e4, 1e4, 2.0]])
    theirs = of_torch(TORCH_ACTIVATIONS[name], x)
    for a, b in zip(derivatives(activations.get(name), x, "float32"), theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_slope_of_softsign_keeps_its_digits():
    """1/(1 + |x|)² at 1e4 in float32 to 1e-6 of itself; the quotient rule would leave three digits."""
    (slope,) = derivatives(activations.softsign, np.array([1e4]), "float32")[1]
    assert slope / weights((1,))[0] == pytest.approx(1 / 10001**2, rel=1e-6)


def test_engines_agree():
    """Reference and XLA: all values and derivatives, in float64, at kinks too."""
    x = np.concatenate([points(name) for name in NAMES])

    def all_of_them(x):
        ys = [TABLE[name].function(x) for name in NAMES]
        return [*ys, *(kj.grad((y * y).sum(), x) for y in ys)]

    with kj.default_dtype("float64"):
        found = [kj.compile(all_of_them, engine=engine)(x) for engine in ("reference", "xla")]
    for name, a, b in zip([*NAMES, *NAMES], *found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14, err_msg=name)


@EACH
def test_what_is_missing_stays_missing(name):
    """NaN goes through, so that divergence is seen; a step alone has no place for it."""
    found = activations.TABLE[name].function(kj.tensor([np.nan, 1.0]))
    assert np.isnan(found.numpy()).tolist() == [name != "step", False]


# --- what the table says --------------------------------------------------------------------------------------------
def test_every_activation_of_the_scope_is_there():
    """Scope 2.3, and an oracle for each entry."""
    scope = (
        "identity step relu prelu rrelu leaky_relu elu selu gelu gelu_tanh swish silu softplus mish hard_swish sigmoid "
        "softsign tanh hard_tanh hard_sigmoid tanh_shrink soft_shrink hard_shrink softmax log_softmax"
    )
    assert set(scope.split()) <= set(activations.NAMES) and set(TABLE) == set(TORCH_ACTIVATIONS)
    assert [activations.NAMES[n] is e.function for e in TABLE.values() for n in e.names].count(False) == 0
    assert len(activations.NAMES) == sum(len(e.names) for e in TABLE.values())


LETTERS = {
    "leaky_relu": {"a": 0.01},
    "prelu": {"a": 0.25},
    "rrelu": {"a": 11 / 48},
    "elu": {r"\alpha": 1.0},
    "celu": {r"\alpha": 1.0},
    "selu": {r"\lambda": 1.0507009873554805, r"\alpha": 1.6732632423543772},
    "thresholded_relu": {r"\theta": 1.0},
    "swish": {r"\beta": 1.0},
    "softplus": {r"\beta": 1.0},
    "mish": {r"\beta": 1.0},
    "hard_tanh": {"l": -1.0, "h": 1.0},
    "soft_shrink": {r"\lambda": 0.5},
    "hard_shrink": {r"\lambda": 0.5},
}


@EACH
def test_the_printed_formulas_are_what_is_computed(name):
    """Formula and derivative in TeX, read back and evaluated, give value and derivative, at the kinks too."""
    x = np.concatenate([np.linspace(-5, 5, 101), TABLE[name].kinks])
    value, slope = activations.curve(name, x)
    known = {"x": x, **LETTERS.get(name, {})}
    if r"\tanh u" in TABLE[name].formula or r"\tanh s" in TABLE[name].formula:  # the derivative uses the same letter
        letter, body = TABLE[name].formula.split(r", \quad ")[1].split(" = ")
        known[letter] = computed(body, known)
    np.testing.assert_allclose(value, computed(TABLE[name].formula, known) * np.ones_like(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slope, computed(TABLE[name].derivative, known) * np.ones_like(x), rtol=1e-9, atol=1e-12)


@EACH
def test_ranges_are_true_and_tight(name):
    """No value lies outside, an end in square brackets is reached to 1e-4, and one in round brackets never."""
    x = np.concatenate([np.linspace(-18, 18, 36_001), TABLE[name].kinks])
    value, _ = activations.curve(name, x)
    left, low, high, right = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", TABLE[name].range).groups()
    for end, bracket, extreme in ((low, left, value.min()), (high, right, value.max())):
        if "infty" in end:
            assert np.sign(extreme) == (-1 if end == low else 1) and abs(extreme) > 0.1
        elif bracket in "[]":
            assert abs(extreme - float(end)) < 1e-4 and (extreme >= float(end) if bracket == "[" else True)
        else:
            assert 0 < (1 if end == low else -1) * (extreme - float(end)) < 0.1


@EACH
def test_monotone_is_said_of_the_monotone(name):
    """Whether it ever falls (scope 2.4: GELU, Swish and Mish do)."""
    value, _ = activations.curve(name, np.linspace(-10, 10, 20_001))
    assert bool((np.diff(value) >= -1e-12).all()) == TABLE[name].monotone


@EACH
def test_kinks_are_where_it_bends(name):
    """Across each kink value or derivative jumps, and nowhere else."""
    x = np.linspace(-8, 8, 3201) + 1 / 700  # no kink on it
    value, slope = activations.curve(name, x)
    jumps = np.abs(np.diff(slope)) > 0.02 if name not in ("step", "exponential") else np.abs(np.diff(value)) > 0.5
    if name == "exponential":
        jumps = np.zeros(len(x) - 1, bool)
    assert x[:-1][jumps] == pytest.approx(sorted(TABLE[name].kinks), abs=0.006)


def test_the_start_that_suits_follows_from_the_table():
    """He before relu and its relatives, LeCun before selu, Glorot before what is squashed."""
    found = {name: type(kj.initializers.get("auto", name)).__name__ for name in NAMES}
    he = {"relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "thresholded_relu"}
    he |= {"gelu", "gelu_tanh", "swish", "mish", "hard_swish"}
    assert {name for name, init in found.items() if init == "HeNormal"} == he
    assert {name for name, init in found.items() if init != "GlorotUniform"} - he == {"selu"}
    assert type(kj.initializers.get("auto", "silu")).__name__ == "HeNormal"
