"""What the numbers of an optimiser may be, and how peers name what we name otherwise."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np

from kedja.errors import DataError

__all__ = ["CHECKS", "ELSEWHERE", "LOOPS", "Options", "fraction", "positive", "refuse_foreign"]


class Options(TypedDict, total=False):
    """The keyword arguments that every optimiser takes."""

    clip_value: float | None
    clip_norm: float | None
    clip_each_norm: float | None
    layer_rates: Mapping[str, float] | None
    average: float | str | None
    average_from: int


def number(value: Any) -> bool:
    """Whether this is a real number, and not a truth value."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def positive(name: str, value: Any) -> float:
    """A number above 0 and finite, or an error that says so.

    >>> positive("epsilon", 1)
    1.0
    """
    if not number(value) or not 0 < float(value) < float("inf"):
        raise DataError(f"{name} must be a number above 0, got {value!r}")
    return float(value)


def fraction(name: str, value: Any) -> float:
    """A number in [0, 1), or an error that says so."""
    if not number(value) or not 0 <= float(value) < 1:
        raise DataError(f"{name} must be at least 0 and below 1, got {value!r}")
    return float(value)


def at_least_zero(name: str, value: Any) -> float:
    """A finite number of at least 0, or an error that says so."""
    if not number(value) or not 0 <= float(value) < float("inf"):
        raise DataError(f"{name} must be a number of at least 0, got {value!r}")
    return float(value)


def bound(name: str, value: Any) -> float | None:
    """A bound for gradients above 0, or None for none."""
    if value is not None and (not number(value) or not 0 < float(value) < float("inf")):
        raise DataError(f"{name} must be a number above 0, or None for no clipping; got {value!r}")
    return None if value is None else float(value)


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise DataError(f"{name} is True or False, got {value!r}")
    return bool(value)


def factors(name: str, value: Any) -> dict[str, float]:
    """A factor of at least 0 for each name of a layer or parameter."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(path, str) and path for path in value):
        raise DataError(f'{name} is a dict from layer to factor, as in {{"dense_1": 0.1}}; got {value!r}')
    return {path: at_least_zero(f"{name}[{path!r}]", factor) for path, factor in value.items()}


def decay(name: str, value: Any) -> float | str | None:
    """How the weights are averaged: a decay in (0, 1), "mean", or None for not at all."""
    if value is None or value == "mean":
        return None if value is None else "mean"
    if not number(value) or not 0 < float(value) < 1:
        raise DataError(
            f'{name} is the share of the old average that each step keeps, above 0 and below 1 (0.999), or "mean" for '
            f"the plain mean of the weights; got {value!r}"
        )
    return float(value)


def first(name: str, value: Any) -> int:
    """The number of a step, counted from 1."""
    if not number(value) or value != int(value) or value < 1:
        raise DataError(f"{name} is the number of a step, a whole number of at least 1; got {value!r}")
    return int(value)


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "amsgrad": flag,
    "average": decay,
    "average_from": first,
    "beta_1": fraction,
    "beta_2": fraction,
    "bias_corrected": flag,
    "centered": flag,
    "clip_each_norm": bound,
    "clip_norm": bound,
    "clip_value": bound,
    "epsilon": positive,
    "layer_rates": factors,
    "learning_rate": positive,
    "momentum": fraction,
    "rho": fraction,
    "weight_decay": at_least_zero,
}
"""What each argument of an optimiser may be: asked when it is made, and whenever one is set afterwards."""

ELSEWHERE = {
    "alpha": "the rate is learning_rate=, the momentum momentum=, the share an average keeps beta_1=, beta_2= or rho=",
    "beta": "the share an average keeps is beta_1=, beta_2= or rho=, the momentum momentum=",
    "beta1": "kedja spells it beta_1=",
    "beta2": "kedja spells it beta_2=",
    "betas": "kedja spells them beta_1= and beta_2=",
    "clipnorm": "kedja spells it clip_each_norm= (each parameter's gradient apart); clip_norm= means all together",
    "clipvalue": "kedja spells it clip_value=",
    "decay": "a falling rate is a schedule, learning_rate=kj.schedules...; decay of weights is AdamW(weight_decay=)",
    "decay_factor": "a falling rate is a schedule, given as learning_rate=",
    "ema_momentum": "kedja spells it average=0.999",
    "eps": "kedja spells it epsilon=",
    "eta": "kedja spells it learning_rate=",
    "global_clipnorm": "kedja spells it clip_norm=",
    "grad_clip_norm": "kedja spells it clip_norm=",
    "gradient_clip_val": "kedja spells it clip_norm= or clip_value=",
    "initial_accumulator_value": "sums of squares begin at 0 here; epsilon= keeps the first steps finite",
    "learning_rate_init": "kedja spells it learning_rate=",
    "lr": "kedja spells it learning_rate=",
    "lr_decay": "a falling rate is a schedule, given as learning_rate=",
    "max_grad_norm": "kedja spells it clip_norm=",
    "maximize": "an optimiser lowers; to raise something, lower its negative",
    "nesterov": "Nesterov's momentum is an optimiser of its own: kj.optim.Nesterov(learning_rate, momentum)",
    "nesterovs_momentum": "Nesterov's momentum is an optimiser of its own: kj.optim.Nesterov(learning_rate, momentum)",
    "params": "an optimiser is given to fit, which knows the parameters",
    "use_ema": "kedja spells it average=0.999",
    "weight_decay": (
        "decay apart from the gradient is kj.optim.AdamW(weight_decay=) or Lion; a penalty on the loss is a layer's "
        'regularizer=, or fit(..., regularizer="l2")'
    ),
}
"""How peers name what we name otherwise."""

LOOPS = {
    "apply_gradients": "net.fit takes the steps, net.train_on_batch one of them",
    "lr": "kedja spells it learning_rate",
    "minimize": "kedja spells it kj.optim.minimize(f, start, optimizer)",
    "param_groups": "rates of single layers are layer_rates={path: factor}",
    "step": "net.fit takes the steps, net.train_on_batch one of them",
    "zero_grad": "gradients are graphs and do not pile up",
}
"""What a hand-written loop of a peer asks of an optimiser."""


def refuse_foreign(cls: type, given: Mapping[str, Any]) -> None:
    """A TypeError for arguments an optimiser does not take: it names our spelling, or the nearest argument.

    `**options` in a signature stands for `Options`; a keyword of any other name may stand for anything.
    """
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    rest = next((n for n, p in parameters.items() if p.kind is inspect.Parameter.VAR_KEYWORD), None)
    if rest not in (None, "options"):
        return
    ours = [n for n in parameters if n not in ("self", rest)] + (list(Options.__annotations__) if rest else [])
    for name in given:
        if name not in ours:
            near = difflib.get_close_matches(name, ours, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(ours)}"
            raise TypeError(f"{cls.__name__} has no argument {name!r}: {ELSEWHERE.get(name, hint)}")
