"""L-BFGS: a quasi-Newton method for losses of all rows at once (scope 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from kedja.graph.dtypes import DType
from kedja.optim.minimizer import Evaluate, Memory, Minimizer, Point, above, at_least, whole
from kedja.optim.wolfe import Trial, strong_wolfe

__all__ = ["LBFGS"]

Array = np.ndarray[Any, Any]
LEAST_CURVATURE = 1e-10  # below it a pair of move and change says nothing of the curvature


class LBFGS(Minimizer):
    """θ ← θ + t d, d = −H g, where H is made of the last moves s = Δθ and changes y = Δg of the gradient.

    H is never written down: two loops over the `history` last pairs give H g, beginning with (sᵀy / yᵀy) I. The step t
    meets the strong Wolfe conditions; `learning_rate` is the one tried first (at the very first min(1, 1/Σ|g|) of it).
    An epoch of `fit` is one iteration over all rows. It ends when no entry of the gradient is above
    `gradient_tolerance`, when loss or parameters change by less than `change_tolerance`, or when no lower point is
    found. For smooth losses of small data: mini-batches and dropout have no fixed loss to search along.
    Source: Liu and Nocedal 1989; Nocedal and Wright 2006, algorithm 7.4.

    >>> import kedja as kj
    >>> kj.optim.minimize(lambda w: (w - 3) ** 2, 0.0, LBFGS()).x.item()
    3.0
    """

    switches = ("history",)
    scalars = ("learning_rate", "gradient_tolerance", "change_tolerance", "line_evaluations")
    needs_gradient = True
    checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {
        "learning_rate": above,
        "history": whole,
        "gradient_tolerance": at_least,
        "change_tolerance": at_least,
        "line_evaluations": whole,
    }
    history: int = 10
    gradient_tolerance: float
    change_tolerance: float
    line_evaluations: float

    def __init__(
        self, learning_rate: float = 1.0, history: int = 10, gradient_tolerance: float = 1e-7,
        change_tolerance: float = 1e-9, line_evaluations: int = 25,
    ) -> None:  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, history=history, gradient_tolerance=gradient_tolerance,
            change_tolerance=change_tolerance, line_evaluations=line_evaluations,
        )  # fmt: skip

    def start(self, size: int, dtype: DType) -> Memory:
        """The pairs, the newest last, and how many there are."""
        pairs = np.zeros((self.history, size), dtype)
        return {"moves": pairs, "changes": pairs.copy(), "pairs": np.zeros((), np.int64)}

    def iterate(
        self, evaluate: Evaluate, point: Point, memory: Memory, key: Array
    ) -> tuple[Point, Memory, str | None]:  # fmt: skip
        assert point.gradient is not None
        steepness = float(np.abs(point.gradient).max(initial=0.0))
        if steepness <= self.gradient_tolerance:
            return point, memory, f"no entry of the gradient is above {self.gradient_tolerance:g}"
        pairs = int(memory["pairs"])
        direction = -self.curved(point.gradient, memory)
        slope = inner(point.gradient, direction)
        if slope > -self.change_tolerance:
            return point, memory, f"the loss falls by less than {self.change_tolerance:g} along the best direction"
        first = self.learning_rate if pairs else self.learning_rate * min(1.0, 1.0 / _sum(point.gradient))

        def along(t: float) -> Trial:
            there = evaluate(point.x + point.x.dtype.type(t) * direction)
            assert there.gradient is not None
            return Trial(t, there.loss, inner(there.gradient, direction), there)

        begin = Trial(0.0, point.loss, slope, point)
        shortest = self.change_tolerance / float(np.abs(direction).max())
        found = strong_wolfe(along, begin, first, int(self.line_evaluations), shortest).point
        if found is point or not found.loss < point.loss:
            if pairs:  # the curvature misleads: go on along the gradient itself
                return point, memory | {"pairs": np.zeros((), np.int64)}, None
            return point, memory, f"no lower loss is found along the gradient: this is as low as {point.x.dtype} tells"
        move, change = found.x - point.x, found.gradient - point.gradient
        return found, self.remember(memory, move, change), self.settled(point, found, move)

    def settled(self, before: Point, after: Point, move: Array) -> str | None:
        """The reason to stop after a move, if there is one."""
        assert after.gradient is not None
        if float(np.abs(after.gradient).max()) <= self.gradient_tolerance:
            return f"no entry of the gradient is above {self.gradient_tolerance:g}"
        if float(np.abs(move).max()) <= self.change_tolerance:
            return f"the parameters moved by less than {self.change_tolerance:g}"
        if abs(after.loss - before.loss) < self.change_tolerance:
            return f"the loss changed by less than {self.change_tolerance:g}"
        return None

    def curved(self, gradient: Array, memory: Memory) -> Array:
        """H g, by the two loops: newest pair to oldest, and back."""
        kept = range(len(memory["moves"]) - int(memory["pairs"]), len(memory["moves"]))
        moves, changes = memory["moves"], memory["changes"]
        dtype = gradient.dtype
        q, shares = gradient.copy(), {}
        for i in reversed(kept):
            shares[i] = inner(moves[i], q) / inner(moves[i], changes[i])
            q -= dtype.type(shares[i]) * changes[i]
        if kept:
            newest = kept[-1]
            q *= dtype.type(inner(moves[newest], changes[newest]) / inner(changes[newest], changes[newest]))
        for i in kept:
            back = inner(changes[i], q) / inner(moves[i], changes[i])
            q += dtype.type(shares[i] - back) * moves[i]
        return q

    def remember(self, memory: Memory, move: Array, change: Array) -> Memory:
        """The memory with a new pair, if that says something: the oldest one goes."""
        if inner(move, change) <= LEAST_CURVATURE:
            return memory
        pairs = np.minimum(memory["pairs"] + 1, len(memory["moves"]))
        kept = {name: np.concatenate([memory[name][1:], v[None]]) for name, v in (("moves", move), ("changes", change))}
        return memory | kept | {"pairs": pairs}


def inner(a: Array, b: Array) -> float:
    """aᵀb, added up in float64."""
    return float(np.dot(a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)))


def _sum(gradient: Array) -> float:
    return float(np.abs(gradient).sum(dtype=np.float64))
