"""Charts as inline SVG, drawn without any library: curves, scatter plots, histograms.

Colours are CSS classes (`s0`, `s1`, `axis`, …), which the page that holds the chart defines for light and dark.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kedja.explain.pictures.marks import SUPERSCRIPT, number, plain

__all__ = ["curves", "downsample", "histogram", "number", "plain", "scatter", "ticks"]

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 54, 24, 34, 40
HOVER_STRIPS = 100  # places along the x axis that answer the mouse; each costs about 200 bytes


def ticks(low: float, high: float, about: int = 6, *, whole: bool = False) -> list[float]:
    """Round places from `low` to `high`: steps of 1, 2 or 5 times a power of ten.

    >>> ticks(0, 1), ticks(1, 20, whole=True)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [5.0, 10.0, 15.0, 20.0])
    """
    span = high - low
    if not 1e-300 < span < math.inf:  # nothing between, or too little or too much for steps to be computed
        return [low]
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * m for m in (1, 2, 5, 10) if power * m * about >= span * 0.8)
    if whole:
        step = max(1.0, round(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    places = [float(f"{index * step:.12g}") for index in range(first, last + 1)]
    return [place for place in places if low - 1e-9 * span <= place <= high + 1e-9 * span]


def downsample(x: np.ndarray, y: np.ndarray, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points that look like all of them: each bucket's smallest and largest, so no spike is lost.

    >>> x, y = downsample(np.arange(100_000), np.eye(1, 100_000, 777).ravel())
    >>> len(x) <= 400, float(y.max())
    (True, 1.0)
    """
    if len(x) <= most:
        return x, y
    edges = np.linspace(0, len(x), (most - 2) // 2 + 1).astype(int)
    keep = {0, len(x) - 1}
    for start, end in itertools.pairwise(edges):
        keep |= {start + int(y[start:end].argmin()), start + int(y[start:end].argmax())}
    places = np.array(sorted(keep))
    return x[places], y[places]


def curves(
    title: str, x: np.ndarray, lines: Mapping[str, np.ndarray], *, x_label: str = "epoch", log: bool | None = None
) -> str:
    """Lines over `x`, one per entry of `lines`; the y axis is logarithmic when they span more than two decades.

    >>> svg = curves("loss", np.array([1, 2, 3]), {"training": np.array([0.9, 0.4, 0.2])})
    >>> svg.startswith("<svg"), "epoch 2" in svg
    (True, True)
    """
    x = np.asarray(x, dtype=float)
    shown = {}
    for name, y in lines.items():
        y = _drawable(y)
        finite = np.isfinite(y)  # a metric measured now and then is still one line
        shown[name] = (x[finite], y[finite])
    values = np.concatenate([y for _, y in shown.values()]) if shown else np.array([])
    if not values.size:
        return f'<p class="quiet">{plain(title)}: no finite value was measured.</p>'
    if log is None:
        log = bool(values.min() > 0 and values.max() > 100 * values.min())
    log = log and bool(values.min() > 0)
    to_y = np.log10 if log else np.asarray
    low, high = _roomy(float(to_y(values.min())), float(to_y(values.max())))
    if not log and values.min() >= 0:
        low = max(low, 0.0)
    frame = _Frame((x.min(), x.max()), (low, high))
    if log:
        powers = list(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1))
        powers = powers[:: max(1, math.ceil(len(powers) / 6))]
        y_ticks = {float(p): f"10{str(p).translate(SUPERSCRIPT)}" if abs(p) > 2 else number(10.0**p) for p in powers}
    else:
        y_ticks = {tick: number(tick) for tick in ticks(low, high)}
    body = [frame.axes({tick: number(tick) for tick in ticks(*frame.x, whole=True)}, y_ticks, x_label)]
    spoken = []
    for index, (name, (xs, ys)) in enumerate(shown.items()):
        if not len(xs):
            continue
        spoken.append(f"{name} from {number(ys[0])} to {number(ys[-1])}")
        px, py = downsample(frame.across(xs), frame.up(to_y(ys)))
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True))
        body.append(f'<polyline class="line s{index}" points="{points}"/>')
        if len(xs) <= 12:
            body += [
                f'<circle class="dot s{index}" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>' for a, b in zip(px, py, strict=True)
            ]
    body.append(_strips(frame, x, lines, to_y, x_label))
    legend = list(lines) if len(lines) > 1 else []
    return _svg(f"{title}: {'; '.join(spoken)}", title + (" (logarithmic)" if log else ""), legend, body)


