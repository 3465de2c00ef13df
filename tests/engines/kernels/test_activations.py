"""Activations inside convolutions' kernels, and the gradients through them, against the nodes they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kedja as kj
from kedja.engines.xla import fusion, kernels
from kedja.engines.xla.activations import activations

pytest.importorskip("llvmlite")
from kedja.engines.kernels.activation import RELU, Activation
from kedja.engines.kernels.target import narrowed

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")

FUNCTIONS = {
    "relu": (kj.activations.relu, RELU),
    "relu6": (kj.activations.relu6, Activation(0.0, 6.0)),
    "leaky": (kj.activations.leaky_relu, Activation(slope=float(np.float32(0.01)))),
    "hard_tanh": (kj.activations.hard_tanh, Activation(-1.0, 1.0)),
    "clip": (lambda z: kj.clip(z, -0.5, 2.0), Activation(-0.5, 2.0)),
}
PLACE = {"stride": (1, 1), "low": (1, 1), "high": (1, 1), "dilation": (1, 1)}


def graph_of(f, arrays):
    """The graph of a function of arrays."""
    inputs = [kj.placeholder(a.shape, a.dtype) for a in arrays]
    return kj.Graph(inputs, f(*inputs))


def arrays(channels=3, outs=20):
    """An image, a kernel, a bias and a second kernel, of a size at which bounds are met."""
    rng = np.random.default_rng(0)
    shapes = [(2, 7, 6, channels), (3, 3, channels, outs), (outs,), (3, 3, outs, 5)]
    sizes = (1.0, 0.6, 1.0, 0.1)
    return [(a * rng.normal(size=s)).astype("float32") for a, s in zip(sizes, shapes, strict=True)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_activation_is_read_and_done_by_the_kernel(name):
    """The graph shows what it is; convolution, bias and activation are one call, with the nodes' numbers."""
    function, act = FUNCTIONS[name]
    given = arrays()[:3]

    def f(x, w, b):
        return [function(kj.conv(x, w, padding="same") + b)]

    graph = graph_of(f, given)
    (z,) = [node for node in graph.order if node.op.name == "add"]
    assert activations(graph.order)[z][0].act == act
    done = {node.op.name for node, work in fusion.fused(graph).items() if work is not None and node.ndim == 4}
    assert graph.outputs[0].op.name in done
    both = [kj.compile(f, engine=engine)(*given)[0].numpy() for engine in ("xla", "reference")]
    np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_through_it(name, stride, monkeypatch):
    """All gradients of two layers; for those whose value tells the derivative, the kernel of the gradient does it."""
    function, act = FUNCTIONS[name]
    given, seen = arrays(), []
    real = kernels.transpose
    monkeypatch.setattr(kernels, "transpose", lambda *a, **k: seen.append(k.get("act")) or real(*a, **k))

    def f(x, w, b, v):
        y = function(kj.conv(x, w, padding="same") + b)
        z = function(kj.conv(y, v, padding="same", stride=stride))
        return [z, *kj.grad((z * z).sum(), [x, w, b, v])]

    both = [kj.compile(f, engine=engine)(*given) for engine in ("xla", "reference")]
    for ours, theirs in zip(*both, strict=True):
        ours, theirs = ours.numpy(), theirs.numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())
    assert (act in seen) == (name != "clip")


def test_what_somebody_else_reads_stays():
    """z that is an output or read again, a bound that is asked of z from outside, a slope that may be negative."""

    def f(x, w, b, s):
        z = kj.conv(x, w) + b
        c = kj.conv(x, w * 2.0)
        d = kj.conv(x, w * 3.0)
        e = kj.conv(x, w * 4.0)
        asked = kj.cast(z >= 6.0, "float32") if hasattr(kj, "cast") else (z >= 6.0).astype("float32")
        leaky = [kj.activations.leaky_relu(c, s[0]), kj.where(d > 0, d, -0.5 * d), kj.activations.relu6(e), e * 2.0]
        return [kj.activations.relu6(z), asked, *leaky, kj.where(c > 1.0, c, 0.5 * c)]

    given = [*arrays()[:3], np.array([-2.0], "float32")]
    both = [kj.compile(f, engine=engine)(*given) for engine in ("xla", "reference")]
    for ours, theirs in zip(*both, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_vector_width(bits, dtype, name, monkeypatch):
    """What is written for an activation, forward and backward, with NaN and infinities, at 128, 256 and 512 bits."""
    _, act = FUNCTIONS[name]
    monkeypatch.setattr(kernels, "_target", lambda: narrowed(bits))
    special = [np.nan, np.inf, -np.inf, 0.0, -1e-30, 6.0, 1.0, -1.0, 7.0, -3.0, 2.0, -0.5]
    x = np.resize(np.array(special, dtype), (1, 5, 5, 13))  # through a 1×1 kernel of each channel by itself: as it is
    ones = np.ones((1, 1, 1, 13), dtype)
    place = {**PLACE, "low": (0, 0), "high": (0, 0)}
    with jax.enable_x64(True):
        y = np.asarray(kernels.conv(x, ones, 13, act=act, **place))
    if act.slope:
        expected = np.where(x > 0, x, x.dtype.type(act.slope) * x)
    else:
        expected = np.where(np.isnan(x), x, np.clip(x, act.low, act.high))
    np.testing.assert_array_equal(y, expected)
    top = np.nan if act.high == np.inf else act.high
    g = np.random.default_rng(0).normal(size=x.shape).astype(dtype)
    with jax.enable_x64(True):
        back = np.asarray(kernels.transpose(g, ones, (5, 5), 13, value=y, act=act, **place))
    slope = np.where(y > 0, 1, x.dtype.type(act.slope)) if act.slope else (y > act.low) & ~(y >= top)
    np.testing.assert_array_equal(back, g * slope)


def test_the_plain_lowering_gives_the_same(monkeypatch):
    """Where no kernel serves, activations found in the graph are computed all the same."""
    given = arrays()
    monkeypatch.setattr(kernels, "conv", lambda *a, **k: None)
    monkeypatch.setattr(kernels, "transpose", lambda *a, **k: None)
    for function, _ in FUNCTIONS.values():

        def f(x, w, b, v, function=function):
            y = function(kj.conv(function(kj.conv(x, w) + b), v))
            return [y, *kj.grad((y * y).sum(), [x, w, b, v])]

        both = [kj.compile(f, engine=engine)(*given) for engine in ("xla", "reference")]
        for ours, theirs in zip(*both, strict=True):
            ours, theirs = ours.numpy(), theirs.numpy()
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


def test_a_narrow_gradient_goes_through_an_activation_too():
    """Vectors that hold neighbouring places of an image of one channel."""
    rng = np.random.default_rng(0)
    g, w = rng.normal(size=(2, 6, 9, 20)).astype("f"), rng.normal(size=(3, 3, 1, 20)).astype("f")
    value = rng.normal(size=(2, 6, 9, 1)).astype("f")
    plain = np.asarray(kernels.transpose(g, w, (6, 9), 1, **PLACE))
    for act in (RELU, Activation(-0.5, 0.5), Activation(slope=0.25)):
        found = jax.jit(lambda g, w, v, act=act: kernels.transpose(g, w, (6, 9), 1, value=v, act=act, **PLACE))
        slope = jnp.where(value > 0, 1, act.slope) if act.slope else (value > act.low) & (value < act.high)
        np.testing.assert_array_equal(np.asarray(found(g, w, value)), plain * np.asarray(slope, "f"))
