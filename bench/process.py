"""The parent's end of other processes: start one, ask it, and say what it last wrote when it dies."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.results import Row, Settings

__all__ = ["ROOT", "Asked", "Worker", "WorkerDied", "WorkerMissing", "child_environment", "last_line", "tail_of",
           "write_down"]  # fmt: skip

ROOT = Path(__file__).resolve().parent.parent
SETUP_TIMEOUT = 300.0
ANSWER_TIMEOUT = 600.0
TAIL_LINES = 12


class WorkerDied(RuntimeError):
    """A worker ended, failed or did not answer in time; the text ends with what it last wrote to stderr."""


class WorkerMissing(RuntimeError):
    """A package the contestant needs is not installed, or the device is not there."""


def child_environment(settings: Settings, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a contestant: same thread count for every runtime, CPU only, this checkout importable."""
    threads = str(settings.threads)
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # whoever has installed us has bytecode, as of every package
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[variable] = threads
    environment |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    paths = [str(ROOT), extra.get("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")]
    return environment | dict(extra) | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def last_line(
    arguments: Sequence[str], settings: Settings, extra: Mapping[str, str] | None = None, timeout: float = 300.0
) -> str:
    """The last line that a Python process with these arguments prints.

    Raises subprocess.CalledProcessError, with what it wrote, when it fails.
    """
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=timeout, cwd=ROOT,
        env=child_environment(settings, extra or {}),
    )  # fmt: skip
    return done.stdout.splitlines()[-1]


def write_down(error: subprocess.CalledProcessError, *rows: Row, judged: bool = False) -> None:
    """Why these rows have no figures; where they are judged, failing is a missed goal, unlike a missing package."""
    tail = tail_of(error.stderr)
    missing = "ModuleNotFoundError" in tail
    for row in rows:
        row.status, row.note = ("not installed" if missing else "failed"), tail
        row.verdict = "fail" if judged and not missing else ""


def tail_of(stderr: str) -> str:
    """The last lines of a dead process, without this machine's folders: they end up in a published table."""
    folders = {str(ROOT): ".", sys.prefix: "<python>", sys.base_prefix: "<python>", str(Path.home()): "~"}
    for folder in sorted(folders, key=len, reverse=True):
        if len(folder) > 1:
            stderr = stderr.replace(folder + os.sep, folders[folder] + os.sep)
    return "\n".join(stderr.strip().splitlines()[-TAIL_LINES:])


class Asked:
    """A live process. One line of JSON goes down its stdin, one comes back; every wait has a limit."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        # It lives as long as the process does; close() closes it.
        self._stderr = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True,
            encoding="utf-8", cwd=ROOT, env=dict(environment),
        )  # fmt: skip
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        # A thread, because a pipe cannot be read with a time limit everywhere.
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process: closing its stdin asks politely, then it is killed."""
        if self._stderr.closed:
            return
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it may have died first, with our request still in the buffer
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def _asked(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Ask for one piece of work and wait for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerDied(self._obituary("ended before it was asked")) from error
        return self._answer(timeout)

    def _answer(self, timeout: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self._process.kill()
            self._process.wait()
            raise WorkerDied(self._obituary(f"gave no answer in {timeout:.0f} s")) from None
        if line is None:
            raise WorkerDied(self._obituary(f"ended with status {self._process.wait()}"))
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise WorkerMissing(answer["missing"])
        return answer

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                self._lines.put(line)
        self._lines.put(None)

    def _obituary(self, what: str) -> str:
        self._stderr.flush()
        self._stderr.seek(0)
        tail = tail_of(self._stderr.read())
        return f"{self.name} {what}" + (f"\nits last words:\n{tail}" if tail else "")


class Worker(Asked):
    """A live contestant of a workload."""

    def __init__(self, workload: str, contestant: str, settings: Settings, extra: Mapping[str, str]) -> None:
        arguments = ["-m", "bench.worker", workload, contestant, json.dumps(asdict(settings))]
        super().__init__(contestant, arguments, child_environment(settings, extra))

    def wait_until_ready(self) -> dict[str, Any]:
        """Wait for imports, data, compilation and warm-up."""
        return self._answer(SETUP_TIMEOUT)

    def request(self, do: str) -> dict[str, Any]:
        """Ask for one piece of work ("check" or "run") and wait for its answer."""
        return self._asked({"do": do}, ANSWER_TIMEOUT)