def _strips(
    frame: _Frame, x: np.ndarray, lines: Mapping[str, np.ndarray], to_y: Callable[[Any], Any], x_label: str
) -> str:
    """Invisible columns over the chart; under the mouse one shows its points and tells their values."""
    places = np.unique(np.linspace(0, len(x) - 1, min(len(x), HOVER_STRIPS)).round().astype(int))
    centres = frame.across(x[places])
    borders = np.concatenate([[frame.left], (centres[:-1] + centres[1:]) / 2, [frame.right]])
    strips = []
    for place, centre, start, end in zip(places, centres, borders[:-1], borders[1:], strict=True):
        told, dots = [f"{x_label} {number(x[place])}"], ""
        for index, (name, y) in enumerate(lines.items()):
            told.append(f"{name} {number(float(y[place]))}")
            height = _drawable(y[place])
            if np.isfinite(height):
                dots += f'<circle class="dot s{index}" cx="{centre:.1f}" cy="{frame.up(to_y(height)):.1f}" r="3.6"/>'
        area = f'x="{start:.1f}" y="{TOP}" width="{end - start:.1f}" height="{frame.bottom - TOP}"'
        rule = f'<path class="rule" d="M{centre:.1f} {TOP}V{frame.bottom}"/>'
        strips.append(f'<g class="at"><title>{plain(chr(10).join(told))}</title><rect {area}/>{rule}{dots}</g>')
    return "".join(strips)


def scatter(title: str, x: np.ndarray, y: np.ndarray, *, x_label: str, y_label: str, most: int = 600) -> str:
    """Points with the diagonal on which a prediction y equals the truth x; at most `most`, evenly chosen.

    >>> scatter("fit", np.array([1.0, 2.0]), np.array([1.1, 1.8]), x_label="true", y_label="predicted").count("<circle")
    2
    """
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = _drawable(x[finite]), _drawable(y[finite])
    if not x.size:
        return f'<p class="quiet">{plain(title)}: there is no finite point to draw.</p>'
    span = _roomy(float(min(x.min(), y.min())), float(max(x.max(), y.max())))
    frame = _Frame(span, span)
    marks = {tick: number(tick) for tick in ticks(*span)}
    body = [frame.axes(marks, marks, x_label, y_label)]
    ends = frame.across(np.array(span)), frame.up(np.array(span))
    body.append(f'<path class="diagonal" d="M{ends[0][0]:.1f} {ends[1][0]:.1f}L{ends[0][1]:.1f} {ends[1][1]:.1f}"/>')
    for place in np.unique(np.linspace(0, len(x) - 1, min(len(x), most)).round().astype(int)):
        told = f"{x_label} {number(float(x[place]))}, {y_label} {number(float(y[place]))}"
        centre = f'cx="{frame.across(x[place]):.1f}" cy="{frame.up(y[place]):.1f}"'
        body.append(f'<circle class="point s0" {centre} r="3.2"><title>{plain(told)}</title></circle>')
    chosen = f"{min(len(x), most):,} of {len(x):,} rows" if len(x) > most else f"{len(x):,} rows"
    return _svg(f"{title}: {y_label} against {x_label}, {chosen}; on the diagonal both are equal", title, [], body)


