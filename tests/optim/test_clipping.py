"""Clipping shortens gradients as PyTorch and Keras do, and never hides a number that is not finite."""

import os

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, DivergedError
from kedja.optim import SGD, Adam, Momentum, global_norm
from oracles.optimisers import by_ours_together, by_torch_together

RNG = np.random.default_rng(11)
STARTS = {"kernel": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=2)}
GRADIENTS = [[RNG.normal(size=s.shape) * 10.0 ** RNG.integers(-2, 2) for s in STARTS.values()] for _ in range(50)]
TORCH = torch.nn.utils
WAYS = {
    "clip_value": lambda ps: TORCH.clip_grad_value_(ps, 0.5),
    "clip_norm": lambda ps: TORCH.clip_grad_norm_(ps, 0.5),
    "clip_each_norm": lambda ps: [TORCH.clip_grad_norm_([p], 0.5) for p in ps],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("make", "name", "options"),
    [(SGD, "SGD", {}), (Momentum, "SGD", {"momentum": 0.9}), (Adam, "Adam", {})],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_steps_of_torch(way, make, name, options):
    """PyTorch divides by ‖g‖ + 1e-6, which is the whole difference."""
    ours = by_ours_together(make(0.05, **{way: 0.5}), STARTS, GRADIENTS)
    theirs = by_torch_together(name, list(STARTS.values()), GRADIENTS, before=WAYS[way], lr=0.05, **options)
    for a, b in zip(ours, theirs, strict=True):
        for x, y in zip(a.values(), b, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-9 if way == "clip_value" else 1e-5)


@pytest.mark.parametrize(("way", "theirs"), [("clip_norm", "global_clipnorm"), ("clip_each_norm", "clipnorm")])
def test_lengths_of_keras(way, theirs):
    """Keras divides by ‖g‖ alone, as we do: equal to rounding in float32, in which it computes."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    rule = keras.optimizers.SGD(0.05, **{theirs: 0.5})
    variables = [keras.Variable(s, dtype="float64") for s in STARTS.values()]
    rule.build(variables)
    for row in GRADIENTS:
        rule.apply([keras.ops.convert_to_tensor(g, dtype="float64") for g in row], variables)
    ours = by_ours_together(SGD(0.05, **{way: 0.5}), STARTS, GRADIENTS)[-1]
    for v, x in zip(variables, ours.values(), strict=True):
        np.testing.assert_allclose(x, keras.ops.convert_to_numpy(v.value), rtol=1e-6, atol=1e-6)


def test_length_of_gradients():
    """Equal to NumPy's, and finite for numbers whose squares are not."""
    parts = [g for row in GRADIENTS[:3] for g in row]
    with kj.default_dtype("float64"):
        found = global_norm([kj.tensor(g) for g in parts]).item()
    assert found == pytest.approx(np.linalg.norm(np.concatenate([g.ravel() for g in parts])), rel=1e-14)
    assert global_norm([kj.tensor([3e30]), kj.tensor([4e30])]).item() == pytest.approx(5e30)
    assert global_norm([kj.tensor([3e-30]), kj.tensor([4e-30])]).item() == pytest.approx(5e-30)
    assert global_norm([kj.tensor([0.0, 0.0])]).item() == 0


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("way", ["clip_norm", "clip_each_norm"])
def test_what_is_not_finite_stays_so(way, bad, engine):
    """A length that is not finite makes every weight it concerns NaN; nothing is quietly scaled to 0."""
    gradients = [[np.array([[bad, 1.0]]), np.array([1.0])]]
    found = by_ours_together(
        SGD(0.1, **{way: 1.0}), {"kernel": np.zeros((1, 2)), "bias": np.zeros(1)}, gradients, engine=engine
    )[-1]
    assert np.isnan(found["kernel"]).all()
    assert np.isnan(found["bias"]).all() == (way == "clip_norm")


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_clipping_entries_leaves_nan(engine):
    """NaN stays NaN; an infinite entry is one that is too large, and becomes ±c."""
    found = by_ours_together(
        SGD(1.0, clip_value=2.0), {"w": np.zeros(4)}, [[np.array([np.nan, np.inf, -np.inf, 0.5])]], engine=engine
    )
    np.testing.assert_array_equal(found[-1]["w"], [np.nan, -2.0, 2.0, -0.5])


def test_a_short_gradient_is_left_as_it_is():
    """Below the bound the steps are bit for bit those without clipping."""
    plain = by_ours_together(Adam(0.05), STARTS, GRADIENTS)[-1]
    for way in WAYS:
        found = by_ours_together(Adam(0.05, **{way: 1e9}), STARTS, GRADIENTS)[-1]
        assert all((found[path] == plain[path]).all() for path in plain)


def test_changing_the_bound_compiles_nothing():
    """The bound is a run-time number; `by_ours_together` asserts that there is one program."""
    each = lambda t: {"clip_norm": 0.5 if t < 10 else 1e9}  # noqa: E731
    found = by_ours_together(SGD(0.05, clip_norm=1.0), STARTS, GRADIENTS, each=each)
    first = by_ours_together(SGD(0.05, clip_norm=0.5), STARTS, GRADIENTS[:9])
    rest = by_ours_together(SGD(0.05), first[-1], GRADIENTS[9:])
    np.testing.assert_allclose(found[-1]["kernel"], rest[-1]["kernel"], rtol=1e-12)


def test_clipping_is_a_step_with_a_name():
    """An explainer shows what became of the gradient before the rule."""
    w = kj.Parameter([3.0, 4.0], name="w")
    rule = Momentum(0.1, clip_norm=2.5)
    (_, first), *rest = rule.named_steps({"w": w}, [g := w * 2.0], rule.make_slots({"w": w}))
    assert first.label == "clip the length of all gradients" and first.target is g
    assert first.value.tolist() == [1.5, 2.0]
    assert [step.label for _, step in rest] == ["accumulate velocity", "move"]
    assert rest[-1][1].value.numpy() == pytest.approx([2.85, 3.8])


def test_clipping_saves_a_run_that_would_diverge():
    """On x⁴ from 10 plain descent at rate 0.1 overflows; with the gradient's length at most 1 it comes down."""
    x, y = np.zeros((4, 1), np.float32), np.zeros((4, 1), np.float32)

    class Steep(kj.Module):
        def build(self, x):
            self.w = self.parameter("w", (1,), kj.nn.initializers.Constant(10.0))

        def call(self, x):
            return x + self.w * self.w

    with pytest.raises(DivergedError):
        Steep().fit(x, y, loss="mse", optimizer=SGD(0.1), epochs=50, seed=0, verbose=0)
    history = Steep().fit(x, y, loss="mse", optimizer=SGD(0.1, clip_norm=1.0), epochs=200, seed=0, verbose=0)
    assert history["loss"][0] == pytest.approx(1e4) and history["loss"][-1] < 1e-2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(clip_norm=0), "clip_norm must be a number above 0, or None for no clipping; got 0"),
        (lambda: SGD(clip_value=-1.0), "clip_value must be a number above 0, or None for no clipping; got -1.0"),
        (lambda: SGD(clip_each_norm="1"), "clip_each_norm must be a number above 0, or None for no clipping; got '1'"),
        (lambda: SGD(clip_norm=float("inf")), "clip_norm must be a number above 0"),
        (lambda: SGD(clip_norm=1.0, clip_value=1.0), "clip_value and clip_norm are two ways of clipping: choose one"),
    ],
)
def test_impossible_bounds(make, message):
    """Each is refused by name, with what came."""
    with pytest.raises(DataError) as error:
        make()
    assert message in str(error.value)
