"""`fit(check=True)` and `kj.check`: what can be seen to go wrong before the first epoch (scope 6).

Of the data: columns that say nothing or are too large, rows that stand on both sides of a split, a column that gives
the answer away. Of output, loss and targets: pairs that do not go together, targets an activation cannot reach. Of
the network: parameters no gradient arrives at, units that are dead or saturated, a first loss that is far too large.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kedja.diff import grad
from kedja.engines import get_engine
from kedja.errors import DataError, KedjaError
from kedja.graph.node import Tensor
from kedja.graph.trace import trace
from kedja.nn import losses
from kedja.nn.layers import Columns, Denormalize, Normalize
from kedja.nn.layers.layer import trainable
from kedja.nn.losses import Loss
from kedja.nn.losses.likelihoods import Likelihood, logits_of
from kedja.nn.model import Module
from kedja.ops import mean, random
from kedja.ops.elementwise import relu, sigmoid, softplus, tanh
from kedja.ops.softmax import normalised_exp
from kedja.train.adapting import adapt, entrance
from kedja.train.evaluation import as_inputs, as_targets, output_shape
from kedja.train.findings import Finding, Findings
from kedja.train.parts import Part, learned_rows, parted, unpacked
from kedja.train.step import losses_of
from kedja.train.stream import sample, streamed
from kedja.train.training import training_of

__all__ = ["check", "examine", "expect_sound"]

Array = np.ndarray[Any, Any]
ROWS = 32  # of the batch whose gradients are looked at
LARGE = 100.0  # inputs or targets beyond this, or columns that differ by as much in size
TOLD = 0.9999  # a correlation with the target that no honest column has
SATURATED, DEAD = 0.95, 0.5
FAR = 0.01  # how near a bound counts as there
RANGES: dict[Any, tuple[str, float, float]] = {
    sigmoid: ("a sigmoid", 0.0, 1.0),
    normalised_exp: ("a softmax", 0.0, 1.0),
    tanh: ("a tanh", -1.0, 1.0),
    relu: ("a relu", 0.0, math.inf),
    softplus: ("a softplus", 0.0, math.inf),
}
"""What an output can be, by the op that makes it."""


def check(model: Module, x: Any, y: Any = None, *, loss: Any = None, validation: Any = None, seed: int = 0) -> Findings:
    """What can be seen to go wrong before training; the model itself is left as it is.

    `validation` is what `fit` would be given. What `fit` would refuse is found as an error. See `fit(check=True)`.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(1, activation="sigmoid")])
    >>> found = kj.check(net, [[0.0], [1.0], [2.0]], [[0.0], [5.0], [9.0]], loss="mse")
    >>> print(found.errors[0].where, found.errors[0].text, sep=": ")
    targets: 2 of 3 lie outside 0 … 1, which a sigmoid can reach: leave the last activation out, or scale the targets.
    """
    try:
        model = copy.deepcopy(model)
        chosen = losses.get(loss) if loss is not None else training_of(model).loss
        if chosen is None:
            raise DataError('check needs a loss: loss="mse" for numbers, "cross_entropy" for classes')
        stream = streamed(x, y)
        if stream is not None:
            (x, y), validation = sample(stream), None
        x, y = unpacked(x, y, model=model)
        if not model.built:
            adapt(model, x, y, learned_rows(validation, len(y), seed))
        inputs = as_inputs(model, x, learning=True)
        model.build(*((None, *a.shape[1:]) for a in inputs), seed=seed)
        outputs = output_shape(model, inputs)
        targets = as_targets(model, y, len(inputs[0]), chosen, outputs, learning=True)
        learn, held_out = parted(model, inputs, targets, None, validation, seed, chosen, outputs)
        aside = held_out if isinstance(held_out, tuple) else None
        return examine(model, chosen, learn, aside, seed, sampled=stream is not None)
    except KedjaError as error:
        return Findings([Finding("error", type(error).__name__, str(error))], TITLE)


TITLE = "before the first epoch"


def examine(
    model: Module, loss: Loss, learn: Part, held_out: Part | None, seed: int = 0, sampled: bool = False
) -> Findings:  # fmt: skip
    """What is found for a built model and the parts that `fit` learns from and validates on.

    `sampled`: the rows stand for others that are not looked at, as where data are read piece by piece.
    """
    inputs, y, _ = learn
    found = [*_of_columns(model, inputs), *_of_rows(inputs, y, held_out), *_leaks(model, inputs, y)]
    probe = Probe(model, loss, [a[:ROWS] for a in inputs], y[:ROWS], seed)
    found += [*_of_pairs(probe.output, loss, y), *_of_targets(model, probe.output, loss, y, sampled)]
    found += probe.findings(y)
    if sampled:
        found.append(Finding("note", "data", f"they are read piece by piece, and {len(y):,} rows were looked at."))
    return Findings(found, TITLE)


def expect_sound(
    model: Module, loss: Loss, learn: Part, held_out: Part | None, seed: int, verbose: int | None, sampled: bool = False
) -> None:  # fmt: skip
    """Print what is found, raise DataError on errors, warn of the rest."""
    found = examine(model, loss, learn, held_out, seed, sampled)
    if found.errors:
        raise DataError("\n  ".join(["check=True found what makes learning impossible:", *map(str, found.errors)]))
    for finding in found.warnings:
        warnings.warn(f"{finding.where}: {finding.text}", stacklevel=5)
    if verbose != 0 and not found.warnings:
        print(found)


# --- the data -------------------------------------------------------------------------------------------------------
def _of_columns(model: Module, inputs: Sequence[Array]) -> Iterator[Finding]:
    front = entrance(model)
    scaled = isinstance(front, Normalize | Columns)
    for x in inputs:
        if x.dtype.kind != "f" or x.ndim < 2 or isinstance(front, Columns):
            continue
        rows = x.reshape(len(x), -1).astype(np.float64)
        gone = np.isnan(rows)
        if gone.any():
            yield Finding("note", "inputs", f"{100 * gone.mean():.2g} % of the values are missing and are filled in.")
            rows = np.where(gone, np.nanmean(rows, axis=0, keepdims=True), rows)
        spread = np.ptp(rows, axis=0)
        still = np.flatnonzero(spread == 0)
        if x.ndim == 2 and len(still) and len(x) > 1:
            what = f"column {still[0]} is" if len(still) == 1 else f"{len(still)} columns ({_some(still)}) are"
            level = "warning" if len(still) == rows.shape[1] else "note"
            yield Finding(level, "inputs", f"{what} the same in every row (counted from 0): that says nothing.")
        if scaled:
            continue
        sizes = np.abs(rows).max(axis=0)
        if x.ndim > 2 and sizes.max() > LARGE:
            yield Finding(
                "warning", "inputs",
                f"values go up to {sizes.max():g}: bring them near 0 … 1, kj.nn.Rescale({1 / sizes.max():.3g}).",
            )  # fmt: skip
        elif x.ndim == 2 and (sizes.max() > LARGE or _uneven(spread)):
            column = int(np.argmax(sizes))
            yield Finding(
                "warning", "inputs",
                f"column {column} has values up to {sizes[column]:g}, another one a range of {_least(spread):g}: large "
                "ones saturate units and drown small ones. Begin with kj.nn.Normalize().",
            )  # fmt: skip


def _least(spread: Array) -> float:
    return float(spread[spread > 0].min()) if (spread > 0).any() else 0.0


def _uneven(spread: Array) -> bool:
    return bool((spread > 0).any() and spread.max() > LARGE * _least(spread) and spread.max() > 10)


def _of_rows(inputs: Sequence[Array], y: Array, held_out: Part | None) -> Iterator[Finding]:
    keys = _keys(inputs)
    if held_out is not None:
        seen = set(keys)
        there = _keys(held_out[0])
        again = sum(key in seen for key in there)
        if again:
            yield Finding(
                "warning", "validation",
                f"{again:,} of its {len(there):,} rows ({100 * again / len(there):.2g} %) stand among the training "
                "rows too: the network may know them by heart. Split by groups=, or drop the duplicates.",
            )  # fmt: skip
    answers: dict[bytes, bytes] = {}
    torn = {key for key, t in zip(keys, _keys([y]), strict=True) if answers.setdefault(key, t) != t}
    if torn:
        yield Finding(
            "note", "targets", f"{len(torn):,} inputs occur with different targets: the loss cannot become 0."
        )


def _keys(arrays: Sequence[Array]) -> list[bytes]:
    """Each row as bytes; 0 and −0 are one number."""
    flat = [np.ascontiguousarray(a.reshape(len(a), -1) + 0) for a in arrays]
    return [b"".join(a[i].tobytes() for a in flat) for i in range(len(flat[0]))]


def _leaks(model: Module, inputs: Sequence[Array], y: Array) -> Iterator[Finding]:
    """Columns from which the target follows by a straight line."""
    if len(inputs) != 1 or inputs[0].ndim != 2 or len(y) < 10:
        return
    front = entrance(model)
    x = inputs[0].astype(np.float64)
    one = y.reshape(len(y), -1).astype(np.float64)
    if one.shape[1] != 1 or (y.dtype.kind in "iu" and len(np.unique(y)) > 2):
        return
    known = np.isfinite(x)
    t = one[:, 0]
    for column in range(x.shape[1]):
        rows = known[:, column]
        a, b = x[rows, column], t[rows]
        if len(a) < 10 or not np.ptp(a) or not np.ptp(b) or x.shape[1] == 1:
            continue
        r = float(np.corrcoef(a, b)[0, 1])
        if abs(r) > TOLD:
            name = repr(front.names[column]) if isinstance(front, Columns) else str(column)
            yield Finding(
                "warning", "inputs",
                f"column {name} has a correlation of {r:.5f} with the target: is it known when the "
                "prediction is asked for, or is it the answer in another form?",
            )  # fmt: skip


# --- output, loss and targets ---------------------------------------------------------------------------------------
def _of_pairs(output: Tensor, loss: Loss, y: Array) -> Iterator[Finding]:
    units = output.shape[-1] if output.ndim > 1 else 1
    likelihood = isinstance(loss, Likelihood)
    ends, soft = RANGES.get(output.op, ("", 0.0, 0.0))[0], output.op is normalised_exp
    if units == 1 and soft:
        yield Finding(
            "error", "output", "a softmax over one unit is 1 whatever comes in: use one unit with a sigmoid and "
            "binary_cross_entropy, or one unit for each class.",
        )  # fmt: skip
    elif soft and not likelihood:
        yield Finding(
            "warning", "loss",
            f"{loss.name} behind a softmax learns slowly where it is most wrong, since the softmax's "
            "derivative is near 0 there: use cross_entropy.",
        )  # fmt: skip
    elif soft and loss.name == "binary_cross_entropy":
        yield Finding(
            "warning", "loss",
            "binary_cross_entropy asks each output its own question, and a softmax makes them compete: "
            "use cross_entropy for one class a row, sigmoids for several.",
        )  # fmt: skip
    elif likelihood and ends and logits_of(output) is None and loss.name != "poisson":
        yield Finding(
            "warning", "loss",
            f"{loss.name} takes the output for logits, of any size and sign, and behind {ends} it is "
            "not: leave the last activation out.",
        )  # fmt: skip


def _of_targets(model: Module, output: Tensor, loss: Loss, y: Array, sampled: bool) -> Iterator[Finding]:
    classes = y.ndim == 1 and y.dtype.kind in "iu"
    units = output.shape[-1] if output.ndim > 1 else 1
    if len(y) > 1 and not sampled and not np.ptp(y.reshape(len(y), -1).astype(np.float64), axis=0).any():
        yield Finding("warning", "targets", "all of them are the same: there is nothing to tell apart.")
        return
    if classes and units > 1:
        empty = np.flatnonzero(np.bincount(y, minlength=units)[:units] == 0)
        if len(empty) and not sampled:  # others may have it
            yield Finding("warning", "targets", f"no training row has the class {_some(empty)}: it cannot be learned.")
        return
    t = y.astype(np.float64)
    if output.op in RANGES and not isinstance(loss, Likelihood):
        ends, low, high = RANGES[output.op]
        span = f"{low:g} … {high:g}" if math.isfinite(high) else f"{low:g} and above"
        outside = int(((t < low) | (t > high)).sum())
        if outside:
            yield Finding(
                "error", "targets", f"{outside:,} of {t.size:,} lie outside {span}, which {ends} can reach: leave the "
                "last activation out, or scale the targets.",
            )  # fmt: skip
        elif math.isfinite(high) and output.op is not normalised_exp and ((t == low) | (t == high)).any():
            near = (low + FAR * (high - low), high - FAR * (high - low))
            yield Finding(
                "warning", "targets", f"{low:g} and {high:g} are never reached by {ends}, and {loss.name} pushes its "
                f"weights without end: use {near[0]:g} and {near[1]:g}, or binary_cross_entropy.",
            )  # fmt: skip
    elif output.op not in RANGES and not isinstance(loss, Likelihood) and not _in_units(model):
        size = float(np.abs(t).max())
        if size > LARGE:
            yield Finding(
                "warning", "targets", f"they go up to {size:g}, and weights start near 1: end the model with "
                "kj.nn.Denormalize(), which keeps the predictions in these units.",
            )  # fmt: skip


# --- the network ----------------------------------------------------------------------------------------------------
class Probe:
    """One forward and backward pass of a batch on the reference engine, with what the inner nodes were."""

    def __init__(self, model: Module, loss: Loss, x: Sequence[Array], y: Array, seed: int) -> None:
        self.model, self.loss, self.y = model, loss, y
        self.parameters = trainable(model)
        kept: list[Any] = []

        def step(*nodes: Tensor) -> list[Tensor]:
            output = model(*nodes[:-1], training=True, key=random.key(seed))
            each = losses_of(model, loss, nodes[-1], output)
            kept.append(output)
            value = mean(each)
            return [value, *grad(value, list(self.parameters.values()))]

        shapes = [(a.shape, a.dtype) for a in (*x, y)]
        whole = trace(lambda *nodes: self._with_inner(step, nodes), shapes)
        self.output: Tensor = kept[0]
        program = get_engine("reference").program(whole)
        with np.errstate(all="ignore"):
            _, found = program([v.raw for v in program.variables], [*x, y])
        count = 1 + len(self.parameters)
        self.start = float(np.asarray(found[0]))
        self.gradients = dict(zip(self.parameters, map(np.asarray, found[1:count]), strict=True))
        self.values = [np.asarray(v) for v in found[count:]]

    def _with_inner(self, step: Callable[..., list[Tensor]], nodes: Sequence[Tensor]) -> list[Tensor]:
        outputs = step(*nodes)
        self.looked_at = _hidden(outputs[0], {relu, sigmoid, tanh})
        return [*outputs, *self.looked_at]

    def findings(self, y: Array) -> Iterator[Finding]:
        """What the pass shows."""
        if not math.isfinite(self.start):
            what = "inputs or weights are too large"
            yield Finding("error", "loss", f"the first batch has the loss {self.start:g}: {what}.")
            return
        for path, g in self.gradients.items():
            if not np.isfinite(g).all():
                yield Finding("error", path, "its gradient on the first batch is not finite.")
            elif not g.any():
                yield Finding(
                    "warning", path,
                    "no gradient arrives there on the first batch: it is not used, or the units behind "
                    "it are all dead.",
                )  # fmt: skip
        units = self.output.shape[-1]
        expected = math.log(units) if self.loss.name == "cross_entropy" and units > 1 else None
        if expected is not None and self.start > 3 * expected + 1:
            yield Finding(
                "warning", "loss", f"it starts at {self.start:.3g}; a network that knows nothing has ln {units} = "
                f"{expected:.2g}: the inputs are large, or the starting weights.",
            )  # fmt: skip
        for node, value in zip(self.looked_at, self.values, strict=True):
            if node is not self.output and value.ndim > 1:
                yield from self._of_units(node, value.reshape(-1, value.shape[-1]))

    def _of_units(self, node: Tensor, value: Array) -> Iterator[Finding]:
        line = f" ({node.source})" if node.source else ""
        if node.op is relu:
            dead = int((value <= 0).all(axis=0).sum())
            if dead > DEAD * value.shape[1]:
                yield Finding(
                    "warning", f"relu{line}",
                    f"{dead} of {value.shape[1]} units are 0 for all {len(self.y)} rows of the "
                    "first batch and learn nothing from it: scale the inputs, or use leaky_relu.",
                )  # fmt: skip
            return
        name, low, high = RANGES[node.op]
        edge = FAR * (high - low)
        share = float(((value < low + edge) | (value > high - edge)).mean())
        if share > SATURATED:
            yield Finding(
                "warning", f"{node.op.name}{line}",
                f"{100 * share:.0f} % of its values lie at the ends of {name}, where "
                "its derivative is near 0: scale the inputs, or start from smaller weights.",
            )  # fmt: skip


def _hidden(output: Tensor, ops: set[Any]) -> list[Tensor]:
    """The nodes of these ops that `output` depends on."""
    waiting, seen, found = [output], {output}, []
    while waiting:
        node = waiting.pop()
        if not node.is_leaf and node.op in ops:
            found.append(node)
        for parent in node.inputs:
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return found


def _in_units(model: Module) -> bool:
    return isinstance(model.output_layer, Denormalize)


def _some(numbers: Sequence[int] | Array) -> str:
    shown = ", ".join(str(int(n)) for n in numbers[:6])
    return shown + (" …" if len(numbers) > 6 else "")
