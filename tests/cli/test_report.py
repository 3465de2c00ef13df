"""The page a run leaves: well formed, self-contained, safe, and complete in what it shows."""

import dataclasses
import io
import re
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kedja.cli.charts import curves, downsample, histogram, number, plain, scatter, ticks
from kedja.cli.report import Mistakes, Report, report_html, write_report
from kedja.errors import DataError, ShapeError, UnknownNameError
from kedja.train.history import History

VOID = {"meta", "img", "br", "link", "input", "hr"}
NASTY = "<script>alert('x')</script>\"&\x00\u202e"


class Page(HTMLParser):
    """Parses strictly: every element closed in order, attributes once each; keeps what tests look at."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"attribute twice in {tag}: {attrs}"
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def history():
    record = History(stopped="interrupted by Ctrl-C after epoch 3", seconds=2.5, seed=11, settings={"batch_size": 32})
    record.extend([1, 2, 3], {"loss": [1.0, 0.5, 0.3], "val_loss": [1.1, 0.6, 0.7], "accuracy": [0.5, 0.7, 0.9]})
    return record


def classification(**changes):
    rng = np.random.default_rng(0)
    report = Report(
        history=history(),
        title="Pets",
        created="2026-01-05T14:03:22",
        command="kedja train pets --out runs/pets",
        data="pets.csv",
        rows={"train": 80, "test": 20},
        final={"held-out accuracy": 0.85, "held-out loss": 0.31},
        layers=[("dense_1", "Dense", (6,), 30, "tanh"), ("dense_2", "Dense", (3,), 21, "softmax")],
        weights=[(rng.normal(size=(4, 6)), rng.normal(size=6)), (rng.normal(size=(6, 3)), rng.normal(size=3))],
        feature_names=["a", "b", "c", "d"],
        class_names=["cat", "dog", "hamster"],
        confusion=np.array([[8, 1, 0], [2, 7, 0], [0, 0, 2]]),
        mistakes=Mistakes(
            images=rng.random((3, 5, 5)), true=["cat", "dog", "dog"], predicted=["dog", "cat", "cat"],
            probability=[0.9, 0.8, 0.55],
        ),
        versions={"kedja": "0.1.0"},
    )  # fmt: skip
    return dataclasses.replace(report, **changes)


def regression(**changes):
    targets = np.linspace(1, 3, 50)
    report = Report(
        history=history(),
        task="regression",
        targets=targets,
        predictions=targets + np.sin(np.arange(50)),
        target_name="rent",
        unit="kkr",
    )
    return dataclasses.replace(report, **changes)


REPORTS = {
    "classification": classification(),
    "regression": regression(),
    "least": Report(history=History()),
    "rows": classification(
        mistakes=Mistakes(rows=[(1.5, "red")], columns=["size", "colour"], true=["cat"], predicted=["dog"])
    ),
    "many classes": classification(
        weights=(), confusion=np.eye(40, dtype=int), class_names=[f"class {index}" for index in range(40)]
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_page_is_well_formed(name):
    """Every element is closed in its order and every image and drawing has a text of its own."""
    page = Page(report_html(REPORTS[name]))
    assert page.tags.count("h1") == 1 and page.tags.count("title") >= 1
    described = {"img": "alt", "svg": "aria-label"}
    for tag, attribute in described.items():
        texts = [value for t, a, value in page.attributes if (t, a) == (tag, attribute)]
        assert len(texts) == page.tags.count(tag) and all(texts)


@pytest.mark.parametrize("name", REPORTS)
def test_page_needs_nothing_else(name):
    """No script, no link to another file or host: the page works offline."""
    text = report_html(REPORTS[name])
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(page.tags)
    sources = [value for _, attribute, value in page.attributes if attribute in ("src", "href", "xlink:href", "data")]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text
    assert not [attribute for _, attribute, _ in page.attributes if attribute.startswith("on")]


def test_names_from_files_cannot_become_elements():
    """Whatever a title, class, feature or setting is called, it stays text."""
    nasty = classification(
        title=NASTY,
        command=NASTY,
        data=NASTY,
        rows={NASTY: 3},
        final={NASTY: NASTY},
        settings={NASTY: NASTY},
        versions={NASTY: NASTY},
        stopped=NASTY,
        folder=NASTY,
        layers=[(NASTY, NASTY, NASTY, 1, NASTY), (NASTY, NASTY, NASTY, 1, NASTY)],
        feature_names=[NASTY] * 4,
        class_names=[NASTY] * 3,
        mistakes=Mistakes(rows=[(NASTY,)], columns=[NASTY], true=[NASTY], predicted=[NASTY]),
    )
    nasty.history.append(4, {NASTY: 1.0})
    text = report_html(nasty)
    assert "script" not in Page(text).tags
    assert "\x00" not in text and "\u202e" not in text
    assert "script" not in Page(report_html(regression(target_name=NASTY, unit=NASTY))).tags


@given(st.text(st.characters()))
def test_any_text_is_plain(text):
    """plain gives back the same words to a reader, in an attribute or an element, and can always be written."""
    written = plain(text)
    written.encode("utf-8")
    page = Page(f'<p title="{written}">{written}</p>')
    assert page.tags == ["p"]


def test_page_says_what_happened():
    """Result, reason, best epoch, baseline, settings and how to load the run are all there."""
    text = Page(report_html(classification(), folder="runs/my pets")).text
    for words in (
        "85.0 %",
        "Training interrupted by Ctrl-C after epoch 3",
        "lowest after epoch 2, at 0.6",
        "Always answering “cat” would be right for 45.0 %",
        "80 train rows",
        "batch size 32",
        "seed 11",
        'kj.load("runs/my pets")',
        "kedja predict 'runs/my pets' FILE.csv",
        "kedja train pets --out runs/pets",
    ):
        assert words in text, words


def test_precision_and_recall_per_class():
    """Figures worked by hand: cat is right in 8 of 10 answers and found in 8 of 9 rows."""
    text = Page(report_html(classification())).text
    assert "cat 9 80.0 % 88.9 % dog (1)" in text
    assert "hamster 2 100.0 % 100.0 % –" in text


def test_mistakes_are_small_png_images():
    """The gallery's images decode to the pixels given, and no more than forty are shown of more."""
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 6, 3), dtype=np.uint8)
    mistakes = Mistakes(images=images, true=["a"] * 50, predicted=["b"] * 50, total=70)
    page = Page(report_html(classification(mistakes=mistakes)))
    sources = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(sources) == 40 and "40 of 70 rows" in page.text
    first = Image.open(io.BytesIO(b64decode(sources[0].split(",")[1])))
    np.testing.assert_array_equal(np.asarray(first), images[0])


