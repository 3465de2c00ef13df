"""One run to a folder: a lock that says who holds it, and that the system gives back when its holder dies."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kedja.errors import DataError, StorageError

__all__ = ["LOCK", "locked"]

LOCK = ".lock"
BEYOND = 1 << 20  # on Windows a locked byte cannot be read by others, so one is taken behind what is written


@contextmanager
def locked(folder: str | os.PathLike[str], what: str = "a run") -> Iterator[None]:
    """Hold the folder inside: two runs never write into one. The lock of a process that was killed is free.

    Raises DataError that names who holds it, StorageError when the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with locked(folder):
    ...         sorted(os.listdir(folder))
    ['.lock']
    """
    path = Path(folder) / LOCK
    handle = _taken(path, what)
    try:
        os.ftruncate(handle, 0)
        import socket

        said = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with contextlib.suppress(OSError):  # a full disk: the lock holds, it only does not say whose it is
            os.write(handle, json.dumps(said).encode())
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file
            path.unlink()
        os.close(handle)
        if sys.platform == "win32":
            with contextlib.suppress(OSError):
                path.unlink()


def _taken(path: Path, what: str) -> int:
    """The open lock file, locked."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(f"cannot write into {path.parent}: {error.strerror or error}") from error
        try:
            free = _lock(handle)
            if not free:
                raise DataError(
                    f"{path.parent} is being written by {what} already: {_holder(handle)}. "
                    "Wait until it ends, or give another folder."
                )
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(handle), os.stat(path)):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # it was removed by its holder between our opening and locking it: take the new one


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> bool:
        os.lseek(handle, BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _lock(handle: int) -> bool:
        """Whether the lock is ours now. Where the file system knows no locks, everybody gets it."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


def _holder(handle: int) -> str:
    """Who wrote the file."""
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        said = json.loads(os.read(handle, 4096))
        return f"process {said['pid']} on {said['host']}, since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
