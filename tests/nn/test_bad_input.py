"""What was done wrong, and the words the one message must have: the layer or argument, what came, what was needed."""

import functools

import numpy as np
import pytest

import kedja as kj
from kedja.errors import KedjaError

nn = kj.nn
ROWS = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")


def zeros(*shape):
    """An array of this shape."""
    return np.zeros(shape, "float32")


def logits(**options):
    """A small classifier that was fitted on these targets."""
    y = options.pop("y")
    return kj.Sequential([nn.Dense(3)]).fit(ROWS, y, verbose=0, **{"loss": "cross_entropy", **options})


def fitted(layers, x, y, **options):
    """A small regression, fitted."""
    return kj.Sequential(layers).fit(x, y, loss="mse", verbose=0, **options)


def functional(layer, *shapes):
    """The layer in a functional model, built."""
    inputs = [kj.Input(s) for s in shapes]
    return kj.Model(inputs, layer(*inputs)).build(*((None, *s) for s in shapes))


SLIDING = {
    "Conv1D": (lambda: nn.Conv1D(2, 5), 1), "Conv2D": (lambda: nn.Conv2D(2, 5), 2),
    "Conv3D": (lambda: nn.Conv3D(2, 5), 3), "DepthwiseConv1D": (lambda: nn.DepthwiseConv1D(5), 1),
    "DepthwiseConv2D": (lambda: nn.DepthwiseConv2D(5), 2), "SeparableConv1D": (lambda: nn.SeparableConv1D(2, 5), 1),
    "SeparableConv2D": (lambda: nn.SeparableConv2D(2, 5), 2), "MaxPool1D": (lambda: nn.MaxPool1D(5), 1),
    "MaxPool2D": (lambda: nn.MaxPool2D(5), 2), "MaxPool3D": (lambda: nn.MaxPool3D(5), 3),
    "AveragePool1D": (lambda: nn.AveragePool1D(5), 1), "AveragePool2D": (lambda: nn.AveragePool2D(5), 2),
    "AveragePool3D": (lambda: nn.AveragePool3D(5), 3),
}  # fmt: skip
WAYS = {
    "called": lambda make, shape: make()(zeros(2, *shape)),
    "Sequential": lambda make, shape: kj.Sequential([make()]).build((None, *shape)),
    "functional": lambda make, shape: functional(make(), shape),
    "fit": lambda make, shape: fitted([make(), nn.Flatten(), nn.Dense(1)], zeros(6, *shape), zeros(6, 1)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SLIDING)
def test_a_window_larger_than_the_input(name, way):
    """The layer, its window, the input it got, the arithmetic and a fix, however it is reached."""
    make, rank = SLIDING[name]
    shape = (4,) * rank + (1,)
    with pytest.raises(KedjaError) as error:
        WAYS[way](make, shape)
    text = str(error.value)
    size = "size-5" if rank == 1 else "×".join("5" * rank)
    assert text.startswith(name) and f"the {size}" in text and str((2, *shape)) in text
    assert ("4 − 5 + 1 = 0" in text or "⌊(4 − 5)/5⌋ + 1 = 0" in text) and 'Use padding="same"' in text


RANKS = {
    "Conv1D": (lambda: nn.Conv1D(2, 1), {3}, "(N, steps, channels)"),
    "Conv2D": (lambda: nn.Conv2D(2, 1), {4}, "(N, height, width, channels)"),
    "Conv3D": (lambda: nn.Conv3D(2, 1), {5}, "(N, depth, height, width, channels)"),
    "ConvTranspose1D": (lambda: nn.ConvTranspose1D(2, 1), {3}, "(N, steps, channels)"),
    "ConvTranspose2D": (lambda: nn.ConvTranspose2D(2, 1), {4}, "(N, height, width, channels)"),
    "ConvTranspose3D": (lambda: nn.ConvTranspose3D(2, 1), {5}, "(N, depth, height, width, channels)"),
    "DepthwiseConv2D": (lambda: nn.DepthwiseConv2D(1), {4}, "(N, height, width, channels)"),
    "SeparableConv2D": (lambda: nn.SeparableConv2D(2, 1), {4}, "(N, height, width, channels)"),
    "MaxPool1D": (lambda: nn.MaxPool1D(1), {3}, "(N, steps, channels)"),
    "MaxPool2D": (lambda: nn.MaxPool2D(1), {4}, "(N, height, width, channels)"),
    "AveragePool3D": (lambda: nn.AveragePool3D(1), {5}, "(N, depth, height, width, channels)"),
    "GlobalAveragePool": (nn.GlobalAveragePool, {3, 4, 5, 6}, "(N, *sizes, channels)"),
    "GlobalMaxPool": (nn.GlobalMaxPool, {3, 4, 5, 6}, "(N, *sizes, channels)"),
    "SimpleRNN": (lambda: nn.SimpleRNN(2), {3}, "(N, steps, features)"),
    "LSTM": (lambda: nn.LSTM(2), {3}, "(N, steps, features)"),
    "GRU": (lambda: nn.GRU(2), {3}, "(N, steps, features)"),
    "Bidirectional": (lambda: nn.Bidirectional(nn.GRU(2)), {3}, "(N, steps, features)"),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(1), {3}, "(N, steps, features)"),
    "PositionalEncoding": (nn.PositionalEncoding, {3}, "(N, steps, features)"),
    "LearnedPositionalEncoding": (lambda: nn.LearnedPositionalEncoding(4), {3}, "(N, steps, features)"),
    "BatchNorm": (nn.BatchNorm, {2, 3, 4, 5, 6}, "an axis of examples and an axis of features"),
    "GroupNorm": (lambda: nn.GroupNorm(2), {2, 3, 4, 5, 6}, "an axis of examples and an axis of channels"),
    "InstanceNorm": (nn.InstanceNorm, {3, 4, 5, 6}, "(examples, positions…, channels)"),
}


