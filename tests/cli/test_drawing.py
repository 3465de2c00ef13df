"""The network as a picture, and images as PNG files."""

import base64
import io
import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from kedja.cli.drawing import draw_network, png, png_uri
from kedja.errors import ShapeError
from kedja.explain.pictures.network_scene import MOST_EDGES, MOST_UNITS

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.sampled_from([size, (*size, 1), (*size, 3), (*size, 4)])
)


def decoded(image):
    return np.asarray(Image.open(io.BytesIO(png(image))))


def dense(*sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(a, b)), rng.normal(size=b)) for a, b in itertools.pairwise(sizes)]


def classes(svg):
    return [(element.get("class") or "").split() for element in ElementTree.fromstring(svg).iter()]


@given(arrays.arrays(np.uint8, shapes))
def test_png_decodes_to_the_same_pixels(image):
    """Pillow reads back every pixel of a byte image, grey, colour or with transparency."""
    expected = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    np.testing.assert_array_equal(decoded(image), expected)


def test_numbers_between_0_and_1_keep_their_scale():
    """A grey image of 0.5 is mid-grey, not stretched to black or white."""
    assert decoded(np.array([[0.0, 0.5, 0.6]])).tolist() == [[0, 128, 153]]


def test_other_numbers_are_stretched_to_the_range():
    """Standardised pixels run from black to white, and what is not finite is taken as 0."""
    assert decoded(np.array([[-2.0, 0.0, 2.0, np.nan]])).tolist() == [[0, 128, 255, 128]]


def test_constant_image_has_no_division_by_zero():
    """An image of one value outside 0…1 is drawn, black."""
    assert decoded(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]


def test_uri_holds_the_png():
    """The data address decodes to the file."""
    image = np.eye(3)
    assert base64.b64decode(png_uri(image).removeprefix("data:image/png;base64,")) == png(image)


@pytest.mark.parametrize("shape", [(4,), (0, 3), (2, 2, 2), (1, 2, 2, 3)])
def test_what_is_no_image_is_refused(shape):
    """Shapes that are not an image raise ShapeError with the shape."""
    with pytest.raises(ShapeError, match="image has shape"):
        png(np.zeros(shape))


def test_small_network_is_drawn_whole():
    """2-4-1 has seven circles, twelve lines, and every weight written."""
    found = classes(draw_network(dense(2, 4, 1)))
    assert sum("unit" in kind for kind in found) == 7
    assert sum("edge" in kind for kind in found) == 12
    assert sum("weight" in kind for kind in found) == 12


def test_wide_network_is_cut():
    """784-100-10 shows some units and the strongest weights, and says of how many."""
    svg = draw_network(dense(784, 100, 10))
    found = classes(svg)
    assert sum("unit" in kind for kind in found) == 2 * MOST_UNITS + 10
    assert sum("edge" in kind for kind in found) <= 2 * MOST_EDGES
    assert f"{MOST_UNITS} of 784 shown" in svg and svg.count("⋮") == 2


def test_strongest_units_are_the_ones_shown():
    """Of a hundred inputs the one with the largest weights is among those drawn."""
    kernel = np.full((100, 1), 0.01)
    kernel[57] = -5
    svg = draw_network([(kernel, None)], inputs=[f"pixel {index}" for index in range(100)])
    assert "pixel 57 → output 1: weight −5" in svg


def test_masked_and_broken_weights_have_no_line():
    """A zero weight is no connection (scope 1.1), and nan cannot be drawn."""
    found = classes(draw_network([(np.array([[1.0, 0.0], [np.nan, np.inf]]), np.array([np.nan, 0.0]))]))
    assert sum("edge" in kind for kind in found) == 1


def test_sign_is_the_colour():
    """Positive and negative weights carry their own class, and the largest is the thickest."""
    edges = [
        element for element in ElementTree.fromstring(draw_network([(np.array([[1.0], [-2.0]]), None)])).iter("path")
    ]
    assert [edge.get("class") for edge in edges] == ["edge plus", "edge minus"]
    assert float(edges[0].get("stroke-width")) < float(edges[1].get("stroke-width"))


def test_names_are_escaped():
    """A feature's name cannot add elements to the drawing."""
    svg = draw_network(dense(2, 1), inputs=["<script>", "a\x00&b"], outputs=["</svg>"], layers=['"x"'])
    assert "script" not in {element.tag for element in ElementTree.fromstring(svg).iter()}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([], "without weights"),
        ([(np.zeros((3, 3, 1, 8)), None)], "only dense kernels"),
        ([(np.zeros((2, 3)), np.zeros(2))], "expected"),
        ([(np.zeros((2, 3)), None), (np.zeros((4, 1)), None)], "not a chain"),
    ],
)
def test_what_is_no_chain_is_refused(weights, said):
    """Missing, convolutional or unconnected kernels raise ShapeError."""
    with pytest.raises(ShapeError, match=said):
        draw_network(weights)
