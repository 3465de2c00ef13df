"""Pictures of learning: surfaces and paths, races, learning rates, fits, widths."""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import rosen

import kedja as kj
from kedja.errors import DataError, GraphError, ShapeError, UnknownNameError
from kedja.explain.pictures.landscapes import LANDSCAPES

X, Y = np.float32([[0, 0], [0, 1], [1, 0], [1, 1]]), np.float32([[0], [1], [1], [0]])


def small(seed=0):
    """2-3-1 with tanh."""
    return kj.Sequential([kj.nn.Dense(3, "tanh"), kj.nn.Dense(1)]).build((None, 2), seed=seed)


# --- surfaces -----------------------------------------------------------------------------------------------------
def test_surface_is_the_loss_of_moved_weights():
    """Every tenth place of the map is what the model itself evaluates to with its weights moved there."""
    net = small()
    found = kj.explain.loss_surface(net, X, Y, "mse", points=7, seed=3)
    here = net.get_weights()
    for i, j in [(0, 0), (3, 3), (2, 5), (6, 1)]:
        moved = copy.deepcopy(net)
        a, b = found.across[j], found.up[i]
        ways = (list(d.values()) for d in found.directions)
        moved.set_weights([w + a * d + b * e for w, d, e in zip(here, *ways, strict=True)])
        assert found.values[i, j] == pytest.approx(moved.evaluate(X, Y, loss="mse")["loss"], rel=1e-5)
    assert [w.tolist() for w in net.get_weights()] == [w.tolist() for w in here]


def test_random_directions_have_the_length_of_the_models_filters():
    """Li et al.: each column of a kernel's direction is as long as the kernel's own, and biases stay."""
    net = small()
    for way in kj.explain.loss_surface(net, X, Y, "mse", points=3).directions:
        for path, variable in net.state.items():
            if "kernel" in path:
                lengths = [
                    torch.linalg.vector_norm(torch.tensor(np.array(w)), dim=0) for w in (way[path], variable.value)
                ]
                np.testing.assert_allclose(*lengths, rtol=1e-5)
            else:
                assert not way[path].any()


def test_path_of_a_run_lies_in_its_plane():
    """With two weights a run lies wholly in the plane of its principal directions, and ends at the weights."""
    net = kj.Sequential([kj.nn.Dense(1, use_bias=False)]).build((None, 2), seed=0)
    trail = kj.explain.Trail()
    rule = kj.optim.Adam(0.1)
    net.fit(X, Y, loss="mse", optimizer=rule, epochs=6, batch_size=None, seed=0, callbacks=[trail])
    found = kj.explain.loss_surface(net, X, Y, directions="path", trail=trail, points=5)
    assert found.shown == pytest.approx(1.0) and len(found.trail) == 7
    np.testing.assert_allclose(found.trail[-1], 0, atol=1e-6)
    lengths = [np.linalg.norm(p["dense_1.kernel"] - trail.points[-1]["dense_1.kernel"]) for p in trail.points]
    np.testing.assert_allclose(np.linalg.norm(found.trail, axis=1), lengths, rtol=1e-4, atol=1e-6)
    assert found._bytes("png")


def test_share_of_a_path_that_is_seen():
    """A run that moves 3 along the plane and 4 out of it is seen with 9 parts of 25."""
    net = kj.Sequential([kj.nn.Dense(1, use_bias=False, init="zeros")]).build((None, 2))
    ways = [[np.array([[1.0], [0.0]])]]
    trail = [[np.array([[3.0], [4.0]])], [np.zeros((2, 1))]]
    found = kj.explain.loss_surface(net, X, Y, "mse", directions=ways, trail=trail, points=3)
    assert found.shown == pytest.approx(9 / 25) and found.trail.tolist() == [[3.0], [0.0]]


def test_trail_remembers_every_so_many_epochs():
    """The start and then every second epoch, copies that later training does not change."""
    trail = kj.explain.Trail(every=2)
    net = small()
    before = net.get_weights()[0].tolist()
    net.fit(X, Y, loss="mse", optimizer="sgd", epochs=5, seed=0, callbacks=[trail])
    assert len(trail) == 3 and trail.points[0]["dense_1.kernel"].tolist() == before


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"directions": "path"}, DataError, "Trail"),
        ({"directions": "steepest"}, UnknownNameError, "kind of direction"),
        ({"dimensions": 3}, DataError, "1 or 2"),
        ({"directions": [[np.ones(2)]]}, ShapeError, "got 1 arrays"),
        ({"directions": [[np.ones((2, 3)), np.ones(3), np.ones((1, 1)), np.ones(1)]]}, ShapeError, r"\(3, 1\)"),
        ({"directions": [{"dense_9.kernel": np.ones(2)}]}, UnknownNameError, "parameter"),
        ({"span": -1}, DataError, "above 0"),
        ({"trail": 3}, GraphError, "got int"),
    ],
)  # fmt: skip
def test_surfaces_refuse_what_does_not_fit(how, error, said):
    """Bad directions and paths raise an error that names what came."""
    with pytest.raises(error, match=said):
        kj.explain.loss_surface(small(), X, Y, "mse", points=3, **how)


