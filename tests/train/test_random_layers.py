"""Whole runs with dropout and noise: NumPy and XLA drop the same elements, add the same noise, learn the same."""

import numpy as np

import kedja as kj
from kedja.train.training import training_of

RNG = np.random.default_rng(11)
X = RNG.normal(size=(90, 6))
LABELS = RNG.integers(0, 3, 90)


def net(dtype):
    """Noise, dropout of units, of whole channels, and multiplicative noise, between layers that learn."""
    return kj.Sequential(
        [
            kj.nn.GaussianNoise(0.3), kj.nn.Dense(12, "tanh"), kj.nn.Dropout(0.4), kj.nn.Reshape((4, 3)),
            kj.nn.Conv1D(5, 2, activation="tanh"), kj.nn.Dropout(0.2, shared_axes=1), kj.nn.GaussianDropout(0.1),
            kj.nn.Flatten(), kj.nn.Dense(3),
        ],
        dtype=dtype,
    )  # fmt: skip


def trained(engine, dtype, optimizer, epochs, batch_size=30):
    """The net after so many epochs, with its History."""
    model = net(dtype)
    history = model.fit(
        X, LABELS, loss="cross_entropy", optimizer=optimizer, epochs=epochs, batch_size=batch_size, seed=5,
        engine=engine, verbose=0,
    )  # fmt: skip
    assert history.engine == engine
    return model, history


def ends(dtype, steps):
    """All weights after these steps on each engine, and where they began: three vectors."""
    runs = [trained(e, dtype, kj.optim.Adam(0.01), steps // 3) for e in ("reference", "xla")]
    assert all(history.steps == steps for _, history in runs)
    start = net(dtype).build((None, 6), seed=5)
    return [np.concatenate([w.ravel() for w in m.get_weights()]) for m in (runs[0][0], runs[1][0], start)]


def test_runs_in_float64_agree(judged):
    """After 102 steps of Adam the weights differ by at most 1e-9 of the largest; other masks would be another run."""
    numpy, xla, start = ends("float64", 102)
    assert np.abs(numpy - start).max() > 0.1
    error = np.abs(numpy - xla).max() / np.abs(numpy).max()
    assert error <= 1e-9
    judged("reference = XLA", "fit with dropout and noise, float64", 1, error)


def test_runs_in_float32_agree(judged):
    """After 102 steps the distance between the two ends is at most a hundredth of the way either has gone."""
    numpy, xla, start = ends("float32", 102)
    error = np.linalg.norm(numpy - xla) / np.linalg.norm(numpy - start)
    assert error <= 1e-2
    judged("reference = XLA", "fit with dropout and noise, float32", 1, error)


def test_first_gradients_in_float32_agree(judged):
    """The velocity after one step at rate 1 is the gradient itself: equal to 1e-5 of its largest entry."""
    found = []
    for engine in ("reference", "xla"):
        model, _ = trained(engine, "float32", kj.optim.Momentum(1.0, 0.9), 1, batch_size=None)
        slots = training_of(model).memory.of_kind("slot")
        found.append({name: np.asarray(v.value) for name, v in slots.items()})
    assert len(found[0]) == 6 and all(name.endswith("velocity") for name in found[0])
    errors = {n: np.abs(g - found[1][n]).max() / np.abs(g).max() for n, g in found[0].items()}
    assert max(errors.values()) <= 1e-5, errors
    judged("reference = XLA", "first gradient with dropout and noise", len(errors), max(errors.values()))


def test_another_seed_is_another_run():
    """The same starting weights with other masks end elsewhere, so the agreement above says something."""
    start = net("float64").build((None, 6), seed=5).get_weights()
    found = []
    for seed in (5, 6):
        model = net("float64").build((None, 6), seed=0)
        model.set_weights(start)
        model.fit(
            X, LABELS, loss="cross_entropy", optimizer=kj.optim.Adam(0.01), epochs=3, batch_size=None, seed=seed,
            engine="reference", verbose=0,
        )  # fmt: skip
        found.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    assert np.abs(found[0] - found[1]).max() > 1e-3
