"""Which classes a heat map is of: by number, by name, several at once, or what the model itself says."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.errors import DataError, GraphError, UnknownNameError, one_of
from kedja.explain.heatmaps.asking import Asked
from kedja.graph.node import Array, Tensor
from kedja.train.evaluation import decide, probabilities

__all__ = ["chances", "chosen", "number_of"]

LISTED = 30  # names that an error still lists


def chances(asked: Asked) -> Array | None:
    """The probability of each class (n, classes), where the model's output says it."""
    if asked.link not in ("probabilities", "logits"):
        return None
    loss = asked.loss or ("cross_entropy" if asked.output.shape[1] > 1 else "binary_cross_entropy")
    found = probabilities(asked.model, asked.output, loss)
    return np.concatenate([1 - found, found], axis=1) if found.shape[1] == 1 else found


def chosen(asked: Asked, target: Any, top: int | None) -> tuple[Array, bool]:
    """The targets (n, t) of n images, and whether one was meant and not several."""
    n, classes = len(asked.x), asked.classes
    if top is not None:
        if target is not None:
            raise DataError("heatmap: give target= or top=, not both")
        if isinstance(top, bool) or not isinstance(top, int | np.integer) or not 1 <= top <= classes:
            raise DataError(f"heatmap: top is how many classes are shown, 1 to {classes}; got {top!r}")
        likely = asked.output if not asked.yes_or_no else chances(asked)
        likely = np.concatenate([-asked.output, asked.output], axis=1) if likely is None else likely
        return np.argsort(-likely, axis=1, kind="stable")[:, :top], False
    if target is None:
        if classes == 1:
            return np.zeros((n, 1), np.int64), True
        found = decide(asked.model, asked.output, asked.loss)
        return np.asarray(found, np.int64).reshape(n, 1), True
    if isinstance(target, Tensor):
        target = target.numpy()
    single = isinstance(target, str) or np.ndim(target) == 0
    wanted = [target] if single else list(target)
    if not wanted:
        raise DataError("heatmap: target is an empty list; name the classes a map is wanted of")
    numbers = [number_of(t, classes, asked.names) for t in wanted]
    return np.repeat(np.array([numbers], np.int64), n, 0), single


def number_of(target: Any, classes: int, names: Sequence[str] | None) -> int:
    """The number of a class, given as that or by its name. Raises DataError or UnknownNameError.

    >>> number_of("dog", 2, ["cat", "dog"]), number_of(1, 2, None), number_of("tabby", 1, ["tabby, tabby cat"])
    (1, 1, 0)
    """
    if isinstance(target, str):
        if names is None:
            if target.strip().isdigit():
                return number_of(int(target), classes, None)
            raise GraphError(
                f"heatmap: the classes of this model have no names, so {target!r} is unknown: "
                f"give its number, 0 to {classes - 1}, or names=[...]"
            )
        wanted = target.strip().casefold()
        for i, name in enumerate(names):
            if str(name).casefold() == wanted:
                return i
        for i, name in enumerate(names):  # "tabby, tabby cat" has two
            if wanted in (part.strip().casefold() for part in str(name).split(",")):
                return i
        if wanted.isdigit() and int(wanted) < classes:
            return int(wanted)
        if len(names) <= LISTED:
            raise one_of("class", target, map(str, names))
        near = difflib.get_close_matches(wanted, [str(name).casefold() for name in names], n=3, cutoff=0.4)
        inside = [str(name) for name in names if wanted in str(name).casefold()][:3]
        said = " Did you mean " + " or ".join(repr(name) for name in inside or near) + "?" if inside or near else ""
        raise UnknownNameError(f"unknown class {target!r} among the {len(names):,} of this model.{said}")
    if isinstance(target, bool | np.bool_) or not isinstance(target, int | np.integer):
        raise DataError(f"heatmap: target is the number or the name of a class, or a list of them; got {target!r}")
    if not 0 <= target < classes:
        what = f"numbers 0 to {classes - 1}" if classes > 1 else "one output, number 0"
        raise DataError(f"heatmap: there is no class {target}: the model has {classes} classes, {what}")
    return int(target)
