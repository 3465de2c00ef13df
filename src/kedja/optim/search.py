"""Search by trying (scope 4.5): the slow baseline that gradient descent replaces. Neither rule asks for a gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from kedja.errors import DataError
from kedja.graph.dtypes import DType
from kedja.ops.random import fold_array, uniform_array
from kedja.optim.minimizer import Evaluate, Memory, Minimizer, Point, above, shrinking, whole

__all__ = ["BruteForce", "RandomSearch"]

Array = np.ndarray[Any, Any]


class Search(Minimizer):
    """What both searches share: a radius, which shrinks by a factor after an iteration that found nothing lower."""

    checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {
        "radius": above, "shrink": shrinking, "tries": whole, "points": whole, "limit": whole,
    }  # fmt: skip
    radius: float
    shrink: float

    @property
    def learning_rate(self) -> float:
        """The radius, which plays the part of the rate: it is what a callback lowers."""
        return self.radius

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.radius = value

    def start(self, size: int, dtype: DType) -> Memory:
        """How often the radius has shrunk."""
        return {"shrinks": np.zeros((), np.int64)}

    def reach(self, memory: Memory) -> float:
        """The radius now."""
        return float(self.radius) * float(self.shrink) ** int(memory["shrinks"])

    def best_of(
        self, evaluate: Evaluate, point: Point, memory: Memory, candidates: Any
    ) -> tuple[Point, Memory, str | None]:  # fmt: skip
        """The lowest of the point and the candidates; each is asked for in turn, given the best so far."""
        best = point
        for candidate in candidates:
            x = candidate(best.x).astype(point.x.dtype)
            there = evaluate(x)
            if there.finite and there.loss < best.loss:
                best = there
        if best is point and self.shrink != 1:
            memory = memory | {"shrinks": memory["shrinks"] + 1}
            if not (point.x + point.x.dtype.type(self.reach(memory)) != point.x).any():
                return point, memory, f"the radius has shrunk below what {point.x.dtype} tells apart"
        return best, memory, None


class RandomSearch(Search):
    """Try θ + u, u uniform in [−r, r] for each parameter; keep it if the loss is lower. r is the `radius`.

    An iteration (an epoch of `fit`) makes `tries` tries, one after the other; when none was lower r ← `shrink` · r. The
    same seed makes the same tries. Source: scope 4.5, 8.3.

    >>> import kedja as kj
    >>> found = kj.optim.minimize(lambda w: (w - 3) ** 2, 0.0, RandomSearch(radius=0.5), iterations=200)
    >>> abs(found.x.item() - 3) < 0.1, found.evaluations
    (True, 201)
    """

    scalars = ("radius", "shrink", "tries")
    tries: float

    def __init__(self, radius: float = 0.1, shrink: float = 1.0, tries: int = 1) -> None:
        super().__init__(radius=radius, shrink=shrink, tries=tries)

    def iterate(
        self, evaluate: Evaluate, point: Point, memory: Memory, key: Array
    ) -> tuple[Point, Memory, str | None]:  # fmt: skip
        reach = self.reach(memory)

        def step(number: int) -> Any:
            moves = reach * (2.0 * uniform_array(fold_array(key, number), point.x.shape) - 1.0)
            return lambda x: x + moves

        return self.best_of(evaluate, point, memory, (step(i) for i in range(int(self.tries))))


class BruteForce(Search):
    """Try a grid around the parameters: `points` values from −r to r for each, and every combination; keep the lowest.

    n parameters cost pointsⁿ evaluations an iteration, so this is for a handful; more than `limit` are refused. When
    nothing was lower the radius shrinks: r ← `shrink` · r.  Source: scope 4.5.

    >>> import kedja as kj
    >>> found = kj.optim.minimize(lambda w: ((w - 3) ** 2).sum(), [0.0, 0.0], BruteForce(radius=1.0), iterations=5)
    >>> found.x.tolist(), found.evaluations
    ([3.0, 3.0], 41)
    """

    scalars = ("radius", "shrink")
    switches = ("points", "limit")
    points: int = 3
    limit: int = 10_000

    def __init__(self, radius: float = 1.0, points: int = 3, shrink: float = 0.5, limit: int = 10_000) -> None:
        super().__init__(radius=radius, shrink=shrink, points=points, limit=limit)

    def start(self, size: int, dtype: DType) -> Memory:
        cost = self.points**size if size * np.log10(self.points) < 15 else np.inf
        if cost > self.limit:
            shown = f" = {cost:,}" if np.isfinite(cost) else f" ≈ 10^{size * np.log10(self.points):,.0f}"
            raise DataError(
                f"BruteForce tries every combination: {self.points} values for each of {size:,} parameters are "
                f"{self.points}^{size}{shown} evaluations an iteration, and its limit is {self.limit:,}. Follow the "
                "gradient instead, which costs about two: kj.optim.LBFGS() or kj.optim.GradientDescent()."
            )
        return super().start(size, dtype)

    def iterate(
        self, evaluate: Evaluate, point: Point, memory: Memory, key: Array
    ) -> tuple[Point, Memory, str | None]:  # fmt: skip
        values = np.linspace(-1.0, 1.0, self.points) if self.points > 1 else np.zeros(1)
        reach, middle = self.reach(memory), point.x

        def at(place: tuple[float, ...]) -> Any:
            return lambda _: middle + reach * np.array(place)

        grid = (at(place) for place in itertools.product(values, repeat=point.x.size) if any(place))
        return self.best_of(evaluate, point, memory, grid)
