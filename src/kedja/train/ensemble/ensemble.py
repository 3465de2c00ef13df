"""`Ensemble`: networks of one build from several starting values, trained at once and asked together (scope 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kedja.elsewhere import Answering
from kedja.engines import Engine, asked
from kedja.errors import DataError, GraphError
from kedja.lent import borrowed
from kedja.nn import losses
from kedja.nn.layers import Activation
from kedja.nn.model import Module, Sequential
from kedja.optim import get as get_optimizer
from kedja.train.copying import made_by
from kedja.train.ensemble.anatomy import expect_alike
from kedja.train.ensemble.answers import Answers, Judge, answers
from kedja.train.ensemble.fitting import Wish, fit_members
from kedja.train.ensemble.history import EnsembleHistory
from kedja.train.ensemble.spread import Spread, decided, log_mean, spread_of
from kedja.train.evaluation import as_inputs, as_targets, evaluator, output_shape
from kedja.train.foreign import refuse_foreign
from kedja.train.metrics import get_all
from kedja.train.metrics.metric import threshold
from kedja.train.parts import as_weights, unpacked
from kedja.train.training import training_of

__all__ = ["Ensemble"]

Array = np.ndarray[Any, Any]
LIKELIHOODS = {"binary_cross_entropy": "sigmoid", "cross_entropy": "softmax", "kl_divergence": "softmax"}


class Ensemble(Answering):
    """`n` networks like `net`, each from its own starting values, trained at once in one program.

    `net` is a model: the members are copies of it, and at the first `fit` their starting weights are drawn anew, except
    in frozen layers. Or a function that makes a model, called n times (with the member's number if it takes one); what
    it gives already built keeps its weights. Or a list of models that are there already. Members are built alike; only
    weights and run-time numbers, such as a dropout rate, differ.

    Member k of `fit(seed=s)` is the network that `net.fit(seed=s + k)` alone would give, to rounding: starting
    weights, order of rows and dropout are those of its own seed. `members[k]` is that network, a plain model.

    What the members say together: the mean of their outputs; of a classifier, the mean of their probabilities. Members
    that diverged in the last `fit` (`diverged`) do not take part: `voices` are those that do.
    Derivative: none is needed; the gradient of each member is its own.
    Source: Hansen and Salamon 1990; Lakshminarayanan, Pritzel and Blundell 2017; bootstrap: Breiman 1996.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(8, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
    >>> five = kj.Ensemble(net, 5)
    >>> history = five.fit(x, y, loss="binary_cross_entropy", optimizer=kj.optim.Adam(0.1), epochs=200, seed=0)
    >>> five.predict_labels(x).tolist(), len(history.members)
    ([0, 1, 1, 0], 5)
    """

    def __init__(self, net: Module | Callable[..., Module] | Sequence[Module], n: int | None = None) -> None:
        if isinstance(net, list | tuple):
            self._members = list(net)
            if n is not None and n != len(net):
                raise DataError(f"Ensemble: {len(net)} models were given and n is {n}: leave n out")
            if not net or not all(isinstance(m, Module) for m in net):
                raise GraphError("Ensemble takes a model, a function that makes one, or a list of models")
            if len({id(m) for m in net}) < len(net):
                raise GraphError("Ensemble: one of the models stands there twice; a member counts once")
        else:
            if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
                raise DataError(f"Ensemble: n is how many networks there are, at least 1; got {n!r}")
            make = made_by(net, "Ensemble")  # type: ignore[arg-type]
            self._members = [make(k) for k in range(int(n))]
            if len({id(m) for m in self._members}) < n:
                raise GraphError("Ensemble: the function gave the same model twice. It must make a new one each time.")
        expect_alike(self._members)
        self.waiting = [isinstance(net, Module)] * len(self._members)  # whose starting weights are to be drawn
        self.history: EnsembleHistory | None = None
        self.diverged: dict[int, str] = {}  # members whose numbers were not finite in the last `fit`, and when
        self.epochs = 0
        self.programs: dict[Any, Any] = {}
        self.paces: dict[Any, float] = {}

    # --- its members ------------------------------------------------------------------------------------------------
    @property
    def members(self) -> list[Module]:
        """The networks, plain models each."""
        return list(self._members)

    @property
    def voices(self) -> list[Module]:
        """The members that count in what is said together: all but those that diverged in the last `fit`."""
        sound = [m for k, m in enumerate(self._members) if k not in self.diverged]
        return sound or self.members

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._members)

    def __repr__(self) -> str:
        return f"Ensemble of {len(self)}: {self._members[0]!r}"

    def __getattr__(self, name: str) -> Any:
        return borrowed(self, name)

    def count_parameters(self) -> int:
        """How many numbers learning can change, in all members together."""
        return sum(m.count_parameters() for m in self._members)

    # --- learning ---------------------------------------------------------------------------------------------------
    def compile(self, *, loss: Any = None, optimizer: Any = None, metrics: Any = None) -> Ensemble:
        """Say once how `fit` and `evaluate` shall go about it; returns the ensemble."""
        for member in self._members:
            training = training_of(member)
            training.loss = losses.get(loss) if loss is not None else training.loss
            training.chosen = get_optimizer(optimizer) if optimizer is not None else training.chosen
            training.metrics = get_all(metrics) if metrics is not None else training.metrics
        return self

    def fit(
        self, x: Any, y: Any = None, *, loss: Any = None, optimizer: Any = None, epochs: int = 1,
        batch_size: int | None = 32, validation: Any = None, metrics: Any = None, shuffle: bool | str = True,
        bootstrap: bool = False, seed: Any = None, sample_weight: Any = None, class_weight: Any = None,
        regularizer: Any = None, callbacks: Any = (), engine: str | Engine = "auto", verbose: int | None = None,
        kernels: str | None = None, **unknown: Any,
    ) -> EnsembleHistory:  # fmt: skip
        """Train every member at once; arguments as for the `fit` of a model, and these besides.

        `optimizer`: one for all, or a list of one for each, which differ in their numbers: so several learning rates
        are tried in one program. `seed`: a number s (member k has s + k) or a list. `shuffle="shared"`: all members
        take the rows in the same order, which is a little faster. `bootstrap`: each member learns from as many rows,
        drawn with replacement. A share for `validation` is the same rows for all. A member whose numbers are no longer
        finite goes back to its last good epoch and stays there, with a warning; the others go on, and speak without it.

        >>> import kedja as kj
        >>> x, y = kj.data.load("xor")
        >>> rates = [kj.optim.SGD(rate) for rate in (0.01, 0.1, 0.3)]
        >>> three = kj.Ensemble(kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(1)]), 3)
        >>> history = three.fit(x, y, loss="mse", optimizer=rates, epochs=50, seed=0)
        >>> [len(h["loss"]) for h in history.members]
        [50, 50, 50]
        """
        refuse_foreign(unknown, ["x", "y", *(Wish.__annotations__), "kernels"])
        engine = asked(engine, kernels)
        free: list[Any] = []
        try:
            for k, member in enumerate(self._members):
                if not training_of(member).busy.acquire(blocking=False):
                    raise GraphError(f"member {k} is being trained already, in another thread")
                free.append(training_of(member).busy)
            wish = Wish(
                loss, optimizer, epochs, batch_size, validation, metrics, shuffle, bootstrap, seed, sample_weight,
                class_weight, regularizer, callbacks, engine, verbose,
            )  # fmt: skip
            return fit_members(self, x, y, wish)
        finally:
            for lock in free:
                lock.release()

    def reset(self, seed: Any = None) -> Ensemble:
        """Start over: new starting values, optimisers and epochs at zero. Returns the ensemble."""
        for k, member in enumerate(self._members):
            if seed is not None or member.built:
                member.reset(None if seed is None else int(seed) + k)
        self.epochs, self.diverged, self.history = 0, {}, None
        return self

    # --- being asked ------------------------------------------------------------------------------------------------
    def predict(
        self, x: Any, *, uncertainty: bool = False, engine: str | Engine = "auto", kernels: str | None = None
    ) -> Any:
        """What the members say together: as one of them would, in the same units; with `uncertainty` a `Spread`.

        The mean of the outputs. Where those are logits, the logits of the mean probability, so that a softmax of them
        is `predict_proba`.
        """
        if uncertainty:
            return self.spread(x, engine=engine, kernels=kernels)
        return self._together(self._answers(x, engine, kernels))

    def predict_proba(self, x: Any, *, engine: str | Engine = "auto", kernels: str | None = None) -> Array:
        """The mean of the members' probabilities."""
        found = self._answers(x, engine, kernels)
        of = self._kind(found)
        if of is None:
            raise GraphError(
                "predict_proba: the outputs are no probabilities. End the model with activation='sigmoid' or "
                "'softmax', or train it with cross_entropy or binary_cross_entropy."
            )
        return spread_of(found.raw, of).mean

    def predict_labels(self, x: Any, *, engine: str | Engine = "auto", kernels: str | None = None) -> Array:
        """The class of every row, (n,) int64: the most likely one by the mean."""
        found = self._answers(x, engine, kernels)
        of = self._kind(found)
        if of is not None:
            return decided(spread_of(found.raw, of).mean)
        mean = found.raw.mean(0)
        if mean.ndim > 1 and mean.shape[-1] > 1:
            best: Array = mean.argmax(-1)
            return best
        loss = training_of(self._members[0]).loss
        scores = loss is not None and loss.name in ("hinge", "squared_hinge")
        single: Array = (mean.reshape(len(mean)) > threshold("scores" if scores else "values")).astype(np.int64)
        return single

    def spread(self, x: Any, *, engine: str | Engine = "auto", kernels: str | None = None) -> Spread:
        """How far the members agree on each row: mean and std, for classifiers entropy and disagreement too.

        >>> import kedja as kj
        >>> nets = [kj.Sequential([kj.nn.Dense(1, init="zeros")]).build((None, 1)) for _ in range(2)]
        >>> nets[1].layers[0].bias.assign([2.0])
        >>> found = kj.Ensemble(nets).spread([[5.0]])
        >>> found.mean.tolist(), found.std.tolist()
        ([[1.0]], [[1.0]])
        """
        found = self._answers(x, engine, kernels)
        return spread_of(found.raw, self._kind(found))

    def evaluate(
        self, x: Any, y: Any = None, *, loss: Any = None, metrics: Any = None, sample_weight: Any = None,
        engine: str | Engine = "auto", kernels: str | None = None,
    ) -> dict[str, float]:  # fmt: skip
        """The loss and metrics of what the members say together, over x and y (or a data set)."""
        rows, _, targets, weights, chosen, measures = self._asked(x, y, loss, metrics, sample_weight)
        found = self._answers(rows, engine, kernels)
        of = self._kind(found, chosen)
        z = found.raw.mean(0) if of is None else log_mean(found.raw, of)
        said = np.asarray(z, found.raw.dtype)
        ending = [Activation(found.ending)] if found.ending else []
        voice = Sequential([Activation("linear"), *ending], dtype=said.dtype).build((None, *said.shape[1:]))
        return evaluator(voice, chosen, measures, [said], targets, weights, "reference")()

    def evaluate_members(
        self, x: Any, y: Any = None, *, loss: Any = None, metrics: Any = None, sample_weight: Any = None,
        engine: str | Engine = "auto", kernels: str | None = None,
    ) -> list[dict[str, float]]:  # fmt: skip
        """The loss and metrics of each member alone, over x and y (or a data set)."""
        _, inputs, targets, weights, chosen, measures = self._asked(x, y, loss, metrics, sample_weight)
        return Judge(self._members, chosen, measures, inputs, targets, weights, asked(engine, kernels))()

    def _asked(self, x: Any, y: Any, loss: Any, metrics: Any, sample_weight: Any) -> tuple[Any, ...]:
        """The arguments of `evaluate`, checked."""
        first = self._members[0]
        training = training_of(first)
        first.expect_weights()
        x, y = unpacked(x, y, model=first)
        inputs = as_inputs(first, x)
        chosen = losses.get(loss) if loss is not None else training.loss
        targets = as_targets(first, y, len(inputs[0]), chosen, output_shape(first, inputs))
        weights = None if sample_weight is None else as_weights(sample_weight, len(targets)).astype(inputs[0].dtype)
        measures = get_all(metrics) if metrics is not None else training.metrics
        if chosen is None and not measures:
            raise DataError("evaluate needs a loss or metrics: fit the ensemble, or give loss=... or metrics=[...]")
        return x, inputs, targets, weights, chosen, measures

    def _answers(self, x: Any, engine: str | Engine, kernels: str | None) -> Answers:
        return answers(self.voices, x, asked(engine, kernels), self.programs)

    def _kind(self, found: Answers, loss: Any = None) -> str | None:
        """What the raw numbers are logits of: "softmax", "sigmoid", or None when they are no logits."""
        loss = loss or training_of(self._members[0]).loss
        return found.ending or (LIKELIHOODS.get(loss.name) if loss is not None else None)

    def _together(self, found: Answers) -> Array:
        if found.ending:
            return spread_of(found.raw, found.ending).mean
        of = self._kind(found)
        mean: Array = found.raw.mean(0) if of is None else np.asarray(log_mean(found.raw, of), found.raw.dtype)
        return mean
