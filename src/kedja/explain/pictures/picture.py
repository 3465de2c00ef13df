"""What every picture can do: be shown in a notebook, written to a file, copied as SVG, and read as a table."""

from __future__ import annotations

import base64
import io
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kedja.errors import DataError, KedjaError
from kedja.explain.pictures.scene import Scene
from kedja.explain.show.table import Tabular
from kedja.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE", "FAINT", "INK", "LINES", "ORANGE", "Drawn", "Picture", "Plotted", "decades", "quiet", "returned", "signed",
]  # fmt: skip

BLUE, ORANGE, INK, FAINT = "#2468b4", "#d5700b", "#2b2b2b", "#8a929c"
# Lines are told apart by their dashes too, so that no picture needs its colours.
LINES: list[tuple[str, Any]] = [
    (BLUE, "-"), (ORANGE, (0, (6, 2))), ("#1a8a6b", (0, (1, 1.2))), ("#8e4fa8", (0, (6, 1.5, 1, 1.5))),
    ("#6b5310", (0, (3, 1))), ("#46525e", (0, (8, 2, 1, 2, 1, 2))), ("#c2407e", (0, (2, 2))), ("#0f7f9c", "-"),
]  # fmt: skip
RESOLUTION = {"svg": 72}  # of the parts of an SVG that are an image; else 150
STYLE: Any = {"svg.hashsalt": "kedja", "svg.fonttype": "none"}


class Picture(Tabular):
    """A picture: `save` writes .svg, .png or .pdf, `svg()` is its text, and `str()` the table of what it shows."""

    figure_size: tuple[float, float] = (5.4, 3.6)

    def paint(self, figure: Figure) -> None:
        """Draw on an empty figure of matplotlib."""
        raise NotImplementedError

    @property
    def figure(self) -> Figure:
        """The picture as a new Figure of matplotlib."""
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise KedjaError(
                'this picture is drawn with matplotlib, which is missing: pip install "kedja[plot]"'
            ) from error
        figure = Figure(figsize=self.figure_size, layout="constrained")
        self.paint(figure)
        return figure

    def show(self) -> None:
        """Open a window with the picture; in a notebook the picture's name alone shows it."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise KedjaError('show() draws with matplotlib, which is missing: pip install "kedja[plot]"') from error
        self.paint(plt.figure(figsize=self.figure_size, layout="constrained"))
        plt.show()

    def _bytes(self, kind: str) -> bytes:
        figure = self.figure  # first: it says what to do where matplotlib is missing
        import matplotlib

        held = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            figure.savefig(
                held, format=kind, dpi=RESOLUTION.get(kind, 150), metadata={"Date": None} if kind == "svg" else None
            )
        return held.getvalue()

    def svg(self) -> str:
        """The picture as the text of an SVG file."""
        return self._bytes("svg").decode()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file: .svg, .png or .pdf; those that are drawn with lines also as .tex."""
        kind = Path(path).suffix.lower().removeprefix(".")
        texts = {"svg": self.svg} | ({"tex": self.tex} if isinstance(self, Drawn) else {})
        if kind in texts:
            write_whole(Path(path), texts[kind]().encode())
        elif kind in ("png", "pdf"):
            write_whole(Path(path), self._bytes(kind))
        else:
            known = ", ".join(f".{k}" for k in sorted({*texts, "png", "pdf"}))
            raise DataError(f"a picture is saved as one of {known}; got {str(path)!r}")

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self._bytes("png")).decode("ascii")
        width = round(72 * 1.2 * self.figure_size[0])
        shown = f'style="width:{width}px;max-width:100%" src="data:image/png;base64,{picture}"'
        return f'<img alt="{type(self).__name__}" {shown}>'


P = TypeVar("P", bound=Picture)


def returned(picture: P, path: str | os.PathLike[str] | None) -> P:
    """The picture, written to a file first where one is given."""
    if path is not None:
        picture.save(path)
    return picture


class Drawn(Picture):
    """A picture of lines and boxes with a layout of its own: SVG without matplotlib, and TikZ."""

    @property
    def scene(self) -> Scene:
        """What is drawn where."""
        raise NotImplementedError

    def svg(self) -> str:
        return self.scene.svg()

    def tex(self) -> str:
        """The picture in LaTeX, for a document that uses the package tikz."""
        from kedja.explain.pictures.tikz import tikz

        return tikz(self.scene)

    def paint(self, figure: Figure) -> None:
        from kedja.explain.pictures.painted import painted

        figure.set_layout_engine("none")
        painted(self.scene, figure)

    def _repr_html_(self) -> str:
        return self.scene.svg()


class Plotted(Picture):
    """A picture of curves or images, drawn by matplotlib."""


def signed() -> Any:
    """Colours for numbers of both signs: orange below 0, white, blue above, as in the drawing of a network."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", ["#7a3a00", ORANGE, "#f7f7f7", BLUE, "#0c3360"])


def quiet(ax: Axes, title: str = "", **labels: Any) -> None:
    """A panel without the frame's upper and right line, its title on the left."""
    ax.spines[["top", "right"]].set_visible(False)
    if title:
        ax.set_title(title, loc="left", fontsize=10, fontweight="bold")
    ax.set(**labels)
    ax.tick_params(labelsize=8)


def decades(ax: Axes) -> None:
    """Let a logarithmic axis reach over two powers of ten at least: fewer would leave it with one number or none."""
    low, high = np.log10(ax.get_ylim())
    if math.floor(high) - math.ceil(low) < 1:
        ax.set_ylim(10.0 ** math.floor(low), 10.0 ** math.ceil(high))
