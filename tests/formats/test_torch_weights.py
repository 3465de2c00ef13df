"""State dicts of PyTorch into our layers and back: the same outputs on both sides, a full account of what differs."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn as tn

import kedja as kj
from kedja.errors import FormatError, GraphError, KedjaError
from kedja.formats.weights import state_dict

torch.set_num_threads(1)
CLOSE = 1e-5


class Last(tn.Module):
    """The output of the last step of a recurrent layer, or of every step."""

    def __init__(self, layer: tn.Module, last: bool = True) -> None:
        super().__init__()
        self.layer, self.last = layer, last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x)[0]
        return y[:, -1] if self.last else y


class Seen(tn.Module):
    """Attention of a sequence to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.look = tn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.look(x, x, x, need_weights=False)[0]


def images(*shape: int) -> tuple[tuple[int, ...], Callable[[Any], Any]]:
    """Channels last here, first there."""
    return shape, lambda x: np.moveaxis(x, -1, 1)


def same(*shape: int) -> tuple[tuple[int, ...], Callable[[Any], Any]]:
    return shape, lambda x: x


L = kj.nn
CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any], Any]] = {
    "dense": (lambda: [L.Dense(8, "relu"), L.Dense(3)],
              lambda: tn.Sequential(tn.Linear(5, 8), tn.ReLU(), tn.Linear(8, 3)),
              same(4, 5)),
    "without bias": (lambda: [L.Dense(8, use_bias=False), L.Dense(3)],
                     lambda: tn.Sequential(tn.Linear(5, 8, bias=False), tn.Linear(8, 3)), same(4, 5)),
    "images, normalised, flattened": (
        lambda: [L.Conv2D(4, 3, padding=1), L.BatchNorm(), L.ReLU(), L.MaxPool2D(2),
                 L.Conv2D(6, (3, 2), "tanh", groups=2),
                 L.Dropout(0.5), L.Flatten(), L.BatchNorm(),
                 L.Dense(5, "relu"), L.Dense(3)],
        lambda: tn.Sequential(tn.Conv2d(3, 4, 3, padding=1), tn.BatchNorm2d(4), tn.ReLU(), tn.MaxPool2d(2),
                              tn.Conv2d(4, 6, (3, 2), groups=2), tn.Tanh(), tn.Dropout(), tn.Flatten(),
                              tn.BatchNorm1d(54), tn.Linear(54, 5), tn.ReLU(), tn.Linear(5, 3)), images(2, 10, 8, 3)),
    "rows of steps, flattened": (
        lambda: [L.Conv1D(4, 3), L.PReLU(), L.MaxPool1D(2), L.Flatten(), L.Dense(3)],
        lambda: tn.Sequential(tn.Conv1d(2, 4, 3), tn.PReLU(4), tn.MaxPool1d(2), tn.Flatten(), tn.Linear(16, 3)),
        images(3, 10, 2)),
    "volumes": (lambda: [L.Conv3D(4, (1, 3, 2)), L.GlobalAveragePool(), L.Dense(2)],
                lambda: tn.Sequential(tn.Conv3d(2, 4, (1, 3, 2)), tn.AdaptiveAvgPool3d(1), tn.Flatten(),
                                      tn.Linear(4, 2)),
                images(2, 3, 5, 4, 2)),
    "transposed and depthwise": (
        lambda: [L.ConvTranspose2D(4, 3, stride=2), L.DepthwiseConv2D(3, multiplier=2), L.GroupNorm(2)],
        lambda: tn.Sequential(tn.ConvTranspose2d(3, 4, 3, stride=2), tn.Conv2d(4, 8, 3, groups=4), tn.GroupNorm(2, 8)),
        images(2, 4, 4, 3)),
    "lstm": (lambda: [L.LSTM(4), L.Dense(2)],
             lambda: tn.Sequential(Last(tn.LSTM(3, 4, batch_first=True)), tn.Linear(4, 2)),
             same(2, 6, 3)),
    "gru": (lambda: [L.GRU(4), L.LayerNorm(), L.Dense(2)],
            lambda: tn.Sequential(Last(tn.GRU(3, 4, batch_first=True)), tn.LayerNorm(4), tn.Linear(4, 2)),
            same(2, 6, 3)),
    "three lstms in one": (
        lambda: [L.LSTM(4, return_sequences=True), L.LSTM(4, return_sequences=True), L.LSTM(4)],
        lambda: tn.Sequential(Last(tn.LSTM(3, 4, num_layers=3, batch_first=True))), same(2, 6, 3)),
    "both ways": (
        lambda: [L.Bidirectional(L.GRU(4, return_sequences=True)), L.Bidirectional(L.LSTM(3, return_sequences=True))],
        lambda: tn.Sequential(Last(tn.GRU(3, 4, bidirectional=True, batch_first=True), False),
                              Last(tn.LSTM(8, 3, bidirectional=True, batch_first=True), False)), same(2, 6, 3)),
    "plain recurrent, no bias": (lambda: [L.SimpleRNN(4, use_bias=False)],
                                 lambda: tn.Sequential(Last(tn.RNN(3, 4, bias=False, batch_first=True))),
                                 same(2, 6, 3)),
    "steps flattened": (  # a recurrent layer's steps lie in both alike: nothing is to be turned
        lambda: [L.LSTM(4, return_sequences=True), L.Flatten(), L.Dense(2)],
        lambda: tn.Sequential(Last(tn.LSTM(3, 4, batch_first=True), False), tn.Flatten(), tn.Linear(24, 2)),
        same(2, 6, 3)),
    "attention": (lambda: [L.MultiHeadAttention(2), L.RMSNorm(epsilon=1e-6)],
                  lambda: tn.Sequential(Seen(), tn.RMSNorm(6, eps=1e-6)), same(2, 5, 6)),
}  # fmt: skip