def histogram(title: str, values: np.ndarray, *, x_label: str, bins: int = 24) -> str:
    """How often values fall where, with a mark at zero.

    >>> histogram("errors", np.array([-1.0, 0.0, 0.0, 2.0]), x_label="error").count('class="bar')
    24
    """
    values = _drawable(values[np.isfinite(values)])
    if not values.size:
        return f'<p class="quiet">{plain(title)}: there is no finite value to count.</p>'
    reach = float(np.abs(values).max()) or 1.0
    counts, edges = np.histogram(values, bins=bins, range=(-reach, reach))
    frame = _Frame((-reach, reach), (0, float(counts.max()) * 1.05))
    y_ticks = {tick: number(tick) for tick in ticks(*frame.y, whole=True)}
    body = [frame.axes({tick: number(tick) for tick in ticks(*frame.x)}, y_ticks, x_label, "rows")]
    for count, start, end in zip(counts, edges[:-1], edges[1:], strict=True):
        left, right, top = frame.across(start) + 0.6, frame.across(end) - 0.6, frame.up(count)
        told = f"{number(float(start), 3)} to {number(float(end), 3)}: {count:,} rows"
        area = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{frame.bottom - top:.1f}"'
        body.append(f'<rect class="bar s0" {area}><title>{plain(told)}</title></rect>')
    body.append(f'<path class="diagonal" d="M{frame.across(0.0):.1f} {TOP}V{frame.bottom}"/>')
    said = f"{title}: {len(values):,} rows, mean {number(float(values.mean()))}, at most {number(reach)} off"
    return _svg(said, title, [], body)


class _Frame:
    """The rectangle a chart is drawn in: data to pixels, and its axes."""

    left, right, bottom = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x = x if x[1] > x[0] else (x[0] - 0.5, x[1] + 0.5)
        self.y = y if y[1] > y[0] else (y[0] - 0.5, y[1] + 0.5)

    def across(self, x: Any) -> Any:
        return self.left + (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.right - self.left)

    def up(self, y: Any) -> Any:
        return self.bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.bottom - TOP)

    def axes(self, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str], x_label: str, y_label: str = "") -> str:
        parts = []
        for tick, label in y_ticks.items():
            y = self.up(tick)
            parts.append(f'<path class="grid" d="M{self.left} {y:.1f}H{self.right}"/>')
            parts.append(f'<text class="tick end" x="{self.left - 7}" y="{y + 3.8:.1f}">{plain(label)}</text>')
        for tick, label in x_ticks.items():
            x = self.across(tick)
            parts.append(f'<path class="axis" d="M{x:.1f} {self.bottom}v4"/>')
            parts.append(f'<text class="tick mid" x="{x:.1f}" y="{self.bottom + 17}">{plain(label)}</text>')
        parts.append(f'<path class="axis" d="M{self.left} {self.bottom}H{self.right}"/>')
        parts.append(
            f'<text class="tick mid" x="{(self.left + self.right) / 2}" y="{HEIGHT - 6}">{plain(x_label)}</text>'
        )
        if y_label:
            middle = (TOP + self.bottom) / 2
            turned = f'transform="translate(12 {middle}) rotate(-90)"'
            parts.append(f'<text class="tick mid" {turned}>{plain(y_label)}</text>')
        return "".join(parts)


def _drawable(values: Any) -> Any:
    """Numbers whose differences and ratios can be computed: a diverged run reaches 1e300."""
    values = np.asarray(values, dtype=float)
    tame = np.where(np.abs(values) < 1e-100, 0.0, np.clip(values, -1e100, 1e100))
    return np.where(np.isfinite(values), tame, np.nan)


def _roomy(low: float, high: float) -> tuple[float, float]:
    """A span with a little air around its ends, also where both are one number."""
    air = 0.04 * (high - low) or 0.1 * abs(high) or 0.5
    return low - air, high + air


def _svg(spoken: str, title: str, legend: Sequence[str], body: Sequence[str]) -> str:
    parts = [f'<text class="heading" x="0" y="15">{plain(title)}</text>']
    x = WIDTH - RIGHT
    for index in reversed(range(len(legend))):
        x -= 7 * len(legend[index])  # no browser is here to measure the text: 7 is a little more than it takes
        parts.append(f'<text class="tick" x="{x}" y="15">{plain(legend[index])}</text>')
        parts.append(f'<path class="line s{index}" d="M{x - 26} 11h20"/>')
        x -= 40
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg class="chart" role="img" aria-label="{plain(spoken)}" {box}>{"".join(parts)}{"".join(body)}</svg>'
