"""Every example on a page runs, and prints what the page says; names, files and links of the pages exist.

A block of a page is treated by its language: `python` is executed (a `>>>` session as a doctest), `bash` holds `kedja`
commands, `csv title="name"` is written as that file, `text` is the output of the block before it, `console` and
`powershell` hold commands for people alone. The blocks of one page share names and a folder, in the order they stand.
An output may shorten with `...`; an output whose first line begins with an error's name is the error a block raises.
"""

import contextlib
import doctest
import io
import linecache
import os
import re
import shlex
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

import pytest

import kedja as kj
from docs.catalogue.pages import KINDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
CATALOGUE = ROOT / "docs" / "catalogue"
LANGUAGES = {"bash", "console", "csv", "powershell", "python", "text"}
LONG = {"augmentation", "ensembles", "nonlinear", "regularisation", "sequences"}  # their examples train longest
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# What pages may tell people to run, besides `kedja`: nothing here is run by a test.
FOR_PEOPLE = [
    r"cd kedja",
    r"make( (install|demo|test|test-all|lint|bench|docs))?",
    r"(python3|py|python) -m venv \.venv",
    r"(\.venv/bin/|\.venv\\Scripts\\)?(python -m )?pip install (-e |--editable |--no-deps )?\S+",
    r"uv venv",
    r"uv pip install (-e |--editable |--no-deps )?\S+",
    r"uv run (--no-sync )?(python -m pytest -n 2 -m \"not long\"|kedja .*)",
    r"(\.venv/bin/|\.venv\\Scripts\\)(python -m pytest -n 2 -m \"not long\"|kedja .*)",
    r"kedja .*",
]


class Block(NamedTuple):
    """One fenced block, where it stands, and the output that follows it."""

    page: Path
    line: int
    language: str
    title: str
    code: str
    output: str | None

    @property
    def place(self) -> str:
        """Page and line, as an editor takes them."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, each with the output block that directly follows it."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end_before = -1
    for match in FENCE.finditer(text):
        language, rest, code = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        if language == "text":
            assert found and not text[end_before : match.start()].strip(), f"{page.name}:{line}: output of no block"
            found[-1] = found[-1]._replace(output=code)
        else:
            title = re.search(r'title="([^"]+)"', rest)
            found.append(Block(page, line, language, title[1] if title else "", code, None))
        end_before = match.end()
    return found


def name(page: Path) -> str:
    """The page's name as the test's."""
    return page.relative_to(ROOT).as_posix()


def ran(block: Block, names: dict[str, object]) -> str:
    """What a Python block prints; a block whose output is an error must raise it."""
    linecache.cache["example.py"] = (len(block.code), None, block.code.splitlines(True), "example.py")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(block.code, "example.py", "exec"), names)
        except Exception as error:
            if block.output is None or type(error).__name__ not in block.output.partition(":")[0]:
                raise
            print("".join(traceback.format_exception_only(error)), end="")
    return out.getvalue()


def session(block: Block, names: dict[str, object]) -> None:
    """Check a `>>>` block as a doctest that shares the names of the page."""
    test = doctest.DocTestParser().get_doctest(block.code, {}, "example", str(block.page), block.line)
    test.globs = names
    report = io.StringIO()
    failed = doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=report.write, clear_globs=False)[0]
    assert not failed, f"{block.place}\n{report.getvalue()}"


def commanded(block: Block) -> str:
    """What the `kedja` commands of a block print; `# exit 2` behind one says which status it ends with."""
    from kedja.cli import main

    out = io.StringIO()
    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        assert words[0] == "kedja", f"{block.place}: only kedja commands stand in a bash block, not {line!r}"
        wanted = re.search(r"# exit (\d+)", line)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                status = main(words[1:])
            except SystemExit as stop:
                status = stop.code
        assert (status or 0) == int(wanted[1] if wanted else 0), f"{block.place}: {line}\n{out.getvalue()}"
    return out.getvalue().replace(os.sep, "/")  # pages show paths as they look on most systems


def compare(block: Block, got: str) -> None:
    """Raise unless `got` is the output the page shows."""
    if block.output is None:
        return
    example = doctest.Example(block.code, block.output)
    checker = doctest.OutputChecker()
    if not checker.check_output(block.output, got, FLAGS):
        pytest.fail(f"{block.place}\n{checker.output_difference(example, got, FLAGS)}", pytrace=False)


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=[pytest.mark.long] * (p.stem in LONG)) for p in PAGES], ids=name
)
def test_examples_run_and_print_what_the_page_says(page, tmp_path, monkeypatch):
    """Every block of the page, in order, does what the page shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    names: dict[str, object] = {"__name__": "example"}
    with kj.default_dtype("float32"):
        for block in blocks(page):
            if block.language == "csv" and block.title:
                Path(block.title).write_text(block.code, encoding="utf-8")
            elif block.language == "python" and block.code.lstrip().startswith(">>>"):
                session(block, names)
            elif block.language == "python":
                compare(block, ran(block, names))
            elif block.language == "bash":
                compare(block, commanded(block))


def test_first_example_runs_in_a_fresh_interpreter(tmp_path):
    """What a page shows first needs nothing that an earlier test has loaded."""
    code = next(b.code for b in blocks(ROOT / "docs" / "graphs.md") if b.language == "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_languages_of_blocks_are_known(page):
    """No block escapes the tests by an unknown language."""
    strange = [b.place for b in blocks(page) if b.language not in LANGUAGES]
    assert not strange


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_for_people_are_harmless(page):
    """Blocks that no test runs hold only commands from a short list."""
    lines = [
        (b.place, line.strip())
        for b in blocks(page)
        if b.language in ("console", "powershell")
        for line in b.code.splitlines()
    ]
    strange = [(place, line) for place, line in lines if line and not any(re.fullmatch(p, line) for p in FOR_PEOPLE)]
    assert not strange


@pytest.mark.parametrize("public", kj.__all__)
def test_public_name_has_a_docstring(public):
    """help() says something about every public name."""
    assert (getattr(kj, public).__doc__ or "").strip()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", t.lower()).strip()) for t in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    """Every link to a file of the project, and to a heading in it, has a target."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if file.parent == CATALOGUE and file.stem in (*KINDS, "index"):  # made while the documentation is built
            continue
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page):
    """A file of the project that a page names in code type is there."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    places = (ROOT, ROOT / "src" / "kedja", ROOT / "docs", ROOT / "src" / "kedja" / "explain")  # its folders are named
    named = re.findall(r"`([\w./-]+(?:\.(?:py|md|toml|yml)|/))`", text)
    written = ("runs/", "bench/results/")  # by commands, and not kept in the repository
    missing = [path for path in named if not path.startswith(written) and not any((p / path).exists() for p in places)]
    assert not missing


def test_every_page_is_in_the_navigation():
    """mkdocs.yml lists each page of docs/ once."""
    listed = re.findall(r"([\w/-]+\.md)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    made = [f"catalogue/{name}.md" for name in ("index", *KINDS)]
    assert sorted(listed) == sorted([*made, *(p.relative_to(ROOT / "docs").as_posix() for p in PAGES[2:])])


@pytest.mark.parametrize("names", [["graph", "matrix"], pytest.param([], marks=pytest.mark.long)], ids=["two", "all"])
def test_pictures_are_made_by_their_script(tmp_path, names):
    """docs/pictures.py draws every picture the pages show, or those it is asked for, each below 60 KB."""
    script = ROOT / "docs" / "pictures.py"
    done = subprocess.run([sys.executable, script, tmp_path, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    drawn = {p.name: p.stat().st_size for p in tmp_path.iterdir()}
    kept = {p.name for p in (ROOT / "docs" / "pictures").iterdir()}
    assert set(drawn) == ({f"{n}.svg" for n in names} or kept) and max(drawn.values()) <= 60_000
