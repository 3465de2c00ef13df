"""The harness judges truly: statistics, worker protocol, verdicts and result files, on a workload that only sleeps."""

import importlib
import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import report
from bench.catalogue import catalogue, choose
from bench.harness import FEWEST, Goal, Workload, compare, turns
from bench.machine import describe_machine
from bench.process import ROOT, Worker, WorkerDied, WorkerMissing, tail_of
from bench.results import Result, Row, Settings
from bench.spread import Spread
from bench.start import epoch_order, initial_weights

HERE = Path(__file__).parent
ENVIRONMENT = {"PYTHONPATH": str(HERE)}


@pytest.fixture
def fake(monkeypatch) -> Workload:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("fake_workload").BENCHMARKS[0]


@pytest.fixture
def result(fake) -> Result:
    return compare(fake, Settings(repeats=3, quick=True), lambda text: None, settle=0.0)


def rows(result: Result) -> dict[str, Row]:
    return {row.contestant: row for row in result.rows}


def test_spread_is_the_five_number_summary():
    """Values from a textbook box plot with interpolated quartiles."""
    spread = Spread.of([7.0, 15.0, 36.0, 39.0, 40.0, 41.0])
    assert (spread.minimum, spread.lower_quartile, spread.median) == (7.0, 20.25, 37.5)
    assert (spread.upper_quartile, spread.maximum, spread.count) == (39.75, 41.0, 6)


def test_spread_of_one_value_is_that_value():
    """A single repetition has no spread, and is no error."""
    assert Spread.of([2.0]) == Spread(2.0, 2.0, 2.0, 2.0, 2.0, 1)


def test_spread_of_nothing_is_refused():
    """A median of nothing would be a made-up figure."""
    with pytest.raises(ValueError, match="at least one"):
        Spread.of([])


@pytest.mark.parametrize(("ratio", "verdict"), [(2.0, "pass"), (1.99, "fail")])
def test_goal_is_reached_at_its_bound(ratio, verdict):
    """≥ means equal is enough."""
    assert Goal(now=2).judge(ratio) == verdict


def test_goal_for_later_never_fails_today():
    """A later goal is shown but not judged."""
    assert Goal(later=60).judge(0.1) == "later"


def test_ratio_is_peer_over_ours(result):
    """Sleeping 4 ms a step beside 1 ms gives about 4; the bounds allow for a busy machine."""
    row = rows(result)["slow"]
    assert len(row.ratios) == 3
    assert 2 < row.ratio.median < 5
    assert row.verdict == "pass"
    assert row.time.median >= 4000


def test_a_fast_wrong_answer_does_not_pass(result):
    """The ratio is reached, the result differs: fail."""
    row = rows(result)["wrong"]
    assert row.ratio.median > 2
    assert (row.agrees, row.verdict, result.passed) == (False, "fail", False)


def test_ours_comes_first_and_optional_stays_away(result):
    """Whatever order the workload lists them in."""
    assert result.rows[0].contestant == "kedja"
    assert "spare" not in rows(result)


def test_a_long_pair_has_fewer_rounds():
    """Three however long they take, all where nobody is impatient; and each second one begins with the peer."""
    order = []
    run = lambda patience: list(turns(7, lambda: order.append("ours"), lambda: order.append("peer"), patience))  # noqa: E731
    assert len(run(0.0)) == FEWEST and order == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert len(run(None)) == len(run(1000.0)) == 7


def test_missing_package_is_reported(result):
    """Not installed is a status, not a crash and not a missed goal."""
    row = rows(result)["absent"]
    assert (row.status, row.verdict, row.note) == ("not installed", "", "needs no_such_package")


def test_failed_setup_shows_the_error_without_folders(result):
    """The table is published, so the error stands there and this machine's folders do not."""
    row = rows(result)["broken"]
    assert row.status == "failed"
    assert "cannot be set up" in row.note
    assert str(ROOT) not in row.note


def test_death_while_working_shows_the_last_words(result):
    """A worker that ends in a repetition is reported, and the others are still measured."""
    row = rows(result)["mortal"]
    assert row.status == "failed"
    assert "status 7" in row.note
    assert "the reason it died" in row.note


def test_our_own_failure_is_no_success(fake):
    """Without us no goal can be judged; that must not end with status 0."""
    ours = replace(fake, contestants={**fake.contestants, "kedja": fake.contestants["broken"]}, module="fake_broken")
    result = compare(ours, Settings(repeats=1, contestants=("kedja",)), lambda text: None, settle=0.0)
    assert (result.rows[0].status, result.passed) == ("failed", False)


