"""The ways convolutions are compiled: XLA's own (GPU, TPU) and patches (CPU) give the reference's numbers."""

import jax
import numpy as np
import pytest

import kedja as kj
from kedja.engines import run_graph
from kedja.engines.xla import windows
from kedja.ops.op import OPS
from oracles.op_cases import samples_of


@pytest.mark.parametrize(
    "case", [c for name in ("conv", "conv_transpose", "conv_kernel") for c in samples_of(OPS[name])], ids=str
)
def test_xlas_own_convolutions_equal_the_reference(case):
    """What serves off the CPU is right for every stride, padding, dilation and grouping."""
    native = {"conv": "native_conv", "conv_transpose": "native_transpose", "conv_kernel": "native_kernel"}
    arrays = case.arrays("float64")
    inputs = [kj.placeholder(a.shape, a.dtype) for a in arrays]
    (expected,) = run_graph(kj.Graph(inputs, case.outputs(inputs, "float64")), arrays)
    with jax.enable_x64(True):
        found = np.asarray(getattr(windows, native[case.op.name])(*arrays, **case.attrs("float64")))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("channels", [3, 20])
def test_portions_equal_the_whole_batch(channels, monkeypatch):
    """A batch taken in portions that fit the cache gives the values and gradients of one taken whole."""
    monkeypatch.setenv("KEDJA_KERNELS", "xla")
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(6, 7, 6, channels)), rng.normal(size=(3, 2, channels, 4))

    def step(x, w):
        y = kj.conv(x, w, stride=(2, 1), padding=1)
        return [y, *kj.grad((y * y * y).sum(), [x, w])]

    whole = kj.compile(step, engine="reference")(x, w)
    monkeypatch.setattr(windows, "PATCH_BYTES", 2 * 4 * 7 * 6 * channels * 8)
    for found, expected in zip(kj.compile(step, engine="xla")(x, w), whole, strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=2e-4, atol=2e-4)


def test_no_convolution_of_xlas_is_compiled_on_cpu():
    """Inside a training loop they would be up to 60 times slower."""
    if jax.default_backend() != "cpu":
        pytest.skip("this machine has an accelerator")
    x, w = np.ones((2, 6, 6, 4), "float32"), np.ones((3, 3, 2, 4), "float32")

    def text(f, *args, **more):
        return jax.jit(lambda *a: f(*a, **more)).lower(*args).as_text()

    place = {"stride": (1, 1), "low": (0, 0), "high": (0, 0), "dilation": (1, 1), "groups": 2}
    lower = windows.WINDOWS[OPS["conv"]]
    assert "convolution" not in text(lower, x, w, **place)
    assert "convolution" in text(windows.native_conv, x, w, **place)


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_have_the_form_jax_gives_them(stride):
    """XLA's GPU compiler knows gradients of convolutions by their form: it is that of JAX's own derivative."""
    rng = np.random.default_rng(0)
    x, w, g = (
        rng.normal(size=s).astype("float32") for s in ((2, 8, 8, 3), (3, 3, 3, 4), (2, 8 // stride, 8 // stride, 4))
    )
    place = {"stride": (stride, stride), "low": (1, 1), "high": (1, 1), "dilation": (1, 1), "groups": 1}

    def forward(x, w):
        return windows.native_conv(x, w, **place)

    def form(f, *args):
        """The convolutions of a program, without the names of their operands."""
        text = jax.jit(f).lower(*args).as_text()
        assert "transpose" not in text
        return [line.partition(") ")[2] for line in text.splitlines() if "stablehlo.convolution" in line]

    theirs = form(lambda x, w, g: jax.vjp(forward, x, w)[1](g), x, w, g)
    rest = {k: v for k, v in place.items() if k != "high"}
    ours = [
        *form(lambda g, w: windows.native_transpose(g, w, sizes=(8, 8), **rest), g, w),
        *form(lambda x, g: windows.native_kernel(x, g, kernel=(3, 3), **rest), x, g),
    ]
    assert set(ours) <= set(theirs) and len(set(ours)) == 2
