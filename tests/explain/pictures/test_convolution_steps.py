"""A convolution step by step: windows, products, sums, and the drawing of each step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve, correlate

import kedja as kj
from explain.pictures import reading
from kedja.errors import DTypeError, ShapeError

small = st.integers(-9, 9)


@settings(max_examples=30)
@given(st.integers(1, 2), st.data())
def test_sums_are_scipys(axes, data):
    """Without padding the output is SciPy's correlation, and turned over its convolution."""
    sizes = [data.draw(st.integers(2, 6)) for _ in range(axes)]
    kernel = np.array(data.draw(st.lists(small, min_size=2**axes, max_size=2**axes))).reshape((2,) * axes)
    x = np.array(data.draw(st.lists(small, min_size=int(np.prod(sizes)), max_size=int(np.prod(sizes))))).reshape(sizes)
    plain = kj.explain.convolution_steps(x, kernel)
    np.testing.assert_allclose(plain.output, correlate(x, kernel, "valid"))
    turned = kj.explain.convolution_steps(x, kernel, flip=True)
    np.testing.assert_allclose(turned.output, convolve(x, kernel, "valid"))
    for step in plain.steps:
        assert step.products.sum() == step.sum == plain.output[step.place]


@pytest.mark.parametrize("how", [{"padding": "same"}, {"padding": 2, "stride": 2}, {"dilation": 2}, {"stride": (2, 1)}])
def test_windows_are_what_the_op_reads(how):
    """With padding, stride and dilation the products of every window add up to what `kj.conv` gives."""
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(7, 6)), rng.normal(size=(3, 2))
    found = kj.explain.convolution_steps(x, kernel, **how)
    ours = kj.conv(kj.tensor(x[None, ..., None], "float64"), kj.tensor(kernel[..., None, None], "float64"), **how)
    np.testing.assert_allclose(found.output, ours.numpy()[0, ..., 0])
    for step in found.steps:
        assert step.products.sum() == pytest.approx(step.sum, abs=1e-12)


def test_the_frame_marks_the_window():
    """Scope 2.5's 3×4 input with a 2×2 kernel: the second window is b, c, f, g, four cells and one of the output."""
    found = kj.explain.convolution_steps(np.arange(12).reshape(3, 4), [[1, 10], [100, 1000]])
    frame = found.frame(1)
    svg = frame.svg()
    assert len(reading.rectangles(svg, "marked")) == 5
    assert "1·1 + 2·10 + 5·100 + 6·1,000 = 6,521" in reading.texts(svg)
    assert "6,521" in reading.texts(svg, "label") and "7,632" not in reading.texts(svg, "label")


def test_all_steps_are_in_the_table_and_the_animation():
    """The picture shows some steps, the table and the animation all."""
    found = kj.explain.convolution_steps(np.ones((6, 6)), np.ones((3, 3)))
    assert len(found.steps) == 16 == len(found.table.rows)
    assert found.animation().count('class="step"') == 16 and reading.root(found.animation()) is not None
    assert [t for t in reading.texts(found.svg(), "heading")][-1] == "step 16 of 16"
    assert "<script" not in found.animation()


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: kj.explain.convolution_steps([1, 2], [1, 2, 3]), ShapeError, "does not fit"),
        (lambda: kj.explain.convolution_steps(np.ones((2, 2, 2)), [1]), ShapeError, r"\(2, 2, 2\)"),
        (lambda: kj.explain.convolution_steps(np.ones((3, 3)), [1, 2]), ShapeError, "2 axes and the kernel 1"),
        (lambda: kj.explain.convolution_steps(np.ones((40, 40)), np.ones((2, 2))), ShapeError, "too large"),
        (lambda: kj.explain.convolution_steps(["a", "b"], [1]), DTypeError, "holds numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_refused(call, error, said):
    """Bad input raises an error that names what came."""
    with pytest.raises(error, match=said):
        call()
