"""Results outlive a run: what is measured again is replaced, the rest is kept, and the page shows every workload."""

import json
import re
from dataclasses import replace

import pytest

import bench.__main__ as command
from bench import page, report
from bench.catalogue import catalogue
from bench.kept import MachineDiffers, expect_same_machine, merge, read
from bench.results import Limit, Result, Row, Settings
from bench.spread import Spread

HERE = {"cpu": "c", "cores": 2, "system": "s", "python": "p", "packages": {"jax": "1"}}
RATIO = Spread.of([2.0, 3.0, 4.0])


def result(name, machine=HERE, when="2026-01-02T03:04:05+00:00"):
    """A result of two rows."""
    ours = Row("kedja", time=Spread.of([5.0]))
    peer = Row("torch_eager", time=Spread.of([15.0]), ratio=RATIO, ratios=[2.0, 3.0, 4.0], goal="≥ 2×", verdict="pass")
    settings = {"threads": 2, "repeats": 3, "quick": False}
    return Result(name, f"about {name}", [ours, peer], "the loss", when, machine, settings)


class Stub:
    """A benchmark that hands back what it is given."""

    def __init__(self, name):
        self.id, self.title = name, f"about {name}"

    def measure(self, settings, progress):
        return Result(self.id, self.title, [Row("kedja", time=Spread.of([1.0]))])


@pytest.fixture
def stubs(monkeypatch, tmp_path):
    """A catalogue of two benchmarks, kept in a folder of the test's own, with a page."""
    known = [Stub("W1"), Stub("W2")]
    latest, written = tmp_path / "latest.json", tmp_path / "speed.md"
    written.write_text(f"above\n{page.BEGIN}\n{page.END}\nbelow\n", encoding="utf-8")
    monkeypatch.setattr(command, "catalogue", lambda: known)
    monkeypatch.setattr(command, "LATEST", latest)
    monkeypatch.setattr(command, "PAGE", written)
    monkeypatch.setattr(command, "describe_machine", lambda: HERE)
    return latest, written


def test_a_result_survives_its_file(tmp_path):
    """What is read is what was written, spreads and all."""
    path = tmp_path / "a.json"
    path.write_text(report.as_json([result("W1")]), encoding="utf-8")
    assert read(path) == [result("W1")]


def test_a_file_of_the_older_format_is_replaced(tmp_path):
    """It has no machine for each result, so nothing of it can be kept."""
    path = tmp_path / "a.json"
    path.write_text('{"format": 1, "results": [{"id": "W1"}]}', encoding="utf-8")
    assert read(path) == []


def test_only_what_was_measured_again_is_replaced():
    """In the order of the catalogue; what the catalogue no longer has is dropped."""
    kept = [result("W1"), result("W2"), result("gone")]
    merged = merge(kept, [result("W2", when="later")], ["W0", "W2", "W1"])
    assert [(r.id, r.measured[:5]) for r in merged] == [("W2", "later"), ("W1", "2026-")]


def test_another_machine_is_refused(tmp_path):
    """The message names both and says what to do; other versions of packages are no other machine."""
    expect_same_machine([result("W1")], {**HERE, "packages": {}}, tmp_path)
    with pytest.raises(MachineDiffers, match=r"W1 .*another machine \(c, 2, s; this one: c, 64, s\).*--fresh"):
        expect_same_machine([result("W1")], {**HERE, "cores": 64}, tmp_path)


def test_a_run_updates_its_own_results(stubs):
    """The second run leaves the first one's result alone, and the page shows both."""
    latest, written = stubs
    assert command.main(["W1"]) == 0
    first = read(latest)[0]
    assert command.main(["W2"]) == 0
    assert [r.id for r in read(latest)] == ["W1", "W2"]
    assert read(latest)[0] == first
    assert "## W2" in latest.with_suffix(".md").read_text(encoding="utf-8")
    text = written.read_text(encoding="utf-8")
    assert re.match(r"above\n.*\| W1 \|.*\| W2 \|.*\nbelow\n$", text, re.DOTALL)


