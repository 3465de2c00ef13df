"""Which kernels a program calls: by name where a call is made, by the environment where no name is given."""

import numpy as np
import pytest

import kedja as kj
from kedja.engines.xla import kernels
from kedja.errors import DataError, UnknownNameError

pytest.importorskip("llvmlite")
HOW = {"loss": "cross_entropy", "batch_size": 16, "seed": 0, "verbose": 0, "engine": "xla"}


@pytest.fixture
def rows():
    """Images of enough channels and places for convolutions by fours."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(32, 8, 8, 16)).astype("float32"), rng.integers(0, 3, 32)


def net():
    """A small network with a 3×3 convolution."""
    conv = kj.nn.Conv2D(16, 3, padding="same", activation="relu")
    return kj.Sequential([conv, kj.nn.Flatten(), kj.nn.Dense(3)]).build((None, 8, 8, 16), seed=0)


def same(a, b):
    """Whether two lists of arrays have the same bits."""
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


def test_predictions_of_one_model_with_each_choice_of_kernels(rows, monkeypatch):
    """A program made with some kernels does not serve for others, nor for another setting of the environment."""
    x, _ = rows
    model = net()
    found = {k: model.predict(x, engine="xla", kernels=k) for k in ("auto", "winograd", "xla", "llvm")}
    assert np.array_equal(found["auto"], found["llvm"])
    assert not np.array_equal(found["auto"], found["winograd"])
    for y in found.values():
        np.testing.assert_allclose(y, found["xla"], rtol=0, atol=2e-5)
    assert np.array_equal(model.predict(x, engine="xla"), found["auto"])
    monkeypatch.setenv("KEDJA_KERNELS", "winograd")
    assert np.array_equal(model.predict(x, engine="xla"), found["winograd"])
    assert np.array_equal(model.predict(x, engine="xla", kernels="auto"), found["auto"])
    assert np.array_equal(model.predict_labels(x, engine="xla"), found["winograd"].argmax(-1))


def test_a_named_choice_does_what_the_environment_does(rows, monkeypatch):
    """The same training, asked for in both ways, ends in the same weights; another one in others."""
    x, y = rows
    named, by_setting, plain = net(), net(), net()
    history = named.fit(x, y, kernels="winograd", **HOW)
    assert history.settings["kernels"] == "winograd"
    assert "kernels" not in plain.fit(x, y, **HOW).settings
    monkeypatch.setenv("KEDJA_KERNELS", "winograd")
    assert by_setting.fit(x, y, **HOW).settings["kernels"] == "winograd"
    assert same(named.get_weights(), by_setting.get_weights())
    assert not same(named.get_weights(), plain.get_weights())


def test_validation_uses_the_kernels_of_the_training(rows):
    """The last val_loss is what evaluate gives with the same kernels."""
    x, y = rows
    model = net()
    history = model.fit(x, y, validation=(x[:24], y[:24]), kernels="winograd", **HOW)
    assert history["val_loss"][-1] == model.evaluate(x[:24], y[:24], engine="xla", kernels="winograd")["loss"]


def test_kernels_are_part_of_what_a_run_is(rows, tmp_path):
    """A run goes on with the kernels it began with, to the bits of one that never ended; with others it is refused."""
    x, y = rows
    whole, begun, resumed = net(), net(), net()
    whole.fit(x, y, kernels="winograd", epochs=2, **HOW)
    keep = kj.callbacks.Checkpoint(tmp_path / "run")
    begun.fit(x, y, kernels="winograd", epochs=1, callbacks=[keep], **HOW)
    with pytest.raises(DataError, match="kernels was 'winograd' and is not given"):
        resumed.fit(x, y, epochs=2, resume=tmp_path / "run", **HOW)
    resumed.fit(x, y, kernels="winograd", epochs=2, resume=tmp_path / "run", **HOW)
    assert same(whole.get_weights(), resumed.get_weights())


def test_xla_alone_calls_no_kernel(rows, monkeypatch):
    """kernels="xla": none is written; by default one is."""
    x, _ = rows
    model, asked_for = net(), []
    monkeypatch.setattr(kernels, "_registered", lambda *what: asked_for.append(what) or 1 / 0)
    step = kj.compile(lambda x: model(x), kernels="xla")
    model.predict(x, engine="xla", kernels="xla")
    assert step(x).shape == (32, 3) and not asked_for
    with pytest.raises(ZeroDivisionError):
        kj.compile(lambda x: model(x), kernels="auto", engine="xla")(x)


def test_the_reference_engine_has_no_kernels(rows):
    """It computes the same whatever is named."""
    x, _ = rows
    model = net()
    both = [model.predict(x, engine="reference", kernels=k) for k in (None, "winograd")]
    assert np.array_equal(*both)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x, y: m.fit(x, y, kernels="winogard", **HOW),
        lambda m, x, y: m.evaluate(x, y, loss="cross_entropy", kernels="winogard"),
        lambda m, x, y: m.predict(x, kernels="winogard"),
        lambda m, x, y: m.predict_proba(x, kernels="winogard"),
        lambda m, x, y: kj.compile(lambda x: m(x), kernels="winogard"),
        lambda m, x, y: m.predict(x, engine="reference", kernels="winogard"),
    ],
)
def test_an_unknown_name_is_refused(call, rows):
    """At once, and the message has the names there are."""
    with pytest.raises(
        UnknownNameError, match=r"unknown kernels 'winogard'. Did you mean 'winograd'\? Known: auto, llvm"
    ):
        call(net(), *rows)
