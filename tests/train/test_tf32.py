"""precision="tf32": a permission for GPUs, which changes what their compiler is asked and nothing on a CPU."""

import re

import jax
import numpy as np
import pytest

import kedja as kj
from kedja.engines.xla import program
from kedja.engines.xla.devices import multiplying, product_precision
from kedja.errors import DataError, DTypeError

nn = kj.nn


def images() -> tuple[np.ndarray, np.ndarray]:
    """A few random images of two classes."""
    return np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32), np.arange(4) % 2


def convnet(dtype: str | None = None) -> kj.Sequential:
    """Convolutions, one that strides, and a dense layer."""
    return kj.Sequential(
        [nn.Conv2D(3, 3, "relu", stride=2), nn.Conv2D(3, 3, "relu"), nn.Flatten(), nn.Dense(2)], dtype=dtype
    )


def asked_of_a_gpu(monkeypatch, net, x, y, precision, **how) -> dict[str, set[str]]:
    """For each type of number, the precisions that the compiler is told for products of it, were this a GPU."""
    texts: list[str] = []
    compile_it = program.executable

    def told(lowered, *rest):
        texts.append(lowered.as_text())
        return compile_it(lowered, *rest)

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(program, "executable", told)
    net.fit(x, y, loss="cross_entropy", batch_size=2, seed=0, precision=precision, verbose=0, **how)
    found: dict[str, set[str]] = {}
    for line in "".join(texts).splitlines():
        if "stablehlo.dot_general" in line or "stablehlo.convolution" in line:
            kind = re.search(r"\((?:tensor<[^>]*x|tensor<)(\w+)>", line)
            words = re.findall(r"\b(DEFAULT|HIGHEST|HIGH)\b", line)
            assert kind is not None and len(words) == 2, line
            found.setdefault(kind[1], set()).update(words)
    return found


@pytest.mark.parametrize(
    ("precision", "expected"),
    [(None, {"f32": {"HIGHEST"}}), ("tf32", {"f32": {"DEFAULT"}}), ("bfloat16", {"bf16": {"DEFAULT"}})],
)
def test_what_a_gpu_is_asked_for(monkeypatch, precision, expected):
    """Every product of a training step, forward and backward, is exact unless the user allows tf32."""
    assert asked_of_a_gpu(monkeypatch, convnet(), *images(), precision) == expected


def test_products_inside_loops_are_allowed_too(monkeypatch):
    """A recurrent layer multiplies in the body of a loop; so does a step that accumulates."""
    x = np.random.default_rng(1).normal(size=(4, 3, 2)).astype(np.float32)
    net = kj.Sequential([nn.LSTM(3), nn.Dense(2)])
    found = asked_of_a_gpu(monkeypatch, net, x, np.arange(4) % 2, "tf32", accumulate=2)
    assert found == {"f32": {"DEFAULT"}}


@pytest.mark.parametrize(
    ("platform", "dtype", "allowed", "expected"),
    [
        ("gpu", "float32", True, "DEFAULT"),
        ("gpu", "float32", False, "HIGHEST"),
        ("gpu", "float64", True, "HIGHEST"),
        ("tpu", "float32", True, "HIGH"),
        ("tpu", "float32", False, "HIGHEST"),
        ("cpu", "float32", True, "HIGHEST"),
    ],
)
def test_each_platforms_word_for_it(monkeypatch, platform, dtype, allowed, expected):
    """On a TPU the same word would mean bfloat16, so another is used; float64 is never rounded."""
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    with multiplying(allowed):
        assert product_precision(np.dtype(dtype)).name == expected


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="this machine has an accelerator")
@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_a_cpu_computes_what_it_always_does(engine):
    """Weights, losses, predictions and evaluation have the bits of float32, and the History says what was asked."""
    x, y = images()
    nets = convnet(), convnet()
    histories = [
        net.fit(x, y, loss="cross_entropy", epochs=3, batch_size=2, seed=0, precision=precision, engine=engine)
        for net, precision in zip(nets, (None, "tf32"), strict=True)
    ]
    np.testing.assert_array_equal(histories[0]["loss"], histories[1]["loss"])
    assert histories[1].settings["precision"] == "tf32" and "precision" not in histories[0].settings
    plain, allowed = nets[0].predict(x, engine=engine), nets[1].predict(x, engine=engine, precision="tf32")
    np.testing.assert_array_equal(plain, allowed)
    assert nets[0].evaluate(x, y, engine=engine) == nets[1].evaluate(x, y, engine=engine, precision="tf32")


def test_where_it_is_refused():
    """Weights of another type are not multiplied as float32, and line searches need all digits."""
    x, y = images()
    with pytest.raises(DTypeError, match="the weights are float64: tf32 is a faster way to multiply float32"):
        convnet("float64").fit(x, y, loss="cross_entropy", precision="tf32")
    with pytest.raises(DataError, match="tf32 keeps too few digits"):
        convnet().fit(x, y, loss="cross_entropy", optimizer=kj.optim.LBFGS(), precision="tf32")
