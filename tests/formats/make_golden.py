"""Makes tests/formats/golden: models saved once, with what they predicted. Run by hand, and never again for a version.

python tests/formats/make_golden.py tests/formats/golden
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import kedja as kj

L = kj.nn


def models() -> dict[str, tuple[Any, Any, Any, dict[str, Any]]]:
    """Name → model, inputs, targets, how it was trained."""
    rng = np.random.default_rng(4)
    plane = rng.normal(size=(8, 2)).astype(np.float32)
    pictures = rng.normal(size=(6, 6, 6, 1)).astype(np.float32)
    words = rng.integers(0, 5, (6, 4))
    two = np.arange(8) % 2
    return {
        "mlp": (
            kj.Sequential([L.Normalize().adapt(plane), L.Dense(4, "tanh"), L.Dense(2, "softmax")]), plane, two,
            {"loss": "cross_entropy", "optimizer": kj.optim.Adam(0.05)},
        ),
        "cnn": (
            kj.Sequential(
                [L.Conv2D(3, 3, padding="same"), L.BatchNorm(), L.ReLU(), L.MaxPool2D(2), L.Flatten(), L.Dense(2)]
            ),
            pictures, two[:6], {"loss": "cross_entropy", "optimizer": kj.optim.Momentum(0.01)},
        ),
        "lstm": (
            kj.Sequential([L.Embedding(5, 3), L.Bidirectional(L.LSTM(3)), L.Dense(1)]), words,
            rng.normal(size=(6, 1)).astype(np.float32), {"loss": "mse", "optimizer": kj.optim.RMSProp(0.01)},
        ),
    }  # fmt: skip


def main(target: Path) -> None:
    """Train each a little, save it, write down what it says."""
    for name, (net, x, y, how) in models().items():
        net.fit(x, y, epochs=3, batch_size=4 if name == "mlp" else 6, seed=5, verbose=0, engine="reference", **how)
        net.info["made_for"] = "the tests"
        net.save(target / name)
        said = {"x": x.tolist(), "y": y.tolist(), "predictions": net.predict(x, engine="reference").tolist()}
        net.fit(x, y, epochs=2, batch_size=4 if name == "mlp" else 6, seed=5, verbose=0, engine="reference", **how)
        said["after_two_more"] = net.predict(x, engine="reference").tolist()
        (target / name / "said.json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
