"""The density of a sum of independent random numbers is the convolution of their densities (scope 2.5)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kedja.errors import DataError, ShapeError
from kedja.graph.node import Tensor, tensor
from kedja.ops import convolve
from kedja.optim.curve import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Density", "density_of_sum"]


def density_of_sum(p: Any, q: Any, dx: float = 1.0) -> Tensor:
    """The density of X + Y on a grid, for independent X and Y: (p ∗ q)(s) = Σ p(x) q(s − x) dx.

    p and q are the densities at places dx apart, (n,) and (m,); the result has n + m − 1 places, of which the first is
    the sum of their first ones. With dx = 1 they are the probabilities of whole numbers, and the sum is exact; else it
    is a Riemann sum, off by about dx² for smooth densities and dx at jumps. Differentiable in p and q.

    Raises ShapeError unless both are sequences, DataError for a dx that is not above 0, values below 0, and densities
    that do not add up to about 1 (tensors are taken as they are).
    Source: scope 2.5.

    >>> dice = [1 / 6] * 6
    >>> print(density_of_sum(dice, dice).numpy()[:6].round(3))  # that two dice make 2, 3, 4, 5, 6, 7
    [0.028 0.056 0.083 0.111 0.139 0.167]
    """
    step = _positive("density_of_sum", "dx", dx)
    for name, density in (("p", p), ("q", q)):
        if not isinstance(density, Tensor):
            _checked("density_of_sum", name, density, step)
        elif density.ndim != 1:
            raise ShapeError(f"density_of_sum: {name} is a sequence of values (n,), got shape {density.shape}")
    y = convolve(p, q)
    return y if step == 1 else y * tensor(step, dtype=y.dtype)


class Density:
    """A density on a grid: values at `start`, `start + step`, …; `+` is the density of the sum of independent numbers.

    `x` are the places, `mass`, `mean` and `variance` the sums that stand for its integrals. Values are float64.
    Raises what `density_of_sum` does.

    >>> coin = Density([0.5, 0.5])
    >>> (coin + coin + coin).values.tolist()
    [0.125, 0.375, 0.375, 0.125]
    """

    def __init__(self, values: Any, start: float = 0.0, step: float = 1.0) -> None:
        self.step = _positive("Density", "step", step)
        self.values = _checked("Density", "values", values, self.step)
        self.start = float(start)
        if not math.isfinite(self.start):
            raise DataError(f"Density: start is the place of the first value, a number; got {start!r}")

    @classmethod
    def of(cls, function: Callable[[Any], Any], low: float, high: float, n: int = 1000) -> Density:
        """A function's values in the middles of n equal steps from low to high.

        >>> Density.of(lambda x: 2 * x, 0, 1).mean.round(5).item()
        0.66667
        """
        if not (math.isfinite(low) and math.isfinite(high)) or low >= high or n < 1:
            raise DataError(f"Density.of: needs low < high and n ≥ 1, got low={low!r}, high={high!r}, n={n!r}")
        step = (high - low) / n
        x = low + step * (np.arange(n) + 0.5)
        values = np.broadcast_to(np.asarray(function(x), np.float64), x.shape)
        return cls(values, float(x[0]), step)

    @property
    def x(self) -> NDArray[np.float64]:
        """The places of the values."""
        return self.start + self.step * np.arange(len(self.values), dtype=np.float64)

    @property
    def mass(self) -> np.float64:
        """Σ p(x) dx, which is about 1."""
        return np.float64(self.values.sum() * self.step)

    @property
    def mean(self) -> np.float64:
        """Σ x p(x) dx, over the mass."""
        return np.float64((self.x * self.values).sum() / self.values.sum())

    @property
    def variance(self) -> np.float64:
        """Σ (x − mean)² p(x) dx, over the mass."""
        return np.float64(((self.x - self.mean) ** 2 * self.values).sum() / self.values.sum())

    def __add__(self, other: Any) -> Density:
        if not isinstance(other, Density):
            return NotImplemented
        if not math.isclose(self.step, other.step, rel_tol=1e-9):
            raise DataError(
                f"densities with steps {self.step:g} and {other.step:g} cannot be added: draw both on grids of one step"
            )
        p, q = (tensor(d.values, dtype="float64") for d in (self, other))
        return Density(density_of_sum(p, q, self.step).numpy(), self.start + other.start, self.step)

    def __str__(self) -> str:
        low, high = self.start, self.x[-1]
        return (
            f"density at {len(self.values):,} places from {low:.6g} to {high:.6g}: mass {self.mass:.6g}, "
            f"mean {self.mean:.6g}, variance {self.variance:.6g}"
        )

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Plain data: start, step and values."""
        return {"start": self.start, "step": self.step, "values": self.values.tolist()}

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Axes | None = None) -> Figure:
        """The curve (bars, of a few places); returns the Figure. `path` also writes it to a file (.png, .svg)."""

        def draw(axes: Axes) -> None:
            if len(self.values) <= 40:
                axes.bar(self.x, self.values, width=0.8 * self.step, color="#2468b4")
            else:
                axes.plot(self.x, self.values, color="#2468b4", linewidth=1.7)
            axes.set(xlabel="x", ylabel="density")

        return drawn(draw, path, ax)


def _positive(who: str, what: str, value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not (math.isfinite(found) and found > 0):
        raise DataError(f"{who}: {what} is the distance of two places, a number above 0; got {value!r}")
    return found


def _checked(who: str, what: str, given: Any, step: float) -> NDArray[np.float64]:
    """Values of a density as float64."""
    try:
        values = np.array(given, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{who}: {what} is a sequence of numbers, got {given!r}") from None
    if values.ndim != 1 or not values.size:
        raise ShapeError(f"{who}: {what} is a sequence of values (n,), got shape {values.shape}")
    if not np.isfinite(values).all() or values.min() < 0:
        bad = int(np.argmax(~(values >= 0) | ~np.isfinite(values)))
        raise DataError(f"{who}: a density is a number and not below 0; {what}[{bad}] is {values[bad]:g}")
    mass = values.sum() * step
    if abs(mass - 1) > 0.02:
        raise DataError(
            f"{who}: a density adds up to 1; the {len(values)} numbers of {what}, {step:g} apart, make {mass:.4g}. "
            f"Divide by their sum times {step:g}, or say another distance."
        )
    return values
