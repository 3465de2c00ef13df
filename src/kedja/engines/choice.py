"""Which engine runs a graph."""

from __future__ import annotations

from importlib.util import find_spec

from kedja.engines.engine import Engine
from kedja.errors import one_of
from kedja.graph.trace import Graph

__all__ = ["choose", "get_engine"]

TINY, MANY_TINY = 64, 2000  # XLA's compile time is quadratic in the number of tiny nodes: 20 s at 5,000
_made: dict[str, Engine] = {}


def get_engine(engine: str | Engine) -> Engine:
    """The engine of this name, made once; an engine is itself.

    >>> get_engine("reference").name
    'reference'
    """
    if not isinstance(engine, str):
        return engine
    if engine not in ("reference", "xla"):
        raise one_of("engine", engine, ("auto", "reference", "xla"))
    if engine not in _made:
        if engine == "reference":
            from kedja.engines.reference import ReferenceEngine

            _made[engine] = ReferenceEngine()
        else:  # loads JAX
            from kedja.engines.xla.program import XLAEngine

            _made[engine] = XLAEngine()
    return _made[engine]


def choose(engine: str | Engine, graph: Graph) -> Engine:
    """`engine`, or for "auto": XLA, unless JAX is not installed or the graph is a long string of tiny nodes."""
    if engine != "auto":
        return get_engine(engine)
    if find_spec("jax") is None:
        return get_engine("reference")
    tiny = sum(1 for n in graph.order if n.inputs and n.size <= TINY)
    return get_engine("reference" if tiny > MANY_TINY else "xla")
