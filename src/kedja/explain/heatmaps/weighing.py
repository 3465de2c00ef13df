"""Maps from inside the network: the channels of one layer, weighed by what they do for the score (CAM, Grad-CAM)."""

from __future__ import annotations

import numpy as np

from kedja.diff import grad
from kedja.errors import GraphError
from kedja.explain.heatmaps.answers import Answer
from kedja.explain.heatmaps.asking import Asked, Scored
from kedja.explain.heatmaps.options import Options
from kedja.graph.node import Array, Tensor, ancestors
from kedja.ops import mean, relu
from kedja.ops import sum as total

__all__ = ["cam", "grad_cam"]


def grad_cam(asked: Asked, targets: Array, options: Options) -> Answer:
    """max(0, Σ_k α_k A_k) with α_k = (1/m) Σ ∂s/∂A_k, the mean over the m places of a layer's map A_k.

    With signed=True the sum itself, in which what speaks against the class is negative. Source: Selvaraju et al. 2017.
    """
    x, weight = asked.pairs(targets)
    scored = asked.traced(asked.rows_for(len(x)))
    layer, maps, axis = asked.node_of(scored, options.given["layer"])
    share = mean(grad(scored.score, maps), _places(maps, axis), keepdims=True)
    weighed = total(share * maps, axis=axis)
    node = weighed if options.given["signed"] else relu(weighed)
    return Answer(asked.run(scored, [node], x, weight)[0], layer)


def cam(asked: Asked, targets: Array, options: Options) -> Answer:
    """Σ_k w_k A_k, with the weights w that lead from the mean of each map to the score: CAM. Source: Zhou et al. 2016.

    That is defined where the score is an affine function of those means, s = b + Σ_k w_k mean(A_k): then its
    derivative by A_k depends neither on the image nor on the place. Both are asked of the graph.
    """
    x, weight = asked.pairs(targets)
    scored = asked.traced(asked.rows_for(len(x)))
    layer, maps, axis = asked.node_of(scored, options.given["layer"])
    slope = grad(scored.score, maps)
    between = _between(scored, maps)
    if scored.x in set(ancestors([slope])):
        raise GraphError(_refusal(layer, between, "the score is no weighted sum of them"))
    m = float(np.prod([maps.shape[a] for a in _places(maps, axis)]))
    weighed, slopes = asked.run(scored, [total(slope * m * maps, axis=axis), slope], x, weight)
    flat = np.moveaxis(slopes, axis, -1).reshape(len(slopes), -1, maps.shape[axis])
    if np.ptp(flat, axis=1).max() > 1e-5 * np.abs(flat).max():
        raise GraphError(_refusal(layer, between, "each place has weights of its own"))
    return Answer(weighed, layer)


def _places(maps: Tensor, channels: int) -> tuple[int, ...]:
    return tuple(a for a in range(1, maps.ndim) if a != channels)


def _between(scored: Scored, maps: Tensor) -> str:
    """The layers between the maps and the score, with their kinds."""
    after = [
        f"{path} ({type(layer).__name__})" for path, layer, node in scored.calls
        if node.serial > maps.serial and not any(other.startswith(f"{path}.") for other, _, _ in scored.calls)
    ]  # fmt: skip
    return ", ".join(after) or "no layer of its own"


def _refusal(layer: str, between: str, why: str) -> str:
    return (
        f"heatmap: CAM is for models that end with GlobalAveragePool and one Dense on the last maps. After those of "
        f'"{layer}" this one has {between}, so {why}. method="grad_cam" serves any such model.'
    )
