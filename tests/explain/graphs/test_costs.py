"""Operations counted: both modes, perturbation against back-propagation (scope 1.5, 1.8)."""

import json

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import kedja as kj
from kedja.errors import DataError, DTypeError, GraphError
from kedja.explain.graphs.operations import operations, work_of


@pytest.mark.parametrize(
    ("ours", "theirs", "shapes"),
    [
        (lambda a, b: a @ b, torch.matmul, [(5, 7), (7, 3)]),
        (lambda a, b: a @ b, torch.matmul, [(2, 5, 7), (2, 7, 3)]),
        (kj.conv, lambda x, k: torch.conv2d(x.movedim(-1, 1), k.permute(3, 2, 0, 1)), [(2, 9, 8, 3), (3, 2, 3, 4)]),
        (
            lambda x, k: kj.conv(x, k, stride=2),
            lambda x, k: torch.conv1d(x.movedim(-1, 1), k.permute(2, 1, 0), stride=2),
            [(2, 11, 3), (4, 3, 6)],
        ),
    ],
)
def test_multiply_adds_against_pytorch(ours, theirs, shapes):
    """PyTorch's counter has two operations for each multiply-add."""
    node = ours(*(kj.placeholder(s) for s in shapes))
    with FlopCounterMode(display=False) as counter:
        theirs(*(torch.zeros(s) for s in shapes))
    assert 2 * work_of([node]).operations == counter.get_total_flops()


def test_gradients_of_a_convolution_against_pytorch():
    """The gradients by input and kernel are as much work as PyTorch's."""
    x, k = kj.placeholder((2, 9, 8, 3)), kj.placeholder((3, 2, 3, 4))
    y = kj.conv(x, k)
    seed = kj.placeholder(y.shape)
    back = [n for g in kj.vjp(y, [x, k], seed=seed) for n in _above(g, y) if not n.is_leaf and n.op.kind == "bilinear"]
    tx, tk = torch.zeros(2, 3, 9, 8, requires_grad=True), torch.zeros(4, 3, 3, 2, requires_grad=True)
    out = torch.conv2d(tx, tk)
    with FlopCounterMode(display=False) as counter:
        out.backward(torch.ones_like(out))
    # PyTorch counts the transposed convolution by its input, as we do, and the kernel's gradient alike.
    assert 2 * sum(operations(n) for n in back) == counter.get_total_flops()


def _above(g, y):
    from kedja.graph.node import ancestors

    known = set(ancestors([y]))
    return [n for n in ancestors([g]) if n not in known]


def test_loops_count_every_turn():
    """Ten turns of a product of a row and a matrix, and an addition each."""
    w = kj.placeholder((4, 4))
    end, _ = kj.scan(lambda c, _: (c @ w + c, None), kj.placeholder((1, 4)), length=10)
    assert work_of([end]).operations >= 10 * (16 + 4)


@pytest.mark.parametrize(("n", "m"), [(6, 1), (1, 6), (3, 3)])
def test_both_modes_give_pytorchs_jacobian(n, m):
    """n passes forward, m in reverse: the same numbers, and those of PyTorch."""
    rng = np.random.default_rng(0)
    a, x = rng.normal(size=(n, m)), rng.normal(size=(1, n))
    found = kj.explain.modes(lambda t: kj.tanh(t @ kj.tensor(a, dtype="float64")), kj.tensor(x, dtype="float64"))
    theirs = torch.autograd.functional.jacobian(lambda t: torch.tanh(t @ torch.tensor(a)), torch.tensor(x))
    assert found.jacobian == pytest.approx(theirs.numpy().reshape(m, n), rel=1e-12)
    assert found.difference < 1e-14 and (found.inputs, found.outputs) == (n, m)
    less = found.forward_total.operations < found.reverse_total.operations
    assert less == (n < m) or n == m


