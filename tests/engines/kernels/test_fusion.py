"""What kernels do in one go equals the nodes it stands for, in steps and in whole trainings."""

import numpy as np
import pytest

import kedja as kj
from kedja.engines.xla import fusion, kernels

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")


def lenet():
    """The first convolutional network, a size smaller."""
    n = kj.nn
    convs = [n.Conv2D(6, 5, padding="same", activation="relu"), n.MaxPool2D(2), n.Conv2D(16, 3, activation="relu")]
    return kj.Sequential(
        [
            *convs,
            n.MaxPool2D(2),
            n.Conv2D(8, 1, activation="relu"),
            n.Flatten(),
            n.Dense(12, activation="tanh"),
            n.Dense(4),
        ]
    )


def test_a_network_trains_to_the_references_weights():
    """LeNet inside the compiled loop, with kernels, against NumPy."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 12, 12, 1)), rng.integers(0, 4, 40)
    found = {}
    for engine in ("xla", "reference"):
        net = lenet()
        net.fit(
            x, y, loss="cross_entropy", optimizer=kj.optim.SGD(0.05, momentum=0.9), epochs=3, batch_size=16, seed=3,
            verbose=0, engine=engine,
        )  # fmt: skip
        found[engine] = [np.asarray(w) for w in net.get_weights()]
    for ours, theirs in zip(found["xla"], found["reference"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())


def traced(f, *arrays):
    """The graph of a function of arrays, and the numbers of both engines."""
    inputs = [kj.placeholder(a.shape, a.dtype) for a in arrays]
    graph = kj.Graph(inputs, f(*inputs))
    both = [kj.compile(f, engine=engine)(*arrays) for engine in ("xla", "reference")]
    for ours, theirs in zip(*both, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-4, atol=1e-4)
    return graph


def block(x, w, b, v):
    """relu(conv + b), pooled, relu(conv) again, and all gradients."""
    h = kj.max_pool(kj.relu(kj.conv(x, w, padding="same") + b), 2)
    y = kj.relu(kj.conv(kj.relu(h + 0.1), v))
    return [y, *kj.grad((y * y).sum(), [x, w, b, v])]


ARRAYS = [
    np.random.default_rng(1).normal(size=shape).astype("float32")
    for shape in ((3, 8, 8, 2), (3, 3, 2, 6), (6,), (2, 2, 6, 5))
]


def test_epilogues_and_gradients_are_found():
    """Each of the patterns once at least, and the numbers are those of the nodes."""
    graph = traced(block, *ARRAYS)
    together = fusion.fused(graph)
    names = sorted({node.op.name for node in together})
    assert {"relu", "add", "conv", "multiply", "conv_kernel", "sum", "greater"} <= set(names)


def test_what_somebody_else_reads_is_not_left_out():
    """The sum before the relu is an output here, so it is computed; so is a convolution used twice."""

    def f(x, w, b, v):
        c = kj.conv(x, w)
        z = c + b
        y = kj.relu(z)
        return [z, y, c * 2.0, *kj.grad((y * z).sum(), [x, w, b])]

    traced(f, *ARRAYS)


def test_a_relu_made_after_what_reads_its_sign():
    """The order in which a user writes the nodes does not matter."""

    def f(x, w, b, v):
        z = kj.conv(x, w) + b
        sign = kj.cast(z > 0, "float32") if hasattr(kj, "cast") else z.astype("float32")
        g = sign * 3.0
        return [kj.relu(z), g]

    traced(f, *ARRAYS)


def test_where_no_kernel_serves_the_nodes_are_computed():
    """Groups, and strides whose gradient would be mostly zeros."""

    def f(x, w, b, v):
        y = kj.relu(kj.conv(x, w[:, :, :1], stride=3, groups=2) + b)
        z = kj.relu(kj.conv(kj.relu(x * 1.5), w, stride=3) + b)
        return [y, z, *kj.grad((y * y).sum() + (z * z).sum(), [x, w, b])]

    traced(f, *ARRAYS)


def test_norms_and_residuals_are_done_in_the_convolution():
    """Two convolutions, a norm after each, added up, and relu: two calls, the second of which adds the first."""

    def f(x, w, m, s, b):
        left = (kj.conv(x, w) - m) / kj.sqrt(s * s + 0.1) * b + m
        right = kj.conv(kj.relu(x), w, padding="valid") * s
        return [kj.relu(left + right)]

    rng = np.random.default_rng(5)
    arrays = [rng.normal(size=s).astype("float32") for s in ((2, 7, 6, 3), (3, 2, 3, 20), (20,), (20,), (1, 1, 1, 20))]
    graph = traced(f, *arrays)
    together = fusion.fused(graph)
    done = [node for node, work in together.items() if work is not None]
    assert [node.op.name for node in done if node.ndim == 4] in (["relu", "multiply"], ["multiply", "relu"])


def test_what_a_chain_of_steps_does_not_allow_is_left_to_the_nodes():
    """A convolution that divides, one that is added to itself, one that somebody else reads."""

    def f(x, w, b, v):
        c = kj.conv(x, w)
        d = kj.conv(x, w * 2.0)
        e = kj.conv(x, w * 3.0)
        return [kj.relu(b / (c * c + 1.0)), kj.relu(d + d), e - b, (e - b) * 2.0, b - kj.conv(x, w * 4.0)]

    traced(f, *ARRAYS)
