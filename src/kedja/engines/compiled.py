"""`kj.compile`: a Python function, traced once per shapes, then run by an engine as one program."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np

from kedja.engines.choice import asked, choose, kernels_of
from kedja.engines.engine import CompileReport, Engine, Program
from kedja.graph.dtypes import as_array, get_default_dtype
from kedja.graph.node import Tensor, constant
from kedja.graph.recording import is_tracing
from kedja.graph.trace import flatten, trace, unflatten

__all__ = ["Compiled", "compile"]


class Compiled:
    """A compiled function. Calling it with new shapes or types traces and compiles once more."""

    def __init__(self, function: Callable[..., Any], engine: str | Engine, kernels: str | None = None) -> None:
        self.function = function
        self.engine = engine
        # What the environment says now: later calls need not look.
        self.kernels = kernels_of(kernels) if kernels is not None or isinstance(engine, str) else None
        self._programs: dict[Any, tuple[Program, Any]] = {}
        update_wrapper(self, function)

    def __call__(self, *args: Any) -> Any:
        if is_tracing():
            return self.function(*args)
        leaves, nest = flatten(args)
        arrays = [x.numpy() if isinstance(x, Tensor) else as_array(x) for x in leaves]
        key = (repr(nest), tuple((a.shape, a.dtype.name) for a in arrays), get_default_dtype())
        if key not in self._programs:
            graph = trace(lambda *nodes: self.function(*unflatten(nest, nodes)), [(a.shape, a.dtype) for a in arrays])
            self._programs[key] = choose(asked(self.engine, self.kernels), graph).program(graph), graph.structure
        program, structure = self._programs[key]
        new, outputs = program([v.raw for v in program.variables], arrays)
        for (variable, _), value in zip(program.graph.updates, new, strict=True):
            variable.store(value)
        return unflatten(structure, [constant(np.array(o)) for o in outputs])

    @property
    def reports(self) -> list[CompileReport]:
        """What was compiled so far, and how long it took."""
        return [program.report for program, _ in self._programs.values()]

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", "function")
        return "\n  ".join([f"compiled {name}, {len(self._programs)} program(s)", *map(str, self.reports)])


def compile(function: Callable[..., Any], *, engine: str | Engine = "auto", kernels: str | None = None) -> Compiled:
    """`function`, traced into a graph and run by an engine: "xla", "reference", or "auto".

    `kernels` is which of kedja's own kernels XLA calls on a CPU: "auto", "winograd" or "xla" (docs/engines.md).
    Arguments are arrays or nests of them, results are tensors. Variables are read as they were before the call;
    `variable.update(...)` inside takes effect after it.

    >>> import kedja as kj
    >>> w = kj.Parameter(5.0, name="w")
    >>> @kj.compile
    ... def step(rate):
    ...     loss = (w - 3.0) ** 2
    ...     w.update(w - rate * kj.grad(loss, w))
    ...     return loss
    >>> [round(step(0.25).item(), 4) for _ in range(3)], w.numpy().item()
    ([4.0, 1.0, 0.25], 3.25)
    """
    return Compiled(function, engine, kernels)
