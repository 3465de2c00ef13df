"""Which nodes become one call around a product of matrices, and that the numbers stay those of the nodes."""

import numpy as np
import pytest

import kedja as kj
from kedja.engines.xla import clusters as family
from kedja.engines.xla import kernels

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")

RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(96, 40)).astype("float32"), RNG.integers(0, 10, 96)
HOW = {"loss": "cross_entropy", "batch_size": 32, "seed": 1, "verbose": 0}


def steps_of(monkeypatch, optimizer):
    """The clusters of a training step of 40-48-33-10, whose weights agree with the reference engine's."""
    seen = []
    plain = family.clusters
    monkeypatch.setattr(family, "clusters", lambda graph, taken=None: seen.append(plain(graph, taken)) or seen[-1])
    weights = {}
    for engine in ("xla", "reference"):
        net = kj.Sequential([kj.nn.Dense(48, "relu"), kj.nn.Dense(33, "relu"), kj.nn.Dense(10)])
        net.fit(X, T, optimizer=optimizer(), epochs=3, engine=engine, **HOW)
        weights[engine] = [np.asarray(w) for w in net.get_weights()]
    for ours, theirs in zip(weights["xla"], weights["reference"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
    return max((found for found, _ in seen), key=len)


def updates(found):
    """The clusters that write over a variable."""
    return [cluster for cluster in found if cluster.over]


@pytest.mark.parametrize(
    ("optimizer", "slots"),
    [
        (lambda: kj.optim.SGD(0.05), 0),
        (lambda: kj.optim.SGD(0.05, momentum=0.9), 1),
        (lambda: kj.optim.Adam(1e-3), 2),
        (lambda: kj.optim.AdamW(1e-3, weight_decay=0.1), 2),
        (lambda: kj.optim.RMSProp(1e-3), 1),
        (lambda: kj.optim.Adam(1e-3, clip_value=0.01), 2),
        (lambda: kj.optim.Adam(1e-3, average=0.9), 3),
    ],
    ids=["sgd", "momentum", "adam", "adamw", "rmsprop", "clipped", "averaged"],
)
def test_an_update_is_made_where_its_gradient_is(monkeypatch, optimizer, slots):
    """Each kernel's weights and slots are results of one call, written over the old ones."""
    found = updates(steps_of(monkeypatch, optimizer))
    assert {len(cluster.over) for cluster in found} == {1 + slots} and len(found) == 3


@pytest.mark.parametrize("clip", ["clip_norm", "clip_each_norm"])
def test_a_gradient_whose_length_is_asked_is_laid_down(monkeypatch, clip):
    """The update cannot begin before all of the gradient is known."""
    assert not updates(steps_of(monkeypatch, lambda: kj.optim.Adam(1e-3, **{clip: 0.1})))


def test_whoever_else_reads_the_weights_is_waited_for(monkeypatch):
    """The layer itself, and the gradient by its input."""
    found = updates(steps_of(monkeypatch, lambda: kj.optim.SGD(0.05)))
    assert all(cluster.waits for cluster in found)


def test_bias_relu_and_the_gradient_through_it_are_found(monkeypatch):
    """relu(x W + b) is one call, and so is what its gradient gives the layer below."""
    found = steps_of(monkeypatch, lambda: kj.optim.SGD(0.05))
    names = [[node.op.name for node in cluster.members] for cluster in found]
    assert names.count(["add", "relu"]) == 2 and ["greater", "cast", "multiply"] in names


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "exp"])
def test_bias_and_a_smooth_activation_are_one_call(name):
    """f(x W + b) and its gradients give the reference engine's numbers, with one kernel for the product and f."""
    act = getattr(kj, name)
    x, u, b = (kj.placeholder(s, "float32") for s in ((40, 50), (50, 60), (60,)))
    found, _ = family.clusters(kj.Graph([x, u, b], [act(x @ u + b)]))
    assert [[node.op.name for node in cluster.members] for cluster in found] == [["add", name]]

    def f(x, u, b):
        y = act(x @ u * 0.1 + b)
        return [y, *kj.grad((y * y).sum(), [x, u, b])]

    both(f, *matrices((40, 50), (50, 60), (60,)))


def both(f, *arrays):
    """A function of arrays gives the same on both engines."""
    for ours, theirs in zip(*(kj.compile(f, engine=e)(*arrays) for e in ("xla", "reference")), strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-4, atol=1e-4)


def matrices(*shapes):
    """Random matrices in float32."""
    return [np.random.default_rng(3).normal(size=s).astype("float32") for s in shapes]


def test_products_that_share_users_are_computed_once_each():
    """x U + h V with one relu; a product that is an output; one that is squared; a column on the wrong side."""

    def f(x, h, u, v, b, c):
        z = x @ u + h @ v + b
        y = kj.relu(z)
        p = x @ u
        return [
            y,
            kj.cast(z > 0, "float32") * 2.0,
            p,
            p * p,
            (x @ u) * c,
            kj.sum(z),
            *kj.grad((y * y).sum(), [u, v, b]),
        ]

    both(f, *matrices((40, 50), (40, 30), (50, 60), (30, 60), (60,), (40, 1)))


def test_a_large_graph_whose_bool_masks_come_from_outside():
    """where and comparisons of arrays, bools that are inputs, and NaN among the numbers."""

    def f(x, u, a, m):
        z = x @ u
        both = kj.where(z > a, z, a), kj.where(m > 0, x @ u, 0.0)
        return [*both, kj.relu(x @ u * a), kj.grad((kj.relu(x @ u) * a).sum(), u)]

    x, u, a, m = matrices((40, 50), (50, 60), (40, 60), (40, 60))
    x[3, 4] = np.nan
    both(f, x, u, a, m)


def test_many_at_once_are_computed_as_the_nodes_say():
    """Products inside a map."""

    def f(x, u, b):
        return [kj.map(lambda one: kj.relu(one @ u + b), x)]

    both(f, *matrices((3, 40, 50), (50, 60), (60,)))


def test_products_of_a_program_that_is_one_function_stay_in_it():
    """A step so small that XLA makes one function of the loop has no calls in it."""
    x = kj.placeholder((32, 30), "float32")
    u = kj.placeholder((30, 30), "float32")
    assert family.clusters(kj.Graph([x, u], [x @ u]))[0] == []


def test_the_bits_are_those_of_another_run_and_of_a_run_in_parts():
    """Weights after four epochs at once, again, and in two halves."""
    found = []
    for parts in ((4,), (4,), (2, 2)):
        net = kj.Sequential([kj.nn.Dense(48, "relu"), kj.nn.Dense(10)])
        rule = kj.optim.Adam(1e-3)
        for epochs in parts:
            net.fit(X, T, optimizer=rule, epochs=epochs, engine="xla", **HOW)
        found.append([np.asarray(w).tobytes() for w in net.get_weights()])
    assert found[0] == found[1] == found[2]


def test_the_body_of_a_loop_takes_what_it_was_given_as_it_is():
    """A product, its factor turned round and a relu of it, made outside of a loop and used inside."""
    a, b = RNG.normal(size=(2, 32, 32)).astype("float32")

    def outside(a, b):
        turned, product = kj.transpose(a), a @ b
        relu = kj.relu(product)

        def body(c, _):
            return kj.relu(turned @ c + product) * kj.cast(product > 0, "float32") * 0.1 + relu, None

        return kj.scan(body, b, length=3)[0]

    graph = kj.trace(outside, [((32, 32), "float32")] * 2)
    ours, theirs = (kj.engines.get_engine(e).program(graph)([], [a, b])[1][0] for e in ("xla", "reference"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())
