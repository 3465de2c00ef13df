"""The loss around the weights of a model: a curve along one direction, or a map over two, with the path of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, GraphError, ShapeError, one_of
from kedja.explain.pictures.marks import number
from kedja.explain.pictures.passing import as_model, passed
from kedja.explain.pictures.picture import BLUE, ORANGE, Plotted, quiet, returned
from kedja.explain.pictures.trail import Trail
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor, placeholder
from kedja.graph.trace import Graph
from kedja.graph.variables import Variable
from kedja.nn.layers.layer import trainable
from kedja.nn.model import Module
from kedja.train.evaluation import suited
from kedja.train.step import losses_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LossSurface", "loss_surface"]

Weights = dict[str, Array]
KINDS = ("random", "path")


class LossSurface(Plotted):
    """The loss at w + a·d₁ (+ b·d₂): `values` over `across` (and `up`), the second axis of the array along `across`.

    `directions` are d₁ and d₂, by the parameters' paths. `trail` are the places of a run in these coordinates, `shown`
    the part of its movement that lies in the plane (1: all of it).
    """

    def __init__(
        self, across: Array, up: Array | None, values: Array, directions: Sequence[Weights], trail: Array | None,
        shown: float | None, kind: str,
    ) -> None:  # fmt: skip
        self.across, self.up, self.values, self.directions = across, up, values, list(directions)
        self.trail, self.shown, self.kind = trail, shown, kind
        self.figure_size = (5.4, 4.2) if up is not None else (5.4, 3.4)

    @property
    def table(self) -> Table:
        """The loss at the weights, the lowest of the picture, and where it is."""
        best = np.unravel_index(int(np.nanargmin(self.values)), self.values.shape)
        at = [self.across[best[-1]]] + ([] if self.up is None else [self.up[best[0]]])
        place = ", ".join(number(float(v), 3) for v in at)
        rows = [(_("lowest"), number(float(self.values[best])), place)]
        rows.append((_("highest"), number(float(np.nanmax(self.values))), ""))
        if self.trail is not None and self.shown is not None:
            start = ", ".join(number(float(v), 3) for v in self.trail[0])
            rows.append((_("path from"), _("{share} of it is seen").format(share=f"{100 * self.shown:.0f} %"), start))
        return Table(("", _("loss"), _("place")), rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the places, the losses, and the path."""
        return {
            "across": self.across.tolist(), "up": None if self.up is None else self.up.tolist(),
            "values": self.values.tolist(), "trail": None if self.trail is None else self.trail.tolist(),
        }  # fmt: skip

    def paint(self, figure: Figure) -> None:
        ax = figure.add_subplot()
        names = (_("along d₁"), _("along d₂"))
        if self.kind == "path":
            names = (_("first direction of the path"), _("second direction of the path"))
        if self.up is None:
            ax.plot(self.across, self.values, color=BLUE, linewidth=1.8)
            at = float(np.interp(0.0, self.across, self.values))
            ax.plot([0], [at], "o", color=ORANGE, markersize=7, markeredgecolor="white")
            ax.annotate(_("the weights"), (0, at), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=8)
            quiet(ax, xlabel=names[0], ylabel=_("loss"))
            return
        filled = contours(ax, self.across, self.up, self.values)
        ticks = _ticks(filled.levels)
        bar = figure.colorbar(filled, ax=ax, label=_("loss"))
        bar.set_ticks(list(ticks), labels=list(ticks.values()))
        bar.ax.tick_params(labelsize=8)
        if self.trail is not None:
            ax.plot(*self.trail.T, color="white", linewidth=3.2)
            ax.plot(*self.trail.T, "-", color=ORANGE, linewidth=1.6, marker="o", markersize=2.6)
            ax.plot(*self.trail[0], "s", color=ORANGE, markersize=7, markeredgecolor="white", label=_("start"))
            ax.plot(*self.trail[-1], "*", color=ORANGE, markersize=13, markeredgecolor="white", label=_("end"))
            ax.legend(fontsize=8, framealpha=0.9)
        else:
            ax.plot([0], [0], "*", color=ORANGE, markersize=13, markeredgecolor="white", label=_("the weights"))
            ax.legend(fontsize=8, framealpha=0.9)
        title = ""
        if self.shown is not None:
            title = _("{share} of the path's movement lies in this plane").format(share=f"{100 * self.shown:.0f} %")
        quiet(ax, title, xlabel=names[0], ylabel=names[1])
        ax.set(xlim=(self.across[0], self.across[-1]), ylim=(self.up[0], self.up[-1]))