# --- races --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", LANDSCAPES)
def test_landscapes_have_their_minima(name):
    """At every minimum the value is 0, the gradient too, and the Hessian has no negative eigenvalue."""
    land = LANDSCAPES[name]
    for minimum in land.minima:
        x = kj.tensor(np.array(minimum), dtype="float64")
        assert abs(land.function(x).item()) < 1e-18
        assert np.abs(kj.grad(land.function)(x).numpy()).max() < 1e-8
        assert np.linalg.eigvalsh(kj.hessian(land.function)(x).numpy()).min() > 0


def test_rosenbrock_is_scipys():
    """The same values as SciPy's."""
    rng = np.random.default_rng(0)
    for point in rng.normal(size=(5, 2)):
        ours = LANDSCAPES["rosenbrock"].function(kj.tensor(point, dtype="float64")).item()
        assert ours == pytest.approx(rosen(point), rel=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 0.99])
def test_paths_are_pytorchs(alpha):
    """Descent with momentum (scope 4.2) goes through the points PyTorch's SGD goes through at a constant rate."""
    rules = {"it": kj.optim.SGD(1e-3, momentum=alpha)}
    found = kj.explain.race("himmelblau", rules, steps=40)["it"]
    x = torch.tensor([0.0, -4.5], dtype=torch.float64, requires_grad=True)
    judge = torch.optim.SGD([x], lr=1e-3, momentum=alpha)
    for point, value in zip(found.path, found.values, strict=True):
        np.testing.assert_allclose(point, x.detach(), rtol=1e-9, atol=1e-12)
        height = (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2
        assert value == pytest.approx(height.item(), rel=1e-9)
        judge.zero_grad()
        height.backward()
        judge.step()


def test_default_race_is_that_of_the_notes():
    """Plain descent and momentum 0.5, 0.9, 0.99 at one rate; on the valley 0.9 arrives first and 0.99 swings (8.5)."""
    found = kj.explain.race("valley")
    assert [r.name for r in found.runners][1:] == ["momentum 0.5", "momentum 0.9", "momentum 0.99"]
    arrived = [r.arrived for r in found.runners]
    assert arrived[2] < arrived[1] < arrived[0] and arrived[3] is None
    assert found._bytes("png")


def test_a_lost_runner_ends_and_is_named():
    """Too high a rate leaves the picture; the path ends there, and the table says so."""
    found = kj.explain.race("valley", {"wild": kj.optim.SGD(0.1), "tame": kj.optim.LBFGS()}, steps=50)
    assert len(found["wild"].path) < 51 and found.table.rows[0][1] == "diverged"
    assert found["tame"].values[-1] < 1e-10 and found._bytes("png")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: kj.explain.race("valleys"), UnknownNameError, "landscape"),
        (lambda: kj.explain.race("valley", start=[1.0]), DataError, "two numbers"),
        (lambda: kj.explain.race("valley", steps=0), DataError, "at least 1"),
        (lambda: kj.explain.race("valley", []), DataError, "no optimiser"),
        (lambda: kj.explain.race(3), GraphError, "got int"),
        (lambda: kj.explain.race(lambda x: x[0]), DataError, "needs start"),
        (lambda: kj.explain.race(lambda x: x, start=(1, 1)), ShapeError, "one number"),
        (lambda: kj.explain.race(lambda x: 3.0, start=(1, 1)), GraphError, "does not depend"),
        (lambda: kj.explain.race("valley")["Adam"], UnknownNameError, "runner"),
    ],
)  # fmt: skip
def test_races_refuse_what_is_no_race(call, error, said):
    """Bad input raises an error that names what came."""
    with pytest.raises(error, match=said):
        call()


# --- triptychs ----------------------------------------------------------------------------------------------------
def test_rates_on_a_parabola():
    """On w² each step multiplies w by 1 − 2ε: slowly, at once to the bottom, or further out."""
    found = kj.explain.rates(rates=(0.1, 0.5, 1.5), steps=4)
    assert [run.points[1] for run in found.runs] == pytest.approx([-0.8, 0.0, 2.0])
    assert [run.verdict for run in found.runs] == ["falls", "falls", "diverges"]
    titles = [ax.get_title(loc="left") for ax in found.figure.axes]
    assert [t.split(": ")[1] for t in titles] == ["too low", "about right", "too high"]


def test_rates_of_a_model_start_alike_and_leave_it_alone():
    """Each run is what `fit` gives a copy at that rate; the model keeps its weights."""
    net = small()
    before = [w.tolist() for w in net.get_weights()]
    found = kj.explain.rates(net, X, Y, rates=(0.01, 0.2), loss="mse", steps=3)
    assert [w.tolist() for w in net.get_weights()] == before
    alone = copy.deepcopy(net)
    alone.fit(X, Y, loss="mse", optimizer=kj.optim.SGD(0.2), epochs=3, batch_size=None, seed=0)
    assert found.runs[1].losses[-1] == pytest.approx(alone.evaluate(X, Y)["loss"], rel=1e-6)
    assert found.runs[0].losses[0] == found.runs[1].losses[0] and len(found.runs[0].losses) == 4
    assert "<svg" in found.svg()


