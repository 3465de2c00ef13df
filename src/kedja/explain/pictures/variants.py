"""What augmentation makes of an example: the example beside several of its variants (scope 5)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, GraphError, ShapeError
from kedja.explain.pictures.marks import number
from kedja.explain.pictures.picture import BLUE, FAINT, ORANGE, Plotted, returned
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor, bind, tensor
from kedja.nn.layers.augmentation.layer import _Augmentation
from kedja.nn.layers.call import watching
from kedja.nn.layers.dropout import GaussianNoise
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module
from kedja.ops import random

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Augmentations", "augmentations"]

COLUMNS, MOST = 8, 128
CHANGES = (_Augmentation, GaussianNoise)


class Augmentations(Plotted):
    """An example and what training sees of it: `original` and `variants` (n, …), images or series."""

    def __init__(self, original: Array, variants: Array, names: list[str]) -> None:
        self.original, self.variants, self.names = original, variants, names
        self.rows = math.ceil(len(variants) / COLUMNS)
        self.columns = math.ceil(len(variants) / self.rows)
        tall = 0.95 if original.ndim == 3 else 0.8
        self.figure_size = (1.5 + 0.95 * self.columns, max(1.0, tall * self.rows) + 0.5)

    @property
    def table(self) -> Table:
        """How far the numbers of each variant reach, and how far it is from the original where it has its form."""
        rows = []
        for i, y in enumerate([self.original, *self.variants]):
            off = np.abs(y - self.original).mean() if i and y.shape == self.original.shape else None
            away = "" if off is None else number(float(off), 3)
            rows.append((str(i) if i else _("original"), number(float(y.min()), 3), number(float(y.max()), 3), away))
        return Table((_("variant"), _("least"), _("most"), _("mean difference")), rows, right=(1, 2, 3))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the original, the variants and the layers that made them."""
        return {"layers": self.names, "original": self.original.tolist(), "variants": self.variants.tolist()}

    def paint(self, figure: Figure) -> None:
        figure.suptitle(" · ".join(self.names), x=0.01, ha="left", fontsize=9, fontweight="bold")
        grid = figure.add_gridspec(self.rows, self.columns + 1, width_ratios=[1.4, *(1.0,) * self.columns])
        first = figure.add_subplot(grid[:, 0])
        self.panel(first, self.original)
        first.set_title(_("original"), fontsize=8, color=ORANGE)
        for i, y in enumerate(self.variants):
            self.panel(figure.add_subplot(grid[i // self.columns, 1 + i % self.columns]), y)

    def panel(self, ax: Axes, y: Array) -> None:
        """One example: an image on the scale of the original, or a series with the original behind it."""
        low, high = float(self.original.min()), float(self.original.max())
        ax.set(xticks=[], yticks=[])
        if y.ndim == 2:
            room = 0.15 * (high - low or 1.0)
            ax.plot(self.original, color=FAINT, linewidth=0.6)
            ax.plot(y, color=ORANGE if y is self.original else BLUE, linewidth=0.9)
            ax.set_ylim(min(low, float(self.variants.min())) - room, max(high, float(self.variants.max())) + room)
        elif y.shape[-1] in (3, 4):
            ax.imshow(np.clip((y - min(low, 0.0)) / (max(high, 1.0) - min(low, 0.0)), 0, 1), interpolation="none")
        else:
            ax.imshow(y[..., 0], cmap="gray", vmin=low, vmax=high if high > low else low + 1, interpolation="none")


def augmentations(
    model: Any, x: Any, n: int = 16, *, seed: int = 0, path: str | os.PathLike[str] | None = None
) -> Augmentations:
    """An example and `n` of the variants in which training would see it: of one layer, or of all those in a model.

    `model`: a layer that changes examples in training (`kj.nn.RandomAffine` and the like), or a model with such layers,
    of which the picture shows what the last of them gives. `x` is one example, as the layer or the model takes it, with
    or without the axis of the rows; of several the first is shown. `layer.preview(x)` is the same.

    Raises GraphError for a model without such a layer, DataError unless n is a whole number from 1 to 128.

    >>> import kedja as kj
    >>> shown = augmentations(kj.nn.RandomShift(0.2), np.eye(6)[..., None], n=5)
    >>> shown.variants.shape, shown.original.shape
    ((5, 6, 6, 1), (6, 6, 1))
    >>> net = kj.Sequential([kj.nn.Reshape((6, 6, 1)), kj.nn.RandomFlip(), kj.nn.RandomCrop(4), kj.nn.Flatten()])
    >>> augmentations(net, np.eye(6).ravel(), n=3).variants.shape
    (3, 4, 4, 1)
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= MOST:
        raise DataError(f"augmentations: n is how many variants are drawn, a whole number from 1 to {MOST}; got {n!r}")
    if not isinstance(model, Layer):
        raise GraphError(f"augmentations is given a layer or a model, got {type(model).__name__}")
    inside = [model, *(layer for _path, layer in model.layers_by_path())]
    changing = [layer for layer in inside if isinstance(layer, CHANGES)]
    if not changing:
        raise GraphError(
            f"augmentations: {type(model).__name__} has no layer that changes examples, such as kj.nn.RandomAffine"
        )
    example = _example(model, changing[0], np.asarray(x.numpy() if isinstance(x, Tensor) else x))
    original, variants = _passed(model, changing, np.repeat(example, int(n), 0), seed)
    if original.ndim not in (3, 4):
        raise ShapeError(f"augmentations draws images and series; the examples are {original.shape[1:]}")
    return returned(Augmentations(original[0], variants, [repr(layer) for layer in changing]), path)


def _example(model: Layer, first: Layer, x: Array) -> Array:
    """One example with the axis of the rows, and with that of a grey image's one channel."""
    ranks = getattr(first, "ranks", ())
    if isinstance(model, Module):
        shapes = model.input_shapes or model.known_shapes()
        axes = len(shapes[0]) if shapes else 2 if x.ndim == 1 else x.ndim if x.ndim == 4 else 0
    else:
        image = x.ndim == 3 and x.shape[0] > 1 and x.shape[-1] in (1, 3, 4)
        axes = 4 if x.ndim == 4 or ranks == (4,) or image else 3
        if axes == 4 and x.ndim == 2:
            x = x[..., None]
    if axes and x.ndim == axes - 1:
        x = x[None]
    if not x.ndim or not len(x):
        raise DataError("augmentations: there is no example to show")
    return x[:1] if x.dtype.kind == "f" else x[:1].astype(np.float32)


class _Seen(Exception):
    """Every layer that changes examples was called: what comes after it does not matter."""


def _passed(model: Layer, changing: Sequence[Layer], x: Array, seed: int) -> tuple[Array, Array]:
    """What goes into the first layer that changes examples, and what comes out of the last."""
    ends: list[Tensor] = []

    def look(layer: Layer, path: str, inputs: Any, output: Any) -> None:
        if layer in changing:
            ends.extend([inputs[0], output])
            if len(ends) == 2 * len(changing):
                raise _Seen

    undo = None if model.built else model.restore_point()
    before = model.state.snapshot()  # of a batch norm that stands before it
    try:
        with watching(look):
            model(tensor(x, dtype=x.dtype), training=True, key=random.key(seed))
    except _Seen:
        pass
    finally:
        found = [np.asarray(end.numpy()) for end in ends]
        if undo is None:
            model.state.restore(before)
        else:
            undo()
    return found[0], found[-1]


def _preview(layer: Layer, x: Any, n: int = 16, *, seed: int = 0) -> Augmentations:
    """An example and `n` of the variants in which training would see it, as a picture: `kj.explain.augmentations`.

    >>> import kedja as kj
    >>> kj.nn.RandomFlip().preview(np.eye(6)[..., None], n=4).variants.shape
    (4, 6, 6, 1)
    """
    return augmentations(layer, x, n, seed=seed)


bind(_Augmentation, preview=_preview)
