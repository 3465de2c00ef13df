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
def judged(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Write down that `cases` cases of `item` agreed with `oracle`, the worst up to `error`; shown at the end."""
    return lambda oracle, item, cases=1, error=None: record_property(KEY, [oracle, item, cases, error])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which outside judge each item was held against, and how far they were apart at worst.

    User properties travel from xdist's workers with the reports.
    """
    cases: Counter[tuple[str, str]] = Counter()
    errors: dict[tuple[str, str], float] = {}
    for report in terminalreporter.stats.get("passed", []):
        for key, value in getattr(report, "user_properties", ()):
            if key == KEY:
                oracle, item, number, error = value
                cases[item, oracle] += number
                if error is not None:
                    errors[item, oracle] = max(errors.get((item, oracle), 0.0), float(error))
    if not cases:
        return
    items: dict[str, list[str]] = {}
    for (item, oracle), number in sorted(cases.items()):
        worst = f", worst {errors[item, oracle]:.0e}" if (item, oracle) in errors else ""
        items.setdefault(item, []).append(f"{oracle} ({number}{worst})")
    for item, judges in items.items():
        terminalreporter.write_line(f"{item:<28} {'; '.join(judges)}")
    totals: Counter[str] = Counter()
    for (_, oracle), number in cases.items():
        totals[oracle] += number
    shown = ", ".join(f"{oracle} {number}" for oracle, number in sorted(totals.items()))
    terminalreporter.write_line(f"judged: {len(items)} items, {sum(totals.values())} cases ({shown})")
