"""One workload at one batch and precision: kedja and a peer live on the device and take turns, one works at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bench.device.child import Child
from bench.device.contestant import CONTESTANTS, Task
from bench.device.peaks import data_sheet
from bench.harness import OURS, turns
from bench.process import WorkerDied, WorkerMissing
from bench.spread import Spread

__all__ = ["Deadline", "Figures", "Row", "measure"]

CHECKED_STEPS = 6
# Of the mean losses of pairs of steps, as parts of the first one: other orders of sums, and in bf16 other places of
# rounding. The rates of the networks are small, so that a difference does not grow from step to step.
TOLERANCE = {"float32": 1e-3, "tf32": 1e-2, "bf16": 3e-2}
MATRIX, TINY_MATRIX = 8192, 128


class Deadline:
    """How much time is left of a budget, and at most how long one answer may take."""

    LONGEST = 1200.0

    def __init__(self, seconds: float | None) -> None:
        self.end = math.inf if seconds is None else time.monotonic() + seconds

    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def limit(self) -> float:
        """How long the next answer may take."""
        return min(self.LONGEST, self.left())


@dataclass
class Row:
    """One contestant. `ratio`: its time divided by kedja's in the same round; above 1 kedja is faster."""

    contestant: str
    note: str = ""
    status: str = "ok"
    step: Spread | None = None
    ratio: Spread | None = None
    ratios: list[float] = field(default_factory=list)
    first_seconds: float | None = None
    setup_seconds: float | None = None
    call_overhead: float | None = None
    memory: int | None = None
    losses: list[float] = field(default_factory=list)
    difference: float | None = None
    agrees: bool | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def compile_seconds(self) -> float | None:
        """The first two steps, less what two steps take later: tracing, compiling, choosing among kernels."""
        if self.first_seconds is None or self.step is None:
            return None
        return max(0.0, self.first_seconds - 2 * self.step.median)