def test_passes_of_a_loss():
    """A loss of 30 numbers needs 30 passes forward and one in reverse, several arguments together."""

    def loss(w, b):
        return kj.square(kj.tensor(np.ones((4, 5), np.float32)) @ w + b).sum()

    found = kj.explain.modes(loss, np.ones((5, 5), np.float32), np.zeros(5, np.float32))
    assert found.inputs == 30 and found.outputs == 1 and found.jacobian.shape == (1, 30)
    assert "30 inputs, 1 output" in str(found) and "reverse mode needs" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["forward"]["passes"] == 30
    assert "| 30 |" in found.markdown() and "<td" in found._repr_html_() and "reverse" in found.tex()


def test_many_passes_are_counted_only():
    """A thousand passes are not run."""
    x = kj.tensor(np.ones(1000, np.float32))
    found = kj.explain.modes((x * x).sum(), x)
    assert found.jacobian is None and "counted, not run" in str(found)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (lambda: kj.explain.modes(kj.tensor(1.0)), GraphError),
        (lambda: kj.explain.modes(kj.tensor(1.0), 2.0), GraphError),
        (lambda: kj.explain.modes(lambda x: 3.0, 2.0), GraphError),
        (lambda: kj.explain.modes(lambda x: x, kj.tensor(1, dtype="int32")), DTypeError),
        (lambda: kj.explain.modes(lambda x: x, np.zeros((0,), np.float32)), DataError),
    ],
)
def test_bad_modes(given, error):
    """Each mistake has its class."""
    with pytest.raises(error, match="modes"):
        given()


def test_cost_of_the_numeric_gradient():
    """2-3-1 on four rows by hand: 4·2·3 + 12 + 12 forward to the hidden layer, then 4·3 + 4, error, square, means."""
    net = kj.Sequential([kj.nn.Dense(3, "tanh"), kj.nn.Dense(1)]).build((None, 2), seed=0)
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    cost = kj.explain.gradient_cost(net, x, np.ones((4, 1), np.float32), "mse", sample=13)
    assert cost.parameters == cost.sampled == 13 and cost.passes == 26
    assert 24 + 12 + 12 + 12 + 4 + 4 + 4 <= cost.forward.operations <= 24 + 12 + 12 + 12 + 4 + 4 + 4 + 16
    assert cost.numeric_operations == 26 * cost.forward.operations
    assert cost.worst < 5e-3  # float32
    assert cost.numeric_seconds > cost.backprop_seconds > 0
    assert "26" in str(cost) and "all 13 parameters were moved" in cost.markdown()
    assert json.loads(json.dumps(cost.to_dict()))["forward_passes"] == 26
    assert "perturbation" in cost.tex() and "<td" in cost._repr_html_()


def test_back_propagation_costs_a_few_forward_passes():
    """The cheap gradient principle: less than five times the function (Baur and Strassen 1983)."""
    net = kj.Sequential([kj.nn.Dense(20, "sigmoid"), kj.nn.Dense(10, "sigmoid"), kj.nn.Dense(5)])
    x, y = np.zeros((8, 30), np.float32), np.arange(8) % 5
    weights = net.build((None, 30), seed=1).get_weights()
    cost = kj.explain.gradient_cost(net, x, y, "cross_entropy", sample=5)
    assert 1 < cost.backprop_operations / cost.forward.operations < 5
    assert cost.sampled == 5 and "worked out from the parameters that were moved" in str(cost)
    assert all((a == b).all() for a, b in zip(weights, net.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("model", "sample", "error"), [(3, 5, GraphError), ("net", 0, DataError), ("frozen", 5, GraphError)]
)
def test_bad_cost(model, sample, error):
    """No model, no sample, nothing to train."""
    net = kj.Sequential([kj.nn.Dense(1)]).build((None, 2))
    if model == "frozen":
        net.layers[0].trainable = False
    with pytest.raises(error, match="gradient_cost"):
        kj.explain.gradient_cost(3 if model == 3 else net, np.ones((1, 2)), np.ones((1, 1)), sample=sample)
