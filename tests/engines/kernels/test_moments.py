"""Sums over the places of each channel by kernels, at every width of vectors, against NumPy in float64."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.engines.kernels import plans
from kedja.engines.kernels.target import narrowed
from kedja.engines.xla import kernels

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")


@pytest.mark.parametrize("bits", [128, 256, 512])
@settings(max_examples=15)
@given(
    places=st.sampled_from((1, 31, 33, 600)), channels=st.sampled_from((1, 6, 16, 64, 83)),
    dtype=st.sampled_from(("float32", "float64")), far=st.sampled_from((0.0, 1000.0)),
)  # fmt: skip
def test_moments_and_centred_sums(bits, places, channels, dtype, far):
    """Mean and variance keep their digits far from 0; so do the sums of the derivative."""
    rng = np.random.default_rng(places + channels)
    x = (rng.normal(size=(places, channels)) + far).astype(dtype)
    g = rng.normal(size=x.shape).astype(dtype)
    m = x.mean(0)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_target", lambda: narrowed(bits))
        patch.setattr(plans, "SUMMED", 0)
        both, sums = np.asarray(kernels.moments(x)), np.asarray(kernels.moments(x, g, m))
    wide = x.astype(np.float64)
    near = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(both[0], wide.mean(0), rtol=near, atol=near)
    np.testing.assert_allclose(both[1], wide.var(0), rtol=100 * near, atol=100 * near)
    expected = [g.astype(np.float64).sum(0), (g * (wide - m)).sum(0)]
    np.testing.assert_allclose(sums, expected, rtol=near, atol=100 * near * places**0.5)


def test_few_numbers_are_summed_without_a_kernel():
    """A call would cost more than the sums."""
    assert kernels.moments(np.ones((8, 4), np.float32)) is None


def test_a_normalised_network_trains_to_the_references_weights():
    """Convolutions with batch norm, residual and relu in the compiled loop, against NumPy."""
    n, rng = kj.nn, np.random.default_rng(0)
    x, y = rng.normal(size=(24, 16, 16, 3)), rng.integers(0, 3, 24)
    found = {}
    for engine in ("xla", "reference"):
        inner = kj.Sequential([n.Conv2D(24, 3, padding="same", use_bias=False), n.BatchNorm()])
        convs = [n.Conv2D(24, 1, use_bias=False), n.BatchNorm(), n.Activation("relu"), n.Residual(inner, None, "relu")]
        net = kj.Sequential([*convs, n.GlobalAveragePool(), n.Dense(3)])
        net.fit(
            x, y, loss="cross_entropy", optimizer=kj.optim.SGD(0.05, momentum=0.9), epochs=2, batch_size=8, seed=3,
            verbose=0, engine=engine,
        )  # fmt: skip
        found[engine] = [np.asarray(w) for w in net.get_weights()] + [net.predict(x, engine=engine)]
    for ours, theirs in zip(found["xla"], found["reference"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
