"""Occlusion: a patch covers part of the image, and what the score loses is what was seen there."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from kedja.explain.heatmaps.answers import Answer
from kedja.explain.heatmaps.asking import Asked
from kedja.explain.heatmaps.options import Options
from kedja.graph.node import Array

__all__ = ["occlusion"]


def occlusion(asked: Asked, targets: Array, options: Options) -> Answer:
    """At each place the mean of s(x) − s(x covered) over the patches that cover it. Source: Zeiler and Fergus 2014.

    Patches stand `stride` apart, and one more at each end where they would not reach it. All of them go through the
    network in batches, for all targets at once.
    """
    places, form = asked.places, asked.form
    patch, stride = options.windows(places)
    starts = [_starts(n, p, s) for n, p, s in zip(places, patch, stride, strict=True)]
    windows: list[Any] = [tuple(slice(a, a + p) for a, p in zip(at, patch, strict=True)) for at in product(*starts)]
    fill = options.baseline(asked).reshape(len(asked.x), *form)
    images = asked.x.reshape(len(asked.x), *form)
    n, t = targets.shape
    drops = np.empty((n, t, len(windows)), asked.x.dtype)
    rows = asked.rows_for(len(windows) + 1)
    scored = asked.traced(rows)
    for i in range(n):
        whole = asked.run(scored, [scored.scores], asked.x[i : i + 1])[0]
        weight = asked.weights(targets[i])
        for at in range(0, len(windows), rows):
            some = windows[at : at + rows]
            covered = np.repeat(images[i : i + 1], len(some), 0)
            for k, window in enumerate(some):
                covered[(k, *window)] = fill[(i, *window)]
            found = asked.run(scored, [scored.scores], covered.reshape(len(some), *asked.x.shape[1:]))[0]
            drops[i, :, at : at + rows] = weight @ (whole - found).T
    maps, counts = np.zeros((n * t, *places), asked.x.dtype), np.zeros(places, asked.x.dtype)
    for k, window in enumerate(windows):
        counts[window] += 1
        maps[(slice(None), *window)] += drops.reshape(n * t, -1)[:, k].reshape(-1, *(1,) * len(places))
    return Answer(maps / counts, notes={"patches": len(windows)})


def _starts(n: int, patch: int, stride: int) -> list[int]:
    found = list(range(0, n - patch + 1, stride))
    return found if found[-1] == n - patch else [*found, n - patch]
