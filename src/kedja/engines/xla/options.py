"""How XLA is asked to compile a loop of training steps: the rules, in one place, and the way to pass them on.

On a CPU XLA runs a program as a list of small kernels, each called for about 0.1 µs. A network of a few units spends
all its time on these calls, so a loop with very little to do is asked for as one function: XOR takes 0.11 µs a step
instead of 1.6. Such a function runs on one thread and multiplies matrices in plain loops, which is slower where there
is more to do.
"""

from __future__ import annotations

import contextlib
from typing import Any

import jax

from kedja.engines.xla.devices import device
from kedja.engines.xla.windows import WINDOWS
from kedja.graph.trace import Graph
from kedja.ops import indexing, linalg, reductions

__all__ = ["MOST_NUMBERS", "MOST_PRODUCTS", "Options", "compiled", "for_loop", "is_tiny"]

Options = dict[str, Any]
MOST_PRODUCTS = 1 << 15  # multiplications of two numbers, in all matrix products of one step
MOST_NUMBERS = 1 << 15  # numbers that all nodes of one step make

# Names that XLA reads from a table of its backend. No compile option reaches it: they go into the serialised message.
OF_BACKEND = frozenset({"xla_cpu_small_while_loop_byte_threshold"})
ONE_FUNCTION: Options = {
    "xla_cpu_small_while_loop_byte_threshold": "1000000000000",  # loops that move fewer bytes become one function
    "xla_cpu_experimental_ynn_fusion_type": "",  # calls of its library for products cannot lie inside one
}
# What cannot lie inside one either, because XLA calls something for it.
CALLED = frozenset({*WINDOWS, indexing.scatter, indexing.put_along, reductions.stable_order})


def for_loop(graph: Graph) -> Options:
    """What a loop of many steps of this graph is compiled with. Shapes alone decide, so a run keeps its bits."""
    alone = device().platform == "cpu" and len(jax.devices()) == 1
    return ONE_FUNCTION if alone and is_tiny(graph) else {}


def is_tiny(graph: Graph) -> bool:
    """Whether a step has so little to do that calling kernels for it takes longer than the work itself."""
    products = numbers = 0
    for node in graph.order:
        if node.op in CALLED or (not node.is_leaf and node.op.runs_graphs):
            return False
        numbers += node.size
        if node.op is linalg.product:
            products += node.size * node.inputs[0].shape[-1]
    return products <= MOST_PRODUCTS and numbers <= MOST_NUMBERS


def compiled(lowered: Any, needed: Options, wishes: Options) -> Any:
    """The program compiled: as JAX's `Compiled`, or as jaxlib's `LoadedExecutable` where wishes asked for one.

    Wishes that this XLA does not know, or cannot grant to this program, are left out; what is needed is not.
    """
    if wishes:
        with contextlib.suppress(Exception):  # what is wrong with the program itself is raised below
            return _directly(lowered, {**needed, **wishes})
    return lowered.compile(compiler_options=needed or None)


def _directly(lowered: Any, options: Options) -> Any:
    from jaxlib import _jax

    here = device()
    wish = _jax.CompileOptions()
    wish.num_replicas = wish.num_partitions = 1
    wish.executable_build_options.use_shardy_partitioner = True
    of_backend = b"".join(_of_backend(name, options[name]) for name in options if name in OF_BACKEND)
    wish = _jax.CompileOptions.ParseFromString(wish.SerializeAsString() + of_backend)
    wish.env_option_overrides = [(name, value) for name, value in options.items() if name not in OF_BACKEND]
    devices = _jax.DeviceList((here,))
    return here.client.compile_and_load(lowered.compiler_ir(), executable_devices=devices, compile_options=wish)


def _of_backend(name: str, value: str) -> bytes:
    """One more entry for CompileOptions.executable_build_options.debug_options.xla_backend_extra_options."""
    return _field(3, _field(3, _field(500, _field(1, name.encode()) + _field(2, value.encode()))))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes as protocol buffers write it."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(n: int) -> bytes:
    """A whole number, seven bits a byte, the lowest first.

    >>> _varint(300)
    b'\\xac\\x02'
    """
    low, rest = n & 127, n >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])
