"""`kedja explain heatmap`: which places of an image speak for what a trained network answers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kedja.errors import DataError, GraphError, one_of
from kedja.explain.words import language

__all__ = ["run"]

SUBJECTS = ("heatmap",)
ENDINGS = (".pdf", ".png", ".svg")
ZOO = "zoo:"


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Print the table of the maps and write the picture; an existing file is kept."""
    if options.what not in SUBJECTS:
        raise one_of("subject of kedja explain", options.what, SUBJECTS)
    if options.language is not None:
        language(options.language)
    out = _target(options.out, Path(options.image))
    from kedja.explain.heatmaps.heat import heatmap
    from kedja.explain.heatmaps.photograph import photograph

    net = _network(options.run)
    image = photograph(options.image, net)
    if options.invert:
        if net.info.get("preprocess"):
            raise DataError("--invert is for drawings such as digits; this network was trained on photographs.")
        image = 1 - image
    methods: Any = options.method or ["grad_cam"]
    one_method = methods[0] if len(methods) == 1 else methods
    target = options.classes[0] if options.classes is not None and len(options.classes) == 1 else options.classes
    asked = {"target": target, "top": options.top, "layer": options.layer}
    try:
        found = heatmap(net, image, method=one_method, **asked)
    except GraphError:
        if options.method or options.layer:
            raise
        # A network without convolutions has no maps inside; its input can still be asked.
        found = heatmap(net, image, method="integrated_gradients", **asked)
    print(found)
    found.save(out)
    print(f"drawn in {out}", file=sys.stderr)
    return 0


def _target(out: str | None, image: Path) -> Path:
    """The file of the picture, which is not there yet."""
    if out is not None:
        path = Path(out)
        if path.suffix.lower() not in ENDINGS:
            raise DataError(f"--out {path}: give a file that ends in {', '.join(ENDINGS)}.")
        if path.exists():
            raise DataError(f"{path} exists already and is not overwritten: give another name with --out.")
        return path
    path, number = Path(f"heatmap-{image.stem}.png"), 2
    while path.exists():
        path, number = Path(f"heatmap-{image.stem}-{number}.png"), number + 1
    return path


def _network(name: str) -> Any:
    """The network of a run folder or a saved model, or one of the zoo with the weights of ImageNet."""
    if not name.startswith(ZOO):
        from kedja.formats import load

        return load(name)
    from kedja import zoo

    wanted = name.removeprefix(ZOO)
    known = [n for n in zoo.__all__ if n != "torch_names"]
    if wanted not in known:
        raise one_of("network of the zoo", wanted, known)
    return getattr(zoo, wanted)(weights="imagenet")
