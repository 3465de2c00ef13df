"""Training one node at a time, and back again: forward, backward, update, with everything to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kedja.engines import Engine
from kedja.errors import DataError
from kedja.explain.backpropagation.passes import Passes
from kedja.explain.backpropagation.record import Record, Values, computed, ready
from kedja.explain.backpropagation.symbols import Cast
from kedja.explain.backpropagation.update import Update
from kedja.explain.show.blocks import Block, Line, Title, Words
from kedja.explain.show.figures import Figures
from kedja.explain.show.naming import Notation
from kedja.explain.show.page import Page
from kedja.explain.words import _
from kedja.graph.node import Tensor
from kedja.graph.variables import Variable

__all__ = ["Stepper", "stepper"]

Array = np.ndarray[Any, Any]
State = dict[Variable, Array]


class Stepper(Page):
    """A training run that is walked node by node; the model itself is not touched.

    Every training step has `len(stepper)` positions: 0 before anything is known, then one for each line forward, one
    for each line backward, and the last one the update. `next()` and `back()` move by one, across training steps too;
    `seek(step, position)` goes anywhere. Going back and forward again gives the same bits. At each position `line` is
    the line just done, `values` and `slopes` what is known so far by name, `weights` the present weights by path.
    """

    def __init__(
        self, record: Record, passes: Passes, update: Update, figures: Figures, engine: str | Engine, name: str = ""
    ) -> None:  # fmt: skip
        self.record, self.passes, self.rule, self.figures, self.engine = record, passes, update, figures, engine
        self.name = name
        self.batches: list[list[Array]] = []  # the examples of each training step; without any, always the same
        self.states: list[State] = [record.state()]  # before each training step that was reached
        self.step = self.position = 0
        self._programs: dict[Any, Any] = {}
        self._kept: dict[int, tuple[Values, list[Line], list[Line], list[Line]]] = {}
        self._tail: list[Tensor] = [*update.needed(), *(n for _v, n in record.updates), record.aim]
        self.forward_count = len(passes.cast.shown)

    # --- where it is --------------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        """The positions of one training step, the beginning not counted."""
        forward, backward, _update = self._lines()
        return len(forward) + len(backward) + 1

    @property
    def phase(self) -> str:
        """ "start", "forward", "backward" or "update"."""
        forward, backward, _update = self._lines()
        if self.position == 0:
            return "start"
        if self.position <= len(forward):
            return "forward"
        return "backward" if self.position <= len(forward) + len(backward) else "update"

    @property
    def line(self) -> Line | None:
        """The line just done; of the update, the first of its lines."""
        done = self._done()
        return done[-1] if done and self.phase != "update" else (self._lines()[2][0] if done else None)

    def _done(self) -> list[Line]:
        forward, backward, update = self._lines()
        every = [*forward, *backward]
        return every[: self.position] + (update if self.position > len(every) else [])

    @property
    def values(self) -> dict[str, Array]:
        """What is known of the forward pass, by name."""
        forward, _backward, _update = self._lines()
        return {line.name.text: np.asarray(line.value) for line in forward[: self.position]}

    @property
    def slopes(self) -> dict[str, Array]:
        """What is known of the backward pass, by name."""
        forward, backward, _update = self._lines()
        known = backward[: max(self.position - len(forward), 0)]
        return {line.name.text: np.asarray(line.value) for line in known}

    @property
    def weights(self) -> dict[str, Array]:
        """The weights as they are at this position: the new ones once the update is done."""
        state = self._state_after(self.step) if self.phase == "update" else self.states[self.step]
        return {path: state[v].copy() for path, v in self.record.parameters.items()}

    @property
    def loss(self) -> float:
        """The loss of this training step, before its update."""
        return float(self._computed(self.step)[self.record.aim])

    # --- moving -------------------------------------------------------------------------------------------------------
    def next(self, count: int = 1) -> Stepper:
        """Do the next node (or several); after the update, the next training step begins."""
        for _i in range(self._whole(count)):
            if self.position == len(self):
                self._state_after(self.step)
                self.step, self.position = self.step + 1, 0
            self.position += 1
        return self

    def back(self, count: int = 1) -> Stepper:
        """Undo the last node (or several), back to the very beginning."""
        for _i in range(self._whole(count)):
            if self.position == 0 and self.step == 0:
                raise DataError("this is the beginning: there is nothing to take back")
            if self.position <= 1 and self.step > 0:
                self.step, self.position = self.step - 1, len(self)
            else:
                self.position -= 1
        return self

    def finish(self) -> Stepper:
        """To the end of this training step (or, there, of the next): its update is done."""
        if self.position == len(self):
            self.next()
        self.position = len(self)
        return self

    def rewind(self) -> Stepper:
        """To the very beginning."""
        self.step = self.position = 0
        return self

    def seek(self, step: int, position: int = 0) -> Stepper:
        """To this position of this training step, both counted from 0."""
        if step < 0 or not 0 <= position <= len(self):
            raise DataError(
                f"there is no position {position} of step {step}: steps are 0, 1, …, positions 0 to {len(self)}"
            )
        while len(self.states) <= step:
            self._state_after(len(self.states) - 1)
        self.step, self.position = step, position
        return self

    @staticmethod
    def _whole(count: int) -> int:
        if not isinstance(count, int) or count < 0:
            raise DataError(f"how many nodes to go is a whole number of at least 0, got {count!r}")
        return count

    # --- numbers ------------------------------------------------------------------------------------------------------
    def _given(self, step: int) -> Values:
        given = self.record.given(step)
        if self.batches:
            arrays = self.batches[step % len(self.batches)]
            given.update(zip([*self.record.inputs, self.record.target], arrays, strict=True))
        return given

    def _computed(self, step: int) -> Values:
        """The numbers of one training step: always computed from the state before it, so that they are the same."""
        return self._step_of(step)[0]

    def _lines(self) -> tuple[list[Line], list[Line], list[Line]]:
        return self._step_of(self.step)[1:]

    def _step_of(self, step: int) -> tuple[Values, list[Line], list[Line], list[Line]]:
        if step not in self._kept:
            state = self.states[step]
            values = computed(
                [*self.passes.needed(), *self._tail], self._given(step), self.engine, state, self._programs
            )  # fmt: skip
            self.passes.known(values)
            self.rule.known(values, state)
            forward = self.passes.forward()
            backward = self.passes.backwards(len(forward) + 1)
            update = self.rule.lines(self.figures)
            self._kept = {step: (values, forward, backward, update)}
        return self._kept[step]

    def _state_after(self, step: int) -> State:
        """The state after a training step; kept, and the beginning of the next."""
        if len(self.states) <= step + 1:
            values = self.light(step)
            self.rule.known(values, self.states[step])
            self.states.append(self.rule.new_state(values))
            self._kept.pop(step, None)
        return self.states[step + 1]

    def light(self, step: int) -> Values:
        """The loss and the new weights of a training step, without the lines."""
        return computed(self._tail, self._given(step), self.engine, self.states[step], self._programs)

    # --- shown --------------------------------------------------------------------------------------------------------
    def blocks(self) -> Iterator[Block]:
        phases = {
            "start": _("nothing is computed yet"), "forward": _("forward"), "backward": _("backward"),
            "update": _("the weights are updated"),
        }  # fmt: skip
        title = _("Step {step}, position {at} of {all}: {phase}").format(
            step=self.step + 1, at=self.position, all=len(self), phase=phases[self.phase]
        )
        yield Title(f"{self.name}: {title}" if self.name else title, 1)
        if self.phase == "update":
            yield from self._lines()[2]
        elif self.line is not None:
            yield self.line
        coming = self._coming()
        if coming:
            yield Words(_("Next: {name}").format(name=coming))

    def _coming(self) -> str:
        forward, backward, _update = self._lines()
        every = [*forward, *backward]
        if self.position < len(every):
            return every[self.position].name.text
        return _("the update") if self.position == len(every) else _("the next step, with the new weights")

    def to_dict(self) -> dict[str, Any]:
        figures = self.figures
        return {
            "step": self.step, "position": self.position, "positions": len(self), "phase": self.phase,
            "loss": self.loss,
            "line": self.line.to_dict(figures) if self.line else None,
            "values": {k: figures.data(v) for k, v in self.values.items()},
            "slopes": {k: figures.data(v) for k, v in self.slopes.items()},
            "weights": {k: figures.data(v) for k, v in self.weights.items()},
        }  # fmt: skip


def stepper(
    model: Any, x: Any, y: Any, loss: Any = None, optimizer: Any = None, *, level: str = "op", notation: Any = None,
    digits: int = 4, engine: str | Engine = "reference", training: bool = True, seed: int = 0, name: str = "",
) -> Stepper:  # fmt: skip
    """Training, one node at a time. Arguments as for `backprop`; every training step takes all of x and y.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(1, use_bias=False, init="ones")]).build((None, 1))
    >>> walk = kj.explain.stepper(net, [[2.0]], [[1.0]], loss="sse", optimizer=kj.optim.SGD(0.125))
    >>> walk.next().line.name.text, walk.values["o"].item(), walk.phase
    ('o', 2.0, 'forward')
    >>> walk.finish().weights["dense_1.kernel"].item(), walk.phase
    (0.5, 'update')
    >>> walk.back().weights["dense_1.kernel"].item(), walk.phase
    (1.0, 'backward')
    """
    inputs, targets, chosen, rule = ready(model, x, y, loss, optimizer, seed)
    record = Record(model, inputs, targets, chosen, rule, training=training, seed=seed)
    style = Notation.of(notation)
    figures = Figures(digits, transposed=style.transposed)
    cast = Cast(record, style, level)
    passes = Passes(cast, record.order, record.backward, record.reached.values(), figures)
    return Stepper(record, passes, Update(record, cast.names, cast.error), figures, engine, name)
