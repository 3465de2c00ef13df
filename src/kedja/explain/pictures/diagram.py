"""Boxes with words, and arrows between them with labels: laid out in layers and put on a scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kedja.errors import one_of
from kedja.explain.pictures.layering import layered
from kedja.explain.pictures.marks import width_of
from kedja.explain.pictures.scene import Box, Line, Scene, Text

__all__ = ["Arrow", "Card", "Words", "diagram", "overlap"]

DIRECTIONS = ("up", "down", "right")
MARGIN, PAD, LEADING = 12.0, 9.0, 16.0
# Where along an arrow a label may stand, and how far beside it, in its own widths and heights.
TRIED = (0.36, 0.5, 0.28, 0.62, 0.72, 0.2, 0.8, 0.13, 0.87)
NUDGED = (
    (0.0, 0.0), (-0.15, 0.0), (0.15, 0.0), (-0.3, 0.0), (0.3, 0.0), (0.0, -0.3), (0.0, 0.3), (-0.45, 0.0), (0.45, 0.0),
    (0.0, -0.55), (0.0, 0.55), (-0.4, -0.4), (0.4, -0.4), (-0.4, 0.4), (0.4, 0.4),
)  # fmt: skip


class Words(NamedTuple):
    """A line of text in a box or at an arrow."""

    text: str
    role: str = "label"
    tex: str = ""


@dataclass
class Card:
    """A box: its lines of text, its role ("leaf", "output" or neither), and what is read under the mouse."""

    words: list[Words]
    role: str = ""
    title: str = ""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        widest = max((width_of(w.text, _size(w)) for w in self.words), default=0.0)
        return max(widest + 2 * PAD, 34.0), LEADING * len(self.words) + PAD


@dataclass
class Arrow:
    """From one card to another, with lines of text beside it."""

    start: int
    end: int
    words: list[Words] = field(default_factory=list)
    title: str = ""


def _size(words: Words) -> float:
    return Text(0, 0, words.text, words.role).size * (1.06 if "bold" in words.role.split() else 1.0)


def diagram(
    cards: Sequence[Card], arrows: Sequence[Arrow], spoken: str, direction: str = "up", caption: str = ""
) -> Scene:  # fmt: skip
    """The scene: first the arrows, then the boxes, then the labels of the arrows, which keep apart from each other."""
    if direction not in DIRECTIONS:
        raise one_of("direction", direction, DIRECTIONS)
    level = direction == "right"
    lines = max((len(a.words) for a in arrows), default=0)
    wide = max((_label_width(a) for a in arrows), default=0.0)
    between = 40.0 + (wide if level else LEADING * lines)
    room = [c.size[1 if level else 0] for c in cards]
    needed = [0.0] * len(cards)
    for arrow in arrows:  # labels stand near the box their arrow leaves, so it gets as much room as they need
        needed[arrow.start] += LEADING * len(arrow.words) if level else _label_width(arrow)
    room = [max(pair) for pair in zip(room, needed, strict=True)]
    sizes = [(r, c.size[0 if level else 1]) for r, c in zip(room, cards, strict=True)]
    layout = layered(sizes, [(a.start, a.end) for a in arrows], (24.0, between))
    width, height = (layout.height, layout.width) if level else (layout.width, layout.height)
    scene = Scene(width + 2 * MARGIN, height + 2 * MARGIN, spoken)
    if caption:
        scene.height += LEADING
        scene.width = max(scene.width, width_of(caption, 10.5) + 2 * MARGIN)
        scene.add(Text(MARGIN, scene.height - 0.6 * MARGIN, caption, "tick small"))
    left = (scene.width - width) / 2

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x, y = point
        if level:
            return left + y, MARGIN + x
        return left + x, MARGIN + (layout.height - y if direction == "up" else y)

    centres = [at(p) for p in layout.places]
    ends = _ports(cards, arrows, layout.places, layout.routes, level)
    shown = []
    for arrow, bends, (leaves, arrives) in zip(arrows, layout.routes, ends, strict=True):
        points = [_border(cards[arrow.start], centres[arrow.start], leaves, direction, leaving=True)]
        points += [at(b) for b in bends]
        points.append(_border(cards[arrow.end], centres[arrow.end], arrives, direction, leaving=False))
        shown.append(Line(points, "edge", 1.3, 0.8, arrow.title, arrow=True, bend="h" if level else "v"))
    scene.add(*shown)
    taken = []
    for card, (x, y) in zip(cards, centres, strict=True):
        w, h = card.size
        box = Box(x - w / 2, y - h / 2, w, h, f"box {card.role}".strip(), 6.0, title=card.title)
        taken.append((box.x, box.y, w, h))
        scene.add(box)
        for i, words in enumerate(card.words):
            base = y - h / 2 + PAD / 2 + LEADING * (i + 0.76)
            scene.add(Text(x, base, words.text, f"{words.role} mid", words.tex))
    for arrow, line in zip(arrows, shown, strict=True):
        _label(scene, arrow, line, taken)
    return scene


def _label_width(arrow: Arrow) -> float:
    return max((width_of(w.text, _size(w)) + 6 for w in arrow.words), default=0.0)


def _ports(
    cards: Sequence[Card], arrows: Sequence[Arrow], places: Sequence[tuple[float, float]],
    routes: Sequence[Sequence[tuple[float, float]]], level: bool,
) -> list[tuple[float, float]]:  # fmt: skip
    """How far from the middle of its boxes each arrow leaves and arrives, so that several do not meet in one point."""
    found = [[0.0, 0.0] for _ in arrows]
    for side in (0, 1):
        by_card: dict[int, list[int]] = {}
        for i, arrow in enumerate(arrows):
            by_card.setdefault((arrow.start, arrow.end)[side], []).append(i)
        for card, several in by_card.items():
            room = 0.62 * cards[card].size[1 if level else 0]

            def other(i: int, side: int = side) -> float:
                if routes[i]:
                    return routes[i][0 if side == 0 else -1][0]
                return places[(arrows[i].end, arrows[i].start)[side]][0]

            for k, i in enumerate(sorted(several, key=other)):
                step = min(22.0, room / len(several))
                found[i][side] = (k - (len(several) - 1) / 2) * step
    return [(a, b) for a, b in found]


def _border(
    card: Card, centre: tuple[float, float], shift: float, direction: str, *, leaving: bool
) -> tuple[float, float]:  # fmt: skip
    w, h = card.size
    x, y = centre
    if direction == "right":
        return x + (w / 2 if leaving else -w / 2), y + shift
    upper = leaving == (direction == "up")
    return x + shift, y + (-h / 2 if upper else h / 2)


def _label(scene: Scene, arrow: Arrow, line: Line, taken: list[tuple[float, float, float, float]]) -> None:
    if not arrow.words:
        return
    w = _label_width(arrow)
    h = LEADING * len(arrow.words) - 1
    places = [place for t in TRIED for place in _along(line, t)]
    boxes = [(x + (a - 0.5) * w, y + (b - 0.5) * h, w, h) for a, b in NUDGED for x, y in places]
    free = next((b for b in boxes if not any(overlap(b, other) for other in taken)), boxes[0])
    taken.append(free)
    scene.add(Box(*free, "label", 3.0, 0.88, title=arrow.title))
    for i, words in enumerate(arrow.words):
        base = free[1] + LEADING * (i + 0.74) - 0.5
        scene.add(Text(free[0] + w / 2, base, words.text, f"{words.role} mid", words.tex))


def _along(line: Line, t: float) -> list[tuple[float, float]]:
    """The points at the part t of each piece of a bent line, pieces in the middle first."""
    found, start = [], line.points[0]
    for a, b, end in line.controls():
        s = 1 - t
        weigh: Callable[[int], float] = lambda k: (  # noqa: E731 (the cubic of Bézier)
            s**3 * start[k] + 3 * s * s * t * a[k] + 3 * s * t * t * b[k] + t**3 * end[k]  # noqa: B023
        )
        found.append((weigh(0), weigh(1)))
        start = end
    middle = (len(found) - 1) / 2
    return [found[i] for i in sorted(range(len(found)), key=lambda i: abs(i - middle))]


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    """Whether two rectangles (x, y, width, height) have a part in common."""
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
