"""A matplotlib Figure for a picture of training: made only when one is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from kedja.errors import KedjaError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["INK", "panels_of", "tidy"]

INK = {"training": "#2468b4", "validation": "#d5700b"}


def panels_of(count: int, ax: Any = None, width: float = 4.2, height: float = 3.4) -> tuple[Figure, list[Any]]:
    """A figure with so many panels side by side, or those given."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise KedjaError('pictures are drawn with matplotlib, which is missing: pip install "kedja[plot]"') from error
    if ax is not None:
        axes = list(ax) if isinstance(ax, list | tuple) else [ax]
        return axes[0].get_figure(), axes
    figure = Figure(figsize=(1.2 + width * count, height), layout="constrained")
    return figure, [figure.add_subplot(1, count, k + 1) for k in range(count)]


def tidy(panel: Any, title: str, path: str | os.PathLike[str] | None = None) -> None:
    """The look all pictures of training share."""
    panel.set_title(title.replace("_", " "), loc="left", fontsize=11, fontweight="bold")
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", alpha=0.25, linewidth=0.8)
    panel.set_axisbelow(True)
