"""What every layer of the registry is held to, as data: for each class one or more cases.

To add a layer, write a file `tests/nn/cases_<family>.py` with a table of your classes; it is found by its name:

    CASES = {
        "Dense": [
            Case(lambda: kj.nn.Dense(4, "tanh"), (5, 3), lambda w, x: torch.tanh(x @ w["kernel"] + w["bias"])),
        ],
    }

The first case of a class is checked in every run, the others on both engines in long runs only. `conformance.py` says
what is checked. `oracle(w, *xs)` gets float64 PyTorch tensors: `w` the layer's variables by their path in `state`
(after they were moved off their starting values, so biases are not 0), `xs` the inputs. If it gives back a tensor that
PyTorch can differentiate, the gradients of all parameters and inputs are compared too. A NumPy array (Keras, SciPy) is
compared alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import kedja as kj

Shape = tuple[int, ...]


def normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """What inputs are unless a case says otherwise."""
    return rng.normal(size=shape)


def whole(below: int) -> Callable[[np.random.Generator, Shape], np.ndarray]:
    """Inputs that are whole numbers, 0 … below − 1."""
    return lambda rng, shape: rng.integers(0, below, shape)


def masks(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Masks (n, steps): each row some real steps and then padding, as bools."""
    n, steps = shape
    lengths = rng.integers(1, steps + 1, n)
    lengths[:2] = (steps, max(1, steps - 1))[:n]
    return np.arange(steps) < lengths[:, None]


@dataclass
class Case:
    """One way of using a layer.

    make      makes a new layer; it is called inside `kj.default_dtype(...)`, so it needs no dtype of its own
    shapes    the shape of the input, examples first; a list of shapes for a layer of several inputs
    oracle    (w, *xs) → the output in inference, computed by somebody else
    training  how a call with training=True differs: "same" (not at all), "random" (it draws), "batch" (it uses and
              learns statistics of the batch)
    trained   (w, *xs) → the output with training=True; for "batch" layers
    draws     how inputs are drawn, (rng, shape) → array: one for all, or a list with one for each
    mask      which input is a mask (n, steps): what stands in masked steps of the first input must not matter
    wrong     shapes that must be refused with a message that begins with the class (one shape, or a list for several
              inputs, in each entry); None: any shape is right. By default a single number must be refused.
    rows      whether each row's output depends on its own row alone in inference, so that 1 row and 0 rows work too
    idle      parameters that get no gradient from this input (by path), and why it has to be so
    smooth    whether the numeric judge may be asked (kinks that inputs may fall on, steps: no)
    tolerance relative to the largest entry, against the oracle in float64
    judge     whose work the oracle is
    """

    make: Callable[[], kj.nn.Layer]
    shapes: Shape | list[Shape]
    oracle: Callable[..., Any]
    training: str = "same"
    trained: Callable[..., Any] | None = None
    draws: Any = normal
    mask: int | None = None
    wrong: list[Any] | None = field(default_factory=lambda: [()])
    rows: bool = True
    idle: dict[str, str] = field(default_factory=dict)
    smooth: bool = True
    tolerance: float = 1e-9
    judge: str = "PyTorch"

    @property
    def sizes(self) -> list[Shape]:
        """The shape of each input."""
        return self.shapes if isinstance(self.shapes, list) else [self.shapes]

    def inputs(self, dtype: str, seed: int = 0, rows: int | None = None) -> list[np.ndarray]:
        """Arrays for the inputs; numbers with a fraction are of this type, the others stay what they are."""
        rng = np.random.default_rng(seed)
        draws = self.draws if isinstance(self.draws, list) else [self.draws] * len(self.sizes)
        arrays = [np.asarray(draw(rng, shape)) for draw, shape in zip(draws, self.sizes, strict=True)]
        arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
        return arrays if rows is None else [a[:rows] for a in arrays]


def all_cases() -> dict[str, list[Case]]:
    """The tables of all files `cases_*.py` beside this one."""
    found: dict[str, list[Case]] = {}
    for path in sorted(Path(__file__).parent.glob("cases_*.py")):
        table = importlib.import_module(f"nn.{path.stem}").CASES
        twice = set(found) & set(table)
        assert not twice, f"{path.name}: {sorted(twice)} have cases in another file already"
        found |= table
    return found


def listed() -> list[tuple[str, int]]:
    """(class, number of the case), as parameters of a test."""
    return [(name, i) for name, cases in all_cases().items() for i in range(len(cases))]
