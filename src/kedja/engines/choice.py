"""Which engine runs a graph, and which kernels it may call."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

from kedja.engines.engine import Engine, Loop, Program
from kedja.errors import one_of
from kedja.graph.trace import Graph
from kedja.rooms import loading

__all__ = ["KERNELS", "Automatic", "asked", "choose", "deciding", "get_engine", "kernels_of", "known_as"]

TINY, MANY_TINY = 64, 2000  # XLA's compile time is quadratic in the number of tiny nodes: 20 s at 5,000
KERNELS = ("auto", "llvm", "winograd", "xla")
_made: dict[tuple[str, str], Engine] = {}


def kernels_of(kernels: str | None) -> str:
    """The kernels that are asked for: those named, else those of $KEDJA_KERNELS, else "auto".

    "xla" is XLA alone; "auto" and "llvm" are kernels of our own where they serve; "winograd" lets them compute 3×3
    convolutions with 2.25 times fewer products, in another order.
    """
    if kernels is not None and kernels not in KERNELS:
        raise one_of("kernels", kernels, KERNELS)
    choice = kernels or os.environ.get("KEDJA_KERNELS", "auto")
    if choice not in KERNELS:
        raise one_of("KEDJA_KERNELS", choice, KERNELS)
    return choice


def get_engine(engine: str | Engine, kernels: str | None = None) -> Engine:
    """The engine of this name, made once for each choice of kernels; an engine is itself.

    >>> get_engine("reference").name
    'reference'
    """
    if not isinstance(engine, str):
        return engine
    if engine not in ("reference", "xla"):
        raise one_of("engine", engine, ("auto", "reference", "xla"))
    key = engine, kernels_of(kernels) if engine == "xla" else ""
    if key not in _made:
        if engine == "reference":
            from kedja.engines.reference import ReferenceEngine

            _made[key] = ReferenceEngine()
        else:
            with loading():  # JAX
                from kedja.engines.xla.program import XLAEngine
            _made[key] = XLAEngine(key[1])
    return _made[key]


@dataclass(frozen=True)
class Automatic:
    """What "auto" is where kernels are named too: the graph decides, and XLA calls these kernels."""

    kernels: str
    name = "auto"

    def of(self, graph: Graph) -> Engine:
        """XLA, unless JAX is not installed or the graph is a long string of tiny nodes."""
        if find_spec("jax") is None:
            return get_engine("reference")
        tiny = sum(1 for n in graph.order if n.inputs and n.size <= TINY)
        return get_engine("reference") if tiny > MANY_TINY else get_engine("xla", self.kernels)

    def program(self, graph: Graph) -> Program:
        return self.of(graph).program(graph)

    def loop(self, graph: Graph, *, data: int, padded: bool, ordered: bool) -> Loop:
        return self.of(graph).loop(graph, data=data, padded=padded, ordered=ordered)

    def rest(self) -> None:
        for made in _made.values():
            made.rest()


def asked(engine: str | Engine, kernels: str | None) -> str | Engine:
    """The engine with the kernels that were named beside it. The reference engine calls none.

    >>> asked("auto", "winograd")
    Automatic(kernels='winograd')
    """
    if kernels is None:
        return engine
    kernels = kernels_of(kernels)
    name = engine if isinstance(engine, str) else engine.name
    if name == "auto":
        return Automatic(kernels)
    return get_engine("xla", kernels) if name == "xla" else engine


def choose(engine: str | Engine, graph: Graph) -> Engine:
    """`engine`, or for "auto" the one that suits the graph."""
    if engine == "auto":
        engine = Automatic(kernels_of(None))
    return engine.of(graph) if isinstance(engine, Automatic) else get_engine(engine)


def known_as(engine: str | Engine) -> tuple[str, str]:
    """What programs of an engine are told apart by: its name, and the kernels it calls."""
    if isinstance(engine, str):
        return engine, "" if engine == "reference" else kernels_of(None)
    return engine.name, getattr(engine, "kernels", "")


def deciding(engine: str, kernels: str) -> str:
    """The kernels, where they decide a number of what this engine runs; else "". "auto" and "llvm" call the same ones.

    >>> deciding("xla", "winograd"), deciding("xla", "auto"), deciding("reference", "xla")
    ('winograd', '', '')
    """
    return kernels if engine == "xla" and kernels in ("winograd", "xla") else ""
