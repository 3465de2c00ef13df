"""Walkthroughs of a training step: every number agrees with PyTorch, on both engines, at every level."""

import time

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, ShapeError, UnknownNameError

torch.set_num_threads(1)
X = np.array([[1.0, 0.5], [-0.3, 0.8], [0.2, -1.1]])
T = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
KERNELS = [np.array([[0.9, -0.2, 0.4], [0.3, 0.8, -0.6]]), np.array([[0.5, -0.4], [0.1, 0.7], [-0.9, 0.2]])]
BIASES = [np.array([0.1, -0.1, 0.2]), np.array([0.05, -0.3])]


def net(*activations: str) -> kj.Sequential:
    """2-3-2 in float64 with the weights above."""
    made = kj.Sequential(
        [kj.nn.Dense(n, a) for n, a in zip((3, 2), activations, strict=True)], dtype="float64"
    )  # fmt: skip
    made.build((None, 2)).set_weights([KERNELS[0], BIASES[0], KERNELS[1], BIASES[1]])
    return made


def by_torch(loss, *activations, rate=0.1):
    """Values, gradients, new weights, and the loss before and after one step of plain descent."""
    functions = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "softmax": lambda z: torch.softmax(z, 1)}
    leaves = [torch.tensor(a, requires_grad=True) for a in (KERNELS[0], BIASES[0], KERNELS[1], BIASES[1])]

    def forward() -> tuple[list[torch.Tensor], torch.Tensor]:
        a, seen = torch.tensor(X), []
        for i, f in enumerate(activations):
            z = a @ leaves[2 * i] + leaves[2 * i + 1]
            a = functions[f](z)
            seen += [z, a]
            for s in (z, a):
                if s.requires_grad and not s.is_leaf:
                    s.retain_grad()
        return seen, loss(a, torch.tensor(T))

    seen, before = forward()
    before.backward()
    gradients = [leaf.grad.numpy().copy() for leaf in leaves]
    with torch.no_grad():
        for leaf in leaves:
            leaf -= rate * leaf.grad
    _, after = forward()
    return seen, gradients, [leaf.detach().numpy() for leaf in leaves], before.item(), after.item()