@dataclass
class Figures:
    """All rows of one workload, batch and precision, and what they are measured by."""

    workload: str
    title: str
    batch: int
    precision: str
    steps: int
    flops_per_step: int
    device: str = ""
    platform: str = ""
    ceilings: dict[str, float] = field(default_factory=dict)
    """TFLOP/s of a large product, by who measured it."""
    rows: list[Row] = field(default_factory=list)

    @property
    def ceiling(self) -> float | None:
        """The best large product, in TFLOP/s."""
        return max(self.ceilings.values(), default=None)

    def tflops(self, row: Row) -> float | None:
        """What a contestant achieved, by the model's own arithmetic."""
        return self.flops_per_step / row.step.median / 1e12 if row.step else None

    def share(self, row: Row, measured: bool) -> float | None:
        """The part of the measured ceiling, or of the data sheet's."""
        peak = self.ceiling if measured else data_sheet(self.device, self.precision)
        achieved = self.tflops(row)
        return achieved / peak if achieved and peak else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with what follows from the times written out."""
        found = asdict(self)
        found["data_sheet_tflops"] = data_sheet(self.device, self.precision)
        for told, row in zip(found["rows"], self.rows, strict=True):
            told |= {
                "compile_seconds": row.compile_seconds, "tflops": self.tflops(row),
                "of_measured_peak": self.share(row, True), "of_data_sheet": self.share(row, False),
                "examples_per_second": self.batch / row.step.median if row.step else None,
            }  # fmt: skip
        return found


def measure(
    task: Task, names: Sequence[str], repeats: int, deadline: Deadline, progress: Callable[[str], None]
) -> Figures:
    """Measure these contestants on this workload; `task` is told for the first of them."""
    net = task.net
    found = Figures(
        task.workload, net.title, task.batch, task.precision, task.steps, net.flops() * task.batch
    )  # fmt: skip
    where = f"{task.workload} {task.precision} batch {task.batch}"
    ours, our_row, mine = None, None, []
    try:
        if OURS in names:
            progress(f"{where}: {OURS}")
            ours, our_row = _enter(replace(task, contestant=OURS), found, deadline)
        for name in (n for n in names if n != OURS):
            progress(f"{where}: {name}")
            peer, row = _enter(replace(task, contestant=name), found, deadline)
            if peer is None:
                continue
            with peer:
                theirs: list[float] = []

                def our_turn(row: Row | None = our_row, child: Child | None = ours) -> float | None:
                    """Seconds a step, or None from where ours failed."""
                    if child is None or row is None or row.status != "ok":
                        return None
                    try:
                        return _seconds(child, row, task.steps, deadline)
                    except WorkerDied as death:
                        row.status, row.note = "failed", str(death)
                        return None

                def their_turn(row: Row = row, child: Child = peer) -> float:
                    return _seconds(child, row, task.steps, deadline)

                try:
                    for pair in turns(repeats, our_turn, their_turn):
                        theirs.append(pair[1])
                        if pair[0] is not None:
                            mine.append(pair[0])
                            row.ratios.append(pair[1] / pair[0])
                        if deadline.left() <= 0:
                            break
                    _leave(peer, row, found, deadline)
                except WorkerDied as death:
                    row.status, row.note = "failed", str(death)
                row.step = Spread.of(theirs) if theirs else None
                row.ratio = Spread.of(row.ratios) if row.ratios else None
        if ours is not None and our_row is not None and our_row.status == "ok":
            try:
                while len(mine) < repeats and (not mine or (len(names) == 1 and deadline.left() > 0)):
                    mine.append(_seconds(ours, our_row, task.steps, deadline))
                _leave(ours, our_row, found, deadline)
            except WorkerDied as death:
                our_row.status, our_row.note = "failed", str(death)
    finally:
        if ours is not None:
            ours.close()
    if our_row is not None and mine:
        our_row.step = Spread.of(mine)
    _judge(found)
    return found


def _enter(task: Task, found: Figures, deadline: Deadline) -> tuple[Child | None, Row]:
    """Start a contestant, compile, train a little from the common start."""
    row = Row(task.contestant, CONTESTANTS[task.contestant][3])
    found.rows.append(row)
    child = Child(task, deadline.limit())
    try:
        ready = child.ready()
        row.setup_seconds, row.versions = ready["setup_seconds"], ready["versions"]
        if not found.device or ready["platform"] == "gpu":
            found.device, found.platform = ready["device"], ready["platform"]
        child.limit = deadline.limit()
        row.first_seconds = child.ask("first")["seconds"]
        child.limit = deadline.limit()
        row.losses = child.ask("check", steps=CHECKED_STEPS)["losses"]
        child.ask("run", steps=2)
    except WorkerMissing as missing:
        row.status, row.note = "not installed", str(missing)
    except WorkerDied as death:
        row.status, row.note = "failed", str(death)
    else:
        return child, row
    child.close()
    return None, row


def _seconds(child: Child, row: Row, steps: int, deadline: Deadline) -> float:
    """Of one step."""
    child.limit = deadline.limit() + 30
    told = child.ask("run", steps=steps)
    over = told["call"] - told["seconds"]
    row.call_overhead = over if row.call_overhead is None else min(over, row.call_overhead)
    return float(told["seconds"]) / int(told["steps"])


def _leave(child: Child, row: Row, found: Figures, deadline: Deadline) -> None:
    """What is asked last: memory, and how fast the framework multiplies large matrices."""
    child.limit = deadline.limit() + 30
    row.memory = child.ask("memory")["bytes"]
    n = TINY_MATRIX if child.task.tiny else MATRIX if found.platform == "gpu" else 1024
    found.ceilings[row.contestant] = child.ask("ceiling", n=n)["flops"] / 1e12


def _judge(found: Figures) -> None:
    """Losses beside those of the first contestant that has some."""
    reference = next((row.losses for row in found.rows if row.losses), None)
    for row in found.rows:
        if reference and row.losses:
            row.difference = max(abs(a - b) for a, b in zip(row.losses, reference, strict=True)) / abs(reference[0])
            row.agrees = math.isfinite(row.difference) and row.difference <= TOLERANCE[found.precision]
