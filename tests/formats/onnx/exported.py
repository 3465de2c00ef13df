"""Networks of PyTorch, and how the ONNX files in data/ were made from them (needs the package onnxscript).

The files hold the networks as `torch.onnx.export` writes them, by either of its exporters; beside each lie the weights.
To make them again: `python tests/formats/onnx/exported.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

DATA = Path(__file__).parent / "data"


class Convolutional(nn.Module):
    """Convolution, batch norm, strides, a transposed convolution, bilinear resizing, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.up = nn.Conv2d(4, 6, 3, stride=2, bias=False), nn.ConvTranspose2d(6, 4, 2, 2)
        self.fc = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x):
        y = torch.tanh(self.conv2(torch.relu(self.norm(self.conv1(x)))))
        y = nn.functional.interpolate(self.up(y), size=(6, 6), mode="bilinear", align_corners=False)
        return self.fc(y.reshape(y.shape[0], -1))


class Recurrent(nn.Module):
    """An embedding, an LSTM in both directions, a GRU, and the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.lstm = nn.Embedding(11, 5), nn.LSTM(5, 7, batch_first=True, bidirectional=True)
        self.gru, self.out = nn.GRU(14, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, words):
        y, _ = self.gru(self.lstm(self.emb(words))[0])
        return self.out(y[:, -1])


class Attention(nn.Module):
    """Two heads of attention made of matrix products, layer norm, a GELU; the shapes are worked out in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.inp, self.pos = nn.Linear(5, 8), nn.Parameter(torch.randn(1, 6, 8) * 0.1)
        self.q, self.k, self.v = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False), nn.Linear(8, 8)
        self.norm, self.mlp = nn.LayerNorm(8), nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 2))

    def forward(self, x):
        h = self.inp(x) + self.pos
        b, t, d = h.shape
        q, k, v = (f(h).reshape(b, t, 2, d // 2).transpose(1, 2) for f in (self.q, self.k, self.v))
        a = torch.softmax(q @ k.transpose(-1, -2) / (d // 2) ** 0.5, -1) @ v
        return self.mlp(self.norm(h + a.transpose(1, 2).reshape(b, t, d)).mean(1))


NETWORKS = {"attention": Attention, "convolutional": Convolutional, "recurrent": Recurrent}
EXPORTERS = ("dynamo", "script")


def inputs(name: str, rows: int = 3) -> np.ndarray:
    """Some examples for the network of this name."""
    rng = np.random.default_rng(7)
    if name == "recurrent":
        return rng.integers(0, 11, (rows, 6))
    return rng.normal(size=(rows, 6, 5) if name == "attention" else (rows, 1, 9, 9)).astype(np.float32)


def network(name: str) -> nn.Module:
    """The network with the weights of the files, as it is after training."""
    from safetensors.torch import load_file

    found = NETWORKS[name]()
    found.load_state_dict(load_file(DATA / f"{name}.safetensors"))
    return found.eval()


def export() -> None:
    """Make the files; what exporters note about the machine (paths of source lines) is left out."""
    import onnx
    from safetensors.torch import save_file

    torch.manual_seed(0)
    for name, cls in NETWORKS.items():
        net = cls().eval()
        for key, p in net.state_dict().items():
            if p.is_floating_point():
                p.copy_(p + 0.1 * torch.randn_like(p) if "running_var" not in key else torch.rand_like(p) + 0.5)
        save_file(net.state_dict(), DATA / f"{name}.safetensors")
        for exporter in EXPORTERS:
            path, example = DATA / f"{name}-{exporter}.onnx", torch.tensor(inputs(name, 2))
            if exporter == "script":
                torch.onnx.export(
                    net, (example,), path, dynamo=False, dynamic_axes={"x": {0: "batch"}}, input_names=["x"],
                    output_names=["y"], opset_version=17, training=torch.onnx.TrainingMode.PRESERVE,
                )  # fmt: skip
            else:
                torch.onnx.export(
                    net, (example,), path, dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},),
                    input_names=["x"], output_names=["y"], external_data=False,
                )  # fmt: skip
            model = onnx.load(path)
            for node in model.graph.node:
                node.ClearField("metadata_props")
                node.ClearField("doc_string")
            del model.graph.value_info[:], model.metadata_props[:], model.graph.metadata_props[:]
            path.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    export()
