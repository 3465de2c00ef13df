"""State dicts of PyTorch: how they are read, and how the variables of our layers lie in them.

Linear (out, in), convolutions (out, in, *size); LSTM's gates i, f, g, o, GRU's r, z, n, both with two biases; images
have their channels first, so what follows a flattened image has its columns in another order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.errors import FormatError, KedjaError
from kedja.formats.pieces import Piece, Unit, plain_pieces
from kedja.nn import layers as nn

__all__ = ["as_arrays", "groups_of", "pieces_of", "read_torch"]

Array = NDArray[Any]
WRAPPERS = ("state_dict", "model_state_dict", "model", "state_dict_ema", "net")
RECURRENT = re.compile(r"(weight|bias)_(ih|hh)_l(\d+)(_reverse)?")
NO_WEIGHTS = ("num_batches_tracked",)


# --- reading --------------------------------------------------------------------------------------------------------
def read_torch(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The tensors of a .pth, .pt or .bin file, by name, in its order, with torch's `weights_only`: no code is run.

    Raises KedjaError when torch is not installed, FormatError for a file that is damaged or holds more than tensors.
    """
    try:
        import torch
    except ImportError as error:
        raise KedjaError(
            f"{path} is a file of PyTorch's own, which torch reads: pip install torch. Files that end in .safetensors "
            "are read without it."
        ) from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FormatError(f"{path} does not exist") from None
    except Exception as error:  # torch has no exception of its own for this
        # Of its message the first sentence: the rest advises to run what is in the file.
        first = str(error).splitlines()[0].split(". ")[0].rstrip(".") if str(error) else type(error).__name__
        raise FormatError(
            f"{path} cannot be read as weights alone: {first}. Files with code in them are refused; save "
            "model.state_dict(), best as safetensors."
        ) from error
    return as_arrays(found, str(path))


def as_arrays(given: Any, where: str) -> dict[str, Array]:
    """A state dict as arrays, whatever their strides: taken out of a checkpoint if it lies in one."""
    inside = given
    for name in WRAPPERS:
        if isinstance(inside, Mapping) and isinstance(inside.get(name), Mapping):
            inside = inside[name]
    if not isinstance(inside, Mapping):
        raise FormatError(f"{where} holds a {type(given).__name__}, not a state dict (names and tensors)")
    found: dict[str, Array] = {}
    for name, value in inside.items():
        if not isinstance(name, str):
            raise FormatError(f"{where} has a name that is no text: {name!r}")
        array = _array(value)
        if array is None:
            raise FormatError(f"{where}: {name!r} is a {type(value).__name__}, not a tensor")
        found[name] = array
    for wrapper in ("module.", "_orig_mod."):  # of DataParallel and torch.compile
        if found and all(name.startswith(wrapper) for name in found):
            found = {name.removeprefix(wrapper): a for name, a in found.items()}
    return found


def _array(value: Any) -> Array | None:
    """A tensor of any library as an array, its numbers in the order of its axes; None for what is none."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    elif hasattr(value, "numpy") and not isinstance(value, np.ndarray):
        value = value.numpy()
    array = np.asarray(value)
    return None if array.dtype.kind not in "biufc" else np.ascontiguousarray(array).reshape(array.shape)


def groups_of(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The tensors by the layer they belong to: prefix → name in the layer → tensor.

    A recurrent layer of PyTorch may hold several of ours, one after the other: "rnn", "rnn:1", …

    >>> list(groups_of({"0.weight": np.zeros(1), "0.bias": np.zeros(1), "1.weight_ih_l1": np.zeros(1)}))
    ['0', '1:1']
    """
    found: dict[str, dict[str, Array]] = {}
    for name, tensor in tensors.items():
        prefix, _, leaf = name.rpartition(".")
        if leaf in NO_WEIGHTS:
            continue
        if prefix.endswith("out_proj") and any(n.startswith(f"{prefix[:-8]}in_proj") for n in tensors):
            prefix, leaf = prefix.removesuffix("out_proj").removesuffix("."), f"out_proj.{leaf}"
        if (m := RECURRENT.fullmatch(leaf)) is not None:
            prefix += f":{m[3]}" if m[3] != "0" else ""
            leaf = f"{m[1]}_{m[2]}{m[4] or ''}"
        found.setdefault(prefix, {})[leaf] = tensor
    return found


def joined(prefix: str, leaf: str) -> str:
    """The name in the state dict of a tensor that `groups_of` has put into a group."""
    prefix, _, level = prefix.partition(":")
    if leaf.startswith(("weight_ih", "weight_hh", "bias_ih", "bias_hh")):
        leaf = re.sub(r"_(ih|hh)", rf"_\1_l{level or 0}", leaf)
    return f"{prefix}.{leaf}" if prefix else leaf


# --- one layer after the other --------------------------------------------------------------------------------------
def pieces_of(unit: Unit) -> list[Piece]:
    """What the variables of a layer are made of in PyTorch. Raises FormatError where there is no such layer."""
    for kind, table in TABLE:
        if isinstance(unit.layer, kind):
            return table(unit)
    return plain_pieces(unit.layer)


def _one(ours: str, theirs: str, axes: tuple[int, ...] = ()) -> Piece:
    """A tensor as it is, or with its axes in another order: our axis i is their axis axes[i]."""
    if not axes:
        return Piece.one(ours, theirs)
    back = tuple(np.argsort(axes).tolist())
    return Piece.one(ours, theirs, lambda a: a.transpose(axes), lambda a: a.transpose(back))


