"""`kedja train`: from a data set or a CSV file to a trained network in a run folder."""

from __future__ import annotations

import argparse
import dataclasses
import platform
import shlex
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from kedja.cli.arguments import parse
from kedja.cli.folder import TRAINING, Claim, begun_with, claimed, continued, remembered, shown, source
from kedja.cli.judge import Judgement, judge, told
from kedja.cli.recipe import Recipe, front, input_names, network, recipe_for, targets
from kedja.cli.report import Report, write_report
from kedja.cli.rows import Rows, learnable, parts
from kedja.data.named import names
from kedja.engines.choice import get_engine, kernels_of
from kedja.errors import DataError, DivergedError
from kedja.nn import Columns, Dense, Sequential
from kedja.nn.layers.layer import fresh_seed
from kedja.nn.regularizers import L2
from kedja.ops.random import key_words
from kedja.train.callbacks.checkpoint import Checkpoint
from kedja.train.history import History

__all__ = ["ready", "run", "undisturbed", "versions"]

MOST_TREATMENTS = 20  # columns whose treatment is shown even when there is nothing to it
SEEDS = 10_000  # a seed that is drawn is short enough to type again


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Train, write the run folder, say how well it went."""
    if options.resume is not None:
        return _resumed(options.resume, options.quiet)
    options.kernels = kernels_of(options.kernels)  # what the environment says is written down too
    if of_pictures(options):
        from kedja.cli import picture_run

        return picture_run.run(options, given)
    features = [name.strip() for name in options.features.split(",")] if options.features is not None else None
    rows = learnable(options.data, options.target, features, options.task)
    seed = fresh_seed() % SEEDS if options.seed is None else options.seed
    work = Work.of(options, rows, seed)
    with claimed(options.out, rows.name, lambda path: work.config(given, path)) as claim:
        return work.done(claim, work.config(given, claim.path))


def of_pictures(options: argparse.Namespace) -> bool:
    """Whether the data are a folder of images. Raises DataError for options that only those take."""
    if options.data not in names() and Path(options.data).is_dir():
        return True
    for name in ("model", "weights", "freeze", "unfreeze", "image_size"):
        if getattr(options, name):
            raise DataError(
                f"--{name.replace('_', '-')} is for a folder of images, as cats/1.jpg and dogs/1.jpg in it."
            )
    return False


def _resumed(folder: str, quiet: bool) -> int:
    """Go on with a run that was killed or interrupted, to the bits it would have had; one that has ended says so."""
    with continued(folder) as (claim, config):
        status = config["status"]
        if status.startswith("diverged"):
            raise DataError(
                f"{folder}: the run {status}. It would do so again: begin a new one with a lower --learning-rate."
            )
        if status != TRAINING and not status.startswith("interrupted"):
            print(claim.path if quiet else f"{folder} is finished: the run {status}. Its page is {folder}/report.html")
            return 0
        options = parse(config["repeat"][1:])
        assert options is not None
        options.quiet = quiet
        if "folder" in config["data"]:
            from kedja.cli import picture_run

            return picture_run.resumed(options, claim, config)
        rows = begun_with(config["data"], claim.path, options)
        claim.configure({**config, "status": TRAINING})
        return Work.of(options, rows, options.seed).done(claim, config)


@dataclasses.dataclass
class Work:
    """A training that is laid out: which rows do what, the network, how it is trained."""

    options: argparse.Namespace
    rows: Rows
    seed: int
    recipe: Recipe
    part: dict[str, Rows]
    net: Sequential
    optimizer: Any

    @classmethod
    def of(cls, options: argparse.Namespace, rows: Rows, seed: int) -> Work:
        """Everything that needs no folder; what is wrong is said before one is made."""
        key_words(seed)  # refuses what is no seed
        held_out = parts(rows, options.test, None, seed)
        recipe = recipe_for(rows, len(held_out["training"]), options)
        cut = parts(rows, options.test, recipe.validation, seed)
        part = {name: rows.part(which) for name, which in cut.items()}
        net, optimizer = network(recipe, part["training"])
        ready(options.engine)
        if threading.current_thread() is threading.main_thread():  # a polite end from outside is a Ctrl-C: all is kept
            signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
        return cls(options, rows, seed, recipe, part, net, optimizer)

    def config(self, given: Sequence[str], path: Path) -> dict[str, Any]:
        """What config.json of a run in this folder says."""
        return _config(self.options, given, self.recipe, self.seed, self.rows, self.part, path, front(self.net))

    def done(self, claim: Claim, config: dict[str, Any]) -> int:
        """Train, or go on where the folder's newest checkpoint is; fill the folder, tell."""
        net, part, recipe = self.net, self.part, self.recipe
        net.info.update(remembered(self.rows, {"test": self.options.test}, claim.path), loss=recipe.loss)
        history, failed = _fit(net, self.optimizer, part, recipe, self.seed, self.options, claim)
        with undisturbed():  # the second press of an impatient finger must not cost what the first one kept
            claim.keep = True
            report = _write(claim, net, history, part, config)
        if self.options.quiet:
            print(claim.path)
        else:
            _tell(claim, net, history, part, recipe, report)
        if failed is not None:
            raise failed
        return 130 if history.stopped.startswith("interrupted") else 0


