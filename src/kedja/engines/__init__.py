"""Engines run graphs: `reference` node by node with NumPy, `xla` compiled through JAX. Both give the same numbers."""

from kedja.engines.choice import asked, choose, deciding, get_engine, known_as
from kedja.engines.compiled import compile
from kedja.engines.engine import Engine, Program
from kedja.engines.reference import ReferenceEngine, run_graph
from kedja.engines.values import evaluate

__all__ = [
    "Engine",
    "Program",
    "ReferenceEngine",
    "asked",
    "choose",
    "compile",
    "deciding",
    "evaluate",
    "get_engine",
    "known_as",
    "run_graph",
]
