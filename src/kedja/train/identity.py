"""What a run is: what must be the same for a later one to continue it, as plain data, and where two of them differ."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kedja.data.dataset import Dataset
from kedja.errors import FormatError
from kedja.nn.layers.config import plain
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.train.metrics import Metric
from kedja.train.scalars import Scalars
from kedja.train.snapshot import differences

__all__ = ["fingerprint", "identity", "machine", "mismatches"]

Array = np.ndarray[Any, Any]
ALL_BYTES = 1 << 30  # arrays up to here are hashed whole; of larger ones SAMPLES blocks, the first and the last too
BLOCK, SAMPLES = 1 << 20, 512


def identity(
    model: Module, loss: Loss, metrics: Sequence[Metric], scalars: Scalars, data: Mapping[str, Any], *, engine: str,
    seed: int, columns: Sequence[str], **settings: Any,
) -> dict[str, Any]:  # fmt: skip
    """Everything that decides a run's numbers, but for how many epochs it takes. `settings` are plain data."""
    optimizer = scalars.optimizer
    return {
        "engine": engine,
        "seed": int(seed),
        "loss": {"name": loss.name, "options": words(loss.structure())},
        "optimizer": {"name": type(optimizer).__name__, "structure": words(optimizer.structure())},
        "regularizers": [type(r).__name__ for r in scalars.regularizers],
        "metrics": [m.name for m in metrics],
        **words(settings),
        "model": architecture(model),
        "variables": {p: f"{v.kind} {v.dtype.name}{list(v.shape)}" for p, v in model.state.items()},
        "figures": list(columns),
        "data": {name: fingerprint(part) for name, part in data.items() if part is not None},
        "numbers": numbers_of(scalars),
    }


def numbers_of(scalars: Scalars) -> dict[str, float]:
    """The run-time numbers by name; where two share one, the later is told apart by its place."""
    found: dict[str, float] = {}
    for name, value in zip(scalars.names, scalars.values(), strict=True):
        found[name if name not in found else f"{name} ({len(found)})"] = value
    return found


def architecture(model: Module) -> Any:
    """The model as plain data; of one that holds code of the user's, the classes of its layers."""
    try:
        return plain(model)
    except FormatError:
        return {"class": type(model).__name__, "layers": {p: type(la).__name__ for p, la in model.layers_by_path()}}


def words(value: Any) -> Any:
    """A structure as JSON has it: classes and functions by name.

    >>> words((int, ("a", 0.5), None))
    ['int', ['a', 0.5], None]
    """
    if isinstance(value, list | tuple):
        return [words(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): words(v) for k, v in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return getattr(value, "__qualname__", None) or type(value).__name__


def fingerprint(part: Any) -> Any:
    """Shape, type and checksum of an array; the same of every part of a pair or a data set; a share as it is.

    Arrays of more than a gigabyte are sampled: 512 blocks of a megabyte, evenly spaced.

    >>> fingerprint(np.zeros((2, 3), np.float32))["shape"], fingerprint(0.25)
    ([2, 3], 0.25)
    """
    own = getattr(part, "fingerprint", None)
    if own is not None:
        return own()
    if isinstance(part, Dataset):
        part = (part.x, part.y) if part.mask is None else (part.x, part.y, part.mask)
    if isinstance(part, list | tuple):
        return [fingerprint(p) for p in part]
    if part is None or isinstance(part, bool | int | float | str):
        return part
    array = np.asarray(part)
    if array.dtype == object:
        return {"shape": list(array.shape), "dtype": "object", "checksum": _hash([repr(array.tolist()).encode()])}
    return {"shape": list(array.shape), "dtype": array.dtype.name, "checksum": _hash(_blocks(array))}


def _blocks(array: Array) -> Any:
    """The bytes of an array in blocks of whole rows."""
    if not array.ndim:
        return iter([array.tobytes()])
    step = max(1, BLOCK // max(1, array.nbytes // max(1, len(array))))
    starts = range(0, len(array), step)
    if array.nbytes > ALL_BYTES and len(starts) > SAMPLES:
        starts = [starts[int(i)] for i in np.linspace(0, len(starts) - 1, SAMPLES)]  # type: ignore[assignment]
    return (array[i : i + step].tobytes() for i in starts)


def _hash(blocks: Any) -> str:
    made = hashlib.blake2b(digest_size=8)
    for block in blocks:
        made.update(block)
    return made.hexdigest()


def machine(engine: str) -> dict[str, Any]:
    """The kind of machine: on another one the same program may round otherwise."""
    # Loaded here: with it comes the whole of e-mail, a sixth of what the first use of kedja takes.
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, Any] = {"system": platform.system(), "machine": platform.machine(), "numpy": np.__version__}
    if engine == "xla":
        from kedja.engines.xla.devices import device
        from kedja.engines.xla.kernels import can_be_called

        found["device"] = str(device().device_kind)
        found["kernels"] = "kedja's" if can_be_called() else "XLA's"
        for package in ("jax", "jaxlib"):
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = None
    return found


def mismatches(then: Mapping[str, Any], now: Mapping[str, Any], present: Mapping[str, float]) -> list[str]:
    """What differs between two identities, in words, the first of each kind.

    `present` are the numbers at the checkpoint: a number may be as the run began with it, or as it had become.
    """
    found: list[str] = []
    for part in then:
        if part == "numbers":
            for name, was in then[part].items():
                here = now[part].get(name)
                if here not in (was, present.get(name)):
                    found.append(f"{name} was {was:g} and is {'missing' if here is None else f'{here:g}'}")
        elif part in ("variables", "figures") and found:
            continue  # they follow from the others
        elif part == "data":
            found += _data(then[part], now[part])
        else:
            for where, was, here in differences(then[part], now.get(part), [part]):
                found.append(f"{where} was {_told(was)} and is {_told(here)}")
                break
    return found


def _data(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs in the data, the first of each array."""
    found = []
    for name in dict.fromkeys([*then, *now]):
        for where, was, here in differences(then.get(name), now.get(name), [name]):
            if where.endswith("checksum") and was is not None and here is not None:
                what = where.removesuffix(".checksum")
                found.append(f"{what} has other numbers in it (checksum {was} then, {here} now)")
            else:
                found.append(f"{where} was {_told(was)} and is {_told(here)}")
            break
    return found


def _told(value: Any) -> str:
    return "not given" if value is None else repr(value)
