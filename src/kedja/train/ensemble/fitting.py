"""`Ensemble.fit`: from rows, a loss and optimisers to trained members. Arguments are checked first."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kedja.data.draws import uniform
from kedja.engines import Engine, choose, deciding, get_engine, known_as
from kedja.errors import DataError, GraphError
from kedja.graph.trace import Graph
from kedja.graph.variables import Variable
from kedja.nn import losses, regularizers
from kedja.nn.layers.layer import fresh_seed, trainable
from kedja.nn.model import Module
from kedja.ops.random import key_words
from kedja.optim import Minimizer, Optimizer
from kedja.optim import get as get_optimizer
from kedja.train.adapting import adapt
from kedja.train.copying import draw_anew
from kedja.train.ensemble.anatomy import expect_alike
from kedja.train.ensemble.answers import Judge
from kedja.train.ensemble.group import Course, Group, Steps
from kedja.train.ensemble.history import EnsembleHistory
from kedja.train.ensemble.run import EnsembleRun
from kedja.train.ensemble.stacking import Stacked, lanes, variables_of
from kedja.train.evaluation import as_inputs, as_targets, output_shape
from kedja.train.fit import whole
from kedja.train.history import History
from kedja.train.listeners import as_callbacks
from kedja.train.loop import TailedLoop
from kedja.train.metrics import get_all, of_steps
from kedja.train.parts import learned_rows, parted, row_weights, unpacked
from kedja.train.progress import progress
from kedja.train.scalars import Scalars, penalties_of
from kedja.train.step import Batch, columns, training_graph
from kedja.train.training import training_of

if TYPE_CHECKING:
    from kedja.train.ensemble.ensemble import Ensemble

__all__ = ["Wish", "fit_members"]

Array = np.ndarray[Any, Any]
BOOTSTRAP = 7  # the stream of random words that draws rows with replacement (data/draws.py)


@dataclass
class Wish:
    """What `Ensemble.fit` was asked for."""

    loss: Any
    optimizer: Any
    epochs: int
    batch_size: int | None
    validation: Any
    metrics: Any
    shuffle: bool | str
    bootstrap: bool
    seed: Any
    sample_weight: Any
    class_weight: Any
    regularizer: Any
    callbacks: Any
    engine: str | Engine
    verbose: int | None
    rows: Sequence[Array] | None = None  # of each member's own, where they are given (cross-validation)


def seeds_of(seed: Any, models: Sequence[Module]) -> list[int]:
    """A seed for each member: those given, those it had, or one after the other from a number."""
    n = len(models)
    if isinstance(seed, list | tuple | range | np.ndarray):
        seeds = [int(s) if isinstance(s, int | np.integer) and not isinstance(s, bool) else s for s in seed]
        if len(seeds) != n:
            raise DataError(f"seed has {len(seeds)} numbers for {n} members: give one for each, or a single one")
        if len(set(seeds)) < n:
            twice = next(s for s in seeds if seeds.count(s) > 1)
            raise DataError(f"seed {twice} is given twice: two members of one seed are the same network")
    elif seed is None:
        known = [training_of(m).seed for m in models]
        start = fresh_seed()
        seeds = [s for s in known if s is not None] if None not in known else [start + k for k in range(n)]
    else:
        key_words(seed)  # refuses what is no seed
        seeds = [int(seed) + k for k in range(n)]
    for s in seeds:
        key_words(s)
    return seeds


def rules_of(optimizer: Any, models: Sequence[Module]) -> list[Optimizer]:
    """The optimiser of each member: one for all, or a list of one kind that differ in their numbers."""
    if isinstance(optimizer, list | tuple):
        if len(optimizer) != len(models):
            raise DataError(f"optimizer has {len(optimizer)} entries for {len(models)} members: give one for each")
        rules = [get_optimizer(o) for o in optimizer]
    elif optimizer is not None:
        rules = [get_optimizer(optimizer)] * len(models)
    else:
        had = [training_of(m).chosen or training_of(m).optimizer for m in models]
        rules = [h or get_optimizer("adam") for h in had]
    for k, rule in enumerate(rules):
        if isinstance(rule, Minimizer):
            raise DataError(
                f"{type(rule).__name__} looks at the loss as often as it likes: train its members one by one"
            )
        if rule.structure() != rules[0].structure():
            raise DataError(
                f"member {k} has the optimiser {rule!r} and member 0 has {rules[0]!r}: in one program they are of one "
                "kind and differ in their numbers only"
            )
    return rules


def fit_members(ensemble: Ensemble, x: Any, y: Any, wish: Wish) -> EnsembleHistory:
    """Train all members in one program; a call that is refused leaves them as they were."""
    began = time.perf_counter()
    models = ensemble.members
    first = models[0]
    training = training_of(first)
    epochs = whole("epochs", wish.epochs)
    progress(None, verbose=wish.verbose)
    batch_size = None if wish.batch_size is None else whole("batch_size", wish.batch_size)
    loss = losses.get(wish.loss) if wish.loss is not None else training.loss
    if loss is None:
        raise DataError(f'fit needs a loss, such as loss="cross_entropy". Known: {", ".join(losses.LOSSES)}.')
    if wish.shuffle not in (True, False, "shared"):
        raise DataError(f'shuffle is True (each member an order of its own), "shared" or False; got {wish.shuffle!r}')
    rules = rules_of(wish.optimizer, models)
    measures = get_all(wish.metrics) if wish.metrics is not None else training.metrics
    penalty = regularizers.get(wish.regularizer) if wish.regularizer is not None else training.regularizer
    in_steps = of_steps(measures, validated=wish.validation is not None)
    hooks = as_callbacks(wish.callbacks)
    if any("gradient_norm" in hook.needs for hook in hooks):
        raise DataError("an ensemble has a gradient for each member: stop on a figure, such as the loss")
    seeds = seeds_of(wish.seed, models)

    undo = [m.restore_point() for m in models if not m.built]
    remembered = [(vars(training_of(m)), dict(vars(training_of(m)))) for m in models]
    kept = [(v, v.raw) for m in models for v in m.state.values()]
    try:
        x, y = unpacked(x, y, model=first)
        for k, model in enumerate(models):
            if not model.built and y is not None:
                shared = learned_rows(wish.validation, len(y), seeds[0])
                adapt(model, x, y, shared if wish.rows is None else wish.rows[k])
        inputs = as_inputs(first, x, learning=True)
        for k, model in enumerate(models):
            if ensemble.waiting[k] and model.built:
                draw_anew(model, seeds[k])
            model.build(*((None, *a.shape[1:]) for a in inputs), seed=seeds[k])
        expect_alike(models)
        outputs = output_shape(first, inputs)
        y = as_targets(first, y, len(inputs[0]), loss, outputs, learning=True)
        weights = row_weights(wish.sample_weight, wish.class_weight, y, len(y), inputs[0].dtype)
        (inputs, y, weights), held_out = parted(
            first, inputs, y, weights, wish.validation, seeds[0], loss, outputs
        )  # fmt: skip
        if held_out is not None and not isinstance(held_out, tuple):
            raise DataError(
                "an ensemble is validated on arrays: give validation=(x, y), a data set, or a share of the rows"
            )
        own = own_rows(wish, seeds, len(y))
        rows = len(y) if own is None else len(own[0])
        full = own is None and (batch_size is None or rules[0].full_batch or batch_size >= rows)
        size = rows if batch_size is None or rules[0].full_batch else min(batch_size, rows)
        free = [trainable(m) for m in models]
        if not free[0]:
            raise GraphError("the members have no parameter that can learn: every layer is frozen, or none has weights")
        for model, rule, parameters in zip(models, rules, free, strict=True):
            training_of(model).use(rule, parameters, model.state.of_kind("trainable"))
        scalars = [
            Scalars(m, rule, penalties_of(p, penalty)) for m, rule, p in zip(models, rules, free, strict=True)
        ]  # fmt: skip
        course = Course(
            epochs, rows, size, full, bool(wish.shuffle) and not (full and own is None),
            full or (own is None and wish.shuffle != True), seeds, own,  # noqa: E712  ("shared" is true too)
        )  # fmt: skip
        data = [*inputs, y] + ([] if weights is None else [weights])
        made = Compiling(ensemble, loss, in_steps, scalars[0], wish.engine, course)
        groups, names, key = made.groups(inputs, y, weights)
        name, named = groups[0].steps.loop.report.engine, known_as(wish.engine)[1]
        engine, kernels = get_engine(name, named or None), deciding(name, named)
        judge = None if held_out is None else Judge(models, loss, measures, *held_out, engine)
    except BaseException:
        for values, before in remembered:
            values.update(before)
        for variable, value in kept:
            variable.store(value)
        for take_back in undo:
            take_back()
        raise
    ensemble.waiting = [False] * len(models)
    for model, rule, seed in zip(models, rules, seeds, strict=True):
        own_training = training_of(model)
        own_training.loss, own_training.metrics, own_training.seed = loss, measures, seed
        own_training.chosen, own_training.regularizer = rule, penalty

    settings = {
        "loss": loss.name, "optimizer": rules[0].config(), "batch_size": size, "rows": rows, "members": len(models),
        "bootstrap": wish.bootstrap, **({"regularizer": penalty.config()} if penalty is not None else {}),
        **({"kernels": kernels} if kernels else {}),
    }  # fmt: skip
    histories = [
        History(seed=s, engine=name, settings={**settings, "optimizer": r.config()})
        for s, r in zip(seeds, rules, strict=True)
    ]  # fmt: skip
    done = ensemble.epochs
    history = EnsembleHistory(members=histories, first=done, seed=seeds[0], engine=name, settings=settings)
    dtype = next(iter(free[0].values())).dtype

    def numbers() -> list[list[float]]:
        return [s.values() for s in scalars]

    for group in groups:
        group.give(data, numbers(), dtype)
    run = EnsembleRun(
        ensemble, groups, history, judge, in_steps, course, names, numbers, rules[0], loss, hooks
    )  # fmt: skip
    spent = compile_seconds(groups)
    try:
        run.go(ensemble.paces.get(key), wish.verbose)
    finally:
        engine.rest()
        ensemble.paces[key] = run.pace or 0.0
        ensemble.epochs = done + len(history)
        ensemble.diverged = dict(run.lost)
        history.seconds = time.perf_counter() - began
        history.compile_seconds = compile_seconds(groups) - spent
        ensemble.history = history
        for model, own_history in zip(models, histories, strict=True):
            own_history.stopped = own_history.stopped or history.stopped
            model.__dict__["history"] = own_history
    if run.lost:
        told = "; ".join(f"member {k} (learning rate {rules[k].rate_at(0):g}) {t}" for k, t in run.lost.items())
        warnings.warn(
            f"{told}. It has the weights of its last good epoch and no say in the ensemble; the others went on.",
            stacklevel=3,
        )
    return history


def compile_seconds(groups: Sequence[Group]) -> float:
    """How long compiling took so far."""
    reports = {id(g.steps): g.steps.loop.report for g in groups}.values()
    return float(sum(r.compile_seconds + r.lower_seconds for r in reports))


def own_rows(wish: Wish, seeds: Sequence[int], rows: int) -> list[Array] | None:
    """The rows each member learns from: all (None), those given, or as many drawn with replacement (Breiman 1996)."""
    if wish.rows is not None:
        return list(wish.rows)
    if not wish.bootstrap:
        return None
    return [(uniform(rows, seed, BOOTSTRAP) * rows).astype(np.int64) for seed in seeds]


class Made(NamedTuple):
    """A step as it was traced: its graph and engine, what it puts out, and the compiled steps of so many members."""

    graph: Graph
    engine: Engine
    names: list[str]
    steps: dict[int, Steps]


class Compiling:
    """Finds or makes the compiled steps of an ensemble."""

    def __init__(
        self, ensemble: Ensemble, loss: Any, metrics: Sequence[Any], scalars: Scalars, engine: str | Engine,
        course: Course,
    ) -> None:  # fmt: skip
        self.ensemble, self.loss, self.metrics, self.scalars = ensemble, loss, metrics, scalars
        self.engine, self.course = engine, course
        self.model = ensemble.members[0]
        self.parameters = trainable(self.model)

    def groups(self, inputs: Sequence[Array], y: Array, weights: Array | None) -> tuple[list[Group], list[str], Any]:
        """The groups, what each number of a step is, and what the steps are known by."""
        course, models = self.course, self.ensemble.members
        layers = [self.model, *(layer for _, layer in self.model.layers_by_path())]
        coupled = bool(course.left) and any(layer.couples_rows and layer.trainable for layer in layers)
        batch = Batch(inputs, y, course.size, weights is not None, padded=bool(course.left) and not coupled)
        name = known_as(self.engine)
        memory = training_of(self.model).memory
        key = (
            batch.key(), self.loss.structure(), tuple(m.structure() for m in self.metrics), self.scalars.structure(),
            name, course.full, course.together, course.rows, tuple(self.parameters), tuple(map(id, memory.values())),
            tuple(layer.trainable for layer in layers),
        )  # fmt: skip
        if key not in self.ensemble.programs:
            graph = self.graph(batch)
            names = columns(graph, self.metrics, batch, bool(self.scalars.penalties), False)
            self.ensemble.programs[key] = Made(graph, choose(self.engine, graph), names, {})
        made: Made = self.ensemble.programs[key]
        steps = made.steps
        parted_members = lanes(len(models), made.engine.name)
        for size in {len(part) for part in parted_members}:
            if size not in steps:
                held: dict[Variable, Variable] = {}
                loop, paths = self.loop(made.graph, batch, size, made.engine, held)
                if coupled:
                    end = Batch(inputs, y, course.left, weights is not None, padded=False)
                    tail, _ = self.loop(self.graph(end), end, size, made.engine, held)
                    loop = TailedLoop(loop, tail, course.spe)
                steps[size] = Steps(loop, paths)
        found = [Group(part, [models[k] for k in part], steps[len(part)], course) for part in parted_members]
        return found, made.names, key

    def graph(self, batch: Batch) -> Any:
        """The step of one member."""
        return training_graph(
            self.model, self.loss, self.scalars, training_of(self.model).memory, self.metrics, batch, self.parameters
        )  # fmt: skip

    def loop(
        self, graph: Any, batch: Batch, members: int, engine: Engine, held: dict[Variable, Variable]
    ) -> tuple[Any, dict[Any, str]]:  # fmt: skip
        """The loop of so many members, and the paths of its variables."""
        paths = {v: path for path, v in variables_of(self.model).items()}
        data = len(batch.x) + 1 + batch.weighted
        nodes = data + batch.padded
        stacked = Stacked(graph, paths, members, nodes, together=self.course.together, verdict=True, held=held)
        made = engine.loop(stacked.graph, data=data, padded=batch.padded, ordered=not self.course.full)
        return made, stacked.paths
