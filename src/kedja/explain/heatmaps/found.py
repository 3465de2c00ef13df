"""What `kj.explain.heatmap` gives: maps as numbers, as a table and as a picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import ShapeError
from kedja.explain.heatmaps.answers import Answer
from kedja.explain.heatmaps.asking import Asked
from kedja.explain.heatmaps.enlarging import enlarged
from kedja.explain.heatmaps.painting import Panel, overlaid, painted, reach_of
from kedja.explain.heatmaps.targets import chances, chosen
from kedja.explain.heatmaps.titles import ABOUT, TITLES, share
from kedja.explain.pictures.marks import number, short
from kedja.explain.pictures.picture import Plotted, returned
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HeatMap"]

COLUMNS = 5
LONGEST = 22  # letters of a name that stand in a picture


class HeatMap(Plotted):
    """Heat maps of images: one each for every method, image and class that was asked for.

    `values`: the maps at the size of the image, (methods, images, classes, *places), without the axes of what was not
    given as a list: (height, width) for one image, class and method. `raw` by method: the maps at the size they were
    made at. `target`, `targets` (images, classes): the classes; `predicted` (images,): what the model says;
    `scores` (images, classes): what was asked about, `probabilities` likewise or None; `layer`: whose maps were
    weighed, or None. `completeness` of integrated gradients: (Σ map, s(x) − s(baseline)) of each.
    """

    def __init__(
        self, found: Asked, answers: Mapping[str, Answer], targets: Array, single: tuple[bool, bool, bool], shown: Array
    ) -> None:  # fmt: skip
        n, t = targets.shape
        self.places, self.score = found.places, found.score
        self.about = found.score if found.score == "probability" or found.link != "values" else "output"
        self.names, self.targets, self.pictures = found.names, targets, shown
        self.methods, self.answers = list(answers), dict(answers)
        self._single = single  # one method, one image, one class
        sized = [enlarged(a.maps, self.places).reshape(n, t, *self.places) for a in answers.values()]
        self.full = np.stack(sized)
        self.raw = {m: a.maps.reshape(n, t, *a.maps.shape[1:]) for m, a in answers.items()}
        self.layer = next((a.layer for a in answers.values() if a.layer is not None), None)
        every = chances(found)
        self.probabilities = None if every is None else np.take_along_axis(every, targets, 1)
        self.predicted = chosen(found, None, None)[0][:, 0] if found.classes > 1 else None
        self.classes = found.classes
        scored = found.traced(found.rows_for(n))
        scores = found.run(scored, [scored.scores], found.x)[0]
        each = np.repeat(scores, t, 0) * found.weights(targets.ravel())
        self.scores = each.sum(1).reshape(n, t)
        panels = self._panels()
        rows, columns = len(panels), max(map(len, panels))
        side = 2.1 if len(self.places) > 1 else 3.4
        tall = side * (self.places[-2] / self.places[-1] if len(self.places) > 1 else 0.5)
        self.figure_size = (0.3 + (side + 0.6) * columns, (min(tall, 4.2) + 0.75) * rows)

    @property
    def values(self) -> Array:
        """The maps at the size of the image; see the class."""
        found: Array = self.full[tuple(0 if one else slice(None) for one in self._single)]
        return found

    @property
    def target(self) -> Any:
        """The class asked about, or the list of them; of several images with classes of their own, a list for each."""
        same = (self.targets == self.targets[:1]).all()
        found = self.targets[0] if self._single[1] or (same and not self._single[2]) else self.targets
        return found[..., 0].tolist() if self._single[2] else found.tolist()

    @property
    def completeness(self) -> tuple[Array, Array] | None:
        """Of integrated gradients: what each map adds up to, and what it should, s(x) − s(baseline)."""
        answer = self.answers.get("integrated_gradients")
        if answer is None or answer.whole is None or answer.error is None:
            return None
        shape = self.targets.shape
        return (answer.whole + answer.error).reshape(shape), answer.whole.reshape(shape)

    def name_of(self, target: int) -> str:
        """What a class is called."""
        return str(self.names[target]) if self.names is not None else str(target)

    def said(self, image: int, t: int) -> str:
        """A class with its probability, or with its score where there is none."""
        name = short(self.name_of(int(self.targets[image, t])), LONGEST)
        if self.classes == 1:
            return _("output {value}").format(value=number(float(self.scores[image, t]), 3))
        if self.probabilities is None:
            return f"{name}, s = {number(float(self.scores[image, t]), 3)}"
        return f"{name}, {share(float(self.probabilities[image, t]))}"

    @property
    def table(self) -> Table:
        """Each map: its class, how likely, the score, where it is strongest, and what it reaches from and to."""
        n, t = self.targets.shape
        rows = []
        for m, method in enumerate(self.methods):
            for i in range(n):
                for k in range(t):
                    values = self.full[m, i, k]
                    place = np.unravel_index(int(values.argmax()), values.shape)
                    chance = "" if self.probabilities is None else share(float(self.probabilities[i, k]))
                    rows.append((
                        _(TITLES[method]), str(i + 1), self.name_of(int(self.targets[i, k])), chance,
                        number(float(self.scores[i, k]), 4), ", ".join(str(p + 1) for p in place),
                        number(float(values.min()), 3), number(float(values.max()), 3),
                    ))  # fmt: skip
        head = (
            _("method"),
            _("image"),
            _("class"),
            _("probability"),
            _("score"),
            _("strongest at"),
            _("least"),
            _("most"),
        )
        keep = [j for j in range(8) if not (j == 1 and n == 1) and not (j == 3 and self.probabilities is None)]
        right = tuple(i for i, j in enumerate(keep) if j in (3, 4, 6, 7))
        return Table(
            tuple(head[j] for j in keep),
            [tuple(row[j] for j in keep) for row in rows],
            right=right,
            notes=self._notes(),
        )

    def _notes(self) -> tuple[str, ...]:
        found = [_(ABOUT[self.about])]
        if self.layer is not None:
            raw = next(self.raw[m] for m in self.methods if self.answers[m].layer is not None)
            found.append(
                _("maps of layer {layer}, {size} places").format(
                    layer=self.layer, size="×".join(map(str, raw.shape[2:]))
                )
            )
        if "grad_cam" in self.raw and not self.raw["grad_cam"].any(axis=tuple(range(2, 2 + len(self.places)))).all():
            found.append(_("Grad-CAM is 0 where no map speaks for the class: signed=True shows what speaks against it"))
        if (both := self.completeness) is not None:
            worst = int(np.abs(both[0] - both[1]).argmax())
            made, whole = float(both[0].flat[worst]), float(both[1].flat[worst])
            found.append(
                _("integrated gradients add up to {made}; s(x) − s(baseline) = {whole}, error {error}").format(
                    made=number(made), whole=number(whole), error=number(abs(made - whole), 2)
                )
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the maps and what they are of."""
        both = self.completeness
        return {
            "methods": self.methods, "layer": self.layer, "score": self.score, "targets": self.targets.tolist(),
            "names": [[self.name_of(int(t)) for t in row] for row in self.targets],
            "predicted": None if self.predicted is None else self.predicted.tolist(), "scores": self.scores.tolist(),
            "probabilities": None if self.probabilities is None else self.probabilities.tolist(),
            "values": self.values.tolist(),
            "completeness": None if both is None else {"sum": both[0].tolist(), "whole": both[1].tolist()},
        }  # fmt: skip

    def plot(self, path: str | os.PathLike[str] | None = None) -> HeatMap:
        """The picture, which a notebook shows; written to `path` (.png, .svg or .pdf) where one is given."""
        return returned(self, path)

    def overlay(self, method: int = 0, image: int = 0, target: int = 0) -> Array:
        """The image with one map over it, (height, width, 3) from 0 to 255: what the picture has in its panel."""
        if len(self.places) != 2:
            raise ShapeError(f"heatmap: overlay is for images; this is of {len(self.places)} axes: .plot() draws it")
        return overlaid(self.pictures[image], self.full[method, image, target])

    def paint(self, figure: Figure) -> None:
        painted(figure, self._panels(), len(self.places))

    def _panels(self) -> list[list[Panel]]:
        """The panels of the picture, row by row: of each image itself, then its maps."""
        n, t = self.targets.shape
        rows: list[list[Panel]] = []
        for i in range(n):
            image = self.pictures[i]
            first = Panel(image, None, self._answer(i))
            if t > 1:
                for m, method in enumerate(self.methods):
                    reach, negative = reach_of(self.full[m, i]), bool((self.full[m, i] < 0).any())
                    titles = [f"{_(TITLES[method])}\n{self.said(i, k)}" for k in range(t)]
                    maps = [Panel(image, self.full[m, i, k], title, reach, negative) for k, title in enumerate(titles)]
                    rows.append([first, *maps])
                continue
            line = [first] + [
                Panel(image, self.full[m, i, 0], f"{_(TITLES[method])}\n{self.said(i, 0)}")
                for m, method in enumerate(self.methods)
            ]
            across = -(-len(line) // -(-len(line) // COLUMNS))
            rows += [line[at : at + across] for at in range(0, len(line), across)]
        return rows

    def _answer(self, image: int) -> str:
        if self.predicted is None:
            return _("the image")
        name = short(self.name_of(int(self.predicted[image])), LONGEST)
        return _("the model says\n{name}").format(name=name)
