"""`--format python`: the program computes what the model predicts, in a Python that has NumPy and no kedja."""

import json
import subprocess
import sys

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, FormatError
from kedja.formats.export import export

from .test_torch_state import RNG, STACKS, moved

RUN = """
import sys
sys.modules["kedja"] = None
import importlib.util, numpy as np
spec = importlib.util.spec_from_file_location("net", sys.argv[1])
net = importlib.util.module_from_spec(spec)
spec.loader.exec_module(net)
np.save(sys.argv[3], net.predict(np.load(sys.argv[2])))
assert not {"kedja", "torch", "jax", "scipy"} & {m for m in sys.modules if sys.modules[m] is not None}
"""


def loaded(path):
    """The program as a module."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("exported_net", path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def agrees(net, folder, x):
    path = folder / "net.py"
    export(net, path, "python")
    ours, theirs = net.predict(x), loaded(path).predict(x)
    assert ours.shape == theirs.shape and theirs.dtype == np.float32
    error = float(np.abs(ours - theirs).max() / max(1.0, np.abs(ours).max()))
    assert error <= 1e-5
    return error


def branches():
    """A functional model: a shortcut, a join, a shared layer, arithmetic."""
    x = kj.Input((6, 6, 2))
    conv = kj.nn.Conv2D(2, 3, "relu", padding="same")
    y = kj.nn.Concatenate()(conv(x), conv(conv(x)) * 0.5 - x)
    y = kj.nn.Residual(kj.Sequential([kj.nn.Conv2D(6, 3, padding="same", stride=2)]))(y)
    return kj.Model(x, kj.nn.Dense(2)(kj.nn.GlobalMaxPool()(kj.nn.LayerNorm()(y))))


NETS = {
    **{name: (shape, lambda make=make: kj.Sequential(make())) for name, (shape, make) in STACKS.items()},
    "branches": ((6, 6, 2), branches),
    "separable": ((8, 8, 3), lambda: kj.Sequential([
        kj.nn.Rescale(0.5, -1.0), kj.nn.SeparableConv2D(4, 3, "hard_swish", padding=1), kj.nn.Reshape((-1, 8)),
        kj.nn.Conv1D(3, 2), kj.nn.AveragePool1D(2, padding="same"), kj.nn.Flatten(), kj.nn.Dense(1),
    ])),
    "volumes": ((4, 4, 4, 1), lambda: kj.Sequential([kj.nn.Conv3D(2, 2), kj.nn.MaxPool3D(2), kj.nn.Flatten()])),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_the_program_is_the_model(name, tmp_path, judged):
    """Its predictions are the model's to 1e-5."""
    shape, make = NETS[name]
    net = moved(make(), *shape)
    judged(
        "exported program", "export as NumPy", 1, agrees(net, tmp_path, RNG.normal(size=(4, *shape)).astype("float32"))
    )


@pytest.mark.parametrize("name", sorted(set(kj.activations.TABLE) - {"prelu", "rrelu", "glu"}))
def test_every_activation(name, tmp_path):
    """As the activation of a layer, with the numbers it starts with."""
    net = moved(kj.Sequential([kj.nn.Dense(7, name)]), 3)
    agrees(net, tmp_path, RNG.normal(scale=2, size=(20, 3)).astype("float32"))


def test_alone(tmp_path):
    """In a Python of its own that cannot import kedja; large weights lie beside the program."""
    net = moved(kj.Sequential([kj.nn.Dense(100, "relu"), kj.nn.Dense(3, "softmax")]), 60)
    found = export(net, tmp_path / "net.py", "python")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.npz", "net.py"] and len(found.files) == 2
    x = RNG.normal(size=(5, 60)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    words = [sys.executable, "-c", RUN, *(str(tmp_path / n) for n in ("net.py", "x.npy", "y.npy"))]
    subprocess.run(words, check=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), net.predict(x), atol=1e-6)
    with pytest.raises(DataError, match="exists already"):
        export(net, tmp_path / "net.py", "python")
    (tmp_path / "net.py").unlink()
    with pytest.raises(DataError, match=r"net\.npz exists already"):
        export(net, tmp_path / "net.py", "python")
    assert not (tmp_path / "net.py").exists()


def test_it_can_be_read(tmp_path):
    """One line a layer, the functions it uses and no others, no code of ours."""
    net = moved(kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dropout(0.5), kj.nn.Dense(2)]), 3)
    export(net, tmp_path / "net.py", "python")
    text = (tmp_path / "net.py").read_text(encoding="utf-8")
    assert 'dense_1 = tanh(dense(x, W["dense_1.kernel"], W["dense_1.bias"]))' in text
    assert "def tanh(" in text and "def conv(" not in text and "import kedja" not in text and "csv" in text
    assert "import math" not in text and "product" not in text


def test_columns_of_a_file(tmp_path):
    """A model that takes the columns of a file: text in, the same answers out, gaps and unseen words among them."""
    table = {
        "area": [50.0, None, 70.0, 90.0, 65.0] * 6, "town": ["Lund", "Umeå", "Lund", "Kiruna", "Umeå"] * 6,
        "day": ["2020-01-01", "2020-06-01", "2021-03-01", "2021-12-01", "2020-02-02"] * 6,
    }  # fmt: skip
    net = kj.Sequential([kj.nn.Columns(), kj.nn.Dense(3, "tanh"), kj.nn.Dense(1)])
    net.fit(table, np.arange(30.0)[:, None], loss="mse", epochs=2, seed=0, verbose=0)
    export(net, tmp_path / "net.py", "python")
    program = loaded(tmp_path / "net.py")
    new = {"area": [55.0, None], "town": ["Paris", "Kiruna"], "day": ["2022-01-05", "2020-03-01"]}
    rows = [{k: "" if v[i] is None else str(v[i]) for k, v in new.items()} for i in range(2)]
    np.testing.assert_allclose(program.predict(program.encode(rows)), net.predict(new), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"lack the columns \['area', 'day'\]"):
        program.encode([{"town": "Lund"}])
    alone = subprocess.run([sys.executable, tmp_path / "net.py"], capture_output=True, text=True, check=False)
    assert alone.returncode == 1 and alone.stderr.endswith("rows.csv: give one file of rows\n")


def test_what_images_go_through_is_said(tmp_path):
    """Cutting and scaling images is not part of the network: program and ONNX file tell how it was done."""
    net = kj.zoo.lenet5().build(seed=0)
    net.info["preprocess"] = {"crop": 1.0, "resize": None, "resample": "bilinear", "mean": [33.0], "std": [78.0]}
    export(net, tmp_path / "net.py", "python")
    assert "mean [33.0], std [78.0]" in loaded(tmp_path / "net.py").__doc__
    onnx = pytest.importorskip("onnx")
    export(net, tmp_path / "net.onnx", "onnx")
    said = {p.key: p.value for p in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert json.loads(said["preprocess"]) == net.info["preprocess"]


def test_layers_it_does_not_know(tmp_path):
    """All of them are listed, and nothing is written."""
    net = kj.Sequential([kj.nn.LSTM(3, return_sequences=True), kj.nn.MultiHeadAttention(1), kj.nn.Flatten()])
    net.build((None, 4, 3), seed=0)
    with pytest.raises(FormatError, match=r"lstm_1 \(LSTM\), multi_head_attention_1 \(MultiHeadAttention\)"):
        export(net, tmp_path / "net.py", "python")
    own = kj.Sequential([kj.nn.Dense(3, lambda x: x * x)]).build((None, 2))
    with pytest.raises(FormatError, match="activation"):
        export(own, tmp_path / "net.py", "python")
    assert not list(tmp_path.iterdir())
