"""A run folder: claimed before the training, filled after it, opened again by later commands."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kedja.cli.recipe import front
from kedja.cli.rows import Rows, learnable
from kedja.errors import DataError, FormatError
from kedja.files import write_whole
from kedja.train.checkpoints import Checkpoints
from kedja.train.lock import locked
from kedja.train.runfile import jsonable

__all__ = ["TRAINING", "Claim", "begun_with", "claimed", "continued", "opened", "remembered", "source"]

FORMAT, VERSION = "kedja run", 1
CONFIG, CHECKPOINTS = "config.json", "checkpoints"
TRAINING = "training"  # the status of a run that has not ended


class Claim:
    """A folder that is this run's own. What is written by `configure` last is what stays."""

    def __init__(self, path: Path, made: bool) -> None:
        self.path, self.made, self.keep = path, made, False

    @property
    def checkpoints(self) -> Checkpoints:
        """Where the run is written down while it goes; gone when it has ended."""
        return Checkpoints(self.path / CHECKPOINTS)

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write config.json: all that is needed to repeat the run, or to go on with it."""
        write_whole(self.path / CONFIG, _text(config))

    def release(self) -> None:
        """Give the name back: nothing was learned."""
        self.checkpoints.clear()
        with contextlib.suppress(OSError):
            (self.path / CONFIG).unlink(missing_ok=True)
            if self.made:
                self.path.rmdir()


def _text(config: Mapping[str, Any]) -> str:
    return json.dumps({"format": FORMAT, "version": VERSION, **jsonable(config)}, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def claimed(out: str | None, data: str, config: Callable[[Path], Mapping[str, Any]]) -> Iterator[Claim]:
    """A new folder, before any work is done: two runs never share one, and none is overwritten.

    Without `out` it is runs/<data>-<date>-<time>. From its first moment it has the `config` of its path, so that a run
    killed at any later one can go on. Left without `keep` set, it disappears again.
    """
    if out is None:
        stem = re.sub(r"[^\w.-]+", "-", data.split(".")[0]) or "run"
        wanted = Path("runs") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        claim = _claim(wanted, config)
        number = 2
        while claim is None:
            claim = _claim(wanted.with_name(f"{wanted.name}-{number}"), config)
            number += 1
    else:
        claim = _claim(Path(out), config)
        if claim is None:
            raise DataError(f"{out} exists already, and a run never overwrites another: give a new name with --out.")
    try:
        with locked(claim.path):
            yield claim
    finally:
        if not claim.keep:
            claim.release()


def _claim(path: Path, config: Callable[[Path], Mapping[str, Any]]) -> Claim | None:
    """The folder, when nobody has it: it did not exist, or was empty. Its first file settles who came first."""
    made = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise DataError(f"{path} is a file; a run needs a folder: give another name with --out.") from None
    if any(path.iterdir()):
        return None
    text = _text({**config(path), "status": TRAINING})
    draft = path / f".{CONFIG}.{secrets.token_hex(4)}.tmp"
    try:
        write_whole(draft, text)
        try:
            os.link(draft, path / CONFIG)  # whole or not there, and never over another's
        except FileExistsError:
            return None
        except OSError:  # a file system without links
            with open(path / CONFIG, "x", encoding="utf-8") as file:
                file.write(text)
    except FileExistsError:
        return None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return Claim(path, made)


@contextmanager
def continued(folder: str) -> Iterator[tuple[Claim, dict[str, Any]]]:
    """The folder of a run that was begun, locked, and what its config.json says."""
    path = Path(folder)
    try:
        said = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        if said["format"] != FORMAT or said["version"] != VERSION:
            raise ValueError(f"it is of another format or version: {said['format']!r}, {said['version']!r}")
        if not _words(said["repeat"]) or not _words(said["command"]) or not isinstance(said["status"], str):
            raise ValueError("it does not say how the run was begun")
        dict(said["data"])
    except (FileNotFoundError, NotADirectoryError):
        what = f"has no {CONFIG}" if path.is_dir() else "is no folder"
        raise FormatError(
            f"{folder} is no run: it {what}. --resume takes the folder that `kedja train` made."
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FormatError(f"{path / CONFIG} is damaged: {type(error).__name__} {error}. Begin the run anew.") from error
    claim = Claim(path, made=False)
    claim.keep = True
    with locked(path):
        yield claim, {k: v for k, v in said.items() if k not in ("format", "version", "seconds", "results")}


def remembered(rows: Rows, shares: Mapping[str, float | None], run: Path) -> dict[str, Any]:
    """What a model must know of its data to be asked again, as plain data for `net.info`.

    A file is remembered as it was named, and by the way to it from the run folder: no more of the disk is told to
    whoever gets the model.
    """
    return {
        "data": rows.name,
        "task": rows.task,
        "target": rows.target,
        "feature_names": list(rows.feature_names),
        "class_names": None if rows.class_names is None else list(rows.class_names),
        "image_shape": None if rows.image_shape is None else list(rows.image_shape),
        "source": source(rows, run),
        "held_out": dict(shares),
    }


def source(rows: Rows, run: Path) -> dict[str, Any]:
    """Where rows come from, as plain data, with the way to their file from the run folder."""
    found = dict(rows.source)
    if "path" in found and "from_run" not in found:
        found["from_run"] = found["path"]
        with contextlib.suppress(ValueError):  # Windows has no way from one drive to another
            found["from_run"] = Path(os.path.relpath(found["path"], run)).as_posix()
    return found


def begun_with(data: Mapping[str, Any], run: Path, options: argparse.Namespace) -> Rows:
    """The rows a run was begun with, by what its config.json says. Raises DataError when they are gone or changed."""
    features = [name.strip() for name in options.features.split(",")] if options.features is not None else None
    if "path" not in data:
        return learnable(options.data, options.target, features, options.task)
    place = next((p for p in (data["path"], str(run / data["from_run"])) if Path(p).is_file()), None)
    if place is None:
        raise DataError(f"the file this run was begun with, {data['path']}, is gone: it cannot go on without it.")
    rows = learnable(place, options.target, features, options.task)
    if rows.source["sha256"] != data["sha256"]:
        raise DataError(
            f"{place} has changed since this run was begun with it (its SHA-256 was {data['sha256'][:12]}… and is "
            f"{rows.source['sha256'][:12]}…). Bring the old file back, or begin a new run."
        )
    return replace(
        rows, name=Path(data["path"]).name, source={name: data[name] for name in ("path", "sha256", "from_run")}
    )


def opened(folder: str) -> tuple[Any, Rows, dict[str, Any]]:
    """The network of a run; rows without content that say what it takes and answers; and its `net.info`.

    Raises FormatError, naming the file, on a folder that is damaged, foreign, or not made by `kedja train`.
    """
    from kedja.formats import load

    net = load(folder)
    info: dict[str, Any] = net.info
    where = Path(folder) / "model.json"
    if not info.keys() >= {"task", "feature_names", "target", "source"}:
        raise FormatError(
            f"{where} holds a model that `kedja train` did not make: it does not say what its columns are."
        )
    try:
        features = tuple(_words(info["feature_names"]))
        if (columns := front(net)) is not None:
            features = tuple(columns.names)  # what was left out in training is not asked for
        classes = None if info["class_names"] is None else tuple(_words(info["class_names"]))
        shape = None if info["image_shape"] is None else tuple(int(n) for n in info["image_shape"])
        source, shares = dict(info["source"]), dict(info["held_out"])
        if info["task"] not in ("classification", "regression") or (classes is None) != (info["task"] == "regression"):
            raise ValueError(f"'task' is {info['task']!r}")
        if not _words([info["data"], info["target"]]) or not (
            set(source) == {"set"} or set(source) == {"path", "from_run", "sha256"}
        ):
            raise ValueError(f"'source' is {source!r}")
        _words(list(source.values()))
        if any(not isinstance(share, float | int | None) for share in shares.values()):
            raise ValueError(f"'held_out' is {shares!r}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{where} is damaged: what it says of its data cannot be read ({error}).") from error
    empty = np.empty((0, len(features)), np.float32)
    about = Rows(empty, None, info["data"], info["task"], info["target"], features, classes, source, shape)
    return net, about, info


def _words(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"names are expected, not {values!r}")
    return values


def shown(path: str | os.PathLike[str]) -> str:
    """A path as one types it in this system's command line."""
    import shlex
    import subprocess

    text = os.fspath(path)
    return subprocess.list2cmdline([text]) if os.name == "nt" else shlex.quote(text)
