"""A workload, its contestants, and the measurement: live processes take turns, one works at a time.

A machine's speed drifts (clock, neighbours, heat), so times taken minutes apart say little. Here our process and a
peer's are both set up and warm, and repetitions alternate A B, B A, A B, …; the ratio is taken within each round and
its median and spread over the rounds are what is reported.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.process import Worker, WorkerDied, WorkerMissing
from bench.results import Progress, Result, Row, Settings, Verdict
from bench.spread import Spread

__all__ = ["OURS", "Agreement", "Contestant", "Goal", "Trainer", "Weights", "Workload", "compare", "turns"]

OURS = "kedja"
# OpenMP threads spin for up to 0.2 s after their last parallel region; the next contestant must not pay for that.
SETTLE_SECONDS = 0.25
FEWEST = 3  # rounds, however long they take
# Two threads that wait for each other at every step lose ten times their speed to two busy neighbours.
DISTURBED_CORES = 0.25

Weights = list[NDArray[np.float64]]


class Trainer(ABC):
    """One contestant inside its own process: the network, the data and the optimiser, ready to train."""

    @abstractmethod
    def reset(self) -> None:
        """Go back to the shared initial weights and a fresh optimiser; keep whatever is compiled."""

    @abstractmethod
    def train(self, epochs: int) -> int:
        """Train the way this framework's user would, return the number of steps; all work is done on return."""

    @abstractmethod
    def weights(self) -> Weights:
        """The weights now, as [W1, b1, W2, b2, …] with kernels (in, out)."""

    def tune(self) -> None:
        """Choose settings the contestant profits from (thread count, say) before warm-up; none by default."""
        return

    def describe(self) -> dict[str, Any]:
        """What a reader of the table should know about this contestant's set-up."""
        return {}


@dataclass(frozen=True)
class Contestant:
    """A framework's way of doing the workload; `build` runs in the worker, so it imports the framework itself."""

    build: Callable[[Settings], Trainer]
    requires: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False
    share: float = 1.0
    """Part of the workload's epochs one repetition trains: below 1 for a contestant too slow for all of them."""
    note: str = ""


@dataclass(frozen=True)
class Goal:
    """The ratio (peer's time per step / ours) we must reach, now and later."""

    now: float | None = None
    later: float | None = None

    def __str__(self) -> str:
        parts = [f"≥ {self.now:g}×"] if self.now is not None else []
        return ", ".join(parts + ([f"later ≥ {self.later:g}×"] if self.later is not None else []))

    def judge(self, ratio: float) -> Verdict:
        """Pass or fail by the goal of today."""
        if self.now is None:
            return "later"
        return "pass" if ratio >= self.now else "fail"


@dataclass(frozen=True)
class Agreement:
    """Proof that contestants compute the same: `value` trains a little from the shared start and returns the loss.

    The loss is computed from the trained weights by one NumPy function in float64, never by the framework.
    """

    value: Callable[[Trainer], float]
    tolerance: float
    what: str


@dataclass(frozen=True)
class Workload:
    """One benchmark of training: who takes part, how long a repetition is, what we must reach.

    `module` is where the worker finds it again: write `module=__name__`.
    """

    id: str
    title: str
    module: str
    contestants: Mapping[str, Contestant]
    goals: Mapping[str, Goal]
    agreement: Agreement
    loss: Callable[[Weights], float]
    epochs: int
    quick_epochs: int
    warm_up_epochs: int

    @property
    def address(self) -> str:
        """What `python -m bench.worker` is told."""
        return f"{self.module}:{self.id}"

    def asking(self, id: str, what: str, environment: Mapping[str, str]) -> Workload:
        """The same with ours asked for something that is not the default."""
        ours = self.contestants[OURS]
        ours = replace(ours, environment={**ours.environment, **environment}, note=f"{ours.note}, {what}")
        return replace(
            self, id=id, title=f"{self.title}; kedja with {what}", contestants={**self.contestants, OURS: ours}
        )

    def epochs_for(self, contestant: str, settings: Settings) -> int:
        """How many epochs one timed repetition of this contestant trains."""
        epochs = self.quick_epochs if settings.quick else self.epochs
        return max(1, round(epochs * self.contestants[contestant].share))

    def taking_part(self, settings: Settings) -> list[str]:
        """Names in the order they run: ours first; those marked optional only when asked for."""
        chosen = [
            name
            for name, contestant in self.contestants.items()
            if (name in settings.contestants if settings.contestants else settings.everyone or not contestant.optional)
        ]
        return sorted(chosen, key=lambda name: name != OURS)

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """Measure every contestant against ours, then compare what they computed."""
        return compare(self, settings, progress)


def compare(workload: Workload, settings: Settings, progress: Progress, settle: float = SETTLE_SECONDS) -> Result:
    """Run the workload: ours stays alive throughout, peers come one after the other and alternate with it."""
    names = workload.taking_part(settings)
    rows: list[Row] = []
    ours, our_row = _enter(workload, OURS, settings, progress) if OURS in names else (None, None)
    our_seconds: list[float] = []
    try:
        for name in (name for name in names if name != OURS):
            peer, row = _enter(workload, name, settings, progress)
            rows.append(row)
            if peer is None:
                continue
            with peer:
                rounds = _alternate(workload, ours, our_row, peer, row, settings, progress, settle)
            our_seconds += [pair[0] for pair in rounds if pair[0] is not None]
            _fill(row, [pair[1] for pair in rounds])
            row.ratios = [theirs / mine for mine, theirs in rounds if mine]
            row.ratio = Spread.of(row.ratios) if row.ratios else None
        if ours is not None and our_row is not None and our_row.status == "ok" and not our_seconds:
            our_seconds = _alone(workload, ours, our_row, settings, progress, settle)
    finally:
        if ours is not None:
            ours.close()
    if our_row is not None:
        _fill(our_row, our_seconds)
        if our_row.status == "failed":
            our_row.verdict = "fail"  # no goal can be judged without us, and silence would look like success
        rows.insert(0, our_row)
    _judge_agreement(workload, rows)
    for row in rows:
        _judge_goal(workload, row)
    agreement = f"{workload.agreement.what}; relative tolerance {workload.agreement.tolerance:g}"
    return Result(workload.id, workload.title, rows, agreement)


