"""A contestant in a process of its own, and the parent's end of it: a line of JSON down, a line of JSON back.

GPU memory, compiled programs and allocators are then the contestant's alone. End of input ends it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.answers import Answers
from bench.device.contestant import CONTESTANTS, Task
from bench.machine import version_of
from bench.process import Asked

__all__ = ["Child", "serve"]

COMMAND = Path(__file__).resolve().parent.parent / "gpu.py"
NO_GPU = "no GPU: {} sees only the CPU. To try the benchmark out without one: --device cpu --tiny"


def environment(task: Task) -> dict[str, str]:
    """Memory is taken as it is needed, and nothing comes compiled from an earlier run."""
    found = dict(os.environ) | {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # two contestants live on the device at a time
        "KEDJA_COMPILE_CACHE": "0", "JAX_ENABLE_COMPILATION_CACHE": "false", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1",
    }  # fmt: skip
    if task.tiny:
        found["OMP_NUM_THREADS"] = "1"  # nothing to share; threads that wait for each other would take longer
    return found | ({"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""} if task.device == "cpu" else {})


class Child(Asked):
    """The parent's end; `limit` is how long the next answer may take."""

    def __init__(self, task: Task, limit: float) -> None:
        arguments = [str(COMMAND), "--contestant-of", json.dumps(asdict(task))]
        super().__init__(task.contestant, arguments, environment(task))
        self.task, self.limit = task, limit

    def ready(self) -> dict[str, Any]:
        """Wait for imports, data and the model."""
        return self._answer(max(1.0, self.limit))

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Ask for one piece of work and wait for it."""
        return self._asked({"do": do, **more}, max(1.0, self.limit))


# --- the contestant's end ---------------------------------------------------------------------------------------------
def serve(task: Task) -> None:
    """Set up, say so, then do what each line asks for."""
    answers = Answers()
    say = answers.say
    module, packages, _, _ = CONTESTANTS[task.contestant]
    if answers.misses(packages):
        return
    began = time.perf_counter()
    contestant = importlib.import_module(module).make(task)
    platform, name = contestant.device()
    if platform == "cpu" and task.device != "cpu":
        say({"missing": NO_GPU.format(packages[0])})
        return
    versions = {package: version_of(package) for package in packages}
    say({"setup_seconds": time.perf_counter() - began, "platform": platform, "device": name, "versions": versions})
    for line in sys.stdin:
        request = json.loads(line)
        match request["do"]:
            case "first":  # two steps, all compiling included
                began = time.perf_counter()
                contestant.train(2)
                say({"seconds": time.perf_counter() - began})
            case "check":
                contestant.reset()
                say({"losses": contestant.train(request["steps"])[1]})
            case "run":
                gc.collect()
                say(asdict(contestant.train(request["steps"])[0]))
            case "memory":
                say({"bytes": contestant.memory()})
            case "ceiling":
                say({"flops": contestant.ceiling(request["n"])})
            case other:
                raise ValueError(f"a contestant can do first, check, run, memory and ceiling, not {other!r}")