def test_a_look_is_not_kept(stubs, tmp_path):
    """Short repetitions and half the contestants replace nothing, unless a place is named."""
    latest, _ = stubs
    command.main(["W1", "--quick"])
    command.main(["W1", "--contestants", "kedja"])
    assert not latest.exists()
    command.main(["W1", "--quick", "--json", str(tmp_path / "look.json")])
    assert [r.id for r in read(tmp_path / "look.json")] == ["W1"]
    assert not latest.exists()


def test_a_run_elsewhere_is_refused_before_it_begins(stubs, monkeypatch, capsys):
    """Exit status 2, and the kept results stand; --fresh starts anew."""
    latest, _ = stubs
    command.main(["W1"])
    monkeypatch.setattr(command, "describe_machine", lambda: {**HERE, "cpu": "another"})
    with pytest.raises(SystemExit) as stopped:
        command.main(["W2"])
    assert stopped.value.code == 2
    assert "--fresh" in capsys.readouterr().err
    assert [r.id for r in read(latest)] == ["W1"]
    command.main(["W2", "--fresh"])
    assert [r.id for r in read(latest)] == ["W2"]


@pytest.mark.parametrize(("value", "verdict"), [(1.5, "pass"), (1.51, "fail")])
def test_limit_is_kept_up_to_its_bound(value, verdict):
    """≤ means equal is enough."""
    assert Limit(1.5, "s").judge(value) == verdict
    assert str(Limit(1.5, "s")) == "≤ 1.5 s"


def test_markdown_says_when_and_where_each_result_was_measured():
    """Under each table, since they may come from different days."""
    text = report.as_markdown([result("W1"), result("W2", when="another day")])
    assert text.count("Measured 2026-01-02T03:04:05+00:00 on c, 2 cores, s, p (2 threads used)") == 1
    assert "Measured another day" in text


def test_the_page_shows_goal_ratio_and_spread():
    """A line a contestant, ours in front of the first; what was not measured says so."""
    text = page.figures([result("W1")], [Stub("W1"), Stub("W2")])
    assert "| W1 | 5 µs a step | torch_eager | 15 µs a step | 3.00× (2.00 … 4.00) | ≥ 2× | pass |" in text
    assert "| W2 | not measured yet |" in text
    assert "\n- **W2**: about W2\n" in text


def test_the_page_shows_a_missing_peer():
    """A peer that is not installed, or failed, is no blank."""
    absent = replace(result("W1"), rows=[result("W1").rows[0], Row("torch_eager", "not installed", goal="≥ 2×")])
    assert "| torch_eager | not installed |" in page.figures([absent], [Stub("W1")])


def test_the_page_tells_versions_apart():
    """When a package was updated between two results, the page says which belong to which."""
    newer = result("W2", machine={**HERE, "packages": {"jax": "2"}})
    text = page.figures([result("W1"), newer], [Stub("W1"), Stub("W2")])
    assert "jax 1; 2 threads (W1)." in text
    assert "jax 2; 2 threads (W2)." in text


def test_a_page_without_marks_is_refused():
    """Figures are put between marks, never guessed into a page."""
    with pytest.raises(ValueError, match="needs the lines"):
        page.with_figures("# Speed", [], [])


def test_the_documentation_shows_every_workload():
    """W1 to W12 and the lists, measured or not."""
    text = page.PAGE.read_text(encoding="utf-8")
    for benchmark in catalogue():
        assert f"| {benchmark.id} |" in text or f"**{benchmark.id}**" in text, benchmark.id


def test_the_documentation_is_up_to_date():
    """The page holds the kept results; `python -m bench --page` writes them there."""
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.with_figures(text, read(command.LATEST), catalogue()) == text, "run python -m bench --page"


def test_settings_know_a_look():
    """A run with all contestants is none."""
    assert (Settings().a_look, Settings(quick=True).a_look, Settings(everyone=True).a_look) == (False, True, False)


def test_json_of_results_is_json():
    """Tuples become lists, and every result carries its machine."""
    document = json.loads(report.as_json([result("W1")]))
    assert (document["format"], document["results"][0]["machine"]["cores"]) == (2, 2)
