"""A contestant in a process of its own, and the parent's end of it: a line of JSON down, a line of JSON back.

GPU memory, compiled programs and allocators are then the contestant's alone. End of input ends it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.device.contestant import CONTESTANTS, Task
from bench.process import ROOT, tail_of

__all__ = ["Child", "Died", "Missing", "serve"]

COMMAND = Path(__file__).resolve().parent.parent / "gpu.py"
NO_GPU = "no GPU: {} sees only the CPU. To try the benchmark out without one: --device cpu --tiny"


class Died(RuntimeError):
    """A contestant ended, failed or took too long; the text ends with what it last wrote."""


class Missing(RuntimeError):
    """A package the contestant needs is not installed, or the device is not there."""


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


class Child:
    """The parent's end. Every wait has a limit."""

    def __init__(self, task: Task, limit: float) -> None:
        self.task = task
        self._stderr = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, str(COMMAND), "--contestant-of", json.dumps(asdict(task))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True, encoding="utf-8", cwd=ROOT,
            env=environment(task),
        )  # fmt: skip
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.limit = limit

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ready(self) -> dict[str, Any]:
        """Wait for imports, data and the model."""
        return self._answer()

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Ask for one piece of work and wait for it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Died(self._obituary("ended before it was asked")) from error
        return self._answer()

    def close(self) -> None:
        """Closing its input asks politely; then it is killed."""
        if self._stderr.closed:
            return
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                self._lines.put(line)
        self._lines.put(None)

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=max(1.0, self.limit))
        except queue.Empty:
            self._process.kill()
            self._process.wait()
            raise Died(self._obituary(f"gave no answer in {self.limit:.0f} s")) from None
        if line is None:
            raise Died(self._obituary(f"ended with status {self._process.wait()}"))
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise Missing(answer["missing"])
        return answer

    def _obituary(self, what: str) -> str:
        self._stderr.flush()
        self._stderr.seek(0)
        return f"{self.task.contestant} {what}\n{tail_of(self._stderr.read())}".strip()


# --- the contestant's end ---------------------------------------------------------------------------------------------
def serve(task: Task) -> None:
    """Set up, say so, then do what each line asks for."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print goes to stderr

    def say(answer: dict[str, Any]) -> None:
        private.write(json.dumps(answer) + "\n")
        private.flush()

    module, packages, _, _ = CONTESTANTS[task.contestant]
    for package in packages:
        if importlib.util.find_spec(package) is None:
            say({"missing": f"needs {package}"})
            return
    began = time.perf_counter()
    contestant = importlib.import_module(module).make(task)
    platform, name = contestant.device()
    if platform == "cpu" and task.device != "cpu":
        say({"missing": NO_GPU.format(packages[0])})
        return
    versions = {package: importlib.metadata.version(package) for package in packages}
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