def _fit(
    net: Sequential, optimizer: Any, part: dict[str, Rows], recipe: Recipe, seed: int, options: argparse.Namespace,
    claim: Claim,
) -> tuple[History, DivergedError | None]:  # fmt: skip
    """Train. Whatever ends it after the first step, what was learned until then is there to be kept."""
    train, watched = part["training"], part.get("validation")
    failed = None
    keep = Checkpoint(claim.checkpoints.folder, every="auto")
    try:
        history = net.fit(
            train.x,
            targets(train, recipe.loss),
            loss=recipe.loss,
            optimizer=optimizer,
            epochs=recipe.epochs,
            batch_size=None if recipe.batch_size == "all" else recipe.batch_size,
            validation=None if watched is None else (watched.x, targets(watched, recipe.loss)),
            regularizer=L2(recipe.penalty) if recipe.penalty else None,
            metrics=["rmse" if train.class_names is None else "accuracy"],
            seed=seed,
            callbacks=[keep],
            resume=keep.folder,
            engine=options.engine,
            kernels=options.kernels,
            verbose=0 if options.quiet else None,
        )
    except DivergedError as error:
        failed, history = error, error.history  # type: ignore[attr-defined]
    except KeyboardInterrupt:  # pressed twice, or before the first step
        history = getattr(net, "history", None)
        if history is None or not net.built:
            raise
        history.stopped = history.stopped or f"interrupted by Ctrl-C, back to the end of epoch {len(history)}"
    return history, failed


