"""One panel drawn with matplotlib, for schedules and for the learning-rate finder."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kedja.errors import KedjaError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["drawn"]


def drawn(draw: Callable[[Axes], None], path: str | os.PathLike[str] | None, ax: Axes | None) -> Figure:
    """The Figure after `draw` has drawn on one Axes of it: on `ax`, or a new one; `path` also writes it to a file."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise KedjaError('plot() draws with matplotlib, which is missing: pip install "kedja[plot]"') from error
    figure: Any
    if ax is not None:
        figure, axes = ax.get_figure(), ax
    else:
        shape: dict[str, Any] = {"figsize": (5.4, 3.4), "layout": "constrained"}
        if path is not None:
            figure = Figure(**shape)  # a file alone needs no window and leaves nothing in pyplot
        else:
            import matplotlib.pyplot as plt

            figure = plt.figure(**shape)
            if "inline" in matplotlib.get_backend():
                plt.close(figure)  # or a notebook would show it twice: once as the cell's value
        axes = figure.add_subplot()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure  # type: ignore[no-any-return, unused-ignore]
