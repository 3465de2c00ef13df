"""The experiment of docs/regularisation.md and test_regularisation.py: what each regulariser does to overfitting.

    python tests/train/overfitting.py             the table of ten seeds
    python tests/train/overfitting.py --write     the same, kept in docs/regularisation.csv, from which the page draws
    python tests/train/overfitting.py --tune      how the strengths were chosen

Data: the 1,797 digits of 8 × 8 pixels. 800 rows are for judging alone. A seed draws 300 of the other 997 for learning,
makes a fifth of their labels wrong, and draws the starting weights. Strengths were chosen by five further seeds, each
on the 697 rows of the 997 that it did not learn from, with a fifth of their labels wrong too: the smallest mean loss.

Everything is float64, so that another machine shows the same digits.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import log_loss

import kedja as kj

LEARNED, WRONG, EPOCHS, RATE, BATCH = 300, 0.2, 100, 0.003, 30
STARTS = 5  # of an ensemble
TUNING = range(100, 105)  # seeds
SEEDS = 10
KEPT = Path(__file__).parents[2] / "docs" / "regularisation.csv"


class Figures(NamedTuple):
    """What a net is judged by: cross-entropy on both kinds of rows, labels partly wrong; accuracy on right labels."""

    train: float
    held_out: float
    accuracy: float


class Rows(NamedTuple):
    """Inputs, labels of which some are wrong, and the right ones."""

    x: np.ndarray
    noisy: np.ndarray
    right: np.ndarray


@cache
def digits() -> tuple[Any, Any]:
    """The rows to draw from, and the rows to judge by."""
    return kj.data.load("digits").split(test=800, seed=0)


def drawn(seed: int, rows: int = LEARNED) -> tuple[Rows, Rows, Rows]:
    """The rows a seed learns from, those that are left for tuning, and those that judge."""
    rng = np.random.default_rng(seed)
    pool, judged = digits()

    def noisy(x: np.ndarray, y: np.ndarray) -> Rows:
        wrong = rng.random(len(y)) < WRONG
        return Rows(x, np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y), y)

    order = rng.permutation(len(pool))
    everything = noisy(pool.x[order], pool.y[order])
    return Rows(*(a[:rows] for a in everything)), Rows(*(a[rows:] for a in everything)), noisy(*judged)


# --- the nets -------------------------------------------------------------------------------------------------------
class Way:
    """A way to train. Here all knobs are at 0; they are run-time numbers, so every setting of them is one program."""

    rows = LEARNED
    starts = 1
    fit: dict[str, Any] = {}  # noqa: RUF012 (replaced, never changed)

    def __init__(self) -> None:
        self.noise, self.dropout = kj.nn.GaussianNoise(0.0), kj.nn.Dropout(0.0)
        self.penalty = kj.regularizers.Elastic(0.0, 0.0)
        self.rule = kj.optim.AdamW(RATE, weight_decay=0.0, average="mean")
        self.net = kj.Sequential([self.noise, *self.layers()], dtype="float64")
        self.averaged = False

    def layers(self) -> list[Any]:
        return [kj.nn.Dense(100, "relu"), self.dropout, kj.nn.Dense(10)]

    def train(self, x: np.ndarray, y: np.ndarray, seed: int) -> None:
        """Start anew and train."""
        if self.net.built:
            self.net.reset(seed=seed)
        how = {"loss": "cross_entropy", "optimizer": self.rule, "regularizer": self.penalty} | self.fit
        self.net.fit(x, y, epochs=EPOCHS, batch_size=BATCH, seed=seed, verbose=0, **how)
        if self.averaged:
            self.net.use_averaged_weights()

    def probabilities(self, learn: Rows, seed: int) -> Callable[[np.ndarray], np.ndarray]:
        """The trained net as a function: the probability of every class. Those of several starts are averaged."""
        ends = []
        for start in range(self.starts):
            self.train(learn.x, learn.noisy, 1000 * start + seed)
            ends.append(self.net.state.snapshot())

        def predict(x: np.ndarray) -> np.ndarray:
            found = []
            for end in ends:
                self.net.state.restore(end)
                found.append(self.net.predict_proba(x))
            return np.mean(found, 0)

        return predict

    def figures(self, seed: int, tuning: bool = False) -> Figures:
        """Train with this seed and judge."""
        learn, left, judged = drawn(seed, self.rows)
        predict = self.probabilities(learn, seed)
        other = left if tuning else judged
        seen, unseen = predict(learn.x), predict(other.x)
        classes = range(10)
        return Figures(
            log_loss(learn.noisy, seen, labels=classes),
            log_loss(other.noisy, unseen, labels=classes),
            float((unseen.argmax(1) == other.right).mean()),
        )


class MaxNorm(Way):
    """Weights of a unit no longer than a bound."""

    def __init__(self, most: float) -> None:
        self.most = most
        super().__init__()

    def layers(self) -> list[Any]:
        bound = kj.constraints.MaxNorm(self.most)
        return [kj.nn.Dense(100, "relu", constraint=bound), self.dropout, kj.nn.Dense(10, constraint=bound)]


class Stopped(Way):
    """A fifth of the 300 rows says when to stop; the other four are learned from."""

    def __init__(self, patience: int) -> None:
        self.fit = {"validation": 0.2, "callbacks": [kj.callbacks.EarlyStopping(patience=patience)]}
        super().__init__()


class Smoothed(Way):
    """Targets a little uncertain; judged by the plain cross-entropy like the others."""

    def __init__(self, smoothing: float) -> None:
        self.fit = {"loss": kj.losses.CrossEntropy(label_smoothing=smoothing)}
        super().__init__()


class Fewer(Way):
    """Fewer hidden units."""

    def __init__(self, units: int) -> None:
        self.units = units
        super().__init__()

    def layers(self) -> list[Any]:
        return [kj.nn.Dense(self.units, "relu"), kj.nn.Dense(10)]


class Convolution(Way):
    """3 × 3 windows that share their weights."""

    def __init__(self, filters: int) -> None:
        self.filters = filters
        super().__init__()

    def layers(self) -> list[Any]:
        window = kj.nn.Conv2D(self.filters, 3, activation="relu")
        return [kj.nn.Reshape((8, 8, 1)), window, kj.nn.MaxPool2D(2), kj.nn.Flatten(), kj.nn.Dense(10)]


class Windows(Convolution):
    """The same 3 × 3 windows, each with weights of its own: connections as the convolution has them, nothing shared."""

    def layers(self) -> list[Any]:
        mask = np.zeros((8, 8, 6, 6, self.filters))
        for i in range(6):
            for j in range(6):
                mask[i : i + 3, j : j + 3, i, j] = 1
        layer = kj.nn.Dense(36 * self.filters, "relu", mask=mask.reshape(64, -1))
        return [layer, kj.nn.Reshape((6, 6, self.filters)), kj.nn.MaxPool2D(2), kj.nn.Flatten(), kj.nn.Dense(10)]


class Normalised(Way):
    """Batch normalisation, for comparison: it speeds training up, and is no remedy against wrong labels."""

    def layers(self) -> list[Any]:
        return [kj.nn.Dense(100, use_bias=False), kj.nn.BatchNorm(), kj.nn.Activation("relu"), kj.nn.Dense(10)]


class MoreRows(Way):
    """More rows to learn from."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        super().__init__()


