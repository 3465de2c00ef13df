"""The catalogue in the documentation: every item of every registry, with formula, derivative, picture and judges."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import kedja as kj
from docs.catalogue import drawing
from docs.catalogue.entry import Entry
from docs.catalogue.items import items, names
from docs.catalogue.mathml import from_tex
from docs.catalogue.notation import formula
from docs.catalogue.pages import KINDS, entries, pages
from docs.catalogue.prose import parts, typeset
from kedja.errors import FormatError
from oracles.table import missing, read

ITEMS = names()
NO_PICTURE = (
    "it takes truth values",
    "it is the same for all finite numbers",
    "it has three inputs",
    "it has no derivative",
    "a loop is what its body is",
)


@pytest.fixture(scope="module")
def catalogue() -> dict[str, Entry]:
    """Every entry, by kind and name."""
    return {f"{kind}/{entry.name}": entry for kind, found in entries().items() for entry in found}


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """The pages."""
    return pages()


def set_as_formulas(html: str) -> str:
    """What stands in the formulas of some HTML, without the tags."""
    return " ".join(re.sub(r"<[^>]+>", "", m) for m in re.findall(r"<math.*?</math>", html))


@pytest.mark.parametrize("item", ITEMS)
def test_every_item_has_a_formula(item, catalogue):
    """Set as one, not as text."""
    entry = catalogue[item]
    assert set_as_formulas(entry.formula + entry.body), entry.formula


@pytest.mark.parametrize("item", ITEMS)
def test_every_item_has_a_derivative_or_says_that_it_has_none(item, catalogue):
    """A formula, a sentence, or "none" and why."""
    assert len(catalogue[item].facts["Derivative"]) > 5 or set_as_formulas(catalogue[item].facts["Derivative"])


@pytest.mark.parametrize("item", ITEMS)
def test_every_item_has_a_picture_or_says_why_not(item, catalogue):
    """An SVG of at most 9 kB; only ops may go without, for a reason from a short list."""
    entry = catalogue[item]
    if entry.picture:
        drawn = ET.fromstring(entry.picture)
        assert drawn.tag == "svg" and 200 < len(entry.picture) < 9_000 and entry.caption
        assert not any("nan" in part.get("d", "") for part in drawn.iter())
    else:
        assert item.startswith("ops/") and entry.caption.removeprefix("no picture: ") in NO_PICTURE


def test_every_item_has_an_outside_judge():
    """In docs/oracles.json, which `python -m pytest --write-oracles` writes from a run; and no judged item is gone."""
    kept = read()
    assert not missing(kept, ITEMS)
    assert not [item for item in kept if item.split("/")[0] in KINDS and item not in ITEMS]


@pytest.mark.parametrize("item", ITEMS)
def test_every_item_stands_on_its_page_with_its_judges(item, written):
    """Under a heading of its own, once."""
    kind, name = item.split("/")
    page = written[f"{kind}.md"]
    assert page.count(f"## {name}\n") == 1
    block = page.split(f"## {name}\n")[1].split("\n## ")[0]
    assert "<dt>Judged by</dt>" in block and "nobody yet" not in block


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_well_formed(kind, written):
    """Each is XML, as browsers and Markdown want it, and no TeX is left in it."""
    blocks = [part.partition("\n\n")[2] for part in written[f"{kind}.md"].split("\n## ")[1:]]
    assert len(blocks) == len(items()[kind])
    for block in blocks:
        assert ET.fromstring(block.replace("<br>", "")).get("class") == "kj-item"
        assert "\\" not in re.sub(r"<code>.*?</code>", "", block)


def test_the_overview_links_to_every_item(written):
    """To a heading that is there."""
    links = re.findall(r"\[(\w+)\]\((\w+)\.md#([\w-]+)\)", written["index.md"])
    assert sorted(f"{kind}/{name}" for name, kind, _ in links) == sorted(ITEMS)
    for name, _, anchor in links:
        assert anchor == name.lower()


# --- what is made from the code -------------------------------------------------------------------------------------
def test_a_new_loss_appears_by_itself(monkeypatch):
    """Registered is enough: formula and derivative from its docstring, the picture from its code."""

    class Cubed(kj.losses.Loss):
        """Cubed error, ℓ = Σ |y − t|³. Derivative: ∂ℓ/∂y = 3 (y − t)² sign(y − t). Source: nobody."""

        name = "cubed"

        def formula(self, t, y):
            return kj.sum(abs(y - t) ** 3, 1)

    monkeypatch.setitem(kj.losses.LOSSES, "cubed", Cubed)
    entry = next(e for e in entries()["losses"] if e.name == "cubed")
    assert "|y−t|3" in set_as_formulas(entry.formula) and "sign" in entry.facts["Derivative"] and entry.picture
    assert "nobody yet" in entry.markdown()


def test_steps_of_an_optimiser_are_read_off_its_graph(catalogue):
    """Momentum as in the literature: v ← αv − εg, θ ← θ + v."""
    told = catalogue["optimisers/Momentum"].facts["Steps"]
    assert set_as_formulas(told).split() == ["v←αv−εg", "θ←θ+v"]
    assert "accumulate velocity" in told


def test_partial_derivatives_of_an_op_are_its_stanzas(catalogue):
    """tanh′ = 1 − y², and what comes back through a matrix product."""
    assert "1−yy" in set_as_formulas(catalogue["ops/tanh"].facts["Derivative"])
    assert "<code>g @ b.T</code>" in catalogue["ops/matmul"].facts["Derivative"]


def test_the_jacobian_of_a_convolution_shows_its_shared_weights(catalogue):
    """Three diagonals, each of one colour: as many squares as places, in as many strengths as weights."""
    paths = ET.fromstring(catalogue["layers/Conv1D"].picture).iter("path")
    widths = [[float(w) for w in re.findall(r"h([\d.]+)", p.get("d"))] for p in paths]
    assert len(widths) <= 3 and all(len(w) == 10 for w in widths)


# --- formulas -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "tags", "shown"),
    [
        ("ε · m̂ / (√ŝ + δ)", ["mfrac", "msqrt"], "ε·m^s^+δ"),
        ("ε_k = ε₀ f^(k/n)", ["msub", "msub", "msup"], "εk=ε0fk/n"),
        ("Σ (Rₙ − Rₙ₋₁) Pₙ", ["msub", "msub", "msub"], "∑(Rn−Rn−1)Pn"),
        ("(1/m) Σ |t − y|", ["mfrac"], "1m∑|t−y|"),
        ("sᵀy / yᵀy", ["mfrac", "msup", "msup"], "sTyyTy"),
        ("∂ℓ/∂y = (2/m)(y − t)", ["mfrac", "mfrac"], "∂ℓ∂y=2m(y−t)"),
        ("1e-8", ["msup"], "10−8"),
        ("xᵢ²", ["msubsup"], "xi2"),
    ],
)
def test_formulas_of_docstrings(text, tags, shown):
    """Fractions take what touches the stroke, scripts what they stand at; needless brackets are gone."""
    root = ET.fromstring(formula(text))
    assert sorted(e.tag for e in root.iter() if e.tag in ("mfrac", "msqrt", "msub", "msup", "msubsup")) == sorted(tags)
    assert "".join(root.itertext()) == shown


def test_words_stay_words():
    """Only what is a formula is set as one."""
    html = typeset('A share a of x, with reduction="sum" and `k = 3`, where y = 2x − 1 for every row.')
    assert set_as_formulas(html).split() == ["x", "y=2x−1"]
    assert "<code>k = 3</code>" in html and "A share a of" in html


def test_tex_that_is_not_known_is_an_error():
    """No page shows a formula half set."""
    with pytest.raises(FormatError, match=r"\\mathfrak at character 5, which is not known"):
        from_tex(r"x = \mathfrak{x}")


def test_a_docstring_falls_into_parts():
    """The words that begin its sentences say which."""
    said = parts(kj.nn.Dense)
    assert said["Shapes"].startswith("x (…, n_in)") and said["Source"].endswith("Rosenblatt 1958.")
    assert said[""].startswith("Fully connected layer") and "xᵀ g" in said["Derivative"]


def test_curves_keep_their_shape_with_few_points():
    """A thinned line is nowhere further than a sixth of a pixel from the whole one, and gaps stay gaps."""
    x = np.linspace(0, 300, 400)
    y = np.where(np.abs(x - 150) < 2, np.nan, 80 * np.sin(x / 20))
    points = np.array(drawing.thinned(x, y))
    solid = points[~np.isnan(points[:, 1])]
    known = ~np.isnan(y)
    off = np.abs(np.interp(x, solid[:, 0], solid[:, 1]) - y)[known]
    assert len(points) < 140 and off.max() < 0.17 and np.isnan(points[:, 1]).any()
