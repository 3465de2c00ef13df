"""The numbers of a run that are arguments of its program: the optimiser's, those of penalties, those of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kedja.errors import DataError
from kedja.graph.node import Tensor, placeholder
from kedja.graph.variables import Variable
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module
from kedja.nn.regularizers import Regularizer
from kedja.optim import Optimizer
from kedja.train.augment import Mixing

__all__ = ["Given", "LayerScalars", "Scalars", "penalties_of"]


def penalties_of(parameters: Mapping[str, Variable], default: Regularizer | None) -> list[tuple[Variable, Regularizer]]:
    """Which penalty is on which parameter: its own, else the model's, which means kernels and not biases."""
    found = []
    for parameter in parameters.values():
        own = getattr(parameter, "regularizer", None)
        chosen = own or (default if getattr(parameter, "penalised", False) else None)
        if chosen is not None:
            found.append((parameter, chosen))
    return found


class LayerScalars:
    """The run-time numbers of a model's layers (a slope, a dropout rate), as arguments of a program."""

    def __init__(self, model: Module) -> None:
        layers = [("", model), *model.layers_by_path()]
        unique = {id(layer): (path, layer) for path, layer in reversed(layers)}
        self.layers = [(path, layer, name) for path, layer in unique.values() for name in layer.scalars]

    @property
    def names(self) -> list[str]:
        """What each number is called, in order."""
        return [f"{path}.{name}" for path, _, name in self.layers]

    def values(self) -> list[float]:
        """What each number is now, in order."""
        found = []
        for path, layer, name in self.layers:
            value = getattr(layer, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise DataError(f'{type(layer).__name__} "{path}": {name} must be a number, got {value!r}')
            found.append(float(value))
        return found

    def given(self, nodes: Sequence[Tensor]) -> dict[tuple[Layer, str], Tensor]:
        """The layers' numbers with these nodes in their place, as a call of the model takes them."""
        return {(layer, name): node for (_, layer, name), node in zip(self.layers, nodes, strict=True)}


class Given(NamedTuple):
    """The same things with nodes in place of their numbers: what one trace of the step uses."""

    optimizer: Optimizer
    penalties: list[tuple[Variable, Regularizer]]
    layers: dict[tuple[Layer, str], Tensor]
    mixing: dict[str, Tensor]  # of what mixes examples with each other


class Scalars:
    """Collects the numbers once, makes placeholders for them, and reads their present values before every run."""

    def __init__(
        self, model: Module, optimizer: Optimizer, penalties: Sequence[tuple[Variable, Regularizer]] = (),
        mixing: Mixing | None = None,
    ) -> None:  # fmt: skip
        self.optimizer, self.penalties = optimizer, list(penalties)
        self.regularizers = list({id(r): r for _, r in self.penalties}.values())
        self.layers, self.mixing = LayerScalars(model), mixing

    @property
    def names(self) -> list[str]:
        """What each number is called, in order."""
        of_penalties = [f"{type(r).__name__}.{n}" for r in self.regularizers for n in r.scalars]
        return [*self.optimizer.scalars, *of_penalties, *self._mixing(), *self.layers.names]

    def values(self) -> list[float]:
        """What each number is now, in order."""
        of_penalties = [v for r in self.regularizers for v in r.scalar_values()]
        return [*self.optimizer.scalar_values(), *of_penalties, *self._mixing().values(), *self.layers.values()]

    def placeholders(self, dtype: Any) -> list[Tensor]:
        """An input node for each."""
        return [placeholder((), dtype, name) for name in self.names]

    def given(self, nodes: Sequence[Tensor]) -> Given:
        """Optimiser, penalties and layers with these nodes in place of their numbers."""
        rest = list(nodes)

        def take(n: int) -> list[Tensor]:
            taken, rest[:n] = rest[:n], []
            return taken

        optimizer = self.optimizer.with_scalars(take(len(self.optimizer.scalars)))
        made = {id(r): r.with_scalars(take(len(r.scalars))) for r in self.regularizers}
        mixing = dict(zip(self._mixing(), take(len(self._mixing())), strict=True))
        return Given(optimizer, [(p, made[id(r)]) for p, r in self.penalties], self.layers.given(rest), mixing)

    def structure(self) -> tuple[Any, ...]:
        """What the program depends on: everything but the numbers."""
        number = {id(r): i for i, r in enumerate(self.regularizers)}
        penalties = tuple((id(p), type(r), r.scalars, number[id(r)]) for p, r in self.penalties)
        mixing = None if self.mixing is None else self.mixing.structure()
        return self.optimizer.structure(), penalties, tuple(self.layers.names), mixing

    def _mixing(self) -> dict[str, float]:
        return {} if self.mixing is None else {n: float(getattr(self.mixing, n)) for n in self.mixing.scalars}