@pytest.mark.parametrize("name", RANKS)
def test_wrong_rank(name):
    """Every other number of axes is refused with the axes that are needed and the shape that came."""
    make, right, needed = RANKS[name]
    for rank in set(range(1, 7)) - right:
        shape = (2,) * rank
        with pytest.raises(KedjaError) as error:
            make()(zeros(*shape))
        assert str(error.value).startswith(name) and needed in str(error.value) and str(shape) in str(error.value)


@pytest.mark.parametrize("rate", [1.0, -0.1, 1.5, "a", None, float("nan"), True])
@pytest.mark.parametrize("layer", [nn.Dropout, nn.AlphaDropout, nn.GaussianDropout], ids=lambda c: c.__name__)
def test_rates(layer, rate):
    """A rate outside [0, 1) is refused, when the layer is made and when it is set; the old one stays."""
    ready = layer(0.5)
    for wrong in (lambda: layer(rate), lambda: setattr(ready, "rate", rate)):
        with pytest.raises(KedjaError) as error:
            wrong()
        assert f"{layer.__name__}: rate is the probability of dropping, at least 0 and below 1; got {rate!r}" in str(
            error.value
        )
    assert ready.rate == 0.5


def test_the_dropout_of_attention():
    """It is checked when set too, saved as it then is, and setting it compiles nothing new."""
    layer = nn.MultiHeadAttention(2, dropout=0.5)
    for wrong in (1.5, "a"):
        with pytest.raises(KedjaError, match="MultiHeadAttention: dropout is the probability of dropping"):
            layer.dropout = wrong
    net = kj.Sequential([layer, nn.Flatten(), nn.Dense(1)])
    fits = []
    for layer.dropout in (0.5, 0.1, None, 0.2):
        fits.append(net.fit(zeros(4, 3, 2), zeros(4, 1), loss="mse", engine="xla", seed=1, verbose=0).compile_seconds)
        assert layer.config().get("dropout") == layer.dropout
    assert fits[0] > 0 and fits[1] == 0 and fits[2] > 0 and fits[3] == 0


SEQUENCE, MASKED = zeros(2, 5, 4), "sequences of shape (2, 5, 4) need one of shape (2, 5)"
CHANNELS, COLUMNS = zeros(2, 8, 8, 3), zeros(2, 4)


def grouped(layer):
    """Layers in groups, called on an image of 3 channels."""
    return layer(CHANNELS)


