"""A model as files: `model.json` says what it is, a safetensors file holds its numbers. Never pickle, never code.

Saving is safe at every moment: the weights go to a file named by their SHA-256, `model.json`, which names that file,
is replaced in one step, and only then are older weights removed. A reader sees the old model or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kedja.errors import FormatError, GraphError, KedjaError, StorageError
from kedja.files import write_whole
from kedja.formats.tensors import packed_tensors, unpacked_tensors
from kedja.graph.dtypes import default_dtype
from kedja.graph.node import bind
from kedja.graph.variables import State, Variable
from kedja.nn import losses
from kedja.nn.layers import Layer
from kedja.nn.layers.config import plain, rebuilt
from kedja.nn.model import Module
from kedja.optim import get as get_optimizer
from kedja.optim.registry import CLASSES
from kedja.train.evaluation import input_shapes, model_dtype
from kedja.train.fit import trainable, training_of
from kedja.train.metrics import get_all, saved

__all__ = ["load", "save", "weights_of"]

FORMAT, VERSION = "kedja model", 1
ARCHITECTURE = "model.json"
NAME = re.compile(r"weights-[0-9a-f]{16}\.safetensors")
# What a description can raise that is not of this version, however it came to be so.
DAMAGED = (KedjaError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, MemoryError)


def save(model: Module, folder: str | os.PathLike[str]) -> Path:
    """Write the model into `folder` (made if missing): architecture, weights, how it was trained, `model.info`.

    A second save into the folder replaces the first, all at once. Raises FormatError when a setting cannot be written
    as plain data, StorageError when the folder cannot be written; what was saved there before is then untouched.

    >>> import tempfile, kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(3, activation="tanh"), kj.nn.Dense(1)]).build((None, 2), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = net.save(folder)
    ...     bool((kj.load(path).predict([[1.0, 2.0]]) == net.predict([[1.0, 2.0]])).all())
    True
    """
    if not model.built:
        raise GraphError("there is nothing to save yet: the model has no weights. Fit it, or build it with a shape.")
    training = training_of(model)
    # What the user wrote is code, and code is not saved: such a loss, metric or optimiser is given again to `fit`.
    loss = training.loss if type(training.loss) in losses.LOSSES.values() else None
    optimizer = training.optimizer if type(training.optimizer) in CLASSES.values() else None
    target = Path(folder)
    tensors = {path: v.value for path, v in (*model.state.items(), *training.memory.items())}
    blob = packed_tensors(tensors)
    digest = hashlib.sha256(blob).hexdigest()
    weights = f"weights-{digest[:16]}.safetensors"
    description = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": plain(model),
        "inputs": [list(s) for s in input_shapes(model)],
        "dtype": np.dtype(model_dtype(model)).name,
        "weights": {"file": weights, "sha256": digest, "bytes": len(blob)},
        "training": {
            "loss": loss.config() if loss else None,
            "optimizer": optimizer.config() if optimizer else None,
            "metrics": saved(training.metrics),
            "epochs": training.epochs,
            "seed": training.seed,
            "start": model.start_seed,
        },
        "info": plain(model.info),
    }
    description["sha256"] = _checksum(description)
    text = json.dumps(description, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {target}: {error.strerror or error}") from error
    write_whole(target / weights, blob)
    write_whole(target / ARCHITECTURE, text)
    for old in target.glob("weights-*.safetensors"):
        if old.name != weights:
            old.unlink(missing_ok=True)
    return target


def load(folder: str | os.PathLike[str], classes: Sequence[type[Layer]] = ()) -> Any:
    """The model that was saved in `folder`, or that of a `.keras` file. Classes of your own are given in `classes`.

    Raises FormatError when the folder holds no kedja model, or one that is damaged, incomplete or from a later version.
    """
    root = Path(folder)
    if root.suffix == ".keras" and root.is_file():
        from kedja.formats.keras_models import from_keras  # h5py is loaded for these alone

        return from_keras(root)
    if (root / "ensemble.json").exists() and not (root / ARCHITECTURE).exists():
        from kedja.formats.ensembles import load_ensemble  # it loads its members by this function

        return load_ensemble(root, classes)
    said = _description(root)
    blob = _weights(root, said)
    try:
        with default_dtype(said["dtype"]):
            model = rebuilt(
                said["architecture"], {**imported(said["architecture"]), **{c.__name__: c for c in classes}}
            )
            if not isinstance(model, Module):
                raise FormatError(f"{root / ARCHITECTURE} describes no model")
            model.build(*(tuple(s) for s in said["inputs"]), seed=said["training"].get("start") or 0)
        model.info.update(said["info"])
        _restore(model, said, unpacked_tensors(blob, str(root / said["weights"]["file"])))
    except DAMAGED as error:
        if isinstance(error, FormatError):
            raise
        what = str(error) if isinstance(error, KedjaError) else f"{type(error).__name__} {error}"
        raise FormatError(f"{root / ARCHITECTURE} is damaged, or from another version: {what}") from error
    return model


def weights_of(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The numbers of a saved model by path, without the model; FormatError as for `load`."""
    root = Path(folder)
    said = _description(root)
    return unpacked_tensors(_weights(root, said), str(root / said["weights"]["file"]))


def _checksum(description: Mapping[str, Any]) -> str:
    """Of all that the description says but this; how it is laid out does not matter."""
    said = {name: value for name, value in description.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def imported(architecture: Any) -> dict[str, type[Layer]]:
    """The class of models that came from ONNX, when one is in the architecture: it needs the package onnx."""
    waiting = [architecture]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if found.get("class") == "OnnxModel":
                from kedja.formats import onnx

                return {"OnnxModel": onnx.OnnxModel}
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
    return {}


def _description(root: Path) -> dict[str, Any]:
    path = root / ARCHITECTURE
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = f"has no {ARCHITECTURE}" if root.exists() else "does not exist"
        raise FormatError(f"{root} is not a saved kedja model: it {what}") from None
    except NotADirectoryError:
        raise FormatError(f"{root} is a file; a saved kedja model is a folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} is damaged, or cannot be read: {error}") from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise FormatError(f"{path} is not the description of a kedja model")
    if said.get("version") != VERSION:
        raise FormatError(
            f"{path} has version {said.get('version')!r}; this kedja reads version {VERSION}. Update kedja."
        )
    missing = {"architecture", "inputs", "dtype", "weights", "training", "info"} - set(said)
    if missing:
        raise FormatError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}")
    if said.get("sha256") != _checksum(said):
        raise FormatError(
            f"{path} is damaged, or was changed by hand: it does not have the checksum it states. "
            "To change a model, load it, change it, save it."
        )
    return said


def _weights(root: Path, said: Mapping[str, Any]) -> bytes:
    entry = said["weights"]
    name = entry.get("file") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not NAME.fullmatch(name):  # no way out of the folder, on no system
        raise FormatError(f"{root / ARCHITECTURE} names no weights file of this folder: {name!r}")
    path = root / name
    try:
        if path.is_symlink() and path.resolve().parent != root.resolve():
            raise FormatError(f"{path} leads out of its folder: the weights of a model lie beside {ARCHITECTURE}")
        blob = path.read_bytes()
    except FileNotFoundError:
        raise FormatError(f"{path} is missing, although {ARCHITECTURE} names it") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(blob).hexdigest() != entry.get("sha256"):
        raise FormatError(f"{path} is damaged: {len(blob)} bytes with another checksum than {ARCHITECTURE} says")
    return blob


def _restore(model: Module, said: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    own, training, told = model.state, training_of(model), said["training"]
    missing = [p for p in own if p not in tensors]
    if missing:
        raise FormatError(f"the weights file lacks {', '.join(missing[:4])}")
    foreign = [p for p in tensors if p not in own and not p.startswith("optimizer.")]
    if foreign:
        raise FormatError(f"the weights file has {', '.join(foreign[:4])}, which the architecture does not")
    for path, v in own.items():
        if tensors[path].shape != v.shape or tensors[path].dtype != v.dtype:
            raise FormatError(
                f"{path} is {v.dtype.name}{list(v.shape)} in the architecture and "
                f"{tensors[path].dtype.name}{list(tensors[path].shape)} in the weights file"
            )
    own.restore({p: tensors[p] for p in own})
    training.loss = losses.get(told["loss"]) if told["loss"] else None
    training.epochs, training.seed = int(told["epochs"]), told["seed"]
    training.metrics = get_all(told["metrics"])
    if told["optimizer"]:
        training.use(get_optimizer(told["optimizer"]), trainable(model), own.of_kind("trainable"))
        memory: State = training.memory
        for path in tensors:  # of layers that were set free later: the step from which they learn
            if path.startswith("optimizer.") and path.endswith(".since") and path not in memory:
                memory.add(path, Variable(tensors[path], path, dtype=tensors[path].dtype, kind="counter"))
        if set(memory) <= set(tensors):
            memory.restore({p: tensors[p] for p in memory})


bind(Module, save=save)