def test_long_run_makes_a_small_page():
    """A hundred thousand epochs are drawn by at most 400 points a curve."""
    long = History()
    long.extend(range(1, 100_001), {"loss": np.random.default_rng(0).random(100_000) + 0.1})
    text = report_html(Report(history=long))
    assert len(text) < 100_000
    assert all(len(points.split()) <= 400 for points in re.findall(r'points="([^"]*)"', text))


def test_diverged_run_is_drawn():
    """Curves that end in nan, infinity or enormous numbers still make a page."""
    wild = History(stopped="diverged: the loss was nan in epoch 4")
    wild.extend(
        [1, 2, 3, 4], {"loss": [1.0, 1e300, np.inf, np.nan], "penalty": [np.nan] * 4, "x": [-1e308, 1e308, 0, 0]}
    )
    text = Page(report_html(Report(history=wild))).text
    assert "Training diverged" in text and "penalty: no finite value" in text


def test_written_whole(tmp_path):
    """The file is the page, in UTF-8, with no draft beside it, and names its own folder."""
    write_report(tmp_path / "report.html", classification())
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert str(tmp_path) in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("report", "error"),
    [
        (classification(task="clustering"), UnknownNameError),
        (classification(confusion=np.zeros((2, 3), dtype=int)), ShapeError),
        (classification(confusion=np.zeros((2, 2), dtype=int)), ShapeError),
        (classification(confusion=np.eye(3)), ShapeError),
        (classification(mistakes=Mistakes(true=["a"], predicted=["b", "c"])), ShapeError),
        (classification(mistakes=Mistakes(true=["a"], predicted=["b"], rows=[(1, 2)], columns=["x"])), ShapeError),
        (regression(targets=np.zeros(3)), ShapeError),
        (regression(targets=np.zeros(0), predictions=np.zeros(0)), DataError),
    ],
)
def test_data_that_do_not_fit_are_refused(report, error):
    """Wrong shapes and unknown tasks raise before anything is written."""
    with pytest.raises(error):
        report_html(report)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_ticks_lie_within_and_are_few(a, b):
    """Between any two numbers there are at most nine ticks, rising, none outside."""
    low, high = min(a, b), max(a, b)
    places = ticks(low, high)
    room = 1e-6 * (high - low) if np.isfinite(high - low) else 0
    assert len(places) <= 9
    assert all(low - room <= place <= high + room for place in places)
    assert places == sorted(places)


@given(st.lists(st.floats(), min_size=1, max_size=30))
def test_charts_take_any_numbers(values):
    """No list of numbers breaks a chart, and none writes nan into one."""
    y = np.array(values)
    x = np.arange(1, len(y) + 1)
    for svg in (
        curves("t", x, {"training": y, "validation": y[::-1]}),
        scatter("t", y, y[::-1], x_label="x", y_label="y"),
        histogram("t", y, x_label="x"),
    ):
        Page(svg)
        assert not re.search(r'(?:[dxy]|c[xy]|points|width|height)="[^"]*(?:nan|inf)', svg)


def test_downsampling_keeps_every_extreme():
    """The largest and smallest values, the first and the last point survive."""
    y = np.random.default_rng(0).normal(size=54_321)
    x, kept = downsample(np.arange(54_321), y)
    assert len(x) <= 400 and (kept.min(), kept.max()) == (y.min(), y.max())
    assert (x[0], x[-1]) == (0, 54_320) and (np.diff(x) > 0).all()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (1234567.0, "1,234,567"),
        (-0.5, "−0.5"),
        (3.14159, "3.142"),
        (1e-9, "1×10⁻⁹"),
        (6.02e23, "6.02×10²³"),
    ],
)
def test_numbers_are_written_as_one_reads_them(value, written):
    """Thousands have commas, the minus is a minus, very small and large numbers are powers of ten."""
    assert number(value) == written