TABLE = {
    # what was done: (how, words that must be in the message)
    # --- sizes
    "nothing is left of a transposed convolution": (
        lambda: nn.ConvTranspose2D(2, 3, padding=5)(zeros(2, 2, 2, 1)),
        ["ConvTranspose2D", "padding 5 cuts everything away", "-6×-6"],
    ),
    "output_padding": (
        lambda: nn.ConvTranspose2D(2, 3, stride=2, output_padding=2)(zeros(2, 4, 4, 1)),
        ["ConvTranspose2D", "output_padding 2 must be less than the stride 2"],
    ),
    "dilation": (
        lambda: nn.Conv1D(2, 3, dilation=4)(zeros(2, 8, 1)),
        ["Conv1D", "which its dilation spreads over size-9", "8 − 4·(3 − 1) = 0"],
    ),
    "kj.conv": (lambda: kj.conv(zeros(2, 4, 4, 1), zeros(5, 5, 1, 2)), ["conv: the 5×5 kernel", "4 − 5 + 1 = 0"]),
    "kj.max_pool": (lambda: kj.max_pool(zeros(2, 4, 4, 1), 5), ["max_pool: the 5×5 window", "= 0 rows"]),
    "kj.mean_pool": (lambda: kj.mean_pool(zeros(2, 4, 4, 1), 5), ["mean_pool: the 5×5 window", "= 0 rows"]),
    "kj.output_size": (lambda: kj.output_size(4, 5), ["the size-5 window", "4 − 5 + 1 = 0"]),
    "padding below 0": (lambda: nn.Conv2D(2, 3, padding=-1)(CHANNELS), ["Conv2D: padding must be at least 0, got -1"]),
    "padding by a wrong name": (
        lambda: nn.Conv2D(2, 3, padding="full"), ["Conv2D: unknown padding 'full'. Known: same, valid."],
    ),
    "a stride with a fraction": (lambda: nn.Conv2D(2, 3, stride=1.5), ["Conv2D: stride", "got 1.5"]),
    "three sizes for two axes": (lambda: nn.Conv2D(2, (3, 3, 3)), ["Conv2D", "(3, 3, 3) has 3 numbers for 2 axes"]),
    "no filters": (lambda: nn.Conv2D(0, 3), ["Conv2D: filters", "got 0"]),
    # --- groups
    "groups and channels": (
        lambda: grouped(nn.Conv2D(4, 3, groups=2)),
        ["Conv2D: groups=2", "channels", "3 / 2 = 1.5"],
    ),
    "groups and filters": (lambda: grouped(nn.Conv2D(4, 3, groups=3)), ["Conv2D: groups=3", "filters", "4 / 3 = 1.33"]),
    "groups, transposed": (
        lambda: grouped(nn.ConvTranspose2D(4, 3, groups=2)), ["ConvTranspose2D: groups=2", "channels", "3 / 2 = 1.5"],
    ),
    "groups of kj.conv": (
        lambda: kj.conv(CHANNELS, zeros(3, 3, 1, 4), groups=2), ["conv: 2 groups do not divide the 3 channels"],
    ),
    "groups of a norm": (
        lambda: grouped(nn.GroupNorm(2)), ["GroupNorm: 2 groups do not divide the 3 channels", "Use one of 1, 3."],
    ),
    "heads": (
        lambda: nn.MultiHeadAttention(3)(SEQUENCE), ["MultiHeadAttention: 3 heads do not divide 4", "4 = 3 · 1 + 1"],
    ),
    # --- axes
    "LayerNorm": (lambda: nn.LayerNorm(axis=3)(COLUMNS), ["LayerNorm: axis 3 is out of range", "2 axes"]),
    "BatchNorm": (lambda: nn.BatchNorm(axis=5)(COLUMNS), ["BatchNorm: axis 5 is out of range", "2 axes"]),
    "Concatenate": (lambda: nn.Concatenate(axis=4)(COLUMNS, COLUMNS), ["Concatenate: axis 4 is out of range"]),
    "Softmax": (lambda: nn.Softmax(axis=4)(COLUMNS), ["Softmax: axis 4 is out of range"]),
    "Dropout": (
        lambda: nn.Dropout(0.5, shared_axes=4)(COLUMNS), ["Dropout: axis 4 is out of range"],
    ),
    "kj.sum": (lambda: kj.sum(COLUMNS, 5), ["axis 5 is out of range", "there are 0 to 1 or -2 to -1"]),
    "kj.sort": (lambda: kj.sort(COLUMNS, 3), ["axis 3 is out of range"]),
    # --- targets
    "labels with fractions": (
        lambda: logits(y=[0.0, 1.5, 2.0, 1.0]), ["label 1.5 at row 1 (counting from 0) is not a whole number"],
    ),
    "labels with fractions, called": (
        lambda: kj.losses.CrossEntropy()(np.array([0.5, 1, 2, 1]), zeros(4, 3)),
        ["cross_entropy: labels of shape (4,) must be integers, got float32"],
    ),
    "labels that there are not": (lambda: logits(y=[0, 1, 2, 3]), ["label 3 at row 3", "outside 0..2"]),
    "labels as a column": (lambda: logits(y=[[0], [1], [2], [1]]), ["targets of shape (4, 1)", "labels (4,)"]),
    "probabilities": (
        lambda: logits(y=np.ones((4, 3))), ["cross_entropy needs rows of y that are probabilities", "[1.0, 1.0, 1.0]"],
    ),
    "probabilities of a divergence": (
        lambda: logits(y=np.ones((4, 3)), loss="kl_divergence"), ["kl_divergence needs rows of y", "adding up to 1"],
    ),
    "two classes as -1 and 1": (
        lambda: kj.Sequential([nn.Dense(1)]).fit(ROWS, [-1, 1, 1, 1], loss="binary_cross_entropy", verbose=0),
        ["binary_cross_entropy needs targets from 0 to 1, and row 0 of y has -1"],
    ),
    "counts below 0": (lambda: logits(y=-np.ones((4, 3)), loss="poisson"), ["poisson needs counts of at least 0"]),
    # --- masks and states
    **{
        f"mask of {cls.__name__}": (functools.partial(lambda c: c(3)(SEQUENCE, zeros(2, 4)), cls),
                                    [f"{cls.__name__}: got a mask of shape (2, 4)", MASKED])
        for cls in (nn.SimpleRNN, nn.LSTM, nn.GRU)
    },
    "mask with an axis too many": (lambda: nn.LSTM(3)(SEQUENCE, zeros(2, 5, 1)), ["a mask of shape (2, 5, 1)", MASKED]),
    "mask of Bidirectional": (lambda: nn.Bidirectional(nn.GRU(3))(SEQUENCE, zeros(2, 4)), ["GRU", "(2, 4)", MASKED]),
    "mask in a functional model": (
        lambda: functional(nn.LSTM(3), (5, 4), (3,)), ['LSTM "lstm_1": got a mask of shape (2, 3)', MASKED],
    ),
    "mask of attention": (
        lambda: nn.MultiHeadAttention(2)(SEQUENCE, SEQUENCE, zeros(2, 4)),
        ["MultiHeadAttention: got a mask of shape (2, 4)", "(2, 5) or (2, 5, 5)"],
    ),
    "mask of connections": (
        lambda: nn.Dense(4, mask=np.ones((3, 3)))(zeros(2, 5)),
        ["Dense: the mask has shape (3, 3)"],
    ),
    "state": (
        lambda: nn.LSTM(3)(SEQUENCE, kj.ones((2, 5)), zeros(2, 4), zeros(2, 4)),
        ["LSTM: got a state of shapes (2, 4), (2, 4)", "2 of shape (2, 3)"],
    ),
    "mask by name": (
        lambda: nn.LSTM(3)(SEQUENCE, mask=zeros(2, 5)),
        ["LSTM is called as layer(x, mask, *state)", "by position"],
    ),
    "mask by a peer's name": (
        lambda: nn.MultiHeadAttention(2)(SEQUENCE, attention_mask=zeros(2, 5)),
        ["MultiHeadAttention is called as layer(x, memory, mask), got attention_mask="],
    ),
    # --- inputs
    "two inputs for one": (lambda: nn.Dense(2)(COLUMNS, COLUMNS), ["Dense is called as layer(x), got 2 inputs"]),
    "two inputs for one, functional": (lambda: functional(nn.Dense(2), (3,), (3,)), ["layer(x), got 2 inputs"]),
    "no input": (lambda: nn.LSTM(2)(), ["LSTM is called as layer(x, mask, *state), got 0 inputs"]),
    "inputs in a list": (
        lambda: nn.Add()([kj.Input((3,))] * 2),
        ["Add is called as layer(*xs), got 2 tensors in one list"],
    ),
    "states into a layer": (
        lambda: kj.Sequential([nn.LSTM(2, return_state=True), nn.Dense(1)]).build((None, 5, 3)),
        ['Dense "dense_1" is called as layer(x), got 3 tensors in one tuple'],
    ),
    "whole numbers": (lambda: nn.Conv2D(2, 3)(np.zeros((2, 8, 8, 1), "int64")), ["Conv2D", "int64", "kj.cast"]),
    "text": (lambda: nn.Dense(2)([["a", "b"]]), ["Dense", "elements of type <U1"]),
    "nan in images": (
        lambda: fitted([nn.Conv2D(2, 3), nn.Flatten(), nn.Dense(1)], np.full((4, 6, 6, 1), np.nan), zeros(4, 1)),
        ["x has nan at index (0, 0, 0, 0)"],
    ),
    "rows of pixels": (
        lambda: fitted([nn.Conv2D(2, 3), nn.Flatten(), nn.Dense(1)], zeros(4, 784), zeros(4, 1)),
        ['Conv2D "conv2d_1": needs an input (N, height, width, channels), got', "kj.nn.Reshape((28, 28, 1))"],
    ),
    "positions below 0": (
        lambda: fitted([nn.Embedding(5, 3), nn.Flatten(), nn.Dense(1)], np.array([[1, -1], [0, 1]]), zeros(2, 1)),
        ['Embedding "embedding_1": has vectors for the whole numbers 0 to 4 and got -1 in row 0, position 1'],
    ),
    "positions with a fraction": (
        lambda: fitted([nn.Embedding(5, 3), nn.Flatten(), nn.Dense(1)], [[1.0, 0.0], [0.0, 1.5]], zeros(2, 1)),
        ['Embedding "embedding_1"', "got 1.5 in row 1, position 1"],
    ),
    "positions to predict": (
        lambda: kj.Sequential([nn.Embedding(5, 3)]).build((None, 2)).predict([[0, 5]]),
        ['Embedding "embedding_1"', "got 5 in row 0, position 1", "Numbers that start at 1 need a table of 6"],
    ),
    "a batch of one": (
        lambda: fitted([nn.Dense(3), nn.BatchNorm(), nn.Dense(1)], zeros(5, 2), zeros(5, 1), batch_size=2),
        ['BatchNorm "batch_norm_1": in training it needs at least two values of each feature', "change batch_size"],
    ),
    # --- numbers of optimisers and layers
    "a rate below 0": (lambda: kj.optim.Adam(-0.1), ["Adam: learning_rate must be a number above 0, got -0.1"]),
    "a rate set to nan": (lambda: setattr(kj.optim.SGD(), "learning_rate", np.nan), ["SGD: learning_rate", "got nan"]),
    "a class": (lambda: logits(y=[0, 1, 2, 1], optimizer=kj.optim.Adam), ["Adam is a class: write kj.optim.Adam()"]),
    "noise": (lambda: nn.GaussianNoise(-1), ["GaussianNoise: std is a standard deviation", "got -1"]),
    "momentum": (lambda: nn.BatchNorm(2.0), ["BatchNorm: momentum", "from 0 to 1; got 2.0"]),
}  # fmt: skip


