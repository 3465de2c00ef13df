"""What the command line understands. A word it does not know is answered with the ones it does, in one line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from kedja.errors import KedjaError, one_of

__all__ = ["ALL", "COMMANDS", "UsageError", "parse"]

COMMANDS = {
    "train": "train a network on a data set or a CSV file",
    "evaluate": "how good a trained network is, on held-out rows or on another file",
    "predict": "what a trained network says of the rows of a file",
    "data": "the data sets that are there, or one of them",
    "export": "a trained network as a file for other programs",
    "derive": "the derivative of a formula, rule by rule",
    "explain": "why a trained network answers as it does: heatmap",
    "course": "the notebooks of the course, listed or written into a folder",
}
ALL = "all"  # the batch size that means all rows at once


class UsageError(KedjaError, ValueError):
    """A command line that cannot be understood."""


class Parser(argparse.ArgumentParser):
    """argparse, except that its complaints are one line and an exception."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def parse(given: Sequence[str]) -> argparse.Namespace | None:
    """The options of a command line; None when it asked for help, which is then printed.

    >>> parse(["train", "xor", "--hidden", "4", "--seed", "1"]).hidden
    (4,)
    >>> parse(["trian", "xor"])
    Traceback (most recent call last):
    kedja.errors.UnknownNameError: unknown command 'trian'. Did you mean 'train'? Known: ..., derive, ..., train.
    """
    parser, commands = _parser()
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        raise one_of("command", given[0], COMMANDS)
    words = list(given)
    if words[:1] == ["derive"]:  # -x**2 is a formula and no option; a space in front says so
        words = [f" {w}" if re.match(r"-[^-h]|-h.", w) else w for w in words]
    try:
        options, rest = parser.parse_known_args(words)
    except SystemExit:  # --help
        return None
    if rest:
        which = commands.get(options.command, parser)
        if rest[0].startswith("--"):
            known = [o for action in which._actions for o in action.option_strings if o.startswith("--")]
            raise one_of(f"option of {which.prog}", rest[0].split("=")[0], known)
        raise UsageError(f"{rest[0]!r} is one word too many (see {which.prog} --help)")
    if options.command is None:
        raise UsageError(f"a command is missing: {', '.join(COMMANDS)}")
    if options.command == "train":
        _resumes_alone(options, commands["train"])
    return options


def _parser() -> tuple[Parser, dict[str, Parser]]:
    # Python 3.14 colours help by itself; the same text everywhere is easier to test and to paste.
    plain: dict[str, Any] = {"color": False} if sys.version_info >= (3, 14) else {}
    parser = Parser(
        prog="kedja", description="Train neural networks and ask them.", allow_abbrev=False,
        epilog="exit codes: 0 well, 2 bad input, 3 diverged (weights kept), 130 interrupted (weights kept)", **plain,
    )  # fmt: skip
    parser.add_argument("--version", action="store_true", help="print the version")
    added = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    commands = {
        name: added.add_parser(
            name, help=what, description=f"{what[0].upper()}{what[1:]}.", allow_abbrev=False, **plain
        )
        for name, what in COMMANDS.items()
    }
    _train(commands["train"])
    _evaluate(commands["evaluate"])
    _predict(commands["predict"])
    commands["data"].add_argument("name", nargs="?", metavar="NAME", help="show this data set")
    _export(commands["export"])
    _derive(commands["derive"])
    _explain(commands["explain"])
    _course(commands["course"])
    return parser, commands


def _train(parser: Parser) -> None:
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="a data set (kedja data lists them), a CSV file with a header, or a folder of images, one folder a class",
    )
    of_file = parser.add_argument_group("a file")
    of_file.add_argument("--target", metavar="COLUMN", help="the column to predict")
    of_file.add_argument("--features", metavar="A,B,…", help="the columns to predict it from (default: all others)")
    of_file.add_argument("--task", metavar="TASK", help="classification or regression (default: seen from the target)")
    of_file.add_argument("--kinds", type=_kinds, metavar="A=KIND,…", help="number, category, date, nothing (left out)")
    net = parser.add_argument_group("the network")
    net.add_argument("--hidden", type=_sizes, metavar="N,N,…", help="units of the hidden layers; 0 for none")
    net.add_argument("--activation", metavar="NAME", help="of the hidden layers: sigmoid, tanh, relu, …")
    net.add_argument("--loss", default="auto", metavar="NAME", help="auto, cross_entropy, mse, …")
    images = parser.add_argument_group("a folder of images")
    images.add_argument("--model", metavar="NAME", help="a network of kj.zoo (default: small_resnet)")
    images.add_argument("--weights", metavar="FROM", help="imagenet, a file, or an address with #sha256=…")
    images.add_argument("--freeze", action="store_true", help="hold all but the new head; features are worked out once")
    images.add_argument("--unfreeze", metavar="LAYER", help="set the layers from this one on free, or the last -N")
    images.add_argument("--image-size", type=_whole, metavar="N", help="pixels on a side (default: the network's own)")
    course = parser.add_argument_group("the training")
    course.add_argument("--optimizer", metavar="NAME", help="adam, sgd, momentum, gd")
    course.add_argument("--learning-rate", type=_number, metavar="R", help="the step size")
    course.add_argument("--penalty", type=_number, metavar="A", help="on the size of weights, (A/2)ΣW²; 0 for none")
    course.add_argument("--schedule", metavar="NAME", help="of the step size: constant, or cosine (falls to 0)")
    course.add_argument("--epochs", type=_whole, metavar="N", help="how often every row is seen")
    course.add_argument("--batch-size", type=_batch, metavar="N", help="rows a step looks at, or all")
    course.add_argument("--validation", type=_number, metavar="SHARE", help="training rows set aside for the curves")
    course.add_argument("--test", type=_number, metavar="SHARE", help="rows held out for the final figures (0.2)")
    course.add_argument(
        "--seed", type=_whole, metavar="S", help="decides every random number (default: drawn, and told)"
    )
    course.add_argument("--engine", default="auto", metavar="NAME", help="auto, xla, reference")
    _kernels(course)
    result = parser.add_argument_group("the result")
    result.add_argument("--out", metavar="DIR", help="the run folder (default: runs/DATA-DATE-TIME)")
    result.add_argument("--resume", metavar="RUN", help="go on with a run that was killed or interrupted; alone")
    result.add_argument("--quiet", action="store_true", help="print nothing but the run folder")


