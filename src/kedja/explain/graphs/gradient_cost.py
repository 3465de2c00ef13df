"""What the gradient by perturbation costs, beside back-propagation: counted, and measured (scope 1.8)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from kedja import nn
from kedja.diff import grad
from kedja.errors import DataError, GraphError
from kedja.explain.graphs.operations import Work, work_of
from kedja.explain.show.table import Table, Tabular
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor, ancestors, tensor
from kedja.graph.trace import Graph
from kedja.graph.variables import Variable
from kedja.nn import losses
from kedja.nn.layers.layer import trainable
from kedja.ops import mean
from kedja.ops import sum as total
from kedja.train.step import losses_of

__all__ = ["GradientCost", "gradient_cost"]

SAMPLE, REPEATS, PATIENCE = 20, 50, 0.5  # parameters moved; runs timed, and the seconds they may take


class GradientCost(Tabular):
    """Passes, operations and seconds of both ways to the gradient; it prints as a table.

    Perturbation moves each parameter up and down: two forward passes for each. `sampled` of them were moved and timed,
    and the seconds of all follow from theirs. `worst` is how far the two gradients are apart there, as a part of the
    largest entry.
    """

    def __init__(
        self, parameters: int, forward: Work, backward: Work, sampled: int, worst: float,
        seconds: tuple[float, float, float],
    ) -> None:  # fmt: skip
        self.parameters, self.forward, self.backward = parameters, forward, backward
        self.sampled, self.worst = sampled, worst
        self.forward_seconds, self.backprop_seconds, self.pass_seconds = seconds

    @property
    def passes(self) -> int:
        """Forward passes of perturbation: two for each parameter."""
        return 2 * self.parameters

    @property
    def numeric_operations(self) -> int:
        """Operations of perturbation."""
        return self.passes * self.forward.operations

    @property
    def backprop_operations(self) -> int:
        """Operations of back-propagation: one pass forward, one walk back."""
        return self.forward.operations + self.backward.operations

    @property
    def numeric_seconds(self) -> float:
        """Seconds of perturbation for all parameters, from those that were moved."""
        return self.passes * self.pass_seconds

    @property
    def table(self) -> Table:
        """The table that all ways to show it share."""
        rows = [
            (_("forward pass alone"), "1", f"{self.forward.operations:,}", _seconds(self.forward_seconds)),
            (
                _("back-propagation"),
                _("1 and one back"),
                f"{self.backprop_operations:,}",
                _seconds(self.backprop_seconds),
            ),
            (_("perturbation"), f"{self.passes:,}", f"{self.numeric_operations:,}", _seconds(self.numeric_seconds)),
        ]
        head = (_("gradient by"), _("forward passes"), _("operations"), _("time"))
        return Table(head, rows, right=(1, 2, 3), notes=tuple(self._notes()))

    def _notes(self) -> list[str]:
        operations = self.numeric_operations / max(self.backprop_operations, 1)
        seconds = self.numeric_seconds / max(self.backprop_seconds, 1e-12)
        told = _(
            "{n} parameters: perturbation needs {a} times the operations of back-propagation and {b} times its time"
        )
        notes = [told.format(n=f"{self.parameters:,}", a=_rounded(operations), b=_rounded(seconds))]
        back = self.backprop_operations / max(self.forward.operations, 1)
        notes.append(_("back-propagation costs as much as {n} forward passes").format(n=f"{back:.3g}"))
        told = _("{n} of the parameters were moved; there the gradients differ by {off} of the largest entry")
        if self.sampled == self.parameters:
            told = _("all {n} parameters were moved; the gradients differ by at most {off} of the largest entry")
        else:
            notes.append(_("the time of perturbation is worked out from the parameters that were moved"))
        notes.append(told.format(n=f"{self.sampled:,}", off=f"{self.worst:.1e}"))
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Plain data: counts, seconds, and how far the gradients are apart."""
        return {
            "parameters": self.parameters,
            "forward_passes": self.passes,
            "forward": self.forward._asdict(),
            "backward": self.backward._asdict(),
            "numeric_operations": self.numeric_operations,
            "backprop_operations": self.backprop_operations,
            "forward_seconds": self.forward_seconds,
            "backprop_seconds": self.backprop_seconds,
            "numeric_seconds": self.numeric_seconds,
            "sampled": self.sampled,
            "worst": self.worst,
        }