@pytest.mark.parametrize("done", TABLE)
def test_bad_input(done):
    """One error of kedja's own, not chained to another, that says all of it; the class is named once."""
    how, words = TABLE[done]
    with pytest.raises(KedjaError) as error:
        how()
    text = str(error.value)
    assert [w for w in words if w not in text] == [], text
    assert error.value.__cause__ is None and (error.value.__context__ is None or error.value.__suppress_context__)
    first = text.split(":")[0].split()[0]
    assert not text.startswith(f"{first}: {first}")


def test_a_refused_fit_loses_nothing():
    """After bad input a model has its weights and the optimiser's memory, and trains on as if nothing had happened."""
    x, y = zeros(8, 4, 4, 1) + np.arange(8.0)[:, None, None, None], np.arange(8.0)[:, None]

    def model():
        net = kj.Sequential([nn.Conv2D(2, 3), nn.BatchNorm(), nn.Flatten(), nn.Dense(1)])
        net.fit(x, y, loss="mse", epochs=2, batch_size=4, seed=1, verbose=0)
        return net

    net, other = model(), model()
    for wrong in (
        lambda: net.fit(zeros(8, 16), y, verbose=0),
        lambda: net.fit(x, y[:5], verbose=0),
        lambda: net.fit(x * np.nan, y, verbose=0),
        lambda: net.fit(x, y, loss="cross_entropy", verbose=0),
        lambda: net.fit(x, y, optimizer="adamm", verbose=0),
        lambda: net.fit(x.repeat(2, -1), y, verbose=0),
    ):
        with pytest.raises(KedjaError):
            wrong()
    for each in (net, other):
        each.fit(x, y, epochs=2, batch_size=4, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(net.get_weights(), other.get_weights(), strict=True))
