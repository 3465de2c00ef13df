"""What `fit` is given to learn from, opened: a stream where it is a source or batches, arrays where it is small."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.data.batches import Batches
from kedja.data.source import Part, Source
from kedja.errors import DataError, GraphError
from kedja.nn.layers import Denormalize
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.train.adapting import front_of
from kedja.train.parts import as_weights
from kedja.train.stream import ADAPT_BYTES, Feed, sample, separate, streamed, weights_of, whole
from kedja.train.streaming import Pace, StreamRunner

__all__ = ["Opened", "opened"]

Array = np.ndarray[Any, Any]


@dataclass
class Opened:
    """Data to learn from that are read meanwhile; `x` and `y` are rows that stand for all."""

    data: Source | Batches
    x: Any
    y: Any
    weights: Any  # of every row of a source; of each class for batches
    pace: Pace | None = None

    @property
    def rows(self) -> int | None:
        """How many rows there are, where it is known."""
        return self.data.rows if isinstance(self.data, Source) else None

    @property
    def weighted(self) -> bool:
        """Whether rows weigh differently."""
        return self.weights is not None or (isinstance(self.data, Batches) and self.data.peek().weight is not None)

    def runner(
        self, model: Module, loop: Any, inputs: Sequence[Array], y: Array, loss: Loss, outputs: tuple[int, ...],
        arguments: Sequence[Any], names: Mapping[Any, str], size: int, key: Any, shuffle: bool, span: tuple[int, int],
        short: Callable[[int], Any],
    ) -> StreamRunner:  # fmt: skip
        """What runs the steps of these data, for the epochs from the first of `span` to before the other."""
        feed = Feed(model, self.data, inputs, y, loss, outputs, self.weights, self.weighted)
        steps = self.data.expected if isinstance(self.data, Batches) else None
        self.pace = Pace(self.rows, size, steps)
        return StreamRunner(loop, feed, arguments, names, self.pace, key, shuffle, span, short)

    def settings(self) -> dict[str, Any]:
        """What the History says of the data: what they were, what was left out, and how long the device waited."""
        found: dict[str, Any] = {
            "source": repr(self.data),
            "input_stall": [] if self.pace is None else self.pace.stalls,
        }
        if isinstance(self.data, Source) and self.data.skipped:
            found["skipped"] = list(self.data.skipped)
        return found


def opened(
    model: Module, x: Any, y: Any, validation: Any, batch_size: int | None, full_batch: bool, accumulate: int,
    sample_weight: Any, class_weight: Any, seed: int,
) -> tuple[Opened | None, Any, Any, Any]:  # fmt: skip
    """The stream that x is (None: rows in memory), then x, y and validation as they are to be taken.

    A source that goes into one batch is read at once, and is arrays from there on.
    """
    data = streamed(x, y)
    if data is None:
        return None, x, y, validation
    if isinstance(data, Batches):
        if full_batch:
            raise DataError("this optimiser needs all rows at once, and batches come one by one: give it arrays.")
        if accumulate > 1:
            raise DataError("accumulate joins batches that fit cuts itself; these come as they are: yield larger ones.")
        if isinstance(validation, float | int):
            raise DataError(
                f"validation={validation} is a share of the rows, and batches show theirs one by one: give a pair "
                "(x, y), a source or other batches, validation=..."
            )
        _refuse_to_adapt(model, data)
        weights = weights_of(data, sample_weight, class_weight)
        return Opened(data, *sample(data), weights), *sample(data), validation
    if data.target is None:
        raise DataError(f"{data.name} has no targets to learn: give them too, as kj.data.npy('x.npy', 'y.npy').")
    given = None if sample_weight is None else as_weights(sample_weight, data.rows)
    part, held_out = separate(data, validation, seed)
    if batch_size is None or full_batch or (batch_size >= part.rows and accumulate == 1):
        return None, *whole(data), validation
    weights = weights_of(data, given, class_weight)
    if weights is not None and isinstance(part, Part) and part is not data:
        weights = weights[part.places]
    adapting = not model.built and any(_waiting(model))
    x, y = sample(part, ADAPT_BYTES, 1 << 30) if adapting else sample(part)
    return Opened(part, x, y, weights), x, y, held_out


def _waiting(model: Module) -> Any:
    yield from (layer for layer in front_of(model) if not layer.adapted)
    last = model.output_layer
    if isinstance(last, Denormalize) and not last.adapted:
        yield last


def _refuse_to_adapt(model: Module, data: Batches) -> None:
    if model.built:
        return
    for layer in _waiting(model):
        raise GraphError(
            f"{layer.title} measures the rows it is adapted to, and {data.name} shows one batch at a time: adapt it to "
            "some of the training rows first, layer.adapt(values)."
        )
