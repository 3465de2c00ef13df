"""Losses."""

from __future__ import annotations

from typing import Any

from kedja import ops
from kedja.errors import one_of
from kedja.formats.onnx.registry import operator
from kedja.formats.onnx.shaping import channels_last
from kedja.graph.node import Tensor


def picked_loss(
    log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int | None, reduction: str
) -> Tensor:
    """−w ln p of the class each target names; the mean is over the weights. Ignored targets weigh nothing."""
    if reduction not in ("mean", "none", "sum"):
        raise one_of("reduction", reduction, ("mean", "none", "sum"))
    labels = ops.cast(target, "int64")
    w = ops.full(target.shape, 1, log_p.dtype)
    if ignore_index is not None:
        ignored = ops.equal(labels, ignore_index)
        labels = ops.where(ignored, 0, labels)
        w = ops.where(ignored, 0.0, ops.take(weight, labels) if weight is not None else w)
    elif weight is not None:
        w = ops.take(weight, labels)
    found = ops.take_along_axis(channels_last(log_p), ops.expand_dims(labels, -1), -1)
    loss = -w * ops.squeeze(found, -1)
    if reduction == "none":
        return loss
    return ops.sum(loss) if reduction == "sum" else ops.sum(loss) / ops.sum(w)


@operator("NegativeLogLikelihoodLoss")
def nll_loss(
    x: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """The loss of logarithms of probabilities, (N, C, …), at labels (N, …)."""
    return picked_loss(x, target, weight, ignore_index, reduction)


@operator("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(
    scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, ignore_index: int | None = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """The loss of logits (N, C, …), and as a second output ln softmax of them."""
    log_p = ops.log_softmax(scores, 1)
    return picked_loss(log_p, labels, weights, ignore_index, reduction), log_p
