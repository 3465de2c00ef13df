"""What a benchmark hands back: rows of one shape, whatever was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from bench.spread import Spread

__all__ = ["Benchmark", "Limit", "Progress", "Result", "Row", "Settings", "Status", "Verdict"]

Status = Literal["ok", "not installed", "failed"]
Verdict = Literal["pass", "fail", "later", ""]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What the command line decides."""

    repeats: int = 7
    patience: float | None = None
    """Seconds after which a pair has been compared often enough, in three rounds at least; None: always all rounds."""
    quick: bool = False
    threads: int = 2
    everyone: bool = False
    contestants: tuple[str, ...] = ()

    @property
    def a_look(self) -> bool:
        """Shorter repetitions, or not everyone: nothing to replace a result with."""
        return self.quick or bool(self.contestants)


@dataclass(frozen=True)
class Limit:
    """The most a figure of ours may be, in the unit of its row: a goal that needs no peer."""

    most: float
    unit: str = ""

    def __str__(self) -> str:
        return f"≤ {self.most:g} {self.unit}".rstrip()

    def judge(self, value: float) -> Verdict:
        """Whether the value keeps to it."""
        return "pass" if value <= self.most else "fail"


@dataclass
class Row:
    """One contestant of one benchmark.

    `time` is in `unit`; `ratio` is this contestant's time divided by ours in the same round, so above 1 we are faster.
    `verdict` is "later" where only a later goal is set, and "" where there is no goal or nothing to judge by.
    """

    contestant: str
    status: Status = "ok"
    time: Spread | None = None
    unit: str = "µs/step"
    ratio: Spread | None = None
    ratios: list[float] = field(default_factory=list)
    goal: str = ""
    verdict: Verdict = ""
    agreement: float | None = None
    difference: float | None = None
    agrees: bool | None = None
    others: float | None = None
    """Cores other processes kept busy during the timed parts, on average."""
    disturbed: bool = False
    note: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Row:
        """The row that `asdict` turned into this."""
        spreads = {name: Spread(**fields[name]) for name in ("time", "ratio") if fields.get(name) is not None}
        return cls(**{**fields, **spreads})


@dataclass
class Result:
    """Every row of one benchmark; `agreement` says in words what was compared and how closely.

    When and where it was measured, and with which settings, is filled in by `python -m bench`.
    """

    id: str
    title: str
    rows: list[Row]
    agreement: str = ""
    measured: str = ""
    machine: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """No goal was missed."""
        return all(row.verdict != "fail" for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, for JSON."""
        return {**asdict(self), "passed": self.passed}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Result:
        """The result that `to_dict` turned into this."""
        own = {name: value for name, value in fields.items() if name != "passed"}
        return cls(**{**own, "rows": [Row.from_dict(row) for row in fields["rows"]]})


class Benchmark(Protocol):
    """Anything `python -m bench` can run: a Workload, or a measurement of its own such as the import time."""

    @property
    def id(self) -> str: ...

    @property
    def title(self) -> str: ...

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """Measure and judge."""
        ...
