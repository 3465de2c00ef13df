"""`--format torch`: PyTorch loads the state dict into the module of the snippet and gives the same outputs."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, GraphError, UnknownNameError
from kedja.formats.export import FORMATS, export

torch.set_num_threads(1)
RNG = np.random.default_rng(4)


def moved(net, *shape):
    """Built, with no variable at its starting value."""
    net.build((None, *shape), seed=2)
    rng = np.random.default_rng(1)
    for v in net.state.values():
        v.assign(np.abs(v.value) + 0.2 * rng.random(v.shape).astype("float32"))
    return net


def module(net, folder):
    """The torch module that the exported text makes, with the exported file."""
    path = folder / "net.pt"
    text = str(export(net, path, "torch"))
    code = text[text.index("from collections") :].replace('"net.pt"', repr(str(path)))
    space = {}
    exec(code, space)  # what a user would paste
    return space["net"]


def first(x):
    """Channels first."""
    return np.moveaxis(x, -1, 1)


STACKS = {
    "rows": ((6,), lambda: [
        kj.nn.Normalize().adapt(RNG.normal(3, 2, size=(30, 6))), kj.nn.Dense(8, "gelu"), kj.nn.BatchNorm(),
        kj.nn.Dropout(0.3), kj.nn.Dense(5, kj.activations.get("leaky_relu", slope=0.2), use_bias=False),
        kj.nn.GaussianNoise(0.1), kj.nn.ELU(0.7), kj.nn.Dense(3, "softmax"),
        kj.nn.Denormalize().adapt(RNG.normal(5, 3, size=(30, 3))),
    ]),
    "images": ((9, 8, 2), lambda: [
        kj.nn.Conv2D(4, 3, "relu", padding="same", stride=2), kj.nn.BatchNorm(), kj.nn.MaxPool2D(2, padding="same"),
        kj.nn.DepthwiseConv2D(2, "tanh", multiplier=2, padding="same"), kj.nn.Conv2D(6, 2, groups=2, dilation=1),
        kj.nn.Flatten(), kj.nn.Dense(4, "log_softmax"),
    ]),
    "a global mean": ((6, 7, 3), lambda: [
        kj.nn.Conv2D(4, (2, 3), "silu"), kj.nn.AveragePool2D(3, stride=2, padding=1), kj.nn.GlobalAveragePool(),
        kj.nn.Dense(2, "sigmoid"),
    ]),
    "an image out": ((6, 7, 3), lambda: [kj.nn.Conv2D(4, 3, padding=1), kj.nn.Conv2D(3, 1, "softmax")]),
    "steps": ((12, 2), lambda: [
        kj.nn.Conv1D(4, 3, "selu", padding=2, dilation=2), kj.nn.MaxPool1D(3), kj.nn.Flatten(), kj.nn.Dense(2),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_the_snippet_is_the_model(name, tmp_path, judged):
    """The module of the snippet takes the file strictly, and computes what the model predicts."""
    shape, make = STACKS[name]
    net = moved(kj.Sequential(make()), *shape)
    x = RNG.normal(size=(5, *shape)).astype("float32")
    with torch.no_grad():
        theirs = module(net, tmp_path)(torch.from_numpy(first(x).copy() if len(shape) > 1 else x)).numpy()
    ours = net.predict(x)
    ours = first(ours) if ours.ndim > 2 else ours
    error = np.abs(ours - theirs).max() / max(1.0, np.abs(ours).max())
    assert ours.shape == theirs.shape and error <= 1e-5
    judged("PyTorch", "export of stacks as state dicts", 1, error)


def test_names_and_layouts(tmp_path):
    """Layers keep their paths; weights are (out, in), kernels (out, in, *size), recurrent ones as torch.nn.LSTM's."""
    net = moved(kj.Sequential([kj.nn.LSTM(3), kj.nn.Dense(2)]), 5, 4)
    found = export(net, tmp_path / "net.pt", "torch")
    held = torch.load(tmp_path / "net.pt", weights_only=True)
    assert {k: tuple(v.shape) for k, v in held.items()} == {
        "lstm_1.weight_ih_l0": (12, 4), "lstm_1.weight_hh_l0": (12, 3), "lstm_1.bias_ih_l0": (12,),
        "lstm_1.bias_hh_l0": (12,), "dense_1.weight": (2, 3), "dense_1.bias": (2,),
    }  # fmt: skip
    assert "no torch.nn.Sequential for this model: lstm_1 is a LSTM" in str(found)
    np.testing.assert_array_equal(held["dense_1.weight"].numpy().T, net.state["dense_1.kernel"].value)


def test_what_torch_has_not_is_named(tmp_path):
    """Weights of a layer that PyTorch lacks lie there as they are here, and the text says so."""
    net = moved(kj.Sequential([kj.nn.SeparableConv2D(4, 3), kj.nn.Impute()]), 6, 6, 2)
    found = str(export(net, tmp_path / "net.pt", "torch"))
    held = torch.load(tmp_path / "net.pt", weights_only=True)
    assert "separable_conv2d_1.mixing" in held and "as in kedja" in found


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_nothing_is_overwritten(format, tmp_path):
    """A file that is there stays as it is; a model without weights and an unknown format are refused."""
    path = tmp_path / "there"
    path.write_text("mine")
    net = kj.Sequential([kj.nn.Dense(2)])
    with pytest.raises(GraphError, match="nothing to export yet"):
        export(net, path, format)
    with pytest.raises(DataError, match="exists already and is not overwritten"):
        export(net.build((None, 3)), path, format)
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(UnknownNameError, match="Did you mean 'onnx'"):
        export(net, tmp_path / "new", "onxx")


@pytest.mark.parametrize("format", ["numpy", "safetensors"])
def test_arrays_under_their_paths(format, tmp_path):
    """Every array of the state, bit by bit, under its path."""
    from safetensors.numpy import load_file

    net = moved(kj.Sequential([kj.nn.Conv2D(3, 2), kj.nn.BatchNorm(), kj.nn.Flatten(), kj.nn.Dense(2)]), 4, 4, 1)
    found = export(net, tmp_path / "net", format)
    held = dict(np.load(tmp_path / "net")) if format == "numpy" else load_file(tmp_path / "net")
    assert sorted(held) == sorted(net.state) and found.files == (tmp_path / "net",)
    for path, v in net.state.items():
        np.testing.assert_array_equal(held[path], v.value)


def test_an_imported_model_keeps_its_names(tmp_path):
    """The nodes of an ONNX model have their weights as they lie in the file, which is PyTorch's order."""
    pytest.importorskip("onnx")
    net = kj.Sequential([kj.nn.Conv2D(4, 3), kj.nn.Flatten(), kj.nn.Dense(2)]).build((None, 5, 5, 1), seed=0)
    back = kj.onnx.load(kj.onnx.save(net, tmp_path / "net.onnx").path)
    export(back, tmp_path / "net.pt", "torch")
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    assert len(back.state.of_kind("trainable")) == 4
    for path, variable in back.state.of_kind("trainable").items():
        assert np.array_equal(state[path].numpy(), variable.numpy())
