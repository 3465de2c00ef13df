"""The kernels of max-pooling and its gradient give the reference's numbers, ties and missing numbers included."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedja.engines.xla import kernels
from kedja.ops import pooling
from kedja.ops.windows import Windows

pytest.importorskip("llvmlite")
from kedja.engines.kernels.target import narrowed

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")


@pytest.mark.parametrize("bits", sorted({narrowed(bits).bits for bits in (128, 256, 512)}))
@settings(max_examples=10)
@given(
    data=st.data(), window=st.sampled_from(((2, 2), (1, 3))), channels=st.sampled_from((1, 6, 16, 19)),
    dtype=st.sampled_from(("float32", "float64")),
)  # fmt: skip
def test_largest_and_gradient(bits, data, window, channels, dtype):
    """Rows and columns that no window reaches get 0; of equals the first wins; a missing number wins over all."""
    sizes = tuple(data.draw(st.integers(k, 9)) for k in window)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.integers(-2, 3, (3, *sizes, channels)).astype(dtype)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[rng.random(x.shape) < 0.1] = -np.inf
    windows = Windows(window, window, (0, 0), (0, 0), (1, 1))._asdict()
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_target", lambda: narrowed(bits))
        y = np.asarray(kernels.max_pool(x, **windows))
        np.testing.assert_array_equal(y, pooling._max(x, **windows))
        g = rng.normal(size=y.shape).astype(dtype)
        found = np.asarray(kernels.give_back(x, g, **windows))
        positive = np.asarray(kernels.give_back(x, g, positive=True, **windows))
    expected = pooling._scatter(x, g, **windows)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(positive, np.where(x > 0, expected, 0))
