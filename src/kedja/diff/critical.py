"""Where the gradient is zero, and what the Hessian says of the place: minimum, maximum, saddle (scope 1.9).

The gradient is driven to zero from many starts by Newton's method with damping (Levenberg and Marquardt), which finds
saddle points and maxima as readily as minima.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.diff.gradients import grad, jvp
from kedja.errors import DataError, GraphError, ShapeError
from kedja.graph.node import Tensor, placeholder
from kedja.graph.trace import Graph
from kedja.ops.shaping import reshape, stack

__all__ = ["CriticalPoint", "Field", "classified", "critical_point", "distinct", "search", "spread"]

Vector = NDArray[np.float64]
ITERATIONS = 200
SETTLED = 1e-7  # a Newton step this small, relative to 1 + |x|, has arrived
SLOPE_LEFT = 1e-6  # of the typical slope; more is a slope, not the bottom
SAME, SAME_IF_FLAT = 1e-5, 1e-2
ZERO = 1e-6  # an eigenvalue below this part of the largest decides nothing


@dataclass(frozen=True)
class CriticalPoint:
    """A place where the gradient is zero: x, the value, the length of the gradient, the Hessian's eigenvalues.

    `kind` is "minimum", "maximum", "saddle", or "degenerate" where an eigenvalue is zero and decides nothing;
    `nearby` then says what values around it look like.
    """

    x: Vector
    value: float
    gradient: float
    eigenvalues: Vector
    kind: str
    nearby: str = ""


class Field:
    """A function of n numbers with gradient and Hessian, in float64, on the reference engine."""

    def __init__(self, function: Callable[[Tensor], Any], size: int | None) -> None:
        """`size` None: the function takes a single number."""
        self.size = 1 if size is None else size
        self.shape = () if size is None else (size,)
        x = placeholder(self.shape, "float64", "x")
        y = function(x)
        if not isinstance(y, Tensor):
            raise GraphError(f"the function gave {y!r}, which does not depend on x through kedja's ops")
        if y.size != 1:
            raise ShapeError(f"the function must give one number, got shape {y.shape}. Add it up: .sum()")
        y = reshape(y, ())
        slope = grad(y, x)
        basis = np.eye(self.size)
        rows = [reshape(jvp(slope, x, basis[i].reshape(self.shape)), (self.size,)) for i in range(self.size)]
        self._low: Any = Graph([x], [y, slope])
        self._high: Any = Graph([x], [y, slope, stack(rows)])

    def value(self, x: Vector) -> tuple[float, Vector]:
        """The value and the gradient."""
        with np.errstate(all="ignore"):
            y, g = self._low.run([np.asarray(x, np.float64).reshape(self.shape)])
        return float(y), np.reshape(np.asarray(g), -1)

    def curved(self, x: Vector) -> tuple[float, Vector, Vector]:
        """The value, the gradient and the Hessian."""
        with np.errstate(all="ignore"):
            y, g, h = self._high.run([np.asarray(x, np.float64).reshape(self.shape)])
        return float(y), np.reshape(np.asarray(g), -1), np.asarray(h)


def spread(bounds: Sequence[tuple[float, float]], count: int, seed: int) -> Vector:
    """Evenly spread places in a box, moved by a random shift (the sequence of powers of a generalised golden ratio).

    >>> spread([(0.0, 1.0)], 4, seed=0).round(2).ravel().tolist()
    [0.64, 0.25, 0.87, 0.49]
    """
    n = len(bounds)
    ratio = 2.0
    for _ in range(60):  # the root of r^(n+1) = r + 1
        ratio = (1 + ratio) ** (1 / (n + 1))
    moves = ratio ** -np.arange(1.0, n + 1)
    shift = np.random.default_rng(seed).random(n)
    unit = (shift + np.arange(count)[:, None] * moves) % 1.0
    low, high = np.array(bounds, np.float64).T
    return np.asarray(low + unit * (high - low), np.float64)


def critical_point(field: Field, start: Vector, typical: float) -> CriticalPoint | None:
    """The critical point that damped Newton steps lead to from here; None when they lead to none.

    `typical` is the usual length of the gradient: what is not small beside it is a slope.
    """
    x = np.array(start, np.float64)
    y, g, h = field.curved(x)
    damping = 1e-3
    for _ in range(ITERATIONS):
        if not (np.isfinite(g).all() and np.isfinite(h).all()):
            return None
        away = float(np.linalg.norm(g))
        step = newton(h, g)
        if away == 0 or (np.linalg.norm(step) <= 1e-13 * (1 + np.linalg.norm(x)) and away <= SLOPE_LEFT * typical):
            break
        scale = float((h * h).sum()) or 1.0
        moved = False
        while damping < 1e12:
            d = np.linalg.lstsq(
                np.vstack([h, np.sqrt(damping * scale) * np.eye(field.size)]),
                np.concatenate([-g, np.zeros(field.size)]), rcond=None,
            )[0]  # fmt: skip
            new = field.curved(x + d)
            if np.isfinite(new[1]).all() and np.linalg.norm(new[1]) < away:
                x, (y, g, h), moved = x + d, new, True
                damping = max(damping / 10, 1e-40)
                break
            damping *= 10
        if not moved:
            break
    step = newton(h, g)
    arrived = np.linalg.norm(step) <= SETTLED * (1 + np.linalg.norm(x))
    if not arrived or not np.isfinite(y) or np.linalg.norm(g) > SLOPE_LEFT * typical:
        return None
    return classified(field, x, y, g, h)


def newton(h: Vector, g: Vector) -> Vector:
    """−H⁺g: the way to where the gradient is zero, if H stayed as it is."""
    return np.asarray(-np.linalg.lstsq(h, g, rcond=1e-12)[0])


def classified(field: Field, x: Vector, y: float, g: Vector, h: Vector) -> CriticalPoint:
    """The kind of a critical point, by the signs of the eigenvalues of its Hessian."""
    values = np.asarray(np.linalg.eigvalsh((h + h.T) / 2), np.float64)
    largest = float(np.abs(values).max(initial=0.0))
    limit = ZERO * max(largest, ZERO)
    up, down = bool((values > limit).any()), bool((values < -limit).any())
    flat = bool((np.abs(values) <= limit).any())
    kind = "saddle" if up and down else "degenerate" if flat else "minimum" if up else "maximum"
    nearby = around(field, x, y) if kind == "degenerate" else ""
    return CriticalPoint(x, y, float(np.linalg.norm(g)), values, kind, nearby)


def around(field: Field, x: Vector, y: float) -> str:
    """What values close by look like, where the Hessian does not decide."""
    rng = np.random.default_rng(0)
    ways = rng.standard_normal((40, field.size))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    found = [field.value(x + r * way)[0] - y for r in (0.01, 0.03, 0.1) for way in (*ways, *-ways)]
    change = np.array(found)
    noise = 1e-13 * max(1.0, abs(y))
    higher, lower = bool((change > noise).any()), bool((change < -noise).any())
    if higher and lower:
        return "higher and lower"
    return "higher" if higher else "lower" if lower else "equal"


def distinct(points: Sequence[CriticalPoint]) -> list[CriticalPoint]:
    """Each place once, lowest value first; of a degenerate one, whose place is less sharp, the flattest finding."""
    found: list[CriticalPoint] = []
    for p in sorted(points, key=lambda p: p.gradient):
        if not any(np.linalg.norm(p.x - q.x) <= _sharpness(p, q) * (1 + np.linalg.norm(q.x)) for q in found):
            found.append(p)
    return sorted(found, key=lambda p: (round(p.value, 9), tuple(p.x.round(6))))


def _sharpness(p: CriticalPoint, q: CriticalPoint) -> float:
    """How close two findings of one place lie."""
    alike = p.kind == q.kind == "degenerate" and p.nearby == q.nearby != "equal"
    return SAME_IF_FLAT if alike else SAME


def search(field: Field, starts: Vector) -> tuple[list[CriticalPoint], int]:
    """The different critical points reached from the starts, and how many starts reached one."""
    if not len(starts):
        raise DataError("critical_points: there is no start to search from")
    lengths = np.array([np.linalg.norm(field.value(s)[1]) for s in starts])
    lengths = lengths[np.isfinite(lengths)]
    typical = float(np.median(lengths)) if len(lengths) else 1.0
    found = [critical_point(field, s, typical or 1.0) for s in starts]
    reached = [p for p in found if p is not None]
    return distinct(reached), len(reached)
