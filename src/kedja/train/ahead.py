"""Work done ahead by one thread: the next rows are read while the device computes on these."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Ahead", "one_ahead"]

T = TypeVar("T")


class Ahead:
    """One thread that does what it is given, in order. It never keeps a program from ending.

    >>> ahead = Ahead("sum")
    >>> later = ahead.do(sum, [1, 2]); later.result()
    3
    >>> ahead.close()
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=_work, args=(self._jobs,), name=f"kedja-{name}", daemon=True)
        self._thread.start()

    def do(self, work: Callable[..., T], *arguments: Any) -> Future[T]:
        """Have it done; the result, or the error, comes with `.result()`."""
        from concurrent.futures import Future  # which loads logging: not with every import of kedja

        found: Future[T] = Future()
        self._jobs.put((found, work, arguments))
        return found

    def close(self) -> None:
        """No more work will come; what was begun is finished, unless that takes longer than a second."""
        self._jobs.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(1.0)


def one_ahead(items: Iterable[T], name: str) -> Generator[T, None, None]:
    """The same items, of which the next one is made while the present one is used.

    >>> list(one_ahead(iter([1, 2, 3]), "numbers"))
    [1, 2, 3]
    """
    source, ahead = iter(items), Ahead(name)
    end: Any = object()
    try:
        coming = ahead.do(next, source, end)
        while (item := coming.result()) is not end:
            coming = ahead.do(next, source, end)
            yield item
    finally:
        ahead.close()


def _work(jobs: SimpleQueue[Any]) -> None:
    while (job := jobs.get()) is not None:
        found, work, arguments = job
        try:
            found.set_result(work(*arguments))
        except BaseException as error:  # whoever waits for the result gets it
            found.set_exception(error)
        del job, found, work, arguments
