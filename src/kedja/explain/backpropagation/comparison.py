"""Up to three runs side by side: from the same weights, on the same batches, with one thing different."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kedja.engines import Engine
from kedja.errors import DataError, one_of
from kedja.explain.backpropagation.record import ready
from kedja.explain.backpropagation.stepping import Stepper, stepper
from kedja.explain.show.blocks import Block, Title, Words
from kedja.explain.show.page import Page
from kedja.explain.show.table import Table
from kedja.explain.words import _, counted
from kedja.ops.random import fold_array, key_words, permutation_array

__all__ = ["Comparison", "compare"]

MOST = 3
ROWS = 12  # of the table
SETTINGS = ("name", "model", "loss", "optimizer", "training")
Array = np.ndarray[Any, Any]


class Comparison(Page):
    """Runs side by side. `steppers` can be walked node by node, each alone or all together with `next()` and `back()`.

    `losses` are the losses before each training step, one row a run; NaN from where a run broke down.
    """

    def __init__(self, steppers: Sequence[Stepper], steps: int) -> None:
        self.steppers, self.steps = list(steppers), steps
        self.figures = steppers[0].figures
        self.losses = np.array([_losses(s, steps) for s in steppers])

    @property
    def names(self) -> list[str]:
        """What each run is called."""
        return [s.name for s in self.steppers]

    def next(self, count: int = 1) -> Comparison:
        """The next node in every run."""
        for s in self.steppers:
            s.next(count)
        return self

    def back(self, count: int = 1) -> Comparison:
        """One node back in every run."""
        for s in self.steppers:
            s.back(count)
        return self

    def finish(self) -> Comparison:
        """To the end of this training step in every run."""
        for s in self.steppers:
            s.finish()
        return self

    def rewind(self) -> Comparison:
        """To the beginning in every run."""
        for s in self.steppers:
            s.rewind()
        return self

    def blocks(self) -> Iterator[Block]:
        yield Title(_("Side by side"), 1)
        yield Words(
            _("{steps} from the same weights, on the same examples. The loss before each step:").format(
                steps=counted("{n} step", "{n} steps", self.steps)
            )
        )
        which = np.unique(np.linspace(0, self.steps, min(ROWS, self.steps + 1)).round().astype(int))
        rows = [
            (str(k), *(self.figures.number(losses[k])[0] for losses in self.losses)) for k in which
        ]  # fmt: skip
        yield Table((_("step"), *self.names), rows, tuple(range(len(self.names) + 1)))
        for name, losses in zip(self.names, self.losses, strict=True):
            yield Words(self.said(name, losses))

    def said(self, name: str, losses: Array) -> str:
        """What became of a run; from batch to batch a loss always jumps."""
        first, last = losses[0], losses[-1]
        wrong = np.flatnonzero(~np.isfinite(losses))
        if wrong.size:
            return _("{name}: broke down at step {step}, the loss is no longer a number.").format(
                name=name, step=wrong[0]
            )
        show = self.figures.number
        words = _("{name}: from {first} to {last}.")
        if last > first:
            words = _("{name}: rose from {first} to {last}.")
        elif not self.steppers[0].batches and np.any(np.diff(losses) > 0.1 * first):
            words = _("{name}: from {first} to {last}, with jumps upwards.")
        return words.format(name=name, first=show(first)[0], last=show(last)[0])

    def to_dict(self) -> dict[str, Any]:
        return {
            "names": self.names, "steps": self.steps, "losses": self.losses.tolist(),
            "runs": [s.to_dict() for s in self.steppers],
        }  # fmt: skip


def _losses(s: Stepper, steps: int) -> list[float]:
    """The losses before each step, and after the last."""
    found: list[float] = []
    for k in range(steps + 1):
        if found and not np.isfinite(found[-1]):
            found.append(float("nan"))
            continue
        with np.errstate(all="ignore"):
            found.append(float(s.light(k)[s.record.aim]))
            if k < steps and np.isfinite(found[-1]):
                s.seek(k + 1)
    s.rewind()
    return found


def compare(
    runs: Sequence[Mapping[str, Any]], x: Any, y: Any, *, model: Any = None, loss: Any = None, optimizer: Any = None,
    steps: int = 10, batch_size: int | None = None, seed: int = 0, level: str = "op", notation: Any = None,
    digits: int = 4, engine: str | Engine = "reference",
) -> Comparison:  # fmt: skip
    """Two or three runs that differ in what their dicts say: "model", "loss", "optimizer", "training", and a "name".

    What a run does not say is what the keywords say. All start from the weights of the first run's model, where the
    shapes are the same, and get the same batches of `batch_size` rows (None: all) in an order drawn from `seed`.
    `training=False` leaves dropout out. No model is changed.

    Raises DataError for more than three runs, or for models whose weights have other shapes.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(1, use_bias=False, init="zeros")]).build((None, 1))
    >>> runs = [{"name": f"ε = {rate}", "optimizer": kj.optim.SGD(rate)} for rate in (0.01, 0.5, 2.5)]
    >>> print(kj.explain.compare(runs, [[1.0]], [[1.0]], model=net, loss="half_sse", steps=2))
    Side by side
    ════════════
    2 steps from the same weights, on the same examples. The loss before each step:
    <BLANKLINE>
    step  ε = 0.01  ε = 0.5  ε = 2.5
    ────────────────────────────────
       0       0.5      0.5      0.5
       1    0.4901    0.125    1.125
       2    0.4803   0.0312   2.5312
    ε = 0.01: from 0.5 to 0.4803.
    ε = 0.5: from 0.5 to 0.0312.
    ε = 2.5: rose from 0.5 to 2.5312.
    """
    if not 1 <= len(runs) <= MOST:
        raise DataError(f"up to {MOST} runs stand side by side, got {len(runs)}")
    if not isinstance(steps, int) or steps < 1:
        raise DataError(f"steps is how many training steps are taken, a whole number of at least 1; got {steps!r}")
    common = {"model": model, "loss": loss, "optimizer": optimizer, "training": True}
    found: list[Stepper] = []
    names: list[str] = []
    for i, run in enumerate(runs):
        for key in run:
            if key not in SETTINGS:
                raise one_of("setting of a run", key, SETTINGS)
        asked = {**common, **run}
        name = str(asked.pop("name", None) or _told(run) or _("run {n}").format(n=i + 1))
        name = f"{name} ({i + 1})" if name in names else name
        names.append(name)
        if asked["model"] is None:
            raise DataError("compare needs a model: model=net for all runs, or one in each run")
        inputs, targets, _loss, _rule = ready(
            asked["model"], x, y, asked["loss"], asked["optimizer"], seed
        )  # fmt: skip
        batches = batched([*inputs, targets], batch_size, steps, seed)
        first = batches[0] if batches else [*inputs, targets]
        given = tuple(first[:-1]) if len(first) > 2 else first[0]
        how = {"level": level, "notation": notation, "digits": digits, "engine": engine, "seed": seed, "name": name}
        made = stepper(
            asked["model"], given, first[-1], asked["loss"], asked["optimizer"], training=asked["training"], **how
        )
        made.batches = batches
        if found:
            _start_alike(found[0], made)
        found.append(made)
    return Comparison(found, steps)


def batched(arrays: Sequence[Array], size: int | None, steps: int, seed: int) -> list[list[Array]]:
    """The rows of every step, drawn from the seed alone: whole batches, a new order each time through."""
    rows = len(arrays[0])
    if size is None or size >= rows:
        return []
    if not isinstance(size, int) or size < 1:
        raise DataError(f"batch_size is a whole number of at least 1, or None for all rows; got {size!r}")
    found: list[list[Array]] = []
    epoch = 0
    while len(found) <= steps:
        order = permutation_array(fold_array(key_words(seed), epoch), rows)
        for at in range(0, rows - size + 1, size):
            found.append([a[order[at : at + size]] for a in arrays])
        epoch += 1
    return found


def _start_alike(first: Stepper, other: Stepper) -> None:
    """Give the second run the starting weights of the first."""
    ours, theirs = first.record.model.state, other.record.model.state
    a, b = [v for v in ours.values() if v.trainable], [v for v in theirs.values() if v.trainable]
    shapes = [v.shape for v in a], [v.shape for v in b]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"the runs cannot start from the same weights: those of {first.name!r} have shapes {shapes[0]}, those of "
            f"{other.name!r} {shapes[1]}"
        )
    for mine, its in zip(a, b, strict=True):
        other.states[0][its] = first.states[0][mine].copy()
    other._kept.clear()


def _told(run: Mapping[str, Any]) -> str:
    """A name from what is different."""
    said = [
        repr(v) if k == "optimizer" else f"{k}={v}" for k, v in run.items() if k in ("optimizer", "loss", "training")
    ]
    return ", ".join(said)
