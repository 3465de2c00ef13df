"""Export: one function for all formats; each is written whole, and nothing that exists is overwritten."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import kedja
from kedja.errors import DataError, GraphError, one_of
from kedja.files import write_whole
from kedja.formats.tensors import packed_tensors
from kedja.nn.model import Module

__all__ = ["FORMATS", "Exported", "export"]


@dataclass(frozen=True)
class Exported:
    """The files that were written, and what is to be said of them."""

    files: tuple[Path, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def export(model: Module, path: str | os.PathLike[str], format: str) -> Exported:
    """Write the model in a foreign format: "onnx", "safetensors", "torch", "numpy" or "python".

    Weights are named by their paths in `model.state`; "torch" has the names and layouts of PyTorch's layers, "python"
    is a program that needs NumPy alone. docs/export.md says what each holds.
    Raises DataError for a file that exists (nothing is overwritten), GraphError for a model without weights,
    FormatError for what a format cannot hold.

    >>> import tempfile, kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(3, "relu"), kj.nn.Dense(1)]).build((None, 2), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = export(net, f"{folder}/net.npz", "numpy")
    ...     sorted(np.load(found.files[0]))
    ['dense_1.bias', 'dense_1.kernel', 'dense_2.bias', 'dense_2.kernel']
    """
    if format not in FORMATS:
        raise one_of("format", format, FORMATS)
    if not isinstance(model, Module):
        hint = "; export its members one by one" if type(model).__name__ == "Ensemble" else ""
        raise GraphError(f"only models are exported, not {type(model).__name__}{hint}.")
    if not model.built:
        raise GraphError("there is nothing to export yet: the model has no weights. Fit it, or build it with a shape.")
    model.expect_weights()
    target = Path(path)
    refuse_existing(target)
    return FORMATS[format].write(model, target)


def refuse_existing(*paths: Path) -> None:
    """Nothing is overwritten."""
    for path in paths:
        if path.exists():
            raise DataError(f"{path} exists already and is not overwritten: give another name with --out.")


def _onnx(model: Module, path: Path) -> Exported:
    from kedja.formats import onnx

    saved = onnx.save(model, path)
    return Exported(tuple(p for p in (saved.path, saved.data) if p is not None), str(saved))


def _arrays(model: Module) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.array(v.value, order="C") for name, v in model.state.items()}


def _told(path: Path, arrays: dict[str, Any], what: str) -> Exported:
    count = sum(a.size for a in arrays.values())
    return Exported((path,), f"{path}: {len(arrays)} arrays, {count:,} numbers, {what}")


def _safetensors(model: Module, path: Path) -> Exported:
    arrays = _arrays(model)
    facts = {"format": "kedja", "kedja": kedja.__version__, "layout": "channels last; kernels (*size, in, out)"}
    write_whole(path, packed_tensors(arrays, facts))
    return _told(path, arrays, "under their paths in the model")


def _numpy(model: Module, path: Path) -> Exported:
    arrays = _arrays(model)
    write_whole(path, packed_arrays(arrays))
    return _told(path, arrays, "under their paths in the model: numpy.load reads them")


def packed_arrays(arrays: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """The bytes of an .npz file."""
    held = io.BytesIO()
    np.savez(held, allow_pickle=False, **arrays)
    return held.getvalue()


def _torch(model: Module, path: Path) -> Exported:
    from kedja.formats.export.snippet import snippet
    from kedja.formats.export.torch_state import packed_state, state_dict

    arrays, notes = state_dict(model)
    code, why = snippet(model, path.name)
    write_whole(path, packed_state(arrays))
    parts = [str(_told(path, arrays, "for torch.load(..., weights_only=True)")), *notes]
    parts.append(f"\n{code}" if code else f"There is no torch.nn.Sequential for this model: {why}.")
    return Exported((path,), "\n".join(parts))


def _python(model: Module, path: Path) -> Exported:
    from kedja.formats.export.script import script

    beside = path.with_suffix(".npz")
    text, arrays = script(model, beside.name)
    if arrays:
        refuse_existing(beside)
        write_whole(beside, packed_arrays(arrays))
    write_whole(path, text)
    files = (path, beside) if arrays else (path,)
    where = f"its weights in {beside}" if arrays else "its weights inside"
    return Exported(files, f"{path}: a program that needs NumPy alone, {where}")


@dataclass(frozen=True)
class Format:
    """How a format is written, and how its files end."""

    suffix: str
    write: Callable[[Module, Path], Exported]


FORMATS = {
    "numpy": Format(".npz", _numpy),
    "onnx": Format(".onnx", _onnx),
    "python": Format(".py", _python),
    "safetensors": Format(".safetensors", _safetensors),
    "torch": Format(".pt", _torch),
}
"""The formats by name."""
