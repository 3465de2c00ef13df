"""A drawing as TikZ, to stand in a LaTeX document that uses the package tikz."""

from __future__ import annotations

import re

from kedja.explain.pictures.scene import COLOURS, Box, Circle, Item, Line, Scene, look
from kedja.explain.show.naming import LETTERS

__all__ = ["texed", "tikz"]

ESCAPED = {"\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{",
           "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}  # fmt: skip
MATH = {
    "−": "-", "×": r"\times ", "·": r"\cdot ", "∂": r"\partial ", "→": r"\to ", "←": r"\leftarrow ", "⋮": r"\vdots ",
    "∗": r"\ast ", "…": r"\ldots ", "∞": r"\infty ", "Σ": r"\sum ", "‖": r"\|", "√": r"\surd ", "≤": r"\leq ",
    "≥": r"\geq ", "∘": r"\circ ", "⊗": r"\otimes ", "⊙": r"\odot ", "²": "^{2}", "ᵀ": r"^{\top}", "′": "'", "<": "<",
    ">": ">", "|": "|",
}  # fmt: skip
GREEK = {letter: f"\\{name}" for name, letter in LETTERS.items()} | {"ε": r"\varepsilon", "φ": r"\varphi"}
UP, DOWN = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁽⁾", "₀₁₂₃₄₅₆₇₈₉"
RAISED = re.compile(f"[{UP}]+")
LOWERED = re.compile(f"[{DOWN}]+")


def texed(text: str) -> str:
    """A line of text as LaTeX: its signs as mathematics, what LaTeX reads otherwise escaped.

    >>> texed("∂E/∂w₁ = −1.2×10⁻⁵"), texed("dense_1, 50 %")
    ('$\\\\partial $E/$\\\\partial $w$_{1}$ = $-$1.2$\\\\times $10$^{-5}$', 'dense\\\\_1, 50 \\\\%')
    """
    found = "".join(f"${MATH[c]}$" if c in MATH else f"${GREEK[c]}$" if c in GREEK else ESCAPED.get(c, c) for c in text)
    found = RAISED.sub(lambda m: "$^{" + m[0].translate(str.maketrans(UP, "0123456789-()")) + "}$", found)
    return LOWERED.sub(lambda m: "$_{" + m[0].translate(str.maketrans(DOWN, "0123456789")) + "}$", found)


def tikz(scene: Scene) -> str:
    """The drawing as a tikzpicture, one item a line; a pixel is a point."""
    used = {name for item in scene.items for name in _colours(item)}
    lines = [f"% {scene.spoken}".replace("\n", " "), "% needs \\usepackage{tikz}"]
    lines += [rf"\definecolor{{kj{n}}}{{HTML}}{{{COLOURS[n][0][1:].upper()}}}" for n in COLOURS if n in used]
    lines.append(r"\begin{tikzpicture}[x=1pt, y=-1pt, every node/.style={inner sep=0pt, font=\sffamily}]")
    for item in scene.items:
        lines.append("  " + _written(item))
    return "\n".join([*lines, r"\end{tikzpicture}"]) + "\n"


def _colours(item: Item) -> list[str]:
    found = look(item)
    tint = ["blue" if item.tone.endswith("plus") else "orange"] if isinstance(item, Circle) and item.tone else []
    return [c for c in (found["fill"], found["stroke"], *tint) if c in COLOURS]


def _written(item: Item) -> str:
    shown = look(item)
    if isinstance(item, Line):
        return _line(item, shown["stroke"])
    fill = f"fill=kj{shown['fill']}" if shown["fill"] in COLOURS else ""
    edge = f"draw=kj{shown['stroke']}, line width={shown['stroke-width']}pt" if shown["stroke"] in COLOURS else ""
    if isinstance(item, Circle):
        circle = f"({item.x:.1f},{item.y:.1f}) circle[radius={item.r:g}]"
        drawn = rf"\path[{fill}, {edge}] {circle};"
        if item.tone:
            tone = "blue" if item.tone.endswith("plus") else "orange"
            drawn += rf" \path[fill=kj{tone}, fill opacity={item.share:.2f}] {circle};"
        return drawn
    if isinstance(item, Box):
        round_ = f"rounded corners={item.radius:g}pt" if item.radius else ""
        thin = f"fill opacity={item.opacity:.2f}" if item.opacity < 1 else ""
        how = ", ".join(part for part in (fill, edge, round_, thin) if part)
        corner = f"({item.x + item.width:.1f},{item.y + item.height:.1f})"
        return rf"\path[{how}] ({item.x:.1f},{item.y:.1f}) rectangle {corner};"
    anchor = {"middle": "base", "end": "base east"}.get(shown.get("text-anchor", ""), "base west")
    weight = r"\bfseries" if "font-weight" in shown else ""
    font = rf"font=\sffamily{weight}\fontsize{{{item.size:g}}}{{{1.2 * item.size:g}}}\selectfont"
    halo = ", fill=kjpaper, inner sep=1pt" if "weight" in item.role.split() else ""
    text = item.tex or texed(item.text)
    return rf"\node[anchor={anchor}, text=kj{shown['fill']}, {font}{halo}] at ({item.x:.1f},{item.y:.1f}) {{{text}}};"


def _line(line: Line, colour: str) -> str:
    points = [f"({x:.1f},{y:.1f})" for x, y in line.shaft()]
    if line.bend:
        route = points[0]
        for first, second, end in line.controls():
            route += " .. controls " + " and ".join(f"({x:.1f},{y:.1f})" for x, y in (first, second))
            route += f" .. ({end[0]:.1f},{end[1]:.1f})"
    else:
        route = " -- ".join(points)
    drawn = rf"\draw[kj{colour}, line width={line.width:.2f}pt, opacity={line.opacity:.2f}] {route};"
    if line.arrow:
        tip = " -- ".join(f"({x:.1f},{y:.1f})" for x, y in line.head())
        drawn += rf" \fill[kj{colour}] {tip} -- cycle;"
    return drawn