@contextmanager
def undisturbed() -> Iterator[list[int]]:
    """Inside, Ctrl-C is only counted; the caller decides what it means."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def ready(engine: str) -> None:
    """Load the engine. A Ctrl-C in the middle of loading a compiler ends some of them without another word."""
    with undisturbed() as pressed, suppress(*([ImportError] if engine == "auto" else [])):
        get_engine("xla" if engine == "auto" else engine)
    if pressed:
        raise KeyboardInterrupt


def _write(claim: Claim, net: Sequential, history: History, part: dict[str, Rows], config: dict[str, Any]) -> Judgement:
    """Fill the run folder: the weights first, and last the word that it has ended, for whoever would go on with it."""
    net.save(claim.path)
    history.to_csv(claim.path / "history.csv")
    history.to_jsonl(claim.path / "history.jsonl")
    name = "held-out" if "held-out" in part else "training"
    rows = part[name]
    kernels = config["options"].get("kernels")
    result = judge(net, rows, net.info["loss"], kernels)
    final = {f"{name} {figure}": value for figure, value in result.figures.items()}
    if name == "held-out":
        figure, value = next(iter(judge(net, part["training"], net.info["loss"], kernels).figures.items()))
        final[f"training {figure}"] = value
    shown_before = ("batch_size", "learning_rate", "loss")  # the history says them
    settings = {name: value for name, value in config["options"].items() if name not in shown_before}
    rule = history.settings["optimizer"]
    numbers = (f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in rule.items() if k != "name")
    settings.update({f"column {name}": told for name, told in _treatments(net).items()})
    settings["optimizer"] = ", ".join([rule["name"], *numbers])
    write_report(
        claim.path / "report.html",
        Report(
            history=history,
            title=f"{rows.name}: {_shape(net)}",
            created=config["created"],
            command=shlex.join(config["command"]),
            task=rows.task,
            data=rows.name,
            rows={name: len(some) for name, some in part.items()},
            settings={k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in settings.items()},
            final=final,
            layers=_layers(net, len(input_names(net, rows))),
            weights=[(np.asarray(k.value), np.asarray(b.value)) for k, b in _kernels(net)],
            feature_names=input_names(net, rows),
            class_names=rows.class_names or (),
            confusion=result.confusion,
            mistakes=result.mistakes,
            predictions=result.predictions,
            targets=rows.y if result.predictions is not None else None,
            target_name=rows.target,
            seed=history.seed,
            versions=config["versions"],
        ),
    )
    claim.configure({**config, "status": history.stopped, "seconds": history.seconds, "results": final})
    if not history.stopped.startswith("interrupted"):
        claim.checkpoints.clear()
    return result


def _treatments(net: Sequential) -> dict[str, str]:
    """What is done with each column of a file; of many, only with those that are not plain numbers."""
    columns = front(net)
    told = {} if columns is None else {name: what for name, _, what in columns.treatments.rows}
    return {k: v for k, v in told.items() if len(told) <= MOST_TREATMENTS or v != "standardised"}


def _kernels(net: Sequential) -> list[tuple[Any, Any]]:
    return [(layer.kernel, layer.bias) for layer in net.layers if isinstance(layer, Dense)]


def _shape(net: Sequential) -> str:
    """784-100-10."""
    kernels = [kernel for kernel, _ in _kernels(net)]
    return "-".join(str(n) for n in [kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels)])


def _layers(net: Sequential, width: int) -> list[tuple[str, str, object, int, str | None]]:
    """Name, kind, output shape, parameters and activation of every layer."""
    found: list[tuple[str, str, object, int, str | None]] = []
    for name, layer in net.members():
        width = layer.units if isinstance(layer, Dense) else width
        learned = sum(int(np.prod(v.shape)) for v in layer.state.of_kind("trainable").values())
        activation = layer.activation_name if isinstance(layer, Dense) else None
        found.append((name, type(layer).__name__, (width,), learned, activation))
    return found


def _config(
    options: argparse.Namespace, given: Sequence[str], recipe: Recipe, seed: int, rows: Rows, part: dict[str, Rows],
    path: Path, columns: Columns | None = None,
) -> dict[str, Any]:  # fmt: skip
    """All that is needed to repeat the run, with every default written out."""
    chosen = {**dataclasses.asdict(recipe), "engine": options.engine, "kernels": options.kernels, "seed": seed}
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "command": ["kedja", *given],
        "repeat": _repeat(options, recipe, seed),
        "data": {
            **source(rows, path), "task": rows.task, "target": rows.target, "features": list(rows.feature_names),
            "classes": rows.class_names, "rows": {name: len(some) for name, some in part.items()},
        },
        **({} if columns is None else {"columns": columns.treatments.to_dict()}),
        "options": {**chosen, "hidden": list(recipe.hidden)},
        "versions": versions(),
    }  # fmt: skip


def _repeat(options: argparse.Namespace, recipe: Recipe, seed: int) -> list[str]:
    """The command with everything said, so that later defaults do not matter."""
    words = ["kedja", "train", options.data]
    for name in ("target", "features", "task", "test"):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    words += ["--hidden", ",".join(map(str, recipe.hidden)) or "0"]
    for name in (
        "activation",
        "loss",
        "optimizer",
        "learning_rate",
        "epochs",
        "batch_size",
        "validation",
        "penalty",
        "schedule",
    ):
        words += [f"--{name.replace('_', '-')}", str(getattr(recipe, name))]
    if recipe.kinds:
        words += ["--kinds", ",".join(f"{column}={kind}" for column, kind in recipe.kinds)]
    return [*words, "--seed", str(seed), "--engine", options.engine, "--kernels", options.kernels]


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("kedja", "numpy", "jax", "jaxlib"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _tell(
    claim: Claim, net: Sequential, history: History, part: dict[str, Rows], recipe: Recipe, result: Judgement
) -> None:
    """A short summary, and how to go on."""
    train = part["training"]
    acts = [recipe.activation] * len(recipe.hidden) + [_kernel_layers(net)[-1].activation_name]
    count = sum(int(np.prod(v.shape)) for v in net.state.of_kind("trainable").values())
    print(f"{train.name}: {_shape(net)}, {', '.join(acts)}, {count:,} parameters, seed {history.seed}")
    for column, what in _treatments(net).items():
        print(f"  {column}: {what}")
    ended = history.stopped.split(":")[0]  # where a run diverged is said on stderr, in full
    print(f"{ended} on {len(train):,} rows in {history.seconds:.1f} s ({history.engine})\n")
    held = part.get("held-out")
    print("  " + told(result, held or train, "held-out" if held is not None else "training"))
    if train.name == "xor" and result.right < len(train) and not history.stopped.startswith("interrupted"):
        losses = history["loss"]
        falling = len(losses) < 10 or losses[-1] < 0.97 * losses[-len(losses) // 10 - 1]
        print(
            "  it is still learning: give it more --epochs."
            if falling
            else "  this start is stuck: from some weights the way down ends before the goal. Try another --seed."
        )
    run = shown(claim.path)
    print(f"\n  the page         {claim.path / 'report.html'}\n  on other rows    kedja evaluate {run} DATA")
    print(f"  ask it           kedja predict {run} FILE.csv")


def _kernel_layers(net: Sequential) -> list[Dense]:
    return [layer for layer in net.layers if isinstance(layer, Dense)]
