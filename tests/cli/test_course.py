"""`kedja course`: lessons listed and written; nothing overwritten, and wrong words answered in one line."""

import json

import pytest

from kedja.cli import main
from kedja.course import names


def refusal(capsys, *words):
    """The one line on stderr of a command that is refused with exit code 2."""
    assert main([str(word) for word in words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("kedja: ") and told.err.count("\n") == 1 and not told.out
    return told.err


@pytest.mark.parametrize("words", [["course"], ["course", "list"]])
def test_lessons_are_listed(words, capsys):
    """A line for each, with title and minutes."""
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(names())]] == list(names())
    assert "The perceptron and its line" in lines[0] and "min" in lines[0]


def test_all_lessons_are_written(tmp_path, monkeypatch, capsys):
    """Without a folder they go to `course`, one notebook each."""
    monkeypatch.chdir(tmp_path)
    assert main(["course", "export"]) == 0
    assert sorted(path.stem for path in (tmp_path / "course").iterdir()) == list(names())
    assert "17 notebooks in course, solutions included" in capsys.readouterr().out


def test_some_lessons_without_solutions(tmp_path, capsys):
    """Lessons are named by number or name; without solutions no cell is tagged as one."""
    out = tmp_path / "new" / "folder"
    assert main(["course", "export", "6", "01-perceptron", "06", "--no-solutions", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["01-perceptron.ipynb", "06-xor-1-layers.ipynb"]
    assert "2 notebooks" in capsys.readouterr().out
    for path in out.iterdir():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert cells and not any("solution" in cell["metadata"].get("tags", ()) for cell in cells)


def test_nothing_is_overwritten(tmp_path, capsys):
    """One file in the way, and no file is written; it is named, and kept as it was."""
    mine = tmp_path / "06-xor-1-layers.ipynb"
    mine.write_text("my work")
    assert "06-xor-1-layers.ipynb exists already" in refusal(capsys, "course", "export", "--out", tmp_path)
    assert mine.read_text() == "my work" and list(tmp_path.iterdir()) == [mine]
    assert main(["course", "export", "07", "--out", str(tmp_path)]) == 0  # beside it there is room
    capsys.readouterr()
    assert "(and 1 more)" in refusal(capsys, "course", "export", "06", "07", "--out", tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["course", "exprot"], "Did you mean 'export'"),
        (["course", "export", "99"], "unknown lesson '99'"),
        (["course", "export", "13-digit"], "Did you mean '13-digits'"),
        (["course", "export", "--no-solution"], "Did you mean '--no-solutions'"),
        (["course", "list", "--out", "x"], "are for kedja course export"),
        (["course", "list", "nothing"], "unknown lesson 'nothing'"),
    ],
)
def test_what_is_not_understood_is_said_in_one_line(words, said, tmp_path, monkeypatch, capsys):
    """A wrong word is answered with the right ones, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert said in refusal(capsys, *words)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file(tmp_path, capsys):
    """A file in the folder's place, or above it, is refused."""
    (tmp_path / "taken").write_text("")
    assert "is a file; notebooks need a folder" in refusal(capsys, "course", "export", "--out", tmp_path / "taken")
    assert "taken" in refusal(capsys, "course", "export", "--out", tmp_path / "taken" / "deeper")
