"""A drawing as a list of lines, circles, boxes and texts, in pixels with y downwards, and as SVG.

One layout serves three writers: SVG here, TikZ for LaTeX, and matplotlib for PNG and PDF. What an item looks like is
said by its `role`, words such as "edge plus" that a page may style as it likes; standing alone, a picture has colours
of its own, for light and dark.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from kedja.explain.pictures.marks import plain

__all__ = ["COLOURS", "EDGE", "Box", "Circle", "Item", "Line", "Scene", "Text", "element", "look"]

Point = tuple[float, float]

# Light and dark. Blue and orange are told apart by every common kind of colour vision.
COLOURS = {
    "paper": ("#ffffff", "#14181d"),
    "soft": ("#eef2f7", "#232b34"),
    "warm": ("#fbe9d6", "#46301a"),
    "line": ("#c3cad3", "#4a5561"),
    "ink": ("#1c2430", "#e4e8ed"),
    "quiet": ("#5d6876", "#98a4b2"),
    "blue": ("#2468b4", "#6cb0f5"),
    "orange": ("#b85a06", "#f5a04c"),
}
TONE = {"plus": "blue", "minus": "orange", "value": "blue", "slope": "orange", "tick": "quiet", "ellipsis": "quiet"}
SIZES = {"heading": 13.0, "weight": 10.5, "ellipsis": 20.0, "small": 10.5, "large": 15.0}
EDGE = 8  # room around a drawing that stands alone
FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif'


@dataclass(frozen=True)
class Line:
    """A line through points; `bend` "v" or "h" rounds it, so that it leaves and arrives upright or level."""

    points: Sequence[Point]
    role: str = "edge"
    width: float = 1.4
    opacity: float = 1.0
    title: str = ""
    arrow: bool = False
    bend: str = ""

    def head(self, size: float = 7.0) -> list[Point]:
        """The triangle of the arrow, its tip first."""
        (x1, y1), (x0, y0) = self.points[-1], self.points[-2]
        if self.bend == "v":
            x0, y0 = x1, y1 + (1 if y0 > y1 else -1)
        elif self.bend == "h":
            x0, y0 = x1 + (1 if x0 > x1 else -1), y1
        length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
        along, across = (size * (x1 - x0) / length, size * (y1 - y0) / length), 0.42
        base = (x1 - along[0], y1 - along[1])
        return [(x1, y1), (base[0] - across * along[1], base[1] + across * along[0]),
                (base[0] + across * along[1], base[1] - across * along[0])]  # fmt: skip

    def shaft(self) -> list[Point]:
        """The points without what the arrow's head covers."""
        points = list(self.points)
        if self.arrow:
            tip, left, right = self.head()
            base = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
            points[-1] = (base[0] + 0.15 * (tip[0] - base[0]), base[1] + 0.15 * (tip[1] - base[1]))
        return points

    def controls(self) -> list[tuple[Point, Point, Point]]:
        """The rounded line as cubic curves after its first point: two control points and an end for each."""
        points = self.shaft()
        curves = []
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            if self.bend == "v":
                curves.append(((x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2), (x1, y1)))
            else:
                curves.append((((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1), (x1, y1)))
        return curves


@dataclass(frozen=True)
class Placed:
    """What stands at a place, in pixels from the left and from above."""

    x: float
    y: float


@dataclass(frozen=True)
class Circle(Placed):
    """A circle. `tone` is the role of a tint over it, `share` how strong; `title` is read under the mouse."""

    r: float
    role: str = "unit"
    tone: str = ""
    share: float = 0.0
    title: str = ""


@dataclass(frozen=True)
class Box(Placed):
    """A rectangle from its upper left corner, with round corners of `radius`."""

    width: float
    height: float
    role: str = "box"
    radius: float = 0.0
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True)
class Text(Placed):
    """A line of text on its base line; `tex` is the same for LaTeX, where it is more than its letters."""

    text: str
    role: str = "label mid"
    tex: str = ""

    @property
    def size(self) -> float:
        """The height of the letters, in pixels."""
        return next((SIZES[r] for r in self.role.split() if r in SIZES), 12.0)


Item = Line | Circle | Box | Text


def look(item: Item) -> dict[str, str]:
    """What an item looks like when nobody else says so: the attributes of SVG, with the names of our colours."""
    roles = item.role.split()
    tone = next((TONE[r] for r in roles if r in TONE), "ink")
    if isinstance(item, Line):
        return {"fill": "none", "stroke": "line" if "frame" in roles else tone, "stroke-width": f"{item.width:.2f}"}
    if isinstance(item, Circle):
        return {"fill": "paper", "stroke": "ink", "stroke-width": "1.4"}
    if isinstance(item, Box):
        if "cell" in roles or "tint" in roles:
            fill = tone if "tint" in roles else "warm" if "marked" in roles else "paper"
            edge = "none" if "tint" in roles else tone if "marked" in roles else "line"
            return {"fill": fill, "stroke": edge, "stroke-width": "2" if "marked" in roles else "1"}
        if "label" in roles:
            return {"fill": "paper", "stroke": "none", "stroke-width": "0"}
        fill, stroke = ("soft", "line") if "leaf" in roles else ("paper", "blue")
        return {"fill": fill, "stroke": stroke, "stroke-width": "2" if "output" in roles else "1.3"}
    found = {"fill": tone, "stroke": "none", "font-size": f"{item.size:g}"}
    if "heading" in roles or "bold" in roles:
        found["font-weight"] = "600"
    if "mid" in roles or "end" in roles:
        found["text-anchor"] = "middle" if "mid" in roles else "end"
    if "weight" in roles:
        found |= {"stroke": "paper", "stroke-width": "5", "paint-order": "stroke", "stroke-linejoin": "round"}
    return found


