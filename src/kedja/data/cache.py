"""A folder for what is slow to read and cheap to make again. Losing it, or not being able to write it, does no harm."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cache_folder", "cached_array"]


def cache_folder() -> Path:
    """Where kedja keeps what it can make again.

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
        return Path(tempfile.gettempdir()) / "kedja-cache"


def cached_array(
    name: str,
    source: Path,
    read: Callable[[bytes], NDArray[Any]],
    sound: Callable[[NDArray[Any]], bool] = lambda array: True,
) -> NDArray[Any]:
    """`read` of the bytes of `source`, or the copy kept of what it gave when those bytes were last met.

    The copy's name holds the hash of the source, so a new source is never answered with an old copy. A copy that
    cannot be read, or is not `sound`, is made again from the source. Raises what reading the source raises.
    """
    content = source.read_bytes()
    copy = cache_folder() / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        kept: NDArray[Any] = np.load(copy, allow_pickle=False)
        if sound(kept):
            return kept
    made = read(content)
    # A full disk or a home that cannot be written costs the next load a moment, nothing else.
    with contextlib.suppress(OSError):
        _write(copy, made)
    return made


def _write(path: Path, array: NDArray[Any]) -> None:
    """Write all of it or nothing: two processes that load at once must not read each other's halves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