def contours(
    ax: Axes, across: Array, up: Array, values: Array, floor: float | None = None, light: bool = False
) -> Any:  # fmt: skip
    """Areas of equal height, dense where the values are low; low is dark. `floor` is the lowest value there is."""
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap

    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(np.quantile(finite, 0.98))
    base = low if floor is None else floor
    reach = max(high - base, 1e-12)
    first = max((low - base) / reach, 1e-4)
    steps = np.geomspace(max(first, 3e-4), 1, 18) if first < 0.3 else np.linspace(first, 1, 18)
    levels = np.unique(np.concatenate([[base], base + reach * steps]))
    shown = np.where(np.isfinite(values), values, high)
    colours: Any = "cividis"
    if light:
        colours = LinearSegmentedColormap.from_list("paper", ["#b4c2d3", "#ffffff"])
    style: dict[str, Any] = {"cmap": colours, "norm": BoundaryNorm(levels, 256, extend="max")}
    filled = ax.contourf(across, up, shown, levels=levels, extend="max", **style)
    ink = "#7d8a99" if light else "white"
    lines = ax.contour(across, up, shown, levels=levels[1::2], colors=ink, linewidths=0.4, alpha=0.7, zorder=1)
    for part in (filled, lines):
        part.set_rasterized(True)  # in an SVG thousands of corners would be larger than a small image
    return filled


def _ticks(levels: Sequence[float]) -> dict[float, str]:
    """Every other level, as far as it can be told from the one before."""
    found: dict[float, str] = {}
    for level in levels[::2]:
        text = number(float(level), 3)
        if text not in found.values():
            found[float(level)] = text
    return found


def loss_surface(
    model: Any, x: Any, y: Any, loss: Any = None, *, directions: Any = "random", dimensions: int | None = None,
    span: float | None = None, points: int = 41, trail: Any = None, seed: int = 0,
    path: str | os.PathLike[str] | None = None,
) -> LossSurface:  # fmt: skip
    """The loss of a model around its weights, over all examples, in inference and without penalties.

    `directions`: "random" draws them and gives each filter of a kernel the length that the model's own has, biases none
    (filter normalisation: what a direction does then does not depend on how weights are scaled); "path" takes those
    along which the run in `trail` moved most; or one or two directions of your own, each a list of arrays like
    `model.get_weights()` or a dict by path. `trail` is a `kj.explain.Trail` that was a callback of `fit`, or a list of
    such weights; its points are put where they lie nearest. `dimensions` 1 or 2; `span` is how far the picture reaches
    to both sides, in lengths of the directions.

    Raises ShapeError for directions that do not fit, DataError where there is no path to follow.
    Source: scope 10; Goodfellow, Vinyals, Saxe 2015 (lines); Li, Xu, Taylor, Studer, Goldstein 2018 (planes).

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(1, use_bias=False, init="zeros")]).build((None, 1))
    >>> found = loss_surface(net, [[1.0]], [[2.0]], "mse", directions=[[np.array([[1.0]])]], span=2, points=5)
    >>> found.across.tolist(), found.values.tolist()  # (2 - w)²
    ([-2.0, -1.0, 0.0, 1.0, 2.0], [16.0, 9.0, 4.0, 1.0, 0.0])
    """
    model = as_model(model, "loss_surface")
    found = passed(model, x, y, loss, who="loss_surface")
    assert found.loss is not None and found.target is not None
    parameters: dict[str, Variable] = trainable(model)
    here = {p: np.asarray(v.value, np.float64) for p, v in parameters.items()}
    steps = _steps(trail, here)
    if isinstance(directions, str):
        if directions not in KINDS:
            raise one_of("kind of direction", directions, KINDS)
        if directions == "path" and len(steps) < 2:
            raise DataError('directions="path" needs a run: trail=kj.explain.Trail() among the callbacks of fit')
        many = 2 if dimensions is None else dimensions
        if many not in (1, 2):
            raise DataError(f"a surface has 1 or 2 dimensions, got {dimensions!r}")
        kind = directions
        ways = _along(steps, here, many) if kind == "path" else [_random(here, seed, i) for i in range(many)]
    else:
        given = list(directions) if isinstance(directions, list | tuple) else [directions]
        ways, kind = [_like(d, here, "directions") for d in given], "own"
        if len(ways) not in (1, 2) or dimensions not in (None, len(ways)):
            raise DataError(f"directions are one or two, got {len(ways)}")
    trodden, shown = _projected(steps, here, ways) if steps else (None, None)
    spans = _spans(span, trodden, len(ways))
    axes = [np.linspace(*s, points) for s in spans]
    height = _Height(found.loss, model, found.inputs, found.target, parameters, points ** len(ways))
    if len(ways) == 1:
        values = np.array([height({p: here[p] + a * ways[0][p] for p in here}) for a in axes[0]])
        return returned(LossSurface(axes[0], None, values, ways, trodden, shown, kind), path)
    values = np.array(
        [[height({p: here[p] + a * ways[0][p] + b * ways[1][p] for p in here}) for a in axes[0]] for b in axes[1]]
    )
    return returned(LossSurface(axes[0], axes[1], values, ways, trodden, shown, kind), path)