def test_a_run_that_breaks_down_ends():
    """At an impossible rate the losses end with what is not a number, and the others are drawn."""
    net = kj.Sequential([kj.nn.Dense(1)]).build((None, 2), seed=0)
    found = kj.explain.rates(net, 100 * X, Y, rates=(1e-5, 1e-4, 1e6), loss="mse", steps=9)
    assert not np.isfinite(found.runs[2].losses[-1]) and found.runs[2].verdict == "diverges"
    assert found._bytes("png")


def test_fits_measure_both_errors():
    """The errors are mean squares on the rows learned from and on the others, the curve the model's answers."""
    x = np.linspace(0, 1, 5)[:, None]
    found = kj.explain.fits(x, x, {"flat": lambda v: 0 * v + 0.5}, other=(x, x + 1), truth=np.square)
    assert found.models[0].own == pytest.approx(np.var(x)) and found.models[0].other == pytest.approx(np.var(x) + 1)
    np.testing.assert_allclose(found.models[0].curve, 0.5)
    np.testing.assert_allclose(found.truth, found.line**2)
    assert found._bytes("png")


def test_fits_train_networks_of_a_list():
    """A larger network is closer to its own points."""
    x = np.linspace(-1, 1, 12)[:, None]
    found = kj.explain.fits(x, np.sin(5 * x), [1, 6], epochs=300)
    assert [m.name for m in found.models] == ["1 + 1 units", "6 + 6 units"]
    assert found.models[1].own < found.models[0].own


def test_width_lowers_the_error():
    """Scope 2.4: one unit cannot bend as often as this function, eight can; errors are over a finer grid."""
    found = kj.explain.width_error(lambda x: np.sin(5 * x), widths=[8, 1], starts=1, epochs=120)
    assert [r.width for r in found.rows] == [1, 8] and found.rows[1].best < 0.2 * found.rows[0].best
    for row in found.rows:
        assert row.best == pytest.approx(np.sqrt(np.mean((row.curve - np.sin(5 * found.line)) ** 2)))
    assert found._bytes("png")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: kj.explain.rates(rates=(0.1, -1)), DataError, "above 0"),
        (lambda: kj.explain.rates(3), GraphError, "got int"),
        (lambda: kj.explain.rates(small()), DataError, "needs x and y"),
        (lambda: kj.explain.rates(small(), X, Y, optimizer=kj.optim.LBFGS()), DataError, "no learning rate"),
        (lambda: kj.explain.rates(lambda w: 2.0), GraphError, "does not depend"),
        (lambda: kj.explain.fits(X, Y), ShapeError, r"x has shape \(4, 2\)"),
        (lambda: kj.explain.fits(Y, Y[:2]), DataError, "4 rows"),
        (lambda: kj.explain.fits(Y, Y, {}), DataError, "no model"),
        (lambda: kj.explain.fits(Y, Y, [0]), DataError, "numbers of units"),
        (lambda: kj.explain.fits(Y, Y, {"m": lambda v: v[:2]}), ShapeError, "4 rows"),
        (lambda: kj.explain.width_error(widths=(0,)), DataError, "above 0"),
        (lambda: kj.explain.width_error(span=(1, 0)), DataError, "small to large"),
        (lambda: kj.explain.width_error(lambda x: 1.0), DataError, "one finite number"),
        (lambda: kj.explain.Trail(0), DataError, "at least 1"),
    ],
)  # fmt: skip
def test_triptychs_refuse_what_does_not_fit(call, error, said):
    """Bad input raises an error that names what came."""
    with pytest.raises(error, match=said):
        call()


def test_every_axis_has_numbers_to_read():
    """Sizes within one power of ten still stand on an axis with two, and no two marks of the loss read the same."""
    from matplotlib.figure import Figure

    net = kj.Sequential([kj.nn.Dense(2, "sigmoid"), kj.nn.Dense(1)]).build((None, 2), seed=0)
    x = np.random.default_rng(0).normal(size=(8, 2))
    figure = Figure(layout="constrained")
    kj.explain.gradient_sizes(net, x, x[:, :1], "mse").paint(figure)
    figure.draw_without_rendering()
    for ax in figure.axes:
        low, high = ax.get_ylim()
        assert sum(low <= t <= high for t in ax.get_yticks()) >= 2
    figure = Figure(layout="constrained")
    kj.explain.loss_surface(net, x, x[:, :1], "mse", span=1e-4, points=9).paint(figure)
    figure.draw_without_rendering()
    marks = [t.get_text() for t in figure.axes[-1].get_yticklabels()]
    assert len(marks) == len(set(marks)) >= 1
