"""What convolutions see: the maps they make of one image, and the filters they make them with (scope 2.5, 10)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, GraphError, ShapeError, one_of
from kedja.explain.pictures.layouts import channels_axes, channels_axis
from kedja.explain.pictures.marks import number
from kedja.explain.pictures.passing import as_model, batched, passed
from kedja.explain.pictures.picture import Plotted, returned, signed
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor
from kedja.graph.variables import Variable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FeatureMaps", "Filters", "feature_maps", "filters"]

MOST_MAPS, MOST_FILTERS, COLUMNS = 16, 32, 16


class FeatureMaps(Plotted):
    """One image and the maps of every layer: `maps` by path, (height, width, channels) or (steps, channels)."""

    def __init__(self, image: Array, maps: dict[str, Array], most: int) -> None:
        self.image, self.maps, self.most = image, maps, most
        widest = max(min(most, m.shape[-1]) for m in maps.values())
        self.columns = max(min(widest, COLUMNS), 8)
        rows = sum(_rows(m, most) for m in maps.values())
        self.figure_size = (1.6 + 0.62 * self.columns, 0.72 * rows + 0.34 * len(maps) + 1.2)

    @property
    def table(self) -> Table:
        """Each layer's maps, and how far their numbers reach."""
        rows = [
            (name, "×".join(map(str, m.shape)), number(float(m.min()), 3), number(float(m.max()), 3),
             f"{100 * float((m == 0).mean()):.0f} %")
            for name, m in {_("image"): self.image, **self.maps}.items()
        ]  # fmt: skip
        return Table((_("layer"), _("maps"), _("least"), _("most"), _("zeros")), rows, right=(2, 3, 4))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the image and the maps."""
        return {"image": self.image.tolist(), "maps": {name: m.tolist() for name, m in self.maps.items()}}

    def paint(self, figure: Figure) -> None:
        heights = [1.5, *(_rows(m, self.most) + 0.45 for m in self.maps.values())]
        parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
        grid = parts[0].add_gridspec(1, self.columns)
        ax = parts[0].add_subplot(grid[:, : 3 if self.image.ndim == 3 else self.columns])
        ax.set_anchor("W")
        _image(ax, self.image)
        ax.set_title(_("image, {shape}").format(shape="×".join(map(str, self.image.shape))), fontsize=9, loc="left")
        for part, (name, m) in zip(parts[1:], self.maps.items(), strict=True):
            count = min(self.most, m.shape[-1])
            of = "" if count == m.shape[-1] else _(", the first {n}").format(n=count)
            shape = "×".join(map(str, m.shape))
            part.suptitle(f"{name}, {shape}{of}", x=0.01, ha="left", fontsize=9, fontweight="bold")
            low, high = float(m.min()), float(m.max())
            colours: dict[str, Any] = {"cmap": signed(), "vmin": -max(-low, high), "vmax": max(-low, high)}
            if low >= 0:
                colours = {"cmap": "cividis", "vmin": 0.0, "vmax": high or 1.0}
            if m.ndim == 2:
                panel = part.subplots()
                panel.imshow(m[:, :count].T, aspect="auto", **colours)
                panel.set(ylabel=_("channel"))
                panel.tick_params(labelsize=7)
                continue
            for k, panel in enumerate(np.ravel(part.subplots(_rows(m, self.most), self.columns))):
                panel.axis("off")
                if k < count:
                    panel.imshow(m[..., k], **colours)


def feature_maps(
    model: Any, image: Any, layers: str | Sequence[str] | None = None, *, most: int = MOST_MAPS,
    path: str | os.PathLike[str] | None = None,
) -> FeatureMaps:  # fmt: skip
    """The maps that a model's layers make of one image (height, width, channels), or series (steps, features).

    By default of every layer whose output still has places; `layers` names some. Of each the first `most` channels are
    drawn, all on one scale: from 0 (dark) up, or where there are negative numbers orange below 0 and blue above.

    Raises GraphError for a model without such a layer, DataError for more than one image.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Conv2D(2, 3, "relu"), kj.nn.MaxPool2D(2), kj.nn.Flatten(), kj.nn.Dense(3)])
    >>> found = feature_maps(net.build((None, 6, 6, 1), seed=0), np.eye(6)[..., None])
    >>> {name: m.shape for name, m in found.maps.items()}
    {'conv2d_1': (4, 4, 2), 'max_pool2d_1': (2, 2, 2)}
    """
    model = as_model(model, "feature_maps")
    shapes = model.input_shapes or model.known_shapes()
    given = np.asarray(image.numpy() if isinstance(image, Tensor) else image)
    if shapes and given.ndim == len(shapes[0]) - 2 and shapes[0][-1] == 1:
        given = given[..., None]  # a grey image without the axis of its one channel
    given = batched(model, given)
    if len(given) != 1:
        raise DataError(f"feature_maps shows one image at a time, and got {len(given)}: give images[0]")
    found = passed(model, given, who="feature_maps")
    known = {c.path: c.output for c in found.calls}
    wanted = [layers] if isinstance(layers, str) else list(layers or [p for p, n in known.items() if n.ndim in (3, 4)])
    for name in wanted:
        if name not in known:
            raise one_of("layer", name, known)
        if known[name].ndim not in (3, 4):
            raise ShapeError(
                f'feature_maps: "{name}" gives {known[name].shape[1:]} for an image, which is no map; '
                "kj.explain.responses shows single neurons"
            )
    if not wanted:
        raise GraphError(
            "feature_maps: no layer of the model makes maps, as a convolution does; see kj.explain.responses"
        )
    axes = channels_axes(found.output)
    first = channels_axis(found.inputs[0], found.output, axes) == 1
    shown = np.moveaxis(given[0], 0, -1) if first and given.ndim > 2 else given[0]
    maps = {}
    for name in wanted:
        axis = channels_axis(known[name], found.output, axes)
        maps[name] = np.moveaxis(np.asarray(known[name].numpy()), axis, -1)[0]
    return returned(FeatureMaps(shown, maps, most), path)


class Filters(Plotted):
    """The kernels of one convolution, `kernel` (*sizes, channels in, filters)."""

    def __init__(self, layer: str, kernel: Array, most: int, coloured: bool = False) -> None:
        self.layer, self.kernel, self.most = layer, kernel, most
        self.coloured = coloured
        self.separate = 1 if self.coloured or kernel.ndim == 3 else min(kernel.shape[-2], 8)
        shown = min(most, kernel.shape[-1])
        self.columns = min(shown, 8 if self.separate == 1 else COLUMNS)
        self.rows = math.ceil(shown / self.columns) if self.separate == 1 else self.separate
        self.figure_size = (1.6 + 0.72 * max(self.columns, 4), 0.8 + 0.74 * self.rows)

    @property
    def table(self) -> Table:
        """Each filter drawn: its length, and how far its weights reach."""
        rows = []
        for j in range(min(self.most, self.kernel.shape[-1])):
            w = self.kernel[..., j]
            rows.append((str(j + 1), *(number(float(v), 3) for v in (np.linalg.norm(w), w.min(), w.max()))))
        return Table((_("filter"), _("length"), _("least"), _("most")), rows, right=(1, 2, 3))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the kernel."""
        return {"layer": self.layer, "kernel": self.kernel.tolist()}

    def paint(self, figure: Figure) -> None:
        kernel, shape = self.kernel, "×".join(map(str, self.kernel.shape[:-2]))
        title = _("filters of {layer}: {shape}, channels {n} → {m}").format(
            layer=self.layer, shape=shape, n=kernel.shape[-2], m=kernel.shape[-1]
        )
        figure.suptitle(title, x=0.01, ha="left", fontsize=9, fontweight="bold")
        reach = float(np.abs(kernel).max()) or 1.0
        axes = np.atleast_2d(figure.subplots(self.rows, self.columns, squeeze=False))
        shown = min(self.most, kernel.shape[-1])
        image: Any = None
        for ax in axes.ravel():
            ax.set(xticks=[], yticks=[])
            ax.axis("off")
        for row in range(self.rows):
            for column in range(self.columns):
                j = column if self.separate > 1 else row * self.columns + column
                if j >= shown:
                    continue
                ax = axes[row, column]
                ax.axis("on")
                if self.coloured:
                    ax.imshow(0.5 + kernel[..., j] / (2 * reach))
                else:
                    part = kernel[..., j].T if kernel.ndim == 3 else kernel[:, :, row if self.separate > 1 else 0, j]
                    image = ax.imshow(
                        part, cmap=signed(), vmin=-reach, vmax=reach, aspect="auto" if kernel.ndim == 3 else 1
                    )
                if row == 0 or self.separate == 1:
                    ax.set_title(str(j + 1), fontsize=7, pad=2)
                if self.separate > 1 and column == 0:
                    ax.set_ylabel(_("in {n}").format(n=row + 1), fontsize=7)
        if image is not None:
            figure.colorbar(image, ax=axes.ravel().tolist(), label=_("weight"), shrink=0.9)


