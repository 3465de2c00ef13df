"""How maps are shown: tables, data, pictures and overlays."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import zoom

import kedja as kj
from kedja.errors import ShapeError
from kedja.explain.heatmaps.enlarging import enlarged

X = np.random.default_rng(2).uniform(size=(2, 12, 9, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def net():
    layers = [kj.nn.Conv2D(4, 3, "relu"), kj.nn.GlobalAveragePool(), kj.nn.Dense(3, "softmax")]
    return kj.Sequential(layers).build((None, 12, 9, 3), seed=0)


def test_table_and_data_hold_what_is_drawn(net):
    """A line a map: its class, probability, logit and strongest place; the data go through JSON."""
    found = kj.explain.heatmap(net, X, [2, 1], ["grad_cam", "occlusion"], names=["sun", "moon", "star"])
    rows = found.table.rows
    assert len(rows) == 8 and rows[0][:3] == ("Grad-CAM", "1", "star") and rows[-1][:3] == ("occlusion", "2", "moon")
    place = np.unravel_index(found.values[1, 1, 1].argmax(), (12, 9))
    assert rows[-1][5] == ", ".join(str(p + 1) for p in place)
    assert "before softmax" in str(found) and "layer conv2d_1, 10×7 places" in str(found)
    data = json.loads(json.dumps(found.to_dict()))
    np.testing.assert_allclose(data["values"], found.values, rtol=1e-6)
    assert data["names"][0] == ["star", "moon"] and data["layer"] == "conv2d_1"
    assert found.markdown().startswith("| method") and "array" in found.tex()


@pytest.mark.parametrize(("how", "panels"), [
    ({}, 2), ({"target": [0, 1, 2]}, 4), ({"method": ["saliency", "cam"]}, 3),
    ({"method": ["saliency", "integrated_gradients"], "top": 2}, 6),
])  # fmt: skip
def test_every_map_has_a_panel(net, how, panels, tmp_path):
    """The image first, then its maps with the bar of their colours; saved as PNG, SVG and PDF, shown in a notebook."""
    found = kj.explain.heatmap(net, X[0], **how, path=tmp_path / "map.png")
    axes = found.figure.axes
    drawn = [ax for ax in axes if ax.get_images() and ax.get_label() != "<colorbar>"]
    bars = [ax for ax in axes if ax.get_label() == "<colorbar>"]
    assert len(drawn) == panels and len(bars) == (2 if panels == 6 or "method" in how else 1)
    assert Image.open(tmp_path / "map.png").size[0] > 300
    assert found.plot(tmp_path / "map.svg") is found and "the model says" in (tmp_path / "map.svg").read_text("utf-8")
    assert found._repr_html_().startswith("<img")


def test_overlay_is_the_image_under_the_map(net):
    """Of the image's size in RGB; bright where the map is strong; with both signs blue above 0 and orange below."""
    found = kj.explain.heatmap(net, X[0], method="saliency")
    seen = found.overlay()
    assert seen.shape == (12, 9, 3) and seen.dtype == np.uint8
    found.full[...] = 0
    found.full[0, 0, 0, 3, 4] = 1
    bright = found.overlay().astype(int).sum(-1)
    assert bright[3, 4] > bright.ravel()[np.arange(108) != 3 * 9 + 4].max()
    found.full[0, 0, 0, 5, 5] = -1
    both = found.overlay().astype(int)
    assert both[3, 4, 2] > both[3, 4, 0] and both[5, 5, 0] > both[5, 5, 2]


def test_pictures_of_any_range_are_drawn(net):
    """Bytes, numbers around 0, or another picture given for it: what is drawn lies from 0 to 1."""
    for image in (X[0] * 255, X[0] * 4 - 2):
        shown = kj.explain.heatmap(net, image, 0, "saliency").pictures
        assert shown.min() >= 0 and 0.9 < shown.max() <= 1
    other = np.zeros((12, 9, 3))
    assert not kj.explain.heatmap(net, X[0], 0, picture=other).pictures.any()
    net.info["preprocess"] = {"mean": [127.0] * 3, "std": [128.0] * 3}
    shown = kj.explain.heatmap(net, (X * 255 - 127) / 128, 0, "saliency").pictures
    np.testing.assert_allclose(shown, X, atol=1e-5)
    net.info.clear()


def test_maps_are_enlarged_like_scipy():
    """Linear between the middles of the cells, as scipy's zoom on the same grid, away from the borders."""
    small = np.random.default_rng(0).normal(size=(5, 4))
    ours = enlarged(small[None], (15, 8))[0]
    theirs = zoom(small, (3, 2), order=1, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    np.testing.assert_array_equal(enlarged(np.full((1, 1, 1), 2.0), (3, 4)), np.full((1, 3, 4), 2.0))


def test_volumes_are_drawn_slice_by_slice():
    """Three axes of places: the values have them all, the picture shows the slice where the map is strongest."""
    net = kj.Sequential([kj.nn.Conv3D(2, 3, "relu"), kj.nn.GlobalAveragePool(), kj.nn.Dense(2)])
    found = kj.explain.heatmap(
        net.build((None, 5, 6, 7, 1), seed=0), np.random.default_rng(0).uniform(size=(5, 6, 7, 1))
    )
    assert found.values.shape == (5, 6, 7) and found._repr_html_()
    with pytest.raises(ShapeError, match="overlay is for images"):
        found.overlay()


def test_sentences_are_translated(net):
    """In Swedish the table and the picture are Swedish."""
    with kj.explain.language("sv"):
        found = kj.explain.heatmap(net, X[0], method="integrated_gradients")
        assert "integrerade gradienter" in str(found) and "före softmax" in str(found)
        assert "modellen säger" in found.svg()


def test_a_map_of_nothing_says_so():
    """Where every map speaks against the class Grad-CAM is 0: the table tells, and signed=True shows it."""
    net = kj.Sequential([kj.nn.Conv2D(2, 3, "relu"), kj.nn.GlobalAveragePool(), kj.nn.Dense(1)])
    net.build((None, 6, 6, 1), seed=0)
    kernel, bias, _, _ = net.get_weights()
    net.set_weights([np.abs(kernel), bias, [[-1.0], [-2.0]], [0.0]])
    image = np.ones((6, 6))
    assert "signed=True" in str(kj.explain.heatmap(net, image)) and not kj.explain.heatmap(net, image).values.any()
    assert (kj.explain.heatmap(net, image, signed=True).values < 0).all()
