"""What is asked of every layer, whatever it computes: by `test_conformance.py`, of every case of `layer_cases.py`."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import GraphError, KedjaError
from kedja.nn.layers.config import plain, rebuilt
from nn.layer_cases import Case

KEY = 11
Array = np.ndarray


def built(case: Case, dtype: str = "float64", layer: Any = None) -> kj.nn.Layer:
    """The case's layer, with variables that are not what they started as: no bias is 0, no mean 0, no factor 1."""
    with kj.default_dtype(dtype):
        layer = case.make() if layer is None else layer
        layer(*case.inputs(dtype), seed=1)
    for path, variable in layer.state.items():
        rng = np.random.default_rng(zlib.crc32(path.encode()))
        if variable.kind == "trainable":
            variable.assign((variable.value + 0.3 * rng.normal(size=variable.shape)).astype(dtype))
        elif variable.kind == "statistic" and variable.dtype.kind == "f":
            variable.assign((variable.value + rng.uniform(0.1, 0.5, variable.shape)).astype(dtype))
    return layer


def parts(outputs: Any) -> list[Any]:
    """The outputs of a layer, of which some have several."""
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]


def nodes(arrays: list[Array]) -> list[Any]:
    """Arrays as tensors of the types they have."""
    return [kj.tensor(a, dtype=a.dtype) for a in arrays]


def run(layer: Any, xs: Any, case: Case, *, training: bool = False, key: int = KEY) -> list[Any]:
    """The outputs of a call, with a key where the layer draws."""
    xs = [kj.tensor(x, dtype=x.dtype) if isinstance(x, Array) else x for x in xs]
    how = {"key": kj.random.key(key)} if training and case.training == "random" else {}
    return parts(layer(*xs, training=training, **how))


def aim(outputs: list[Any], of: Any = lambda c: c) -> Any:
    """One number from all outputs, on which each of their entries has another influence."""
    total: Any = 0.0
    for i, y in enumerate(outputs):
        pull = np.random.default_rng(i).normal(size=tuple(y.shape))
        total = total + (y * of(pull)).sum() + 0.25 * (y * y).sum()
    return total


def gradients(layer: Any, xs: list[Any], case: Case, *, training: bool = False) -> list[Any]:
    """The gradient of `aim` by every parameter and by every input that has one."""
    outputs = run(layer, xs, case, training=training)
    total = aim(outputs, lambda c: kj.tensor(c, dtype=outputs[0].dtype))
    return list(kj.grad(total, [*layer.parameters, *floats(xs)]))


def floats(xs: Any) -> list[Any]:
    """The inputs that can be moved."""
    return [x for x in xs if not isinstance(x, Array) and np.dtype(str(x.dtype).split(".")[-1]).kind == "f"]


def close(ours: Any, theirs: Any, tolerance: float, what: str) -> float:
    """Assert agreement relative to the largest entry; returns the worst difference."""
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, expected {b.shape}"
    if not a.size:
        return 0.0
    worst = float(np.abs(a - b).max() / max(1.0, float(np.abs(b).max())))
    assert worst <= tolerance, f"{what}: off by {worst:.1e} of the largest entry"
    return worst


# --- the outside judge ----------------------------------------------------------------------------------------------
def equals_oracle(case: Case, *, training: bool = False) -> float:
    """The output, and where the judge can differentiate every gradient; returns the worst difference."""
    layer = built(case)
    arrays = case.inputs("float64", seed=1)
    w = {path: torch.tensor(v.value, requires_grad=v.kind == "trainable") for path, v in layer.state.items()}
    theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    oracle = case.trained if training else case.oracle
    assert oracle is not None
    answers = parts(oracle(w, *theirs))
    xs = nodes(arrays)
    ours = run(layer, xs, case, training=training)
    assert len(ours) == len(answers)
    worst = 0.0
    for y, t in zip(ours, answers):
        t = t.detach().numpy() if isinstance(t, torch.Tensor) else t
        worst = max(worst, close(y.numpy(), t, case.tolerance, "output"))
    if not all(isinstance(t, torch.Tensor) and t.requires_grad for t in answers):
        return worst
    total = aim(answers, torch.from_numpy)
    names = {p: v for p, v in w.items() if v.requires_grad} | {f"x{i}": x for i, x in enumerate(floats(theirs))}
    expected = torch.autograd.grad(total, list(names.values()), allow_unused=True)
    for name, g, e in zip(names, gradients(layer, xs, case, training=training), expected, strict=True):
        e = np.zeros(tuple(names[name].shape)) if e is None else e.numpy()
        worst = max(worst, close(g.numpy(), e, 10 * case.tolerance, f"gradient by {name}"))
    return worst


