"""The update: the optimiser's named steps with numbers, and how well the gradient foretold the change of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.explain.backpropagation.elements import Elements
from kedja.explain.backpropagation.record import Record, Values
from kedja.explain.show.blocks import Line
from kedja.explain.show.figures import Figures
from kedja.explain.show.naming import Name, Slope, Symbol
from kedja.explain.show.writing import Writer
from kedja.explain.words import _
from kedja.graph.node import Tensor, placeholder, tensor
from kedja.graph.variables import Variable
from kedja.optim import SGD
from kedja.optim.optimizer import COUNTER, LAYERS, Optimizer

__all__ = ["Prediction", "Update"]

SCALARS = {
    "learning_rate": Symbol("ε"), "momentum": Symbol("α"), "beta_1": Symbol("β", "", "1"),
    "beta_2": Symbol("β", "", "2"), "epsilon": Symbol("δ"), "weight_decay": Symbol("λ"), "rho": Symbol("ρ"),
    "clip_value": Symbol("c"), "clip_norm": Symbol("c"), "clip_each_norm": Symbol("c"), "average": Symbol("κ"),
}  # fmt: skip
SLOTS = {
    "velocity": "v", "mean": "m", "square": "s", "largest": "u", "accumulator": "s", "squares": "s", "average": "θ",
}  # fmt: skip
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Prediction:
    """The loss before and after the step, the change the gradient foretells (∇·Δθ), and −ε‖∇‖² for plain descent."""

    before: float
    after: float
    foretold: float
    plain: float | None
    squared_norm: float
    rate: float

    @property
    def actual(self) -> float:
        """How the loss changed."""
        return self.after - self.before


class Update:
    """One step of the optimiser. The model is not changed."""

    def __init__(self, record: Record, names: Mapping[Tensor, Name], error: Symbol) -> None:
        self.record = record
        dtype = next(iter(record.reached.values())).dtype
        optimizer = record.optimizer
        numbers = optimizer.scalar_values()
        scalars = [tensor(np.asarray(v, dtype), dtype=dtype) for v in numbers]
        self.rule: Optimizer = optimizer.with_scalars(scalars)
        self.names: dict[Tensor, Name] = dict(names)
        self.values: dict[Tensor, Any] = {}
        for name, node in zip(optimizer.scalars, scalars, strict=True):
            known = Symbol("r") if name.startswith(LAYERS) else SCALARS.get(name, Symbol(name))
            self.names[node] = known
            self.values[node] = node.attrs["value"]
        self.standins = {p: placeholder(v.shape, v.dtype, p) for p, v in record.reached.items()}
        for path, variable in record.reached.items():
            symbol = self.names[variable]
            assert isinstance(symbol, Symbol)
            self.names[self.standins[path]] = Slope(error, symbol)
        for path, slot in record.memory.items():
            self.names[slot] = Symbol("k") if path == COUNTER else self.slot_symbol(path)
        self.written = record.rule_steps(self.standins, self.rule)
        self.real = record.rule_steps(record.gradients(), self.rule)
        self.whole = {*self.standins.values(), *(step.value for _path, step in self.written)}

    def slot_symbol(self, path: str) -> Symbol:
        """v⁽¹⁾ for the velocity of W⁽¹⁾."""
        owner, _dot, slot = path.removeprefix("optimizer.").rpartition(".")
        variable = self.record.parameters.get(owner)
        symbol = self.names.get(variable) if variable is not None else None
        if not isinstance(symbol, Symbol):
            return Symbol(SLOTS.get(slot, slot))
        return Symbol(SLOTS.get(slot, slot), symbol.mark, symbol.stem + symbol.below)

    def needed(self) -> list[Tensor]:
        """What has to be computed."""
        gradients = self.record.gradients()
        return [*(step.value for _path, step in self.real), *gradients.values()]

    def known(self, values: Mapping[Tensor, Any], state: Mapping[Variable, Array]) -> None:
        """Take the numbers."""
        self.values.update(values)
        self.state = state
        for path, standin in self.standins.items():
            self.values[standin] = values[self.record.gradients()[path]]
        for variable, value in state.items():
            self.values[variable] = value
        for (_path, a), (_same, b) in zip(self.written, self.real, strict=True):
            self.values[a.value] = values[b.value]

    def new_state(self, values: Values) -> dict[Variable, Array]:
        """All variables after the step."""
        found = dict(self.state)
        for _path, step in self.real:
            if isinstance(step.target, Variable):
                found[step.target] = np.asarray(values[step.value])
        for variable, node in self.record.updates:
            if node in values:
                found[variable] = np.asarray(values[node])
        counter = self.record.memory[COUNTER]
        found[counter] = found[counter] + 1
        return found

    # --- lines -------------------------------------------------------------------------------------------------------
    def lines(self, figures: Figures, only: str | None = None, index: tuple[int, ...] | None = None) -> list[Line]:
        """A line for each named step; of one parameter, or of one of its entries."""
        names = dict(self.names)
        values = dict(self.values)
        found = []
        for path, step in self.written:
            if only is None or path == only:
                found.append(self.line(path, step, names, values, figures, index))
            if step.value not in names:
                target = names.get(step.target)
                if target is not None:
                    names[step.value] = target
            values.setdefault(step.value, self.values[step.value])
        return found

    def line(
        self, path: str, step: Any, names: Mapping[Tensor, Name], values: Mapping[Tensor, Any], figures: Figures,
        index: tuple[int, ...] | None,
    ) -> Line:  # fmt: skip
        """One step, whole or at one entry."""
        writers = Writer(figures, names, None, self.whole), Writer(figures, names, values, self.whole)
        name: Any = names.get(step.target, Symbol("?"))
        old = np.asarray(values[step.target]) if step.target in values else None
        new = np.asarray(self.values[step.value])
        if index is None:
            symbols, numbers = (w.formula(step.value, step.value) for w in writers)
            shown = name.written
        else:
            fitting = new.shape == self.record.parameters[path].shape
            at = index if fitting else (0,) * new.ndim
            symbols, numbers = (
                Elements(w).formula(step.value, at, step.value) or w.formula(step.value, step.value) for w in writers
            )
            parameter = self.record.parameters[path]
            own = Elements(Writer(figures, {parameter: name}))
            shown = own.name(parameter, at).written
            new, old = new[at], None if old is None else old[at]
        return Line(shown, symbols, numbers, new, "", path, _(step.label), "", old, arrow="←")

    # --- what was foretold -------------------------------------------------------------------------------------------
    def prediction(self, before: float, after: float, state: Mapping[Variable, Array]) -> Prediction:
        """How the loss changed, and how it would have, were it as straight as its gradient."""
        foretold = squared = 0.0
        for path, variable in self.record.reached.items():
            gradient = np.asarray(self.values[self.standins[path]], np.float64)
            foretold += float(np.sum(gradient * (np.asarray(state[variable], np.float64) - self.state[variable])))
            squared += float(np.sum(gradient**2))
        rule = self.record.optimizer
        plain = type(rule).steps is SGD.steps and len(rule.scalars) == 1 and not rule.slots
        constrained = any(getattr(v, "constraint", None) is not None for v in self.record.reached.values())
        rate = float(rule.learning_rate)
        return Prediction(
            before, after, foretold, -rate * squared if plain and not constrained else None, squared, rate
        )
