"""What the processor can do, as far as a kernel needs to know it: how wide its vectors are, and how many there are."""

from __future__ import annotations

import platform
from functools import lru_cache
from typing import NamedTuple

import llvmlite.binding as llvm

__all__ = ["LINE_BYTES", "Target", "host", "narrowed"]

LINE_BYTES = 64  # of the cache

# Features of x86 that go with vectors of a width; a target of fewer bits is made by switching the others off.
BY_WIDTH = {512: ("avx512f", "avx512vl", "avx512bw", "avx512dq"), 256: ("avx", "avx2", "fma")}


class Target(NamedTuple):
    """A processor as LLVM is told of it, and the shape of its vector registers."""

    triple: str
    cpu: str
    features: str
    bits: int
    registers: int
    fma: bool

    def lanes(self, itemsize: int) -> int:
        """How many numbers of this many bytes a vector holds."""
        return self.bits // (8 * itemsize)

    @property
    def register(self) -> str:
        """The letter for a vector register in inline assembly."""
        return ("v" if self.bits == 512 else "x") if self.pauses else "w"

    @property
    def pauses(self) -> bool:
        """Whether there is x86's instruction for waiting politely."""
        return self.triple.startswith(("x86_64", "i686"))


@lru_cache(maxsize=1)
def host() -> Target:
    """This machine, with the widest vectors it has."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return narrowed(512)


def narrowed(bits: int) -> Target:
    """This machine with vectors of at most so many bits."""
    triple, cpu = llvm.get_process_triple(), llvm.get_host_cpu_name()
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return Target(triple, cpu, llvm.get_host_cpu_features().flatten(), 128, 32, True)
    has = {name for name, there in llvm.get_host_cpu_features().items() if there}
    if bits >= 512 and has.issuperset(BY_WIDTH[512]):
        return Target(triple, cpu, llvm.get_host_cpu_features().flatten(), 512, 32, True)
    # Named by hand: the features of a wide machine imply one another, and switching off one leaves others on.
    if bits >= 256 and has.issuperset(BY_WIDTH[256]):
        return Target(triple, "x86-64-v3", "", 256, 16, True)
    return Target(triple, "x86-64", "", 128, 16, False)
