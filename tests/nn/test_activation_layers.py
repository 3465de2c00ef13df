"""Activations that learn or draw, with parameters, in files; what they refuse; and their plot."""

import json
import sys
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

import kedja as kj
from kedja.errors import DataError, DTypeError, GraphError, KedjaError, ShapeError, UnknownNameError
from kedja.nn.layers.config import rebuilt

activations = kj.activations
X = np.random.default_rng(3).normal(size=(6, 4))


# --- PReLU ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("how", "shape", "slopes", "torch_shape"),
    [
        ({}, (5, 3), (3,), (3,)),
        ({}, (5, 2, 4, 3), (3,), (3,)),
        ({"shared_axes": "all"}, (5, 2, 4, 3), (), (1,)),
        ({"shared_axes": ()}, (5, 2, 4, 3), (2, 4, 3), (2, 4, 3)),
        ({"shared_axes": (1, 2)}, (5, 2, 4, 3), (3,), (3,)),
        ({"shared_axes": [-1]}, (5, 2, 4, 3), (2, 4, 1), (2, 4, 1)),
        ({"shared_axes": 1}, (5, 2, 3), (3,), (3,)),
        ({}, (7,), (), (1,)),
    ],
)
def test_prelu_is_pytorchs(how, shape, slopes, torch_shape):
    """The sizes of the slope, the start at 0.25, values, and gradients by input and slope."""
    layer = kj.nn.PReLU(**how, dtype="float64")
    x = np.random.default_rng(0).normal(size=shape)
    layer(x)
    assert layer.slope.shape == slopes and (layer.slope.numpy() == 0.25).all()
    layer.slope.assign(np.random.default_rng(1).uniform(-0.5, 0.8, slopes))
    z = kj.tensor(x, dtype="float64")
    y = layer(z)
    a = torch.tensor(layer.slope.numpy().reshape(torch_shape), requires_grad=True)
    t = torch.tensor(x, requires_grad=True)
    w = torch.where(t > 0, t, a * t)  # F.prelu has no slopes by element
    (w**2).sum().backward()
    by_x, by_slope = kj.grad((y**2).sum(), [z, layer.slope])
    np.testing.assert_allclose(y.numpy(), w.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(by_x.numpy(), t.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(by_slope.numpy(), a.grad.numpy().reshape(slopes), rtol=1e-12)


def test_penalties_for_the_model_do_not_mean_the_slope():
    """Also a slope with several axes is left alone, unless it is given a penalty of its own."""
    layer = kj.nn.PReLU((), regularizer="l2")
    layer(np.ones((2, 3, 3)))
    assert layer.slope.penalised is False and layer.slope.regularizer is not None


def test_the_slope_learns():
    """Data made with slope −1 are fitted: |x| is PReLU with −1."""
    x = np.random.default_rng(0).normal(size=(64, 1)).astype("float32")
    net = kj.Sequential([kj.nn.PReLU()])
    net.fit(x, np.abs(x), loss="mse", optimizer=kj.optim.SGD(0.2), epochs=60, batch_size=16, seed=0)
    assert net.layers[0].slope.item() == pytest.approx(-1, abs=1e-3)


def test_the_string_prelu_learns_too():
    """Dense(activation="prelu") has a slope among its variables, and finds it again after loading."""
    net = kj.Sequential([kj.nn.Dense(3, "prelu"), kj.nn.Dense(1)]).build((None, 4), seed=0)
    assert list(net.state)[:3] == ["dense_1.activation.slope", "dense_1.kernel", "dense_1.bias"]
    again = rebuilt(json.loads(json.dumps(net.config()))).build((None, 4), seed=1)
    again.set_weights(net.get_weights())
    np.testing.assert_array_equal(again(X).numpy(), net(X).numpy())


def test_two_layers_do_not_share_a_slope():
    """Each use of the string makes its own."""
    net = kj.Sequential([kj.nn.Dense(3, "prelu"), kj.nn.Dense(3, "prelu")]).build((None, 4))
    assert len({id(v) for v in net.state.values()}) == 6


# --- RReLU ----------------------------------------------------------------------------------------------------------
def slopes_of(layer: kj.nn.RReLU, engine: str, key: int = 0, n: int = 20_000) -> np.ndarray:
    """The slopes drawn in training: what comes out for −1, with the sign turned."""
    f = kj.compile(lambda x: -layer(x, training=True, key=kj.random.key(key)), engine=engine)
    return f(-np.ones((n,), "float32")).numpy()


def test_rrelu_draws_uniformly():
    """In training: slopes from U(1/8, 1/3), by Kolmogorov and Smirnov, another for each element and each key."""
    a = slopes_of(kj.nn.RReLU(), "reference")
    assert stats.kstest(a, stats.uniform(1 / 8, 1 / 3 - 1 / 8).cdf).pvalue > 0.01
    assert len(np.unique(a)) > 19_000
    assert not np.array_equal(a, slopes_of(kj.nn.RReLU(), "reference", key=1))


def test_rrelu_draws_the_same_on_both_engines():
    """From the same bits, so to rounding."""
    a, b = (slopes_of(kj.nn.RReLU(0.1, 0.9), engine) for engine in ("reference", "xla"))
    np.testing.assert_allclose(a, b, rtol=3e-7)


def test_rrelu_takes_the_mean_in_inference():
    """11/48 for the bounds it starts with, as in PyTorch's evaluation mode; positive numbers pass in both."""
    expected = F.rrelu(torch.tensor(X), training=False).numpy()
    np.testing.assert_allclose(kj.nn.RReLU(dtype="float64")(X).numpy(), expected, rtol=1e-12)
    up = np.abs(X).astype("float32")
    np.testing.assert_array_equal(kj.nn.RReLU()(up, training=True, key=kj.random.key(0)).numpy(), up)


def test_the_derivative_of_rrelu_is_the_slope_drawn():
    """In training, the same a in value and derivative."""
    x = kj.tensor(-np.arange(1.0, 9.0))
    y = kj.nn.RReLU()(x, training=True, key=kj.random.key(5))
    np.testing.assert_allclose(kj.grad(y.sum(), x).numpy() * x.numpy(), y.numpy(), rtol=1e-6)


@pytest.mark.parametrize("make", [lambda: kj.nn.Dense(8, "rrelu"), lambda: kj.nn.Dense(8, kj.nn.RReLU(0.1, 0.2))])
def test_rrelu_serves_inside_a_layer(make):
    """As `activation=`: a fit repeats from its seed, and prediction draws nothing."""
    x, y = X.astype("float32"), X[:, :1].astype("float32")
    found = []
    for _ in range(2):
        net = kj.Sequential([make(), kj.nn.Dense(1)])
        net.fit(x, y, loss="mse", epochs=3, batch_size=3, seed=4)
        found.append(net.predict(x))
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(net.predict(x), found[1])


# --- parameters -----------------------------------------------------------------------------------------------------
FORMS = {
    "name": lambda: "silu",
    "configured": lambda: activations.get("leaky_relu", slope=0.2),
    "data": lambda: {"activation": "elu", "alpha": 0.5},
    "partial": lambda: partial(activations.softplus, beta=2.0),
    "function": lambda: activations.hard_swish,
    "op": lambda: kj.tanh,
    "layer": lambda: kj.nn.HardTanh(-2.0, 0.5),
    "layer with choices": lambda: kj.nn.GELU(approximate="tanh"),
    "learns": lambda: kj.nn.PReLU("all"),
    "nothing": lambda: None,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layer", ["Dense", "Activation"])
def test_every_form_survives_saving(form, layer, tmp_path):
    """A model with it gives the same numbers after its files are read."""
    own = [kj.nn.Dense(5, FORMS[form]())] if layer == "Dense" else [kj.nn.Dense(5), kj.nn.Activation(FORMS[form]())]
    net = kj.Sequential([*own, kj.nn.Dense(2)]).build((None, 4), seed=1)
    again = kj.load(net.save(tmp_path / "net"))
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert again.config() == net.config()


def test_parameters_are_written_beside_the_name():
    """As plain data, in a form that can be typed by hand."""
    config = kj.nn.Dense(3, activations.get("leaky_relu", slope=0.2)).config()
    assert config == {"class": "Dense", "units": 3, "activation": {"activation": "leaky_relu", "slope": 0.2}}
    config = kj.nn.Activation("leaky_relu", slope=0.2).config()
    assert config == {"class": "Activation", "activation": "leaky_relu", "slope": 0.2}
    assert kj.nn.LeakyReLU(0.2).config() == {"class": "LeakyReLU", "slope": 0.2}


def test_a_function_of_the_same_name_is_not_ours():
    """A user's own `relu` is code, and is not saved as if it were the library's."""

    def relu(x):
        return x

    assert activations.config_of(relu) is None
    with pytest.raises(KedjaError, match="never code"):
        kj.nn.Dense(3, relu).config()


def test_equal_parameters_are_equal_activations():
    """Compared and hashed by what they are."""
    a, b, c = (activations.get("elu", alpha=v) for v in (0.5, 0.5, 0.6))
    assert a == b and hash(a) == hash(b) and a != c and repr(a) == "elu(alpha=0.5)"


def test_a_layers_numbers_can_be_changed():
    """Slope and bounds are run-time numbers, read at each call."""
    layer = kj.nn.LeakyReLU(0.5)
    assert layer([-2.0]).tolist() == [-1.0] and layer.scalars == ("slope",)
    layer.slope = 0.25
    assert layer([-2.0]).tolist() == [-0.5]


def test_changing_a_number_compiles_nothing():
    """A second fit with another slope uses the program of the first, and learns something else."""
    x = X.astype("float32")
    found, seconds = [], []
    for slope in (0.1, 0.9):
        if not found:
            net = kj.Sequential([kj.nn.Dense(4), kj.nn.LeakyReLU(slope), kj.nn.Dense(1)]).build((None, 4), seed=0)
            start = net.get_weights()
        net.set_weights(start)
        net.layers[1].slope = slope
        history = net.fit(x, x[:, :1], loss="mse", epochs=2, batch_size=3, seed=0, engine="xla")
        found.append(history["loss"][0])
        seconds.append(history.compile_seconds)
    assert seconds[0] > 0 and seconds[1] == 0 and abs(found[0] - found[1]) > 0.1


def test_auto_sees_through_every_form():
    """He before any relative of relu, however it is given."""
    for form in ("leaky_relu", {"activation": "elu", "alpha": 0.5}, kj.nn.PReLU(), kj.nn.GELU(), activations.mish):
        layer = kj.nn.Dense(200, form, init="auto")
        layer(np.ones((1, 100)), seed=0)
        assert layer.kernel.numpy().std() == pytest.approx(0.02**0.5, rel=0.05)


# --- what is refused ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: activations.get("leaky_relu", slop=1), DataError, "has no parameter 'slop'; it takes slope"),
        (lambda: activations.get("tanh", beta=1), DataError, "tanh has no parameter 'beta'; it takes none"),
        (lambda: activations.get("softplus", beta=0), DataError, "softplus: beta is a finite number above 0, got 0"),
        (lambda: kj.nn.Mish(beta=-1.0), DataError, "mish: beta is a finite number above 0, got -1.0"),
        (lambda: kj.nn.SoftShrink("a"), DataError, "threshold is a finite number of at least 0, got 'a'"),
        (lambda: kj.nn.HardTanh(1.0, 1.0), DataError, "hard_tanh: high is a finite number above 1, got 1.0"),
        (lambda: kj.nn.RReLU(0.5, 0.1), DataError, "rrelu: high is a finite number of at least 0.5, got 0.1"),
        (lambda: kj.nn.GELU("erf"), UnknownNameError, "approximate= 'erf'"),
        (lambda: kj.nn.ELU(np.nan), DataError, "elu: alpha is a finite number, got nan"),
        (lambda: kj.nn.LeakyReLU(slop=1), TypeError, "LeakyReLU has no argument 'slop': did you mean 'slope'?"),
        (lambda: kj.nn.Dense(3, kj.nn.ReLU), GraphError, "activation=kj.nn.ReLU()"),
        (lambda: kj.nn.Dense(3, "swich"), UnknownNameError, "Did you mean 'swish'?"),
        (lambda: kj.nn.Dense(3, {"slope": 1}), DataError, "a dict has its name and parameters"),
        (lambda: activations.get(lambda x: x, beta=1), DataError, "no activation of kedja's, so kedja cannot give it"),
        (lambda: activations.elu(kj.tensor([1], dtype="int64")), DTypeError, "elu needs floating-point tensors"),
        (lambda: kj.nn.GLU()([[1.0, 2.0, 3.0]]), ShapeError, "GLU: glu halves axis -1 of (1, 3), and 3 is odd"),
        (lambda: kj.nn.PReLU((0, 1)), DataError, "shared_axes is 'all' or a tuple of axes after that of examples"),
        (lambda: kj.nn.PReLU("some"), DataError, "got 'some'"),
        (lambda: kj.nn.PReLU((3,))([[1.0]]), DataError, "an input of 2 axes, (1, 1): axes run from 1 to 1"),
        (lambda: kj.nn.RReLU()([1.0], training=True), GraphError, "call it with key=kj.random.key(0)"),
        (lambda: activations.plot("reluu"), UnknownNameError, "Did you mean 'relu'?"),
    ],
)  # fmt: skip
def test_answers(make, error, message):
    """Which activation, what came, what it takes."""
    with pytest.raises(error) as raised:
        make()
    assert message in str(raised.value)


# --- the plot -------------------------------------------------------------------------------------------------------
def test_plot_shows_value_and_derivative():
    """A panel each, with the numbers of the curves; a jump is not drawn as a slope."""
    figure = activations.plot(["tanh", "step"], span=2.0)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["tanh", "step"]
    derivative, value = figure.axes[0].lines[:2]
    x = value.get_xdata()
    np.testing.assert_allclose(value.get_ydata(), np.tanh(x), rtol=1e-12)
    np.testing.assert_allclose(derivative.get_ydata(), 1 / np.cosh(x) ** 2, rtol=1e-9)
    assert np.isnan(figure.axes[1].lines[1].get_ydata()).sum() == 1


@pytest.mark.long
def test_plot_of_all_goes_into_a_file(tmp_path):
    """Every entry of the table has its panel."""
    figure = activations.plot(path=tmp_path / "all.svg")
    assert len(figure.axes) == len(activations.TABLE) and (tmp_path / "all.svg").stat().st_size > 10_000


def test_plot_without_matplotlib(monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(KedjaError, match=r'pip install "kedja\[plot\]"'):
        activations.plot("tanh")
