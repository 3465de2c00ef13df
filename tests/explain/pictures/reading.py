"""What stands in an SVG, read back by the standard library's parser."""

import xml.etree.ElementTree as ElementTree

SPACE = "{http://www.w3.org/2000/svg}"


def root(svg: str) -> ElementTree.Element:
    """The parsed drawing; anything that is not well-formed raises."""
    return ElementTree.fromstring(svg)


def texts(svg: str, role: str = "") -> list[str]:
    """The texts with this word among their classes, in order."""
    found = root(svg).iter(f"{SPACE}text")
    return [t.text or "" for t in found if not role or role in (t.get("class") or "").split()]


def titles(svg: str) -> list[str]:
    """What is read under the mouse."""
    return [t.text or "" for t in root(svg).iter(f"{SPACE}title")]


def rectangles(svg: str, role: str) -> list[tuple[float, float, float, float]]:
    """x, y, width, height of the boxes with this word among their classes."""
    found = [r for r in root(svg).iter(f"{SPACE}rect") if role in (r.get("class") or "").split()]
    return [tuple(float((r.get(k) or "0").rstrip("%")) for k in ("x", "y", "width", "height")) for r in found]  # type: ignore[misc]
