"""Models saved by earlier versions: what they predicted then they predict now, and they can be trained on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kedja as kj

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(p.name for p in GOLDEN.iterdir())


def golden(name: str) -> tuple[Any, dict[str, Any]]:
    said = {k: np.array(v) for k, v in json.loads((GOLDEN / name / "said.json").read_text(encoding="utf-8")).items()}
    said["x"] = said["x"] if said["x"].dtype.kind == "i" else said["x"].astype(np.float32)
    return kj.load(GOLDEN / name), said


def test_there_are_golden_models() -> None:
    """A test that finds no files would pass: these there are."""
    assert NAMES == ["cnn", "lstm", "mlp"]


@pytest.mark.parametrize("name", NAMES)
def test_an_old_model_predicts_what_it_predicted(name: str) -> None:
    """Names, shapes, gates and settings mean what they meant when the file was written."""
    net, said = golden(name)
    assert net.info["made_for"] == "the tests"
    assert np.abs(net.predict(said["x"], engine="reference") - said["predictions"]).max() < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_an_old_model_goes_on_learning_where_it_was(name: str) -> None:
    """The optimiser's memory, the count of epochs and the seed are read too: two more epochs end as they did."""
    net, said = golden(name)
    y = said["y"] if said["y"].dtype.kind == "i" else said["y"].astype(np.float32)
    net.fit(said["x"], y, epochs=2, batch_size=4 if name == "mlp" else 6, verbose=0, engine="reference")
    assert np.abs(net.predict(said["x"], engine="reference") - said["after_two_more"]).max() < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_an_old_model_saved_again_says_the_same(name: str, tmp_path: Path) -> None:
    """What is written now of it has the same weights under the same names."""
    net, _ = golden(name)
    net.save(tmp_path)
    (old,), (new,) = (list(p.glob("*.safetensors")) for p in (GOLDEN / name, tmp_path))
    assert old.name == new.name  # named by their SHA-256
