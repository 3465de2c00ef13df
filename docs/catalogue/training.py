"""Losses, metrics, optimisers and schedules."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

import kedja as kj
from kedja.nn.losses import ALIASES as LOSS_NAMES
from kedja.ops.formula import formula
from kedja.optim.minimizer import Minimizer
from kedja.optim.optimizer import Slots
from kedja.optim.registry import NAMES as RULE_NAMES
from kedja.train.metrics import ALIASES as METRIC_NAMES
from kedja.train.metrics import OfLoss

from . import examples
from .drawing import Curve, curves, valley
from .entry import Entry, call, code, documented
from .functions import VALUE_AND_SLOPE, broken
from .mathml import from_tex
from .prose import parts

__all__ = ["loss", "metric", "optimiser", "schedule"]


def also(names: dict[str, str], name: str) -> str:
    """Other names that mean the same."""
    return ", ".join(code(other) for other, own in sorted(names.items()) if own == name)


# --- losses ---------------------------------------------------------------------------------------------------------
def loss(name: str, cls: type[Any]) -> Entry:
    """A loss, over its first output."""
    public = f"kj.losses.{cls.__name__}"
    entry = documented("losses", name, cls, parts(cls), Call=call(cls, public))
    entry.facts["Also called"] = also(LOSS_NAMES, name)
    shown = examples.LOSSES.get(name, examples.Loss([0.0]))
    x = np.linspace(shown.low, shown.high, 241)
    first = kj.tensor(x[:, None], dtype="float64")
    others = kj.tensor(np.tile(np.array(shown.others), (len(x), 1)), dtype="float64")
    y = kj.concatenate([first, others], 1) if shown.others else first
    targets = kj.tensor(np.tile(np.array(shown.target), (len(x), 1)), dtype="float64")
    each = cls().formula(targets, y)
    slope = kj.grad(each.sum(), first).numpy()[:, 0]
    entry.picture = curves([Curve(x, each.numpy()), Curve(x, broken(slope), "slope")], f"{name} by its output")
    entry.caption = f"{VALUE_AND_SLOPE} by the output x; {shown.told}"
    return entry


# --- metrics --------------------------------------------------------------------------------------------------------
def metric(name: str, make: Any) -> Entry:
    """A metric, as outputs go from right to random."""
    made = examples.METRICS.get(name, make)()
    of_loss = isinstance(made, OfLoss)
    said = parts(type(made.loss) if of_loss else type(made))
    said.pop("Derivative", None)
    public = f"kj.metrics.{name}" if of_loss else None
    told = code(public) if public else call(type(made), f"kj.metrics.{type(made).__name__}")
    entry = documented("metrics", name, type(made), said, Call=told)
    entry.facts["Derivative"] = "none: a metric is measured, never followed"
    entry.facts["Also called"] = also(METRIC_NAMES, name)
    x = np.linspace(0, 1, 26)
    y, numbers = spoiled(made, x)
    entry.picture = curves([Curve(x, y)], f"{name} as outputs get worse")
    kind = "numbers" if numbers else "a classifier of three classes"
    entry.caption = f'<span class="value">{name}</span> of {kind}, by the share of noise in the outputs'
    return entry


def spoiled(made: Any, shares: Any) -> tuple[Any, bool]:
    """The metric of outputs that are noise to these shares; whether it is one of numbers."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 400)
    hot, noise = np.eye(3)[labels], rng.normal(size=(400, 3))
    numbers = isinstance(made, OfLoss) or made.name in ("r2", "rmse")
    figures = []
    for share in shares:
        if numbers:
            t = noise[:, :1]
            figures.append(made(t, (1 - share) * t + share * noise[:, 1:2], link="values"))
            continue
        z = np.exp(4 * (1 - share) * hot + 3 * share * noise)
        targets = hot if made.name == "binary_accuracy" else labels
        figures.append(made(targets, z / z.sum(1, keepdims=True)))
    return np.array(figures), numbers


# --- optimisers -----------------------------------------------------------------------------------------------------
SYMBOLS = {
    "average": r"\bar{\theta}", "beta_1": r"\beta_{1}", "beta_2": r"\beta_{2}", "epsilon": r"\delta",
    "learning_rate": r"\varepsilon", "momentum": r"\alpha", "rho": r"\rho", "weight_decay": r"\lambda",
    "largest": "u", "mean": "m", "square": "s", "square_step": "u", "velocity": "v", "most": r"\hat{s}",
}  # fmt: skip
"""How the numbers and the memory of an optimiser are written; what is not here is written by its name."""