class _Height:
    """The loss as a function of the weights: one program, whose variables are given other values."""

    def __init__(
        self, loss: Any, model: Module, x: Sequence[Tensor], t: Tensor, parameters: Mapping[str, Variable], times: int
    ) -> None:
        from kedja.ops import mean
        from kedja.ops import sum as total

        arrays = [n.numpy() for n in (*x, t)]
        nodes = [placeholder(a.shape, a.dtype) for a in arrays]
        each = losses_of(model, loss, nodes[-1], model(*nodes[:-1]))
        graph = Graph(nodes, [mean(each) if loss.reduction == "mean" else total(each)])
        self.program = suited("auto", graph, times).program(graph)
        self.arrays = [self.program.put(a) for a in arrays]
        self.paths = {v: p for p, v in parameters.items()}

    def __call__(self, weights: Weights) -> float:
        held = [
            weights[self.paths[v]].astype(v.dtype) if v in self.paths else v.raw for v in self.program.variables
        ]  # fmt: skip
        with np.errstate(all="ignore"):
            return float(self.program(held, self.arrays)[1][0])


def _like(given: Any, here: Weights, what: str) -> Weights:
    """Weights as a dict by path, from a dict or a list in the model's order."""
    if isinstance(given, Mapping):
        if missing := [p for p in given if p not in here]:
            raise one_of(f"parameter, in {what},", missing[0], here)
        arrays = {p: np.asarray(given[p], np.float64) if p in given else np.zeros_like(w) for p, w in here.items()}
    else:
        if not isinstance(given, list | tuple) or len(given) != len(here):
            shapes = ", ".join(f"{p} {w.shape}" for p, w in here.items())
            count = f"{len(given)} arrays" if isinstance(given, list | tuple) else type(given).__name__
            raise ShapeError(f"{what}: one array for each parameter ({shapes}), got {count}")
        arrays = {p: np.asarray(a, np.float64) for p, a in zip(here, given, strict=True)}
    for p, a in arrays.items():
        if a.shape != here[p].shape:
            raise ShapeError(f"{what}: {p} has shape {here[p].shape}, got {a.shape}")
    return arrays


def _steps(trail: Any, here: Weights) -> list[Weights]:
    if trail is None:
        return []
    points = trail.points if isinstance(trail, Trail) else trail
    if not isinstance(points, list | tuple):
        raise GraphError(f"trail is a kj.explain.Trail or a list of weights, got {type(trail).__name__}")
    return [_like(p, here, "trail") for p in points]


def _random(here: Weights, seed: int, i: int) -> Weights:
    """A normal direction, each filter as long as the model's own."""
    rng = np.random.default_rng([seed, i])
    found = {}
    for path, w in here.items():
        d = rng.normal(size=w.shape)
        if w.ndim < 2:
            found[path] = np.zeros_like(w)
            continue
        axes = tuple(range(w.ndim - 1))
        own, drawn = (np.sqrt(np.square(a).sum(axes, keepdims=True)) for a in (w, d))
        found[path] = d * own / drawn
    if not any(d.any() for d in found.values()):
        raise DataError("all weights are zero, so a filter-normalised direction has no length; give directions=[...]")
    return found


def _flat(weights: Weights) -> Array:
    return np.concatenate([w.ravel() for w in weights.values()])


def _along(steps: Sequence[Weights], here: Weights, many: int) -> list[Weights]:
    """The directions along which the run moved most, of length 1 (principal components about its end)."""
    moved = np.array([_flat(s) - _flat(here) for s in steps])
    _u, size, rows = np.linalg.svd(moved, full_matrices=False)
    if size[0] == 0:
        raise DataError('directions="path": the weights did not move')
    found = []
    for row in rows[:many]:
        at = np.cumsum([0, *(w.size for w in here.values())])
        cut = zip(here.items(), at, at[1:], strict=False)
        found.append({p: row[a:b].reshape(w.shape) for (p, w), a, b in cut})
    if len(found) < many:
        raise DataError(f'directions="path" of {many} dimensions needs at least {many} points, got {len(steps)}')
    return found


def _projected(steps: Sequence[Weights], here: Weights, ways: Sequence[Weights]) -> tuple[Array, float]:
    """Where the points of a run lie nearest in the plane, and the part of its movement that is in it."""
    moved = np.array([_flat(s) - _flat(here) for s in steps])
    plane = np.array([_flat(w) for w in ways]).T
    found, *_rest = np.linalg.lstsq(plane, moved.T, rcond=None)
    whole = float(np.square(moved).sum())
    left = float(np.square(moved.T - plane @ found).sum())
    return found.T, 1 - left / whole if whole else 1.0


def _spans(span: float | None, trodden: Array | None, many: int) -> list[tuple[float, float]]:
    if span is not None:
        if not span > 0:
            raise DataError(f"span is how far the picture reaches to both sides, above 0; got {span!r}")
        return [(-float(span), float(span))] * many
    if trodden is None:
        return [(-1.0, 1.0)] * many
    low, high = np.minimum(trodden.min(0), 0), np.maximum(trodden.max(0), 0)
    air = np.maximum(0.25 * (high - low), 0.05 * float((high - low).max()) + 1e-9)
    return [(float(a), float(b)) for a, b in zip(low - air, high + air, strict=True)]
