"""The parts of the last workloads that can be judged without timing: their arithmetic and what they report."""

import subprocess

import numpy as np
import pytest

from bench import growth, memory, w10_lstm, w11_graph, w12_start
from bench.results import Settings


def test_lstm_loss_is_that_of_the_library():
    """The judge's float64 LSTM and kedja's layers give the same loss for the shared start."""
    import kedja as kj

    net = kj.Sequential([kj.nn.LSTM(w10_lstm.UNITS), kj.nn.Dense(w10_lstm.CLASSES)])
    x, y = (part[: w10_lstm.JUDGED] for part in w10_lstm.sequences())
    net.build((None, w10_lstm.STEPS, w10_lstm.FEATURES))
    net.set_weights(w10_lstm.start())
    found = net.evaluate(x, y, loss="cross_entropy")["loss"]
    assert found == pytest.approx(w10_lstm.loss([np.asarray(w, np.float64) for w in w10_lstm.start()]), rel=1e-5)


def test_plain_numbers_agree_with_perturbation():
    """The derivatives of the graph's class of floats, in float64, by moving each leaf a little."""
    leaves = [float(value) for value in w11_graph.LEAVES]

    def value(at):
        return float(w11_graph.expression(at, np.tanh, 400))

    numbers = [w11_graph.Number(leaf) for leaf in leaves]
    w11_graph.expression(numbers, w11_graph.Number.tanh, 400).backward()
    for k, number in enumerate(numbers):
        up, down = ([leaf + sign * 1e-6 * (i == k) for i, leaf in enumerate(leaves)] for sign in (1, -1))
        assert number.bar == pytest.approx((value(up) - value(down)) / 2e-6, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("kind", [w11_graph.Kedja, w11_graph.PlainPython])
def test_graph_contestants_agree(kind):
    """Every way of differentiating gives the derivatives that kj.compile gives."""
    expected = w11_graph.KedjaCompiled(Settings(), 80)
    found = kind(Settings(), 80)
    assert (found.train(2), expected.train(1)) == (2, 1)
    assert found.weights()[0] == pytest.approx(expected.weights()[0], rel=1e-4)


def test_the_graph_has_as_many_nodes_as_it_says():
    """Counted as operations on numbers."""
    made = []

    class Counted(w11_graph.Number):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    class Counting(Counted):
        __add__ = lambda a, b: Counting(a.value + b.value)  # noqa: E731
        __sub__ = lambda a, b: Counting(a.value - b.value)  # noqa: E731
        __mul__ = lambda a, b: Counting(a.value * b.value)  # noqa: E731

    leaves = [Counting(float(value)) for value in w11_graph.LEAVES]
    made.clear()
    w11_graph.expression(leaves, lambda x: Counting(np.tanh(x.value)), 10_000)
    assert len(made) == 10_000


def fake_process(seconds, failing=()):
    """Processes that take known times, or fail with known words."""

    def process(what, name, settings, cache):
        if name in failing:
            raise subprocess.CalledProcessError(1, name, stderr=failing[name])
        caches.append((name, cache.name))
        return seconds[name]

    caches = []
    process.caches = caches
    return process


def test_start_is_judged_by_limits_and_by_a_ratio(monkeypatch):
    """Ours by seconds, PyTorch by the ratio to our slower start."""
    times = {"kedja": 1.4, "kedja_warm": 1.0, "torch_eager": 1.3, "jax_loop": 2.8}
    monkeypatch.setattr(w12_start, "_process", fake_process(times))
    rows = {row.contestant: row for row in w12_start.BENCHMARKS[0].measure(Settings(repeats=2), lambda text: None).rows}
    assert [rows[name].verdict for name in times] == ["pass", "fail", "fail", ""]
    assert rows["jax_loop"].ratio.median == pytest.approx(2.0)
    assert (rows["kedja"].goal, rows["torch_eager"].goal) == ("≤ 1.5 s", "≥ 1×")


def test_every_first_start_has_an_empty_cache(monkeypatch):
    """A folder of its own each round; the warm one keeps its folder."""
    fake = fake_process({"kedja": 1.0, "kedja_warm": 0.5})
    monkeypatch.setattr(w12_start, "_process", fake)
    w12_start.BENCHMARKS[0].measure(Settings(repeats=2, contestants=("kedja", "kedja_warm")), lambda text: None)
    cold, warm = ([folder for name, folder in fake.caches if name == who] for who in ("kedja", "kedja_warm"))
    assert len(cold) == len(set(cold)) == 3
    assert len(warm) == 3
    assert len(set(warm)) == 1


def test_a_start_that_fails_is_reported(monkeypatch):
    """Ours failing is a missed goal; a package that is missing is none."""
    failing = {"kedja": "Traceback\nValueError: broken", "torch_eager": "ModuleNotFoundError: No module named 'torch'"}
    monkeypatch.setattr(w12_start, "_process", fake_process({"kedja_warm": 0.5, "jax_loop": 1.0}, failing))
    rows = {row.contestant: row for row in w12_start.BENCHMARKS[0].measure(Settings(repeats=1), lambda text: None).rows}
    assert (rows["kedja"].status, rows["kedja"].verdict) == ("failed", "fail")
    assert "broken" in rows["kedja"].note
    assert (rows["torch_eager"].status, rows["torch_eager"].verdict) == ("not installed", "")
    assert rows["jax_loop"].ratio is None


def test_exponent_of_a_power_is_its_exponent():
    """Noise of a few per cent moves it by less than it matters."""
    sizes = np.array([1000, 2000, 4000, 8000, 16000])
    noise = np.array([1.02, 0.98, 1.01, 0.99, 1.0])
    assert growth.exponent(sizes, 3e-6 * sizes**1.5 * noise) == pytest.approx(1.5, abs=0.03)


def test_growth_rows_show_points_and_judge_the_nodes(monkeypatch):
    """A graph whose time grows faster than its nodes fails; the curves are only shown."""
    curves = {curve.name: [[n, 1e-3 * n, 0.5] for n in curve.sizes] for curve in growth.CURVES}
    quadratic = [[n, 1e-9 * n**2] for n in growth.NODES]
    found = {"curves": curves, "nodes": quadratic, "compile": {"W1.sgd": [0.1, 0.2]}}
    monkeypatch.setattr(growth, "_child", lambda settings: found)
    rows = {row.contestant: row for row in growth.Growth().measure(Settings(), lambda text: None).rows}
    assert (rows["W11 by nodes"].time.median, rows["W11 by nodes"].verdict) == (pytest.approx(2.0), "fail")
    assert (rows["step by width"].time.median, rows["step by width"].verdict) == (pytest.approx(1.0), "")
    assert "128: 0.128, " in rows["step by width"].note
    assert rows["compile W1.sgd"].time.median == pytest.approx(0.3)


def test_growth_that_fails_is_no_success(monkeypatch):
    """The child's last words stand in the row."""

    def fail(settings):
        raise subprocess.CalledProcessError(1, "x", stderr="MemoryError")

    monkeypatch.setattr(growth, "_child", fail)
    found = growth.Growth().measure(Settings(), lambda text: None)
    assert (found.passed, found.rows[0].note) == (False, "MemoryError")


def test_memory_is_compared_with_ours(monkeypatch):
    """PyTorch's peak as a multiple of ours, for each workload by itself."""
    peaks = {("W3", "kedja"): 200.0, ("W3", "torch_eager"): 300.0, ("W6", "kedja"): 250.0, ("W6", "torch_last"): 250.0}
    monkeypatch.setattr(memory, "_peak", lambda name, contestant, settings: peaks[name, contestant])
    rows = {row.contestant: row for row in memory.PeakMemory().measure(Settings(), lambda text: None).rows}
    assert rows["W3 torch_eager"].ratio.median == pytest.approx(1.5)
    assert rows["W6 torch_last"].ratio.median == pytest.approx(1.0)
    assert rows["W3 kedja"].ratio is None
