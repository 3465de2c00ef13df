"""The page a training run leaves in its folder: one HTML file that needs nothing else, also offline."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kedja.cli.charts import curves, histogram, number, plain, scatter
from kedja.cli.drawing import draw_network, png_uri
from kedja.cli.page import page
from kedja.errors import DataError, ShapeError, one_of
from kedja.files import write_whole
from kedja.train.history import History

__all__ = ["Mistakes", "Report", "report_html", "write_report"]

MOST_MISTAKES = 40
MOST_CLASSES_IN_A_TABLE = 24
# Figures whose name holds one of these words are shares, and shown as per cent.
SHARES = ("accuracy", "precision", "recall", "f1")
NUMBERS = (int, float, np.number)


@dataclass(kw_only=True)
class Mistakes:
    """Rows the network got wrong: as images (k, H, W[, C]), or as table rows under `columns`.

    `true` and `predicted` are the labels as text, `probability` is what the network gave its answer; `total` is how
    many mistakes there were in all.
    """

    true: Sequence[str]
    predicted: Sequence[str]
    probability: Sequence[float] | None = None
    images: np.ndarray | None = None
    rows: Sequence[Sequence[object]] | None = None
    columns: Sequence[str] = ()
    total: int | None = None


@dataclass(kw_only=True)
class Report:
    """What the page shows, as plain data; everything but `history` may be left out, and its section with it.

    `rows` counts the rows by part, such as ``{"train": 4000, "validation": 500, "test": 500}``; `layers` are rows of
    (name, kind, output shape, parameters, activation); `weights` are (kernel, bias) pairs of a chain of dense
    layers, empty for any other network; `final` are the closing figures, the most important first; `confusion`
    counts rows by (true class, predicted class).
    """

    history: History
    title: str = "Training run"
    created: str = ""
    command: str = ""
    task: str = "classification"
    data: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    final: Mapping[str, float | str] = field(default_factory=dict)
    layers: Sequence[tuple[str, str, object, int, str | None]] = ()
    weights: Sequence[tuple[np.ndarray, np.ndarray | None]] = ()
    feature_names: Sequence[str] = ()
    class_names: Sequence[str] = ()
    confusion: np.ndarray | None = None
    mistakes: Mistakes | None = None
    predictions: np.ndarray | None = None
    targets: np.ndarray | None = None
    target_name: str = "target"
    unit: str = ""
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    stopped: str = ""
    folder: str = ""


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write the page to `path`, usually ``report.html`` in the run's folder.

    >>> import tempfile
    >>> history = History(stopped="ran all 2 epochs")
    >>> history.extend([1, 2], {"loss": [0.7, 0.4]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(Path(folder) / "report.html", Report(history=history))
    ...     (Path(folder) / "report.html").read_text(encoding="utf-8")[:15]
    '<!DOCTYPE html>'
    """
    write_whole(path, report_html(report, folder=report.folder or str(Path(path).parent)))


def report_html(report: Report, *, folder: str = ".") -> str:
    """The page as text; `folder` is where the reader is told to load the run from."""
    if report.task not in ("classification", "regression"):
        raise one_of("task", report.task, ["classification", "regression"])
    sections = [
        _headline(report),
        _learning(report.history),
        _confusion(report),
        _mistakes(report.mistakes),
        _residuals(report),
        _network(report),
        _settings(report),
        _again(report, folder),
    ]
    return page(plain(report.title), "\n".join(filter(None, sections)))


# --- the result -------------------------------------------------------------------------------------------------
def _headline(report: Report) -> str:
    facts = [plain(report.data)] if report.data else []
    facts += [f"{count:,} {plain(part)} rows" for part, count in report.rows.items() if count]
    if report.created:
        facts.append(f"<time>{plain(report.created.replace('T', ' ')[:16])}</time>")
    tiles = "".join(
        f"<div><dt>{plain(name)}</dt><dd>{_figure(name, value)}</dd></div>" for name, value in report.final.items()
    )
    stopped = report.stopped or report.history.stopped
    history = report.history
    course = [f"Training {plain(stopped)}" if stopped else f"Training took {len(history):,} epochs"]
    if history.seconds:
        course.append(f"It took {number(history.seconds, 3)} seconds")
    course += [text for text in (_best(history), _baseline(report)) if text]
    return (
        f'<header><p class="brand">kedja · {report.task}</p><h1>{plain(report.title)}</h1>'
        f'<p class="facts">{" · ".join(facts)}</p></header>'
        + (f'<dl class="tiles">{tiles}</dl>' if tiles else "")
        + f'<p class="lead">{". ".join(text.rstrip(".") for text in course)}.</p>'
    )


