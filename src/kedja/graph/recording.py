"""What is collected while a function is traced, and whether one is being traced now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import Any

from kedja.errors import GraphError
from kedja.graph.node import Tensor
from kedja.graph.node import _next_serial as next_serial

__all__ = ["Trace", "current_trace", "is_tracing", "recording"]


class Trace:
    """The updates of variables that a function asks for, and the number of its first node."""

    def __init__(self) -> None:
        self.start = next_serial()
        self.updates: dict[Any, Tensor] = {}

    def record_update(self, variable: Any, node: Tensor) -> None:
        """Note that after the step `variable` has the value of `node`; one update a step."""
        if variable in self.updates:
            raise GraphError(f"{variable.label} is updated twice in one step. Combine the two into one update.")
        self.updates[variable] = node


class _Stack(local):
    def __init__(self) -> None:
        self.traces: list[Trace] = []


_stack = _Stack()


def current_trace() -> Trace | None:
    """The innermost open trace of this thread."""
    return _stack.traces[-1] if _stack.traces else None


def is_tracing() -> bool:
    """Whether a function is being traced right now, so that nothing may be evaluated."""
    return bool(_stack.traces)


@contextmanager
def recording() -> Iterator[Trace]:
    """Open a trace: what is updated inside the block is collected in it."""
    trace = Trace()
    _stack.traces.append(trace)
    try:
        yield trace
    finally:
        _stack.traces.pop()
