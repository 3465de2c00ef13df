"""A folder of checkpoints: written whole, newest first when read, older ones removed once the new one is there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import warnings
from pathlib import Path

from kedja.errors import FormatError, StorageError
from kedja.files import write_whole
from kedja.train.snapshot import Snapshot

__all__ = ["Checkpoints"]

NAME = re.compile(r"checkpoint-(\d{6,})-([0-9a-f]{16})\.safetensors")
DRAFT = re.compile(r"\.checkpoint-.*\.tmp")


class Checkpoints:
    """The checkpoints in one folder. A file is called by its number, which only rises, and its checksum.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shelf = Checkpoints(folder)
    ...     for step in range(3):
    ...         path = shelf.write(Snapshot({"step": step}), keep=2)
    ...     len(shelf.files()), shelf.newest()[1].facts
    (2, {'step': 2})
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def files(self) -> list[Path]:
        """The checkpoints, oldest first. A folder that does not exist has none."""
        try:
            there = [(NAME.fullmatch(name), name) for name in os.listdir(self.folder)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"cannot read {self.folder}: {error.strerror or error}") from error
        return [self.folder / name for _, name in sorted((int(m[1]), name) for m, name in there if m)]

    def write(self, snapshot: Snapshot, keep: int) -> Path:
        """Add a checkpoint; only when it lies whole on the disk the oldest go, so that `keep` are left.

        Raises StorageError when it cannot be written: those there before are then untouched.
        """
        blob = snapshot.to_bytes()
        older = self.files()
        last = NAME.fullmatch(older[-1].name) if older else None
        number = int(last[1]) + 1 if last else 1
        path = self.folder / f"checkpoint-{number:06d}-{_checksum(blob)}.safetensors"
        write_whole(path, blob)
        _settle(self.folder)
        for old in older[: len(older) + 1 - keep]:
            with contextlib.suppress(OSError):
                old.unlink()
        return path

    def newest(self) -> tuple[Path, Snapshot] | None:
        """The newest checkpoint that can be read, or None when there is none at all; a damaged one gets a warning.

        Raises FormatError when there are checkpoints and all are damaged.
        """
        files = self.files()
        damaged = ""
        for path in reversed(files):
            try:
                found = path, _read(path)
            except FormatError as error:
                if "Update kedja" in str(error):  # it is whole: going back behind it would lose what it has
                    raise
                damaged = damaged or str(error)
                continue
            if damaged:
                warnings.warn(f"{damaged}. Going on from the one before, {path.name}.", stacklevel=2)
            return found
        if files:
            raise FormatError(f"{damaged}, and so is every other checkpoint in {self.folder}: start the run anew")
        return None

    def tidy(self) -> None:
        """Remove drafts that a killed process left behind; only for whom the folder is locked."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self.folder):
                if DRAFT.fullmatch(name):
                    with contextlib.suppress(OSError):
                        (self.folder / name).unlink()

    def clear(self) -> None:
        """Remove all checkpoints, and the folder when nothing else is in it."""
        self.tidy()
        for path in self.files():
            with contextlib.suppress(OSError):
                path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def _checksum(blob: bytes) -> str:
    return hashlib.blake2b(blob, digest_size=8).hexdigest()


def _read(path: Path) -> Snapshot:
    """The checkpoint in one file, checked."""
    name = NAME.fullmatch(path.name)
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise FormatError(f"the checkpoint {path} cannot be read: {error.strerror or error}") from error
    if name is not None and _checksum(blob) != name[2]:
        raise FormatError(
            f"the checkpoint {path} is damaged: its {len(blob)} bytes do not have the checksum in its name"
        )
    try:
        return Snapshot.from_bytes(blob)
    except FormatError as error:
        raise FormatError(f"the checkpoint {path} cannot be used: {error}") from error


def _settle(folder: Path) -> None:
    """Bring the new name to the disk too, before the old ones go. Windows does it by itself."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