def _kernels(parser: Any) -> None:
    parser.add_argument("--kernels", metavar="NAME", help="that XLA calls on a CPU: auto, winograd, xla")


def _resumes_alone(options: argparse.Namespace, parser: Parser) -> None:
    """A run that goes on takes all it needs from its folder; any other needs data."""
    if options.resume is None:
        if options.data is None:
            parser.error("the following arguments are required: DATA")
        return
    for name, value in vars(options).items():
        if name not in ("command", "resume", "quiet", "version") and value != parser.get_default(name):
            what = "DATA" if name == "data" else f"--{name.replace('_', '-')}"
            raise UsageError(f"--resume goes on with the run as it was begun: leave {what} out, or begin a new run")


def _evaluate(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help="a data set, a CSV file or a folder of images (default: those held out)"
    )
    _kernels(parser)


def _predict(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("data", metavar="FILE", help="a CSV file (or a data set), an image, or a folder of images")
    parser.add_argument("--out", metavar="FILE", help="write here instead of printing; an existing file is kept")
    parser.add_argument("--proba", action="store_true", help="add the probability of every class")
    _kernels(parser)


def _explain(parser: Parser) -> None:
    parser.add_argument("what", metavar="WHAT", help="heatmap: which places of an image speak for its class")
    parser.add_argument("run", metavar="RUN", help="a run folder, a saved model, or zoo:NAME")
    parser.add_argument("image", metavar="IMAGE", help="a file: .png, .jpg, …")
    parser.add_argument("--class", dest="classes", action="append", metavar="NAME", help="of this class; repeatable")
    parser.add_argument("--top", type=_whole, metavar="N", help="of the N likeliest classes (default: the likeliest)")
    parser.add_argument("--method", action="append", metavar="NAME", help="grad_cam, occlusion, …; may be repeated")
    parser.add_argument("--layer", metavar="PATH", help="whose maps are weighed (default: the last with places)")
    parser.add_argument("--invert", action="store_true", help="dark on light to light on dark, as for a scanned digit")
    parser.add_argument("--language", metavar="CODE", help="explain in sv (Swedish), ro (Romanian) or en")
    parser.add_argument("--out", metavar="FILE", help="the picture: .png, .svg or .pdf (default: heatmap-IMAGE.png)")


def _export(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run folder, or any model that was saved")
    parser.add_argument("--format", required=True, metavar="NAME", help="onnx, safetensors, torch, numpy, python")
    parser.add_argument("--out", metavar="FILE", help="write here (default: the name of the run); never over a file")


def _course(parser: Parser) -> None:
    parser.add_argument("action", nargs="?", default="list", metavar="ACTION", help="list (the default) or export")
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="only these, by name or number")
    parser.add_argument("--no-solutions", action="store_true", help="leave the solutions of the exercises out")
    parser.add_argument("--out", metavar="DIR", help="write here (default: course); existing files are kept")


def _derive(parser: Parser) -> None:
    parser.add_argument("formula", metavar="FORMULA", help='such as "x**2 * sin(x)"')
    parser.add_argument("--wrt", metavar="LETTER", help="the letter to differentiate by (default: the only one)")
    parser.add_argument("--at", metavar="X", help="where to work it out: 2, pi/2, or x=2,a=0.5 for several letters")
    parser.add_argument("--plot", metavar="FILE", help="draw function and derivative: .png, .svg or .pdf")
    parser.add_argument("--language", metavar="CODE", help="explain in sv (Swedish), ro (Romanian) or en")
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--tex", action="store_true", help="print TeX")
    style.add_argument("--html", action="store_true", help="print a page for a browser, with the plot")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def _batch(text: str) -> int | str:
    if text == ALL:
        return text
    rows = _whole(text)
    if rows < 1:
        raise argparse.ArgumentTypeError(f"a batch has at least 1 row, not {rows}; all of them: --batch-size all")
    return rows


def _kinds(text: str) -> tuple[tuple[str, str], ...]:
    found = tuple(tuple(part.rpartition("=")[::2]) for part in text.split(","))
    if any(not column or not kind for column, kind in found):
        raise argparse.ArgumentTypeError(f"{text!r}: give columns and their kinds, such as zip=category,id=nothing")
    return tuple((column.strip(), kind.strip()) for column, kind in found)


def _sizes(text: str) -> tuple[int, ...]:
    if text == "0":
        return ()
    try:
        sizes = tuple(int(size) for size in text.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give sizes such as 100 or 100,50, or 0 for no hidden layer")
    return sizes
