"""Where a node comes from: the user's source line, and names that layers give."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from types import CodeType
from typing import NamedTuple

__all__ = ["Source", "borrowed_source", "caller", "current_scope", "name_scope"]

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
Where = tuple[CodeType, int]  # a code object and its last instruction: 0.1 µs to take, resolved only when shown


class Source(NamedTuple):
    """A place in the user's program."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}" + (f"   {self.text}" if self.text else "")

    @classmethod
    def of(cls, where: Where | None) -> Source | None:
        """The line that `caller` remembered, or None when there was none."""
        if where is None:
            return None
        code, instruction = where
        line = code.co_firstlineno
        for start, end, number in code.co_lines():
            if start <= instruction < end and number is not None:
                line = number
        return cls(code.co_filename, line, linecache.getline(code.co_filename, line).strip())


class _Now(local):
    where: Where | None = None  # when set, new nodes are said to come from there (derivatives of a user's line)
    scope: tuple[str, ...] = ()


_now = _Now()


def caller(depth: int = 1) -> Where | None:
    """The first frame outside kedja, as (code, last instruction). Frames themselves are never kept.

    `depth` says how many frames, this one's included, are known to be kedja's.
    """
    borrowed = _now.where
    if borrowed is not None:
        return borrowed
    frame = sys._getframe(depth)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            return code, frame.f_lasti
        frame = frame.f_back  # type: ignore[assignment]
    return None


@contextmanager
def borrowed_source(where: Where | None) -> Iterator[None]:
    """Inside this block new nodes belong to the source line of another node."""
    before, _now.where = _now.where, where
    try:
        yield
    finally:
        _now.where = before


def borrow(where: Where | None) -> Where | None:
    """Like `borrowed_source` for tight loops: sets the line and returns the one before, to be set back."""
    before, _now.where = _now.where, where
    return before


@contextmanager
def name_scope(name: str) -> Iterator[None]:
    """Names given to nodes and variables inside this block start with `name/`.

    >>> import kedja as kj
    >>> with kj.name_scope("encoder"):
    ...     kj.Parameter([1.0], name="w").name
    'encoder/w'
    """
    before = _now.scope
    _now.scope = (*before, name)
    try:
        yield
    finally:
        _now.scope = before


def current_scope() -> tuple[str, ...]:
    """The names of the open scopes, outermost first."""
    return _now.scope


def scoped(name: str | None) -> str | None:
    """`name` with the open scopes in front."""
    return "/".join((*_now.scope, name)) if name and _now.scope else name
