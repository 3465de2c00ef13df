"""Convolution as its matrix: equal to the op for geometry drawn at random, to SciPy's, and to the Jacobian."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import DataError, GraphError, ShapeError

PLANS = st.integers(1, 3).flatmap(
    lambda rank: st.fixed_dictionaries(
        {
            "n": st.lists(st.integers(1, (9, 5, 3)[rank - 1]), min_size=rank, max_size=rank),
            "k": st.lists(st.integers(1, (4, 3, 2)[rank - 1]), min_size=rank, max_size=rank),
            "stride": st.lists(st.integers(1, 3), min_size=rank, max_size=rank),
            "dilation": st.lists(st.integers(1, 2), min_size=rank, max_size=rank),
            "padding": st.just("same")
            | st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=rank, max_size=rank).map(tuple),
            "groups": st.integers(1, 3), "ins": st.integers(1, 2), "outs": st.integers(1, 2),
        }
    )
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(PLANS)
def test_matrix_times_x_is_the_convolution(plan):
    """M x = conv(x), and Mᵀ y = conv_transpose(y), for any rank, size, stride, padding, dilation and groups."""
    rng = np.random.default_rng(0)
    groups, shape = plan["groups"], (*plan["n"], plan["groups"] * plan["ins"])
    kernel = rng.normal(size=(*plan["k"], plan["ins"], groups * plan["outs"]))
    how = {"stride": tuple(plan["stride"]), "padding": plan["padding"], "dilation": tuple(plan["dilation"])}
    x, w = kj.tensor(rng.normal(size=(1, *shape)), dtype="float64"), kj.tensor(kernel, dtype="float64")
    try:
        y = kj.conv(x, w, **how, groups=groups)
    except ShapeError:
        with pytest.raises(ShapeError, match="does not fit"):
            kj.explain.conv_matrix(w, shape, **how, groups=groups)
        return
    found = kj.explain.conv_matrix(w, shape, **how, groups=groups)
    assert found.output_shape == y.shape[1:] and found.matrix.shape == (y.size, x.size)
    assert np.abs(found.matrix @ x.numpy().ravel() - y.numpy().ravel()).max() < 1e-12
    assert np.abs(found.sparse() @ x.numpy().ravel() - y.numpy().ravel()).max() < 1e-12
    used = found.pattern >= 0
    assert used.sum() == found.nonzeros and (found.uses.sum(), found.uses.shape) == (found.nonzeros, kernel.shape)
    assert (found.matrix[used] == kernel.ravel()[found.pattern[used]]).all() and not found.matrix[~used].any()
    sent = kj.grad((y * y).sum(), x).numpy().ravel()  # 2 Mᵀ y: the adjoint that the op states
    assert np.abs(2 * found.matrix.T @ y.numpy().ravel() - sent).max() < 1e-11


@pytest.mark.parametrize(("mode", "padding"), [("valid", 0), ("full", 3)])
def test_one_axis_is_scipy_s_convolution_matrix(mode, padding):
    """Of a sequence, with the kernel flipped, it is SciPy's convolution_matrix: a band along the diagonal."""
    kernel = np.arange(1.0, 5.0)
    found = kj.explain.conv_matrix(kernel[::-1].copy(), (7,), padding=padding)
    assert (found.matrix == scipy.linalg.convolution_matrix(kernel, 7, mode)).all()