class Ensemble(Way):
    """The mean of the probabilities of several starts."""

    starts = STARTS


def knob(turn: Callable[[Way, Any], None]) -> Callable[[Any], Way]:
    """The plain way with a knob turned; the program is compiled once for all of them."""

    def made(strength: Any) -> Way:
        way = plain()
        way.noise.std = way.dropout.rate = way.rule.weight_decay = way.penalty.l1 = way.penalty.l2 = 0.0
        way.rule.average_from, way.averaged = 1, False
        turn(way, strength)
        return way

    return made


@cache
def plain() -> Way:
    return Way()


def penalised(way: Way, strengths: tuple[float, float]) -> None:
    way.penalty.l1, way.penalty.l2 = strengths


def averaged(way: Way, begin: int) -> None:
    way.rule.average_from, way.averaged = begin, True


@dataclass
class Remedy:
    """One thing that may help: how it is made, what strengths were tried, and which was chosen."""

    make: Callable[[Any], Way]
    chosen: Any
    tried: Sequence[Any] = field(default=())
    quick: bool = False  # no program of its own

    def figures(self, seeds: Sequence[int], strength: Any = None, tuning: bool = False) -> np.ndarray:
        """Training loss, held-out loss and accuracy for every seed, (seeds, 3)."""
        way = self.make(self.chosen if strength is None else strength)
        return np.array([way.figures(seed, tuning) for seed in seeds])


