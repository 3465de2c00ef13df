"""A convolution step by step: the window moves over the input, products are added up (scope 2.5)."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from kedja.errors import DTypeError, ShapeError
from kedja.explain.pictures.marks import number, width_of
from kedja.explain.pictures.picture import Drawn, returned
from kedja.explain.pictures.scene import Box, Item, Scene, Text, element
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor, tensor
from kedja.ops import conv

__all__ = ["ConvolutionStep", "ConvolutionSteps", "convolution_steps"]

SHOWN, SHOWN_LARGE = 6, 4  # frames of the picture; every step is in the table, and in the animation
MOST_CELLS = 400
HEAD, GAP = 22.0, 30.0


class ConvolutionStep(NamedTuple):
    """One place of the output: the window it sees (zeros where padding is), the products with the kernel, their sum."""

    place: tuple[int, ...]
    window: Array
    products: Array
    sum: float


class ConvolutionSteps(Drawn):
    """All steps of a convolution of one channel: `steps`, `output`, and `padded`, the input with its padding."""

    def __init__(
        self, padded: Array, kernel: Array, before: tuple[int, ...], sizes: tuple[int, ...], stride: tuple[int, ...],
        dilation: tuple[int, ...], steps: list[ConvolutionStep], output: Array, flipped: bool,
    ) -> None:  # fmt: skip
        self.padded, self.kernel, self.before, self.sizes = padded, kernel, before, sizes
        self.stride, self.dilation, self.steps, self.output, self.flipped = stride, dilation, steps, output, flipped
        shown = self.scene
        self.figure_size = (shown.width / 72, shown.height / 72)

    @property
    def table(self) -> Table:
        """Every step with its products."""
        rows = []
        for s in self.steps:
            place = ", ".join(str(p + 1) for p in s.place)
            rows.append((place, self._written(s), number(s.sum)))
        return Table((_("place"), _("window · kernel"), _("sum")), rows, right=(2,))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: input, kernel, output and the steps."""
        return {
            "input": self.padded.tolist(), "kernel": self.kernel.tolist(), "output": self.output.tolist(),
            "steps": [
                {"place": list(s.place), "window": s.window.tolist(), "products": s.products.tolist(), "sum": s.sum}
                for s in self.steps
            ],
        }  # fmt: skip

    def frame(self, i: int) -> Scene:
        """The drawing of one step, counted from 0: the input with its window marked, the kernel, the output so far."""
        step = self.steps[i]
        place = ", ".join(str(p + 1) for p in step.place)
        spoken = _("Step {i} of {n}: output {place} is {sum}").format(
            i=i + 1, n=len(self.steps), place=place, sum=number(step.sum)
        )
        grids = [_grid(a) for a in (self.padded, self.kernel, self.output)]
        cell = max(26.0, 8 + max(width_of(_cell(v), 12) for a in grids for v in a.ravel()))
        scene = Scene(0, 0, spoken)
        at, reads = _grid_place(step.place), self._reads(step.place)
        known = set(_grid_place(s.place) for s in self.steps[: i + 1])
        titles = (
            _("input") if not any(self.before) and self.padded.shape == self.sizes else _("input, padded"),
            _("kernel, turned over") if self.flipped else _("kernel"), _("output"),
        )  # fmt: skip
        x, tallest = 2.0, max(a.shape[0] for a in grids) * cell
        signs = ("∗", "=", "")
        for k, (grid, title) in enumerate(zip(grids, titles, strict=True)):
            top = HEAD + (tallest - grid.shape[0] * cell) / 2
            width = max(grid.shape[1] * cell, width_of(title, 10.5))
            left = x + (width - grid.shape[1] * cell) / 2
            scene.add(Text(x + width / 2, top - 7, title, "tick small mid"))
            marked = (reads, {(r, c) for r in range(grid.shape[0]) for c in range(grid.shape[1])}, {at})[k]
            boxes: list[tuple[Box, Text | None]] = []
            for r in range(grid.shape[0]):
                for c in range(grid.shape[1]):
                    role = "cell marked minus" if (r, c) in marked and k != 1 else "cell"
                    text = _cell(grid[r, c]) if k < 2 or (r, c) in known else ""
                    faint = " tick" if k == 0 and self._is_padding(r, c) else ""
                    corner = (left + c * cell, top + r * cell)
                    label = Text(corner[0] + cell / 2, corner[1] + cell / 2 + 4.3, text, f"label mid{faint}")
                    boxes.append((Box(*corner, cell, cell, role), label if text else None))
            for box, written in sorted(boxes, key=lambda pair: "marked" in pair[0].role):
                scene.add(box, *([written] if written else []))
            x += width
            if signs[k]:
                scene.add(Text(x + GAP / 2, HEAD + tallest / 2 + 5, signs[k], "large mid"))
                x += GAP
        sums = f"{self._written(step)} = {number(step.sum)}"
        scene.width = max(x + 2, width_of(sums, 10.5) + 4)
        scene.height = HEAD + tallest + 22
        scene.add(Text(2, scene.height - 5, sums, "slope small"))
        return scene

    def _written(self, step: ConvolutionStep) -> str:
        """The products added up; of many the first."""
        pairs = list(zip(step.window.ravel(), self.kernel.ravel(), strict=True))
        products = [f"{(_signed if i else _cell)(a)}·{_signed(b)}" for i, (a, b) in enumerate(pairs)]
        return " + ".join(products if len(products) <= 9 else [*products[:8], "…"])

    def _reads(self, place: tuple[int, ...]) -> set[tuple[int, int]]:
        """The cells of the padded input that a place reads."""
        starts = [p * s for p, s in zip(place, self.stride, strict=True)]
        ranges = [
            [start + k * d for k in range(size)]
            for start, size, d in zip(starts, self.kernel.shape, self.dilation, strict=True)
        ]
        if len(ranges) == 1:
            return {(0, c) for c in ranges[0]}
        return {(r, c) for r in ranges[0] for c in ranges[1]}

    def _is_padding(self, r: int, c: int) -> bool:
        place = (c,) if len(self.sizes) == 1 else (r, c)
        return not all(b <= p < b + n for p, b, n in zip(place, self.before, self.sizes, strict=True))

    @property
    def scene(self) -> Scene:
        count, first = len(self.steps), self.frame(0)
        most = SHOWN if first.height < 200 else SHOWN_LARGE
        several = range(count) if count <= most else [*range(most - 1), count - 1]
        frames = [self.frame(i) for i in several]
        across = 2 if len(frames) > 2 and frames[0].width < 420 else 1
        spoken = _("A convolution step by step: {n} steps").format(n=len(self.steps))
        wide, tall = max(f.width for f in frames) + 26, max(f.height for f in frames) + 36
        rows = -(-len(frames) // across)
        scene = Scene(across * wide, rows * tall - 14, spoken)
        for k, (frame, i) in enumerate(zip(frames, several, strict=True)):
            dx, dy = 4 + (k % across) * wide, (k // across) * tall + 14
            scene.add(Text(dx, dy - 2, _("step {i} of {n}").format(i=i + 1, n=count), "heading"))
            scene.add(*_moved(frame, dx, dy + 6))
        return scene

    def animation(self, seconds: float = 1.0) -> str:
        """All steps as one SVG that moves by itself, without a script; each is seen for so many seconds."""
        frames = [self.frame(i) for i in range(len(self.steps))]
        width, height = max(f.width for f in frames), max(f.height for f in frames)
        whole = seconds * len(frames)
        part = 100 / len(frames)
        inside = "".join(
            f'<g class="step" style="animation-delay:{seconds * i:g}s">{_inner(frame, width, height)}</g>'
            for i, frame in enumerate(frames)
        )
        style = (
            f".step{{opacity:0;animation:seen {whole:g}s step-end infinite}}"
            f"@keyframes seen{{0%{{opacity:1}}{part:.4f}%{{opacity:0}}100%{{opacity:0}}}}"
        )
        outer = Scene(width, height, _("A convolution step by step: {n} steps").format(n=len(frames))).svg()
        return outer.replace("</style>", style + "</style>").replace("</svg>", inside + "</svg>")


def convolution_steps(
    x: Any, kernel: Any, *, stride: Any = 1, padding: Any = "valid", dilation: Any = 1, flip: bool = False,
    path: str | os.PathLike[str] | None = None,
) -> ConvolutionSteps:  # fmt: skip
    """Every step of a convolution of one channel: a row of numbers or a matrix `x`, and a `kernel` of as many axes.

    As in `kj.conv` the kernel is not turned over (cross-correlation); `flip=True` turns it over first, which is
    convolution in the mathematicians' sense. The picture shows the first steps and the last; `.table` has them all,
    `.animation()` is an SVG that goes through them, `.frame(i)` draws one.

    Raises ShapeError when the kernel does not fit or there is more to draw than can be read.
    Source: scope 2.5.

    >>> print(convolution_steps([1, 2, 3, 4], [1, -1]))
    place  window · kernel  sum
    ───────────────────────────
    1      1·1 + 2·(−1)      −1
    2      2·1 + 3·(−1)      −1
    3      3·1 + 4·(−1)      −1
    """
    numbers, weights = (np.asarray(v.numpy() if isinstance(v, Tensor) else v) for v in (x, kernel))
    for a, name in ((numbers, "x"), (weights, "the kernel")):
        if a.dtype.kind not in "fiub":
            raise DTypeError(f"convolution_steps: {name} holds numbers, got {a.dtype}")
        if a.ndim not in (1, 2) or not a.size:
            raise ShapeError(f"convolution_steps: {name} is a row of numbers or a matrix, got shape {a.shape}")
    if numbers.ndim != weights.ndim:
        raise ShapeError(
            f"convolution_steps: x has {numbers.ndim} axes and the kernel {weights.ndim}; give both as many"
        )
    numbers, weights = numbers.astype(np.float64), weights.astype(np.float64)
    if flip:
        weights = np.flip(weights)
    node = conv(
        tensor(numbers[None, ..., None], dtype="float64"), tensor(weights[..., None, None], dtype="float64"), stride,
        padding, dilation,
    )  # fmt: skip
    low, high = node.attrs["low"], node.attrs["high"]
    strides, dilations = node.attrs["stride"], node.attrs["dilation"]
    output = np.asarray(node.numpy())[0, ..., 0]
    padded = np.pad(numbers, list(zip(low, high, strict=True)))
    if padded.size > MOST_CELLS or output.size > MOST_CELLS:
        raise ShapeError(
            f"convolution_steps: an input of {padded.shape} with its padding is too large to be drawn cell by cell; "
            f"at most {MOST_CELLS} cells can be read"
        )
    steps = []
    for place in np.ndindex(output.shape):
        window = padded[
            tuple(
                slice(p * s, p * s + (k - 1) * d + 1, d)
                for p, s, k, d in zip(place, strides, weights.shape, dilations, strict=True)
            )
        ]
        steps.append(ConvolutionStep(place, window, window * weights, float(output[place])))
    found = ConvolutionSteps(
        padded, weights, tuple(low), numbers.shape, tuple(strides), tuple(dilations), steps, output, flip
    )
    return returned(found, path)


def _grid(a: Array) -> Array:
    return a[None] if a.ndim == 1 else a


def _grid_place(place: tuple[int, ...]) -> tuple[int, int]:
    return (0, place[0]) if len(place) == 1 else (place[0], place[1])


def _cell(value: float) -> str:
    return number(float(value), 3)


def _signed(value: float) -> str:
    shown = _cell(value)
    return f"({shown})" if shown.startswith("−") else shown


def _moved(scene: Scene, dx: float, dy: float) -> list[Item]:
    """The boxes and texts of a scene, elsewhere."""
    return [replace(i, x=i.x + dx, y=i.y + dy) for i in scene.items if isinstance(i, Box | Text)]


def _inner(scene: Scene, width: float, height: float) -> str:
    """A frame on paper of its own, so that nothing of another shines through."""
    return "".join(element(item) for item in (Box(0, 0, width, height, "label"), *scene.items))