LAYERS = [
    (kj.nn.Conv1D(3, 2, stride=2), (7, 2)),
    (kj.nn.Conv2D(4, (2, 3), padding="same", groups=2, use_bias=False), (4, 3, 2)),
    (kj.nn.DepthwiseConv2D(2, multiplier=2), (3, 4, 2)),
    (kj.nn.ConvTranspose1D(3, 3, stride=2, output_padding=1), (4, 2)),
    (kj.nn.ConvTranspose2D(2, 3, stride=(2, 1), padding="same"), (2, 3, 3)),
    (kj.nn.ConvTranspose2D(4, 2, groups=2, padding=1, dilation=2), (3, 4, 2)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: type(v).__name__ if hasattr(v, "call") else str(v))
def test_matrix_of_a_layer_is_its_jacobian(layer, shape):
    """The matrix of a linear layer is its Jacobian; weight k of it is entry k of the layer's kernel."""
    found = kj.explain.conv_matrix(layer, shape)
    x = kj.tensor(np.random.default_rng(0).normal(size=(1, *shape)))
    jacobian = kj.jacobian(layer(x), x).numpy()
    assert np.abs(found.matrix - jacobian.reshape(found.shape)).max() < 1e-6
    assert (found.kernel == layer.kernel.numpy()).all()
    used = found.pattern >= 0
    assert (found.matrix[used] == layer.kernel.numpy().ravel()[found.pattern[used]]).all()


def test_transposed_layer_has_the_transposed_matrix():
    """ConvTranspose2D with the kernel of Conv2D, its channel axes swapped, is the transposed matrix."""
    down, up = kj.nn.Conv2D(3, 3, stride=2, use_bias=False), kj.nn.ConvTranspose2D(2, 3, stride=2, use_bias=False)
    m = kj.explain.conv_matrix(down, (7, 9, 2))
    t = kj.explain.conv_matrix(up, (3, 4, 3))
    up.set_weights([np.swapaxes(down.kernel.numpy(), -1, -2)])
    t = kj.explain.conv_matrix(up, (3, 4, 3))
    assert t.input_shape == m.output_shape and (t.matrix == m.matrix.T).all()


def test_numbers_of_the_notes():
    """Conv2D(32, 3) on 32×32×3: 30×30×32 with 896 parameters, where a dense layer needs 88,502,400 (scope 2.5)."""
    found = kj.explain.conv_matrix(kj.nn.Conv2D(32, 3), (None, 32, 32, 3))
    assert found.output_shape == (30, 30, 32) and found.parameters + found.biases == 896
    assert found.to_dict()["dense_parameters"] == 88_502_400
    assert found.nonzeros == 900 * 27 * 32 and set(found.uses.ravel()) == {900}
    assert "88,502,400" in str(found) and "777,600" in found._repr_html_()
    with pytest.raises(DataError, match=r"sparse\(\)"):
        _ = found.pattern
    assert found.sparse().nnz == 777_600


def test_ways_to_show_it(tmp_path):
    """A small matrix is written in its weights; the picture is a small file that shows every weight."""
    found = kj.explain.conv_matrix([[1.0, 2.0], [3.0, 4.0]], (3, 4))
    lines = str(found).splitlines()
    assert lines[0].split() == ["w1", "w2", "·", "·", "w3", "w4", *["·"] * 6]
    assert lines[6] == "" and "33.3 %" in lines[10]
    assert r"w_{1} & w_{2} & 0 & 0 & w_{3}" in found.tex() and found.markdown().startswith("$$")
    figure = found.plot(tmp_path / "m.png")
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (6, 12) and set(shown.compressed()) == {0, 1, 2, 3}
    assert 0 < (tmp_path / "m.png").stat().st_size < 60_000


@pytest.mark.parametrize(
    ("what", "shape", "more", "kind", "message"),
    [
        (kj.nn.Dense(3), (4,), {}, GraphError, "Dense is not one convolution but has 0 in it"),
        (kj.nn.SeparableConv2D(3, 2), (4, 4, 1), {}, GraphError, "has 2 in it"),
        (kj.nn.Conv2D, (4, 4, 1), {}, GraphError, "a class is not a layer yet"),
        (kj.nn.Conv2D(1, 3), (4, 4, 1), {"stride": 2}, GraphError, "a layer knows its stride"),
        (kj.nn.Conv2D(1, 5), (4, 4, 1), {}, ShapeError, "the 5×5 kernel does not fit the 4×4 input"),
        (kj.nn.Conv2D(1, 3), (784,), {}, ShapeError, r"Conv2D: needs an input \(N, height, width, channels\)"),
        ([[1.0, 2.0]], (3,), {}, ShapeError, r"a kernel \(1, 2\) does not go with an input \(3,\)"),
        ([1.0, 2.0], (0,), {}, ShapeError, "input_shape is the shape of one example"),
        ([1.0, 2.0], (3,), {"padding": -1}, ShapeError, "padding must be at least 0"),
        (np.ones((2, 2, 2)), (5, 3), {}, ShapeError, "the input .* has 3 channels .*, the kernel"),
    ],
)
def test_what_has_no_matrix_is_refused(what, shape, more, kind, message):
    """Layers that are no convolution, geometry said twice and kernels that do not fit are refused with the reason."""
    with pytest.raises(kind, match=message):
        kj.explain.conv_matrix(what, shape, **more)