def _figure(name: str, value: float | str) -> str:
    if isinstance(value, str):
        return plain(value)
    if any(word in name.lower() for word in SHARES) and 0 <= value <= 1:
        return f"{100 * value:.1f}<small> %</small>"
    return number(float(value))


def _best(history: History) -> str:
    if "val_loss" not in history or not np.isfinite(history["val_loss"]).any():
        return ""
    epoch, value = history.best("val_loss")
    return f"The validation loss was lowest after epoch {epoch:,}, at {number(value)}"


def _baseline(report: Report) -> str:
    """What an answer without any learning would have reached: a figure means little without it."""
    if report.task == "classification" and report.confusion is not None:
        counts = np.asarray(report.confusion).sum(axis=1)
        if counts.sum() and len(report.class_names) == len(counts):
            common = plain(report.class_names[int(counts.argmax())])
            share = f"{100 * counts.max() / counts.sum():.1f} %"
            return f"Always answering “{common}” would be right for {share} of these rows"
    if report.task == "regression" and report.targets is not None and np.size(report.targets) > 1:
        spread, unit = float(np.nanstd(np.asarray(report.targets, dtype=float))), plain(report.unit)
        return f"Always answering the mean would be off by {number(spread, 3)} {unit}".rstrip() + " (root mean square)"
    return ""


def _learning(history: History) -> str:
    if not len(history):
        return "<section><h2>Learning curves</h2><p>No epoch was finished.</p></section>"
    charts = []
    for title, names in history.panels().items():
        lines = {"validation" if name.startswith("val_") else "training": history[name] for name in names}
        log = None if "loss" in title else False
        charts.append(f"<div>{curves(title.replace('_', ' '), history['epoch'], lines, log=log)}</div>")
    return f'<section><h2>Learning curves</h2><div class="charts">{"".join(charts)}</div></section>'


# --- what it gets right and wrong -------------------------------------------------------------------------------
def _confusion(report: Report) -> str:
    if report.confusion is None:
        return ""
    counts = np.asarray(report.confusion)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.dtype.kind not in "iu" or (counts < 0).any():
        raise ShapeError(f"a confusion matrix is square and counts rows; got {counts.shape} of {counts.dtype}.")
    names = [str(name) for name in report.class_names] or [str(index) for index in range(len(counts))]
    if len(names) != len(counts):
        raise ShapeError(f"{len(names)} class names for {len(counts)} classes; give one each.")
    drawn = _confusion_table(counts, names) if len(names) <= MOST_CLASSES_IN_A_TABLE else _confusion_image(counts)
    return (
        "<section><h2>Which classes are mixed up</h2>"
        f'<p class="quiet">Rows are the true class, columns the network’s answer. Blue is right, orange is wrong, '
        f"darker is more.</p>{drawn}{_class_table(counts, names)}</section>"
    )