def pair(name: str) -> tuple[Any, Any, Any, Callable[[Any], Any]]:
    """Our network with its own weights, theirs with other ones, an input, and the way to theirs."""
    ours, theirs, (shape, turn) = CASES[name]
    torch.manual_seed(3)
    there = theirs()
    for module in there.modules():  # statistics and scales as after some training
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    net = kj.Sequential(ours()).build((None, *shape[1:]), seed=0)
    return net, there.eval(), x, turn


def answer(there: Any, x: Any, turn: Any) -> Any:
    with torch.no_grad():
        y = there(torch.from_numpy(np.ascontiguousarray(turn(x)))).numpy()
    return np.moveaxis(y, 1, -1) if y.ndim == 4 else y


@pytest.mark.parametrize("name", CASES)
def test_a_network_of_pytorch_gives_the_same_outputs_here(name: str) -> None:
    """Names counted in a torch.nn.Sequential are found in order, and the numbers land where they mean the same."""
    net, there, x, turn = pair(name)
    report = net.load_weights(there.state_dict())
    assert report.ok and report.layout == "torch"
    assert np.abs(net.predict(x) - answer(there, x, turn)).max() < CLOSE


@pytest.mark.parametrize("name", CASES)
def test_our_weights_give_the_same_outputs_there(name: str) -> None:
    """The way back: PyTorch itself takes the state dict, strictly, and answers as we do."""
    net, there, x, turn = pair(name)
    for path, v in net.state.items():
        if path.endswith(".variance"):
            v.assign(np.linspace(0.5, 2, v.size, dtype=np.float32))
    given = {k: torch.from_numpy(a) for k, a in state_dict(net, like=there.state_dict()).items()}
    there.load_state_dict(given, strict=True)
    assert np.abs(net.predict(x) - answer(there, x, turn)).max() < CLOSE


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_files_are_read_whatever_the_strides(ending: str, tmp_path: Path) -> None:
    """A tensor that is a transposed view of its storage comes in with its own numbers, from both kinds of file."""
    net, there, x, turn = pair("dense")
    with torch.no_grad():
        there[0].weight = tn.Parameter(there[0].weight.T.contiguous().T)
    assert not there[0].weight.is_contiguous()
    path = tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in there.state_dict().items()}}, path)
    else:
        save_file({k: v.contiguous() for k, v in there.state_dict().items()}, path)
    net.load_weights(path)
    assert np.abs(net.predict(x) - answer(there, x, turn)).max() < CLOSE


def test_names_of_attributes_are_found_by_name(tmp_path: Path) -> None:
    """A model that calls its layers as the module there does needs no order."""

    class Ours(kj.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.out = L.Dense(4, "relu"), L.Dense(4)

        def call(self, x: kj.Tensor) -> kj.Tensor:
            return self.out(self.hidden(x))

    class Theirs(tn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out, self.hidden = tn.Linear(4, 4), tn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(torch.relu(self.hidden(x)))

    net, there, x = Ours().build((None, 4), seed=0), Theirs(), np.ones((2, 4), np.float32)
    save_file(there.state_dict(), tmp_path / "w.safetensors")
    report = net.load_weights(tmp_path / "w.safetensors")
    assert report.how == "by name"
    assert np.abs(net.predict(x) - there(torch.from_numpy(x)).detach().numpy()).max() < CLOSE


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    """Half the bits of a float32 are enough to say which float32 is meant."""
    weight = torch.linspace(-1, 1, 6).reshape(2, 3).to(torch.bfloat16)
    save_file({"0.weight": weight, "0.bias": torch.zeros(2)}, tmp_path / "w.safetensors")
    net = kj.Sequential([L.Dense(2)]).build((None, 3))
    net.load_weights(tmp_path / "w.safetensors")
    assert np.array_equal(net.layers[0].kernel.numpy(), weight.float().numpy().T)


def test_a_strict_report_names_everything_and_changes_nothing() -> None:
    """Missing, unexpected and mis-shaped tensors, with shapes, and a hint where a matrix lies the other way round."""
    net = kj.Sequential([L.Dense(4), L.BatchNorm(), L.Dense(2)]).build((None, 3), seed=0)
    before = [w.copy() for w in net.get_weights()]
    given = {
        "0.weight": np.ones((3, 4)), "0.bias": np.ones(4), "1.weight": np.ones(4), "1.running_mean": np.ones(4),
        "1.running_var": np.ones(4), "1.num_batches_tracked": np.array(7), "2.weight": np.ones((5, 4)),
        "2.bias": np.ones(5), "3.weight": np.ones((9, 9)),
    }  # fmt: skip
    with pytest.raises(FormatError, match="nothing was loaded") as caught:
        net.load_weights(given)
    report = caught.value.report  # type: ignore[attr-defined]
    assert report.missing == {"batch_norm_1.beta": "1.bias"}
    assert report.unexpected == {"3.weight": (9, 9)}
    assert {m.name: (m.shape, m.expected) for m in report.mis_shaped} == {
        "0.weight": ((3, 4), (4, 3)), "2.weight": ((5, 4), (2, 4)), "2.bias": ((5,), (2,)),
    }  # fmt: skip
    text = str(report)
    assert "transposed? layout='keras'" in text and "made for 5 outputs" in text and "3.weight [9, 9]" in text
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))


