"""ONNX's own models, unmodified, by its own runner: converted from PyTorch, PyTorch's operators, simple, and light."""

import random
import re
import unittest
import warnings
from functools import cache
from typing import Any

import pytest
from onnx.backend.test.runner import Runner

import kedja as kj

# The runner's classes, and how many models of each kind onnx 1.23.2 has. All must pass.
KINDS = {
    "converted": ("OnnxBackendPyTorchConvertedModelTest", 82),
    "operator": ("OnnxBackendPyTorchOperatorModelTest", 35),
    "simple": ("OnnxBackendSimpleModelTest", 23),
    "light": ("OnnxBackendRealModelTest", 9),
}


class OnXla(kj.onnx.Backend):
    """The backend, compiled."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Any:
        return super().prepare(model, device, engine="xla")


@cache
def runner(engine: str) -> Runner:
    """ONNX's runner; its node cases, made on the way, divide by zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return Runner(OnXla if engine == "xla" else kj.onnx.Backend, __name__)


def names(kind: str) -> list[str]:
    """The names of the models of a kind."""
    cases = runner("reference").test_cases[KINDS[kind][0]]
    return sorted(n for n in dir(cases) if re.fullmatch(r"test_\w+_cpu", n))


def failures(kind: str, engine: str, chosen: list[str], folder: Any, monkeypatch: Any) -> list[str]:
    """The models that do not pass, with the reason; light models write their inputs into the folder."""
    monkeypatch.setenv("ONNX_MODELS", str(folder))
    cases, found = runner(engine).test_cases[KINDS[kind][0]], []
    for name in chosen:
        try:
            getattr(cases(name), name)()
        except unittest.SkipTest as why:  # a skipped model has not passed
            found.append(f"{name}: skipped, {why}")
        except Exception as why:  # whatever it is, the model has failed
            found.append(f"{name}: {type(why).__name__}: {' '.join(str(why).split())[:200]}")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_list_is_whole(kind):
    """There are as many models of the kind as the table in the documentation says."""
    assert len(names(kind)) == KINDS[kind][1]


@pytest.mark.parametrize("kind", ["converted", "operator", "simple"])
def test_models_pass(kind, judged, tmp_path, monkeypatch):
    """Every model of the kind gives ONNX's numbers on the reference engine."""
    assert failures(kind, "reference", names(kind), tmp_path, monkeypatch) == []
    judged("ONNX models", f"ONNX: {kind}", len(names(kind)))


def test_a_light_model_passes(tmp_path, monkeypatch):
    """SqueezeNet with the weights that its graph makes."""
    assert failures("light", "reference", ["test_squeezenet_cpu"], tmp_path, monkeypatch) == []


def test_sample_passes_on_xla(judged, tmp_path, monkeypatch):
    """A seeded sample of the models, compiled."""
    rng = random.Random(5)
    chosen = {kind: rng.sample(names(kind), 2) for kind in ("converted", "operator", "simple")}
    assert [f for kind, some in chosen.items() for f in failures(kind, "xla", some, tmp_path, monkeypatch)] == []
    judged("XLA", "ONNX: models", sum(map(len, chosen.values())))


@pytest.mark.long
def test_light_models_pass(judged, tmp_path, monkeypatch):
    """AlexNet, DenseNet-121, both Inceptions, ResNet-50, ShuffleNet, SqueezeNet, VGG-19 and ZFNet."""
    assert failures("light", "reference", names("light"), tmp_path, monkeypatch) == []
    judged("ONNX models", "ONNX: light", len(names("light")))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_all_models_pass_on_xla(kind, judged, tmp_path, monkeypatch):
    """The whole of each kind, compiled."""
    assert failures(kind, "xla", names(kind), tmp_path, monkeypatch) == []
    judged("XLA", f"ONNX models: {kind}", len(names(kind)))
