"""Every layer as ONNX: the cases every layer is held to, exported and run by onnxruntime on other numbers of rows."""

import numpy as np
import onnx
import pytest

import kedja as kj
from kedja.formats.onnx.backend import run_model
from nn.conformance import built
from nn.layer_cases import all_cases, listed

onnxruntime = pytest.importorskip("onnxruntime")
ROWS = (1, 3, 17)
LISTED = listed()
SAMPLE = LISTED[::9]


def model_of(case):
    """The layer of a case alone in a model, in float32."""
    layer = built(case, "float32")
    inputs = [kj.Input(shape[1:]) for shape in case.sizes]
    return kj.Model(inputs, layer(*inputs)).build()


def drawn(case, rows):
    """Inputs of so many rows, as a model takes them."""
    rng = np.random.default_rng(rows)
    draws = case.draws if isinstance(case.draws, list) else [case.draws] * len(case.sizes)
    xs = [np.asarray(d(rng, (rows, *s[1:])), "float32") for d, s in zip(draws, case.sizes, strict=True)]
    return tuple(xs) if len(xs) > 1 else xs[0]


def outputs_of(path, x):
    """What onnxruntime makes of it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    xs = x if isinstance(x, tuple) else (x,)
    return session.run(None, {i.name: a for i, a in zip(session.get_inputs(), xs, strict=True)})


def agrees(net, path, x, engine="auto"):
    """The worst difference between the file in onnxruntime and the model, which must be 1e-5 of the largest at most."""
    ours = net.predict(x, engine=engine)
    worst = 0.0
    for a, b in zip(ours if isinstance(ours, tuple) else (ours,), outputs_of(path, x), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        there = np.isfinite(a)
        np.testing.assert_array_equal(a[~there], b[~there])
        scale = max(1.0, np.abs(a[there]).max(initial=0.0))
        worst = max(worst, np.abs(a[there] - b[there]).max(initial=0.0) / scale)
    assert worst <= 1e-5
    return float(worst)


def exported(name, i, folder, judged):
    case = all_cases()[name][i]
    net = model_of(case)
    path = str(folder / "layer.onnx")
    kj.onnx.save(net, path)
    worst = max(agrees(net, path, drawn(case, rows)) for rows in ROWS)
    judged("onnxruntime", "export of layers", len(ROWS), worst)
    return net, case, path


@pytest.mark.parametrize(("name", "i"), SAMPLE, ids=lambda v: str(v))
def test_layer(name, i, tmp_path, judged):
    """The exported layer gives in onnxruntime what it gives here, for 1, 3 and 17 rows; the file is found clean."""
    _, _, path = exported(name, i, tmp_path, judged)
    onnx.checker.check_model(path, full_check=True)


@pytest.mark.long
@pytest.mark.parametrize(("name", "i"), LISTED, ids=lambda v: str(v))
def test_every_layer(name, i, tmp_path, judged):
    """All cases of all layers; the file is run by kedja's own backend too."""
    net, case, path = exported(name, i, tmp_path, judged)
    x = drawn(case, 3)
    found = run_model(onnx.load(path), list(x) if isinstance(x, tuple) else [x])
    ours = net.predict(x)
    for a, b in zip(ours if isinstance(ours, tuple) else (ours,), found, strict=True):
        np.testing.assert_allclose(
            b, a, rtol=1e-5, atol=1e-5 * max(1.0, np.nanmax(np.abs(a[np.isfinite(a)]), initial=0))
        )