def _enter(workload: Workload, name: str, settings: Settings, progress: Progress) -> tuple[Worker | None, Row]:
    """Start a contestant's process, wait until it is warm, and take its check value."""
    contestant = workload.contestants[name]
    row = Row(name, goal=str(workload.goals.get(name, "")), note=contestant.note)
    progress(f"{workload.id}: setting up {name}")
    worker = Worker(workload.address, name, settings, contestant.environment)
    try:
        ready = worker.wait_until_ready()
        row.extra = {key: ready[key] for key in ("setup_seconds", "versions", "describe")}
        row.agreement = worker.request("check")["value"]
    except WorkerMissing as missing:
        row.status, row.note = "not installed", str(missing)
    except WorkerDied as death:
        row.status, row.note = "failed", str(death)
    else:
        return worker, row
    worker.close()
    return None, row


def _repetition(worker: Worker, row: Row, settle: float) -> float:
    """Seconds per step of one repetition."""
    time.sleep(settle)
    answer = worker.request("run")
    row.extra |= {"steps": answer["steps"], "final_loss": answer["loss"]}
    if answer["others"] is not None:
        row.extra["others_seconds"] = row.extra.get("others_seconds", 0.0) + answer["others"]
        row.extra["timed_seconds"] = row.extra.get("timed_seconds", 0.0) + answer["seconds"]
    return float(answer["seconds"]) / int(answer["steps"])


def turns(
    count: int, ours: Callable[[], float | None], theirs: Callable[[], float], patience: float | None = None
) -> Iterator[tuple[float | None, float]]:
    """(ours, theirs) of each round; the order flips, so that neither always runs second."""
    start = time.monotonic()
    for turn in range(count):
        if turn >= FEWEST and patience is not None and time.monotonic() - start > patience:
            return
        if turn % 2:
            second = theirs()
            yield ours(), second
        else:
            first = ours()
            yield first, theirs()


def _alternate(
    workload: Workload,
    ours: Worker | None,
    our_row: Row | None,
    peer: Worker,
    row: Row,
    settings: Settings,
    progress: Progress,
    settle: float,
) -> list[tuple[float | None, float]]:
    """(ours, theirs) in seconds per step for each round."""

    def our_turn() -> float | None:
        if ours is None or our_row is None or our_row.status != "ok":
            return None
        try:
            return _repetition(ours, our_row, settle)
        except WorkerDied as death:
            our_row.status, our_row.note = "failed", str(death)
            return None

    rounds: list[tuple[float | None, float]] = []

    def their_turn() -> float:
        progress(f"{workload.id}: {row.contestant}, round {len(rounds) + 1} of {settings.repeats}")
        return _repetition(peer, row, settle)

    try:
        for pair in turns(settings.repeats, our_turn, their_turn, settings.patience):
            rounds.append(pair)
    except WorkerDied as death:
        row.status, row.note = "failed", str(death)
    return rounds


def _alone(
    workload: Workload, ours: Worker, our_row: Row, settings: Settings, progress: Progress, settle: float
) -> list[float]:
    """Our seconds per step when no peer could be measured."""
    seconds: list[float] = []
    try:
        for turn in range(settings.repeats):
            progress(f"{workload.id}: {OURS} alone, {turn + 1} of {settings.repeats}")
            seconds.append(_repetition(ours, our_row, settle))
    except WorkerDied as death:
        our_row.status, our_row.note = "failed", str(death)
    return seconds


def _fill(row: Row, seconds: list[float]) -> None:
    if not seconds:
        return
    row.time = Spread.of(seconds).scaled(1e6)
    # The kernel counts in hundredths of a second: too coarse to accuse anyone over less than a fifth.
    timed = row.extra.get("timed_seconds", 0.0)
    if timed >= 0.2:
        row.others = row.extra["others_seconds"] / timed
        row.disturbed = row.others > DISTURBED_CORES


def _judge_agreement(workload: Workload, rows: list[Row]) -> None:
    """Relative difference of every check value to ours, or to the first peer's while ours is missing."""
    reference = next((row.agreement for row in rows if row.status == "ok" and row.agreement is not None), None)
    if reference is None:
        return
    for row in rows:
        if row.agreement is None:
            continue
        row.difference = abs(row.agreement - reference) / max(abs(reference), 1e-30)
        row.agrees = math.isfinite(row.difference) and row.difference <= workload.agreement.tolerance


def _judge_goal(workload: Workload, row: Row) -> None:
    """A fast wrong answer is no pass: the ratio counts only where the losses agree."""
    goal = workload.goals.get(row.contestant)
    if goal is None or row.ratio is None:
        return
    row.verdict = goal.judge(row.ratio.median)
    if row.agrees is False and row.verdict == "pass":
        row.verdict = "fail"
