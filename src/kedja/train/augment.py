"""Examples mixed with each other while a model learns: mixup and CutMix, which change targets as well as inputs.

They are an argument of `fit`, as no layer sees the targets. What changes the inputs alone is a layer, such as
`kj.nn.RandomAffine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kedja.elsewhere import Answering, missing
from kedja.errors import DataError, ShapeError, one_of
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.numbers import Number
from kedja.ops import (
    absolute,
    arange,
    cast,
    cos,
    exp,
    expm1,
    log,
    logical_and,
    maximum,
    mean,
    ones,
    random,
    reshape,
    sqrt,
    take,
    where,
)  # fmt: skip
from kedja.ops import power as raised

__all__ = ["CutMix", "Mixed", "Mixing", "Mixup", "blended", "get", "symmetric_beta"]


def _alpha(what: str, value: Any) -> float:
    fits = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not fits or not 0 < float(value) < math.inf:
        hint = " For no mixing give rate=0." if fits and value == 0 else ""
        raise DataError(f"{what} is the shape of the distribution of shares, a number above 0; got {value!r}.{hint}")
    return float(value)


def _chance(what: str, value: Any) -> float:
    fits = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not fits or not 0 <= float(value) <= 1:
        raise DataError(f"{what} is the probability that an example is mixed, from 0 to 1; got {value!r}")
    return float(value)


class Mixed(NamedTuple):
    """A batch whose examples are mixtures: of each, how much is itself and which other one the rest is."""

    inputs: list[Tensor]
    partner: Tensor  # (N,) positions
    share: Tensor  # (N,) of the example itself; its partner has the rest

    def rows(self, targets: Tensor, weight: Tensor | None) -> tuple[list[Tensor], Tensor | None]:
        """Inputs, targets, the partners' targets and the part that the own target has; and what each row weighs.

        A row weighs w = λ wᵢ + (1 − λ) wⱼ, and its own target has the part λ wᵢ / w.
        """
        part = self.share
        if weight is not None:
            own, other = cast(weight, part.dtype), cast(take(weight, self.partner), part.dtype)
            weight = part * own + (1.0 - part) * other
            part = where(weight == 0, part, part * own / where(weight == 0, 1.0, weight))
        return [*self.inputs, targets, take(targets, self.partner), part], weight


def blended(figure: Callable[[Tensor], Tensor], targets: Tensor, others: Tensor, part: Tensor) -> Tensor:
    """A figure of each row, (N,) or (N, k): its `part` of that against its own target, the rest against the other's."""
    own = figure(targets)
    part = reshape(cast(part, own.dtype), (part.shape[0],) + (1,) * (own.ndim - 1))
    return part * own + (1.0 - part) * figure(others)


