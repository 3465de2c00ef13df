"""Pooling by 2×2 windows, and mean and variance of channels, inside the convolution's kernel."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.engines.kernels.activation import RELU
from kedja.engines.xla import fusion, kernels
from kedja.ops import moments, normalised, pooling
from kedja.ops.windows import Windows
from oracles.closeness import near

pytest.importorskip("llvmlite")
from kedja.engines.kernels import plans
from kedja.engines.kernels.target import narrowed

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")
WIDTHS = sorted({narrowed(bits).bits for bits in (128, 256, 512)})
HALVING = fusion.HALVING._asdict()
SHAPES = st.sampled_from(
    [
        ((3, 8, 8, 2), (3, 3, 2, 6), 1), ((2, 9, 7, 5), (3, 3, 5, 40), 1), ((40, 12, 12, 1), (5, 5, 1, 20), 0),
        ((1, 40, 40, 3), (3, 3, 3, 64), 1), ((2, 34, 10, 64), (3, 3, 64, 8), 1), ((3, 5, 5, 70), (2, 2, 70, 130), 0),
        ((2, 16, 16, 16), (1, 1, 16, 33), 0), ((1, 2, 2, 3), (1, 1, 3, 5), 0), ((70, 4, 4, 8), (3, 3, 8, 16), 1),
        ((2, 18, 17, 16), (3, 3, 16, 33), 1),
    ]
)  # fmt: skip


def made(x, w, pad, dtype):
    """An input, weights, a bias, and how the kernel's windows lie."""
    windows = Windows(w[:2], (1, 1), (pad, pad), (pad, pad), (1, 1))
    rng = np.random.default_rng(0)
    a, k = rng.normal(size=x).astype(dtype), rng.normal(size=w).astype(dtype)
    return a, k, np.linspace(-1, 1, w[-1], dtype=dtype), windows.placing()


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("fours", [False, True])
@settings(max_examples=8)
@given(
    shapes=SHAPES,
    dtype=st.sampled_from(("float32", "float64")),
    how=st.sampled_from(("max", "sum")),
    lost=st.booleans(),
)  # fmt: skip
def test_what_is_pooled_in_the_kernel_is_what_is_pooled_after_it(bits, fours, shapes, dtype, how, lost):
    """To the bit, missing numbers included, with y beside it and without; windows that do not fit are left out."""
    a, k, bias, place = made(*shapes, dtype)
    if lost:
        a[0, -1, 0, 0] = np.nan
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_target", lambda: narrowed(bits))
        patch.setattr(kernels, "_fours", lambda: fours)
        patch.setattr(plans, "FEWEST_FOURS", 1)
        y = np.asarray(kernels.conv(a, k, 1, bias=bias, act=RELU, **place))
        expected = {"max": pooling._max, "sum": pooling._sum}[how](y, **HALVING)
        (alone,) = kernels.conv(a, k, 1, bias=bias, act=RELU, pooled=how, whole=False, **place)
        np.testing.assert_array_equal(np.asarray(alone), expected)
        if not any(n % 2 for n in y.shape[1:3]):
            both = kernels.conv(a, k, 1, bias=bias, act=RELU, pooled=how, **place)
            for found, wanted in zip(both, (y, expected), strict=True):
                np.testing.assert_array_equal(np.asarray(found), wanted)


@pytest.mark.parametrize("bits", WIDTHS)
@settings(max_examples=10)
@given(shapes=SHAPES, dtype=st.sampled_from(("float32", "float64")), far=st.sampled_from((0.0, 1000.0)))
def test_mean_and_variance_keep_their_digits(bits, shapes, dtype, far):
    """Also where all values lie far from 0: those of y, in float64, to the rounding of y's type."""
    a, k, bias, place = made(*shapes, dtype)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_target", lambda: narrowed(bits))
        plain = np.asarray(kernels.conv(a, k, 1, bias=bias + bias.dtype.type(far), **place))
        y, both = (np.asarray(v) for v in kernels.conv(a, k, 1, bias=bias + bias.dtype.type(far), summed=True, **place))
    np.testing.assert_array_equal(y, plain)
    wide = y.astype(np.float64)
    digits = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(both[0], wide.mean((0, 1, 2)), rtol=digits, atol=digits)
    np.testing.assert_allclose(both[1], wide.var((0, 1, 2)), rtol=100 * digits, atol=100 * digits)


