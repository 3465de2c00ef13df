"""A heat map over its image, or behind its series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.explain.pictures.picture import BLUE, LINES, quiet
from kedja.explain.pictures.picture import signed as two_colours
from kedja.explain.words import _
from kedja.graph.node import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Panel", "drawable", "overlaid", "painted", "reach_of"]

HEAT = "inferno"  # perceptually uniform
THIN = 0.6  # of colours behind a line, which is black
CUT = 0.995  # the share of places that the colours tell apart when the others stand far above them
FAINTEST, STRONGEST = 0.30, 0.80  # how much of the map's colour covers the image, from the least to the largest value
PALEST = 0.55  # how bright black is under a map of two colours
GREY = np.array([0.299, 0.587, 0.114])  # how bright the eye finds red, green and blue


@dataclass
class Panel:
    """An image (*places, channels) from 0 to 1, the map over it or none, and how far its colours reach."""

    image: Array
    heat: Array | None
    title: str
    reach: float | None = None
    negative: bool | None = None

    def __post_init__(self) -> None:
        if self.heat is not None and self.negative is None:
            self.negative = bool(self.heat.min() < 0)


def drawable(image: Array) -> Array:
    """Images (n, *places, channels) of any range as numbers from 0 to 1; 0 to 1 stays, 0 to 255 is divided.

    >>> drawable(np.array([[[[-1.0], [1.0]]]])).ravel().tolist(), drawable(np.full((1, 1, 1, 1), 255.0)).item()
    ([0.0, 1.0], 1.0)
    """
    found = np.asarray(image, np.float64)
    if found.min() >= 0 and found.max() <= 1:
        return found
    if found.min() >= 0 and 1 < found.max() <= 255:
        return found / 255
    axes = tuple(range(1, found.ndim))
    low = found.min(axes, keepdims=True)
    span = found.max(axes, keepdims=True) - low
    scaled: Array = (found - low) / np.where(span > 0, span, 1)
    return scaled


def reach_of(heat: Array) -> float:
    """Up to where the colours go: the largest value, but where a few places stand far above all others less.

    >>> reach_of(np.arange(5.0)), reach_of(np.append(np.ones(999), 50.0))
    (4.0, 1.0)
    """
    sizes = np.abs(heat)
    most, nearly = float(sizes.max()), float(np.quantile(sizes, CUT))
    return (nearly if 0 < nearly < most / 2 else most) or 1.0


def overlaid(image: Array, heat: Array, reach: float | None = None, negative: bool | None = None) -> Array:
    """The image in grey under the colours of the map, (height, width, 3) uint8; the stronger, the less shines through.

    A map with negative numbers is orange below 0 and blue above, as in every picture of kedja; others go from dark to
    bright.
    """
    from matplotlib import colormaps

    reach = reach or reach_of(heat)
    under = image[..., :3] @ GREY if image.shape[-1] >= 3 else image[..., 0]
    scaled = np.clip(heat / reach, -1, 1)
    if (
        heat.min() < 0 if negative is None else negative
    ):  # as ink on a faint print of the image: white, where nothing speaks, leaves it as it is
        mixed = two_colours()(0.5 + scaled / 2)[..., :3] * (PALEST + (1 - PALEST) * under[..., None])
    else:
        cover = FAINTEST + (STRONGEST - FAINTEST) * scaled[..., None]
        mixed = (1 - cover) * under[..., None] + cover * colormaps[HEAT](scaled)[..., :3]
    found: Array = np.round(255 * np.clip(mixed, 0, 1)).astype(np.uint8)
    return found


def painted(figure: Figure, rows: Sequence[Sequence[Panel]], rank: int) -> None:
    """Rows of panels, each map with the bar of its colours; those of a row that share a scale have one bar."""
    columns = max(map(len, rows))
    axes = np.atleast_2d(figure.subplots(len(rows), columns, squeeze=False))
    for line, panels in zip(axes, rows, strict=True):
        shared = panels[-1].reach
        for ax in line[len(panels) :]:
            ax.axis("off")
        for ax, panel in zip(line, panels, strict=False):
            (_series if rank == 1 else _image)(ax, panel)
            ax.set_title(panel.title, fontsize=8.5, loc="left")
            if panel.heat is not None and shared is None:
                _bar(figure, [ax], panel)
        if shared is not None:
            _bar(figure, list(line[1 : len(panels)]), panels[-1])


def _bar(figure: Figure, axes: list[Axes], panel: Panel) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    assert panel.heat is not None
    negative, reach = _range(panel)
    norm = Normalize(-reach if negative else 0, reach)
    flat = panel.image.ndim == 2
    colours = _behind(negative) if flat else two_colours() if negative else HEAT
    cut = float(np.abs(panel.heat).max()) > 1.001 * reach
    bar: Any = figure.colorbar(
        ScalarMappable(norm, colours), ax=axes, alpha=THIN if flat else None, shrink=0.85, pad=0.02,
        extend=("both" if negative else "max") if cut else "neither",
    )  # fmt: skip
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_linewidth(0.4)
    bar.locator = _few()
    bar.formatter.set_powerlimits((-2, 3))
    bar.ax.yaxis.get_offset_text().set_size(7)
    bar.update_ticks()


def _behind(negative: bool) -> Any:
    """Colours for the ground behind a line: light where there is nothing to see."""
    from matplotlib.colors import LinearSegmentedColormap

    return two_colours() if negative else LinearSegmentedColormap.from_list("blue", ["#f7f7f7", BLUE, "#0c3360"])


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def _range(panel: Panel) -> tuple[bool, float]:
    assert panel.heat is not None
    return bool(panel.negative), panel.reach or reach_of(panel.heat)


def _image(ax: Axes, panel: Panel) -> None:
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_linewidth(0.4)
    image, heat = _slice(panel)
    if heat is not None:
        ax.imshow(overlaid(image, heat, panel.reach, panel.negative), interpolation="nearest")
    elif image.shape[-1] >= 3:
        ax.imshow(np.clip(image[..., :3], 0, 1), interpolation="nearest")
    else:
        ax.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _slice(panel: Panel) -> tuple[Array, Array | None]:
    """An image of two axes; of a volume the slice where the map is strongest, or the middle one."""
    image, heat = panel.image, panel.heat
    while image.ndim > 3:
        at = len(image) // 2 if heat is None else int(np.abs(heat).reshape(len(heat), -1).max(1).argmax())
        image, heat = image[at], None if heat is None else heat[at]
    return image, heat


def _series(ax: Axes, panel: Panel) -> None:
    """The channels of a series as lines, the map as the colour of the ground behind them."""
    steps = len(panel.image)
    if panel.heat is not None:
        low, high = float(panel.image.min()), float(panel.image.max())
        room = 0.08 * (high - low or 1.0)
        negative, reach = _range(panel)
        ax.imshow(
            panel.heat[None], aspect="auto", extent=(0.5, steps + 0.5, low - room, high + room), alpha=THIN,
            cmap=_behind(negative), vmin=-reach if negative else 0, vmax=reach,
            interpolation="nearest",
        )  # fmt: skip
    for c in range(min(panel.image.shape[-1], len(LINES))):
        colour, dashes = LINES[c]
        colour = "#1c1c1c" if panel.image.shape[-1] == 1 and panel.heat is not None else colour
        ax.plot(np.arange(1, steps + 1), panel.image[:, c], color=colour, linestyle=dashes, linewidth=1.2)
    ax.set_xlim(0.5, steps + 0.5)
    quiet(ax, xlabel=_("step"))
