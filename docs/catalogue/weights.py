"""Initialisers, regularisers and constraints: what is done to weights."""

from __future__ import annotations

from typing import Any

import numpy as np

import kedja as kj
from kedja.nn import constraints, initializers, regularizers

from .drawing import Curve, curves, histogram, matrix
from .entry import Entry, call, code, documented
from .functions import VALUE_AND_SLOPE
from .prose import parts

__all__ = ["constraint", "initializer", "regularizer"]

SHAPE = (100, 100)
SMALL = (8, 12)
AS_MATRIX = ("IdentityMatrix", "Orthogonal")
"""Of these the matrix is more telling than how often which number occurs."""


def also(names: Any, cls: type[Any]) -> str:
    """The strings that mean it."""
    return ", ".join(code(f'"{short}"') for short, made in names.items() if made is cls)


def initializer(name: str, cls: type[Any]) -> Entry:
    """An initialiser: what it draws."""
    entry = documented("initializers", name, cls, parts(cls), Call=call(cls, f"kj.initializers.{name}"))
    entry.facts["Also called"] = also(initializers.NAMES, cls)
    entry.facts["Derivative"] = "none: it is drawn once, before learning"
    made, key = cls(), kj.random.key(0).numpy()
    if name in AS_MATRIX:
        entry.picture = matrix(made(key, SMALL, np.dtype(np.float64)), f"a matrix of {name}")
        entry.caption = f"{code(repr(made))} for {SMALL}"
    else:
        entry.picture = histogram(made(key, SHAPE, np.dtype(np.float64)), f"numbers drawn by {name}")
        entry.caption = f"10,000 numbers from {code(repr(made))} for {SHAPE}"
    return entry


def regularizer(name: str, cls: type[Any]) -> Entry:
    """A penalty of one weight."""
    entry = documented("regularizers", name, cls, parts(cls), Call=call(cls, f"kj.regularizers.{name}"))
    entry.facts["Also called"] = also(regularizers.NAMES, cls)
    made = cls(*[1.0] * len(cls.scalars))
    x = np.linspace(-2, 2, 161)
    values, slopes = [], []
    for w in x:
        node = kj.tensor([[w]], dtype="float64")
        penalty = made(node)
        values.append(penalty.item())
        slopes.append(kj.grad(penalty, node).item())
    jump = np.where(np.abs(x) < 1e-9, np.nan, slopes) if np.ptp(slopes[79:82]) > 0.5 else np.array(slopes)
    entry.picture = curves([Curve(x, np.array(values)), Curve(x, jump, "slope")], f"the penalty {name} of one weight")
    entry.caption = f"{VALUE_AND_SLOPE} for one weight, {code(repr(made))}"
    return entry


def constraint(name: str, cls: type[Any]) -> Entry:
    """A constraint: where a weight ends that a step has put somewhere."""
    entry = documented("constraints", name, cls, parts(cls), Call=call(cls, f"kj.constraints.{name}"))
    entry.facts["Also called"] = also(constraints.NAMES, cls)
    entry.facts["Derivative"] = "none is taken: it is applied after every step"
    made = cls()
    x = np.linspace(-4, 4, 161)
    y = np.array([made(kj.tensor([[w]], dtype="float64")).item() for w in x])
    y[np.concatenate([[False], np.abs(np.diff(y)) > 0.5])] = np.nan
    entry.picture = curves([Curve(x, y)], f"{name} of one weight")
    entry.caption = f'<span class="value">one weight</span> after {code(repr(made))}, by what it was'
    return entry
