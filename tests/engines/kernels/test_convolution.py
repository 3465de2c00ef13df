"""The kernels of convolution and its two gradients give the reference's and PyTorch's numbers."""

import jax
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kedja.engines.kernels.activation import RELU
from kedja.engines.xla import kernels
from kedja.ops import convolution
from kedja.ops.windows import Windows, count
from oracles.closeness import near

pytest.importorskip("llvmlite")
from kedja.engines.kernels import plans
from kedja.engines.kernels.target import host, narrowed

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")
WIDTHS = sorted({narrowed(bits).bits for bits in (128, 256, 512)})


@st.composite
def geometries(draw, outs=(3, 16, 40)):
    """Shapes and windows of a convolution along two axes whose kernel fits."""
    windows = Windows(
        *(draw(st.tuples(st.integers(a, b), st.integers(a, b))) for a, b in ((1, 4), (1, 3), (0, 3), (0, 3), (1, 3)))
    )
    sizes = tuple(
        draw(st.integers(max(1, extent - low - high), 14))
        for extent, low, high in zip(windows.extent, windows.low, windows.high, strict=True)
    )
    n, channels = draw(st.sampled_from((1, 3, 40))), draw(st.sampled_from((1, 2, 17)))
    return (n, *sizes, channels), (*windows.size, channels, draw(st.sampled_from(outs))), windows


def arrays(x, w, windows, dtype, seed=0):
    """An input, a kernel and an output of these shapes."""
    rng = np.random.default_rng(seed)
    y = (x[0], *count(x[1:-1], windows), w[-1])
    return [rng.normal(size=shape).astype(dtype) for shape in (x, w, y)]


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=8)
@given(geometry=geometries())
def test_each_vector_width_gives_the_references_numbers(bits, dtype, geometry):
    """For any sizes, strides, padding and dilation, with vectors of 128, 256 and 512 bits."""
    x, w, windows = geometry
    a, k, y = arrays(x, w, windows, dtype)
    place = windows.placing()
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_target", lambda: narrowed(bits))
        forward = kernels.conv(a, k, 1, **place)
        if forward is not None:
            near(forward, convolution._conv(a, k, 1, **place), dtype)
        rng = np.random.default_rng(1)
        scale, bias = rng.normal(size=(2, w[-1])).astype(dtype)
        plain = convolution._conv(a, k, 1, **place)
        near(kernels.conv(a, k, 1, bias=bias, scale=scale, plus=y, **place), plain * scale + bias + y, dtype)
        near(kernels.conv(a, k, 1, scale=scale, act=RELU, **place), np.maximum(plain * scale, 0), dtype)
        found = kernels.weights(a, y, w[:-2], 1, sums=True, **place)
        near(found[0], convolution._conv_kernel(a, y, w[:-2], 1, **place), dtype)
        near(found[1], y.sum((0, 1, 2)), dtype)
        back = kernels.transpose(y, k, x[1:-1], 1, **place)
        if back is not None:
            near(back, convolution._conv_transpose(y, k, x[1:-1], 1, **place), dtype)


@pytest.mark.parametrize("bits", WIDTHS)
@settings(max_examples=6)
@given(geometry=geometries())
def test_each_channel_by_itself(bits, geometry):
    """Depthwise: as many groups as channels."""
    x, w, windows = geometry
    c = x[-1]
    if c == 1:
        return
    a, k, y = arrays(x, (*w[:2], 1, c), windows, "float64")
    place = windows.placing()
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_target", lambda: narrowed(bits))
        plain = convolution._conv(a, k, c, **place)
        near(kernels.conv(a, k, c, **place), plain, "float64")
        scale, bias = np.random.default_rng(1).normal(size=(2, c))
        near(kernels.conv(a, k, c, bias=bias, scale=scale, plus=y, **place), plain * scale + bias + y, "float64")
        near(kernels.weights(a, y, w[:2], c, **place), convolution._conv_kernel(a, y, w[:2], c, **place), "float64")
        back = kernels.transpose(y, k, x[1:-1], c, **place)
        if back is not None:
            near(back, convolution._conv_transpose(y, k, x[1:-1], c, **place), "float64")


