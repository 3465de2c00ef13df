"""A model's weights as a state dict of PyTorch: its names and layouts, under the paths of our layers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from kedja.errors import FormatError, KedjaError
from kedja.formats.pieces import plain_pieces, units
from kedja.formats.torch import joined, pieces_of
from kedja.nn.layers import Denormalize, Normalize
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module

__all__ = ["packed_state", "state_dict"]

Array = np.ndarray[Any, Any]


def state_dict(model: Module) -> tuple[dict[str, Array], list[str]]:
    """The arrays by their names in PyTorch, and notes on what PyTorch has no layer for.

    Layers that scale are BatchNorms without weights there: (x − μ) / √σ².

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Conv2D(4, 3), kj.nn.Flatten(), kj.nn.Dense(2)]).build((None, 5, 5, 1))
    >>> {name: a.shape for name, a in state_dict(net)[0].items()}
    {'conv2d_1.weight': (4, 1, 3, 3), 'conv2d_1.bias': (4,), 'dense_1.weight': (2, 36), 'dense_1.bias': (2,)}
    """
    found: dict[str, Array] = {}
    notes: list[str] = []
    taken: set[str] = set()
    for unit in units(model):
        try:
            pieces = pieces_of(unit)
        except FormatError as error:
            pieces = plain_pieces(unit.layer)
            notes.append(f"{unit.path or 'the model'}: {error} Its weights lie there as in kedja.")
        for piece in pieces:
            arrays = piece.write(*(np.asarray(unit.variable(ours).value) for ours in piece.ours))
            taken.update(unit.path_of(ours) for ours in piece.ours)
            found.update(zip((joined(unit.path, leaf) for leaf in piece.theirs), arrays, strict=True))
    for path, layer in model.layers_by_path():
        if isinstance(layer, Normalize | Denormalize):
            mean, variance = scaling(layer)
            found |= {f"{path}.running_mean": mean, f"{path}.running_var": variance}
            taken |= {f"{path}.mean", f"{path}.std"}
    rest = {path: np.asarray(v.value) for path, v in model.state.items() if path not in taken}
    if rest:
        notes.append(f"As in kedja, since PyTorch has no such layer: {', '.join(rest)}.")
    return found | rest, notes


def scaling(layer: Layer) -> tuple[Array, Array]:
    """The mean and variance of the BatchNorm that does what a scaling layer does."""
    known: Any = layer
    mean, std = (np.asarray(v.value, np.float64) for v in (known.mean, known.std))
    if isinstance(layer, Denormalize):  # mean + std · z = (z − (−mean / std)) / (1 / std)
        mean, std = -mean / std, 1 / std
    return mean.astype(known.mean.dtype), (std * std).astype(known.std.dtype)


def packed_state(arrays: dict[str, Array]) -> bytes:
    """The bytes of a file that `torch.load(path, weights_only=True)` reads. torch is loaded here, and only here."""
    try:
        import torch
    except ImportError as error:
        raise KedjaError(
            "--format torch writes with torch, which is missing: pip install torch. --format safetensors needs nothing."
        ) from error
    held = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(a, order="C")) for name, a in arrays.items()}, held)
    return held.getvalue()
