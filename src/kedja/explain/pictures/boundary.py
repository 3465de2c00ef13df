"""What a model of two inputs answers everywhere: decision boundaries, and surfaces of regressions (scope 2.4, 10)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, GraphError, ShapeError, one_of
from kedja.explain.pictures.marks import number
from kedja.explain.pictures.picture import BLUE, INK, ORANGE, Plotted, quiet, returned
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor
from kedja.nn.model import Module

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Boundary", "boundary"]

KINDS = ("auto", "classes", "number")
MARKERS = "o^sDvPX*<>"
CLASSES = [BLUE, ORANGE, "#1a8a6b", "#8e4fa8", "#b8960c", "#46525e", "#c2407e", "#0f7f9c", "#7d8c2c", "#9b5b3c"]
MARGIN = 0.12


class Boundary(Plotted):
    """The answer of a model on a grid over two inputs, and the examples on it.

    `across` and `up` are the places along the axes; `field` is the answer there, (up, across): the probability of class
    1, the probability of the chosen class where there are several, or the number of a regression; `chosen` is the
    class (None for a regression). `x`, `y` are the examples, `answers` what the model says to them.
    """

    figure_size = (5.0, 4.2)

    def __init__(
        self, across: Array, up: Array, field: Array, chosen: Array | None, x: Array, y: Array | None,
        answers: Array, names: Sequence[str], labels: Sequence[str], scores: Array | None = None,
    ) -> None:  # fmt: skip
        self.across, self.up, self.field, self.chosen = across, up, field, chosen
        self.x, self.y, self.answers, self._scores = x, y, answers, scores
        self.names, self.labels = list(names), list(labels)

    @property
    def table(self) -> Table:
        """The examples: of each class how many, and how many are answered rightly; or how far a regression is off."""
        if self.chosen is None:
            rows = [(_("answers"), number(float(self.field.min()), 3), number(float(self.field.max()), 3))]
            if self.y is not None:
                rows.append((_("targets"), number(float(self.y.min()), 3), number(float(self.y.max()), 3)))
            return Table(("", _("least"), _("most")), rows, right=(1, 2))
        rows = []
        for c, name in enumerate(self.labels):
            share = f"{100 * float((self.chosen == c).mean()):.0f} %"
            own = self.answers[self.y == c] == c if self.y is not None else np.array([])
            rows.append(
                (name, share, _("{n} of {total}").format(n=own.sum(), total=len(own)) if self.y is not None else "")
            )
        used = 3 if self.y is not None else 2
        head = (_("class"), _("area"), _("right"))[:used]
        return Table(head, [row[:used] for row in rows], right=(1, 2)[: used - 1])

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the grid and the answers on it."""
        chosen = None if self.chosen is None else self.chosen.tolist()
        return {"across": self.across.tolist(), "up": self.up.tolist(), "field": self.field.tolist(), "chosen": chosen}

    def paint(self, figure: Figure) -> None:
        ax = figure.add_subplot()
        if self.chosen is None:
            self._surface(figure, ax)
        else:
            self._classes(figure, ax)
        quiet(ax, xlabel=self.names[0], ylabel=self.names[1])
        ax.set(xlim=(self.across[0], self.across[-1]), ylim=(self.up[0], self.up[-1]))

    def _surface(self, figure: Figure, ax: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        both = self.field if self.y is None else np.concatenate([self.field.ravel(), self.y.ravel()])
        low, high = float(both.min()), float(both.max())
        high = high if high > low else low + 1.0
        levels = MaxNLocator(14).tick_values(low, high)
        filled = ax.contourf(self.across, self.up, self.field, levels=levels, cmap="cividis")
        if np.ptp(self.field) > 0:
            ax.contour(
                self.across, self.up, self.field, levels=levels[::3], colors="white", linewidths=0.6, linestyles="-"
            )
        filled.set_rasterized(True)
        figure.colorbar(filled, ax=ax, label=_("answer"))
        if self.y is not None:
            ax.scatter(
                self.x[:, 0],
                self.x[:, 1],
                c=self.y,
                cmap="cividis",
                vmin=levels[0],
                vmax=levels[-1],
                edgecolors="white",
                s=26,
                linewidths=0.8,
            )

    def _classes(self, figure: Figure, ax: Axes) -> None:
        from matplotlib.colors import LinearSegmentedColormap, to_rgb

        chosen, count = self.chosen, len(self.labels)
        assert chosen is not None
        colours = [CLASSES[c % len(CLASSES)] for c in range(count)]
        if count == 2:
            tints = LinearSegmentedColormap.from_list("classes", [colours[0], "#ffffff", colours[1]])
            levels = np.linspace(0, 1, 11)
            shown = np.clip(self.field, 0, 1)
            filled = ax.contourf(self.across, self.up, shown, levels=levels, cmap=tints, alpha=0.65)
            filled.set_rasterized(True)  # in an SVG its corners would be larger than a small image
            figure.colorbar(filled, ax=ax, label=_("probability of {name}").format(name=self.labels[1]))
        else:
            sure = np.clip((self.field - 1 / count) / (1 - 1 / count), 0.15, 1)[..., None]
            paint = np.array([to_rgb(c) for c in colours])[chosen]
            image = 1 - 0.6 * sure * (1 - paint)
            extent = (self.across[0], self.across[-1], self.up[0], self.up[-1])
            ax.imshow(image, origin="lower", extent=extent, aspect="auto", interpolation="bilinear")
        for c in range(count) if count > 2 else (1,):
            if 0 < (chosen == c).mean() < 1:
                ax.contour(self.across, self.up, self._lead(c), levels=[0.0], colors=INK, linewidths=1.3)
        if self.y is not None:
            for c in range(count):
                style: dict[str, Any] = {"marker": MARKERS[c % len(MARKERS)], "color": colours[c], "s": 28}
                ax.scatter(
                    *self.x[self.y == c].T, edgecolors="white", linewidths=0.7, label=self.labels[c], zorder=3, **style
                )
            ax.legend(frameon=True, framealpha=0.9, fontsize=8, loc="best")

    def _lead(self, c: int) -> Array:
        """By how much a class leads: above 0 where it is chosen. Scores are smooth, and so is then the line."""
        assert self.chosen is not None
        if self._scores is not None:
            others = np.delete(self._scores, c, axis=-1).max(-1)
            lead: Array = self._scores[..., c] - others
        else:
            lead = self.field - 0.5
        inside = self.chosen == c
        return lead if bool(((lead > 0) == inside).all()) else inside - 0.5


def boundary(
    model: Any, x: Any, y: Any = None, *, kind: str = "auto", span: Any = None, points: int = 160,
    names: Sequence[str] | None = None, labels: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Boundary:  # fmt: skip
    """What a model answers over the plane of its two inputs, with the examples `x` (n, 2) and their targets `y` on it.

    `model`: kedja's, an estimator in scikit-learn's manner (`predict_proba` or `predict`), or a function of points
    (n, 2). `kind`: "classes" or "number"; "auto" takes targets that are whole numbers, True and False, or one-hot
    for classes. The line is where the answer changes. `span`: how far the axes reach, ((left, right), (low, high)).

    Raises ShapeError for a model of other than two inputs, DataError where targets and rows do not fit.
    Source: scope 2.4, 8.4, 10.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(2, "relu"), kj.nn.Dense(1)]).build((None, 2))
    >>> net.set_weights([[[1, 1], [1, 1]], [0, -1], [[1], [-2]], [0]])
    >>> print(boundary(net, x, y, span=((-0.5, 1.5), (-0.5, 1.5))))
    class  area   right
    ───────────────────
    0      57 %  2 of 2
    1      43 %  2 of 2
    """
    if kind not in KINDS:
        raise one_of("kind", kind, KINDS)
    rows = np.asarray(x.numpy() if isinstance(x, Tensor) else x, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != 2 or not len(rows):
        raise ShapeError(
            f"boundary draws models of two inputs, x (n, 2), and x has shape {rows.shape}. Hold the others still with "
            "a function: boundary(lambda p: net.predict(np.c_[p, others]), x[:, :2], y)"
        )
    if isinstance(model, Module) and model.input_shape is not None and tuple(model.input_shape[1:]) != (2,):
        raise ShapeError(f"boundary draws models of two inputs, and this one takes {tuple(model.input_shape[1:])}")
    targets = None if y is None else np.asarray(y.numpy() if isinstance(y, Tensor) else y)
    if targets is not None and len(targets) != len(rows):
        raise DataError(f"boundary: x has {len(rows)} rows and y has {len(targets)}")
    classes, known = _classes_of(targets, kind)
    bounds = _bounds(rows, span)
    across, up = (np.linspace(*b, points) for b in bounds)
    grid = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    raw, answers = (_answers(model, p, classes or kind == "classes") for p in (grid, rows))
    many = raw[0].ndim == 2 and raw[0].shape[1] > 1
    if classes or (kind == "auto" and targets is None and many):
        own = model.classes_.tolist() if hasattr(model, "classes_") else None
        count = max(raw[0].shape[1] if many else 2, len(known))
        titles = labels or own or known or range(count)
        field, chosen = _decided(raw)
        found = Boundary(
            across, up, field.reshape(points, points), chosen.reshape(points, points), rows,
            None if targets is None else _indices(targets, own or known), _decided(answers)[1], _names(model, names),
            [str(t) for t in titles] + [str(c) for c in range(len(list(titles)), count)],
            raw[0].reshape(points, points, -1) if many else None,
        )  # fmt: skip
        return returned(found, path)
    if many:
        raise ShapeError(f"boundary: the model has {raw[0].shape[1]} outputs and the targets are no classes; draw one")
    goal = None if targets is None else targets.reshape(len(rows)).astype(float)
    field = raw[0].reshape(points, points)
    found = Boundary(across, up, field, None, rows, goal, answers[0].reshape(-1), _names(model, names), [])
    return returned(found, path)


def _classes_of(y: Array | None, kind: str) -> tuple[bool, list[Any]]:
    """Whether the targets are classes, and which there are."""
    if y is None:
        return kind == "classes", []
    if y.ndim == 2 and y.shape[1] > 1:
        hot = bool(np.isin(y, (0, 1)).all() and (y.sum(1) == 1).all())
        return kind != "number" and hot, list(range(y.shape[1]))
    flat = y.reshape(len(y))
    whole = flat.dtype.kind in "biuUSO" or bool(np.equal(flat, np.round(flat)).all() and len(np.unique(flat)) <= 10)
    if kind == "number" or (kind == "auto" and not whole):
        return False, []
    kinds = np.unique(flat)
    if flat.dtype.kind in "iuf" and kinds.min() >= 0 and kinds.max() < 1000:
        return True, list(range(max(int(kinds.max()) + 1, 2)))
    return True, kinds.tolist()


def _indices(y: Array, known: Sequence[Any]) -> Array:
    if y.ndim == 2 and y.shape[1] > 1:
        return np.asarray(y.argmax(1))
    place = {c: i for i, c in enumerate(known)}
    return np.array([place[c] for c in y.reshape(len(y)).tolist()])


def _answers(model: Any, points: Array, classes: bool) -> tuple[Array, Array | None]:
    """The raw answers (probabilities, where there are such), and the classes where the model itself decides."""
    if isinstance(model, Module):
        if classes:
            try:
                return np.asarray(model.predict_proba(points)), None
            except GraphError:  # no probability: what it decides is drawn
                return np.asarray(model.predict(points)), np.asarray(model.predict_labels(points))
        return np.asarray(model.predict(points)), None
    ask: Callable[[Any], Any]
    if hasattr(model, "predict_proba") and classes:
        return np.asarray(model.predict_proba(points)), None
    ask = model.predict if hasattr(model, "predict") else model
    if not callable(ask):
        raise GraphError(f"boundary draws a model or a function of points (n, 2), got {type(model).__name__}")
    found = ask(points)
    values = np.asarray(found.numpy() if isinstance(found, Tensor) else found)
    if len(values) != len(points):
        raise ShapeError(f"boundary: the model gave {values.shape} for {len(points)} points; one answer each is needed")
    if classes and hasattr(model, "classes_") and values.ndim == 1:
        place = {c: i for i, c in enumerate(model.classes_.tolist())}
        chosen = np.array([place[v] for v in values.tolist()])
        return np.eye(len(place))[chosen], chosen
    return values, None


def _decided(found: tuple[Array, Array | None]) -> tuple[Array, Array]:
    """The field that is drawn, and the class."""
    raw, chosen = found
    if raw.ndim == 2 and raw.shape[1] == 2:
        return raw[:, 1], raw.argmax(1) if chosen is None else chosen
    if raw.ndim == 2 and raw.shape[1] > 2:
        return raw.max(1), raw.argmax(1) if chosen is None else chosen
    single = raw.reshape(len(raw)).astype(float)
    return single, (single > 0.5).astype(int) if chosen is None else chosen.reshape(-1)


def _bounds(x: Array, span: Any) -> list[tuple[float, float]]:
    if span is not None:
        try:
            (left, right), (low, high) = span
            bounds = [(float(left), float(right)), (float(low), float(high))]
        except (TypeError, ValueError):
            raise DataError(f"boundary: span is ((left, right), (low, high)), got {span!r}") from None
        if left >= right or low >= high:
            raise DataError(f"boundary: span goes from small to large, got {span!r}")
        return bounds
    least, most = x.min(0), x.max(0)
    air = np.where(most > least, MARGIN * (most - least), 1.0)
    return [(float(a), float(b)) for a, b in zip(least - air, most + air, strict=True)]


def _names(model: Any, names: Sequence[str] | None) -> list[str]:
    if names is not None:
        if len(names) != 2:
            raise DataError(f"boundary: names are those of the two inputs, got {list(names)}")
        return [str(n) for n in names]
    info = getattr(model, "info", None)
    known = info.get("feature_names") if isinstance(info, dict) else None
    return [str(n) for n in known] if known and len(known) == 2 else ["x₁", "x₂"]
