"""From IR to machine code, which is kept on disk under the hash of the IR and of the processor it is for."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from kedja.engines.kernels.builder import Builder
from kedja.engines.kernels.handler import handler
from kedja.engines.kernels.target import Target
from kedja.errors import StorageError
from kedja.files import cache_folder, write_whole

__all__ = ["Machine", "compiled", "source"]

Write = Callable[[Builder, Any], None]
PHASES = ("prepare", "work", "finish")

OPTIONS = "level 2, no vectorisers"  # of the passes; part of the hash

# Machine code that something may still call is never given back: engines live as long as the process.
_engines: dict[str, Any] = {}
_lock = threading.Lock()  # llvmlite compiles one module at a time


def source(write: Write, kind: Any, target: Target) -> str:
    """The IR of a kernel: its phases, and the handler that XLA calls."""
    module = ir.Module()
    module.triple = target.triple
    builder = Builder(target, kind.dtype, module)
    builder.declare_memory()  # which the handler needs too
    write(builder, kind)
    written = [name for name in PHASES if name in module.globals]
    return f"{module}\n{handler(written, PHASES, target.pauses)}"


def compiled(text: str, target: Target) -> Machine:
    """The machine code of a kernel's IR, from the disk when it lies there."""
    name = hashlib.sha256("\0".join([llvmlite.__version__, str(target), OPTIONS, text]).encode()).hexdigest()[:32]
    with _lock:
        if name not in _engines:
            _engines[name] = _engine(name, text, target)
    return Machine(name, _engines[name])


class Machine:
    """A kernel that can be called."""

    def __init__(self, name: str, engine: Any) -> None:
        self.name = name
        self._engine = engine

    def address(self, function: str = "handler") -> int:
        """Where a function of it begins."""
        found: int = self._engine.get_function_address(function)
        return found


def _engine(name: str, text: str, target: Target) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, jit=True
    )
    path = cache_folder() / "kernels" / f"{name}.o"
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    code = None
    with contextlib.suppress(OSError):
        kept = path.read_bytes()
        if hashlib.sha256(kept[32:]).digest() == kept[:32]:
            code = kept[32:]
    if code is None:
        module = llvm.parse_assembly(text)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        # The vectors are written out already: looking for more takes as long as all the rest.
        options.loop_vectorization = options.slp_vectorization = False
        options.loop_interleaving = options.loop_unrolling = False
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        code = machine.emit_object(module)
        with contextlib.suppress(OSError, StorageError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, hashlib.sha256(code).digest() + code)
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine
