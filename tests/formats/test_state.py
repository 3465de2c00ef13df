"""Saving and loading models: whole, exact, and refusing what is damaged or foreign."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import kedja as kj
from kedja.errors import FormatError, GraphError
from kedja.formats import state

X = np.array([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5], [1.0, 1.0]], np.float32)
Y = np.array([0, 1, 1, 0])


def trained(epochs: int = 3) -> kj.Sequential:
    net = kj.Sequential([kj.nn.Normalize().adapt(X), kj.nn.Dense(4, activation="tanh"), kj.nn.Dense(2)])
    net.fit(X, Y, loss="cross_entropy", optimizer=kj.optim.Adam(0.05), epochs=epochs, batch_size=2, seed=3, verbose=0)
    net.info["class_names"] = ["no", "yes"]
    return net


def test_a_loaded_model_predicts_the_same_bits(tmp_path: Path) -> None:
    """Weights, statistics and information come back exactly."""
    net = trained()
    net.save(tmp_path / "run")
    back = kj.load(tmp_path / "run")
    assert np.array_equal(back.predict(X), net.predict(X))
    assert back.info == {"class_names": ["no", "yes"]}
    assert list(back.state) == list(net.state)


def test_training_goes_on_after_loading_as_if_never_saved(tmp_path: Path) -> None:
    """The optimiser's memory, epoch count and seed are saved too, so a continued run has the same bits."""
    net = trained()
    net.save(tmp_path)
    back = kj.load(tmp_path)
    for model in (net, back):
        model.fit(X, Y, optimizer=kj.optim.Adam(0.05), epochs=2, batch_size=2, seed=3, verbose=0)
    assert np.array_equal(back.predict(X), net.predict(X))


def test_a_loaded_model_resets_to_the_start_it_came_from(tmp_path: Path) -> None:
    """The seed of the starting values is saved, so `reset` after loading is `reset` before saving."""
    net = trained()
    net.save(tmp_path)
    back = kj.load(tmp_path).reset()
    assert np.array_equal(back.predict(X), net.reset().predict(X))


def test_predictions_know_the_loss_after_loading(tmp_path: Path) -> None:
    """The saved loss says that outputs are logits, so probabilities still add up to one."""
    trained().save(tmp_path)
    assert np.allclose(kj.load(tmp_path).predict_proba(X).sum(1), 1)


def test_a_functional_model_with_a_skip_and_a_shared_layer_comes_back(tmp_path: Path) -> None:
    """Branches, arithmetic and sharing are in the description."""
    x = kj.Input((2,))
    shared = kj.nn.Dense(2, activation="tanh")
    net = kj.Model(x, kj.nn.Dense(1)(x + 0.5 * shared(shared(x)))).build(seed=1)
    net.save(tmp_path)
    assert np.array_equal(kj.load(tmp_path).predict(X), net.predict(X))


class Doubled(kj.Module):
    """A model class of a user's own."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.inner = kj.nn.Dense(units)

    def call(self, x: kj.Tensor) -> kj.Tensor:
        return 2 * self.inner(x)


def test_a_users_class_is_named_when_it_is_missing_and_used_when_given(tmp_path: Path) -> None:
    """kedja loads no code: the class comes from the caller, and the error says so."""
    net = Doubled(3).build((None, 2), seed=0)
    net.save(tmp_path)
    with pytest.raises(FormatError, match=r"classes=\[Doubled\]"):
        kj.load(tmp_path)
    assert np.array_equal(kj.load(tmp_path, classes=[Doubled]).predict(X), net.predict(X))


def test_a_float64_model_stays_float64(tmp_path: Path) -> None:
    """The type of the weights is part of what is saved."""
    with kj.default_dtype("float64"):
        net = kj.Sequential([kj.nn.Dense(1)]).build((None, 2), seed=0)
    net.save(tmp_path)
    assert kj.load(tmp_path).parameters[0].dtype == np.float64


def test_a_function_nobody_can_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Code is never saved; the folder is not even made."""
    net = kj.Sequential([kj.nn.Dense(1, activation=lambda x: x * x)]).build((None, 2))
    with pytest.raises(FormatError, match="never code"):
        net.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_model_without_weights_cannot_be_saved(tmp_path: Path) -> None:
    """There is nothing to save before the first build."""
    with pytest.raises(GraphError, match="nothing to save"):
        kj.Sequential([kj.nn.Dense(1)]).save(tmp_path)