@pytest.mark.parametrize("name, shapes", [("conv", (4, 4)), ("transpose", (2, 2)), ("weights", (4, 2))])
def test_groups_of_several_channels_are_left_to_the_plain_lowering(name, shapes):
    """Two groups of two channels, also where the outputs alone look like depthwise."""
    x, y = (np.ones((1, 4, 4, c), "float32") for c in shapes)
    w = np.ones((2, 2, 2, 4 if name == "conv" else 2), "float32")
    place = {"stride": (1, 1), "low": (0, 0), "high": (0, 0), "dilation": (1, 1)}
    more = {"transpose": {"sizes": (5, 5)}, "weights": {"kernel": (1, 1)}}.get(name, {})
    assert getattr(kernels, name)(x, y if name == "weights" else w, groups=2, **place, **more) is None


@settings(max_examples=10)
@given(geometry=geometries(outs=(6, 32)))
def test_gradients_are_pytorchs(geometry):
    """Forward with bias and relu, and all three gradients through them."""
    x, w, windows = geometry
    windows = windows._replace(high=windows.low)
    if any(n + 2 * a < e for n, a, e in zip(x[1:-1], windows.low, windows.extent, strict=True)):
        return
    a, k, g = arrays(x, w, windows, "float32")
    bias = np.linspace(-1, 1, w[-1], dtype="float32")
    tensors = [torch.tensor(v, requires_grad=True) for v in (a, k, bias)]
    ta, tk, tb = tensors
    z = torch.nn.functional.conv2d(
        ta.permute(0, 3, 1, 2), tk.permute(3, 2, 0, 1), tb, windows.stride, windows.low, windows.dilation
    )
    expected = torch.relu(z).permute(0, 2, 3, 1)
    grads = [v.numpy() for v in torch.autograd.grad(expected, tensors, torch.tensor(g))]
    place = windows.placing()
    y = kernels.conv(a, k, 1, bias=bias, act=RELU, **place)
    if y is None:
        return
    y = np.asarray(y)
    near(y, expected.detach().numpy(), "float32")
    through = np.where(y > 0, g, 0)
    dw, db = kernels.weights(a, through, w[:-2], 1, sums=True, **place)
    near(dw, grads[1], "float32")
    near(db, grads[2], "float32")
    back = kernels.transpose(through, k, x[1:-1], 1, **place)
    if back is not None:
        near(back, grads[0], "float32")


@pytest.mark.parametrize(
    "x, w", [((1, 40, 40, 3), (3, 3, 3, 64)), ((2, 70, 9, 64), (3, 3, 64, 8)), ((3, 2, 2, 70), (3, 3, 70, 130))]
)
def test_work_is_divided_without_a_trace(x, w):
    """One image in bands of rows, tall images, tiny ones together, many blocks of outputs: the same numbers."""
    windows = Windows(w[:2], (1, 1), (1, 1), (1, 1), (1, 1))
    a, k, y = arrays(x, w, windows, "float32")
    place = windows.placing()
    near(kernels.conv(a, k, 1, **place), convolution._conv(a, k, 1, **place), "float32")
    near(
        kernels.transpose(y, k, x[1:-1], 1, **place), convolution._conv_transpose(y, k, x[1:-1], 1, **place), "float32"
    )
    near(kernels.weights(a, y, w[:-2], 1, **place), convolution._conv_kernel(a, y, w[:-2], 1, **place), "float32")


def test_a_missing_number_stays_missing_through_the_relu():
    """Otherwise a training that diverged would not be noticed."""
    a, k, _ = arrays((1, 3, 3, 1), (2, 1, 1, 3), Windows((2, 1), (1, 1), (0, 0), (0, 0), (1, 1)), "float32")
    a[0, 1, 1, 0] = np.nan
    place = {"stride": (1, 1), "low": (0, 0), "high": (0, 0), "dilation": (1, 1)}
    y = np.asarray(kernels.conv(a, k, 1, act=RELU, **place))
    assert np.isnan(y[0, :, 1]).all() and np.isfinite(y[0, :, (0, 2)]).all()


def test_a_plan_depends_on_shapes_alone():
    """So that a run that is continued elsewhere has the same sums in the same order."""
    g = plans.Geometry(64, (28, 28), (28, 28), 32, 32, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    assert plans.plan_weights(g, "float32", host()) == plans.plan_weights(g, "float32", host())