def _confusion_table(counts: np.ndarray, names: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{plain(name)}</th>' for name in names)
    largest_mistake = max(1, int((counts - np.diag(np.diag(counts))).max()))
    lines = []
    for row, name in enumerate(names):
        cells = []
        total = max(1, int(counts[row].sum()))
        for column, count in enumerate(counts[row].tolist()):
            share = count / total if row == column else count / largest_mistake
            # The square root keeps a single mistake visible beside the most frequent one.
            strength = (0.15 + 0.75 * share if row == column else 0.1 + 0.6 * share**0.5) if count else 0
            kind = f"{'hit' if row == column else 'miss'}{' strong' if strength > 0.5 else ''}"
            told = f"true {name}, answered {names[column]}: {count:,} of {int(counts[row].sum()):,}"
            shade = f' class="{kind}" style="--shade:{strength:.2f}"' if count else ' class="none"'
            cells.append(f'<td{shade} title="{plain(told)}">{f"{count:,}" if count else "·"}</td>')
        lines.append(f'<tr><th scope="row">{plain(name)}</th>{"".join(cells)}</tr>')
    corner = '<td class="corner">true ↓ answer →</td>'
    return (
        '<div class="wide" tabindex="0"><table class="confusion"><caption>Confusion matrix</caption>'
        f"<thead><tr>{corner}{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _confusion_image(counts: np.ndarray) -> str:
    """Beyond some two dozen classes the numbers no longer fit: an image, with the class table below it."""
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    right = np.eye(len(counts), dtype=bool)[:, :, None]
    colour = np.where(right, (36, 104, 180), (213, 112, 11)) / 255
    image = 1 - (1 - colour) * np.sqrt(shares)[:, :, None]
    alt = f"Confusion matrix of {len(counts)} classes as a heat map, true classes downwards, answers across"
    return f'<p><img class="heatmap" alt="{alt}" src="{png_uri(image)}"></p>'


def _class_table(counts: np.ndarray, names: Sequence[str]) -> str:
    lines = []
    for index, name in enumerate(names):
        right, said, true = int(counts[index, index]), int(counts[:, index].sum()), int(counts[index].sum())
        others = counts[index].copy()
        others[index] = 0
        worst = f"{plain(names[int(others.argmax())])} <small>({int(others.max()):,})</small>" if others.any() else "–"
        lines.append(
            f'<tr><th scope="row">{plain(name)}</th><td>{true:,}</td><td>{_share(right, said)}</td>'
            f'<td>{_share(right, true)}</td><td class="words">{worst}</td></tr>'
        )
    head = "".join(
        f'<th scope="col"{kind} title="{told}">{name}</th>'
        for name, told, kind in (
            ("class", "the name of the class", ' class="words"'),
            ("rows", "rows that truly are of this class", ""),
            ("precision", "of the rows called so, the share that are", ""),
            ("recall", "of the rows that are so, the share called so", ""),
            ("most often taken for", "its most frequent wrong answer", ' class="words"'),
        )
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    opened = " open" if len(names) <= 12 else ""
    return f'<details{opened}><summary>Every class</summary><div class="wide" tabindex="0">{table}</div></details>'


def _share(part: int, whole: int) -> str:
    if not whole:
        return '<span title="there are no such rows">–</span>'
    return f'<meter min="0" max="1" value="{part / whole:.3f}"></meter> {100 * part / whole:.1f} %'


def _mistakes(mistakes: Mistakes | None) -> str:
    if mistakes is None or not len(mistakes.true):
        return ""
    count = len(mistakes.true)
    for name in ("predicted", "probability", "images", "rows"):
        part = getattr(mistakes, name)
        if part is not None and len(part) != count:
            raise ShapeError(f"{count} mistakes with {len(part)} {name}; give one each.")
    shown = min(count, MOST_MISTAKES)
    total = max(count, mistakes.total or 0)
    chances = [""] * count
    if mistakes.probability is not None:
        chances = [f"{100 * chance:.0f} %" for chance in mistakes.probability]
    answers = list(zip(map(str, mistakes.true), map(str, mistakes.predicted), chances, strict=True))[:shown]
    if mistakes.images is not None:
        body = '<ul class="gallery">' + "".join(map(_picture, mistakes.images, answers)) + "</ul>"
    else:
        body = _mistake_rows(mistakes, answers)
    of = f"{shown:,} of {total:,} rows" if shown < total else f"All {total:,} rows" if total > 1 else "The only row"
    return (
        f'<section><h2>What it gets wrong</h2><p class="quiet">{of} with a wrong answer; the per cent is the '
        f"probability the network gave that answer.</p>{body}</section>"
    )


def _picture(image: np.ndarray, answer: tuple[str, str, str]) -> str:
    true, predicted, chance = map(plain, answer)
    alt = f"true {true}, answered {predicted}{', ' + chance if chance else ''}"
    return (
        f'<li title="{alt}"><img alt="{alt}" src="{png_uri(image)}">'
        f'<span><b>{true}</b> → <b class="wrong">{predicted}</b></span><small>{chance}</small></li>'
    )


def _mistake_rows(mistakes: Mistakes, answers: Sequence[tuple[str, str, str]]) -> str:
    rows = [list(row) for row in mistakes.rows[: len(answers)]] if mistakes.rows is not None else [[] for _ in answers]
    if any(len(row) != len(mistakes.columns) for row in rows):
        raise ShapeError(f"rows of mistakes have {len(mistakes.columns)} columns, by their names; these differ.")
    words = [any(not isinstance(row[i], NUMBERS) for row in rows) for i in range(len(mistakes.columns))]
    kinds = [' class="words"' if word else "" for word in words]
    named = zip(mistakes.columns, kinds, strict=True)
    head = "".join(f'<th scope="col"{kind}>{plain(name)}</th>' for name, kind in named)
    lines = []
    for row, (true, predicted, chance) in zip(rows, answers, strict=True):
        cells = "".join(
            f"<td{kind}>{number(float(value)) if isinstance(value, NUMBERS) else plain(value)}</td>"
            for value, kind in zip(row, kinds, strict=True)
        )
        answer = f'<td class="words">{plain(true)}</td><td class="words wrong">{plain(predicted)}</td><td>{chance}</td>'
        lines.append(f"<tr>{cells}{answer}</tr>")
    extra = '<th class="words" scope="col">true</th><th class="words" scope="col">answered</th>'
    extra += '<th scope="col">probability</th>'
    table = f"<thead><tr>{head}{extra}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="wide" tabindex="0"><table>{table}</table></div>'


def _residuals(report: Report) -> str:
    if report.predictions is None or report.targets is None:
        return ""
    predictions, targets = np.asarray(report.predictions, dtype=float), np.asarray(report.targets, dtype=float)
    if predictions.size != targets.size:
        raise ShapeError(f"{predictions.size} predictions for {targets.size} targets; give one each.")
    if not predictions.size:
        raise DataError("predictions and targets are empty: there is nothing to compare.")
    predictions, targets = predictions.ravel(), targets.ravel()
    unit = f" ({report.unit})" if report.unit else ""
    fit = scatter("Predicted against true", targets, predictions, x_label=f"true {report.target_name}{unit}",
                  y_label="predicted")  # fmt: skip
    errors = histogram("Errors", predictions - targets, x_label=f"predicted − true {report.target_name}{unit}")
    return (
        f"<section><h2>How far off it is</h2><p class='quiet'>On the dashed lines the prediction is exactly right.</p>"
        f'<div class="charts"><div>{fit}</div><div>{errors}</div></div></section>'
    )


# --- the network and how to get it back -------------------------------------------------------------------------
def _network(report: Report) -> str:
    if not report.layers and not report.weights:
        return ""
    parts = ["<section><h2>The network</h2>"]
    if report.weights:
        names = [
            f"{name} · {activation}" if activation else name for name, _, _, count, activation in report.layers if count
        ]
        names = names if len(names) == len(report.weights) else []
        outputs = report.class_names if report.task == "classification" else (report.target_name,)
        drawing = draw_network(report.weights, inputs=report.feature_names, outputs=outputs, layers=names)
        parts.append(
            '<p class="quiet">Lines are weights and circles units: <span class="key plus">blue is positive</span>, '
            '<span class="key minus">orange negative</span>, thicker is larger; a circle’s colour is its bias. '
            f'Point at one to read it.</p><div class="wide" tabindex="0">{drawing}</div>'
        )
    if report.layers:
        lines = []
        for name, kind, shape, count, activation in report.layers:
            written = " × ".join(map(str, shape)) if isinstance(shape, tuple | list) else str(shape)
            lines.append(
                f'<tr><th scope="row">{plain(name)}</th><td class="words">{plain(kind)}</td><td>{plain(written)}</td>'
                f'<td class="words">{plain(activation or "–")}</td><td>{count:,}</td></tr>'
            )
        total = sum(count for *_, count, _ in report.layers)
        head = (
            '<th scope="col" class="words">layer</th><th scope="col" class="words">kind</th><th scope="col">output</th>'
        )
        head += '<th scope="col" class="words">activation</th><th scope="col">parameters</th>'
        foot = f'<tr><th scope="row">total</th><td colspan="3"></td><td>{total:,}</td></tr>'
        table = f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody><tfoot>{foot}</tfoot>"
        parts.append(f'<div class="wide" tabindex="0"><table class="layers">{table}</table></div>')
    return "".join(parts) + "</section>"


def _settings(report: Report) -> str:
    history = report.history
    rows: dict[str, object] = {**history.settings, **report.settings}
    rows["seed"] = history.seed if report.seed is None else report.seed
    rows.update({"engine": history.engine, "steps": f"{history.steps:,}" if history.steps else ""})
    rows["compile time"] = f"{number(history.compile_seconds, 3)} s" if history.compile_seconds else ""
    rows.update({f"{name} version": version for name, version in report.versions.items()})
    cells = "".join(
        f"<div><dt>{plain(name.replace('_', ' '))}</dt><dd>{plain(value)}</dd></div>"
        for name, value in rows.items()
        if str(value) not in ("", "None")
    )
    return f'<section><h2>Settings</h2><dl class="settings">{cells}</dl></section>' if cells else ""


def _again(report: Report, folder: str) -> str:
    shell = shlex.quote(folder)
    blocks = [
        ("In Python", f"import kedja as kj\n\nnet = kj.load({json.dumps(folder, ensure_ascii=False)})\nnet.predict(x)"),
        ("On the command line", f"kedja predict {shell} FILE.csv"),
    ]
    if report.command:
        blocks.append(("This run was started by", report.command))
    body = "".join(f"<div><h3>{title}</h3><pre><code>{plain(code)}</code></pre></div>" for title, code in blocks)
    return f'<section><h2>Use it again</h2><div class="again">{body}</div></section>'
