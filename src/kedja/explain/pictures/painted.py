"""A drawing painted with matplotlib, for PNG and PDF files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedja.explain.pictures.scene import COLOURS, EDGE, Box, Circle, Line, Scene, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["painted"]


def painted(scene: Scene, figure: Figure) -> None:
    """Paint the drawing on an empty figure; a pixel of the drawing is a point of the paper."""
    figure.set_size_inches((scene.width + 2 * EDGE) / 72, (scene.height + 2 * EDGE) / 72)
    figure.set_facecolor(COLOURS["paper"][0])
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-EDGE, scene.width + EDGE), ylim=(scene.height + EDGE, -EDGE))
    ax.axis("off")
    for order, item in enumerate(scene.items):
        shown = {k: COLOURS[v][0] if v in COLOURS else v for k, v in look(item).items()}
        if isinstance(item, Line):
            _line(ax, item, shown["stroke"], order)
        elif isinstance(item, Circle):
            _circle(ax, item, shown, order)
        elif isinstance(item, Box):
            _box(ax, item, shown, order)
        else:
            side: Any = {"middle": "center", "end": "right"}.get(shown.get("text-anchor", ""), "left")
            weight = "bold" if "font-weight" in shown else "normal"
            text = ax.text(
                item.x, item.y, item.text.replace("$", r"\$"), ha=side, va="baseline", color=shown["fill"],
                fontsize=0.88 * item.size, fontweight=weight, zorder=order,
            )  # fmt: skip
            if "paint-order" in shown:
                from matplotlib.patheffects import withStroke

                text.set_path_effects([withStroke(linewidth=4, foreground=shown["stroke"])])


def _line(ax: Axes, line: Line, colour: str, order: int) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    points = line.shaft()
    if line.bend:
        places = [points[0], *(p for curve in line.controls() for p in curve)]
        path = Path(places, [Path.MOVETO, *[Path.CURVE4] * (len(places) - 1)])
    else:
        path = Path(points)
    style: dict[str, Any] = {"edgecolor": colour, "linewidth": line.width, "alpha": line.opacity, "zorder": order}
    ax.add_patch(PathPatch(path, facecolor="none", **style))
    if line.arrow:
        ax.add_patch(Polygon(line.head(), facecolor=colour, edgecolor="none", zorder=order))


def _circle(ax: Axes, circle: Circle, shown: dict[str, str], order: int) -> None:
    from matplotlib.patches import Circle as Disc

    at = (circle.x, circle.y)
    ax.add_patch(Disc(at, circle.r, facecolor=shown["fill"], edgecolor=shown["stroke"], linewidth=1.4, zorder=order))
    if circle.tone:
        colour = COLOURS["blue" if circle.tone.endswith("plus") else "orange"][0]
        ax.add_patch(Disc(at, circle.r, facecolor=colour, edgecolor="none", alpha=circle.share, zorder=order + 0.5))


def _box(ax: Axes, box: Box, shown: dict[str, str], order: int) -> None:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    style: dict[str, Any] = {"facecolor": shown["fill"], "edgecolor": shown["stroke"], "zorder": order}
    style["linewidth"] = float(shown["stroke-width"])
    if box.opacity < 1:
        style["alpha"] = box.opacity
    if box.radius:
        shape = f"round,pad=0,rounding_size={box.radius}"
        ax.add_patch(FancyBboxPatch((box.x, box.y), box.width, box.height, boxstyle=shape, **style))
    else:
        ax.add_patch(Rectangle((box.x, box.y), box.width, box.height, **style))
