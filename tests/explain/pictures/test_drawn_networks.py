"""The drawing of a network: widths and colours of its lines, values and gradients to be read."""

import numpy as np
import pytest
import torch

import kedja as kj
from explain.pictures import reading
from kedja.errors import DataError, GraphError
from kedja.explain.pictures.marks import number


def network(*units, inputs=3, activation="sigmoid", seed=1):
    """A chain of dense layers."""
    return kj.Sequential([kj.nn.Dense(n, activation) for n in units]).build((None, inputs), seed=seed)


def told(svg, name):
    """What is read under the mouse at one line or circle."""
    return next(t for t in reading.titles(svg) if t.startswith(name))


def test_values_and_gradients_are_those_of_the_example():
    """Every weight's title has its value and the gradient that PyTorch computes for this example."""
    net = network(3, 2)
    x, t = np.float32([0.9, 0.1, 0.8]), np.float32([0.1, 0.9])
    svg = kj.explain.draw_network(net, x, t, loss="sse").svg()
    w1, b1, w2, b2 = (torch.tensor(w, requires_grad=True) for w in net.get_weights())
    hidden = torch.sigmoid(torch.tensor(x) @ w1 + b1)
    ((torch.sigmoid(hidden @ w2 + b2) - torch.tensor(t)) ** 2).sum().backward()
    for kernel, names in ((w1, ("input", "unit")), (w2, ("unit", "output"))):
        for (i, j), value in np.ndenumerate(kernel.detach().numpy()):
            found = told(svg, f"{names[0]} {i + 1} → {names[1]} {j + 1}")
            assert found.split("weight ")[1].split("\n")[0] == number(float(value))
            assert as_number(found.split("gradient ")[1]) == pytest.approx(kernel.grad[i, j].item(), rel=2e-3)
    assert as_number(told(svg, "unit 2:").split("value ")[1].split("\n")[0]) == pytest.approx(
        hidden[1].item(), rel=1e-3
    )
    for j in range(3):
        shown = told(svg, f"unit {j + 1}:").split("gradient of the bias ")[1]
        assert as_number(shown) == pytest.approx(b1.grad[j].item(), rel=2e-3)


def as_number(text):
    """A number as it is written in pictures."""
    mantissa, _, power = text.replace("−", "-").replace(",", "").partition("×10")
    return float(mantissa) * 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)


def test_width_and_colour_say_size_and_sign():
    """The thicker the larger; blue is positive and orange negative, as classes and as colours."""
    net = network(1, inputs=2)
    net.set_weights([[[1.0], [-4.0]], [0.0]])
    lines = [p for p in reading.root(kj.explain.draw_network(net).svg()).iter(f"{reading.SPACE}path")]
    assert ["plus" in p.get("class").split() for p in lines] == [True, False]
    assert float(lines[0].get("stroke-width")) < float(lines[1].get("stroke-width"))
    assert lines[0].get("stroke") != lines[1].get("stroke")


def test_small_network_has_its_weights_written_apart():
    """3-3-2 has all 15 weights as text, and no two of them in one place."""
    drawing = kj.explain.draw_network(network(3, 2))
    weights = [t for t in drawing.scene.items if getattr(t, "role", "").startswith("weight")]
    kernels = [w for w in network(3, 2).get_weights() if w.ndim == 2]
    assert sorted(t.text for t in weights) == sorted(number(float(v), 3) for w in kernels for v in w.ravel())
    places = [(t.x, t.y) for t in weights]
    assert min(abs(a[0] - b[0]) / 25 + abs(a[1] - b[1]) / 12 for a in places for b in places if a is not b) > 0.5


def test_wide_network_is_summarised():
    """784-100-10 shows 14 units of the wide layers, and says so."""
    svg = kj.explain.draw_network(network(100, 10, inputs=784)).svg()
    assert {"14 of 784 shown", "14 of 100 shown", "10 units"} <= set(reading.texts(svg, "tick"))


