"""What a stretch of steps of several networks says: means of epochs, for each member and over the members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kedja.nn.losses import Loss
from kedja.train.step import WEIGHT

__all__ = ["epoch_means", "over_members", "table_of_members"]

Array = np.ndarray[Any, Any]


def table_of_members(rows: Array, sizes: Sequence[int], members: int) -> Array:
    """The rows of a stacked loop's table as (steps, members, numbers); its first column is for the loop alone."""
    parts, at = [], 1
    for size in sizes:
        parts.append(rows[:, at : at + members * size].reshape(len(rows), members, size))
        at += members * size
    return np.concatenate(parts, axis=2).astype(np.float64)


def epoch_means(table: Array, names: Sequence[str], spe: int, rows: Array, loss: Loss) -> dict[str, Array]:
    """Each figure's mean over the rows of each epoch: (steps, members, numbers) → (epochs, members) by name.

    A figure of several numbers is (epochs, members, p).
    """
    steps = table.reshape(len(table) // spe, spe, *table.shape[1:])
    weight = steps[..., list(names).index(WEIGHT)] if WEIGHT in names else rows[None, :, None]
    with np.errstate(invalid="ignore"):
        means = (steps * weight[..., None]).sum(1) / np.broadcast_to(weight, steps.shape[:-1]).sum(1)[..., None]
    if loss.reduction == "sum":
        means[..., 0] = steps[..., 0].sum(1)
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    places.pop(WEIGHT, None)
    if "penalty" in places:
        means[..., places["penalty"][0]] = steps[..., places["penalty"][0]].mean(1)
    return {name: means[..., at[0]] if len(at) == 1 else means[..., at] for name, at in places.items()}


def over_members(figures: Mapping[str, Array]) -> dict[str, Array]:
    """The mean over the members that have a number: (epochs, members) → (epochs,); nan where none has."""
    found = {}
    for name, values in figures.items():
        there = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            found[name] = np.where(there, values, 0.0).sum(1) / there.sum(1)
    return found
