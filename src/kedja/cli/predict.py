"""`kedja predict`: what a trained network says of new rows, as CSV."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from kedja.cli.folder import opened
from kedja.cli.judge import chances
from kedja.cli.picture_answers import learned_from_pictures
from kedja.cli.picture_answers import predict as picture_answers
from kedja.cli.rows import rows_for
from kedja.engines.choice import kernels_of
from kedja.errors import DataError
from kedja.files import write_whole

__all__ = ["run"]


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Write one line per row: the class, with `--proba` the probability of each; or the number, in its own units."""
    kernels = kernels_of(options.kernels)
    if learned_from_pictures(options.run):
        return picture_answers(options)
    out = Path(options.out) if options.out is not None else None
    if out is not None and out.exists():
        raise DataError(f"{out} exists already and is not overwritten: give another name with --out.")
    net, about, _ = opened(options.run)
    if options.proba and about.class_names is None:
        raise DataError(f"--proba is for classes; this network predicts the number {about.target!r}.")
    rows = rows_for(options.data, about, answers=False)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if about.class_names is None:
        writer.writerow(["prediction"])
        writer.writerows([str(value)] for value in net.predict(rows.x, kernels=kernels).ravel())
    else:
        labels = [about.class_names[label] for label in net.predict_labels(rows.x, kernels=kernels)]
        shares = chances(net, rows, kernels) if options.proba else None
        writer.writerow(["prediction", *(f"p({name})" for name in about.class_names if options.proba)])
        for row, label in enumerate(labels):
            writer.writerow([label, *(f"{p:.6g}" for p in (shares[row] if shares is not None else ()))])
    if out is not None:
        write_whole(out, text.getvalue())
        print(f"{len(rows):,} predictions in {out}", file=sys.stderr)
        return 0
    if not sys.stdout.isatty() and (change := getattr(sys.stdout, "reconfigure", None)) is not None:
        change(encoding="utf-8")  # what is read by a program is the same on every system
    sys.stdout.write(text.getvalue())
    return 0