# --- derivatives ----------------------------------------------------------------------------------------------------
def every_parameter_learns(case: Case) -> None:
    """A gradient that is not 0 reaches every parameter, save those the case names as idle."""
    layer = built(case)
    xs = nodes(case.inputs("float64"))
    for training in (False, True) if case.training != "same" else (False,):
        found = gradients(layer, xs, case, training=training)
        for (path, v), g in zip(layer.state.of_kind("trainable").items(), found):
            assert g.shape == v.shape
            if path in case.idle and not training:
                assert np.abs(g.numpy()).max() <= 1e-12, f"{path} is called idle and has a gradient"
            elif path not in case.idle:
                assert np.abs(g.numpy()).max() > 1e-12, f"{path} gets no gradient"


def equals_perturbation(case: Case) -> None:
    """By rule and by moving one number at a time."""
    layer = built(case)
    arrays = case.inputs("float64", seed=2)
    xs = nodes(arrays)
    for training in (False, True) if case.training != "same" else (False,):
        y = aim(run(layer, xs, case, training=training), lambda c: kj.tensor(c, dtype="float64"))
        wrt = [*(v for v in layer.parameters), *floats(xs)]
        if wrt:
            check = kj.check_gradients(y, wrt=wrt)
            assert check, f"training={training}: {check}"


# --- shapes and types -----------------------------------------------------------------------------------------------
def keeps_its_dtype(case: Case) -> None:
    """Outputs, parameters and statistics have the type computed in; shapes are known before anything is computed."""
    found = {}
    for dtype in ("float64", "float32"):
        layer = built(case, dtype)
        if dtype == "float32":
            layer.set_weights(found["weights"])
        found["weights"] = layer.get_weights()
        for path, v in layer.state.items():
            assert v.dtype == dtype or v.dtype.kind != "f", f"{path} is {v.dtype}, the layer computes in {dtype}"
        ys = run(layer, case.inputs(dtype), case)
        for y in ys:
            assert y.dtype == dtype or y.dtype.kind != "f", f"the output is {y.dtype}, the layer computes in {dtype}"
            assert y.shape == y.numpy().shape, "the shape said before computing is not the one computed"
        found[dtype] = [y.numpy() for y in ys]
    for a, b in zip(found["float32"], found["float64"], strict=True):
        close(a, b, 2e-4, "float32 against float64")


def takes_any_number_of_rows(case: Case) -> None:
    """One row alone gives what it gives among others, no rows give no rows."""
    layer, arrays = built(case), case.inputs("float64")
    whole = run(layer, arrays, case)
    for rows in (1, 0):
        for y, among in zip(run(layer, [a[:rows] for a in arrays], case), whole, strict=True):
            assert y.shape == (rows, *among.shape[1:])
            close(y.numpy(), among.numpy()[:rows], 1e-11, f"{rows} rows")


def refuses_wrong_shapes(case: Case, cls: str) -> None:
    """The message begins with the class of the layer."""
    for wrong in case.wrong or []:
        shapes = wrong if isinstance(wrong, list) else [wrong, *case.sizes[1:]]
        layer, rng = case.make(), np.random.default_rng(0)
        draws = case.draws if isinstance(case.draws, list) else [case.draws] * len(shapes)
        try:
            xs = [np.asarray(d(rng, s)) for d, s in zip(draws, shapes)]
        except ValueError:  # masks are drawn in their shape only
            xs = [np.ones(s) for s in shapes]
        with pytest.raises(KedjaError) as error:
            layer(*xs)
        assert str(error.value).startswith(cls), f"{shapes}: {error.value}"