def test_activation_layers_are_seen_through():
    """An activation that is a layer of its own belongs to the units before it."""
    net = kj.Sequential([kj.nn.Dense(2), kj.nn.Activation("relu"), kj.nn.Dropout(0.5), kj.nn.Dense(1)]).build((None, 1))
    net.set_weights([[[1.0, -1.0]], [0.0, 0.0], [[1.0], [1.0]], [0.0]])
    found = kj.explain.draw_network(net, [2.0])
    assert [layer.values.tolist() for layer in found.layers] == [[2.0], [2.0, 0.0], [2.0]]


def test_masked_connections_have_no_line():
    """Scope 1.1: a connection that is not there is not drawn."""
    net = kj.Sequential([kj.nn.Dense(2, mask=[[1, 0], [1, 1]], init="glorot_uniform")]).build((None, 2), seed=0)
    svg = kj.explain.draw_network(net).svg()
    assert not any(t.startswith("input 1 → output 2") for t in reading.titles(svg))
    assert sum("→" in t for t in reading.titles(svg)) == 3


def test_names_of_features_and_classes_stand_beside_the_units():
    """Given names label the first and the last units, escaped."""
    svg = kj.explain.draw_network(network(2), inputs=["width", "<b>", "c"], outputs=["brioche", "baguette"]).svg()
    assert {"width", "<b>", "c", "brioche", "baguette"} <= set(reading.texts(svg, "tick"))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: kj.explain.draw_network([1, 2]), GraphError, "got list"),
        (lambda: kj.explain.draw_network(conv()), GraphError, "Conv2D.*filters"),
        (lambda: kj.explain.draw_network(kj.Sequential([kj.nn.Flatten()]).build((None, 2, 2))), GraphError, "no dense"),
        (lambda: kj.explain.draw_network(network(2), np.ones((4, 3))), DataError, "holds 4"),
        (lambda: kj.explain.draw_network(branching()), GraphError, "draw_graph"),
    ],
)  # fmt: skip
def test_what_is_no_chain_is_refused(call, error, said):
    """Other models raise an error that says which picture shows them."""
    with pytest.raises(error, match=said):
        call()


def conv():
    """A model with a convolution."""
    return kj.Sequential([kj.nn.Conv2D(2, 3), kj.nn.Flatten(), kj.nn.Dense(2)]).build((None, 5, 5, 1))


def branching():
    """A functional model."""
    inputs = kj.Input((3,))
    return kj.Model(inputs, kj.nn.Dense(2)(inputs))


def texts(svg):
    """Every text with its place: (x, y, words)."""
    return [
        (float(e.get("x")), float(e.get("y")), e.text or "") for e in reading.root(svg).iter() if e.tag.endswith("text")
    ]


def test_values_stand_under_their_circles_and_not_on_the_next():
    """In a layer of eight units there is room for a number between two circles."""
    net = network(8, 3, inputs=4)
    svg = kj.explain.draw_network(net, [5.1, 3.5, 1.4, 0.2]).svg()
    circles = [e for e in reading.root(svg).iter() if e.tag.endswith("circle")]
    values = [(x, y, t) for x, y, t in texts(svg) if t.strip("−").replace(".", "").isdigit()]
    assert len(values) >= 8 + 4 + 3
    for x, y, _text in values:
        own = [c for c in circles if float(c.get("cx")) == pytest.approx(x, abs=0.1)]
        assert all(not y - 8 < float(c.get("cy")) - float(c.get("r")) < y for c in own)


def test_weights_are_written_all_or_none():
    """A line without its number would look like a weight of 0: so where there are too many, none has one."""
    few, many = (kj.explain.draw_network(network(n, 1, inputs=4)).svg() for n in (4, 6))
    count = [sum(t.strip("−").replace(".", "").isdigit() for _x, _y, t in texts(svg)) for svg in (few, many)]
    assert count == [4 * 4 + 4, 6]
