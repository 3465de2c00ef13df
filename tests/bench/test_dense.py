"""The dense networks of the benchmarks: their judge is PyTorch's loss, and all contestants compute the same."""

import importlib
import json
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from bench import bandwidth, ceiling, threads, w5_wide
from bench.dense import DenseNet
from bench.dense_contestants import contestants
from bench.results import Row, Settings
from bench.spread import Spread

ROWS = 12


def classes():
    """A few rows of four numbers in three classes."""
    draw = np.random.default_rng(1)
    return draw.standard_normal((ROWS, 4), np.float32), draw.integers(0, 3, ROWS)


def halves():
    """A few rows of two numbers in two classes."""
    draw = np.random.default_rng(2)
    return draw.standard_normal((ROWS, 2), np.float32), draw.integers(0, 2, (ROWS, 1)).astype(np.float32)


TINY = DenseNet((4, 6, 5, 3), "relu", "adam", 0.01, classes, batch=4, check_steps=5)
NETS = {
    "adam": TINY,
    "sgd": replace(TINY, activation="sigmoid", rule="sgd", rate=0.5),
    "momentum": DenseNet((2, 5, 5, 1), "tanh", "momentum", 0.1, halves, batch=4, check_steps=5),
}
PEERS = ("torch_eager", "torch_fused", "jax_loop", "sklearn", "flax_nnx", "keras_torch")


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("net", [NETS["adam"], NETS["momentum"]], ids=["classes", "binary"])
def test_the_judge_is_pytorchs_loss(net, activation):
    """Cross-entropy of classes and of one logit, computed by PyTorch in float64 from the same weights."""
    torch = pytest.importorskip("torch")
    net = replace(net, activation=activation)
    weights = [torch.tensor(w, dtype=torch.float64) + 0.1 for w in net.start()]
    x, y = net.data()
    h = torch.tensor(x, dtype=torch.float64)
    for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        h = getattr(torch, activation)(h @ w + b)
    logits = h @ weights[-2] + weights[-1]
    functional = torch.nn.functional
    error = functional.binary_cross_entropy_with_logits if net.binary else functional.cross_entropy
    expected = error(logits, torch.tensor(y).double() if net.binary else torch.tensor(y))
    assert net.loss([w.numpy() for w in weights]) == pytest.approx(float(expected), rel=1e-12)


@cache
def our_loss(rule):
    """What kedja comes to."""
    net = NETS[rule]
    return net.check(contestants(net, shown=(), optional=())["kedja"].build(Settings()))


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("rule", ["adam", *(pytest.param(r, marks=pytest.mark.long) for r in NETS if r != "adam")])
def test_contestants_train_to_the_same_loss(rule, name):
    """A few steps over the same batches give ours, which is not the loss of the start; so does a second time."""
    net = NETS[rule]
    known = contestants(net, shown=PEERS, optional=())
    for package in known[name].requires:
        pytest.importorskip(package)
    if name == "keras_torch" and importlib.import_module("keras").backend.backend() != "torch":
        pytest.skip("Keras computes with something else in this process")
    peer, expected = known[name].build(Settings()), our_loss(rule)
    assert expected != pytest.approx(net.loss([w.astype(np.float64) for w in net.start()]), rel=1e-3)
    assert net.check(peer) == pytest.approx(expected, rel=1e-3)
    assert peer.train(2) == 2 * ROWS // net.batch
    assert net.check(peer) == pytest.approx(expected, rel=1e-3)


def test_optional_contestants_are_marked():
    """Those always shown come first, after ours; shares stay with their names."""
    known = contestants(TINY, shown=("sklearn",), optional=("jax_loop",), shares={"sklearn": 0.5})
    assert [(name, one.optional, one.share) for name, one in known.items()] == [
        ("kedja", False, 1.0), ("sklearn", False, 0.5), ("jax_loop", True, 1.0),
    ]  # fmt: skip


def test_flops_are_counted_from_the_shapes():
    """Two products of 4·6 + 6·5 + 5·3 = 69 weights for each of 4 rows, thrice; 24 need no gradient by the input."""
    assert TINY.flops == 4 * 69 * 2 * 3
    assert TINY.flops_needed == TINY.flops - 4 * 24 * 2


def test_share_of_the_ceiling():
    """Steps at half of the best rate are 50 %; the slowest step is the smallest share."""
    held = replace(w5_wide.BENCHMARKS[0], amount=8e9, share=0.5)
    step = 8e9 / 400e9 * 1e6
    row = Row("share", unit="%")
    held.hold(row, Spread.of([2 * step, 2 * step, 4 * step]), 400e9)
    assert (row.time.median, row.time.minimum, row.time.maximum) == pytest.approx((50, 25, 50))
    assert row.verdict == "pass"
    held.hold(row, Spread.of([2.1 * step]), 400e9)
    assert row.verdict == "fail"


def test_traffic_of_a_step():
    """4096² weights and 4096 biases of four bytes: thrice for SGD, seven times for Adam; without a goal no verdict."""
    sgd, adam = bandwidth.BENCHMARKS
    assert (sgd.amount, adam.amount) == (4 * 3 * (4096**2 + 4096), 4 * 7 * (4096**2 + 4096))
    row = Row("share", unit="%")
    sgd.hold(row, Spread.of([2 * sgd.amount / 50e9 * 1e6]), 50e9)
    assert row.time.median == pytest.approx(50) and row.verdict == ""


def test_every_library_says_its_rates(monkeypatch, capsys):
    """A rate above 0 for each shape and for the copy."""
    monkeypatch.setattr(ceiling, "SHAPES", ((8, 8, 8), (4, 16, 8)))
    monkeypatch.setattr(ceiling, "COPIED", 4096)
    monkeypatch.setattr(ceiling, "SECONDS", 1e-4)
    monkeypatch.setattr(ceiling, "restrict_cores", lambda threads: None)
    for name in ("xla", "numpy"):
        ceiling.main(name, Settings(quick=True))
        rates = json.loads(capsys.readouterr().out)
        assert set(rates) == {"8×8×8", "4×16×8", "copy"}
        assert all(len(found) == 3 and min(found) > 0 for found in rates.values())
        ceiling.main(name, Settings(quick=True), "copy")
        assert set(json.loads(capsys.readouterr().out)) == {"copy"}


def test_the_ceiling_is_the_best_product(monkeypatch):
    """In flops per second, over all shapes and rounds; a copy is measured alone, in bytes per second."""
    rates = {"matmul": {"a": [1.0, 3.0], "b": [2.0]}, "copy": {"copy": [9.0]}}
    monkeypatch.setattr(ceiling, "measured", lambda name, settings, what: rates[what])
    assert ceiling.matmul_rate(Settings()) == 3e9
    assert ceiling.copy_rate(Settings()) == 9e9


@pytest.mark.parametrize(
    ("epoch", "calls"), [({1: 0.001, 2: 0.002}, 2 * [1, 1, 1, 1, 2, 4, 2]), ({1: 0.9, 2: 0.7}, 2 * [1, 1, 1, 1])]
)
def test_the_faster_number_of_threads_is_kept(epoch, calls, monkeypatch):
    """Two epochs to warm up and ten in a trial, by calls twice as long each; at most until a second is over."""
    clock, made, chosen = [0.0], [], []
    torch = SimpleNamespace(set_num_threads=chosen.append)
    monkeypatch.setattr(threads, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def train(epochs):
        made.append(epochs)
        clock[0] += epochs * epoch[chosen[-1]]

    threads.tune_threads(torch, 2, train, warm=2, timed=10)
    assert chosen == [1, 2, min(epoch, key=epoch.get)]
    assert made == calls
