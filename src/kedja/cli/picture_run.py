"""`kedja train images/`: a network of the zoo on a folder of images, from its start or on a body that was pretrained.

With --freeze the body is held: what it makes of each image is worked out once, and only the head is trained, on that.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja import zoo
from kedja.cli.folder import TRAINING, Claim, claimed, shown
from kedja.cli.judge import Judgement, told
from kedja.cli.pictures import Pictures, features, judged, thumbnails
from kedja.cli.report import Report, write_report
from kedja.cli.rows import Rows, parts
from kedja.cli.train import ready, undisturbed, versions
from kedja.data.source import Part
from kedja.engines.choice import deciding, kernels_of
from kedja.errors import DataError, DivergedError, FormatError, one_of
from kedja.nn import Dense, Sequential
from kedja.nn.layers.layer import fresh_seed
from kedja.nn.regularizers import L2
from kedja.ops.random import key_words
from kedja.optim import get as get_optimizer
from kedja.optim.schedules import Cosine
from kedja.train.callbacks.checkpoint import Checkpoint
from kedja.train.history import History
from kedja.zoo.preprocessing import plainly

__all__ = ["PictureWork", "as_rows", "held_out", "resumed", "run"]

SEEDS = 10_000
SMALL = "small_resnet"
TOLD = ("batch_size", "learning_rate", "loss")  # by the history
FOR_TABLES = ("target", "features", "task", "kinds", "hidden", "activation")
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 1_000, 10, 100


@dataclass(frozen=True)
class Recipe:
    """How the network is made and trained, every default written out."""

    model: str
    weights: str | None
    freeze: bool
    unfreeze: str | None
    image_size: int
    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int
    validation: float
    penalty: float
    schedule: str
    loss: str = "cross_entropy"


@dataclass
class PictureWork:
    """A training that is laid out: the images, the network, what of it is trained on what."""

    options: argparse.Namespace
    seed: int
    recipe: Recipe
    pictures: Pictures
    part: dict[str, NDArray[np.int64]]
    net: Any

    @classmethod
    def of(cls, options: argparse.Namespace, seed: int) -> PictureWork:
        """Everything that needs no folder; what is wrong is said before one is made."""
        key_words(seed)
        for name in FOR_TABLES:
            if getattr(options, name) is not None:
                raise DataError(f"--{name} is for tables, and {options.data} is a folder of images.")
        if options.loss not in ("auto", "cross_entropy"):
            raise DataError(f"--loss {options.loss}: networks on a folder of images learn by cross_entropy.")
        networks = [n for n in zoo.__all__ if n != "torch_names"]
        name = options.model or SMALL
        if name not in networks:
            raise one_of("model", name, networks)
        if options.unfreeze is not None and not options.freeze:
            raise DataError("--unfreeze sets layers free that --freeze holds: say --freeze too.")
        net = _network(name, options)
        pictures = Pictures.in_classes(options.data, net.input_shape[1:3], net.info["preprocess"])
        if len(pictures.class_names or ()) < 2:
            raise DataError(f"{options.data} has one class folder; two are the fewest that can be told apart.")
        net = _for_classes(net, len(pictures.class_names or ()), options, seed)
        part = parts(as_rows(pictures), options.test, options.validation or 0.0, seed)
        recipe = _recipe(options, name, net, len(part["training"]))
        ready(options.engine)
        return cls(options, seed, recipe, pictures, part, net)

    @property
    def source(self) -> dict[str, str]:
        """Where the images are, for config.json."""
        return {"folder": str(self.pictures.folder), "contents": self.pictures.contents}

    def config(self, given: Sequence[str], path: Path) -> dict[str, Any]:
        """What config.json of a run in this folder says."""
        return {
            "created": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "command": ["kedja", *given],
            "repeat": self._repeat(),
            "data": {
                **self.source, "from_run": _way(self.pictures.folder, path), "task": "classification",
                "classes": self.pictures.class_names, "rows": {name: len(rows) for name, rows in self.part.items()},
            },
            "options": {
                **dataclasses.asdict(self.recipe), "engine": self.options.engine, "kernels": self.options.kernels,
                "seed": self.seed,
            },
            "versions": versions(),
        }  # fmt: skip

    def _repeat(self) -> list[str]:
        words = ["kedja", "train", self.options.data]
        for name, value in dataclasses.asdict(self.recipe).items():
            if value is True:
                words.append(f"--{name}")
            elif value not in (None, False):
                words += [f"--{name.replace('_', '-')}", str(value)]
        if self.options.test is not None:
            words += ["--test", str(self.options.test)]
        words += ["--seed", str(self.seed), "--engine", self.options.engine]
        return [*words, "--kernels", self.options.kernels]

    # --- the training -----------------------------------------------------------------------------------------------
    def done(self, claim: Claim, config: dict[str, Any]) -> int:
        """Train, or go on where the folder's newest checkpoint is; fill the folder, tell."""
        self.net.info.update(self._remembered(claim.path))
        body, learner = self._learner()
        rows = {name: self._rows(body, which) for name, which in self.part.items()}
        history, failed = self._fit(learner, rows, claim)
        with undisturbed():
            claim.keep = True
            result = self._write(claim, learner, history, rows, config)
        if self.options.quiet:
            print(claim.path)
        else:
            self._tell(claim, history, result)
        if failed is not None:
            raise failed
        return 130 if history.stopped.startswith("interrupted") else 0

    def _learner(self) -> tuple[Any, Any]:
        """The body whose features are worked out once, if all of it is held, and what is trained."""
        if not self.recipe.freeze or self.recipe.unfreeze is not None:
            return None, self.net
        head = self.net.layers[-1]
        return self.net.with_head([], share=True).build(), Sequential([head])

    def _rows(self, body: Any, which: NDArray[np.int64]) -> Rows:
        """Some of the images, or their features, as rows to learn from."""
        if body is None:
            return dataclasses.replace(
                as_rows(self.pictures), x=Part(self.pictures, which), y=self.pictures.labels()[which]
            )
        if not hasattr(self, "_features"):
            if not self.options.quiet:
                print(
                    f"features of {self.pictures.rows:,} images by the frozen layers of {self.recipe.model}", flush=True
                )
            kernels = kernels_of(self.options.kernels)
            key = _digest(body) + deciding("xla", kernels)
            self._features = features(body, self.pictures, key, self.options.engine, kernels)
        return dataclasses.replace(as_rows(self.pictures), x=self._features[which], y=self.pictures.labels()[which])

    def _fit(self, learner: Any, rows: dict[str, Rows], claim: Claim) -> tuple[History, DivergedError | None]:
        recipe, train, watched = self.recipe, rows["training"], rows.get("validation")
        rule = get_optimizer(recipe.optimizer)
        rate: Any = recipe.learning_rate
        if recipe.schedule == "cosine":
            rate = Cosine(rate, -(-len(train) // recipe.batch_size) * recipe.epochs)
        keep = Checkpoint(claim.checkpoints.folder, every="auto")
        streamed = isinstance(train.x, Part)
        x, y = (train.x, None) if streamed else (train.x, train.y)
        validation: Any = None if watched is None else watched.x if streamed else (watched.x, watched.y)
        failed = None
        try:
            history = learner.fit(
                x, y, loss=recipe.loss, optimizer=type(rule)(rate), epochs=recipe.epochs, batch_size=recipe.batch_size,
                validation=validation, regularizer=L2(recipe.penalty) if recipe.penalty else None, metrics=["accuracy"],
                seed=self.seed, callbacks=[keep], resume=keep.folder, engine=self.options.engine,
                kernels=self.options.kernels, verbose=0 if self.options.quiet else None,
            )  # fmt: skip
        except DivergedError as error:
            failed, history = error, error.history  # type: ignore[attr-defined]
        except KeyboardInterrupt:
            history = getattr(learner, "history", None)
            if history is None or not learner.built:
                raise
            history.stopped = history.stopped or f"interrupted by Ctrl-C, back to the end of epoch {len(history)}"
        return history, failed

    def _remembered(self, run: Path) -> dict[str, Any]:
        return {
            "data": self.pictures.folder.name,
            "task": "classification",
            "class_names": list(self.pictures.class_names or ()),
            "pictures": {**self.source, "from_run": _way(self.pictures.folder, run)},
            "held_out": {"test": self.options.test},
            "loss": self.recipe.loss,
        }

    # --- what is told -----------------------------------------------------------------------------------------------
    def _write(
        self, claim: Claim, learner: Any, history: History, rows: dict[str, Rows], config: dict[str, Any]
    ) -> Judgement:
        self.net.build()
        self.net.save(claim.path)
        history.to_csv(claim.path / "history.csv")
        history.to_jsonl(claim.path / "history.jsonl")
        name = "held-out" if "held-out" in rows else "training"
        result = judged(learner, rows[name], self.part[name], self.pictures, self.options.kernels)
        if result.mistakes is not None and result.mistakes.rows:
            result.mistakes.images = thumbnails(self.pictures, [str(row[0]) for row in result.mistakes.rows])
        final = {f"{name} {figure}": value for figure, value in result.figures.items()}
        if name == "held-out":
            final["training accuracy"] = judged(
                learner, rows["training"], self.part["training"], self.pictures, self.options.kernels
            ).figures["accuracy"]
        write_report(
            claim.path / "report.html",
            Report(
                history=history, title=f"{self.pictures.folder.name}: {self.recipe.model}", created=config["created"],
                command=shlex.join(config["command"]), data=str(self.pictures.folder),
                rows={part: len(which) for part, which in self.part.items()},
                settings={k: v for k, v in config["options"].items() if k not in TOLD},
                final=final, layers=_layers(self.net), class_names=self.pictures.class_names or (),
                confusion=result.confusion, mistakes=result.mistakes, seed=history.seed, versions=config["versions"],
            ),
        )  # fmt: skip
        claim.configure({**config, "status": history.stopped, "seconds": history.seconds, "results": final})
        if not history.stopped.startswith("interrupted"):
            claim.checkpoints.clear()
        return result

    def _tell(self, claim: Claim, history: History, result: Judgement) -> None:
        free = sum(v.size for v in _free(self.net))
        names = ", ".join(self.pictures.class_names or ())
        print(f"{self.pictures.folder.name}: {self.recipe.model} for {names}, {free:,} parameters trained, "
              f"seed {history.seed}")  # fmt: skip
        print(f"{history.stopped.split(':')[0]} on {len(self.part['training']):,} images in {history.seconds:.1f} s "
              f"({history.engine})\n")  # fmt: skip
        print("  " + told(result, as_rows(self.pictures), "held-out" if "held-out" in self.part else "training"))
        run = shown(claim.path)
        print(f"\n  the page         {claim.path / 'report.html'}\n  on other images  kedja evaluate {run} FOLDER")
        print(f"  ask it           kedja predict {run} PHOTO.jpg")


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Train on a folder of images, write the run folder, say how well it went."""
    seed = fresh_seed() % SEEDS if options.seed is None else options.seed
    work = PictureWork.of(options, seed)
    name = Path(os.path.abspath(options.data)).name
    with claimed(options.out, name, lambda path: work.config(given, path)) as claim:
        return work.done(claim, work.config(given, claim.path))


def resumed(options: argparse.Namespace, claim: Claim, config: dict[str, Any]) -> int:
    """Go on with a run on images. Raises DataError when the images have changed."""
    work = PictureWork.of(options, options.seed)
    if work.pictures.contents != config["data"].get("contents"):
        raise DataError(
            f"the images in {options.data} have changed since this run was begun with them: begin a new run."
        )
    claim.configure({**config, "status": TRAINING})
    return work.done(claim, config)


# --- the network ----------------------------------------------------------------------------------------------------
def _network(name: str, options: argparse.Namespace) -> Any:
    """The network as the zoo has it, with weights if any are wanted, and a way to see images."""
    make = getattr(zoo, name)
    size: dict[str, Any] = {}
    if options.image_size is not None:
        channels = 1 if name == "lenet5" else 3
        size = {"input_shape": (options.image_size, options.image_size, channels)}
    net = make(**size, **({} if options.weights is None else {"weights": options.weights}))
    shape = net.known_shapes()[0]
    net.input_shapes = net.input_shapes or [shape]
    if "preprocess" not in net.info:
        net.info["preprocess"] = plainly(shape[-1])
    return net


def _for_classes(net: Any, classes: int, options: argparse.Namespace, seed: int) -> Any:
    """A head for these classes, new, on a body with weights; or the whole network anew. What is held is frozen."""
    how, head = net.info["preprocess"], Dense(classes, "softmax", name="head")
    if not any(layer.built for layer in net.layers):
        net.build(seed=0)  # with_head takes a network that has weights; these are drawn when they are first needed
    made = net.with_head(head)
    if options.weights is None:
        made.redraw(seed)
    made.info["preprocess"] = how
    if options.freeze:
        made.freeze(upto=len(made.layers) - 1)
        if options.unfreeze is not None:
            place = options.unfreeze
            made.unfreeze(downto=int(place) if place.lstrip("-").isdigit() else place)
    made.input_shapes = made.input_shapes or [tuple(net.known_shapes()[0])]
    return made


def _recipe(options: argparse.Namespace, name: str, net: Any, rows: int) -> Recipe:
    frozen = options.freeze and options.unfreeze is None
    batch = 32 if options.batch_size is None else rows if options.batch_size == "all" else int(options.batch_size)
    epochs = options.epochs
    if epochs is None:
        epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(STEPS / max(1, -(-rows // batch)))))
    if epochs < 1:
        raise DataError(f"--epochs must be at least 1, got {epochs}.")
    if options.schedule not in (None, "constant", "cosine"):
        raise one_of("schedule", options.schedule, ("constant", "cosine"))
    penalty = 0.0 if options.penalty is None else options.penalty
    if not 0 <= penalty < np.inf:
        raise DataError(f"--penalty must be a number of at least 0, got {penalty:g}.")
    rate = options.learning_rate or (1e-2 if frozen else 1e-4 if options.weights else 1e-3)
    return Recipe(
        name, options.weights, bool(options.freeze), options.unfreeze, int(net.known_shapes()[0][1]),
        options.optimizer or "adam", float(rate), epochs, batch, options.validation or 0.0, penalty,
        options.schedule or "cosine",
    )  # fmt: skip


def as_rows(pictures: Pictures) -> Rows:
    """The images as the rows that `parts` and the figures know."""
    return Rows(
        np.arange(pictures.rows), pictures.labels(), pictures.name, "classification", "class", ("image",),
        pictures.class_names, {"folder": str(pictures.folder)},
    )  # fmt: skip


def _digest(model: Any) -> str:
    """Of a network with its weights."""
    found = hashlib.sha256()
    for path, v in model.state.items():
        found.update(f"{path} {v.shape};".encode())
        found.update(np.ascontiguousarray(v.value).tobytes())
    return found.hexdigest()


def _free(net: Any) -> list[Any]:
    from kedja.nn.layers.layer import trainable

    return list(trainable(net).values())


def _layers(net: Any) -> list[tuple[str, str, object, int, str | None]]:
    """Name, kind, what is done with it, parameters and activation of the layers directly inside."""
    found: list[tuple[str, str, object, int, str | None]] = []
    for name, layer in net.members():
        held = "" if layer.trainable or not layer.parameters else "frozen"
        found.append(
            (name, type(layer).__name__, held, layer.state.size("trainable"), getattr(layer, "activation_name", None))
        )
    return found


def _way(folder: Path, run: Path) -> str:
    try:
        return Path(os.path.relpath(folder, run)).as_posix()
    except ValueError:  # Windows has no way from one drive to another
        return str(folder)


def held_out(info: dict[str, Any], run: Path, size: Any) -> tuple[Pictures, NDArray[np.int64], str]:
    """The images a run set aside, cut out again in the same way. Raises DataError when they are gone or changed."""
    told = info["pictures"]
    place = next((p for p in (told["folder"], str(run / told["from_run"])) if Path(p).is_dir()), None)
    if place is None:
        raise DataError(f"the folder this run was trained with, {told['folder']}, is gone: name one to evaluate on.")
    pictures = Pictures.in_classes(place, size, info["preprocess"])
    if pictures.contents != told["contents"]:
        raise DataError(
            f"the images in {place} have changed since this run was trained with them, so the held-out ones cannot be "
            "told from the others any more. Name a folder with images it has not seen."
        )
    if list(pictures.class_names or ()) != info["class_names"]:
        raise FormatError(f"the classes of {place} are not those the run was trained on.")
    found = parts(as_rows(pictures), info["held_out"].get("test"), None, 0)
    if "held-out" in found:
        return pictures, found["held-out"], "held-out"
    return pictures, found["training"], "no images were held out; on those it learned:"
