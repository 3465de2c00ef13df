"""Which kernels a program calls: by name where a call is made, by the environment where no name is given."""

import inspect
from types import ModuleType

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


def net(*before):
    """A small network with a 3×3 convolution, built where nothing stands before it."""
    conv = kj.nn.Conv2D(16, 3, padding="same", activation="relu")
    made = kj.Sequential([*before, conv, kj.nn.Flatten(), kj.nn.Dense(3)])
    return made if before else made.build((None, 8, 8, 16), seed=0)


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


def test_figures_measured_besides_use_the_kernels_of_the_training(rows, monkeypatch):
    """Those that were named, also where the environment says another thing."""
    x, y = rows
    for named, setting in (("winograd", "auto"), ("auto", "winograd")):
        monkeypatch.setenv("KEDJA_KERNELS", setting)
        model = net()
        measured = model.fit(x, y, kernels=named, callbacks=[kj.callbacks.Evaluate(x, y)], **HOW)["train_loss"][-1]
        assert measured == model.evaluate(x, y, engine="xla", kernels=named)["loss"]


def test_an_ensemble_is_trained_and_asked_with_the_kernels_that_are_named(rows):
    """Fit, validation and every question: by fours other bits, the same to rounding."""
    x, y = rows
    made = {}
    for named in ("auto", "winograd"):
        both = kj.Ensemble([net(), net()])
        history = both.fit(x, y, kernels=named, validation=(x, y), **(HOW | {"seed": [1, 2]}))
        assert history.settings.get("kernels") == (named if named == "winograd" else None)
        using = {"engine": "xla", "kernels": named}
        assert history["val_loss"][-1] == np.mean([m["loss"] for m in both.evaluate_members(x, y, **using)])
        probabilities = both.predict_proba(x, **using)
        assert np.array_equal(both.predict_labels(x, **using), probabilities.argmax(-1))
        assert np.array_equal(both.spread(x, **using).mean, probabilities)
        assert np.array_equal(both.predict(x, uncertainty=True, **using).mean, probabilities)
        made[named] = both.predict(x, **using)
    assert not np.array_equal(made["auto"], made["winograd"])
    np.testing.assert_allclose(made["auto"], made["winograd"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "call",
    [
        lambda how, x, y: kj.Ensemble([net(), net()]).fit(x, y, validation=(x, y), **how),
        lambda how, x, y: kj.Ensemble([net(), net()]).evaluate(x, y, **how),
        lambda how, x, y: kj.find_learning_rate(net(), x, y, steps=10, **how),
        lambda how, x, y: kj.cross_validate(net(), x, y, folds=2, **how),
        lambda how, x, y: kj.learning_curve(net(), x, y, sizes=[16], seeds=2, **how),
        lambda how, x, y: kj.learning_curve(lambda: net(kj.nn.Normalize()), x, y, sizes=[16], seeds=1, **how),
    ],
    ids=["fit of an ensemble", "an ensemble judged", "rates", "folds", "sizes at once", "sizes one by one"],
)
def test_every_program_of_a_call_is_made_with_the_kernels_named_in_it(call, rows, programs):
    """Those of training and those that judge alike."""
    call({"loss": "cross_entropy", "engine": "xla", "kernels": "winograd"}, *rows)
    assert set(programs) == {"winograd"}


@pytest.mark.parametrize("method", ["lbfgs", "adam"])
def test_minimize_calls_the_kernels_that_are_named(method, programs):
    """Whether the steps are a line search's or an optimiser's."""
    kj.optim.minimize(lambda w: (w - 1) ** 2, 3.0, method, iterations=3, engine="xla", kernels="xla")
    assert set(programs) == {"xla"}


def test_every_public_function_that_takes_an_engine_takes_kernels():
    """All but explanations, which show every value on the way, and classes that keep what a function was given."""
    without = {f"kj.explain.{name}" for name in ("Stepper", "backprop", "compare", "graph", "stepper")}
    assert {name for name, both in takers(kj, "kj") if not both} == without | {"kj.History", "kj.onnx.Prepared"}


def takers(thing, name, seen=None):
    """Names of what takes `engine`, among what is public in a module or class, and whether it takes `kernels` too."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, ModuleType):
        inside = thing.__all__
    else:
        try:
            parameters = inspect.signature(thing).parameters
        except (TypeError, ValueError):
            parameters = {}
        if "engine" in parameters:
            yield name, "kernels" in parameters
        inside = [n for n in dir(thing) if not n.startswith("_")] if inspect.isclass(thing) else []
    for inner in inside:
        found = getattr(thing, inner, None)  # what peers have and we have not is listed, and raises
        if callable(found) or (isinstance(found, ModuleType) and found.__name__.startswith("kedja")):
            yield from takers(found, f"{name}.{inner}", seen)


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
        lambda m, x, y: kj.Ensemble([m, net()]).fit(x, y, kernels="winogard", **(HOW | {"seed": [1, 2]})),
        lambda m, x, y: kj.Ensemble([m]).predict(x, kernels="winogard"),
        lambda m, x, y: kj.Ensemble([m]).evaluate(x, y, loss="cross_entropy", kernels="winogard"),
        lambda m, x, y: kj.Ensemble([m]).evaluate_members(x, y, loss="cross_entropy", kernels="winogard"),
        lambda m, x, y: kj.find_learning_rate(m, x, y, loss="cross_entropy", kernels="winogard"),
        lambda m, x, y: kj.optim.minimize(lambda w: w * w, 1.0, kernels="winogard"),
        lambda m, x, y: kj.cross_validate(m, x, y, folds=2, loss="cross_entropy", kernels="winogard"),
        lambda m, x, y: kj.learning_curve(m, x, y, loss="cross_entropy", kernels="winogard"),
    ],
)
def test_an_unknown_name_is_refused(call, rows):
    """At once, and the message has the names there are."""
    with pytest.raises(
        UnknownNameError, match=r"unknown kernels 'winogard'. Did you mean 'winograd'\? Known: auto, llvm"
    ):
        call(net(), *rows)