@dataclass
class Scene:
    """A drawing `width` by `height` pixels; `spoken` says what it shows to who cannot see it."""

    width: float
    height: float
    spoken: str
    items: list[Item] = field(default_factory=list)

    def add(self, *items: Item) -> None:
        """Put items on top of those there."""
        self.items.extend(items)

    def svg(self, kind: str = "", style: str = "") -> str:
        """The drawing as SVG: a whole file, or with `kind` an element of that class, for a page that styles it."""
        edge = 0 if kind else EDGE
        width, height = f"{self.width + 2 * edge:.0f}", f"{self.height + 2 * edge:.0f}"
        box = f'viewBox="{-edge} {-edge} {width} {height}"'
        label = f'role="img" aria-label="{plain(self.spoken)}"'
        paper = f'fill="{COLOURS["paper"][0]}"'
        inside = "".join(element(item, not kind) for item in self.items)
        if kind:
            styled = f' style="{style}"' if style else ""
            return f'<svg class="{kind}" {label} {box}{styled}>{inside}</svg>'
        dark = "".join(f".kedja .f-{n}{{fill:{d}}}.kedja .s-{n}{{stroke:{d}}}" for n, (_, d) in COLOURS.items())
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="kedja" {label} width="{width}" '
            f'height="{height}" {box} style="max-width:100%;height:auto" font-family="{plain(FONT)}">'
            f"<title>{plain(self.spoken)}</title>"
            f"<style>@media (prefers-color-scheme:dark){{{dark}}}.kedja g:hover .edge{{stroke-opacity:1}}</style>"
            f'<rect class="f-paper" x="{-edge}" y="{-edge}" width="100%" height="100%" {paper}/>{inside}</svg>\n'
        )


def element(item: Item, alone: bool = True) -> str:
    """One item in SVG; `alone`: with its own colours."""
    title = "" if isinstance(item, Text) or not item.title else f"<title>{plain(item.title)}</title>"
    shown = _attributes(item, alone)
    if isinstance(item, Line):
        return _line(item, shown, title, alone)
    if isinstance(item, Circle):
        place = f'cx="{item.x:g}" cy="{item.y:.1f}" r="{item.r:g}"'
        tint = ""
        if item.tone:
            tone = item.tone.split()[-1]
            paint = f' fill="{COLOURS[TONE[tone]][0]}"' if alone else ""
            kind = f"tone {tone}{f' f-{TONE[tone]}' if alone else ''}"
            tint = f'<circle class="{kind}" {place} fill-opacity="{item.share:.2f}"{paint}/>'
        return f"<g>{title}<circle {shown} {place}/>{tint}</g>"
    if isinstance(item, Box):
        place = f'x="{item.x:.1f}" y="{item.y:.1f}" width="{item.width:.1f}" height="{item.height:.1f}"'
        round_ = f' rx="{item.radius:g}"' if item.radius else ""
        thin = f' fill-opacity="{item.opacity:.2f}"' if item.opacity < 1 else ""
        return f"<rect {shown} {place}{round_}{thin}>{title}</rect>"
    return f'<text {shown} x="{item.x:.1f}" y="{item.y:.1f}">{plain(item.text)}</text>'


def _attributes(item: Item, alone: bool) -> str:
    if not alone:
        return f'class="{item.role}"'
    found, classes = look(item), [item.role]
    for name, mark in (("fill", "f"), ("stroke", "s")):
        colour = found.get(name)
        if colour in COLOURS:
            classes.append(f"{mark}-{colour}")
            found[name] = COLOURS[colour][0]
    if isinstance(item, Line):
        del found["stroke-width"]  # its own
    return f'class="{" ".join(classes)}" ' + " ".join(f'{k}="{v}"' for k, v in found.items())


def _line(line: Line, shown: str, title: str, alone: bool) -> str:
    points = line.shaft()
    d = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    if line.bend:
        d += "".join("C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in curve) for curve in line.controls())
    else:
        d += "".join(f"L{x:.1f} {y:.1f}" for x, y in points[1:])
    drawn = f'<path {shown} d="{d}" stroke-width="{line.width:.2f}" stroke-opacity="{line.opacity:.2f}">{title}</path>'
    if line.arrow:
        colour = look(line)["stroke"]
        tip = " ".join(f"{x:.1f},{y:.1f}" for x, y in line.head())
        paint = f'class="head f-{colour}" fill="{COLOURS[colour][0]}"' if alone else 'class="head"'
        drawn = f'<g>{drawn}<polygon {paint} points="{tip}"/></g>'
    return drawn