def _rows(piece: Piece, image: tuple[int, ...] | None) -> Piece:
    """The same, the first axis of ours running over a flattened image."""
    if image is None:
        return piece
    *sizes, channels = image
    last = len(image) - 1

    def ours(a: Array) -> Array:  # (c, h, w) → (h, w, c)
        whole = a.reshape(channels, *sizes, *a.shape[1:])
        return np.moveaxis(whole, 0, last).reshape(a.shape)

    def theirs(a: Array) -> Array:
        return np.moveaxis(a.reshape(*sizes, channels, *a.shape[1:]), last, 0).reshape(a.shape)

    return Piece.one(
        piece.ours[0], piece.theirs[0], lambda a: ours(piece.read(a)[0]), lambda a: piece.write(theirs(a))[0]
    )


def _dense(unit: Unit) -> list[Piece]:
    layer: Any = unit.layer
    bias = [_one("bias", "bias")] if layer.bias is not None else []
    return [_rows(_one("kernel", "weight", (1, 0)), unit.image), *bias]


def _tied(unit: Unit) -> list[Piece]:
    layer: Any = unit.layer
    return [_one("bias", "bias")] if layer.bias is not None else []


def _conv(unit: Unit) -> list[Piece]:
    layer: Any = unit.layer
    if hasattr(layer, "mixing"):
        raise FormatError(
            f"{unit.path}: PyTorch has no {type(layer).__name__}; it is two convolutions there. Make it of "
            "DepthwiseConv2D and Conv2D of size 1."
        )
    rank = layer.rank
    # Ours (*size, in, out), theirs (out, in, *size); a transposed one has (in, out, *size) there.
    ends = (0, 1) if "Transpose" in type(layer).__name__ else (1, 0)
    bias = [_one("bias", "bias")] if layer.bias is not None else []
    return [_one("kernel", "weight", (*range(2, rank + 2), *ends)), *bias]


def _norm(unit: Unit) -> list[Piece]:
    layer: Any = unit.layer
    both = {"gamma": "weight", "beta": "bias"}
    found = [_one(ours, theirs) for ours, theirs in both.items() if getattr(layer, ours, None) is not None]
    if isinstance(layer, nn.BatchNorm):
        found += [_one("mean", "running_mean"), _one("variance", "running_var")]
    return [_rows(piece, unit.image) for piece in found]


def _recurrent(layer: Any, at: str = "", end: str = "") -> list[Piece]:
    if isinstance(layer, nn.GRU) and not layer.reset_after:
        raise FormatError("a GRU with reset_after=False has no counterpart in PyTorch, which resets after the product")
    order = [1, 0, 2] if isinstance(layer, nn.GRU) else list(range(layer.gates))  # GRU: z, r, n here; r, z, n there
    u = layer.units

    def turned(a: Array) -> Array:
        """The gates, along the first axis, in the other order: the same way there and back."""
        return a.reshape(len(order), u, *a.shape[1:])[order].reshape(a.shape)

    def read(a: Array) -> Array:
        return turned(a).T

    def write(a: Array) -> Array:
        return turned(a.T)

    found = [
        Piece.one(f"{at}kernel", f"weight_ih{end}", read, write),
        Piece.one(f"{at}recurrent", f"weight_hh{end}", read, write),
    ]
    if layer.bias is None:
        return found
    if isinstance(layer, nn.GRU):
        return [
            *found,
            Piece.one(f"{at}bias", f"bias_ih{end}", turned, turned),
            Piece.one(f"{at}recurrent_bias", f"bias_hh{end}", turned, turned),
        ]
    both = (f"bias_ih{end}", f"bias_hh{end}")  # they are added in every step: one is enough
    return [*found, Piece((f"{at}bias",), both, lambda a, b: (a + b,), lambda a: (a, np.zeros_like(a)))]


def _both_ways(unit: Unit) -> list[Piece]:
    layer: Any = unit.layer
    return [*_recurrent(layer.forwards, "forwards."), *_recurrent(layer.backwards, "backwards.", "_reverse")]


def _attention(unit: Unit) -> list[Piece]:
    layer: Any = unit.layer
    if len({layer.query_kernel.shape, layer.key_kernel.shape, layer.value_kernel.shape}) > 1:
        raise FormatError(f"{unit.path}: PyTorch's MultiheadAttention has as many units in the heads as features")

    def three(leaf: str, theirs: str) -> Piece:
        """Queries, keys and values are one tensor there."""
        ours = tuple(f"{name}_{leaf}" for name in ("query", "key", "value"))
        return Piece(
            ours, (theirs,), lambda a: tuple(part.T for part in np.split(a, 3)),
            lambda *parts: (np.concatenate([part.T for part in parts]),),
        )  # fmt: skip

    found = [three("kernel", "in_proj_weight"), _one("output_kernel", "out_proj.weight", (1, 0))]
    if layer.use_bias:
        found += [three("bias", "in_proj_bias"), _one("output_bias", "out_proj.bias")]
    return found


CONVOLUTIONS = tuple(cls for name in dir(nn) if "Conv" in name and isinstance(cls := getattr(nn, name), type))
TABLE: tuple[tuple[Any, Callable[[Unit], list[Piece]]], ...] = (
    (nn.Dense, _dense),
    (nn.Tied, _tied),
    (CONVOLUTIONS, _conv),
    ((nn.BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm, nn.RMSNorm), _norm),
    (nn.Embedding, lambda unit: [_one("table", "weight")]),
    (nn.PReLU, lambda unit: [_one("slope", "weight")]),
    ((nn.LSTM, nn.GRU, nn.SimpleRNN), lambda unit: _recurrent(unit.layer)),
    (nn.Bidirectional, _both_ways),
    (nn.MultiHeadAttention, _attention),
)