def gradient_cost(net: Any, x: Any, y: Any, loss: Any = "mse", *, sample: int = SAMPLE, seed: int = 0) -> GradientCost:
    """The gradient of a loss by all parameters, two ways: how many passes, operations and seconds each takes.

    Perturbation moves one parameter at a time, up and down, and needs the loss twice for each; `sample` of them,
    drawn by `seed`, are moved and timed; of repeated runs the fastest counts. Back-propagation needs one forward pass
    and one walk back, however many parameters there are. Both run on the reference engine, in the precision of the
    model: in float32 the numeric gradient is good to about three digits. The model is not changed.

    Raises GraphError for what is no model or has nothing to train, DataError for a sample below 1. Source: scope 1.8.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(3, "tanh"), kj.nn.Dense(1)]).build((None, 2), seed=0)
    >>> cost = gradient_cost(net, [[0.0, 1.0], [1.0, 0.5]], [[1.0], [0.0]])
    >>> cost.parameters, cost.passes, cost.worst < 1e-2
    (13, 26, True)
    """
    if not isinstance(net, nn.Module):
        raise GraphError(_("gradient_cost: takes a model, got {kind}").format(kind=type(net).__name__))
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
        raise DataError(_("gradient_cost: sample is how many parameters to move, got {n!r}").format(n=sample))
    inputs = tensor(np.asarray(x.numpy() if isinstance(x, Tensor) else x, np.float32 if _plain(x) else None))
    net.build(inputs.shape, seed=seed)
    chosen = losses.get(loss)
    each = losses_of(
        net, chosen, tensor(np.asarray(y) if not isinstance(y, Tensor) else y), net(inputs, training=False)
    )
    aim = total(each) if chosen.reduction == "sum" else mean(each)
    parameters = list(trainable(net).values())
    if not parameters:
        raise GraphError(_("gradient_cost: the model has nothing to train"))
    gradients: list[Tensor] = grad(aim, list(parameters))
    forward = work_of([aim])
    backward = work_of(gradients, ancestors([aim]))
    alone: Any = Graph((), [aim])
    both: Any = Graph((), [aim, *gradients])
    analytic = [np.asarray(g) for g in both.run([])[1:]]
    timed = _timed(lambda: alone.run([])), _timed(lambda: both.run([]))
    sizes = [p.size for p in parameters]
    count = sum(sizes)
    order = np.random.default_rng(seed).permutation(count)[: min(sample, count)]
    off, spent = _moved(aim, list(parameters), analytic, order)
    largest = max(float(np.abs(g).max(initial=0.0)) for g in analytic) or 1.0
    return GradientCost(count, forward, backward, len(order), off / largest, (*timed, spent))


def _moved(aim: Tensor, parameters: list[Variable], analytic: list[Array], which: Array) -> tuple[float, float]:
    """Move these parameters up and down: the largest difference to the analytic gradient, and the seconds of a pass."""
    ends = np.cumsum([p.size for p in parameters])
    graphs: dict[int, Any] = {}
    worst = 0.0
    spent: list[float] = []
    for number in which.tolist():
        i = int(np.searchsorted(ends, number, side="right"))
        k = number - (int(ends[i - 1]) if i else 0)
        graph = graphs.setdefault(i, Graph([parameters[i]], [aim]))
        values = np.array(parameters[i].numpy())
        flat = values.reshape(-1)
        kept = flat[k]
        h = flat.dtype.type(float(np.finfo(flat.dtype).eps) ** (1 / 3) * max(1.0, abs(float(kept))))
        graph.run([values])  # the first run of a graph also plans it
        begin = time.perf_counter()
        flat[k] = kept + h
        above, up = float(flat[k]), float(graph.run([values])[0])
        flat[k] = kept - h
        below, down = float(flat[k]), float(graph.run([values])[0])
        spent.append((time.perf_counter() - begin) / 2)
        worst = max(worst, abs((up - down) / (above - below) - float(analytic[i].reshape(-1)[k])))
    return worst, min(spent)


def _timed(run: Callable[[], Any]) -> float:
    """The shortest of a few runs, in seconds."""
    found = []
    for _i in range(REPEATS):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
        if sum(found) > PATIENCE and len(found) > 2:
            break
    return min(found)


def _plain(x: Any) -> bool:
    """Whether x has no floating-point type of its own."""
    return not isinstance(x, Tensor) and np.asarray(x).dtype.kind not in "f"


def _rounded(value: float) -> str:
    """Three digits that count: 79,100 or 2.01."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def _seconds(value: float) -> str:
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if value < 1000 * size:
            return f"{value / size:.3g} {unit}"
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 3600:.3g} h" if value > 7200 else f"{value / 60:.3g} min"
