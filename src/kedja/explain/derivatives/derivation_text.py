"""A derivation shown: as text, Markdown, TeX, HTML with MathML, plain data, and as a plot."""

from __future__ import annotations

import io
import os
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, KedjaError
from kedja.explain.derivatives import notation
from kedja.explain.derivatives.expression import Expression, Slope
from kedja.explain.derivatives.notation import shown
from kedja.explain.derivatives.rules import Step
from kedja.explain.derivatives.worked import Worked
from kedja.explain.pictures.marks import short
from kedja.explain.pictures.picture import BLUE, ORANGE
from kedja.explain.show.mathml import FONT, mathml
from kedja.explain.show.table import ROOM, Table
from kedja.explain.words import _, spoken
from kedja.graph.node import Array
from kedja.ops.formula import symbol
from kedja.optim.curve import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["html", "markdown", "page", "plain", "plot", "tex", "text"]

WIDEST = 60  # characters of a formula beside which its rule still stands on the same line
PLACES, REACH = 801, 3.0  # points of a curve; how far it goes to either side
SHEET = "tr{border-bottom:1px solid #ddd}table{border-collapse:collapse}math{font-size:120%}"
STYLE = "font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em"


def _rule(step: Step) -> str:
    """The rule's name and formula, and what its letter stands for."""
    where = (
        "" if step.where is None else _(", with {letter} = {inner}").format(letter=step.where[0], inner=step.where[1])
    )
    return f"{_(step.rule.name)}: {_(step.rule.text)}{where}"


def _lines(d: Worked) -> list[tuple[Expression, str]]:
    """Every formula of the derivation and the rule that led to it."""
    lines = [(step.whole, _rule(step)) for step in d.steps]
    if d.result != d.raw:
        lines.append((d.result, _("put together")))
    return lines


def text(d: Worked) -> str:
    """The derivation as plain text."""
    name = f"f({d.wrt})"
    head = f"f′({d.wrt})"
    lines = [(str(formula), rule) for formula, rule in _lines(d)]
    width = max((len(f) for f, _r in lines if len(f) <= WIDEST), default=0)
    out = [f"{name} = {d.expression}", "", f"{head} = {Slope(d.expression, d.wrt)}"]
    for formula, rule in lines:
        gap = " " * len(head)
        out.append(
            f"{gap} = {formula.ljust(width)}   {rule}".rstrip() if len(formula) <= width else f"{gap} = {formula}"
        )
        if len(formula) > width:
            out.append(" " * (len(head) + width + 6) + rule)
    if d.at is not None:
        rows = _figures(d)
        wide = max(len(r[0]) for r in rows), max(len(r[1]) for r in rows)
        out += ["", _at(d), *(f"  {a.ljust(max(wide[0], 18))}   {b.ljust(wide[1])}   {c}".rstrip() for a, b, c in rows)]
    else:
        out += ["", _("the formula {differs}").format(differs=_agreement(d))]
    out += [f"  {note}" for note in d.notes]
    return "\n".join(out)


def _at(d: Worked) -> str:
    assert d.at is not None
    return _("at {where}").format(where=", ".join(f"{n} = {shown(v)}" for n, v in d.at.values.items()))


def _figures(d: Worked) -> list[tuple[str, str, str]]:
    """What is known at the point: name, number, and how it came about."""
    at = d.at
    assert at is not None
    rows = [
        ("f", shown(at.value), ""),
        ("f′", shown(at.slope), _("by the graph: {formula}").format(formula=d.gradient.text())),
        (_("by the formula"), shown(at.by_formula), _agreement(d)),
    ]
    if at.numeric is not None:
        x = d.wrt
        how = f"(f({x} + h) - f({x} - h)) / 2h"
        if at.smooth and np.isfinite(at.slope):
            how = _("{how}, differs by {off}").format(how=how, off=f"{abs(at.numeric - at.slope):.1e}")
        rows.append((_("by perturbation"), shown(at.numeric), how))
    return rows


def _agreement(d: Worked) -> str:
    """How far the formula is from the graph."""
    if not d.checked:
        return _("f is defined at none of the places tried")
    told = _("differs from the graph by at most {worst} at {n} places")
    return told.format(worst=f"{d.worst:.0e}" if d.worst else "0", n=d.checked)


