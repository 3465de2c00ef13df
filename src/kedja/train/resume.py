"""A run written down at one moment, and a later run that begins at that moment and gives the same bits."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, FormatError
from kedja.graph.variables import State, Variable
from kedja.nn.model import Module
from kedja.optim.optimizer import LAYERS, RATE
from kedja.train.checkpoints import Checkpoints
from kedja.train.identity import machine, mismatches, numbers_of
from kedja.train.scalars import Scalars
from kedja.train.snapshot import Snapshot
from kedja.train.training import Training

if TYPE_CHECKING:
    from kedja.train.run import Run

__all__ = ["Resumed", "snapshot_of"]

MODEL, MEMORY, OTHER = "model.", "memory.", "other."
NOW, EPOCH = "now.", "epoch."  # the values of this moment, and those of the unfinished epoch's start


def snapshot_of(run: Run) -> Snapshot:
    """The run as it is between two steps, when every callback has been told of what is behind it."""
    training, history = run.training, run.history
    done = sum(map(len, run.pending))
    arrays: dict[str, Any] = {}
    at = dict(zip(run.runner.loop.variables, run.runner.state, strict=True))
    for path, variable in _variables(run.model, training, run.runner.loop.variables).items():
        if done:
            arrays[EPOCH + path] = np.asarray(run.good.get(variable, variable.raw))
        arrays[NOW + path] = np.asarray(at.get(variable, variable.raw))
    if done:
        arrays["pending"] = np.concatenate(run.pending)
    arrays["history.epoch"] = history["epoch"]
    for name in history.metrics:
        arrays["history.of." + name] = history[name]
    facts = {
        "identity": run.identity,
        "machine": machine(history.engine),
        "numbers": numbers_of(run.scalars),
        "first": run.first,
        "epochs": training.epochs,
        "steps": done,
        "asked": run.course.epochs,
        "trainable": [layer.trainable for layer in _layers(run.model)],
        "learned": list(training.parameters),
        "reason": run.reason,
        "start_seed": run.model.start_seed,
        "history": {
            "seed": history.seed, "engine": history.engine, "settings": history.settings, "steps": history.steps,
            "seconds": run.seconds, "compile_seconds": history.compile_seconds,
        },
        "columns": list(history.metrics),
        "callbacks": [{"class": type(c).__name__, "memory": c.memory()} for c in run.callbacks],
    }  # fmt: skip
    return Snapshot(facts, arrays)


def _layers(model: Module) -> list[Any]:
    """The model and the layers in it, each once."""
    return list({id(layer): layer for layer in [model, *(layer for _, layer in model.layers_by_path())]}.values())


def _variables(model: Module, training: Training, used: Sequence[Variable]) -> dict[str, Variable]:
    """Every variable of a run by a name: the model's, the optimiser's, and others that its steps use."""
    found = {MODEL + path: v for path, v in model.state.items()}
    found.update({MEMORY + path: v for path, v in training.memory.items()})
    known = set(found.values())
    found.update({f"{OTHER}{i}": v for i, v in enumerate(used) if v not in known})
    return found


class Resumed:
    """A checkpoint that a call of `fit` is asked to continue."""

    def __init__(self, path: Path, snapshot: Snapshot) -> None:
        self.path, self.snapshot, self.facts = path, snapshot, snapshot.facts

    @classmethod
    def of(cls, folder: Any, written: Sequence[Path]) -> Resumed | None:
        """The newest checkpoint of a folder; None when it has none and this very call is to write there."""
        if not isinstance(folder, str | os.PathLike):
            raise DataError(f"resume is the folder of the checkpoints, such as 'run'; got {folder!r}")
        found = Checkpoints(folder).newest()
        if found is not None:
            return cls(*found)
        place = Path(folder)
        if any(place.resolve() == other.resolve() for other in written):
            return None
        what = "has no checkpoint in it" if place.is_dir() else "is no folder"
        raise FormatError(
            f"resume: {place} {what}. To begin a run that can be resumed, "
            f"give callbacks=[kj.callbacks.Checkpoint({str(folder)!r})]."
        )

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.facts["identity"]["seed"])

    def accept(self, identity: Mapping[str, Any], callbacks: Sequence[Any]) -> None:
        """Raise DataError, naming what differs, unless this call of `fit` is the one that was checkpointed."""
        wrong = mismatches(self.facts["identity"], identity, self.facts["numbers"])
        lacking = self._lacking(callbacks)
        wrong += [f"callbacks had {name}, which is missing now" for name in lacking]
        if wrong:
            raise DataError(
                f"resume: this is not the run that {self.path} belongs to, so nothing was changed.\n  "
                + ";\n  ".join(wrong)
                + ".\nCall fit with what it was given the first time, or begin a new run in another folder."
            )
        here = machine(identity["engine"])
        for name, was in self.facts["machine"].items():
            if here.get(name) != was:
                warnings.warn(
                    f"resume: {self.path} was written with {name} {was}, and here it is {here.get(name)}. "
                    "The run goes on, but its numbers may be rounded otherwise than they would have been there.",
                    stacklevel=5,
                )

    def _lacking(self, callbacks: Sequence[Any]) -> list[str]:
        """The classes of callbacks that had something to remember and are not there now."""
        here = [type(c).__name__ for c in callbacks]
        lacking = []
        for entry in self.facts["callbacks"]:
            if entry["class"] in here:
                here.remove(entry["class"])
            elif entry["memory"] and entry["class"] != "Checkpoint":
                lacking.append(entry["class"])
        return lacking

    def thaw(self, model: Module, training: Training) -> bool:
        """Freeze and set free the layers that were; whether that makes other steps than those of the run's start."""
        layers, flags, learned = _layers(model), self.facts["trainable"], self.facts["learned"]
        slots, present = self.snapshot.under(NOW + MEMORY), training.memory
        same = [layer.trainable for layer in layers] == flags and list(training.parameters) == learned
        if same and set(slots) == set(present):
            return False
        for layer, flag in zip(layers, flags, strict=True):
            if layer.trainable != flag:
                layer.trainable = flag
        state = model.state
        training.parameters, training.memory, training.loops = {path: state[path] for path in learned}, State(), {}
        for name, array in slots.items():
            kind = "counter" if array.dtype.kind in "iu" else "slot"
            new = Variable(array, name, dtype=array.dtype, kind=kind)
            training.memory.add(name, present[name] if name in present else new)  # noqa: SIM401 (no Mapping.get)
        return True

    def restore(self, model: Module, training: Training, scalars: Scalars, used: Sequence[Variable]) -> None:
        """Give model, optimiser and numbers the values they had: at the start of the epoch that is not finished."""
        prefix = EPOCH if self.facts["steps"] else NOW
        State(_variables(model, training, used)).restore(self.snapshot.under(prefix))
        training.epochs = self.facts["epochs"]
        model.start_seed = self.facts["start_seed"]
        give_numbers(scalars, self.facts["numbers"])

    def begin(self, run: Run) -> None:
        """Put a run where the other was: position, figures so far, values of the moment."""
        facts, here = self.facts, self.snapshot.under(NOW)
        run.identity = {**run.identity, "numbers": facts["identity"]["numbers"]} if run.identity else None
        run.first, run.reason = facts["first"], facts["reason"]
        if facts["steps"]:
            run.pending = [self.snapshot.arrays["pending"]]
            names = {v: name for name, v in _variables(run.model, run.training, run.runner.loop.variables).items()}
            run.runner.state = [here[names[v]] for v in run.runner.loop.variables]
        head = facts["history"]
        run.seconds_before = float(head["seconds"])
        history = run.history
        history.seed, history.engine, history.settings = head["seed"], head["engine"], head["settings"]
        history.steps = head["steps"]
        columns = self.snapshot.under("history.of.")
        history.extend(self.snapshot.arrays["history.epoch"], {name: columns[name] for name in facts["columns"]})

    def recall(self, callbacks: Sequence[Any]) -> None:
        """Give every callback back what it knew."""
        left = list(self.facts["callbacks"])
        for callback in callbacks:
            entry = next((e for e in left if e["class"] == type(callback).__name__), None)
            if entry is not None:
                left.remove(entry)
                callback.recall(entry["memory"])


def give_numbers(scalars: Scalars, wanted: Mapping[str, float]) -> None:
    """Set the run-time numbers to what they were, those that differ."""
    names, values = list(numbers_of(scalars)), scalars.values()
    given = dict(zip(names, zip(scalars.names, values, strict=True), strict=True))
    rule = scalars.optimizer
    count = len(rule.scalars)
    changed = {i for i, name in enumerate(given) if wanted[name] != values[i]}
    schedule = [i for i, name in enumerate(scalars.names[:count]) if name.startswith(RATE)]
    if changed & set(schedule):
        rule.learning_rate = rule.learning_rate.with_scalars([wanted[names[i]] for i in schedule])
    owners: list[tuple[Any, str]] = [(rule, name) for name in rule.scalars]
    owners += [(r, name) for r in scalars.regularizers for name in r.scalars]
    owners += [(layer, name) for _, layer, name in scalars.layers.layers]
    for i in sorted(changed - set(schedule)):
        owner, name = owners[i]
        if name.startswith(LAYERS):
            rule.layer_rates = {**rule.layer_rates, name.removeprefix(LAYERS): wanted[names[i]]}
        else:
            setattr(owner, name, wanted[names[i]])
