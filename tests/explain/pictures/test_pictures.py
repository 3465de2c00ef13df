"""What every picture can do: files, notebooks, words in another language, and what happens without matplotlib."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kedja as kj
from explain.pictures import reading
from kedja.errors import DataError, KedjaError
from kedja.explain import HOMES
from kedja.explain.pictures.picture import Drawn

X = np.random.default_rng(0).uniform(-1, 1, (20, 2))


def net():
    """A small model."""
    return kj.Sequential([kj.nn.Dense(2, "tanh"), kj.nn.Dense(1)]).build((None, 2), seed=0)


MADE = {
    "draw_graph": lambda **k: kj.explain.draw_graph(net(), X[:1], [[1.0]], loss="mse", **k),
    "draw_network": lambda **k: kj.explain.draw_network(net(), **k),
    "boundary": lambda **k: kj.explain.boundary(net(), X, X[:, 0], points=9, **k),
    "responses": lambda **k: kj.explain.responses(net(), X, points=9, **k),
    "gradient_sizes": lambda **k: kj.explain.gradient_sizes(net(), X, X[:, :1], "mse", **k),
    "loss_surface": lambda **k: kj.explain.loss_surface(net(), X, X[:, :1], "mse", points=5, **k),
    "race": lambda **k: kj.explain.race(steps=20, **k),
    "rates": lambda **k: kj.explain.rates(steps=5, **k),
    "fits": lambda **k: kj.explain.fits(X[:, 0], X[:, 1], {"line": lambda v: v}, **k),
    "convolution_steps": lambda **k: kj.explain.convolution_steps([1, 2, 3], [1, 2], **k),
}


@pytest.mark.parametrize("name", MADE)
def test_pictures_are_saved_shown_and_read(name, tmp_path):
    """Each writes SVG and PNG, has HTML for a notebook, a table as its text, and plain data."""
    picture = MADE[name](path=tmp_path / "it.svg")
    assert reading.root((tmp_path / "it.svg").read_text(encoding="utf-8")).tag.endswith("svg")
    picture.save(tmp_path / "it.png")
    assert (tmp_path / "it.png").read_bytes()[:4] == b"\x89PNG"
    assert picture._repr_html_().startswith(("<svg", "<img"))
    assert str(picture).count("\n") >= 2 and picture.markdown().startswith("|") and picture.tex()
    assert isinstance(picture.to_dict(), dict)
    if isinstance(picture, Drawn):
        picture.save(str(tmp_path / "it.tex"))
        assert r"\begin{tikzpicture}" in (tmp_path / "it.tex").read_text(encoding="utf-8")


def test_same_picture_same_file():
    """SVG does not depend on the time or on chance."""
    assert MADE["race"]().svg() == MADE["race"]().svg()


def test_unknown_kind_of_file():
    """The error lists the kinds there are; TeX is for drawings alone."""
    with pytest.raises(DataError, match=r"\.pdf, \.png, \.svg, \.tex; got 'a.gif'"):
        MADE["draw_network"](path="a.gif")
    with pytest.raises(DataError, match=r"\.pdf, \.png, \.svg; got 'a.tex'"):
        MADE["race"](path="a.tex")


def test_drawings_are_read_in_light_and_dark():
    """Every colour of a drawing has another for dark pages, and the ground is drawn too."""
    svg = MADE["draw_graph"]().svg()
    style = next(e.text for e in reading.root(svg).iter(f"{reading.SPACE}style"))
    used = {c for e in reading.root(svg).iter() for c in (e.get("class") or "").split() if c[:2] in ("f-", "s-")}
    assert "prefers-color-scheme:dark" in style and used and all(f".{c}{{" in style for c in used)
    assert reading.rectangles(svg, "f-paper")


def test_drawings_need_no_matplotlib():
    """SVG and TikZ of drawings are made without loading it; a plot without it says what to install."""
    code = """
import sys
sys.modules["matplotlib"] = None
import kedja as kj
from kedja.errors import KedjaError
a = kj.Parameter(2.0, name="a")
drawing = kj.explain.draw_graph(a * a)
assert "<svg" in drawing.svg() and "tikzpicture" in drawing.tex()
race = kj.explain.race(steps=3)
for ask in (race.svg, race._repr_html_, race.show, lambda: drawing.save("a.png")):
    try:
        ask()
    except KedjaError as error:
        assert 'pip install "kedja[plot]"' in str(error), error
    else:
        raise AssertionError(ask)
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(kj.__file__).parents[1])},
    )
    assert done.stdout.strip() == "done", done.stderr


def test_missing_matplotlib_is_a_kedja_error(monkeypatch):
    """The hint is an error of ours."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(KedjaError, match="kedja\\[plot\\]"):
        MADE["rates"]().svg()


def test_every_name_is_there():
    """What the table of pictures promises can be had from kj.explain, and is listed."""
    for names in HOMES.values():
        for name in names:
            assert getattr(kj.explain, name).__name__ == name and name in kj.explain.__all__