def _table(d: Worked) -> Table:
    return Table((_("at the point"), _("number"), _("how")), _figures(d), right=(1,), notes=tuple(d.notes))


def markdown(d: Worked) -> str:
    """The derivation in Markdown: a table of steps, and one of figures."""
    lines = [f"$f({symbol(d.wrt, 'tex')}) = {notation.tex(d.expression)}$", ""]
    lines += [f"| | {_('rule')} | {_('formula')} |", "| ---: | --- | --- |"]
    for i, (formula, rule) in enumerate(_lines(d), 1):
        lines.append(f"| {i} | {rule.replace('|', chr(92) + '|')} | $= {notation.tex(formula)}$ |")
    lines += ["", f"$f'({symbol(d.wrt, 'tex')}) = {notation.tex(d.result)}$"]
    if d.at is not None:
        lines += ["", f"{_at(d)}:", "", _table(d).markdown()]
    return "\n".join(lines)


def tex(d: Worked) -> str:
    """The derivation as an align* of TeX."""
    x = symbol(d.wrt, "tex")
    lines = [rf"f({x}) &= {notation.tex(d.expression)}", rf"f'({x}) &= {notation.tex(Slope(d.expression, d.wrt))}"]
    for step in d.steps:
        where = ""
        if step.where is not None:
            letter, inner = step.where
            where = rf",\; {symbol(letter, 'tex')} = {notation.tex(inner)}"
        lines.append(rf"&= {notation.tex(step.whole)} && \text{{{_(step.rule.name)}}}{where}")
    if d.result != d.raw:
        lines.append(rf"&= {notation.tex(d.result)} && \text{{{_('put together')}}}")
    if d.at is not None:
        place = ", ".join(f"{symbol(n, 'tex')} = {_tex_number(v)}" for n, v in d.at.values.items())
        lines.append(rf"f'({x})\big|_{{{place}}} &= {_tex_number(d.at.slope)}")
    return "\\begin{align*}\n" + " \\\\\n".join(lines) + "\n\\end{align*}"


def _tex_number(value: float) -> str:
    written = shown(value)
    mantissa, _e, exponent = written.partition("e")
    if exponent:
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
    return written.replace("inf", r"\infty").replace("nan", r"\text{nan}")


def html(d: Worked) -> str:
    """The derivation for a notebook: formulas in MathML."""
    x = symbol(d.wrt, "tex")
    cells = [("", "", f"f'({x}) = {notation.tex(Slope(d.expression, d.wrt))}")]
    cells += [(_(s.rule.name), _law(s), f"= {notation.tex(s.whole)}") for s in d.steps]
    if d.result != d.raw:
        cells.append((_("put together"), "", f"= {notation.tex(d.result)}"))
    left = f'style="text-align:left;{ROOM}"'
    rows = "".join(
        f'<tr><td style="text-align:right">{i or ""}</td><td {left}>{escape(name)}</td>'
        f"<td {left}>{law}</td><td {left}>{mathml(formula)}</td></tr>"
        for i, (name, law, formula) in enumerate(cells)
    )
    head = "".join(f"<th {left}>{escape(h)}</th>" for h in ("", _("rule"), "", _("formula")))
    parts = [f"<p>{mathml(f'f({x}) = {notation.tex(d.expression)}')}</p>"]
    parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
    if d.at is not None:
        parts.append(f"<p>{escape(_at(d))}</p>{_table(d).html()}")
    style = f"<style>.kedja-derivation math{{font-family:{FONT}}}</style>"
    return f'<div class="kedja-derivation">{style}{"".join(parts)}</div>'


def _law(step: Step) -> str:
    """The rule's formula, and what its letter stands for."""
    if step.where is None:
        return mathml(step.rule.tex)
    letter, inner = step.where
    return f"{mathml(step.rule.tex)}, {mathml(f'{letter} = {notation.tex(inner)}')}"


def page(d: Worked) -> str:
    """A whole page, with the plot where matplotlib is there."""
    title = f"d/d{d.wrt}[{d.expression}]"
    picture = ""
    try:
        picture = _svg(d)
    except KedjaError as error:  # no matplotlib, or a letter without a value: the page says so instead
        picture = f"<p>{escape(str(error))}</p>"
    return (
        f'<!DOCTYPE html>\n<html lang="{spoken()}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{SHEET}</style>"
        f'</head><body style="{STYLE}"><h1>{escape(title)}</h1>{html(d)}{picture}</body></html>\n'
    )


