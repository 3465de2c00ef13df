"""Losses (scope 3): each gives one number per example; their weighted mean Σwℓ/Σw is what training lowers.

By name, `loss="huber"`, or as an object with options, `loss=kj.losses.Huber(delta=0.5)`.
"""

from __future__ import annotations

from typing import Any

from kedja.elsewhere import missing
from kedja.errors import one_of
from kedja.nn.losses.distances import MAE, MSE, SAE, SSE, CosineDistance, HalfSSE, Huber, LogCosh
from kedja.nn.losses.likelihoods import (
    BinaryCrossEntropy,
    CrossEntropy,
    KLDivergence,
    Likelihood,
    Poisson,
    logits_of,
)
from kedja.nn.losses.loss import Loss, OfYourOwn, fitted
from kedja.nn.losses.margins import CategoricalHinge, Hinge, SquaredHinge

__all__ = [
    "LOSSES",
    "MAE",
    "MSE",
    "SAE",
    "SSE",
    "BinaryCrossEntropy",
    "CategoricalHinge",
    "CosineDistance",
    "CrossEntropy",
    "HalfSSE",
    "Hinge",
    "Huber",
    "KLDivergence",
    "Likelihood",
    "LogCosh",
    "Loss",
    "Poisson",
    "SquaredHinge",
    "fitted",
    "get",
    "logits_of",
]

LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        MSE, MAE, SSE, HalfSSE, SAE, BinaryCrossEntropy, CrossEntropy, KLDivergence, Huber, Hinge, SquaredHinge,
        CategoricalHinge, LogCosh, Poisson, CosineDistance,
    )
}  # fmt: skip
# Keras's and PyTorch's names, and the notes', where they mean the same loss.
ALIASES = {
    "bce": "binary_cross_entropy",
    "binary_crossentropy": "binary_cross_entropy",
    "binary_cross_entropy_with_logits": "binary_cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "huber_loss": "huber",
    "kl_div": "kl_divergence",
    "kld": "kl_divergence",
    "kullback_leibler": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "l1": "mae",
    "l1_loss": "mae",
    "logcosh": "log_cosh",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "mse_loss": "mse",
    "rss": "sse",
    "smooth_l1": "huber",
    "smooth_l1_loss": "huber",
    "sparse_categorical_crossentropy": "cross_entropy",
    "sum_absolute_error": "sae",
    "sum_squared_error": "sse",
}


def get(loss: Any, **options: Any) -> Loss:
    """The loss of this name (ours or a peer's) with these options, the object itself, or one from a function.

    A function of your own, of (targets, outputs), gives one number per row, or several, which are averaged; it cannot
    be saved.

    >>> get("sparse_categorical_crossentropy").name
    'cross_entropy'
    >>> get("huber", delta=2.0)
    Huber(delta=2.0, reduction='mean')
    >>> import kedja as kj
    >>> def cubed(t, y):
    ...     return abs(y - t) ** 3
    >>> get(cubed)(kj.tensor([[1.0], [2.0]]), kj.tensor([[0.0], [0.0]])).item()
    4.5
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, type) and issubclass(loss, Loss):
        return loss(**options)
    if callable(loss) and not isinstance(loss, type):
        return OfYourOwn(loss, **options)
    if isinstance(loss, dict):
        told = {k: v for k, v in loss.items() if k != "name"}
        if "from_logits" not in getattr(LOSSES.get(loss["name"]), "options", ()):
            told.pop("from_logits", None)  # earlier models were saved with it for every loss
        return get(loss["name"], **told)
    name = ALIASES.get(loss.lower(), loss.lower()) if isinstance(loss, str) else None
    if name not in LOSSES:
        raise one_of("loss", loss, [*LOSSES])
    kind = LOSSES[name]
    for option in options:
        if option not in (*kind.options, "reduction"):
            raise one_of(f"option of {name}", option, (*kind.options, "reduction"))
    return kind(**options)


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
