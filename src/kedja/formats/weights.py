"""`net.load_weights(...)`: numbers from another library, or another file of ours, into a network that is there already.

What does not fit is told of in full: what is missing, what the file has beside, what has another shape and why perhaps.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kedja.errors import FormatError, GraphError, one_of
from kedja.formats import keras, torch
from kedja.formats.matching import Match, matched
from kedja.formats.tensors import read_tensors
from kedja.graph.dtypes import is_float
from kedja.graph.node import bind
from kedja.graph.variables import State
from kedja.nn.model import Module

__all__ = ["LAYOUTS", "MisShaped", "WeightsReport", "load_weights", "state_dict"]

Array = NDArray[Any]
LAYOUTS = ("auto", "kedja", "keras", "torch")
SHOWN = 12  # lines of each kind that a report prints
KERAS = (".h5", ".hdf5", ".keras")
TORCH = (".pth", ".pt", ".bin", ".ckpt", ".tar")


class MisShaped(NamedTuple):
    """A tensor that is there and cannot be taken: of another shape than expected, or no real numbers."""

    path: str
    name: str
    shape: tuple[int, ...]
    expected: tuple[int, ...]
    hint: str


@dataclass
class WeightsReport:
    """What came of loading weights: paths that were loaded, and all that did not fit.

    `missing` are paths of the model with the names that were looked for; `unexpected` names of the file with shapes;
    `how` says whether they were found "by name" or "in order".
    """

    layout: str
    how: str
    loaded: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    unexpected: dict[str, tuple[int, ...]] = field(default_factory=dict)
    mis_shaped: list[MisShaped] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every variable got its numbers and nothing was left over."""
        return not (self.missing or self.unexpected or self.mis_shaped)

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} tensors loaded, {self.layout} layout, {self.how}"]
        told = {
            "missing": [f"{p}, looked for as {n}" if n else p for p, n in self.missing.items()],
            "unexpected": [f"{n} {list(s)}" for n, s in self.unexpected.items()],
            "mis-shaped": [
                f"{m.name} {list(m.shape)} for {m.path}, which needs {list(m.expected)}{m.hint}"
                for m in self.mis_shaped
            ],
        }
        for what, rows in told.items():
            if rows:
                lines.append(f"{len(rows)} {what}:")
                lines += [f"  {row}" for row in rows[:SHOWN]]
                lines += [f"  … and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
        return "\n".join(lines)

    __repr__ = __str__


def load_weights(
    model: Module, source: str | os.PathLike[str] | Mapping[str, Any], layout: str = "auto", *, strict: bool = True,
    known: Mapping[str, str] | None = None,
) -> WeightsReport:  # fmt: skip
    """Take weights and statistics from a file or a dict of tensors; returns what came of it.

    `source`: .safetensors, .pth/.pt (needs torch; read with `weights_only`), .weights.h5/.h5/.keras (needs h5py), the
    folder of a saved model, or a state dict. `layout` says whose axes, gates and names these are: "torch", "keras",
    "kedja", or "auto": by the ending, and kedja's where the names are ours. Tensors are found by name where the names
    are those of the model (or the model is of `kj.zoo`), else in order, by their shapes; `known` says for the path of
    each layer what its tensors' names begin with, where you know better.

    With `strict` all must fit, or nothing is changed and FormatError is raised, with the report as `.report`; without
    it what fits is loaded. The optimiser starts anew. Raises GraphError for a model that has no weights yet.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(2)]).build((None, 3))
    >>> net.load_weights({"0.weight": np.ones((2, 3)), "0.bias": np.zeros(2)}).ok
    True
    >>> net.load_weights({"0.weight": np.ones((3, 2)), "0.bias": np.zeros(2)})
    Traceback (most recent call last):
    kedja.errors.FormatError: the weights do not fit the model, nothing was loaded: 1 tensors loaded, ...
    1 mis-shaped:
      0.weight [3, 2] for dense_1.kernel, which needs [2, 3] (transposed? layout='keras' has that order)
    """
    if layout not in LAYOUTS:
        raise one_of("layout", layout, LAYOUTS)
    model.expect_weights()
    own = model.state.of_kind("trainable", "statistic")
    if not own:
        raise GraphError(f"{model.title}: there is nothing to load: no layer has weights")
    where, tensors, of_file = _tensors(source)
    layout = of_file if layout == "auto" and of_file else layout
    if layout == "auto":
        ours = sum(path in tensors for path in own)
        layout = "kedja" if 2 * ours > len(own) and _as_ours(own, tensors) else "torch"
    matches, how = matched(model, tensors, layout, known)
    report = WeightsReport(layout, how)
    values = _taken(matches, own, tensors, report)
    used = {name for match in matches for name in match.theirs}
    left = [n for n in tensors if n not in used and n.rpartition(".")[2] not in torch.NO_WEIGHTS]
    report.unexpected = {n: tensors[n].shape for n in left if not n.startswith("optimizer.")}
    if strict and not report.ok:
        error = FormatError(f"{where} not fit the model, nothing was loaded: {report}")
        error.report = report  # type: ignore[attr-defined]
        raise error
    State((p, own[p]) for p in values).restore(values)
    return report


def _as_ours(own: State, tensors: Mapping[str, Array]) -> bool:
    """Whether names that agree with ours mean tensors that lie as ours do."""
    both = [p for p in own if p in tensors]
    return all(tensors[p].shape == own[p].shape for p in both) or any(p.endswith(".kernel") for p in both)


def _tensors(source: Any) -> tuple[str, dict[str, Array], str | None]:
    """How messages begin, the tensors, and the layout where the kind of file says it."""
    if isinstance(source, Mapping):
        return "the weights do", torch.as_arrays(source, "the dict"), None
    try:
        path = Path(source)
    except TypeError:
        raise FormatError(f"weights are a file or a dict of tensors; got {source!r}") from None
    says = f"{path}: the weights do"
    if path.is_dir():
        from kedja.formats.state import weights_of

        return says, weights_of(path), "kedja"
    if not path.exists():
        raise FormatError(f"{path} does not exist")
    ending = path.suffix.lower()
    if ending in KERAS:
        return says, keras.read_keras(path), "keras"
    if ending == ".safetensors":
        return says, read_tensors(path), None
    if ending in TORCH:
        return says, torch.read_torch(path), "torch"
    raise one_of(f"ending of a file with weights, in {path.name},", ending, [*KERAS, *TORCH, ".safetensors"])


def _taken(
    matches: list[Match], own: State, tensors: Mapping[str, Array], report: WeightsReport
) -> dict[str, Array]:  # fmt: skip
    """The new values by path; what cannot be had goes into the report."""
    values: dict[str, Array] = {}
    for piece, ours, theirs in matches:
        if not theirs or any(name not in tensors for name in theirs):
            report.missing |= dict.fromkeys(ours, ", ".join(n for n in theirs if n not in tensors))
            continue
        expected = piece.shapes(*(own[path].shape for path in ours))
        given = [tensors[name] for name in theirs]
        wrong = [
            MisShaped(ours[0], name, a.shape, shape, _hint(a, shape, report.layout))
            for name, a, shape in zip(theirs, given, expected, strict=True)
            if a.shape != shape or (a.dtype.kind not in "fiu" and is_float(own[ours[0]].dtype))
        ]
        report.mis_shaped += wrong
        if wrong:
            continue
        for path, value in zip(ours, piece.read(*given), strict=True):
            values[path] = np.ascontiguousarray(value, own[path].dtype).reshape(own[path].shape)
            report.loaded.append(path)
    return values


def _hint(given: Array, expected: tuple[int, ...], layout: str) -> str:
    """Why a shape may be another one."""
    if given.dtype.kind not in "fiu":
        return f" (it holds {given.dtype.name}, not real numbers)"
    if given.shape == expected[::-1] or (len(expected) > 2 and sorted(given.shape) == sorted(expected)):
        other = "keras" if layout == "torch" else "torch"
        return f" (transposed? layout={other!r} has that order)"
    if given.size == int(np.prod(expected)):
        return " (as many numbers in another shape)"
    if len(given.shape) == len(expected) and given.shape[1:] == expected[1:]:
        return f" (made for {given.shape[0]} outputs; with strict=False the rest is loaded)"
    return ""


def state_dict(model: Module, like: Mapping[str, Any] | None = None) -> dict[str, Array]:
    """The weights and statistics as PyTorch has them: a dict of arrays for `module.load_state_dict`.

    Names are those of `kj.zoo.torch_names` for a network of the zoo; else `like`, the state dict of the module they are
    for, gives them (in order, by shapes, as in `load_weights`), and without it our paths do, with PyTorch's endings.

    Raises FormatError when a layer has no counterpart there, or `like` is of other layers.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Conv2D(4, 3), kj.nn.Flatten(), kj.nn.Dense(2)]).build((None, 5, 5, 1), seed=0)
    >>> {name: a.shape for name, a in state_dict(net).items()}
    {'conv2d_1.weight': (4, 1, 3, 3), 'conv2d_1.bias': (4,), 'dense_1.weight': (2, 36), 'dense_1.bias': (2,)}
    """
    from kedja.formats.pieces import units

    model.expect_weights()
    own = model.state.of_kind("trainable", "statistic")
    if like is not None or "network" in model.info:
        named = torch.as_arrays(like or {}, "the dict")
        matches, _ = matched(model, named, "torch")
    else:
        matches = [
            Match(piece, tuple(map(unit.path_of, piece.ours)), tuple(torch.joined(unit.path, t) for t in piece.theirs))
            for unit in units(model)
            for piece in torch.pieces_of(unit)
        ]
    found: dict[str, Array] = {}
    for piece, ours, theirs in matches:
        if not theirs:
            raise FormatError(f"the state dict given has no layer like that of {ours[0]}, {own[ours[0]].shape}")
        arrays = piece.write(*(np.asarray(own[path].value) for path in ours))
        found |= {name: np.array(a, order="C") for name, a in zip(theirs, arrays, strict=True)}
    if like is not None:
        for name, a in found.items():
            if name not in named or named[name].shape != a.shape:
                there = list(named[name].shape) if name in named else "nothing"
                raise FormatError(f"the state dict given has {there} as {name!r}, the model {list(a.shape)}")
        found = {name: found.get(name, named[name]) for name in named}  # counters of batches stay as they are there
    return found


bind(Module, load_weights=load_weights)