def _svg(d: Worked) -> str:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise KedjaError('the plot needs matplotlib, which is missing: pip install "kedja[plot]"') from error
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    plot(d, None, figure.add_subplot(), None)
    out = io.StringIO()
    figure.savefig(out, format="svg")
    written = out.getvalue()
    return written[written.index("<svg") :]


def plain(d: Worked) -> dict[str, Any]:
    """Plain data."""
    found: dict[str, Any] = {
        "expression": str(d.expression),
        "wrt": d.wrt,
        "steps": [
            {
                "rule": step.rule.name, "law": step.rule.text, "before": str(step.before), "after": str(step.after),
                "whole": str(step.whole), "tex": notation.tex(step.whole),
                "where": None if step.where is None else {step.where[0]: str(step.where[1])},
            }
            for step in d.steps
        ],
        "derivative": str(d.result),
        "tex": notation.tex(d.result),
        "graph": d.gradient.text(),
        "checked": d.checked,
        "worst": d.worst,
    }  # fmt: skip
    if d.at is not None:
        numbers = {k: v for k, v in d.at._asdict().items() if k != "values"}
        finite = {k: v if v is not None and np.isfinite(v) else None for k, v in numbers.items()}
        found["at"] = {"values": dict(d.at.values), **finite}
        found["notes"] = list(d.notes)
    return found


def plot(d: Worked, path: str | os.PathLike[str] | None, ax: Axes | None, bounds: tuple[float, float] | None) -> Figure:
    """The function, its derivative, and the tangent at the point."""
    values: dict[str, Any] = {} if d.at is None else dict(d.at.values)
    missing = [n for n in d.names if n not in values and n != d.wrt]
    if missing:
        raise DataError(_("plot: give {names} a value, at={{…}}, to draw the curve").format(names=", ".join(missing)))
    middle = values.get(d.wrt, 0.0)
    low, high = (middle - REACH, middle + REACH) if bounds is None else bounds
    if not low < high:
        raise DataError(_("plot: bounds are (low, high) with low < high, got {bounds}").format(bounds=(low, high)))
    x = np.linspace(low, high, PLACES)
    curves = d.slopes({**values, d.wrt: x})

    finite = np.concatenate([c[np.isfinite(c)] for c in curves])
    ends = _window(finite) if finite.size else np.zeros(2)
    height = float(ends[1] - ends[0]) or 2.0

    def draw(axes: Axes) -> None:
        for curve, label, colour in zip(curves, (f"f({d.wrt})", f"f′({d.wrt})"), (BLUE, ORANGE), strict=True):
            shown_part = np.where(np.isfinite(curve), curve, np.nan)
            leaps = np.abs(np.diff(shown_part)) > height  # over a pole no line is drawn
            shown_part[1:][leaps] = np.nan
            axes.plot(x, shown_part, color=colour, label=label, linewidth=1.8)
        axes.axhline(0, color="0.6", linewidth=0.8)
        if d.at is not None:
            axes.plot([middle], [d.at.value], "o", color=BLUE)
            if np.isfinite(d.at.slope):
                axes.plot([middle], [d.at.slope], "o", color=ORANGE)
                near = np.array([middle - REACH / 3, middle + REACH / 3])
                axes.plot(near, d.at.value + d.at.slope * (near - middle), "--", color=BLUE, label=_("tangent"))
        known = [] if d.at is None else [v for v in (d.at.value, d.at.slope) if np.isfinite(v)]
        room = 0.15 * height
        axes.set_ylim(min([ends[0] - room, *known]), max([ends[1] + room, *known]))
        axes.set(xlabel=d.wrt, xlim=(low, high))
        axes.set_title(short(f"f({d.wrt}) = {d.expression}", 56), loc="left", fontsize=10, fontweight="bold")
        axes.legend(frameon=False)

    return drawn(draw, path, ax)


def _window(values: Array) -> Array:
    """Between which values the picture shows the curves: near a pole they are cut off."""
    wide, narrow = np.percentile(values, [2, 98]), np.percentile(values, [12, 88])
    return (
        wide if np.ptp(wide) < 6 * np.ptp(narrow) or not np.ptp(narrow) else narrow + np.ptp(narrow) * np.array([-1, 1])
    )