def test_a_second_save_leaves_only_its_own_weights(tmp_path: Path) -> None:
    """Old weights are removed once the description names the new ones, and no draft stays behind."""
    net = trained()
    net.save(tmp_path)
    net.fit(X, Y, epochs=1, batch_size=2, seed=3, verbose=0)
    net.save(tmp_path)
    names = sorted(os.listdir(tmp_path))
    assert len(names) == 2 and names[0] == "model.json" and names[1].endswith(".safetensors")


def test_a_save_that_fails_halfway_keeps_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the description cannot be replaced, the folder still loads as before."""
    net = trained()
    net.save(tmp_path)
    before = net.predict(X)
    net.fit(X, Y, epochs=1, batch_size=2, seed=3, verbose=0)
    replace = os.replace

    def full(source: str, target: object) -> None:
        if str(target).endswith("model.json"):
            raise OSError(28, "No space left on device")
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr("kedja.files.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        net.save(tmp_path)
    assert np.array_equal(kj.load(tmp_path).predict(X), before)


def described(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    said = json.loads(path.read_text())
    said.update(changes)
    said["sha256"] = state._checksum(said)  # somebody meant it
    path.write_text(json.dumps(said))


def spoil_weights(folder: Path) -> None:
    (path,) = folder.glob("*.safetensors")
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)


def cut_weights(folder: Path) -> None:
    (path,) = folder.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])


def remove_weights(folder: Path) -> None:
    (path,) = folder.glob("*.safetensors")
    path.unlink()


DAMAGE = {
    "one bit of the weights flipped": (spoil_weights, "checksum"),
    "weights cut off": (cut_weights, "checksum"),
    "weights missing": (remove_weights, "missing"),
    "description cut off": (lambda f: (f / "model.json").write_text('{"format": "ked'), "damaged"),
    "another program's JSON": (lambda f: (f / "model.json").write_text("[1, 2]"), "not the description"),
    "a later version": (lambda f: described(f, version=99), "version 99"),
    "no architecture": (lambda f: described(f, architecture={"class": "os.system"}), "os.system"),
    "arguments a layer does not have": (
        lambda f: described(f, architecture={"class": "Sequential", "layers": [{"class": "Dense", "unit": 1}]}),
        "unit",
    ),
    "weights outside the folder": (
        lambda f: described(f, weights={"file": "../../x.safetensors", "sha256": "", "bytes": 1}),
        "names no weights file",
    ),
    "an architecture of other shapes": (lambda f: described(f, inputs=[[None, 5]]), "in the architecture and"),
    "inputs that are no shapes": (lambda f: described(f, inputs=[3]), "damaged"),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: d.replace(" ", "-"))
def test_a_damaged_or_foreign_folder_is_refused(damage: str, tmp_path: Path) -> None:
    """Every kind of damage gives a FormatError that says what is wrong."""
    trained().save(tmp_path)
    spoil, words = DAMAGE[damage]
    spoil(tmp_path)  # type: ignore[operator]
    with pytest.raises(FormatError, match=words):
        kj.load(tmp_path)


def test_a_folder_that_is_not_there_or_a_file_is_said_to_be_no_model(tmp_path: Path) -> None:
    """The message names the path and what is missing."""
    with pytest.raises(FormatError, match="does not exist"):
        kj.load(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FormatError, match="folder"):
        kj.load(tmp_path / "file")
    with pytest.raises(FormatError, match=r"has no model\.json"):
        kj.load(tmp_path)
