"""A kernel that takes packed weights, with one that packs them, gives the bits of the kernel that does both."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedja.engines.xla import kernels

pytest.importorskip("llvmlite")
from kedja.engines.kernels import plans
from kedja.engines.kernels.activation import RELU
from kedja.engines.kernels.target import narrowed

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")
WIDTHS = sorted({narrowed(bits).bits for bits in (128, 256, 512)})


@pytest.fixture(autouse=True)
def however_few(monkeypatch):
    """Weights are packed apart, however few there are; Winograd's fours, where they are asked for, too."""
    monkeypatch.setattr(plans, "PACK_BYTES", -1)
    monkeypatch.setattr(plans, "FEWEST_FOURS", 1)


@st.composite
def cases(draw):
    """Images, weights, what an epilogue takes, and how the windows lie."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    n, channels, outs = (draw(st.sampled_from(few)) for few in ((1, 2, 5), (1, 3, 16, 33), (1, 5, 32, 70)))
    k, s, p = draw(st.sampled_from([1, 3, 5])), draw(st.integers(1, 2)), draw(st.integers(0, 2))
    sizes = tuple(draw(st.integers(max(1, k - 2 * p), 9)) for _ in range(2))
    out = tuple((m + 2 * p - k) // s + 1 for m in sizes)
    drawn = {
        "x": (n, *sizes, channels), "w": (k, k, channels, outs), "bias": (outs,), "scale": (outs,),
        "plus": (n, *out, outs),
    }  # fmt: skip
    arrays = {name: rng.normal(size=shape).astype(dtype) for name, shape in drawn.items()}
    left_out = draw(st.sets(st.sampled_from(["bias", "scale", "plus"])))
    given = {name: a for name, a in arrays.items() if name not in left_out}
    return given, {"stride": (s, s), "low": (p, p), "high": (p, p), "dilation": (1, 1)}, draw(st.booleans())


def both_ways(f, *arrays, expected_calls):
    """What a function gives with weights packed along with the rest, and apart from it."""
    with jax.enable_x64(True):
        plain = jax.jit(f)(*arrays)

        def apart(*xs):
            with kernels.packing_apart():
                return f(*xs)

        calls = [e for e in jax.make_jaxpr(apart)(*arrays).eqns if e.primitive.name == "ffi_call"]
        assert len(calls) == expected_calls
        return np.asarray(plain), np.asarray(jax.jit(apart)(*arrays))


@pytest.mark.parametrize("choice", ["llvm", "winograd"])
@pytest.mark.parametrize("bits", WIDTHS)
@settings(max_examples=12)
@given(case=cases())
def test_convolutions_have_the_same_bits(bits, choice, case):
    """With any part of the epilogue, any sizes, and vectors of any width."""
    arrays, attrs, relu = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEDJA_KERNELS", choice)
        patch.setattr(kernels, "_target", lambda: narrowed(bits))

        def f(x, w, *more):
            return kernels.conv(
                x, w, 1, act=RELU if relu else None, **dict(zip([*arrays][2:], more, strict=True)), **attrs
            )

        plain, apart = both_ways(f, *arrays.values(), expected_calls=2)
    np.testing.assert_array_equal(plain, apart)


@pytest.mark.parametrize("choice", ["llvm", "winograd"])
@pytest.mark.parametrize("channels", [3, 40])
def test_gradients_by_the_input_have_the_same_bits(monkeypatch, choice, channels):
    """Flipped weights whose outputs lie apart, with the mask of a relu; few channels, where vectors hold places."""
    monkeypatch.setenv("KEDJA_KERNELS", choice)
    rng = np.random.default_rng(0)
    g, w, positive = (
        rng.normal(size=s).astype("f") for s in ((2, 9, 9, 24), (3, 3, channels, 24), (2, 9, 9, channels))
    )
    attrs = {"stride": (1, 1), "low": (1, 1), "high": (1, 1), "dilation": (1, 1)}
    plain, apart = both_ways(
        lambda g, w, p: kernels.transpose(g, w, (9, 9), 1, value=p, act=RELU, **attrs), g, w, positive, expected_calls=2
    )
    np.testing.assert_array_equal(plain, apart)


@pytest.mark.parametrize("outs", [5, 64])
def test_depthwise_convolutions_have_the_same_bits(outs):
    """Each channel by itself."""
    rng = np.random.default_rng(0)
    x, w, bias = (rng.normal(size=s).astype("f") for s in ((2, 7, 8, outs), (3, 3, 1, outs), (outs,)))
    attrs = {"stride": (1, 1), "low": (1, 1), "high": (1, 1), "dilation": (1, 1)}
    plain, apart = both_ways(lambda x, w, b: kernels.conv(x, w, outs, bias=b, **attrs), x, w, bias, expected_calls=2)
    np.testing.assert_array_equal(plain, apart)


def test_few_weights_are_packed_each_time(monkeypatch):
    """Where packing costs nothing there is one call, as ever."""
    monkeypatch.undo()
    x, w = np.ones((1, 8, 8, 3), "f"), np.ones((3, 3, 3, 8), "f")
    attrs = {"stride": (1, 1), "low": (1, 1), "high": (1, 1), "dilation": (1, 1)}
    both_ways(lambda x, w: kernels.conv(x, w, 1, **attrs), x, w, expected_calls=1)
