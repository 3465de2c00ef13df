"""The parts of an exported program that stand around its layers: imports, weights, reading of files."""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

import kedja
from kedja.formats.export.writing import packed_arrays
from kedja.nn import layers as nn
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module

__all__ = ["columns", "head", "main", "predicting", "weights_text"]

Array = np.ndarray[Any, Any]


IMPORTS = ("base64", "csv", "io", "math", "sys")


def head(model: Module, shape: Sequence[Any], text: str) -> str:
    """What the program is, and the imports that its text needs."""
    about = model.info.get("data")
    on = f", trained on {about}" if isinstance(about, str) else ""
    sizes = ", ".join("n" if n is None else str(n) for n in shape)
    said = f"{model.name or type(model).__name__}{on}, as a program that needs NumPy alone."
    used = [f"import {name}" for name in IMPORTS if f"{name}." in text]
    used += [f"from {home} import {name}" for home, name in FROM if re.search(rf"\b{name}\b", text)]
    return (
        f'"""{said}\n\npredict(x) takes an array ({sizes}) and gives the output of the network. '
        f'Written by kedja {kedja.__version__}.\n{_pictures(model)}"""\n\n'
        + "\n".join(used)
        + "\n\nimport numpy as np\n\nArray = np.ndarray"
    )


def _pictures(model: Module) -> str:
    """What images went through before the network saw them, which the program leaves to its user."""
    how = model.info.get("preprocess")
    if not how:
        return ""
    return (
        "Its numbers are those of images cut to that size, (pixel - mean) / std with pixels of 0 to 255:\n"
        f"mean {how['mean']}, std {how['std']}.\n"
    )


FROM = (("itertools", "product"), ("pathlib", "Path"), ("typing", "Any"))


def weights_text(weights: dict[str, Array], beside: str, inside: bool) -> str:
    """The weights, in the program or read from the file beside it."""
    if not inside:
        return f'W = dict(np.load(Path(__file__).with_name("{beside}")))'
    if not weights:
        return "W = {}"
    text = base64.b64encode(packed_arrays(weights)).decode()
    return (
        '# The weights: an .npz file as text.\nW = dict(np.load(io.BytesIO(base64.b64decode("""\n'
        + "\n".join(textwrap.wrap(text, 116))
        + '\n"""))))'
    )


def predicting(lines: Sequence[str], result: str, dtype: Any) -> str:
    """The function `predict`."""
    body = "\n".join(f"    {line}" for line in lines)
    return (
        f'def predict(x: Any) -> Array:\n    """The output of the network for rows x."""\n'
        f"    x = np.asarray(x, np.{np.dtype(dtype).name})\n{body}\n    return {result}"
    )


def columns(model: Module) -> str:
    """How text becomes numbers, for models that take the columns of a file."""
    front = next((layer for _, layer in model.members() if isinstance(layer, Layer)), None)
    if not isinstance(front, nn.Columns):
        return ""
    lines = []
    for c in front._columns:
        if c.kind != "nothing":
            more = f", {list(c.categories)!r}" if c.kind == "category" else f", {c.offset!r}"
            lines.append(f"    ({c.name!r}, {c.kind!r}{more}),")
    table = "\n".join(lines)
    about = "# The columns of a row: name, kind, and what is taken off, or the categories."
    return f"{about}\nCOLUMNS = [\n{table}\n]\n{ENCODE}"


ENCODE = '''MISSING = {"", "?", "n/a", "na", "nan", "none", "null", "<na>", "nat"}


def label(text: str) -> str:
    """A category as it is known: 3 and 3.0 are one, a cell without a value has no letters."""
    if text.lower() in MISSING:
        return ""
    try:
        return text if len(text) > 1 and text.startswith("0") else f"{float(text):.15g}"
    except ValueError:
        return text


def encode(rows: Any) -> Array:
    """Rows as dicts of text, by the names of the columns, as the numbers that predict takes."""
    if rows and (lacking := [name for name, *_ in COLUMNS if name not in rows[0]]):
        raise ValueError(f"the rows lack the columns {lacking}")
    x = np.full((len(rows), len(COLUMNS)), np.nan)
    for i, row in enumerate(rows):
        for j, (name, kind, about) in enumerate(COLUMNS):
            text = str(row[name]).strip()
            if kind == "category":
                x[i, j] = about.index(label(text)) + 1 if label(text) in about else 0
            elif text.lower() not in MISSING:
                days = np.datetime64(text, "s").astype(float) / 86_400 if kind == "date" else float(text)
                x[i, j] = days - about
    return x'''


READ = '''def read(path: str) -> Array:
    """The numbers of a CSV file; a first line that holds names is passed over."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    try:
        list(map(float, rows[0]))
    except ValueError:
        rows = rows[1:]
    return np.array(rows, float)


'''


def main(model: Module, shape: Sequence[Any]) -> str:
    """What the program does with a file."""
    front = next((layer for _, layer in model.members() if isinstance(layer, Layer)), None)
    classes, names = model.info.get("class_names"), model.info.get("feature_names")
    lines = ['if __name__ == "__main__":  # python this.py rows.csv', "    if len(sys.argv) != 2:"]
    lines += ['        sys.exit(f"python {sys.argv[0]} rows.csv: give one file of rows")']
    before = ""
    if isinstance(front, nn.Columns):
        lines += ['    with open(sys.argv[1], newline="", encoding="utf-8") as file:']
        lines += ["        given = encode(list(csv.DictReader(file)))"]
    else:
        before = READ
        if isinstance(names, list) and len(names) <= 12:
            before = "# The columns, in this order:\n" + "".join(f"#   {name}\n" for name in names) + READ
        lines += ["    given = read(sys.argv[1])"]
        if len(shape) > 2:
            lines += [f"    given = given.reshape(-1, {', '.join(map(str, shape[1:]))})"]
    if isinstance(classes, list) and classes:
        lines += [f"    classes = {classes!r}", "    for row in predict(given):"]
        lines += ["        print(classes[int(row.argmax()) if len(row) > 1 else int(row[0] > 0.5)], *row.tolist())"]
    else:
        lines += ["    for row in predict(given):", "        print(*row.ravel().tolist())"]
    return before + "\n".join(lines)
