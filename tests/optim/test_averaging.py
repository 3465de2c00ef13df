"""Averages of the weights equal PyTorch's and pandas' over the same steps."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import kedja as kj
from kedja.errors import DataError, GraphError
from kedja.optim import SGD, Adam, averaged
from oracles.optimisers import by_ours_together, by_torch_together

RNG = np.random.default_rng(12)
STARTS = {"kernel": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=2)}
GRADIENTS = [[RNG.normal(size=s.shape) for s in STARTS.values()] for _ in range(60)]


def theirs(begin: int = 1, **how) -> list[list[np.ndarray]]:
    """PyTorch's averages after each step from `begin` on, of Adam's weights."""
    kept: list[AveragedModel] = []
    found = []
    seen = 0

    def look(module: torch.nn.Module) -> None:
        nonlocal seen
        seen += 1
        if seen < begin:
            return
        if not kept:
            kept.append(AveragedModel(module, **how))
        kept[0].update_parameters(module)
        found.append([p.detach().numpy().copy() for p in kept[0].module.parts])

    by_torch_together("Adam", list(STARTS.values()), GRADIENTS, after=look, lr=0.05)
    return found


def ours(rule, **how) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    """Weights and averages after each step."""
    averages: list[dict[str, np.ndarray]] = []
    return by_ours_together(rule, STARTS, GRADIENTS, averages=averages, **how), averages


@pytest.mark.parametrize("begin", [1, 20])
def test_the_plain_mean_is_torchs_swa(begin):
    """From step `average_from` on, the mean of the weights of all steps."""
    _, averages = ours(Adam(0.05, average="mean", average_from=begin))
    for a, b in zip(averages[begin - 1 :], theirs(begin), strict=True):
        for x, y in zip(a.values(), b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def test_the_moving_average_is_torchs_but_for_its_start():
    """PyTorch's begins as a copy of θ₁, which keeps the weight βᵏ: after a long time they agree; till then
    theirs = (1 − βᵏ) · ours + βᵏ θ₁.
    """
    beta = 0.9
    weights, averages = ours(Adam(0.05, average=beta))
    for k, (a, b) in enumerate(zip(averages, theirs(multi_avg_fn=get_ema_multi_avg_fn(beta)), strict=True), 1):
        for path, y in zip(a, b, strict=True):
            np.testing.assert_allclose((1 - beta**k) * a[path] + beta**k * weights[0][path], y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("begin", [1, 7])
@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_the_moving_average_is_pandas(engine, begin):
    """pandas' ewm(adjust=True) weighs step i by βᵏ⁻ⁱ and divides by the sum of these weights; before it begins, the
    average is the weights themselves.
    """
    weights, averages = ours(SGD(0.05, average=0.8, average_from=begin), engine=engine)
    table = pd.DataFrame([w["kernel"].ravel() for w in weights])
    expected = pd.concat([table[: begin - 1], table[begin - 1 :].ewm(alpha=1 - 0.8, adjust=True).mean()])
    np.testing.assert_allclose([a["kernel"].ravel() for a in averages], expected, rtol=1e-9, atol=1e-12)


def test_averaging_changes_no_step():
    """The weights that train are bit for bit those without it."""
    plain = by_ours_together(Adam(0.05), STARTS, GRADIENTS)[-1]
    for how in (0.99, "mean"):
        found, _ = ours(Adam(0.05, average=how))
        assert all((found[-1][path] == plain[path]).all() for path in plain)


def test_averages_stand_in_for_the_noise():
    """On a parabola with noisy gradients the mean of the weights is far nearer to the minimum than the last ones."""
    w = kj.Parameter(np.full(50, 3.0), name="w", dtype="float64")
    rule = SGD(0.2, average="mean", average_from=100)
    memory = rule.make_slots({"w": w})

    @kj.compile
    def step(noise):
        rule.update({"w": w}, [w + noise], memory)

    rng = np.random.default_rng(0)
    with kj.default_dtype("float64"):
        for _ in range(1000):
            step(rng.normal(size=50))
    assert np.linalg.norm(averaged(memory, {"w": w})["w"]) < 0.25 * np.linalg.norm(w.numpy())


def test_before_the_first_step_and_after_forgetting():
    """Without a step the average is the weights; slots set to zero with the counter begin anew."""
    w = kj.Parameter([2.0], name="w")
    rule = SGD(0.5, average=0.9)
    memory = rule.make_slots({"w": w})
    assert averaged(memory, {"w": w})["w"].tolist() == [2.0]

    @kj.compile
    def step():
        rule.update({"w": w}, [kj.tensor([1.0])], memory)

    step()
    assert averaged(memory, {"w": w})["w"].tolist() == [1.5]
    for variable in memory.values():
        variable.store(np.zeros(variable.shape, variable.dtype))
    step()
    assert averaged(memory, {"w": w})["w"].tolist() == [1.0]


def test_an_optimiser_without_an_average():
    """Asking it for one says how to make it keep one."""
    w = kj.Parameter([2.0], name="w")
    with pytest.raises(GraphError, match="average=0.999"):
        averaged(SGD(0.5).make_slots({"w": w}), {"w": w})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(average=1.0), 'above 0 and below 1 (0.999), or "mean"'),
        (lambda: SGD(average=0), 'above 0 and below 1 (0.999), or "mean"'),
        (lambda: SGD(average=True), 'or "mean" for the plain mean of the weights; got True'),
        (lambda: SGD(average="median"), "got 'median'"),
        (lambda: SGD(average="mean", average_from=0), "average_from is the number of a step"),
        (lambda: SGD(average="mean", average_from=1.5), "a whole number of at least 1; got 1.5"),
    ],
)
def test_impossible_averages(make, message):
    """Each is refused with what was expected."""
    with pytest.raises(DataError) as error:
        make()
    assert message in str(error.value)


def test_a_copy_is_its_own():
    """Setting a number of a copy leaves the original."""
    rule = Adam(0.1, average=0.9, layer_rates={"a": 0.5})
    other = copy.deepcopy(rule)
    other.average, other.layer_rates = 0.5, {"a": 0.1}
    assert rule.scalar_values()[-3:] == [0.5, 0.9, 1.0] and other.scalar_values()[-3:] == [0.1, 0.5, 1.0]
