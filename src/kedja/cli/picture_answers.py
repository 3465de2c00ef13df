"""`kedja predict` and `kedja evaluate` for runs that were trained on a folder of images."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from kedja.cli.judge import Judgement
from kedja.cli.picture_run import as_rows, held_out
from kedja.cli.pictures import Pictures, found_in, judged, probabilities
from kedja.data.source import Part
from kedja.errors import DataError, FormatError
from kedja.files import write_whole

__all__ = ["evaluate", "learned_from_pictures", "predict"]


def learned_from_pictures(run: str) -> bool:
    """Whether a run was trained on images; what is wrong with its folder is told when it is opened."""
    try:
        said = json.loads((Path(run) / "model.json").read_text(encoding="utf-8"))
        return "pictures" in said["info"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def opened(run: str) -> tuple[Any, dict[str, Any], tuple[int, int]]:
    """The network, what it says of its images, and how large they are."""
    from kedja.formats import load

    net = load(run)
    info = net.info
    try:
        good = all(isinstance(name, str) for name in info["class_names"]) and len(info["class_names"]) > 1
        good = good and all(isinstance(info["pictures"][k], str) for k in ("folder", "contents", "from_run"))
        good = good and len(net.input_shape) == 4 and dict(info["held_out"]) is not None
        good = good and len(info["preprocess"]["mean"]) == len(info["preprocess"]["std"]) == net.input_shape[3]
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise FormatError(f"{Path(run) / 'model.json'} is damaged: what it says of its images cannot be read.")
    return net, info, (net.input_shape[1], net.input_shape[2])


def predict(options: argparse.Namespace) -> int:
    """One line for each image: its file, the class, with `--proba` the probability of each."""
    out = Path(options.out) if options.out is not None else None
    if out is not None and out.exists():
        raise DataError(f"{out} exists already and is not overwritten: give another name with --out.")
    net, info, size = opened(options.run)
    folder, files = found_in(options.data)
    pictures = Pictures(folder, files, size, info["preprocess"])
    chances, names = probabilities(net, pictures, options.kernels), info["class_names"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "prediction", *(f"p({name})" for name in names if options.proba)])
    for row, shares in enumerate(chances):
        some = (f"{p:.6g}" for p in shares) if options.proba else ()
        writer.writerow([pictures.shown(row), names[int(shares.argmax())], *some])
    if out is not None:
        write_whole(out, text.getvalue())
        print(f"{len(files):,} predictions in {out}", file=sys.stderr)
        return 0
    if not sys.stdout.isatty() and (change := getattr(sys.stdout, "reconfigure", None)) is not None:
        change(encoding="utf-8")
    sys.stdout.write(text.getvalue())
    return 0


def evaluate(options: argparse.Namespace) -> tuple[Judgement, str, str, list[str]]:
    """How well it tells the held-out images apart, or those of another folder; what they are; classes."""
    net, info, size = opened(options.run)
    names = info["class_names"]
    if options.data is None:
        pictures, which, what = held_out(info, Path(options.run), size)
    else:
        pictures = Pictures.in_classes(options.data, size, info["preprocess"])
        foreign = [name for name in pictures.class_names or () if name not in names]
        if foreign:
            raise DataError(
                f"{options.data} has a class folder {foreign[0]!r}, which the run does not know; "
                f"it knows {', '.join(names)}."
            )
        pictures.relabel(names)
        which = np.arange(pictures.rows)
        what = "all of it, also the images it learned from:" if pictures.contents == info["pictures"]["contents"] else (
            "all of it:"
        )  # fmt: skip
    rows = dataclasses.replace(as_rows(pictures), x=Part(pictures, which), y=pictures.labels()[which])
    return judged(net, rows, which, pictures, options.kernels), pictures.name, what, names
