"""A function of one or two numbers drawn: its curve, or lines of equal value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kedja.diff.critical import Field

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_function"]

CURVE, GRID, LINES = 400, 80, 24


def draw_function(axes: Axes, field: Field, bounds: list[tuple[float, float]], names: list[str]) -> None:
    """The curve of a function of one number, lines of equal value of one of two; low values are drawn densely."""
    if field.size == 1:
        x = np.linspace(*bounds[0], CURVE)
        y = np.array([field.value(np.array([v]))[0] for v in x])
        axes.plot(x, np.where(np.isfinite(y), y, np.nan), color="0.3", linewidth=1.6)
        axes.set(xlabel=names[0], ylabel="f")
        return
    across, up = (np.linspace(*b, GRID) for b in bounds)
    z = np.array([[field.value(np.array([a, b]))[0] for a in across] for b in up])
    finite = z[np.isfinite(z)]
    if finite.size and np.ptp(finite) > 0:
        low = finite.min()
        levels = low + (finite.max() - low) * np.linspace(0, 1, LINES) ** 2.5
        axes.contour(across, up, z, levels=np.unique(levels), cmap="Greys_r", linewidths=0.8, zorder=1)
    axes.set(xlabel=names[0], ylabel=names[1], xlim=bounds[0], ylim=bounds[1])
