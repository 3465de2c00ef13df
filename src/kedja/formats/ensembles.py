"""An ensemble as files: `ensemble.json` names a folder, in which every member lies as a model of its own.

Saving is safe at every moment: the members go to a new folder, `ensemble.json`, which names it, is replaced in one
step, and only then is the older folder removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kedja.errors import FormatError, StorageError
from kedja.files import write_whole
from kedja.formats import state
from kedja.graph.node import bind
from kedja.nn.layers import Layer
from kedja.train.ensemble import Ensemble
from kedja.train.training import training_of

__all__ = ["load_ensemble", "save_ensemble"]

FORMAT, VERSION = "kedja ensemble", 1
INDEX = "ensemble.json"


def save_ensemble(ensemble: Ensemble, folder: str | os.PathLike[str]) -> Path:
    """Write the ensemble into `folder` (made if missing), each member as a model that can be loaded alone.

    Raises StorageError when the folder cannot be written; what was saved there before is then untouched.

    >>> import tempfile, kedja as kj
    >>> three = kj.Ensemble(lambda: kj.Sequential([kj.nn.Dense(1)]).build((None, 2)), 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = kj.load(three.save(folder))
    >>> len(again), bool((again.predict([[1.0, 2.0]]) == three.predict([[1.0, 2.0]])).all())
    (3, True)
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {target}: {error.strerror or error}") from error
    draft = target / "members-draft"
    shutil.rmtree(draft, ignore_errors=True)
    names = [f"member-{k:03d}" for k in range(len(ensemble))]
    try:
        for name, member in zip(names, ensemble, strict=True):
            state.save(member, draft / name)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    told = "".join((draft / name / state.ARCHITECTURE).read_text(encoding="utf-8") for name in names)
    inside = f"members-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    if not (target / inside).exists():
        draft.rename(target / inside)
    shutil.rmtree(draft, ignore_errors=True)
    index = {"format": FORMAT, "version": VERSION, "folder": inside, "members": names}
    lost = {names[k]: when for k, when in ensemble.diverged.items()}
    text = json.dumps({**index, **({"diverged": lost} if lost else {})}, indent=1)
    write_whole(target / INDEX, text)
    for old in target.glob("members-*"):
        if old.name != inside:
            shutil.rmtree(old, ignore_errors=True)
    return target


def load_ensemble(folder: str | os.PathLike[str], classes: Sequence[type[Layer]] = ()) -> Ensemble:
    """The ensemble that was saved in `folder`; FormatError when a file of it is damaged or missing."""
    path = Path(folder) / INDEX
    try:
        said: Any = json.loads(path.read_text(encoding="utf-8"))
        if said["format"] != FORMAT or said["version"] != VERSION:
            raise FormatError(f"{path} is no ensemble of version {VERSION}: {said['format']!r}, {said['version']!r}")
        inside, names = said["folder"], list(said["members"])
        if any(not isinstance(n, str) or Path(n).name != n for n in [inside, *names]) or not names:
            raise FormatError(f"{path} names folders outside its own: {[inside, *names]}")
        lost = {names.index(name): str(when) for name, when in said.get("diverged", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path} is damaged: {error}") from error
    ensemble = Ensemble([state.load(path.parent / inside / name, classes) for name in names])
    ensemble.diverged = lost  # they have no say here either
    ensemble.epochs = max(training_of(member).epochs for member in ensemble)
    return ensemble


bind(Ensemble, save=save_ensemble)