LOSSES = {
    "sse": (("tanh", "sigmoid"), lambda a, t: ((t - a) ** 2).sum(1).mean()),
    "mse": (("sigmoid", "tanh"), lambda a, t: ((t - a) ** 2).mean()),
    "cross_entropy": (("sigmoid", "softmax"), lambda a, t: -(t * torch.log(a)).sum(1).mean()),
}


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("level", ["layer", "op", "element"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_number_agrees_with_pytorch(loss, level, engine):
    """Pre-activations, outputs, all gradients on the way, new weights, loss before and after."""
    activations, formula = LOSSES[loss]
    seen, gradients, new, before, after = by_torch(formula, *activations)
    walk = kj.explain.backprop(
        net(*activations), X, T, loss=loss, optimizer=kj.optim.SGD(0.1), level=level, engine=engine
    )  # fmt: skip
    for name, value in zip(("net⁽¹⁾", "o⁽¹⁾", "net⁽²⁾", "o⁽²⁾"), seen, strict=True):
        assert walk[name] == pytest.approx(value.detach().numpy(), abs=1e-12)
        if not (loss == "cross_entropy" and name == "o⁽²⁾"):
            assert walk[f"∂E/∂{name}"] == pytest.approx(value.grad.numpy(), abs=1e-12)
    for name, slope, value in zip(("W⁽¹⁾", "b⁽¹⁾", "W⁽²⁾", "b⁽²⁾"), gradients, new, strict=True):
        assert walk[f"∂E/∂{name}"] == pytest.approx(slope, abs=1e-12)
        assert walk[name] == pytest.approx(value, abs=1e-12)
    squares = sum((g**2).sum() for g in gradients)
    p = walk.prediction
    assert (p.before, p.after, p.plain) == pytest.approx((before, after, -0.1 * squares), abs=1e-12)


def test_gradient_foretells_a_short_step():
    """At a small rate −ε‖∇‖² is the change of the loss, to second order in the rate."""
    found = kj.explain.backprop(net("tanh", "sigmoid"), X, T, loss="sse", optimizer=kj.optim.SGD(1e-4)).prediction
    assert found.plain == pytest.approx(found.actual, rel=1e-3) and found.plain == pytest.approx(found.foretold)


def test_the_model_is_not_changed():
    """Weights are the same before and after."""
    model = net("tanh", "sigmoid")
    kj.explain.backprop(model, X, T, loss="sse", optimizer="adam")
    assert [w.tolist() for w in model.get_weights()] == [w.tolist() for w in net("tanh", "sigmoid").get_weights()]


def test_update_is_the_one_that_fit_makes():
    """Adam's named steps with numbers end where one epoch of full-batch training ends."""
    model = net("tanh", "sigmoid")
    walk = kj.explain.backprop(model, X, T, loss="sse", optimizer=kj.optim.Adam(0.01))
    model.fit(X, T, loss="sse", optimizer=kj.optim.Adam(0.01), epochs=1, batch_size=None, verbose=0)
    assert walk["W⁽¹⁾"] == pytest.approx(model.get_weights()[0], abs=1e-9)


def test_update_goes_on_from_what_the_optimiser_remembers():
    """After three epochs with momentum, the explained step is the fourth."""
    model, rule = net("tanh", "sigmoid"), kj.optim.Momentum(0.1)
    model.fit(X, T, loss="sse", optimizer=rule, epochs=3, batch_size=None, verbose=0)
    walk = kj.explain.backprop(model, X, T)
    model.fit(X, T, loss="sse", optimizer=rule, epochs=1, batch_size=None, verbose=0)
    assert walk["W⁽²⁾"] == pytest.approx(model.get_weights()[2], abs=1e-9)


def test_line_says_op_layer_shape_and_source():
    """A line of the forward pass knows the op, the layer, the formula twice, and the user's line."""
    model = kj.Sequential([kj.nn.Dense(2, "sigmoid")])
    line = kj.explain.backprop(model.build((None, 2)), X, T, loss="sse").forward[1]
    assert (line.op, line.layer, line.value.shape, line.formula.text) == ("add", "dense_1", (3, 2), "u₁ + b")
    assert line.source.startswith("test_backprop.py:") and "Dense(2, " in line.source


def test_lecturers_way():
    """z, a, y with w[out, in]: matrices are turned over and stand on the left."""
    text = str(kj.explain.backprop(net("tanh", "sigmoid"), X[:1], T[:1], loss="sse", notation="z/a/y w[out,in]"))
    assert "u₁ = W⁽¹⁾ @ x = [[0.9, 0.3], [-0.2, 0.8], [0.4, -0.6]] @ (1, 0.5)" in text
    assert "∂E/∂W⁽¹⁾ = ∂E/∂u₁ @ xᵀ" in text and "a⁽¹⁾ = tanh(z⁽¹⁾)" in text and "y - a⁽²⁾" in text


def test_own_names():
    """A Notation of one's own is used as it is."""
    how = kj.explain.Notation(net="s", out="h", error="J")
    text = str(kj.explain.backprop(net("tanh", "sigmoid"), X, T, loss="sse", notation=how))
    assert "h⁽¹⁾ = tanh(s⁽¹⁾)" in text and "∂J/∂s⁽²⁾" in text


def test_digits():
    """So many digits stand after the point."""
    walk = kj.explain.backprop(net("tanh", "sigmoid"), X, T, loss="sse", digits=8)
    assert f"= {walk['E']:.8f}".rstrip("0") in str(walk)


def test_a_single_example_needs_no_axis():
    """One row, given as a list, is a batch of one."""
    model = net("tanh", "sigmoid")
    one = kj.explain.backprop(model, X[0].tolist(), T[0].tolist(), loss="sse")
    assert one["∂E/∂W⁽¹⁾"] == pytest.approx(kj.explain.backprop(model, X[:1], T[:1], loss="sse")["∂E/∂W⁽¹⁾"])


def test_cross_entropy_is_shown_as_output_minus_target():
    """The stable composition of the loss is shown by its formula; labels become one-hot."""
    text = str(kj.explain.backprop(net("tanh", "softmax"), X[:1], [1], loss="cross_entropy"))
    assert "E = -Σ (t ∘ ln(o⁽²⁾))" in text and "∂E/∂net⁽²⁾ = o⁽²⁾ - t" in text and "t = (0, 1)" in text


def test_shared_layer_gets_the_sum():
    """A layer used twice has one gradient, the sum of both places (scope 2.8)."""
    x = kj.Input((2,))
    layer = kj.nn.Dense(2, "tanh", use_bias=False)
    model = kj.Model(x, layer(layer(x))).build((None, 2), seed=1)
    line = kj.explain.backprop(model, X, T, loss="sse").backward[-1]
    w = torch.tensor(model.get_weights()[0], dtype=torch.float32, requires_grad=True)
    a = torch.tanh(torch.tanh(torch.tensor(X, dtype=torch.float32) @ w) @ w)
    ((torch.tensor(T, dtype=torch.float32) - a) ** 2).sum(1).mean().backward()
    assert line.value == pytest.approx(w.grad.numpy(), abs=1e-6) and "used in 2 places" in line.rule


def test_penalty_is_part_of_what_is_lowered():
    """A regularised weight has the penalty's derivative in its gradient: α w more than without."""
    plain = kj.Sequential([kj.nn.Dense(2, use_bias=False)]).build((None, 2), seed=0)
    other = kj.Sequential([kj.nn.Dense(2, use_bias=False, regularizer=kj.regularizers.L2(0.5))]).build(
        (None, 2), seed=0
    )
    with_it, without = (kj.explain.backprop(m, X, T, loss="sse")["∂E/∂W"] for m in (other, plain))
    assert with_it - without == pytest.approx(0.5 * plain.get_weights()[0], abs=1e-6)


def lenet() -> kj.Sequential:
    """LeNet-5 with 61,706 parameters."""
    conv, pool, dense = kj.nn.Conv2D, kj.nn.AveragePool2D, kj.nn.Dense
    layers = [conv(6, 5, activation="tanh", padding="same"), pool(2), conv(16, 5, activation="tanh"), pool(2)]
    layers += [kj.nn.Flatten(), dense(120, "tanh"), dense(84, "tanh"), dense(10, "softmax")]
    return kj.Sequential(layers).build((None, 28, 28, 1), seed=0)


def test_lenet_within_two_seconds():
    """61,706 parameters, layer by layer, large tensors summarised."""
    model, image = lenet(), np.random.default_rng(0).uniform(size=(1, 28, 28, 1))
    began = time.perf_counter()
    text = str(kj.explain.backprop(model, image, [3], loss="cross_entropy", optimizer="adam", level="layer"))
    took = time.perf_counter() - began
    assert model.count_parameters() == 61_706 and took < 2 and "61,706 parameters" in text
    assert "p⁽¹⁾ = sum_pool(o⁽¹⁾, (2, 2)) / 4" in text and "1×28×28×6 numbers from" in text


# --- bad input --------------------------------------------------------------------------------------------------------
def test_too_large_offers_levels():
    """Number by number LeNet has too many; the message names the other levels, and following one weight."""
    image = np.zeros((1, 28, 28, 1))
    with pytest.raises(DataError, match=r'at most 3,000 are shown. level="op" has \d+ lines, level="layer".*weight='):
        kj.explain.backprop(lenet(), image, [3], loss="cross_entropy", level="element")


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"level": "layers"}, UnknownNameError, "unknown level 'layers'. Did you mean 'layer'"),
        ({"notation": "z/a/x"}, DataError, "unknown notation 'z/a/x'.*net/o/t"),
        ({"digits": 99}, DataError, "from 1 to 15; got 99"),
        ({"optimizer": "lbfgs"}, DataError, "LBFGS asks for the loss at several points"),
        ({"loss": None}, DataError, "explain needs the loss"),
        ({"weight": "dense_1.kernel[2,0]"}, ShapeError, r"has shape \(2, 3\).*last entry is dense_1.kernel\[1, 2\]"),
        ({"weight": "dense_1.kernel[0]"}, ShapeError, r"takes 2 whole numbers.*dense_1.kernel\[0, 0\]"),
        ({"weight": "dense_1.kernel"}, ShapeError, r"takes 2 whole numbers"),
        ({"weight": "dense_1.kernel[a,b]"}, ShapeError, r"takes 2 whole numbers"),
        ({"weight": "dense_9.kernel[0,0]"}, UnknownNameError, "unknown weight 'dense_9.kernel'.*Known: dense_1.bias"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_the_fix(how, error, message):
    """What came, what was expected, what to do."""
    with pytest.raises(error, match=message):
        kj.explain.backprop(net("tanh", "sigmoid"), X, T, **{"loss": "sse", **how})


@pytest.mark.parametrize(
    ("layers", "loss", "said"),
    [
        ([kj.nn.Dense(2, "relu", init="zeros")], "sse", "6 of 6 inputs are exactly 0: kedja takes relu′(0) = 0"),
        ([kj.nn.Dense(2, init="zeros")], "mae", "|x| has a kink at 0, and 2 of 6 inputs are exactly 0"),
        ([kj.nn.Dense(4, init="zeros"), kj.nn.Reshape((2, 2)), kj.nn.MaxPool1D(2), kj.nn.Flatten()], "sse",
         "6 of 6 windows have several largest numbers: kedja gives the gradient to the first"),
        ([kj.nn.Dense(2, "leaky_relu", init="zeros")], "sse", "lie exactly on the border between two branches"),
        ([kj.nn.Dense(2, init="zeros"), kj.nn.Lambda(lambda x: kj.maximum(x, 0.0))], "sse",
         "6 of 6 pairs are equal: maximum has a kink there, and kedja gives each of the two half"),
    ],
)  # fmt: skip
def test_points_without_a_derivative_say_the_convention(layers, loss, said):
    """At a kink the line says which convention was used."""
    targets = np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 1.0]])
    walk = kj.explain.backprop(kj.Sequential(layers), X, targets, loss=loss)
    assert [line.name.text for line in walk.backward for note in line.notes if said in note], str(walk)


def test_away_from_kinks_nothing_is_said():
    """A relu whose inputs are not 0 needs no convention."""
    assert not any(line.notes for line in kj.explain.backprop(net("relu", "relu"), X, T, loss="sse").backward)


def test_every_named_step_is_shown_and_ends_where_fit_does():
    """Clipping, averages, decay, the move with a rate from a schedule, and the average of the weights."""
    rate = kj.schedules.Exponential(0.1, 2, 0.5)
    rule = kj.optim.AdamW(rate, clip_norm=0.1, average=0.9, layer_rates={"dense_1": 0.5})
    model = net("tanh", "sigmoid")
    model.fit(X, T, loss="mse", optimizer=rule, epochs=2, batch_size=None, verbose=0)
    walk = kj.explain.backprop(model, X, T)
    model.fit(X, T, loss="mse", optimizer=rule, epochs=1, batch_size=None, verbose=0)
    assert [line.rule for line in walk.update[:6]] == [
        "clip the length of all gradients", "average the gradient", "average its square", "decay the weights", "move",
        "average the weights",
    ]  # fmt: skip
    assert walk["W⁽¹⁾"] == pytest.approx(model.get_weights()[0], abs=1e-12)