def test_without_strict_what_fits_is_loaded() -> None:
    """A head of another size stays as it is; the body comes in."""
    net = kj.Sequential([L.Dense(4), L.Dense(2)]).build((None, 3), seed=0)
    head = net.layers[1].kernel.numpy()
    report = net.load_weights(
        {"0.weight": np.ones((4, 3)), "0.bias": np.ones(4), "1.weight": np.ones((9, 4)), "1.bias": np.ones(9)},
        strict=False,
    )
    assert report.loaded == ["dense_1.kernel", "dense_1.bias"] and not report.ok
    assert (net.layers[0].kernel.numpy() == 1).all() and np.array_equal(net.layers[1].kernel.numpy(), head)


def test_a_layer_missing_in_the_middle_is_named() -> None:
    """Layers are laid beside each other by their shapes: one that is not there does not shift the others."""
    net = kj.Sequential([L.Dense(4), L.Dense(5), L.Dense(2)]).build((None, 3), seed=0)
    given = {"0.weight": np.ones((4, 3)), "0.bias": np.ones(4), "9.weight": np.ones((2, 5)), "9.bias": np.ones(2)}
    report = net.load_weights(given, strict=False)
    assert list(report.missing) == ["dense_2.kernel", "dense_2.bias"] and not report.mis_shaped


class Evil:
    """What a pickle may do when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this code ran",))


def test_a_pickle_with_code_in_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is read as weights alone: what it would call is not called."""
    torch.save({"0.weight": Evil()}, tmp_path / "evil.pth")
    net = kj.Sequential([L.Dense(2)]).build((None, 3))
    with pytest.raises(FormatError, match="alone: [^.]+. Files with code in them are refused") as refused:
        net.load_weights(tmp_path / "evil.pth")
    assert "weights_only" not in str(refused.value)  # torch's own message advises to run it
    assert "this code ran" not in capsys.readouterr().out


def test_without_torch_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch is needed for its own files alone."""
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "x.pth").write_bytes(b"")
    with pytest.raises(KedjaError, match=r"pip install torch.*safetensors"):
        kj.Sequential([L.Dense(2)]).build((None, 3)).load_weights(tmp_path / "x.pth")


def test_safetensors_are_read_without_torch(tmp_path: Path) -> None:
    """A fresh interpreter that has loaded a state dict from a safetensors file has not imported torch."""
    save_file(tn.Linear(3, 2).state_dict(), tmp_path / "w.safetensors")
    code = (
        "import sys, kedja as kj; net = kj.Sequential([kj.nn.Dense(2)]).build((None, 3));"
        f"net.load_weights({str(tmp_path / 'w.safetensors')!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.pth", "does not exist"),
        ("w.txt", "ending"),
        ({"a": "text"}, "not a tensor"),
        ({1: np.ones(2)}, "no text"),
        (7, "a file or a dict"),
    ],
    ids=str,
)
def test_what_is_no_weights_is_refused(source: Any, words: str, tmp_path: Path) -> None:
    """Every message says what came."""
    (tmp_path / "w.txt").write_text("x")
    net = kj.Sequential([L.Dense(2)]).build((None, 3))
    with pytest.raises(KedjaError, match=words):
        net.load_weights(tmp_path / source if isinstance(source, str) else source)


def test_a_model_without_weights_takes_none() -> None:
    """Shapes are known only when it is built."""
    with pytest.raises(GraphError, match="no weights yet"):
        kj.Sequential([L.Dense(2)]).load_weights({"0.weight": np.ones((2, 3))})


def test_a_saved_model_lends_its_weights_to_another(tmp_path: Path) -> None:
    """The folder of a model, and the safetensors file in it, are weights under our own names."""
    net = kj.Sequential([L.Dense(4, "tanh"), L.Dense(2)]).build((None, 3), seed=0)
    net.save(tmp_path)
    x = np.ones((2, 3), np.float32)
    for source in (tmp_path, next(tmp_path.glob("*.safetensors"))):
        other = kj.Sequential([L.Dense(4, "tanh"), L.Dense(2)]).build((None, 3), seed=1)
        assert other.load_weights(source).layout == "kedja"
        assert np.array_equal(other.predict(x), net.predict(x))
