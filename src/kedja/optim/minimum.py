"""`minimize`: the least value of a function written by hand, by any optimiser (scope 4, 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kedja.diff import grad
from kedja.engines.choice import asked, choose
from kedja.engines.engine import Engine
from kedja.errors import DataError, DivergedError, GraphError, ShapeError
from kedja.graph.dtypes import as_array, get_default_dtype, is_float
from kedja.graph.node import Tensor, placeholder
from kedja.graph.trace import Graph, trace
from kedja.graph.variables import Parameter, State
from kedja.ops import absolute, cast, maximum, reshape
from kedja.ops import max as largest
from kedja.ops.random import key_words
from kedja.optim.iterations import MinimizerLoop
from kedja.optim.minimizer import Minimizer, at_least, whole
from kedja.optim.optimizer import Optimizer
from kedja.optim.registry import get

__all__ = ["Minimum", "minimize"]

Array = np.ndarray[Any, Any]
CHUNK = 1000  # steps of a gradient method between two looks at it


@dataclass(frozen=True)
class Minimum:
    """What `minimize` found: where (`x`), how low (`value`), at what cost, and why it stopped.

    `values` are the values on the way, the one at the start first; `path` the points, if they were asked for.
    `evaluations` counts how often the function was worked out, together with its gradient where the method uses that.
    """

    x: Any
    value: float
    iterations: int
    evaluations: int
    reason: str
    method: str
    values: Array = field(repr=False)
    path: list[Any] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        at = self.x if isinstance(self.x, dict) else np.array2string(self.x, precision=6, threshold=10)
        return (
            f"{self.value:.6g} at {at}\n"
            f"{self.iterations:,} iterations and {self.evaluations:,} evaluations of {self.method}: {self.reason}"
        )


def minimize(
    function: Callable[[Any], Any], x: Any, method: Any = "lbfgs", *, iterations: int = 1000, tolerance: float = 1e-7,
    seed: int = 0, dtype: Any = None, engine: str | Engine = "auto", path: bool = False,
    kernels: str | None = None,
) -> Minimum:  # fmt: skip
    """The least value of `function` near `x`: an array, or a dict of arrays, which the function gets as tensors.

    `method` is an optimiser or its name: "lbfgs", "random", "brute_force", "gd", "adam" and so on. One that follows the
    gradient stops when no entry of it is above `tolerance`; a minimiser has tolerances of its own. `path` keeps every
    point on the way. `engine` and `kernels` as in `fit`. DivergedError when the value is not finite.

    >>> import kedja as kj
    >>> def rosenbrock(x):
    ...     return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    >>> found = minimize(rosenbrock, [-1.2, 1.0], dtype="float64")
    >>> found.x.round(4).tolist(), found.value < 1e-12
    ([1.0, 1.0], True)
    """
    rule, engine = get(method), asked(engine, kernels)
    iterations, tolerance = whole("iterations", iterations), at_least("tolerance", tolerance)
    unknowns = Unknowns(x, dtype)
    memory = rule.make_slots(unknowns.parameters)
    graph = step_graph(function, unknowns, rule, memory)
    number = unknowns.dtype.type
    arguments = [*(np.asarray(v, number) for v in rule.scalar_values()), key_words(seed)]
    if isinstance(rule, Minimizer):
        loop: Any = MinimizerLoop(rule, graph, memory, list(unknowns.parameters.values()), engine)
    else:
        loop = choose(engine, graph).loop(graph, data=0, padded=False, ordered=False)
    return Descent(rule, loop, unknowns, arguments, tolerance, path).go(iterations)


class Unknowns:
    """What is to be found: one array, or several by name, as parameters."""

    def __init__(self, x: Any, dtype: Any) -> None:
        self.single = not isinstance(x, Mapping)
        given = {"x": x} if self.single else dict(x)
        if not given:
            raise DataError("minimize: there is nothing to find, x is empty")
        arrays = {name: as_array(v.numpy() if isinstance(v, Tensor) else v, dtype) for name, v in given.items()}
        arrays = {name: a if is_float(a.dtype) else a.astype(get_default_dtype()) for name, a in arrays.items()}
        for name, a in arrays.items():
            if not a.size or not np.isfinite(a).all():
                raise DataError(f"minimize: the start {name} must be finite numbers, got {given[name]!r}")
        self.parameters = {name: Parameter(a, name, dtype=a.dtype) for name, a in arrays.items()}
        self.dtype = next(iter(arrays.values())).dtype

    def nested(self, values: Mapping[str, Any]) -> Any:
        """One value alone, or several by name, as they were given."""
        return values["x"] if self.single else dict(values)


def step_graph(function: Callable[[Any], Any], unknowns: Unknowns, rule: Optimizer, memory: State) -> Graph:
    """One step: the value, and for a rule of steps the largest entry of the gradient. Inputs: numbers, and a key."""
    numbers = [placeholder((), unknowns.dtype, name) for name in rule.scalars]

    def step(*inputs: Tensor) -> list[Tensor]:
        value = function(unknowns.nested(unknowns.parameters))
        if not isinstance(value, Tensor):
            raise GraphError(f"minimize: the function gave {value!r}, which does not depend on x through kedja's ops")
        if value.size != 1:
            raise ShapeError(f"minimize: the function must give one number, got shape {value.shape}. Add it up: .sum()")
        value = reshape(value, ())
        wanted = list(unknowns.parameters.values())
        gradients = grad(value, wanted) if not isinstance(rule, Minimizer) or rule.needs_gradient else []
        rule.with_scalars(inputs[:-1]).update(unknowns.parameters, gradients, memory)
        if isinstance(rule, Minimizer):
            return [value]
        steepest = [cast(largest(absolute(g)), value.dtype) for g in gradients]
        steepness = steepest[0]
        for s in steepest[1:]:
            steepness = maximum(steepness, s)
        return [value, steepness]

    return trace(step, [*numbers, placeholder((2,), "uint32", "key")])


class Descent:
    """The run: chunks of iterations until a reason to stop."""

    def __init__(
        self, rule: Optimizer, loop: Any, unknowns: Unknowns, arguments: list[Any], tolerance: float, path: bool
    ) -> None:
        self.rule, self.loop, self.unknowns, self.arguments = rule, loop, unknowns, arguments
        self.tolerance = tolerance
        self.state = [v.raw for v in loop.variables]
        self.path = [self.here()] if path else None
        self.chunk = 1 if path else CHUNK
        self.done, self.evaluations = 0, 0
        self.values: list[float] = []

    def here(self) -> Any:
        """The point reached."""
        values = dict(zip(self.loop.variables, self.state, strict=True))
        return self.unknowns.nested({n: np.array(values[p]) for n, p in self.unknowns.parameters.items()})

    def run(self, state: list[Any], count: int) -> Any:
        # A table of outputs holds a limited number of rows, so every run counts from 0.
        return self.loop.run(state, [], None, self.arguments, 0, count)

    def go(self, iterations: int) -> Minimum:
        """Iterate, and say what was found."""
        searching = isinstance(self.rule, Minimizer)
        advance = self.search if searching else self.descend
        if searching:
            self.values.append(self.value_at_start())
        reason = None
        while reason is None and self.done < iterations:
            reason = advance(min(self.chunk, iterations - self.done))
            if self.path is not None:
                self.path.append(self.here())
        if not searching:
            self.values.append(self.value_now())
        return Minimum(
            self.here(), self.values[-1], self.done, self.evaluations, reason or f"made all {iterations:,} iterations",
            repr(self.rule), np.array(self.values), self.path,
        )  # fmt: skip

    def search(self, count: int) -> str | None:
        """Iterations of a minimiser."""
        result = self.run(self.state, count)
        if not result.finite:
            self.diverged()
        self.state, self.done = list(result.state), self.done + result.done
        self.values += result.outputs[:, 0].tolist()
        self.evaluations = int(result.outputs[-1, -1])
        reason: str | None = self.loop.reason
        return reason

    def value_at_start(self) -> float:
        """The value of the point a minimiser begins at."""
        return float(self.loop.begin(dict(zip(self.loop.variables, self.state, strict=True)), [], self.arguments).loss)

    def descend(self, count: int) -> str | None:
        """Steps along the gradient, back to the first where the gradient was small enough."""
        result = self.run(self.state, count)
        if not result.finite and not np.isfinite(result.outputs[:, 0]).all():
            self.done += result.done - 1
            self.diverged()
        small = np.flatnonzero(result.outputs[:, 1] <= self.tolerance)
        reason = None
        if small.size:
            reason = f"no entry of the gradient is above {self.tolerance:g}"
            result = self.run(self.state, int(small[0]))  # bit for bit the same steps, but no further
        self.values += result.outputs[:, 0].tolist()
        self.state, self.done = list(result.state), self.done + result.done
        self.evaluations += result.done
        return reason

    def value_now(self) -> float:
        """The value after the last step."""
        self.evaluations += 1
        value = float(self.run(self.state, 1).outputs[0, 0])
        if not np.isfinite(value):
            self.diverged()
        return value

    def diverged(self) -> None:
        """The value is not finite."""
        if not self.done:
            raise DivergedError("minimize: the value is not finite at the start; begin elsewhere")
        raise DivergedError(
            f"minimize: the value is not finite after {self.done:,} steps of {self.rule!r}. Lower the learning rate."
        )
