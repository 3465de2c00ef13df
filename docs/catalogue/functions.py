"""Ops and activations: their TeX, their derivatives, and their curves."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

import kedja as kj
from kedja.nn.activations.entry import Entry as Activation
from kedja.ops.describe import ACCEPTED, LETTERS
from kedja.ops.formula import formula
from kedja.ops.op import Elementwise, Op, is_differentiable

from .drawing import Curve, curves, matrix
from .entry import Entry, call, code, inline
from .mathml import by_itself, from_tex
from .prose import parts, typeset

__all__ = ["VALUE_AND_SLOPE", "activation", "broken", "curve_of", "op"]


# --- activations ----------------------------------------------------------------------------------------------------
def activation(name: str, known: Activation) -> Entry:
    """An activation: all of it stands in its entry of the table."""
    facts = {
        "Derivative": from_tex(known.derivative),
        "Range": from_tex(known.range) + (", rising" if known.monotone else ", not monotone"),
        "Kinks": ", ".join(f"{k:g}" for k in known.kinks).replace("-", "−") if known.elementwise else "",
        "Call": call(known.function, f"kj.activations.{name}") if known.parameters else code(f"kj.activations.{name}"),
        "Layer": code(f"kj.nn.{known.layer}"),
        "Weights before it": f"{code(known.init)} by {code('init=&quot;auto&quot;'.replace('&quot;', chr(34)))}",
        "Also called": ", ".join(code(alias) for alias in known.aliases),
        "Source": known.source,
    }
    picture, caption = curve_of(known)
    return Entry("activations", name, by_itself(from_tex(known.formula)), facts, "", picture, caption)


def curve_of(known: Activation) -> tuple[str, str]:
    """Value and derivative, with gaps where they jump."""
    reach = max(5.0, 1.6 * max(map(abs, known.kinks), default=0.0))
    x = np.linspace(-reach, reach, 321)
    value, slope = kj.activations.curve(known.name, x)
    for kink in known.kinks:
        beside = np.abs(x - kink) <= np.diff(x).max() / 2
        jump = np.ptp(kj.activations.curve(known.name, [kink - 1e-6, kink + 1e-6]), axis=1) > 1e-3
        value[beside & jump[0]], slope[beside & jump[1]] = np.nan, np.nan
    low = max(-reach, np.nanmin([value, slope]) - 0.3)
    high = min(reach, np.nanmax([value, slope]) + 0.3)
    drawn = [Curve(x, value), Curve(x, slope, "slope")]
    caption = f"{VALUE_AND_SLOPE}{'' if known.elementwise else ', of (x, 0), the first'}"
    return curves(drawn, f"{known.name} and its derivative", y_range=(float(low), float(high))), caption


VALUE_AND_SLOPE = '<span class="value">value</span> and <span class="slope">derivative</span>'


# --- ops ------------------------------------------------------------------------------------------------------------
def op(name: str, known: Op) -> Entry:
    """An op: its stanza, written out."""
    if isinstance(known, Elementwise):
        return elementwise(name, known)
    said = parts(known)
    facts = {"Kind": KINDS[known.kind], "Derivative": "none flows through it" if not is_differentiable(known) else ""}
    case = sample(known)
    if facts["Derivative"] == "":
        facts["Derivative"] = adjoint(known, case) or "stated in both modes by hand"
    entry = Entry("ops", name, typeset(known.doc), facts)
    entry.picture, entry.caption = jacobian(known, case)
    if said.get("Source"):
        entry.facts["Source"] = inline(said["Source"])
    return entry


KINDS = {
    "bilinear": "linear in each of its two inputs",
    "by_hand": "states its derivative by hand",
    "elementwise": "elementwise",
    "linear": "linear: its derivative is itself, its adjoint is the way back",
    "nondifferentiable": "piecewise constant, or of whole numbers",
}


def elementwise(name: str, known: Elementwise) -> Entry:
    """The op and its partial derivatives, in TeX, as the stanza has them."""
    letters = LETTERS[known.arity]
    dtype = {"bool": "bool", "integer": "int64"}.get(known.accepts, "float32")
    inputs = [kj.placeholder((), dtype, letter) for letter in letters]
    node = known(*inputs)
    slopes = []
    for letter, partial in zip(letters, known.partials or (), strict=False):
        slope = partial(*inputs, node)
        tex = formula(slope, "tex", {node: "y"}) if hasattr(slope, "op") else f"{slope:g}"
        slopes.append(from_tex(rf"\frac{{\partial y}}{{\partial {letter}}} = {tex}"))
    facts = {
        "Kind": f"elementwise, of {ACCEPTED[known.accepts]}",
        "Derivative": ", ".join(slopes) or "none flows through it",
    }
    entry = Entry("ops", name, by_itself(from_tex(f"y = {node.tex()}")), facts)
    entry.picture, entry.caption = graph(name, known)
    return entry


def graph(name: str, known: Elementwise) -> tuple[str, str]:
    """Value and derivative by the first input, where it takes numbers."""
    if known.accepts == "bool":
        return "", "no picture: it takes truth values"
    if known.arity > 2:
        return "", "no picture: it has three inputs"
    whole = known.accepts == "integer"
    x, second, dtype = (np.arange(-8, 9), 3, "int64") if whole else (np.linspace(-4, 4, 321), 1.5, "float64")
    a = kj.tensor(x, dtype=dtype)
    fixed = [kj.tensor(np.full(x.shape, second), dtype=dtype)] * (known.arity - 1)
    with np.errstate(all="ignore"):
        y = known(a, *fixed)
        drawn = [Curve(x, broken(np.asarray(y.numpy(), float)))]
        if known.partials is not None:
            drawn.append(Curve(x, broken(kj.grad(y.sum(), a).numpy()), "slope"))
    told = VALUE_AND_SLOPE if known.partials is not None else '<span class="value">value</span>'
    if known.partials is None and not np.ptp(drawn[0].y):
        return "", "no picture: it is the same for all finite numbers"
    low, high = limits(np.concatenate([c.y for c in drawn]))
    return curves(drawn, name, y_range=(low, high)), told + (f" of {name}(x, {second})" if known.arity == 2 else "")


def limits(values: Any) -> tuple[float, float]:
    """A range that shows the middle of the numbers and lets poles run out."""
    known = values[np.isfinite(values)]
    low, high = max(-6.0, float(known.min())), min(6.0, float(known.max()))
    pad = 0.06 * (high - low) or 0.5
    return low - pad, high + pad


def broken(values: Any) -> Any:
    """Values with a gap at every jump, so that no line is drawn where there are none."""
    found = np.array(values, float)
    with np.errstate(invalid="ignore"):
        step = np.abs(np.diff(found))
    jump = step > 0.6
    found[1:][jump & (step > 20 * np.nanmedian(step))] = np.nan
    return found


def sample(known: Op) -> Any:
    """The smallest of an op's samples that shows something, as arrays and attributes."""
    found = []
    for one in () if known.runs_graphs else known.samples(np.random.default_rng(0)):
        arrays = [np.asarray(a) for a in one.args]
        attrs = one.attrs(np.dtype(np.float64)) if callable(one.attrs) else dict(one.attrs)
        y = known(*(kj.placeholder(a.shape, a.dtype) for a in arrays), **attrs)
        sizes = [y.size, *(a.size for a in arrays)]
        found.append((min(sizes) < 3, sum(sizes), len(found), arrays, attrs))
    return min(found, key=lambda one: one[:3])[3:] if found else None


