"""Files of Keras: the weights of `.weights.h5`, `.keras` and older `.h5`, and how they belong to our layers.

The axes lie as ours do, and so do the gates (LSTM i, f, c, o; GRU z, r, h). What differs: a variable has a number in
its layer and no name, GRU's two biases are one matrix, depthwise kernels have an axis for the multiplier.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.errors import FormatError, KedjaError
from kedja.formats.pieces import Piece, Unit
from kedja.nn import layers as nn

__all__ = ["KINDS", "description", "groups_of", "kind_of", "pieces_of", "read_keras"]

Array = NDArray[Any]
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
PACKED = 1_032  # times smaller: the most that deflate can do
COUNTED = ("layers/", "_layer")  # how paths of Keras 3 begin, where each class of layers is counted by itself
INSIDE = ("cell", "forward_layer", "backward_layer", "query_dense", "key_dense", "value_dense", "output_dense")


# --- reading --------------------------------------------------------------------------------------------------------
def read_keras(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The tensors of a Keras file by their paths in it, "layers/dense/vars/0"; those of optimisers are left out.

    Raises KedjaError when h5py is not installed, FormatError for a damaged file.
    """
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        raise KedjaError(f'{path} is an HDF5 file, which h5py reads: pip install "kedja[keras]".') from error
    found: dict[str, Array] = {}
    most = PACKED * (Path(path).stat().st_size if Path(path).is_file() else 0) + (1 << 20)

    def visit(name: str, item: Any, at: str = "") -> None:
        if not isinstance(item, h5py.Dataset) or name.startswith("optimizer") or "seed_generator" in name:
            return
        if item.external or item.is_virtual:
            raise FormatError(f"{path}: {name} points to another file, which is not followed")
        if item.dtype.kind not in "biuf":
            raise FormatError(f"{path}: {name} holds {item.dtype}, not numbers")
        if item.size * item.dtype.itemsize > most:
            raise FormatError(f"{path}: {name} claims {item.size:,} numbers, more than can be packed in the file")
        found[at or name] = item[()]

    try:
        source: Any = io.BytesIO(_member(path, WEIGHTS)) if zipfile.is_zipfile(path) else str(path)
        with h5py.File(source, "r") as file:
            names = _by_layer(file)
            if names is None:
                file.visititems(visit)
            for at, name in (names or {}).items():
                visit(name, file[name], at)
    except FormatError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, MemoryError) as error:
        raise FormatError(f"{path} cannot be read as a file of Keras: {error}") from error
    return found


def _by_layer(file: Any) -> dict[str, str] | None:
    """Names as in Keras 3, layer by layer, with those in a file of Keras 1 or 2, which says its order; else None."""
    root = file.get("model_weights", file)
    if "layer_names" not in root.attrs:
        return None
    found: dict[str, str] = {}
    for layer in root.attrs["layer_names"]:
        group = root[_text(layer)]
        for i, name in enumerate(group.attrs["weight_names"]):
            found[f"{_text(layer)}/vars/{i}"] = f"{group.name}/{_text(name)}".lstrip("/")
    return found


def _text(name: Any) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)


def _member(path: str | os.PathLike[str], name: str) -> bytes:
    """One file in a `.keras`."""
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = archive.getinfo(name)
            if claimed.file_size > PACKED * Path(path).stat().st_size + (1 << 20):
                raise FormatError(f"{path}: {name} claims {claimed.file_size:,} bytes, more than can be packed in it")
            return archive.read(name)
    except KeyError:
        raise FormatError(f"{path} is a zip without {name}: no .keras file") from None
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise FormatError(f"{path} cannot be read as a .keras file: {error}") from error


def description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a `.keras` file says of its model."""
    if not Path(path).is_file():
        raise FormatError(f"{path} does not exist")
    if not zipfile.is_zipfile(path):
        raise FormatError(f"{path} holds weights alone: make the network, then net.load_weights({str(path)!r})")
    try:
        said = json.loads(_member(path, CONFIG))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is damaged: its {CONFIG} is no JSON ({error})") from error
    if not isinstance(said, dict) or not isinstance(said.get("config"), dict):
        raise FormatError(f"{path}: its {CONFIG} describes no model")
    return said


# --- names ----------------------------------------------------------------------------------------------------------
def groups_of(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The tensors by the layer they belong to: path → number in the layer → tensor.

    >>> groups = groups_of({"layers/lstm/cell/vars/0": np.zeros(1), "layers/dense/vars/1": np.zeros(1)})
    >>> {path: list(inside) for path, inside in groups.items()}
    {'layers/dense': ['1'], 'layers/lstm': ['cell/0']}
    """
    found: dict[str, dict[str, Array]] = {}
    for name, tensor in tensors.items():
        parts = name.split("/")
        if "vars" not in parts:
            raise FormatError(f"{name!r} is no name of Keras 3, such as layers/dense/vars/0")
        parts.remove("vars")
        at = len(parts) - 1
        while at > 1 and parts[at - 1] in INSIDE:
            at -= 1
        found.setdefault("/".join(parts[:at]), {})["/".join(parts[at:])] = tensor
    counted = all(path.startswith(COUNTED) for path in found)
    return dict(sorted(found.items(), key=lambda item: _natural(item[0]))) if counted else found


def _natural(path: str) -> list[tuple[str, int]]:
    """Sorts dense, dense_1, dense_2, …, dense_10 in this order."""
    return [(stem, int(number or 0)) for stem, number in (_split(part) for part in path.split("/"))]


def _split(name: str) -> tuple[str, str]:
    m = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
    assert m is not None
    return m[1], m[2] or ""


