"""What all tests share: the record of which outside judge each generated case was held against."""

import os
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import settings

os.environ.setdefault("KEDJA_COMPILE_CACHE", "0")  # programs are compiled anew, not taken from an earlier run's disk
settings.register_profile("seeded", derandomize=True)  # --hypothesis-profile=default draws new examples every time
settings.load_profile("seeded")
KEY = "judged"


@pytest.fixture
def judged(record_property: Callable[[str, object], None]) -> Callable[[str, str, int], None]:
    """Write down that `cases` cases of `op` agreed with `oracle`; the counts are printed after the run."""
    return lambda oracle, op, cases=1: record_property(KEY, [oracle, op, cases])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The generated op cases and what judged them (user properties travel from xdist's workers with the reports)."""
    ops: set[str] = set()
    cases: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        for key, value in getattr(report, "user_properties", ()):
            if key == KEY:
                oracle, op, number = value
                ops.add(op)
                cases[oracle] += number
    if cases:
        shown = ", ".join(f"{oracle} {number}" for oracle, number in sorted(cases.items()))
        terminalreporter.write_line(f"generated tests: {len(ops)} ops, {sum(cases.values())} cases ({shown})")