BASELINE = Remedy(knob(lambda way, _: None), 0, quick=True)
REMEDIES = {
    "L2": Remedy(knob(lambda w, a: penalised(w, (0.0, a))), 0.02, [0.003, 0.006, 0.01, 0.02, 0.03], quick=True),
    "L1": Remedy(knob(lambda w, a: penalised(w, (a, 0.0))), 0.006, [0.001, 0.002, 0.004, 0.006, 0.01], quick=True),
    "elastic": Remedy(
        knob(penalised),
        (0.002, 0.01),
        [(a, b) for a in (0.001, 0.002, 0.004) for b in (0.003, 0.006, 0.01)],
        quick=True,
    ),
    "weight decay (AdamW)": Remedy(
        knob(lambda w, a: setattr(w.rule, "weight_decay", a)), 1.5, [0.3, 0.6, 1.0, 1.5, 2.0], quick=True
    ),
    "dropout": Remedy(
        knob(lambda w, a: setattr(w.dropout, "rate", a)), 0.9, [0.3, 0.5, 0.7, 0.8, 0.9, 0.95], quick=True
    ),
    "noise": Remedy(knob(lambda w, a: setattr(w.noise, "std", a)), 0.5, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], quick=True),
    "averaged weights": Remedy(knob(averaged), 1, [1, 100, 250, 500], quick=True),
    "max norm": Remedy(MaxNorm, 1.2, [0.8, 1.0, 1.2, 1.5, 2.0]),
    "early stopping": Remedy(Stopped, 3, [3, 5, 10, 20]),
    "smoothed labels": Remedy(Smoothed, 0.3, [0.1, 0.2, 0.3, 0.4]),
    "fewer units": Remedy(Fewer, 12, [4, 8, 12, 16, 24]),
    "shared weights (convolution)": Remedy(Convolution, 4, [2, 4, 8, 16]),
    "ensemble of 5": Remedy(lambda _: Ensemble(), 0),
    "more rows (900)": Remedy(lambda _: MoreRows(900), 0),
}
COMPARED = {
    "windows, nothing shared": Remedy(Windows, 4),
    "batch norm": Remedy(lambda _: Normalised(), 0),
}


# --- tables ---------------------------------------------------------------------------------------------------------
def everything() -> dict[str, Remedy]:
    """What the table shows, in its order."""
    return {"nothing": BASELINE, **REMEDIES, **COMPARED}


def table(found: Mapping[str, np.ndarray]) -> str:
    """Every remedy against the plain net, seed by seed, as the page shows it: means and standard deviations."""
    lines = [
        "| remedy | strength (tried) | loss, own rows | loss, other rows | lower by | digits right |",
        "|---|---|---|---|---|---|",
    ]
    base = found["nothing"]
    for name, figures in found.items():
        remedy = everything()[name]
        tried = f"{plain_text(remedy.chosen)} ({plain_text(remedy.tried)})" if remedy.tried else ""
        means, spreads = figures.mean(0), figures.std(0, ddof=1)
        gain = base[:, 1] - figures[:, 1]
        lower = "" if name == "nothing" else f"{gain.mean():.3f} ± {gain.std(ddof=1):.3f}".replace("-", "−")
        lines.append(
            f"| {name} | {tried} | {means[0]:.3f} | {means[1]:.3f} ± {spreads[1]:.3f} | {lower} | "
            f"{means[2]:.1%} ± {spreads[2]:.1%} |"
        )
    return "\n".join(lines) + "\n"


def plain_text(strength: Any) -> str:
    """A strength, or those that were tried: 0.5, or 0.1 … 0.6; of pairs each with a plus."""
    if isinstance(strength, tuple):
        return " + ".join(f"{number:g}" for number in strength)
    if isinstance(strength, list):
        return f"{plain_text(min(strength))} … {plain_text(max(strength))}"
    return f"{strength:g}"


def kept() -> dict[str, np.ndarray]:
    """The figures of the last `--write`."""
    with KEPT.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = dict.fromkeys(row["remedy"] for row in rows)
    return {
        n: np.array([[float(row[c]) for c in Figures._fields] for row in rows if row["remedy"] == n]) for n in names
    }


def keep(found: Mapping[str, np.ndarray]) -> None:
    """Write the figures of every seed."""
    with KEPT.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["remedy", "seed", *Figures._fields])
        for name, figures in found.items():
            out.writerows([name, seed, *(f"{v:.6f}" for v in row)] for seed, row in enumerate(figures))


def tune() -> None:
    """The held-out loss of every strength on the tuning rows of the tuning seeds, the smallest marked."""
    for name, remedy in REMEDIES.items():
        if remedy.tried:
            found = {s: remedy.figures(TUNING, s, tuning=True)[:, 1].mean() for s in remedy.tried}
            best = min(found, key=found.__getitem__)
            listed = ", ".join(f"{s}: {loss:.3f}{'*' if s == best else ''}" for s, loss in found.items())
            print(f"{name:29} chosen {remedy.chosen}   {listed}", flush=True)


def main(arguments: Sequence[str]) -> None:
    """Tune, or measure and print, or keep what was measured too."""
    if "--tune" in arguments:
        tune()
        return
    found = {name: remedy.figures(range(SEEDS)) for name, remedy in everything().items()}
    print(table(found))
    if "--write" in arguments:
        keep(found)


if __name__ == "__main__":
    main(sys.argv[1:])
