"""The kernels that convolve by fours of outputs give the plain sums' numbers, to the plain sums' own rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.engines.kernels.activation import RELU
from kedja.engines.xla import kernels
from kedja.errors import UnknownNameError
from kedja.ops import convolution
from kedja.ops.windows import Windows, count
from oracles.closeness import near

pytest.importorskip("llvmlite")
from kedja.engines.kernels import plans
from kedja.engines.kernels.target import host, narrowed

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")
WIDTHS = sorted({narrowed(bits).bits for bits in (128, 256, 512)})


@pytest.fixture(autouse=True)
def asked_for(monkeypatch):
    """By fours, however few there are."""
    monkeypatch.setenv("KEDJA_KERNELS", "winograd")
    monkeypatch.setattr(plans, "FEWEST_FOURS", 1)


@st.composite
def geometries(draw):
    """Images of any size with any padding for a 3×3 kernel, and channels that fill a vector."""
    low, high = (draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(2))
    sizes = tuple(draw(st.integers(max(1, 3 - a - b), 11)) for a, b in zip(low, high, strict=True))
    n, channels, outs = (draw(st.sampled_from(few)) for few in ((1, 3, 20), (16, 17, 33), (16, 40, 64)))
    return (n, *sizes, channels), outs, Windows((3, 3), (1, 1), low, high, (1, 1))


def served(plan):
    """Whether a plan is one by fours."""
    return type(plan.kind).__name__.startswith("Winograd")


@pytest.mark.parametrize("bits", WIDTHS)
@settings(max_examples=10)
@given(geometry=geometries())
def test_each_vector_width_gives_the_numbers_of_float64(bits, geometry):
    """Forward with bias and relu, both gradients, and the sums of the bias's, with vectors of 128, 256 and 512 bits."""
    shape, outs, windows = geometry
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape).astype("f"), rng.normal(size=(3, 3, shape[-1], outs)).astype("f")
    bias = rng.normal(size=outs).astype("f")
    g = rng.normal(size=(shape[0], *count(shape[1:-1], windows), outs)).astype("f")
    place = windows.placing()
    geometry = plans.Geometry(shape[0], shape[1:3], g.shape[1:3], shape[3], outs, *windows)
    target = narrowed(bits)
    assert served(plans.plan_conv(geometry, "float32", target, fours=True))
    assert served(plans.plan_weights(geometry, "float32", target, fours=True))
    wide = [a.astype(float) for a in (x, w, g)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_target", lambda: target)
        y = convolution._conv(wide[0], wide[1], 1, **place)
        near(kernels.conv(x, w, 1, **place), y)
        near(kernels.conv(x, w, 1, bias=bias, act=RELU, **place), np.maximum(y + bias, 0))
        scale = rng.normal(size=outs).astype("f")
        near(kernels.conv(x, w, 1, bias=bias, scale=scale, **place), y * scale + bias)
        near(kernels.conv(x, w, 1, plus=g, **place), y + g)
        dw, db = kernels.weights(x, g, (3, 3), 1, sums=True, **place)
        near(dw, convolution._conv_kernel(wide[0], wide[2], (3, 3), 1, **place))
        near(db, wide[2].sum((0, 1, 2)))
        dx = convolution._conv_transpose(wide[2], wide[1], shape[1:-1], 1, **place)
        near(kernels.transpose(g, w, shape[1:-1], 1, value=x, **place), dx * (x > 0))


def test_its_error_is_that_of_the_plain_sum():
    """Over 64 channels it is as near to float64 as the plain sum, nearer in fact, as fewer numbers are added."""
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(8, 16, 16, 64)).astype("f"), rng.normal(size=(3, 3, 64, 64)).astype("f")
    place = Windows((3, 3), (1, 1), (1, 1), (1, 1), (1, 1)).placing()
    exact = convolution._conv(x.astype(float), w.astype(float), 1, **place)
    by_fours = np.abs(np.asarray(kernels.conv(x, w, 1, **place)) - exact)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEDJA_KERNELS", "llvm")
        plain = np.abs(np.asarray(kernels.conv(x, w, 1, **place)) - exact)
    assert 0 < by_fours.max() < plain.max()
    assert 0 < by_fours.mean() < plain.mean()


def test_only_who_asks_is_served():
    """By itself nothing is computed by fours; float64, strides, and few channels never are."""
    g = plans.Geometry(8, (16, 16), (16, 16), 32, 32, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    assert served(plans.plan_conv(g, "float32", host(), fours=True))
    for other, dtype, fours in (
        (g, "float32", False),
        (g, "float64", True),
        (g._replace(channels=3), "float32", True),
        (g._replace(out=(8, 8), stride=(2, 2)), "float32", True),
        (g._replace(kernel=(5, 5), low=(2, 2), high=(2, 2)), "float32", True),
    ):
        assert not served(plans.plan_conv(other, dtype, host(), fours=fours))
        assert not served(plans.plan_weights(other, dtype, host(), fours=fours))


def test_a_network_trains_alike():
    """Two epochs end where those of the plain sums end, up to rounding; twice in the same bits."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(64, 12, 12, 16)).astype("f"), rng.integers(0, 3, 64)

    def trained(choice):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KEDJA_KERNELS", choice)
            conv = kj.nn.Conv2D(16, 3, padding="same", activation="relu")
            net = kj.Sequential([conv, kj.nn.Flatten(), kj.nn.Dense(3)])
            sgd = kj.optim.SGD(0.01)
            net.fit(x, y, loss="cross_entropy", optimizer=sgd, epochs=2, batch_size=16, seed=0, verbose=0)
            return net.get_weights()

    once, again, plain = trained("winograd"), trained("winograd"), trained("llvm")
    assert any((a != b).any() for a, b in zip(once, plain, strict=True))
    for a, b, c in zip(once, again, plain, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=0, atol=2e-5)


def test_another_choice_is_refused(monkeypatch):
    """The message names the choices."""
    monkeypatch.setenv("KEDJA_KERNELS", "fast")
    with pytest.raises(UnknownNameError, match="winograd"):
        kernels.available()
