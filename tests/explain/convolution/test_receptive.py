"""Sizes along a network: the numbers of the notes, shapes against the run, receptive fields against the gradient."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import GraphError, ShapeError


def test_sixteen_to_one_and_sixteen_kept():
    """Kernels of width 6 take 16 to 11, 6, 1; five zeros of padding a layer keep 16 (scope 2.5)."""
    bare = kj.explain.sizes([kj.nn.Conv1D(1, 6) for _ in range(3)], (16, 1))
    padded = kj.explain.sizes([kj.nn.Conv1D(1, 6, padding=(2, 3)) for _ in range(3)], (16, 1))
    assert [row.output for row in bare.rows] == [(11, 1), (6, 1), (1, 1)]
    assert [row.arithmetic for row in bare.rows] == ["16 − 6 + 1 = 11", "11 − 6 + 1 = 6", "6 − 6 + 1 = 1"]
    assert [row.sees for row in bare.rows] == [(6,), (11,), (16,)]
    assert {row.output for row in padded.rows} == {(16, 1)} and padded.rows[0].arithmetic == "16 + 2 + 3 − 6 + 1 = 16"


def test_parameters_of_the_notes():
    """Conv2D(32, 3) on 32×32×3: 30×30×32, 896 parameters, 88,502,400 for a dense layer (scope 2.5)."""
    (row,) = kj.explain.sizes(kj.nn.Conv2D(32, 3), (None, 32, 32, 3)).rows
    assert (row.output, row.parameters, row.dense_parameters) == ((30, 30, 32), 896, 88_502_400)


STEP = st.tuples(
    st.sampled_from(["conv", "depthwise", "pool", "transposed", "upsample", "pad"]), st.integers(1, 3),
    st.integers(1, 2), st.sampled_from(["valid", "same", 1, (0, 2)]), st.integers(1, 2),
)  # fmt: skip


def layer_of(kind, size, stride, padding, dilation):
    """A linear layer whose weights are all 1."""
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    if kind == "pool":
        return kj.nn.AveragePool1D(size, **how)
    if kind == "upsample":
        return kj.nn.Upsample(size)
    if kind == "pad":
        return kj.nn.Pad(size)
    if kind == "depthwise":
        return kj.nn.DepthwiseConv1D(size, init="ones", **how)
    if kind == "transposed":
        return kj.nn.ConvTranspose1D(1, size, init="ones", stride=stride)
    return kj.nn.Conv1D(1, size, init="ones", **how)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=4), st.integers(40, 60))
def test_sizes_and_fields_are_those_of_the_run(steps, n):
    """Shapes are those of the run, the arithmetic ends with them, and the field is where the gradient is not 0."""
    net = kj.Sequential([layer_of(*step) for step in steps])
    try:
        y = net(kj.zeros((1, n, 1)))
    except ShapeError:
        return
    found = kj.explain.sizes(net, (n, 1))
    x = kj.tensor(np.ones((1, n, 1)))
    assert [row.output for row in found.rows] == [
        net.outputs_of(name, x).shape[1:] for name, _ in net.layers_by_path()
    ]  # fmt: skip
    for row in found.rows:
        if row.arithmetic:
            assert row.arithmetic.endswith(f"= {row.output[0]}")
    if found.rows[-1].sees is None:
        assert {"transposed", "upsample"} & {step[0] for step in steps}
        return
    slopes = kj.jacobian(net(x), x).numpy().reshape(y.shape[1], n)
    widest = max(np.ptp(np.flatnonzero(row)) + 1 if row.any() else 0 for row in slopes)
    (sees,) = found.rows[-1].sees
    assert widest <= sees
    if sees <= n // 2:  # else padding may hide a part of every window
        assert widest == sees


def test_kinds_of_layers():
    """What each kind sees: places by themselves, everything, or unknown; merging takes the wider, nothing is built."""
    nn = kj.nn
    x = kj.Input((32, 32, 3))
    sum_ = nn.Add()(nn.Conv2D(8, 3, padding="same")(x), nn.Conv2D(8, 5, padding="same")(x))
    net = kj.Model(x, nn.Dense(10)(nn.GlobalAveragePool()(nn.LayerNorm()(nn.ReLU()(sum_)))))
    rows = {row.kind: row for row in kj.explain.sizes(net, (32, 32, 3)).rows}
    sees = {kind: row.sees for kind, row in rows.items()}
    assert sees["Add"] == sees["ReLU"] == sees["LayerNorm"] == (5, 5)
    assert sees["GlobalAveragePool"] == sees["Dense"] == "all" and not net.built
    deep = [nn.Reshape((8, 8, 3)), nn.Residual(nn.Conv2D(3, 3, padding="same")), nn.MaxPool2D(2), nn.Flatten()]
    found = kj.explain.sizes([*deep, nn.Dropout(0.5), nn.Dense(2)], (192,))
    assert [row.sees for row in found.rows] == [(1, 1), (3, 3), (4, 4), (4, 4), (4, 4), "all"]
    assert [row.name for row in found.rows][1] == "residual_1.layer" and found.rows[3].arithmetic == "4·4·3 = 48"
    assert kj.explain.sizes([nn.LSTM(3)], (7, 2)).rows[0].sees is None


def test_ways_to_show_it():
    """The table as text, Markdown, HTML, TeX and plain data; columns nobody needs are left out."""
    found = kj.explain.sizes([kj.nn.Conv2D(2, (3, 1), stride=(2, 1)), kj.nn.Flatten()], (9, 4, 1))
    assert "⌊(9 − 3)/2⌋ + 1 = 4, 4 − 1 + 1 = 4" in str(found) and "3×1" in str(found)
    assert found.markdown().splitlines()[1] == "| --- | --- | --- | ---: | ---: | ---: |"
    assert "<td" in found._repr_html_() and found.tex().startswith(r"\begin{array}{lllrrr}")
    assert found.to_dict()["layers"][0]["output"] == [4, 4, 2]
    assert "parameters" not in str(kj.explain.sizes([kj.nn.Flatten()], (9, 4, 1)))


@pytest.mark.parametrize(
    ("net", "shape", "kind", "message"),
    [
        (3, (4,), GraphError, "takes a model or a list of layers, got 3"),
        ([kj.nn.Conv2D], (4, 4, 1), GraphError, "A class is not a layer yet"),
        ([kj.nn.Conv2D(1, 5)], (4, 4, 1), ShapeError, r"Conv2D .*the 5×5 kernel does not fit the 4×4 input"),
        ([kj.nn.Conv2D(1, 5)], (784,), ShapeError, r"needs an input \(N, height, width, channels\)"),
        ([kj.nn.Dense(1)], "four", GraphError, "a shape is a whole number"),
    ],
)
def test_what_has_no_sizes_is_refused(net, shape, kind, message):
    """What is no layer, or does not fit, is refused with the reason."""
    with pytest.raises(kind, match=message):
        kj.explain.sizes(net, shape)
