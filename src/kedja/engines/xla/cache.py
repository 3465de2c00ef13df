"""Compiled programs kept on disk: the second start of the same program does not compile it again.

An entry is named by the hash of all that decides the machine code: the program's StableHLO text, the versions of JAX
and jaxlib, the platform and what the processor can do. $KEDJA_COMPILE_CACHE=0 turns it off. JAX's own cache settings
are left alone. Anything that goes wrong here only costs a compilation.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
from jaxlib.version import __version__ as jaxlib_version

from kedja.engines.xla import options
from kedja.engines.xla.devices import device
from kedja.files import cache_folder, write_whole

__all__ = ["executable"]

MOST_BYTES = 1 << 30  # of the whole folder; the entries used longest ago go first
SUFFIX = ".xla"
# What an entry of another JAX, a damaged one or a full disk can raise, in JAX's words for them.
HARMLESS = (OSError, ValueError, TypeError, AttributeError, ImportError, RuntimeError)


def executable(
    lowered: Any, nest: Any, wishes: options.Options | None = None
) -> tuple[Callable[[Sequence[Any]], list[Any]], bool]:
    """A function of the program's flat arguments that runs it, and whether it came from the cache.

    `nest` is how the arguments are nested, for a JAX whose executables cannot be called directly. `wishes` are options
    of XLA that make it faster.
    """
    text = lowered.as_text()
    # Where a program says bfloat16, XLA may leave the rounding out between two operations that it does as one. The type
    # of a node is what it says: otherwise numbers would depend on what was fused.
    needed: options.Options = {"xla_allow_excess_precision": False} if "bf16" in text else {}
    asked = {**needed, **(wishes or {})}
    path = _entry(f"{asked}\0{text}" if asked else text)
    if path is not None:
        with contextlib.suppress(*HARMLESS):
            return _runner(_loaded(path)), True
    made = options.compiled(lowered, needed, wishes or {})
    found = None if hasattr(made, "runtime_executable") else made
    with contextlib.suppress(*HARMLESS):
        found = found or made.runtime_executable()
        if path is not None:
            _keep(path, found.serialize())
    if found is not None and len(jax.devices()) == 1:
        return _runner(found), False
    return (lambda arguments: list(jax.tree.leaves(made(*jax.tree.unflatten(nest, arguments))))), False


def _runner(found: Any) -> Callable[[Sequence[Any]], list[Any]]:
    def run(arguments: Sequence[Any]) -> list[Any]:
        return [one[0] for one in found.execute_sharded(arguments).disassemble_into_single_device_arrays()]

    return run


def _loaded(path: Path) -> Any:
    from jaxlib import _jax

    blob = path.read_bytes()
    digest, code = blob[:32], blob[32:]
    if hashlib.sha256(code).digest() != digest:
        raise ValueError("damaged entry")
    here = device()
    found = here.client.deserialize_executable(code, executable_devices=_jax.DeviceList((here,)))
    os.utime(path)
    return found


def _keep(path: Path, code: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, hashlib.sha256(code).digest() + code)
    entries = [(p, p.stat()) for p in path.parent.glob(f"*{SUFFIX}")]
    total = sum(s.st_size for _, s in entries)
    for old, stat in sorted(entries, key=lambda e: e[1].st_mtime):
        if total <= MOST_BYTES:
            break
        old.unlink(missing_ok=True)
        total -= stat.st_size


def _entry(program: str) -> Path | None:
    """The file for this program on this machine, or None when the cache is off or cannot serve the device."""
    if os.environ.get("KEDJA_COMPILE_CACHE") == "0" or len(jax.devices()) != 1:
        return None
    name = hashlib.sha256("\0".join([*_machine(), program]).encode()).hexdigest()
    return cache_folder() / "compiled" / f"{name[:32]}{SUFFIX}"


@lru_cache(maxsize=1)
def _machine() -> tuple[str, ...]:
    here = device()
    abilities = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        abilities = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    abilities = abilities or platform.processor()  # not otherwise: on Linux it starts a process to ask
    return (
        jax.__version__, jaxlib_version, here.platform, here.device_kind, str(here.client.platform_version),
        platform.machine(), abilities, os.environ.get("XLA_FLAGS", ""), str(os.cpu_count()),
    )  # fmt: skip
