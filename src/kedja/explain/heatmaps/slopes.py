"""Maps from the derivative of the score by the image itself: saliency and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kedja.diff import grad
from kedja.errors import GraphError
from kedja.explain.heatmaps.answers import Answer
from kedja.explain.heatmaps.asking import Asked
from kedja.explain.heatmaps.options import Options
from kedja.graph.node import Array, Tensor
from kedja.graph.trace import Graph
from kedja.ops import OPS, greater, random, relu, where

__all__ = ["gradient_times_input", "guided_backprop", "integrated_gradients", "saliency", "smooth_grad"]


def saliency(asked: Asked, targets: Array, options: Options) -> Answer:
    """max_c |∂s/∂x_c| over the channels of each place. Source: Simonyan et al. 2013."""
    return Answer(_strongest(asked, _gradient(asked, *asked.pairs(targets))))


def gradient_times_input(asked: Asked, targets: Array, options: Options) -> Answer:
    """Σ_c x_c ∂s/∂x_c over the channels of each place. Source: Shrikumar et al. 2016."""
    x, weight = asked.pairs(targets)
    return Answer(_laid(asked, x * _gradient(asked, x, weight)).sum(-1))


def guided_backprop(asked: Asked, targets: Array, options: Options) -> Answer:
    """Saliency with another rule for ReLU: what comes back passes only where it and the input are positive.

    It sharpens the picture more than it explains the answer: it changes little when the last layers get other weights
    (Adebayo et al. 2018). Source: Springenberg et al. 2014.
    """
    x, weight = asked.pairs(targets)
    scored = asked.traced(asked.rows_for(len(x)))
    rule = OPS["relu"]
    if not any(node.op is rule for node in Graph([scored.x, scored.weight], [scored.score]).order):
        raise GraphError(
            "heatmap: guided_backprop changes the derivative of ReLU, and this model has none: "
            'method="saliency" takes the derivatives as they are'
        )
    return Answer(_strongest(asked, _gradient(asked, x, weight, {rule: _guided})))


def _guided(node: Tensor, cotangent: Tensor) -> Tensor:
    return where(greater(node.inputs[0], 0), relu(cotangent), 0)


def smooth_grad(asked: Asked, targets: Array, options: Options) -> Answer:
    """max_c |mean of ∂s/∂x_c| over noisy copies x + N(0, σ²); σ is `noise` times what the image spans.

    All images get the same noise, from the seed alone. Source: Smilkov et al. 2017.
    """
    x, weight = asked.pairs(targets)
    n, key = options.samples, random.key(options.given["seed"] or 0)
    noise = random.normal(key, (n, *x.shape[1:]), dtype=x.dtype).numpy()
    spans = np.ptp(x.reshape(len(x), -1), axis=1).reshape(-1, *(1,) * (x.ndim - 1))
    noisy = x[:, None] + (options.noise * spans)[:, None] * noise
    found = _averaged(asked, noisy.astype(x.dtype), weight)
    return Answer(_strongest(asked, found), notes={"samples": n, "noise": options.noise})


def integrated_gradients(asked: Asked, targets: Array, options: Options) -> Answer:
    """Σ_c (x_c − x′_c) · mean of ∂s/∂x_c on the straight way from the baseline x′ to x, at `steps` midpoints.

    The exact mean makes the map add up to s(x) − s(x′) (completeness); how far it is off is `error`.
    Source: Sundararajan et al. 2017.
    """
    x, weight = asked.pairs(targets)
    start = np.repeat(options.baseline(asked), targets.shape[1], 0)
    n = options.steps
    at = ((np.arange(n) + 0.5) / n).astype(x.dtype).reshape(1, n, *(1,) * (x.ndim - 1))
    found = _averaged(asked, start[:, None] + at * (x - start)[:, None], weight)
    maps = _laid(asked, (x - start) * found).sum(-1)
    scored = asked.traced(asked.rows_for(2 * len(x)))
    ends = np.concatenate([x, start])
    scores = asked.run(scored, [scored.each], ends, np.concatenate([weight, weight]))[0]
    whole = scores[: len(x)] - scores[len(x) :]
    error = maps.reshape(len(maps), -1).sum(1) - whole
    return Answer(maps, whole=whole, error=error, notes={"steps": n})


def _gradient(asked: Asked, x: Array, weight: Array, rules: Mapping[Any, Any] | None = None) -> Array:
    scored = asked.traced(asked.rows_for(len(x)))
    return asked.run(scored, [grad(scored.score, scored.x, rules=rules)], x, weight)[0]


def _averaged(asked: Asked, points: Array, weight: Array) -> Array:
    """The mean gradient of each row over its points (rows, points, …)."""
    rows, n = points.shape[:2]
    flat = points.reshape(rows * n, *points.shape[2:])
    found = _gradient(asked, flat, np.repeat(weight, n, 0))
    means: Array = found.reshape(points.shape).mean(1)
    return means


def _laid(asked: Asked, rows: Array) -> Array:
    """Rows of the input as images, (n, *places, channels)."""
    return rows.reshape(len(rows), *asked.form)


def _strongest(asked: Asked, gradient: Array) -> Array:
    found: Array = np.abs(_laid(asked, gradient)).max(-1)
    return found
