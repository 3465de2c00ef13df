"""How gradients vanish or explode from layer to layer: their size, and the product of derivatives (scope 4.9)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kedja.diff import grad
from kedja.errors import GraphError
from kedja.explain.backpropagation.calls import Call, pre_activation
from kedja.explain.pictures.flows import numbers_of
from kedja.explain.pictures.marks import number
from kedja.explain.pictures.passing import passed
from kedja.explain.pictures.picture import FAINT, LINES, Plotted, decades, quiet, returned
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor
from kedja.nn.activations import curve
from kedja.nn.activations.names import entry_of
from kedja.ops import sum as total

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GradientSizes", "LayerGradient", "gradient_sizes"]

WIDE = np.concatenate(
    [np.linspace(-12, 12, 4801), [-1e-9, 1e-9]]
)  # where the steepest place of an activation is sought


class LayerGradient(NamedTuple):
    """A layer with weights. Sizes are root mean squares over examples and units.

    `slope` is the mean of |f′(z)|, `steepest` the largest that f′ can be (None where that is not known). `product` and
    `bound` are their products from the output down to this layer: the part of a gradient's shrinking that is the
    activations' own. `gradient` is the size of ∂E/∂z, `weights` that of ∂E/∂W.
    """

    name: str
    activation: str
    slope: float
    steepest: float | None
    product: float
    bound: float | None
    gradient: float
    weights: float


class GradientSizes(Plotted):
    """The sizes of gradients, `layers` of each model by its name, first layer first."""

    figure_size = (8.6, 3.4)

    def __init__(self, layers: Mapping[str, Sequence[LayerGradient]]) -> None:
        self.layers = {name: list(rows) for name, rows in layers.items()}

    @property
    def table(self) -> Table:
        """A row for each layer of each model."""
        several = len(self.layers) > 1
        head = (_("model"), _("layer"), _("activation"), _("mean |f′|"), _("product"), _("at most"), "∂E/∂z", "∂E/∂W")
        rows = []
        for name, layers in self.layers.items():
            for r in layers:
                bound = "" if r.bound is None else number(r.bound, 3)
                sizes = (r.slope, r.product), (r.gradient, r.weights)
                before, after = ([number(v, 3) for v in pair] for pair in sizes)
                rows.append((name, r.name, r.activation, *before, bound, *after))
        cut = 0 if several else 1
        return Table(head[cut:], [row[cut:] for row in rows], right=tuple(range(3 - cut, 8 - cut)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the numbers of every layer."""
        return {name: [r._asdict() for r in rows] for name, rows in self.layers.items()}

    def paint(self, figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        deepest = max(len(rows) for rows in self.layers.values())
        for k, (name, rows) in enumerate(self.layers.items()):
            colour, dashes = LINES[k % len(LINES)]
            at = np.arange(1, len(rows) + 1)
            style: dict[str, Any] = {"color": colour, "linestyle": dashes, "marker": "os^Dv"[k % 5], "markersize": 4}
            left.plot(at, [_positive(r.gradient) for r in rows], label=name, **style)
            right.plot(at, [_positive(r.product) for r in rows], label=name, **style)
            bounds = [r.bound for r in rows]
            known = [b for b in bounds if b is not None]
            if len(known) == len(rows) and min(known) < 1:
                right.plot(at, known, color=colour, linewidth=0.9, linestyle=":")
                right.annotate(
                    _("{name} at most {value}").format(name=name, value=number(known[0], 3)), (1, known[0]),
                    xytext=(6, -11), textcoords="offset points", fontsize=8, color=colour,
                )  # fmt: skip
        right.axhline(1, color=FAINT, linewidth=0.7)
        for ax, title in ((left, _("size of ∂E/∂z")), (right, _("product of |f′| from the output down"))):
            quiet(ax, title, xlabel=_("layer"), yscale="log", xlim=(0.6, deepest + 0.4))
            ax.locator_params(axis="x", integer=True, nbins=12)
            ax.minorticks_off()
            ax.grid(axis="y", alpha=0.25, linewidth=0.8)
        low, high = right.get_ylim()
        right.set_ylim(low / 3, high * 2)
        for ax in (left, right):
            decades(ax)
        if len(self.layers) > 1:
            left.legend(frameon=False, fontsize=8)


def gradient_sizes(
    models: Any, x: Any, y: Any, loss: Any = None, *, path: str | os.PathLike[str] | None = None
) -> GradientSizes:
    """How large the gradient is in every layer, and how much of its shrinking the activations' derivatives explain.

    `models`: a model, or several by name, {"sigmoid": a, "relu": b}, on the same examples. On the left the size of
    ∂E/∂z (z: before the activation); on the right the product of |f′(z)| over the layers from the output down to each,
    measured, and dotted the most it can be: σ′ ≤ ¼, so ten sigmoid layers pass on at most ¼¹⁰ = 9.54·10⁻⁷. A softmax
    has no f′ of single numbers and is left out.

    Raises GraphError for a model without weights.
    Source: scope 4.9; Hochreiter 1991; Bengio, Simard, Frasconi 1994; Glorot and Bengio 2010.

    >>> import kedja as kj
    >>> deep = kj.Sequential([kj.nn.Dense(4, "sigmoid") for _ in range(10)]).build((None, 4), seed=0)
    >>> found = gradient_sizes(deep, np.ones((3, 4)), np.ones((3, 4)), "mse")
    >>> found.layers["model"][0].bound, found.layers["model"][0].gradient < 1e-6 < found.layers["model"][-1].gradient
    (9.5367431640625e-07, True)
    """
    several = dict(models) if isinstance(models, Mapping) else {"model": models}
    if not several:
        raise GraphError("gradient_sizes: there is no model")
    return returned(GradientSizes({str(name): _rows(m, x, y, loss) for name, m in several.items()}), path)


class _Weighted(NamedTuple):
    call: Call
    before: Tensor
    after: Tensor
    activation: str


def _rows(model: Any, x: Any, y: Any, loss: Any) -> list[LayerGradient]:
    found = passed(model, x, y, loss, who="gradient_sizes")
    assert found.goal is not None
    layers: list[_Weighted] = []
    for call in found.calls:
        activation = getattr(call.layer, "activation_name", None) or "identity"
        if any(v.ndim >= 2 for v in call.variables.values()):
            layers.append(_Weighted(call, pre_activation(call), call.output, activation))
        elif activation != "identity" and layers and call.inputs and call.inputs[0] is layers[-1].after:
            # An activation that is a layer of its own.
            layers[-1] = _Weighted(layers[-1].call, layers[-1].before, call.output, activation)
    if not layers:
        raise GraphError("gradient_sizes: the model has no layer with weights")
    kernels = [max(w.call.variables.values(), key=lambda v: v.size) for w in layers]
    slopes = [grad(total(w.after), w.before) for w in layers]
    into = grad(found.goal, [w.before for w in layers])
    by = grad(found.goal, kernels)
    known = numbers_of([*slopes, *into, *by])
    rows: list[LayerGradient] = []
    product = 1.0
    bound: float | None = 1.0
    for w, s, g, k in reversed(list(zip(layers, slopes, into, by, strict=True))):
        slope, steepest = float(np.abs(known[s].astype(np.float64)).mean()), _steepest(w.activation)
        if (entry := entry_of(w.activation)) is not None and not entry.elementwise:
            slope = steepest = 1.0  # softmax looks at a whole row and has no f′
        product *= slope
        bound = None if bound is None or steepest is None else bound * steepest
        rows.append(
            LayerGradient(w.call.path, w.activation, slope, steepest, product, bound, _size(known[g]), _size(known[k]))
        )
    return rows[::-1]


def _size(value: Array) -> float:
    return float(np.sqrt(np.mean(np.square(value.astype(np.float64)))))


def _steepest(activation: str) -> float | None:
    """The largest |f′| of an activation of single numbers."""
    entry = entry_of(activation)
    if entry is None or not entry.elementwise:
        return None
    return float(np.abs(curve(entry.name, WIDE)[1]).max())


def _positive(value: float) -> float:
    return value if value > 0 else np.nan
