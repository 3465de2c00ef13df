"""Small pictures as inline SVG: curves, histograms, matrices, and the way of an optimiser down a valley.

Colours are CSS classes, which `style.css` defines for light and dark. A picture takes a few kB.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kedja.cli.charts import number, ticks

__all__ = ["Curve", "curves", "histogram", "matrix", "valley"]

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 22
STEPS = 5  # strengths of colour in the picture of a matrix
Array = Any


class Curve(NamedTuple):
    """A line: its places, and the classes of its style (value, slope)."""

    x: Array
    y: Array
    style: str = "value"


class Frame:
    """Where numbers stand in a picture."""

    def __init__(self, low: tuple[float, float], high: tuple[float, float]) -> None:
        (self.x0, self.y0), (self.x1, self.y1) = low, high

    def x(self, values: Array) -> Array:
        """From left to right."""
        return LEFT + (np.asarray(values) - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT)

    def y(self, values: Array) -> Array:
        """From the bottom up."""
        return HEIGHT - BOTTOM - (np.asarray(values) - self.y0) / (self.y1 - self.y0) * (HEIGHT - TOP - BOTTOM)

    def axes(self) -> str:
        """Lines through 0 where it is inside, a frame at the left and below, and numbers at round places."""
        left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
        parts = [f'<path class="frame" d="M{left} {top}V{bottom}H{right}"/>']
        if self.x0 < 0 < self.x1:
            parts.append(f'<path class="zero" d="M{self.x(0):.1f} {top}V{bottom}"/>')
        if self.y0 < 0 < self.y1:
            parts.append(f'<path class="zero" d="M{left} {self.y(0):.1f}H{right}"/>')
        for place in ticks(self.x0, self.x1, 5):
            parts.append(f'<text class="middle" x="{self.x(place):.1f}" y="{HEIGHT - 7}">{number(place, 3)}</text>')
        for place in ticks(self.y0, self.y1, 4):
            parts.append(f'<text class="end" x="{LEFT - 5}" y="{self.y(place) + 3.5:.1f}">{number(place, 3)}</text>')
        return "".join(parts)

    def line(self, curve: Curve) -> str:
        """The curve, cut off at the frame; where it is not a number there is a gap."""
        height = self.y1 - self.y0
        y = np.where(np.isfinite(curve.y), np.clip(curve.y, self.y0 - height, self.y1 + height), np.nan)
        path, before = "", False
        points = thinned(np.asarray(self.x(curve.x)), np.asarray(self.y(y)))
        for px, py in points:
            if np.isnan(py):
                before = False
                continue
            path += f"{'L' if before else 'M'}{px:.4g} {py:.4g}"
            before = True
        return f'<path class="{curve.style}" d="{path}"/>'


def thinned(x: Array, y: Array) -> list[tuple[float, float]]:
    """As few of the points as draw the same line, to a sixth of a pixel (Ramer 1972; Douglas and Peucker 1973)."""
    kept = np.isnan(y) | np.isnan(np.append(y[1:], np.nan)) | np.isnan(np.append(np.nan, y[:-1]))
    ends = np.flatnonzero(kept)
    pieces = [(int(a), int(b)) for a, b in itertools.pairwise(ends) if b - a > 1]
    while pieces:
        a, b = pieces.pop()
        off = np.abs(y[a : b + 1] - np.interp(x[a : b + 1], [x[a], x[b]], [y[a], y[b]]))
        if off.max() > 1 / 6:
            middle = a + int(off.argmax())
            kept[middle] = True
            pieces += [piece for piece in ((a, middle), (middle, b)) if piece[1] - piece[0] > 1]
    return [(float(px), float(py)) for px, py in zip(x[kept], y[kept], strict=True)]


def svg(told: str, *parts: str, height: int = HEIGHT) -> str:
    """The picture; `told` is what it shows, for those who cannot see it."""
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return f'<svg class="kj-plot" role="img" aria-label="{html.escape(told)}" {size}>{"".join(parts)}</svg>'


def inside(*parts: str) -> str:
    """Parts that are cut off where the axes end."""
    w, h = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    box = f'x="{LEFT}" y="{TOP}" width="{w}" height="{h}" viewBox="{LEFT} {TOP} {w} {h}"'
    return f"<svg {box}>{''.join(parts)}</svg>"


def curves(drawn: Sequence[Curve], told: str, *, y_range: tuple[float, float] | None = None) -> str:
    """Lines in one frame, the first on top."""
    x = np.concatenate([c.x for c in drawn])
    if y_range is None:
        y = np.concatenate([np.asarray(c.y, float) for c in drawn])
        y = y[np.isfinite(y)]
        low, high = (float(y.min()), float(y.max())) if y.size else (0.0, 1.0)
        pad = 0.06 * (high - low) or 0.5
        y_range = low - pad, high + pad
    frame = Frame((float(x.min()), y_range[0]), (float(x.max()), y_range[1]))
    return svg(told, frame.axes(), inside(*(frame.line(c) for c in reversed(drawn))))


def histogram(values: Array, told: str, bins: int = 40) -> str:
    """How often numbers fall where."""
    flat = np.asarray(values, float).ravel()
    low, high = float(flat.min()), float(flat.max())
    pad = 0.08 * (high - low) or 1.0
    alone = low == high
    counts, edges = np.histogram(flat, 1 if alone else bins, (low - 0.05, low + 0.05) if alone else (low, high))
    share = counts / counts.sum()
    frame = Frame((low - pad, 0.0), (high + pad, float(share.max()) * 1.08))
    bottom = frame.y(0)
    path = "".join(
        f"M{frame.x(a):.1f} {bottom:.1f}V{frame.y(s):.1f}H{frame.x(b):.1f}V{bottom:.1f}z"
        for a, b, s in zip(edges, edges[1:], share)
        if s
    )
    return svg(told, frame.axes(), f'<path class="bars" d="{path}"/>')


def matrix(values: Array, told: str) -> str:
    """Numbers as squares: blue above 0, orange below, the stronger the larger; nothing for 0."""
    rows, columns = values.shape
    side = min(18.0, (WIDTH - 20) / columns, 190 / rows)
    x0, height = (WIDTH - side * columns) / 2, round(side * rows) + 12
    largest = float(np.abs(values).max()) or 1.0
    level = np.ceil(np.abs(values) / largest * STEPS - 1e-9).astype(int)
    paths = []
    for sign, style in ((1, "plus"), (-1, "minus")):
        for strength in range(1, STEPS + 1):
            places = np.argwhere((level == strength) & (np.sign(values) == sign))
            path = ""
            for i, j, n in runs(places):
                path += f"M{x0 + j * side:.4g} {6 + i * side:.4g}h{n * side:.3g}v{side:.3g}h{-n * side:.3g}z"
            if path:
                paths.append(f'<path class="{style}" fill-opacity="{strength / STEPS:.2g}" d="{path}"/>')
    frame = f'<rect class="edge" x="{x0:.1f}" y="6" width="{side * columns:.1f}" height="{side * rows:.1f}"/>'
    return svg(told, *paths, frame, height=height)


def runs(places: Array) -> list[tuple[int, int, int]]:
    """Places of a matrix, row by row, with those that touch made one: (row, first column, how many)."""
    found: list[tuple[int, int, int]] = []
    for i, j in places.tolist():
        if found and found[-1][0] == i and sum(found[-1][1:]) == j:
            found[-1] = (i, found[-1][1], found[-1][2] + 1)
        else:
            found.append((i, j, 1))
    return found


def valley(path: Array, told: str, *, steep: float, reach: tuple[float, float]) -> str:
    """The way of an optimiser over ½(x² + steep · y²): lines of equal height, and the points it came by."""
    frame = Frame((-reach[0], -reach[1]), reach)
    middle = float(frame.x(0)), float(frame.y(0))
    rings = []
    for height in np.geomspace(0.01, 1.0, 7) * (reach[0] ** 2 + steep * reach[1] ** 2) / 2:
        across, along = np.sqrt(2 * height), np.sqrt(2 * height / steep)
        rx, ry = float(frame.x(across)) - middle[0], middle[1] - float(frame.y(along))
        rings.append(f'<ellipse class="ring" cx="{middle[0]:.1f}" cy="{middle[1]:.1f}" rx="{rx:.1f}" ry="{ry:.1f}"/>')
    xs, ys = frame.x(path[:, 0]), frame.y(path[:, 1])
    line = "".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(zip(xs, ys, strict=True)))
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="1.8"/>' for x, y in zip(xs, ys, strict=True))
    return svg(told, frame.axes(), inside(*rings, f'<path class="way" d="{line}"/>', dots))
