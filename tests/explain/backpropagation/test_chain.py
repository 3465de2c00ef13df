"""One weight's chain ∂E/∂o · ∂o/∂net · ∂net/∂w with numbers, old and new value."""

import re

import numpy as np
import pytest

import kedja as kj

RNG = np.random.default_rng(5)
X, T = RNG.normal(size=(3, 4)), RNG.uniform(size=(3, 2))
MODELS = {
    "dense": lambda: [kj.nn.Dense(3, "tanh"), kj.nn.Dense(2, "sigmoid")],
    "linear": lambda: [kj.nn.Dense(3), kj.nn.Dense(2)],
    "gelu": lambda: [kj.nn.Dense(3, "gelu"), kj.nn.Dense(2)],
    "batch norm": lambda: [kj.nn.Dense(3, use_bias=False), kj.nn.BatchNorm(), kj.nn.ReLU(), kj.nn.Dense(2)],
    "dropout": lambda: [kj.nn.Dense(6, "relu"), kj.nn.Dropout(0.5), kj.nn.Dense(2, "sigmoid")],
    "convolution": lambda: [kj.nn.Reshape((4, 1)), kj.nn.Conv1D(2, 2, activation="tanh"), kj.nn.Flatten(),
                            kj.nn.Dense(2)],
}  # fmt: skip


def walk_of(layers, path, index, **how):
    """The chain of one weight of a model of these layers, and the model."""
    model = kj.Sequential(layers, dtype="float64").build((None, 4), seed=3)
    place = f"{path}[{', '.join(map(str, index))}]"
    return model, kj.explain.backprop(
        model, X, T, loss="sse", optimizer=kj.optim.SGD(0.1), weight=place, digits=8, **how
    )  # fmt: skip


@pytest.mark.parametrize("kind", MODELS)
def test_product_is_the_gradient_of_the_whole(kind):
    """For every parameter the chain of one entry ends with that entry of the whole gradient."""
    model = kj.Sequential(MODELS[kind](), dtype="float64").build((None, 4), seed=3)
    whole = kj.explain.backprop(model, X, T, loss="sse", optimizer=kj.optim.SGD(0.1))
    slopes = {line.layer: line for line in whole.update}
    for path, variable in model.state.of_kind("trainable").items():
        index = tuple(n - 1 for n in variable.shape)
        _, walk = walk_of(MODELS[kind](), path, index)
        slope = (variable.value[index] - slopes[path].value[index]) / 0.1
        assert walk.chain[-1].value == pytest.approx(slope, abs=1e-9)
        assert walk.update[-1].value == pytest.approx(slopes[path].value[index], abs=1e-12)


@pytest.mark.parametrize("kind", ["dense", "linear", "gelu"])
def test_numbers_of_the_product_multiply_to_the_result(kind):
    """The factors as printed, multiplied and added up, are the gradient as printed."""
    _, walk = walk_of(MODELS[kind](), "dense_1.kernel", (2, 1))
    line = walk.chain[-1]
    total = sum(np.prod([float(f.strip("()")) for f in term.split(" · ")]) for term in line.numbers.text.split(" + "))
    assert total == pytest.approx(float(line.value), abs=1e-6) and len(line.numbers.text.split(" + ")) == 3


def test_chain_names_every_factor():
    """Output, pre-activation and weight, with the indices of the weight."""
    _, walk = walk_of(MODELS["dense"](), "dense_2.kernel", (0, 1))
    first = walk.chain[-1].formula.text.split(" + ")[0]
    assert re.fullmatch(r"∂E/∂o⁽²⁾₁₂ · ∂o⁽²⁾₁₂/∂net⁽²⁾₁₂ · ∂net⁽²⁾₁₂/∂w⁽²⁾₁₂", first)


def test_indices_turn_with_the_notation():
    """With w[out, in] the weight from input 1 to unit 2 is w₂₁."""
    text = str(walk_of(MODELS["dense"](), "dense_2.kernel", (0, 1), notation="w[out,in]")[1])
    assert "∂w⁽²⁾₂₁" in text and "It leads from input 1 to unit 2 (counted from 1)" in text


def test_hidden_weight_explains_the_slopes_above_it():
    """∂E/∂o of a hidden unit is a sum over the units above, and those are worked out first."""
    _, walk = walk_of(MODELS["dense"](), "dense_1.kernel", (0, 0))
    names = [line.name.text for line in walk.chain]
    assert names.index("∂E/∂net⁽²⁾₁₁") < names.index("∂E/∂o⁽¹⁾₁₁") < names.index("∂o⁽¹⁾₁₁/∂net⁽¹⁾₁₁")


def test_many_places_are_counted():
    """A weight of a convolution acts at every position; the rest is added up and counted."""
    _, walk = walk_of(MODELS["convolution"](), "conv1d_1.kernel", (0, 0, 0))
    assert "acts in 9 places" in walk.chain[-1].rule and walk.chain[-1].notes == ["and 6 places more, added up"]


def test_old_and_new_value():
    """The update shows the weight before and after, by the optimiser's own steps."""
    model, walk = walk_of(MODELS["dense"](), "dense_1.kernel", (1, 2))
    line = walk.update[-1]
    assert line.old == model.get_weights()[0][1, 2] and line.value == pytest.approx(
        line.old - 0.1 * walk.chain[-1].value
    )


def test_both_engines_agree():
    """The same chain on XLA."""
    a, b = (walk_of(MODELS["dense"](), "dense_1.kernel", (1, 2), engine=e)[1] for e in ("reference", "xla"))
    assert [float(x.value) for x in a.chain] == pytest.approx([float(y.value) for y in b.chain], abs=1e-12)
