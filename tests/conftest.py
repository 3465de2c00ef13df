"""What all tests share: the record of which outside judge each item of the catalogue was held against."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from oracles.table import KEY, gathered, lines, missing, read, write

os.environ.setdefault("KEDJA_COMPILE_CACHE", "0")  # programs are compiled anew, not taken from an earlier run's disk
os.environ.setdefault("KERAS_BACKEND", "torch")  # one for all files of a process; it computes in float64 where asked
settings.register_profile(
    "seeded", derandomize=True, deadline=None
)  # --hypothesis-profile=default draws new examples every time
settings.load_profile("seeded")


@pytest.fixture
def judged(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Write down that `cases` cases of `item`, as "losses/mse", agreed with `oracle`, the worst up to `error`.

    Shown at the end of a run, and kept in docs/oracles.json by --write-oracles.
    """

    def note(oracle: str, item: str, cases: int = 1, error: float | None = None) -> None:
        # Plain numbers: the record travels between processes.
        record_property(KEY, [oracle, item, int(cases), None if error is None else float(error)])

    return note


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels of every program and loop that XLA makes from here on."""
    from kedja.engines.xla.program import XLAEngine

    made: list[str] = []

    def noted(make: Any) -> Any:
        return lambda self, *args, **kwargs: made.append(self.kernels) or make(self, *args, **kwargs)

    for name in ("program", "loop"):
        monkeypatch.setattr(XLAEngine, name, noted(getattr(XLAEngine, name)))
    return made


def pytest_addoption(parser: pytest.Parser) -> None:
    """--write-oracles, for a run of the whole suite."""
    parser.addoption("--write-oracles", action="store_true", help="keep the table of oracles in docs/oracles.json")


def whole(config: pytest.Config) -> bool:
    """Whether this run is of the whole suite, but perhaps for the long tests."""
    asked = [config.getoption(name, None) for name in ("keyword", "lf", "deselect", "collectonly", "maxfail")]
    paths = config.args == config.getini("testpaths")
    return paths and not any(asked) and config.getoption("markexpr") in ("", "not long")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A whole run, passed, in which an item of the catalogue met no oracle, has failed."""
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(config, "workerinput") or reporter is None or exitstatus:
        return
    table = gathered(reporter.stats.get("passed", []))
    if whole(config):
        from docs.catalogue.items import names

        config.without_oracle = missing(table, names())  # type: ignore[attr-defined]
        session.exitstatus = pytest.ExitCode.TESTS_FAILED if config.without_oracle else exitstatus
    if config.getoption("--write-oracles"):
        write(table if whole(config) else {**read(), **table})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of oracles, and what of the catalogue is not in it."""
    table = gathered(terminalreporter.stats.get("passed", []))
    for line in lines(table) if table else ():
        terminalreporter.write_line(line)
    for item in getattr(terminalreporter.config, "without_oracle", ()):
        terminalreporter.write_line(f"without an oracle: {item}", red=True)
