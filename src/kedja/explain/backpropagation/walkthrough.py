"""A walkthrough of one training step: forward, backward, update, with the user's own numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from kedja.engines import Engine
from kedja.errors import one_of
from kedja.explain.backpropagation.chain import Chain, weight_at
from kedja.explain.backpropagation.passes import Passes
from kedja.explain.backpropagation.record import Record, Values, computed, ready
from kedja.explain.backpropagation.symbols import Cast
from kedja.explain.backpropagation.update import Prediction, Update
from kedja.explain.show.blocks import Block, Line, Title, Words
from kedja.explain.show.figures import Figures
from kedja.explain.show.naming import Notation
from kedja.explain.show.page import Page
from kedja.explain.words import _, counted
from kedja.graph.node import Tensor

__all__ = ["Walkthrough", "backprop"]


class Walkthrough(Page):
    """What `backprop` and `graph` return. `forward`, `backward` and `update` are lists of lines, `chain` that of one
    weight; `prediction` compares the change of the loss with what the gradient foretold."""

    def __init__(self, title: str, intro: list[str], figures: Figures) -> None:
        self.title, self.intro, self.figures = title, intro, figures
        self.forward: list[Line] = []
        self.backward: list[Line] = []
        self.update: list[Line] = []
        self.chain: list[Line] = []
        self.notes: list[str] = []
        self.prediction: Prediction | None = None
        self.error = "E"
        self.values: dict[str, np.ndarray[Any, Any]] = {}

    def blocks(self) -> Iterator[Block]:
        yield Title(self.title, 1)
        for words in self.intro:
            yield Words(words)
        for note in self.notes:
            yield Words(note, note=True)
        sections = [
            (_("Forward"), self.forward), (_("Backward"), self.backward), (_("One weight"), self.chain),
            (_("Update"), self.update),
        ]  # fmt: skip
        for title, lines in sections:
            if lines:
                yield Title(title)
                yield from lines
        if self.prediction is not None:
            yield from self.foretold(self.prediction)

    def foretold(self, found: Prediction) -> Iterator[Block]:
        """The loss before and after, beside what the gradient said."""
        exact = replace(self.figures, digits=max(self.figures.digits, 6))

        def show(value: float) -> str:
            return exact.number(np.asarray(value))[0]

        yield Title(_("Was the gradient right?"))
        if found.plain is not None:
            yield Words(
                _("Foretold: -ε‖∇‖² = -{rate} · {norm} = {plain}").format(
                    rate=show(found.rate), norm=show(found.squared_norm), plain=show(found.plain)
                )
            )
        else:
            yield Words(_("Foretold: ∇·Δθ = {change}").format(change=show(found.foretold)))
        yield Words(
            _("Actual: {E} went from {before} to {after}, a change of {actual}").format(
                E=self.error, before=show(found.before), after=show(found.after), actual=show(found.actual)
            )
        )
        if found.actual > 0 > found.foretold:
            yield Words(
                _("The loss rose, although the gradient points down: the step was too long for the curve."), note=True
            )

    def to_dict(self) -> dict[str, Any]:
        said: dict[str, Any] = {"title": self.title, "intro": self.intro, "notes": self.notes}
        for name in ("forward", "backward", "chain", "update"):
            said[name] = [line.to_dict(self.figures) for line in getattr(self, name)]
        if self.prediction is not None:
            p = self.prediction
            said["loss"] = {
                "before": p.before, "after": p.after, "change": p.actual, "foretold": p.foretold, "plain": p.plain
            }  # fmt: skip
        return said

    def __getitem__(self, name: str) -> Any:
        """The value of a line by its name, as text: walk["∂E/∂W"]; of a weight, the one after the update."""
        for line in (*self.forward, *self.backward, *self.chain, *reversed(self.update)):
            if line.name.text == name:
                return line.value
        known = [line.name.text for line in (*self.forward, *self.backward, *self.chain, *self.update)]
        raise one_of("line", name, known)


def backprop(
    model: Any, x: Any, y: Any, *, loss: Any = None, optimizer: Any = None, weight: str | None = None,
    level: str = "op", notation: Any = None, digits: int = 4, engine: str | Engine = "reference",
    training: bool = True, seed: int = 0,
) -> Walkthrough:  # fmt: skip
    """Every step of one training step, with numbers: forward, backward, and the update. The model is not changed.

    `level`: "layer" has a line or two for each layer, "op" one for each op, "element" adds a formula for each number.
    `weight="dense_1.kernel[0, 1]"` (counted from 0) gives the whole chain of one weight instead. `notation` is
    "net/o/t" or "z/a/y", and "w[in,out]" or "w[out,in]", together in one string or as kj.explain.Notation. `digits`
    stand after the point. Without `loss` and `optimizer`, those the model was compiled or fitted with are meant.
    `training=False` explains the model as it predicts (no dropout); `seed` draws what is random, and starting weights.

    Raises DataError for a graph too large to explain whole (it names the levels), UnknownNameError for a weight that
    is not there, ShapeError for an index outside it. Source: scope 1.2, 1.5, 9.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(1, "sigmoid", use_bias=False)]).build((None, 2))
    >>> net.set_weights([[[2.0], [3.0]]])
    >>> walk = kj.explain.backprop(net, [0.4, 0.4], [1.0], loss="sse", optimizer=kj.optim.SGD(0.1))
    >>> print(walk.forward[0].name.text, "=", walk.forward[0].formula.text, "=", walk.forward[0].numbers.text)
    net = x @ W = (0.4, 0.4) @ (2, 3)
    """
    inputs, targets, chosen, rule = ready(model, x, y, loss, optimizer, seed)
    record = Record(model, inputs, targets, chosen, rule, training=training, seed=seed)
    style = Notation.of(notation)
    figures = Figures(digits, transposed=style.transposed)
    given = None if weight is None else weight_at(record, weight)
    cast = Cast(record, style, "layer" if given is not None and level == "op" else level)
    passes = Passes(cast, record.order, record.backward, record.reached.values(), figures)
    update = Update(record, cast.names, cast.error)
    chain = Chain(passes, record, *given) if given is not None else None
    needed: list[Tensor] = [*passes.needed(), *update.needed(), *(n for _v, n in record.updates), record.aim]
    needed += chain.needed() if chain is not None else []
    state = record.state()
    values = computed(needed, record.given(), engine, state)
    passes.known(values)
    update.known(values, state)
    walk = Walkthrough(_("One step of training, with numbers"), intro(record, style, given), figures)
    walk.error = cast.error.text
    if chain is not None and given is not None:
        walk.chain = chain.lines()
        walk.update = update.lines(figures, given[0], given[2])
    else:
        walk.forward, walk.backward = passes.forward(), passes.backwards(len(cast.shown) + 1)
        walk.update = update.lines(figures)
    if record.uses_logits is not None and cast.slopes:
        walk.notes.append(
            _("{E} is computed from {net}, before the softmax, where nothing overflows; its slope there is "
              "output − target.").format(E=cast.error.text, net=cast.names[record.uses_logits].text)
        )  # fmt: skip
    walk.prediction = foretold(record, update, values, engine)
    return walk


def foretold(record: Record, update: Update, values: Values, engine: str | Engine) -> Prediction:
    """The loss at the new weights, on the same examples and with the same random numbers."""
    new = update.new_state(values)
    held = {v: new[v] if v.trainable else update.state[v] for v in new}
    after = computed([record.aim], record.given(), engine, held)[record.aim]
    return update.prediction(float(values[record.aim]), float(after), new)


def intro(record: Record, style: Notation, given: Any) -> list[str]:
    """What is explained, and how it is written."""
    rows = len(record.arrays[0])
    said = [
        _("{model} with {parameters}, {rows}; loss {loss}, optimiser {optimizer}.").format(
            model=type(record.model).__name__,
            parameters=counted("{n} parameter", "{n} parameters", record.model.count_parameters()),
            rows=counted("{n} example", "{n} examples", rows), loss=record.loss.name, optimizer=record.optimizer,
        )
    ]  # fmt: skip
    if style.transposed:
        said.append(_("Weights are w[out, in]: a row for each unit; inputs are columns and stand on the right, W x."))
    else:
        said.append(_("Weights are w[in, out]: a column for each unit; inputs are rows and stand on the left, x W."))
    if given is not None:
        path, variable, index = given
        place = f"{path}[{', '.join(map(str, index))}]"
        said.append(_("The weight is {place} (counted from 0).").format(place=place))
        if variable.ndim == 2:
            said[-1] += " " + _("It leads from input {i} to unit {j} (counted from 1).").format(
                i=index[0] + 1, j=index[1] + 1
            )
    return said