def filters(
    model: Any, layer: str | None = None, *, most: int = MOST_FILTERS, path: str | os.PathLike[str] | None = None
) -> Filters:
    """The filters of a convolution as small images: blue is positive, orange negative, white zero, one scale for all.

    `layer`: its path; by default the first. A filter on an image of three channels is shown in colours (grey is
    zero), of other numbers a row for each channel in, eight at most; of a series, a row for each channel and a column
    for each step.

    Raises GraphError where there is no convolution.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Conv2D(4, 3)]).build((None, 8, 8, 1), seed=0)
    >>> filters(net).kernel.shape, len(filters(net, most=2).table.rows)
    ((3, 3, 1, 4), 2)
    """
    model = as_model(model, "filters")
    model.expect_weights()
    known: dict[str, Array] = {}
    for name, inner in model.layers_by_path():
        for part, variable in inner.members():
            if not isinstance(variable, Variable) or variable.ndim not in (3, 4):
                continue
            if getattr(inner, "op_type", "") == "Conv":
                known.setdefault(name, np.moveaxis(np.asarray(variable.value), (0, 1), (-1, -2)))  # from ONNX's order
            elif "kernel" in part and "Conv" in type(inner).__name__:
                known.setdefault(name, np.asarray(variable.value))
    if not known:
        raise GraphError("filters: the model has no convolution; kj.explain.draw_network shows dense layers' weights")
    if layer is not None and layer not in known:
        raise one_of("convolution", layer, known)
    name = layer or next(iter(known))
    shapes = model.input_shapes or model.known_shapes()
    colours = (
        bool(shapes) and 3 in (shapes[0][-1], shapes[0][1]) and known[name].ndim == 4 and known[name].shape[-2] == 3
    )
    return returned(Filters(name, known[name], most, colours and name == next(iter(known))), path)


def _rows(m: Array, most: int) -> int:
    return math.ceil(min(most, m.shape[-1]) / COLUMNS) if m.ndim == 3 else 1


def _image(ax: Axes, image: Array) -> None:
    ax.axis("off")
    if image.ndim == 2:
        ax.imshow(image.T, aspect="auto", cmap="cividis")
        return
    if image.shape[-1] in (3, 4):
        low, high = min(float(image.min()), 0.0), max(float(image.max()), 1.0)
        ax.imshow((image - low) / (high - low))
    else:
        ax.imshow(image[..., 0], cmap="gray")