def kind_of(path: str) -> str:
    """What a layer is, from its place in a file of Keras 3: layers/dense_2 is a "dense"."""
    return _split(path.rpartition("/")[2])[0]


KINDS = {
    "Dense": "dense", "Conv1D": "conv1d", "Conv2D": "conv2d", "Conv3D": "conv3d", "BatchNorm": "batch_normalization",
    "LayerNorm": "layer_normalization", "GroupNorm": "group_normalization", "RMSNorm": "rms_normalization",
    "Embedding": "embedding", "LSTM": "lstm", "GRU": "gru", "SimpleRNN": "simple_rnn",
    "Bidirectional": "bidirectional", "DepthwiseConv1D": "depthwise_conv1d", "DepthwiseConv2D": "depthwise_conv2d",
    "SeparableConv1D": "separable_conv1d", "SeparableConv2D": "separable_conv2d",
    "ConvTranspose1D": "conv1d_transpose", "ConvTranspose2D": "conv2d_transpose",
    "ConvTranspose3D": "conv3d_transpose", "PReLU": "p_re_lu", "MultiHeadAttention": "multi_head_attention",
}  # fmt: skip


# --- one layer after the other --------------------------------------------------------------------------------------
def pieces_of(unit: Unit) -> list[Piece]:
    """What the variables of a layer are made of in Keras."""
    for kind, table in TABLE:
        if isinstance(unit.layer, kind):
            return table(unit.layer)
    own = [name for name in vars(unit.layer) if not name.startswith("_")]
    known = [name for name in own if name in dict(unit.layer.members())]
    return _numbers(known)


def _numbers(ours: list[str], at: str = "") -> list[Piece]:
    return [Piece.one(name, f"{at}{i}") for i, name in enumerate(ours)]


def _affine(layer: Any) -> list[Piece]:
    names = [name for name in ("gamma", "beta") if getattr(layer, name) is not None]
    return _numbers(names + (["mean", "variance"] if isinstance(layer, nn.BatchNorm) else []))


def _dense(layer: Any) -> list[Piece]:
    return _numbers(["kernel", *(["bias"] if layer.bias is not None else [])])


def _conv_transpose(layer: Any) -> list[Piece]:
    """Keras has the channels out before those in."""

    def swapped(a: Array) -> Array:
        return np.swapaxes(a, -1, -2)

    return [Piece.one("kernel", "0", swapped, swapped), *_dense(layer)[1:]]


def _depthwise(layer: Any) -> list[Piece]:
    """Keras has (*size, channels, multiplier) where we have (*size, 1, channels · multiplier)."""
    c, m = layer.channels, layer.multiplier
    kernel = Piece.one(
        "kernel", "0", lambda a: a.reshape(*a.shape[:-2], 1, -1), lambda a: a.reshape(*a.shape[:-2], c, m)
    )
    rest = (["mixing"] if hasattr(layer, "mixing") else []) + (["bias"] if layer.bias is not None else [])
    return [kernel, *(Piece.one(name, str(i + 1)) for i, name in enumerate(rest))]


def _recurrent(layer: Any, ours: str = "", at: str = "cell/") -> list[Piece]:
    found = _numbers([f"{ours}kernel", f"{ours}recurrent"], at)
    if layer.bias is None:
        return found
    if getattr(layer, "recurrent_bias", None) is None:
        return [*found, Piece.one(f"{ours}bias", f"{at}2")]
    two = (f"{ours}bias", f"{ours}recurrent_bias")
    return [*found, Piece(two, (f"{at}2",), lambda a: (a[0], a[1]), lambda a, b: (np.stack([a, b]),))]


def _both_ways(layer: Any) -> list[Piece]:
    there = _recurrent(layer.forwards, "forwards.", "forward_layer/cell/")
    return [*there, *_recurrent(layer.backwards, "backwards.", "backward_layer/cell/")]


def _attention(layer: Any) -> list[Piece]:
    """Keras has an axis for the heads: (features, heads, units), and (heads, units, features) at the end."""
    heads, found = layer.heads, []
    for name in ("query", "key", "value", "output"):
        out = name == "output"
        found.append(
            Piece.one(
                f"{name}_kernel", f"{name}_dense/0",
                (lambda a: a.reshape(-1, a.shape[-1])) if out else (lambda a: a.reshape(a.shape[0], -1)),
                (lambda a: a.reshape(heads, -1, a.shape[-1])) if out else (lambda a: a.reshape(a.shape[0], heads, -1)),
            )
        )  # fmt: skip
        if layer.use_bias:
            found.append(
                Piece.one(
                    f"{name}_bias", f"{name}_dense/1", lambda a: a.reshape(-1),
                    None if out else (lambda a: a.reshape(heads, -1)),
                )
            )  # fmt: skip
    return found


TABLE: tuple[tuple[Any, Callable[[Any], list[Piece]]], ...] = (
    ((nn.DepthwiseConv1D, nn.DepthwiseConv2D, nn.SeparableConv1D, nn.SeparableConv2D), _depthwise),
    ((nn.ConvTranspose1D, nn.ConvTranspose2D, nn.ConvTranspose3D), _conv_transpose),
    ((nn.Dense, nn.Conv1D, nn.Conv2D, nn.Conv3D), _dense),
    ((nn.BatchNorm, nn.LayerNorm, nn.GroupNorm), _affine),
    (nn.RMSNorm, lambda layer: _numbers(["gamma"])),
    (nn.Embedding, lambda layer: _numbers(["table"])),
    (nn.PReLU, lambda layer: _numbers(["slope"])),
    ((nn.LSTM, nn.GRU, nn.SimpleRNN), _recurrent),
    (nn.Bidirectional, _both_ways),
    (nn.MultiHeadAttention, _attention),
)
