"""Layers: what their docstrings say, and the Jacobian of an example, in which one sees what is connected and shared."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

import kedja as kj
from kedja.errors import KedjaError
from kedja.nn.layers.activation import CLASSES as OF_FUNCTIONS

from . import examples
from .drawing import matrix
from .entry import Entry, call, code, documented
from .functions import curve_of
from .mathml import by_itself, from_tex
from .prose import parts

__all__ = ["layer"]

PUBLIC = {"Sequential": "kj.Sequential", "Model": "kj.Model"}
KEY = 3  # of the layers that draw


def layer(name: str, cls: type[Any]) -> Entry:
    """A layer."""
    if name in OF_FUNCTIONS:
        return of_function(name, cls)
    where = PUBLIC.get(
        name, f"kj.nn.{name}" if hasattr(kj.nn, name) else f"a + b, where layers are called on an Input: {name}"
    )
    said = parts(cls)
    entry = documented("layers", name, cls, said, Call=call(cls, where) if "," not in where else code(where))
    entry.picture, entry.caption = connections(name, cls)
    return entry


def of_function(name: str, cls: type[Any]) -> Entry:
    """A layer that is an activation: what the table says."""
    known = cls.entry
    facts = {
        "Derivative": from_tex(known.derivative),
        "Call": call(cls, f"kj.nn.{name}"),
        "As a function": code(f"kj.activations.{known.name}"),
        "Source": known.source,
    }
    picture, caption = curve_of(known)
    return Entry("layers", name, by_itself(from_tex(known.formula)), facts, "", picture, caption)


def connections(name: str, cls: type[Any]) -> tuple[str, str]:
    """∂y/∂x of the example; or why there is none."""
    example = examples.LAYERS.get(name)
    tried = [example] if example is not None else [examples.of(cls, shape) for shape in examples.USUAL]
    for one in tried:
        try:
            return drawn(one)
        except (KedjaError, TypeError):
            if example is not None:
                raise
    return "", "no picture: an example of it belongs into docs/catalogue/examples.py"


def drawn(example: examples.Layer) -> tuple[str, str]:
    """The Jacobian of one example, in float64, by its inputs or by a parameter."""
    with kj.default_dtype("float64"):
        made = example.make()
        rng = np.random.default_rng(1)
        if example.by:
            inputs: list[Any] = [np.arange(np.prod(shape)).reshape(shape) % 4 for shape in example.shapes]
        else:
            inputs = [kj.tensor(rng.normal(size=shape), dtype="float64") for shape in example.shapes]
        how = {"training": True, "key": kj.random.key(KEY)} if example.training else {}
        y = made(*inputs, seed=2, **how)
        if example.by == "y":  # of whole numbers there is no derivative: what becomes of each
            told = f"y of {code(repr(made))} for the rows {', '.join(map(str, inputs[0].tolist()))}"
            return matrix(np.asarray(y.numpy()), f"the outputs of {type(made).__name__}"), told
        wanted = [getattr(made, example.by)] if example.by else inputs
        found = np.concatenate([np.asarray(kj.jacobian(y, x).numpy()).reshape(y.size, -1) for x in wanted], 1)
    by = {"table": "∂y/∂E"}.get(example.by, "∂y/∂x")
    shapes = " and ".join(str(tuple(shape)) for shape in example.shapes)
    mode = ", in training" if example.training else ""
    shown = re.sub(r"<function .+? at 0x[0-9a-f]+>", "…", repr(made).partition("\n")[0])  # not its place in memory
    told = f"{by} of {code(shown)} for {shapes} → {tuple(y.shape)}{mode}"
    return matrix(found, f"the Jacobian of {type(made).__name__}"), told
