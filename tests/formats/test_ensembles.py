"""Ensembles on disk: what comes back is what was saved, whatever was damaged is named."""

import json

import numpy as np
import pytest

import kedja as kj
from kedja.errors import FormatError

X = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
HOW = {"loss": "mse", "epochs": 2, "seed": 1, "engine": "reference", "verbose": 0}


def trained():
    """Three small networks after two epochs."""
    together = kj.Ensemble(kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(1)]), 3)
    together.fit(X, X[:, :1], optimizer="adam", **HOW)
    return together


def test_it_comes_back_and_goes_on(tmp_path):
    """A loaded ensemble predicts the same bits, and trained on it is the one that was never saved."""
    together = trained()
    again = kj.load(together.save(tmp_path))
    np.testing.assert_array_equal(again.predict(X), together.predict(X))
    for one in (together, again):
        one.fit(X, X[:, :1], **HOW)
    np.testing.assert_array_equal(again.predict(X), together.predict(X))


def test_a_second_save_replaces_the_first(tmp_path):
    """One folder of members is left, and each member can be loaded alone."""
    together = trained()
    together.save(tmp_path)
    together.fit(X, X[:, :1], **HOW)
    together.save(tmp_path)
    (inside,) = tmp_path.glob("members-*")
    alone = kj.load(inside / "member-002")
    np.testing.assert_array_equal(alone.predict(X), together.members[2].predict(X))


@pytest.mark.parametrize(
    "damage",
    [
        lambda root: (root / "ensemble.json").write_text("{"),
        lambda root: (root / "ensemble.json").write_text(json.dumps({"format": "kedja ensemble", "version": 9})),
        lambda root: (root / "ensemble.json").write_text(
            json.dumps({"format": "kedja ensemble", "version": 1, "folder": "..", "members": ["../a"]})
        ),
        lambda root: next(root.glob("members-*/member-001/weights-*")).write_bytes(b"no"),
    ],
)
def test_damage_is_named(damage, tmp_path):
    """A broken file raises FormatError, never something else."""
    trained().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(FormatError):
        kj.load(tmp_path)