# --- how a call is meant --------------------------------------------------------------------------------------------
def training_and_inference(case: Case) -> None:
    """They differ as the case says, in outputs, in the need of a key, and in what is learned of the batch."""
    layer, xs = built(case), case.inputs("float64")
    before = layer.get_weights()
    plain_run = [y.numpy() for y in run(layer, xs, case)]
    same = all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))
    assert same, "inference changed a variable"
    trained = [y.numpy() for y in run(layer, xs, case, training=True)]
    equal = all(np.array_equal(a, b) for a, b in zip(plain_run, trained, strict=True))
    assert equal == (case.training == "same"), f"training output equals inference: {equal}"
    moved = not all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))
    assert moved == (case.training == "batch"), f"training changed variables: {moved}"
    if case.training == "random":
        again = [y.numpy() for y in run(layer, xs, case, training=True)]
        other = [y.numpy() for y in run(layer, xs, case, training=True, key=KEY + 1)]
        assert all(np.array_equal(a, b) for a, b in zip(trained, again)), "one key, two results"
        assert not all(np.array_equal(a, b) for a, b in zip(trained, other)), "two keys, one result"
        with pytest.raises(GraphError, match="key"):
            layer(*xs, training=True)


def ignores_what_is_masked(case: Case) -> None:
    """Numbers in masked steps of the first input change no output at a real step."""
    layer, xs = built(case), case.inputs("float64")
    mask = np.asarray(xs[case.mask or 0]).astype(bool)
    assert not mask.all() and mask.any(1).all()
    other = [x.copy() for x in xs]
    other[0][~mask] = other[0][~mask][::-1] * 3 + 1 if xs[0].dtype.kind == "f" else 0
    assert not np.array_equal(xs[0], other[0])
    for a, b in zip(run(layer, xs, case), run(layer, other, case), strict=True):
        a, b = a.numpy(), b.numpy()
        if a.shape[:2] == mask.shape:
            a, b = a[mask], b[mask]
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# --- files ----------------------------------------------------------------------------------------------------------
def round_trip(case: Case) -> None:
    """Through JSON and back, with the weights set, the same numbers."""
    layer = built(case)
    config = plain(layer)
    again = rebuilt(json.loads(json.dumps(config)))
    assert type(again) is type(layer) and plain(again) == config
    built(case, layer=again)
    assert list(again.state) == list(layer.state)
    again.set_weights(layer.get_weights())
    for a, b in zip(run(layer, case.inputs("float64"), case), run(again, case.inputs("float64"), case), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def saves_and_loads(case: Case, folder: Any) -> None:
    """In a model, through files: the same predictions. (Rows reach a model as numbers of its floating-point type.)"""
    layer = built(case, "float32")
    inputs = [kj.Input(shape[1:]) for shape in case.sizes]
    net = kj.Model(inputs, layer(*inputs)).build()
    xs = tuple(case.inputs("float32"))
    before, net = net.predict(xs), kj.load(net.save(folder))
    for a, b in zip(parts(before), parts(net.predict(xs)), strict=True):
        np.testing.assert_array_equal(a, b)


# --- engines --------------------------------------------------------------------------------------------------------
def engines_agree(case: Case, dtype: str) -> float:
    """Outputs, gradients and updated statistics of one training step, on both; returns the worst difference."""
    layer, arrays = built(case, dtype), case.inputs(dtype)
    training = case.training != "same"

    def step(*xs: Any) -> list[Any]:
        ys = run(layer, list(xs), case, training=training)
        total = aim(ys, lambda c: kj.tensor(c, dtype=ys[0].dtype))
        wrt: list[Any] = [*layer.parameters, *floats(xs)]
        return [*ys, *(kj.grad(total, wrt) if wrt else [])]

    start = layer.state.snapshot()
    found = []
    with kj.default_dtype(dtype):
        for engine in ("reference", "xla"):
            layer.state.restore(start)
            values = [y.numpy() for y in kj.compile(step, engine=engine)(*arrays)]
            found.append(values + [np.array(v.value) for v in layer.state.of_kind("statistic").values()])
    limit = 1e-9 if dtype == "float64" else 2e-5
    return max([0.0, *(close(b, a, limit, f"result {i}") for i, (a, b) in enumerate(zip(*found, strict=True)))])
