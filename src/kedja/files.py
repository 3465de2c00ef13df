"""Files written whole, and the folder for what can be made again. Every room that writes uses this one way."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from kedja.errors import StorageError

__all__ = ["cache_folder", "write_whole"]


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file that is either the old one or all of the new one, whatever happens meanwhile.

    Text is written as UTF-8. The content lies on the disk before the name changes, so a power cut cannot leave half.
    Raises StorageError, which is an OSError too.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder) / "note.txt", "σ")
    ...     os.listdir(folder)
    ['note.txt']
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(draft, "wb") as file:
            file.write(content.encode("utf-8", errors="replace") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where kedja keeps what it can make again: losing it, or not being able to write it, does no harm.

    $KEDJA_CACHE if set; otherwise `kedja` in %LOCALAPPDATA% (Windows), $XDG_CACHE_HOME or ~/.cache.

    >>> cache_folder().name != ""
    True
    """
    if own := os.environ.get("KEDJA_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"):
        return Path(shared) / "kedja"
    try:
        return Path("~/.cache").expanduser() / "kedja"
    except RuntimeError:  # a user without a home, as in some containers
        import tempfile  # brings half of the standard library along

        return Path(tempfile.gettempdir()) / "kedja-cache"
