"""Forward mode against reverse mode, with every operation counted (scope 1.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kedja.diff import jvp, vjp
from kedja.errors import DataError, DTypeError, GraphError
from kedja.explain.graphs.operations import Work, work_of
from kedja.explain.show.table import Table, Tabular
from kedja.explain.words import _, counted
from kedja.graph.dtypes import is_float
from kedja.graph.node import Array, Tensor, ancestors, placeholder, tensor
from kedja.graph.trace import Graph

__all__ = ["Modes", "modes"]

RUN_UP_TO = 200  # passes; more are counted and not run


class Modes(Tabular):
    """The work of both modes for all derivatives of m numbers by n numbers; it prints as a table.

    `forward` and `reverse` are the work of one pass, `value` that of the function itself. `jacobian` (m, n) is what
    the passes of reverse mode put together, and `difference` how far forward mode's is from it; None when there are too
    many passes to run for a comparison.
    """

    def __init__(self, y: Tensor, xs: Sequence[Tensor]) -> None:
        self.inputs, self.outputs = sum(x.size for x in xs), y.size
        known = ancestors([y])
        self.value = work_of([y])
        moves = [placeholder(x.shape, x.dtype, f"d{x.name or 'x'}") for x in xs]
        seed = placeholder(y.shape, y.dtype, "seed")
        forward = jvp(y, list(xs), moves)
        reverse = vjp(y, list(xs), seed=seed)
        self.forward, self.reverse = work_of([forward], known), work_of(reverse, known)
        self.jacobian: Array | None = None
        self.difference: float | None = None
        if self.inputs + self.outputs <= RUN_UP_TO:
            columns, rows = _passes(forward, moves), _passes(reverse, [seed])
            self.jacobian, self.difference = rows, float(np.abs(rows - columns.T).max(initial=0.0))

    @property
    def forward_total(self) -> Work:
        """All passes of forward mode: one for each input."""
        return self.forward.times(self.inputs)

    @property
    def reverse_total(self) -> Work:
        """All passes of reverse mode: one for each output."""
        return self.reverse.times(self.outputs)

    @property
    def table(self) -> Table:
        """The table that all ways to show it share."""
        lines = [
            (_("the function itself"), 1, self.value),
            (_("forward mode"), self.inputs, self.forward),
            (_("reverse mode"), self.outputs, self.reverse),
        ]
        rows = [
            (name, *(f"{n:,}" for n in (passes, work.nodes, work.operations, passes * work.operations)))
            for name, passes, work in lines
        ]
        head = ("", _("passes"), _("nodes a pass"), _("operations a pass"), _("operations"))
        return Table(head, rows, right=(1, 2, 3, 4), notes=tuple(self._notes()))

    def _notes(self) -> list[str]:
        n, m = counted("{n} input", "{n} inputs", self.inputs), counted("{n} output", "{n} outputs", self.outputs)
        notes = [
            _("{n}, {m}: forward mode passes once for each input, reverse mode once for each output").format(n=n, m=m)
        ]
        a, b = self.forward_total.operations, self.reverse_total.operations
        if a and b and a != b:
            less, ratio = (_("forward"), b / a) if a < b else (_("reverse"), a / b)
            told = _("{mode} mode needs {ratio} times fewer operations")
            notes.append(told.format(mode=less, ratio=f"{ratio:.3g}"))
        if self.difference is not None:
            notes.append(
                _("both were run; their Jacobians differ by at most {off}").format(off=f"{self.difference:.1e}")
            )
        else:
            notes.append(_("counted, not run: there are too many passes"))
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Plain data: passes and work of each mode."""
        return {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "value": self.value._asdict(),
            "forward": {"passes": self.inputs, **self.forward._asdict()},
            "reverse": {"passes": self.outputs, **self.reverse._asdict()},
            "difference": self.difference,
        }


def modes(y: Tensor | Callable[..., Any], *xs: Any) -> Modes:
    """How much work all derivatives of y by the x are in forward mode and in reverse mode: from the same rules.

    `modes(y, x, …)` takes nodes of a graph, `modes(f, x, …)` a function and its arguments. Operations are counted
    from the shapes: one for each multiply-add of a product of matrices, one for each number of an elementwise op.
    The values of the function itself are worked out once for both. Source: scope 1.5.

    >>> import kedja as kj
    >>> print(modes(lambda x: (x * x).sum(), [1.0, 2.0, 3.0]))
                         passes  nodes a pass  operations a pass  operations
    ────────────────────────────────────────────────────────────────────────
    the function itself       1             2                  6           6
    forward mode              3             3                  9          27
    reverse mode              1             4                  6           6
    ────────────────────────────────────────────────────────────────────────
    3 inputs, 1 output: forward mode passes once for each input, reverse mode once for each output
    reverse mode needs 4.5 times fewer operations
    both were run; their Jacobians differ by at most 0.0e+00
    """
    if not xs:
        raise GraphError(_("modes: say by what to differentiate, as in modes(y, x)"))
    if isinstance(y, Tensor):
        for x in xs:
            if not isinstance(x, Tensor):
                raise GraphError(_("modes: x is a node of the graph of y, got {kind}").format(kind=type(x).__name__))
        nodes, end = list(xs), y
    else:
        nodes = [x if isinstance(x, Tensor) else tensor(x) for x in xs]
        end = y(*nodes)
        if not isinstance(end, Tensor):
            raise GraphError(_("modes: the function gives a tensor, got {kind}").format(kind=type(end).__name__))
    for x in (*nodes, end):
        if not is_float(x.dtype):
            raise DTypeError(_("modes: only floating-point tensors have derivatives, got {t}").format(t=x.dtype.name))
    if not end.size or not all(x.size for x in nodes):
        raise DataError(_("modes: there is nothing to differentiate: a tensor is empty"))
    return Modes(end, nodes)


def _passes(outputs: Tensor | Sequence[Tensor], seeds: Sequence[Tensor]) -> Array:
    """One pass for every number of the seeds: what comes out, a row for each."""
    ends = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    graph: Any = Graph(seeds, ends)
    rows = []
    for i, seed in enumerate(seeds):
        for k in range(seed.size):
            given = [np.zeros(s.shape, s.dtype) for s in seeds]
            given[i].reshape(-1)[k] = 1
            rows.append(np.concatenate([np.ravel(np.asarray(e)) for e in graph.run(given)]))
    return np.array(rows, np.float64)
