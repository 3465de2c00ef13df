"""A folder for what is slow to read and cheap to make again. Losing it, or not being able to write it, does no harm."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.files import cache_folder, write_whole

__all__ = ["cache_folder", "cached_array"]


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
        packed = io.BytesIO()
        np.save(packed, made, allow_pickle=False)
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_whole(copy, packed.getvalue())
    return made