def test_busy_neighbours_are_marked(fake, monkeypatch):
    """A row timed beside others says so in the table."""
    monkeypatch.setattr("bench.harness._repetition", _disturbed)
    chosen = Settings(repeats=1, contestants=("slow",))
    row = compare(fake, chosen, lambda text: None, settle=0.0).rows[0]
    assert row.disturbed
    assert "DISTURBED: others used 1.5 cores" in report.as_markdown([Result("x", "x", [row])])


def _disturbed(worker, row, settle):
    row.extra |= {"others_seconds": 1.5, "timed_seconds": 1.0}
    return 0.001


def test_peers_are_measured_without_ours(fake):
    """While kedja cannot run, peers' times are still worth having; there is no ratio."""
    row = compare(fake, Settings(repeats=1, contestants=("slow",)), lambda text: None, settle=0.0).rows[0]
    assert row.time is not None
    assert (row.ratio, row.verdict) == (None, "")


def test_worker_answers_json_though_libraries_print(fake):
    """What is printed during set-up goes to stderr; answers stay one line of JSON each."""
    with Worker(fake.address, "spare", Settings(), ENVIRONMENT) as worker:
        assert worker.wait_until_ready()["describe"] == {}
        assert worker.request("check") == {"value": 2.0}
        answer = worker.request("run")
    assert (answer["steps"], answer["loss"]) == (5, 5.0)
    assert answer["seconds"] >= 0.005


def test_worker_says_which_package_is_missing(fake):
    """Found out before anything is built."""
    with (
        Worker(fake.address, "absent", Settings(), ENVIRONMENT) as worker,
        pytest.raises(WorkerMissing, match="no_such_package"),
    ):
        worker.wait_until_ready()


def test_unknown_request_ends_the_worker_with_its_reason(fake):
    """A typo in the protocol is loud."""
    with Worker(fake.address, "spare", Settings(), ENVIRONMENT) as worker:
        worker.wait_until_ready()
        with pytest.raises(WorkerDied, match="'check' or 'run', not 'dance'"):
            worker.request("dance")


def test_tail_hides_the_checkout_and_the_interpreter():
    """Both are replaced by a word."""
    text = tail_of(f'File "{ROOT}{os.sep}a.py"\nFile "{sys.prefix}{os.sep}lib{os.sep}b.py"')
    assert str(ROOT) not in text
    assert sys.prefix not in text


def test_file_is_replaced_whole(tmp_path):
    """A second write replaces the first, and nothing is left beside it."""
    path = tmp_path / "deep" / "latest.json"
    report.write_atomically(path, "old")
    report.write_atomically(path, "new é")
    assert path.read_text(encoding="utf-8") == "new é"
    assert os.listdir(path.parent) == ["latest.json"]


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    """When the rename fails the old results stand and the temporary file is gone."""

    def refuse(*paths):
        raise OSError("disk full")

    path = tmp_path / "latest.json"
    report.write_atomically(path, "old")
    monkeypatch.setattr(report.os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        report.write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["latest.json"]


def test_json_has_no_nan():
    """A diverged loss is null, which every reader knows."""
    document = json.loads(report.as_json([Result("x", "x", [Row("a", agreement=math.nan)])]))
    assert document["results"][0]["rows"][0]["agreement"] is None


def test_machine_names_no_host():
    """General words only."""
    host = os.uname().nodename if hasattr(os, "uname") else ""
    assert not host or host not in json.dumps(describe_machine())


def test_short_id_means_all_variants():
    """W1 is W1.sgd and W1.adam; W12 would not be W1."""
    assert [benchmark.id for benchmark in choose(["w1"], catalogue())] == ["W1.sgd", "W1.adam"]


def test_unknown_id_names_those_that_exist():
    """The message is enough to correct it."""
    with pytest.raises(ValueError, match=r"no benchmark 'w99'.*W3"):
        choose(["W99"], catalogue())


def test_the_common_start_is_reproducible():
    """Same seed, same weights and orders; an order visits every row once."""
    first, second = initial_weights([3, 2], seed=1), initial_weights([3, 2], seed=1)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert sorted(epoch_order(10, epoch=1, seed=3)) == list(range(10))
    assert list(epoch_order(10, epoch=1, seed=3)) != list(epoch_order(10, epoch=2, seed=3))