class Mixing(Answering):
    """What `fit(augment=…)` takes: each example of a batch is mixed with another one of it, and so is its loss.

    The partner of an example is drawn by a random order of the batch; its share λ from Beta(α, α), for every example
    anew. `rate` is the probability that an example is mixed at all. Both numbers may be changed between two
    calls of `fit`, or by a callback, without compiling again.
    """

    scalars = ("alpha", "rate")
    alpha, rate = Number(_alpha), Number(_chance)

    def __init__(self, alpha: float = 0.2, rate: float = 1.0) -> None:
        self.alpha, self.rate = alpha, rate

    def mixture(self, x: Tensor, other: Tensor, share: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """x mixed with `other`, of which it keeps `share` (N,), and the share that it really has then."""
        raise NotImplementedError

    def mix(self, inputs: Sequence[Tensor], key: Tensor, alpha: Any = None, rate: Any = None) -> Mixed:
        """The batch mixed by this key; `alpha` and `rate` are nodes inside a program."""
        alpha, rate = self.alpha if alpha is None else alpha, self.rate if rate is None else rate
        n = inputs[0].shape[0]
        dtype = next((x.dtype for x in inputs if is_float(x.dtype)), np.dtype(np.float32))
        partner = random.permutation(random.fold(key, "partner"), n)
        share = symmetric_beta(random.fold(key, "share"), alpha, (n,), dtype)
        chosen = random.uniform(random.fold(key, "rate"), (n,), dtype=np.float32) < rate
        share = where(chosen, share, ones((n,), dtype))
        mixed = []
        for x in inputs:
            y, share = self.mixture(x, take(x, partner), share, random.fold(key, "place"))
            mixed.append(y)
        return Mixed(mixed, partner, share)

    def expect(self, model: Layer, inputs: Sequence[Any]) -> None:
        """Refuse what cannot be mixed: whole numbers that are names of things."""
        name = type(self).__name__
        inside = [layer for _, layer in model.layers_by_path()]
        if any(type(layer).__name__ == "Embedding" for layer in inside) or any(a.dtype.kind != "f" for a in inputs):
            raise DataError(
                f"{name} takes part of one example and part of another, and whole numbers that stand for words have no "
                "parts: mix numbers that measure something"
            )

    def config(self) -> dict[str, Any]:
        """The class's name and its numbers."""
        return {"class": type(self).__name__, **{n: getattr(self, n) for n in self.scalars}}

    def structure(self) -> Any:
        """What a compiled program depends on."""
        return type(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(alpha={self.alpha:g}, rate={self.rate:g})"


class Mixup(Mixing):
    """x̃ᵢ = λᵢ xᵢ + (1 − λᵢ) xⱼ and ℓ̃ᵢ = λᵢ ℓ(tᵢ, y(x̃ᵢ)) + (1 − λᵢ) ℓ(tⱼ, y(x̃ᵢ)), with λᵢ from Beta(α, α).

    j is another example of the batch. For the cross-entropy, and for all losses that are linear in t, it is the loss
    against the mixed target λ tᵢ + (1 − λ) tⱼ; so classes as whole numbers serve as well as one-hot rows. Metrics
    during training are weighted in the same way; those of validation know nothing of it. α from 0.1 to 0.4 mixes most
    examples little, α = 1 draws λ uniformly.
    Raises DataError unless α > 0 and 0 ≤ rate ≤ 1. Source: Zhang et al. 2018.

    >>> import kedja as kj
    >>> mixed = Mixup(1.0).mix([kj.tensor([[0.0], [10.0]])], kj.random.key(2))
    >>> mixed.inputs[0].shape, mixed.partner.numpy().tolist()
    ((2, 1), [1, 0])
    """

    def mixture(self, x: Tensor, other: Tensor, share: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        own = reshape(cast(share, x.dtype), (x.shape[0],) + (1,) * (x.ndim - 1))
        return own * x + (1.0 - own) * other, share


class CutMix(Mixing):
    """A box of each image holds what its partner has there; the targets have the shares of the two areas.

    The box has the share 1 − λ of the area, λ from Beta(α, α), and its centre anywhere; what of it lies outside is cut
    off, and λ is then what is left of the image itself. Of a series it is a span of time.
    Raises ShapeError unless the inputs are images (N, h, w, C) or series (N, steps, C). Source: Yun et al. 2019.

    >>> import kedja as kj
    >>> x = kj.concatenate([kj.zeros((1, 8, 8, 1)), kj.ones((1, 8, 8, 1))], 0)
    >>> mixed = CutMix().mix([x], kj.random.key(2))
    >>> sorted(set(mixed.inputs[0].numpy().ravel().tolist()))
    [0.0, 1.0]
    """

    def __init__(self, alpha: float = 1.0, rate: float = 1.0) -> None:
        super().__init__(alpha, rate)

    def mixture(self, x: Tensor, other: Tensor, share: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        n, *sizes, _ = x.shape
        side = raised(1.0 - share, 1.0 / len(sizes))
        inside: Tensor | None = None
        for axis, size in enumerate(sizes):
            centre = random.uniform(random.fold(key, axis), (n, 1), dtype=share.dtype) * size
            place = reshape(arange(size, dtype=share.dtype), (1, size)) + 0.5
            span = absolute(place - centre) < reshape(side * (0.5 * size), (n, 1))
            span = reshape(span, (n, *(size if i == axis else 1 for i in range(len(sizes))), 1))
            inside = span if inside is None else logical_and(inside, span)
        assert inside is not None
        kept = 1.0 - mean(cast(inside, share.dtype), tuple(range(1, x.ndim)))
        return where(inside, other, x), kept

    def expect(self, model: Layer, inputs: Sequence[Any]) -> None:
        super().expect(model, inputs)
        if len(inputs) != 1 or inputs[0].ndim not in (3, 4):
            shapes = " and ".join(f"(N, {', '.join(map(str, a.shape[1:]))})" for a in inputs)
            raise ShapeError(
                f"CutMix cuts boxes out of images (N, h, w, channels) or spans out of series (N, steps, channels), got "
                f"{shapes}. Give the examples in that form: x.reshape(-1, 28, 28, 1)."
            )


def symmetric_beta(key: Any, alpha: Any, shape: Any = (), dtype: Any = None) -> Tensor:
    """Draws from Beta(α, α), exact for every α > 0 and without rejection: ½ (1 + c √((1 − w) / (w + (1 − w) c²))).

    c = cos 2πv and w = u^(1/α), u and v uniform. T = c √(2α (1 − w)/w) has Student's distribution with 2α degrees of
    freedom (Bailey 1994), and ½ (1 + T/√(2α + T²)) is Beta(α, α) (Devroye 1996, in one line of code).

    >>> import kedja as kj
    >>> x = symmetric_beta(kj.random.key(0), 2.0, (2000,)).numpy()
    >>> abs(x.mean() - 0.5) < 0.02, abs(x.var() - 1 / 20) < 0.005
    (np.True_, np.True_)
    """
    u = random.uniform(random.fold(key, 0), shape, dtype=dtype)
    v = random.uniform(random.fold(key, 1), shape, dtype=dtype)
    c = cos((2.0 * math.pi) * v)
    exponent = log(1.0 - u) / alpha
    w, rest = exp(exponent), -expm1(exponent)
    return maximum(0.5 * (1.0 + c * sqrt(rest / (w + rest * c * c))), 0.0)  # rounding may leave −6e-8


KNOWN: dict[str, type[Mixing]] = {"mixup": Mixup, "cutmix": CutMix}


def get(mixing: Any) -> Mixing | None:
    """The mixing of this name, the object itself, or None.

    >>> get("mixup")
    Mixup(alpha=0.2, rate=1)
    """
    if mixing is None or isinstance(mixing, Mixing):
        return mixing
    if isinstance(mixing, str) and mixing.lower() in KNOWN:
        return KNOWN[mixing.lower()]()
    if isinstance(mixing, type) and issubclass(mixing, Mixing):
        raise DataError(f"augment is an object, got the class: write kj.augment.{mixing.__name__}()")
    if isinstance(mixing, Layer):
        raise DataError(
            f"augment mixes examples with each other and takes kj.augment.Mixup or kj.augment.CutMix; "
            f"{type(mixing).__name__} is a layer: put it at the beginning of the model"
        )
    raise one_of("augment", mixing, KNOWN)


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
