"""Activations as curves: their values, and their derivatives as kedja finds them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.diff import grad
from kedja.errors import KedjaError, one_of
from kedja.graph.node import Array, tensor
from kedja.nn.activations.entry import TABLE, Entry
from kedja.nn.activations.names import entry_of
from kedja.ops import stack
from kedja.ops import sum as total

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curve", "plot"]

VALUE, SLOPE = "#2468b4", "#d5700b"


def curve(name: str, x: Any, **parameters: Any) -> tuple[Array, Array]:
    """f(x) and f′(x) at these places, in float64. Of one that looks at a row: the first of f(x, 0), by its x.

    >>> value, slope = curve("sigmoid", [0.0])
    >>> value.item(), slope.item()
    (0.5, 0.25)
    """
    entry = _known(name)
    places = tensor(np.asarray(x, np.float64), dtype="float64")
    if entry.elementwise:
        y = entry.function(places, **parameters)
    else:
        y = entry.function(stack([places, 0 * places], -1), **parameters)[..., 0]
    return np.array(y.numpy()), np.array(grad(total(y), places).numpy())


def plot(
    names: str | Sequence[str] | None = None, path: str | os.PathLike[str] | None = None, *, span: float | None = None
) -> Figure:
    """Value (line) and derivative (dashes) of these activations, of all by default, a panel each; returns the Figure.

    `path` also writes it to a file (.png, .svg, .pdf). `span` is how far the axis reaches to both sides of 0.
    """
    chosen = [_known(n) for n in ([names] if isinstance(names, str) else TABLE if names is None else names)]
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise KedjaError('plot() draws with matplotlib, which is missing: pip install "kedja[plot]"') from error
    columns = min(len(chosen), 4)
    rows = math.ceil(len(chosen) / columns) if chosen else 0
    if not rows:
        raise KedjaError("plot() needs at least one activation to draw")
    size: dict[str, Any] = {"figsize": (0.6 + 2.9 * columns, 0.4 + 2.5 * rows), "layout": "constrained"}
    figure = Figure(**size) if path is not None else _shown(size)
    for place, entry in enumerate(chosen):
        _draw(figure.add_subplot(rows, columns, place + 1), entry, span)
    figure.axes[0].legend(frameon=False, fontsize=8)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _shown(size: dict[str, Any]) -> Figure:
    import matplotlib
    import matplotlib.pyplot as plt

    figure: Figure = plt.figure(**size)
    if "inline" in matplotlib.get_backend():
        plt.close(figure)  # or a notebook would show it twice: once as the cell's value
    return figure


def _draw(ax: Axes, entry: Entry, span: float | None) -> None:
    reach = span or max(5.0, 1.6 * max(map(abs, entry.kinks), default=0.0))
    x = np.linspace(-reach, reach, 401)
    value, slope = curve(entry.name, x)
    for kink in entry.kinks:  # a line through a jump would claim values that are not there
        beside = np.abs(x - kink) <= np.diff(x).max() / 2
        jump = np.ptp(curve(entry.name, [kink - 1e-6, kink + 1e-6]), axis=1) > 1e-3
        value[beside & jump[0]], slope[beside & jump[1]] = np.nan, np.nan
    ax.plot(x, slope, color=SLOPE, linestyle=(0, (4, 2)), linewidth=1.4, label="derivative")
    ax.plot(x, value, color=VALUE, linewidth=1.8, label="value")
    ax.axhline(0, color="#999999", linewidth=0.6, zorder=0)
    ax.axvline(0, color="#999999", linewidth=0.6, zorder=0)
    ax.set_ylim(max(-reach, np.nanmin([value, slope]) - 0.3), min(reach, np.nanmax([value, slope]) + 0.3))
    title = entry.name if entry.elementwise else f"{entry.name} of (x, 0), the first"
    ax.set_title(title, loc="left", fontsize=10, fontweight="bold")
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)


def _known(name: str) -> Entry:
    entry = entry_of(name)
    if entry is None:
        raise one_of("activation", name, TABLE)
    return entry
