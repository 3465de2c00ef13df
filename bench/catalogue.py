"""Finds benchmarks: every `w<number>_<name>.py` here, then those that measure in their own way."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from pathlib import Path

from bench.results import Benchmark

__all__ = ["catalogue", "choose"]

OTHERS = ("bandwidth", "ensemble", "imports", "growth", "memory", "ceiling")


def catalogue() -> list[Benchmark]:
    """All benchmarks in the order of their numbers. A new workload file needs no entry anywhere."""
    found = [(int(match[1]), path.stem) for path in Path(__file__).parent.glob("w*.py") if (match := _numbered(path))]
    modules = [stem for _, stem in sorted(found)] + list(OTHERS)
    return [benchmark for module in modules for benchmark in importlib.import_module(f"bench.{module}").BENCHMARKS]


def choose(ids: Iterable[str], known: list[Benchmark]) -> list[Benchmark]:
    """Those asked for, in catalogue order: "W1" means W1.sgd and W1.adam; nothing asked for means all.

    Raises ValueError naming an id that does not exist, and those that do.
    """
    wanted = [name.lower() for name in ids]
    for name in wanted:
        if not any(_answers_to(benchmark, name) for benchmark in known):
            raise ValueError(f"there is no benchmark {name!r}; there are {', '.join(b.id for b in known)}")
    return [benchmark for benchmark in known if not wanted or any(_answers_to(benchmark, name) for name in wanted)]


def _numbered(path: Path) -> re.Match[str] | None:
    return re.fullmatch(r"w(\d+)_\w+", path.stem)


def _answers_to(benchmark: Benchmark, name: str) -> bool:
    own = benchmark.id.lower()
    return own == name or own.startswith(f"{name}.")