def adjoint(known: Op, case: Any) -> str:
    """What each input receives when the output receives g, in kedja's own words; nothing where that is long."""
    if case is None:
        return ""
    arrays, attrs = case
    inputs = [kj.placeholder(a.shape, a.dtype, letter) for a, letter in zip(arrays, "abcde", strict=False)]
    node = known(*inputs, **attrs)
    g = kj.placeholder(node.shape, node.dtype, "g")
    told = {}
    for x, message in zip(inputs, known.pull(node, g, [True] * len(inputs)), strict=False):
        if message is not None:
            told[x.name] = formula(message, "text", {node: "y"})
    if not told or max(map(len, told.values())) > 110:
        return ""
    each = ", ".join(f"{code(str(name))} gets {code(text)}" for name, text in told.items())
    return f"where {code('y')} gets {code('g')}, {each}"


def jacobian(known: Op, case: Any) -> tuple[str, str]:
    """∂y/∂x of the first sample, as squares; or why there is none."""
    if case is None:
        return "", "no picture: a loop is what its body is"
    arrays, attrs = case
    inputs = [kj.tensor(a, dtype=a.dtype) for a in arrays]
    node = known(*inputs, **attrs)
    floats = [x for x in inputs if x.dtype == np.float64]
    if not is_differentiable(known) or not floats or node.dtype != np.float64:
        return "", "no picture: it has no derivative"
    columns = [np.asarray(kj.jacobian(node, x).numpy()).reshape(node.size, x.size) for x in floats]
    found = np.concatenate(columns, 1)
    found = found[:36, :48]  # of large ones a corner
    shapes = " and ".join(html.escape(str(tuple(a.shape))) for a in arrays)
    return matrix(found, f"the Jacobian of {known.name}"), f"{JACOBIAN}, for {shapes} → {tuple(node.shape)}"


JACOBIAN = "∂y/∂x: a row for each output, a column for each input"
