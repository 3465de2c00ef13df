"""The lowest room: immutable nodes, variables, shapes, names, source lines, and the trace of a function.

Nothing here computes, differentiates or knows an op by name.
"""

from kedja.graph.dtypes import default_dtype, get_default_dtype, set_default_dtype
from kedja.graph.node import Tensor, ancestors, bind, constant, placeholder, tensor
from kedja.graph.recording import is_tracing
from kedja.graph.scope import Source, name_scope
from kedja.graph.trace import Graph, trace
from kedja.graph.variables import Parameter, State, Variable

__all__ = [
    "Graph",
    "Parameter",
    "Source",
    "State",
    "Tensor",
    "Variable",
    "ancestors",
    "bind",
    "constant",
    "default_dtype",
    "get_default_dtype",
    "is_tracing",
    "name_scope",
    "placeholder",
    "set_default_dtype",
    "tensor",
    "trace",
]
