"""What a map must do if it explains the network: Adebayo et al. 2018, Sundararajan et al. 2017."""

import numpy as np
import pytest

import kedja as kj

EVERY = ["grad_cam", "cam", "saliency", "smooth_grad", "integrated_gradients", "gradient_times_input", "occlusion"]
RNG = np.random.default_rng(0)
SIDE = 16


def squares_and_crosses(n, seed):
    """Images with nothing, a square, a cross, or both, at random places, and whether there is (a square, a cross)."""
    rng = np.random.default_rng(seed)
    x, y = np.zeros((n, SIDE, SIDE, 1), np.float32), np.array([[i % 2, i // 2 % 2] for i in range(n)])
    for i in range(n):
        upper = int(rng.integers(2))  # which half has the square: they never lie on each other
        for kind in np.flatnonzero(y[i]):
            a = 8 * int(kind == upper) + int(rng.integers(0, 4))
            draw(x[i, :, :, 0], kind, a, int(rng.integers(0, SIDE - 5)))
    return x + 0.05 * rng.normal(size=x.shape).astype(np.float32), y


def things(n, seed):
    """Images with one of the two alone, and which."""
    x, y = squares_and_crosses(4 * n, seed)
    alone = np.flatnonzero(y.sum(1) == 1)[:n]
    return x[alone], y[alone].argmax(1)


def draw(image, kind, a, b):
    if kind == 0:
        image[a : a + 5, b : b + 5] = 1
        image[a + 1 : a + 4, b + 1 : b + 4] = 0
    else:
        image[a + 2, b : b + 5] = 1
        image[a : a + 5, b + 2] = 1


def network():
    """Convolutions, a global average pool, and a logit for each of the two things."""
    return kj.Sequential([
        kj.nn.Conv2D(8, 5, "relu", padding="same", init="he"), kj.nn.Conv2D(8, 3, "relu", padding="same", init="he"),
        kj.nn.GlobalAveragePool(), kj.nn.Dense(2),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def net():
    """A network that says what is there, trained like one with several labels (CheXNet)."""
    x, y = squares_and_crosses(256, 0)
    found = network()
    found.fit(x, y, loss="binary_cross_entropy", optimizer=kj.optim.Adam(0.02), epochs=14, seed=0)
    held, there = squares_and_crosses(100, 1)
    assert ((found.predict(held) > 0) == there).mean() > 0.97
    return found


def ranks(values):
    return np.argsort(np.argsort(values.ravel())).astype(float)


def test_map_stands_on_the_thing(net):
    """With a square and a cross in one picture, each class's map is strongest on its own."""
    image = np.zeros((SIDE, SIDE), np.float32)
    draw(image, 0, 1, 1)
    draw(image, 1, 9, 9)
    for method, how in (("grad_cam", {"signed": True}), ("cam", {}), ("occlusion", {"patch": 6})):
        square, cross = kj.explain.heatmap(net, image, [0, 1], method, **how).values
        assert square[:8, :8].max() > 1.5 * square[8:, 8:].max(), method
        assert cross[8:, 8:].max() > 1.5 * cross[:8, :8].max(), method


@pytest.mark.parametrize("method", EVERY)
def test_another_class_has_another_map(net, method):
    """The map of a class that is not in the picture is not the map of the one that is."""
    x, kinds = things(1, 5)
    there, absent = kj.explain.heatmap(net, x[0], [kinds[0], 1 - kinds[0]], method).values
    assert np.abs(there - absent).max() > 0.1 * np.abs(there).max()


@pytest.mark.parametrize("method", EVERY)
def test_other_weights_give_another_map(net, method):
    """Weights drawn anew: what is left of the map's order is little (a map that only shows edges would stay)."""
    x, y = things(4, 7)
    fresh = network().build((None, SIDE, SIDE, 1), seed=0)
    how = {"occlusion": {"patch": 4, "stride": 4}, "integrated_gradients": {"steps": 16}, "smooth_grad": {"samples": 8}}
    alike = []
    for seed in range(3):
        fresh.reset(seed=seed)
        for i in range(len(x)):
            maps = [kj.explain.heatmap(m, x[i], int(y[i]), method, **how.get(method, {})).values for m in (net, fresh)]
            if np.ptp(maps[1]) > 0:
                alike.append(np.corrcoef(ranks(maps[0]), ranks(maps[1]))[0, 1])
    assert len(alike) > 3 and abs(np.mean(alike)) < 0.5, np.mean(alike)


def test_shares_add_up_to_the_score(net):
    """Completeness: the map of integrated gradients sums to s(x) − s(baseline), better with more steps."""
    x, y = things(4, 11)
    blank = np.full((SIDE, SIDE, 1), 0.2, np.float32)
    whole = net.predict(x)[np.arange(4), y] - net.predict(blank[None])[0, y]
    errors = []
    for steps in (8, 256):
        found = kj.explain.heatmap(net, x, list(range(2)), "integrated_gradients", steps=steps, baseline=0.2)
        own = found.values[np.arange(4), y]
        errors.append(np.abs(own.sum((1, 2)) - whole).max())
        made, should = found.completeness
        np.testing.assert_allclose(made[np.arange(4), y], own.sum((1, 2)), atol=1e-4)
        np.testing.assert_allclose(should[np.arange(4), y], whole, atol=1e-4)
    assert errors[1] < 0.01 * np.abs(whole).max() and errors[1] < errors[0]
    assert "add up to" in str(found)


@pytest.mark.parametrize("method", ["grad_cam", "cam", "saliency"])
def test_map_moves_with_the_thing(net, method):
    """A network of convolutions and a global pool: shift the square, and its map is shifted as far."""
    first, second = np.zeros((2, SIDE, SIDE), np.float32)
    draw(first, 0, 4, 4)
    draw(second, 0, 6, 5)
    here, there = (kj.explain.heatmap(net, image, 0, method).values for image in (first, second))
    inside = slice(6, 8), slice(6, 9)  # what does not feel the border
    np.testing.assert_allclose(there[8:10, 7:10], here[inside], atol=1e-5)
    assert np.abs(there - here).max() > 0.1 * here.max()


def test_linear_network_is_explained_exactly():
    """s = Σ w x: the slope is |w|, integrated gradients and gradient × input are w x, occlusion of one place too."""
    net = kj.Sequential([kj.nn.Flatten(), kj.nn.Dense(2)]).build((None, 4, 5, 1), seed=0)
    w = np.asarray(net.get_weights()[0])[:, 1].reshape(4, 5)
    x = RNG.normal(size=(4, 5)).astype(np.float32)
    methods = ["saliency", "integrated_gradients", "gradient_times_input", "occlusion"]
    found = kj.explain.heatmap(net, x, 1, methods, patch=1)
    for values, expected in zip(found.values, (abs(w), w * x, w * x, w * x), strict=True):
        np.testing.assert_allclose(values, expected, atol=1e-5)