def test_depthwise_and_along_one_axis():
    """Each channel by itself is pooled and summed too; a sequence's channels are summed."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 8, 6, 19)).astype("float32"), rng.normal(size=(3, 3, 1, 19)).astype("float32")
    place = Windows((3, 3), (1, 1), (1, 1), (1, 1), (1, 1)).placing()
    y = np.asarray(kernels.conv(x, w, 19, **place))
    found = kernels.conv(x, w, 19, pooled="max", **place)
    np.testing.assert_array_equal(np.asarray(found[1]), pooling._max(y, **HALVING))
    near(kernels.conv(x, w, 19, summed=True, **place)[1], np.stack([y.mean((0, 1, 2)), y.var((0, 1, 2))]), "float32")
    x, w = rng.normal(size=(4, 50, 3)).astype("float32"), rng.normal(size=(5, 3, 20)).astype("float32")
    z, both = kernels.conv(x, w, 1, summed=True, **Windows((5,), (1,), (0,), (0,), (1,)).placing())
    z = np.asarray(z)
    assert z.shape == (4, 46, 20)
    near(both, np.stack([z.mean((0, 1)), z.var((0, 1))]), "float32")


def calls(f, *arrays):
    """The ops whose results a graph's convolutions make along, and the numbers against the reference's."""
    inputs = [kj.placeholder(a.shape, a.dtype) for a in arrays]
    graph = kj.Graph(inputs, f(*inputs))
    ours, theirs = (kj.compile(f, engine=engine)(*arrays) for engine in ("xla", "reference"))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-4)
    return {node.op.name: work is not None for node, work in fusion.fused(graph).items()}


X, W, B = (
    np.random.default_rng(3).normal(size=shape).astype("float32") for shape in ((3, 8, 8, 2), (3, 3, 2, 6), (6,))
)


def test_a_prediction_lays_down_only_what_is_pooled():
    """The relu is left out, and the pooling, largest or mean, comes with the convolution."""
    for pool, name in ((kj.max_pool, "max_pool"), (kj.mean_pool, "sum_pool")):
        found = calls(lambda x, w, b, pool=pool: [pool(kj.relu(kj.conv(x, w) + b), 2)], X, W, B)
        assert found[name] and not found["relu"]


def test_a_gradient_keeps_both():
    """What is pooled and what it is pooled from, which says where the gradient goes."""

    def f(x, w, b):
        y = kj.max_pool(kj.relu(kj.conv(x, w, padding="same") + b), 2)
        return [y, *kj.grad((y * y).sum(), [x, w, b])]

    found = calls(f, X, W, B)
    assert found["max_pool"] and found["relu"]


def test_rows_left_over_and_other_windows():
    """An odd size is pooled in a prediction, not where y is wanted too; 3×3 windows are pooled by themselves."""
    odd = X[:, :7]

    def f(x, w, b, back):
        y = kj.max_pool(kj.relu(kj.conv(x, w, padding="same") + b), 2)
        return [y, *(kj.grad(y.sum(), [x, w, b]) if back else ())]

    assert calls(lambda *v: f(*v, False), odd, W, B)["max_pool"]
    assert "max_pool" not in calls(lambda *v: f(*v, True), odd, W, B)
    wide = calls(lambda x, w, b: [kj.max_pool(kj.relu(kj.conv(x, w) + b), 3, stride=2)], X, W, B)
    assert "max_pool" not in wide


def test_a_bounded_activation_and_a_sign_asked_elsewhere():
    """relu6 is pooled too; where somebody asks for the sign of what is pooled it is laid down."""
    found = calls(lambda x, w, b: [kj.max_pool(kj.clip(kj.conv(x, w) + b, 0.0, 6.0), 2)], X, W, B)
    assert found["max_pool"]

    def f(x, w, b):
        z = kj.conv(x, w) + b
        return [kj.max_pool(kj.relu(z), 2), (z > 0).astype("float32")]

    found = calls(f, X, W, B)
    assert found["relu"] and found["max_pool"]


def test_a_norm_in_training_takes_its_moments_from_the_convolution():
    """With and without a bias, and the gradients through both."""

    def f(x, w, b):
        z = kj.conv(x, w, padding="same")
        y = normalised(z, moments(z, axis=3), b, b, axis=3, epsilon=1e-3)
        return [y, *kj.grad((y * y * y).sum(), [x, w, b])]

    assert calls(f, X, W, B)["moments"]


def test_a_network_with_norms_and_pooling_trains_to_the_references_weights():
    """Both epilogues in one training, also with Winograd's kernels, which leave the moments to another kernel."""
    n = kj.nn
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 12, 12, 1)).astype("float32"), rng.integers(0, 4, 40)
    found = {}
    for engine, kind in (("xla", "auto"), ("xla", "winograd"), ("reference", "auto")):
        net = kj.Sequential(
            [
                n.Conv2D(16, 3, padding="same", use_bias=False), n.BatchNorm(), n.ReLU(),
                n.Conv2D(16, 3, padding="same", activation="relu"), n.MaxPool2D(2),
                n.Conv2D(8, 3, padding="same", activation="relu"), n.AveragePool2D(2), n.Flatten(), n.Dense(4),
            ]
        )  # fmt: skip
        net.fit(
            x, y, loss="cross_entropy", optimizer=kj.optim.SGD(0.05, momentum=0.9), epochs=3, batch_size=20, seed=3,
            verbose=0, engine=engine, kernels=kind,
        )  # fmt: skip
        found[engine, kind] = [*map(np.asarray, net.get_weights()), net.predict(x, engine=engine, kernels=kind)]
    for kind in ("auto", "winograd"):
        for ours, theirs in zip(found["xla", kind], found["reference", "auto"], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
