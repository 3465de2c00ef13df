"""How far the members of an ensemble agree: spread of their outputs, and for classes the entropies of what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.ops import OPS

__all__ = ["Spread", "log_mean", "spread_of"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Spread:
    """What the members say to each row, together and apart.

    `mean` and `std` are over the members (σ² divided by their number), of the outputs; of the probabilities, where the
    model is a classifier. For a classifier besides, in nats, (rows,):

    - `entropy` H(p̄) of the mean probabilities: all the doubt there is.
    - `mutual_information` H(p̄) − mean H(pₖ): the part of it that is disagreement, which more data would settle.
    - `disagreement`: the share of members whose class is not the ensemble's.

    Source: Lakshminarayanan, Pritzel and Blundell 2017; Houlsby et al. 2011 (mutual information).
    """

    mean: Array
    std: Array
    each: Array  # (members, rows, …)
    entropy: Array | None = None
    mutual_information: Array | None = None
    disagreement: Array | None = None

    @property
    def labels(self) -> Array | None:
        """The class of each row by the mean probabilities; None when the outputs are no probabilities."""
        return None if self.entropy is None else decided(self.mean)

    def __repr__(self) -> str:
        members, rows = self.each.shape[:2]
        told = [f"Spread: {members} members, {rows} rows", f"  std {self.std.mean():.4g} on average"]
        if self.entropy is not None and self.mutual_information is not None and self.disagreement is not None:
            told.append(
                f"  entropy {self.entropy.mean():.4g} nats, of which disagreement {self.mutual_information.mean():.4g}"
            )
            told.append(f"  {100 * self.disagreement.mean():.3g} % of the members' classes are not the ensemble's")
        return "\n".join(told)


def decided(p: Array) -> Array:
    """The class of each row: the most likely one; for a single probability whether it is more likely than not."""
    found: Array = p.argmax(-1) if p.ndim > 1 and p.shape[-1] > 1 else (p.reshape(len(p)) > 0.5).astype(np.int64)
    return found


def log_mean(z: Array, of: str) -> Array:
    """The logits of the mean of the probabilities that logits z (members, …) mean; exact where those underflow."""
    if of == "softmax":
        logs = z - logsumexp(z, -1)[..., None]
        found: Array = logsumexp(logs, 0) - np.log(len(z))
        return found
    yes, no = -np.logaddexp(0, -z), -np.logaddexp(0, z)
    return logsumexp(yes, 0) - logsumexp(no, 0)  # ln(Σp / Σ(1 − p))


def logsumexp(z: Array, axis: int) -> Array:
    """ln Σ eᶻ along an axis."""
    top = z.max(axis, keepdims=True)
    found: Array = np.log(np.exp(z - top).sum(axis)) + top.squeeze(axis)
    return found


def spread_of(raw: Array, of: str | None) -> Spread:
    """The Spread of members' outputs; `of` says they are logits of a "softmax" or of a "sigmoid"."""
    if of is None:
        return Spread(raw.mean(0), raw.std(0), raw)
    with np.errstate(all="ignore"):
        p = np.asarray(OPS[of].compute(raw, **({"axis": raw.ndim - 1} if of == "softmax" else {})))
    mean = p.mean(0)
    whole, own = entropy(mean, of), entropy(p.reshape(-1, *p.shape[2:]), of).reshape(p.shape[:2]).mean(0)
    if of == "softmax" or p[0].size == len(p[0]):
        chosen = decided(mean)
        apart = np.mean([(decided(q) != chosen).reshape(len(chosen), -1).mean(1) for q in p], axis=0)
    else:  # many yes-or-no answers a row
        apart = ((p > 0.5) != (mean > 0.5)).reshape(*p.shape[:2], -1).mean((0, 2))
    return Spread(mean, p.std(0), p, whole, np.maximum(whole - own, 0), apart)


def entropy(p: Array, of: str) -> Array:
    """−Σ p ln p of each row, in nats; of yes-or-no probabilities −p ln p − (1 − p) ln(1 − p), summed over a row."""
    p = p.astype(np.float64)
    found = xlogx(p) if of == "softmax" else xlogx(p) + xlogx(1 - p)
    total: Array = -found.reshape(len(p), -1).sum(1)
    return total


def xlogx(p: Array) -> Array:
    """p ln p, 0 at 0."""
    found: Array = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0)
    return found
