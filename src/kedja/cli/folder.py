"""A run folder: claimed before the training, filled after it, opened again by later commands."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kedja.cli.rows import Rows
from kedja.errors import DataError, FormatError
from kedja.files import write_whole
from kedja.train.runfile import jsonable

__all__ = ["Claim", "claimed", "opened", "remembered"]

FORMAT, VERSION = "kedja run", 1


class Claim:
    """A folder that is this run's own. What is written by `configure` last is what stays."""

    def __init__(self, path: Path, made: bool) -> None:
        self.path, self.made, self.keep = path, made, False

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write config.json: all that is needed to repeat the run."""
        text = json.dumps({"format": FORMAT, "version": VERSION, **jsonable(config)}, indent=2, ensure_ascii=False)
        write_whole(self.path / "config.json", text + "\n")

    def release(self) -> None:
        """Give the name back: nothing was learned."""
        with contextlib.suppress(OSError):
            (self.path / "config.json").unlink(missing_ok=True)
            if self.made:
                self.path.rmdir()


@contextmanager
def claimed(out: str | None, data: str) -> Iterator[Claim]:
    """A new folder, before any work is done: two runs never share one, and none is overwritten.

    Without `out` it is runs/<data>-<date>-<time>. Left without `keep` set, it disappears again.
    """
    if out is None:
        stem = re.sub(r"[^\w.-]+", "-", data.split(".")[0]) or "run"
        wanted = Path("runs") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        claim = _claim(wanted)
        number = 2
        while claim is None:
            claim = _claim(wanted.with_name(f"{wanted.name}-{number}"))
            number += 1
    else:
        claim = _claim(Path(out))
        if claim is None:
            raise DataError(f"{out} exists already, and a run never overwrites another: give a new name with --out.")
    try:
        yield claim
    finally:
        if not claim.keep:
            claim.release()


def _claim(path: Path) -> Claim | None:
    """The folder, when nobody has it: it did not exist, or was empty. Its first file settles who came first."""
    made = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise DataError(f"{path} is a file; a run needs a folder: give another name with --out.") from None
    if any(path.iterdir()):
        return None
    try:
        with open(path / "config.json", "x", encoding="utf-8"):
            return Claim(path, made)
    except FileExistsError:
        return None


def remembered(rows: Rows, shares: Mapping[str, float | None], run: Path) -> dict[str, Any]:
    """What a model must know of its data to be asked again, as plain data for `net.info`.

    A file is remembered as it was named, and by the way to it from the run folder: no more of the disk is told to
    whoever gets the model.
    """
    source = dict(rows.source)
    if "path" in source:
        source["from_run"] = source["path"]
        with contextlib.suppress(ValueError):  # Windows has no way from one drive to another
            source["from_run"] = Path(os.path.relpath(source["path"], run)).as_posix()
    return {
        "data": rows.name,
        "task": rows.task,
        "target": rows.target,
        "feature_names": list(rows.feature_names),
        "class_names": None if rows.class_names is None else list(rows.class_names),
        "image_shape": None if rows.image_shape is None else list(rows.image_shape),
        "source": source,
        "held_out": dict(shares),
    }


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