def optimiser(name: str, cls: type[Any]) -> Entry:
    """An optimiser: its named steps, and its way down a valley."""
    entry = documented("optimisers", name, cls, parts(cls), Call=call(cls, f"kj.optim.{name}"))
    names = [code(f'"{short}"') for short, made in RULE_NAMES.items() if made is cls]
    entry.facts["Also called"] = ", ".join(names)
    if issubclass(cls, Minimizer):
        entry.facts["Derivative"] = (
            "the gradient of the whole loss" if name == "LBFGS" else "needs none: it only compares"
        )
    else:
        entry.facts["Steps"] = steps(cls)
        entry.facts["Derivative"] = from_tex(r"g = \frac{\partial J}{\partial \theta}") + ", of a batch at each step"
    entry.picture, entry.caption = way(name, cls)
    return entry


def steps(cls: type[Any]) -> str:
    """The rule as it is written, step by step, read off the graph it makes."""
    rule = cls()
    theta = kj.Parameter(np.ones((1, 1)), name="theta", dtype="float64")
    nodes = {n: kj.placeholder((), "float64", n) for n in rule.scalars}
    traced = rule.with_scalars(list(nodes.values()))
    g, t = kj.placeholder((1, 1), "float64", "g"), kj.placeholder((), "float64", "t")
    slots = Slots({s: kj.placeholder((1, 1), "float64", s) for s in rule.slots})
    written: dict[Any, str] = {theta: r"\theta", **{node: symbol(n) for n, node in (nodes | slots).items()}}
    lines = []
    for step in traced.steps(theta, g, slots, traced.learning_rate, t):
        body = formula(step.value, "tex", written)
        target = written[step.target]
        lines.append(f"<li>{step.label}: " + from_tex(rf"{target} \leftarrow {body}") + "</li>")
        written[step.value] = target  # the steps that follow use the new one
    return f"<ol>{''.join(lines)}</ol>"


def symbol(name: str) -> str:
    """A letter, or the name itself."""
    return SYMBOLS.get(name, r"\text{" + name.replace("_", " ") + "}")


STEEP, START = 12.0, (-2.6, 0.9)


def way(name: str, cls: type[Any]) -> tuple[str, str]:
    """Thirty steps over ½(x² + 12y²)."""
    rule = cls(**examples.RATES.get(name, {}))
    scale = kj.tensor([1.0, STEEP], dtype="float64")
    found = kj.optim.minimize(
        lambda p: 0.5 * (scale * p * p).sum(), list(START), rule, iterations=30, dtype="float64", engine="reference",
        seed=1, path=True,
    )  # fmt: skip
    told = ", ".join(f"{n}={v:g}" for n, v in examples.RATES.get(name, {}).items())
    caption = f"{len(found.path) - 1} steps of {code(f'{name}({told})')} over ½ (x² + 12 y²)"
    return valley(np.array(found.path), f"the way of {name}", steep=STEEP, reach=(3.0, 1.25)), caption


# --- schedules ------------------------------------------------------------------------------------------------------
def schedule(name: str, cls: type[Any]) -> Entry:
    """A schedule over a hundred steps, and what Robbins and Monro say of it."""
    entry = documented("schedules", name, cls, parts(cls), Call=call(cls, f"kj.schedules.{name}"))
    wanted = [p for p in inspect.signature(cls).parameters.values() if p.name != "self"]
    given = {
        p.name: examples.SCHEDULES[p.name] for p in wanted if p.name in ("factor", "steps") or p.default is p.empty
    }
    if name in ("Cosine", "OneCycle", "Polynomial"):
        given["steps"] = 80
    made = cls(**given)
    k = np.arange(0, 101)
    fine = np.unique(np.concatenate([k, [b - 1e-9 for b in range(1, 101)]]))
    entry.picture = curves([Curve(fine, made.at(fine))], f"{name} over the steps", y_range=(0.0, 0.106))
    told = ", ".join(f"{n}={v!r}" for n, v in given.items())
    entry.caption = f'<span class="value">rate</span> by the step, {code(f"{name}({told})")}'
    verdict = made.robbins_monro()
    entry.facts["Robbins-Monro"] = f"{'met' if verdict else 'not met'}: {verdict.reason}"
    entry.facts["Derivative"] = "none is taken by k; its numbers are arguments of the compiled step"
    return entry
