"""What a model is made of, as a table: its layers, the shapes that flow between them, what they cost."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from textwrap import wrap
from typing import Any, NamedTuple

from kedja.nn.counting import in_bytes

__all__ = ["Row", "Summary"]

BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
NARROWEST = 8  # a column that is cut keeps this much


class Row(NamedTuple):
    """One layer: its path, its class, the shape it gives (None: the examples), its own parameters, those that learn.

    Then its multiply-adds for an example, in all its calls, and the layers its inputs come from.
    """

    name: str
    kind: str
    output: Any
    parameters: int
    trainable: int
    multiply_adds: int = 0
    inputs: tuple[str, ...] = ()


class Summary:
    """The table that `model.summary()` gives: `rows`, totals, `notes`. It prints as text and shows as HTML.

    A shared layer stands there once, where it is first called. Where layers do not simply follow each other, a column
    says what each of them is called on. `depth` is the number of layers with units on the longest way, input counted (a
    network 2-4-1 has depth 3), `width` the number of units of the widest (scope 1.1). `memory`: what training takes.

    >>> import kedja as kj
    >>> kj.Sequential([kj.nn.Dense(2, "softmax")]).summary((None, 3), batch_size=None)
    layer    kind   output     parameters  multiply-adds
    ────────────────────────────────────────────────────
    dense_1  Dense  (None, 2)           8              6
    ────────────────────────────────────────────────────
    8 parameters, all trainable
    6 multiply-adds and 2 activations for each example; depth 2, width 3
    Weights take 32 B.
    A cross-entropy uses the pre-activation of the softmax (from_logits="auto").
    """

    def __init__(
        self, name: str, rows: Sequence[Row], parameters: int, trainable: int, notes: Sequence[str] = (), *,
        multiply_adds: int = 0, activations: int = 0, depth: int = 1, width: int = 0, weight_bytes: int = 0,
        memory: Any = None, batch_size: int | None = None,
    ) -> None:  # fmt: skip
        self.name, self.rows, self.notes = name, list(rows), list(notes)
        self.parameters, self.trainable, self.frozen = parameters, trainable, parameters - trainable
        self.multiply_adds, self.activations = multiply_adds, activations
        self.depth, self.width = depth, width
        self.weight_bytes, self.memory, self.batch_size = weight_bytes, memory, batch_size

    @property
    def totals(self) -> str:
        """How many parameters there are, and how many of them learn."""
        word = "parameter" if self.parameters == 1 else "parameters"
        if not self.frozen:
            return f"{self.parameters:,} {word}, all trainable" if self.parameters else "no parameters"
        return f"{self.parameters:,} {word}: {self.trainable:,} trainable, {self.frozen:,} frozen"

    @property
    def costs(self) -> list[str]:
        """What an example costs, how deep and wide the network is, and what memory it takes."""
        work = f"{self.multiply_adds:,} multiply-add{'s' * (self.multiply_adds != 1)}"
        lines = [
            f"{work} and {self.activations:,} activation{'s' * (self.activations != 1)} for each example; "
            f"depth {self.depth}, width {self.width:,}"
        ]
        if self.parameters:
            training = ""
            if self.memory is not None:
                training = f"; training on batches of {self.batch_size} takes about {in_bytes(self.memory.total)}"
            lines.append(f"Weights take {in_bytes(self.weight_bytes)}{training}.")
        return lines

    @property
    def chain(self) -> bool:
        """Whether each layer is called on the output of the one before, and on nothing else."""
        before = [None, *(r.name for r in self.rows)]
        return all(
            len(r.inputs) < 2 and (b is None or r.inputs in ((), (b,))) for r, b in zip(self.rows, before, strict=False)
        )

    def table(self) -> tuple[list[str], list[list[str]], list[bool]]:
        """Head, rows of text, and which columns are numbers."""
        head, right = ["layer", "kind", "output", "parameters"], [False, False, False, True]
        rows = [
            [r.name, r.kind, str(r.output), f"{r.parameters:,}" + (" frozen" if r.trainable < r.parameters else "")]
            for r in self.rows
        ]
        if self.multiply_adds:
            head, right = [*head, "multiply-adds"], [*right, True]
            rows = [[*cells, f"{r.multiply_adds:,}"] for cells, r in zip(rows, self.rows, strict=True)]
        if not self.chain:
            head, right = [*head, "on"], [*right, False]
            rows = [[*cells, ", ".join(r.inputs)] for cells, r in zip(rows, self.rows, strict=True)]
        return head, rows, right

    def text(self, width: int | None = None, colour: bool = False) -> str:
        """The table as text, no wider than `width` (None: as wide as it is), in bold and pale where `colour`."""
        head, rows, right = self.table()
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        for column in (len(head) - 1 if head[-1] == "on" else 0, 0, 1, 2):
            over = sum(widths) + 2 * (len(widths) - 1) - (width or 10**9)
            widths[column] = max(min(widths[column], NARROWEST), widths[column] - max(over, 0))

        def line(cells: Sequence[str]) -> str:
            cut = [_cut(c, w, end=i > 1) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
            put = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cut, widths, right, strict=True)]
            return "  ".join(put).rstrip() if not right[-1] else "  ".join(put)

        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        top, *others = [line(cells) for cells in (head, *rows)]
        foot = [self.totals, *self.costs, *self.notes]
        if width is not None:
            foot = ["\n".join(wrap(note, max(width, NARROWEST))) for note in foot]
        if colour:
            top, rule = f"{BOLD}{top}{PLAIN}", f"{DIM}{rule}{PLAIN}"
            foot = [f"{BOLD}{foot[0]}{PLAIN}", *(f"{DIM}{note}{PLAIN}" for note in foot[1:])]
            others = [
                f"{DIM}{one}{PLAIN}" if r.parameters and not r.trainable else one
                for one, r in zip(others, self.rows, strict=True)
            ]
        return "\n".join([top, rule, *others, rule, *foot])

    def __str__(self) -> str:
        return self.text(_terminal())

    def __repr__(self) -> str:
        return self.text(_terminal(), colour=_terminal() is not None and not os.environ.get("NO_COLOR"))

    def to_dict(self) -> dict[str, Any]:
        """Everything it says as plain data, ready for JSON.

        >>> import kedja as kj
        >>> kj.Sequential([kj.nn.Dense(2)]).summary((None, 3)).to_dict()["layers"][0]["multiply_adds"]
        6
        """
        return {
            "name": self.name,
            "layers": [
                {**r._asdict(), "output": _listed(r.output), "inputs": list(r.inputs)} for r in self.rows
            ],
            "parameters": self.parameters, "trainable": self.trainable, "frozen": self.frozen,
            "multiply_adds": self.multiply_adds, "activations": self.activations, "depth": self.depth,
            "width": self.width, "weight_bytes": self.weight_bytes, "batch_size": self.batch_size,
            "training_bytes": None if self.memory is None else {**self.memory._asdict(), "total": self.memory.total},
            "notes": list(self.notes),
        }  # fmt: skip

    def markdown(self) -> str:
        """The table in Markdown, the lines below it as a list.

        >>> import kedja as kj
        >>> print(kj.Sequential([kj.nn.Dense(2)]).summary((None, 3)).markdown().splitlines()[2])
        | dense_1 | Dense | (None, 2) | 8 | 6 |
        """
        head, rows, right = self.table()
        lines = [head, ["---:" if r else "---" for r in right], *rows]
        foot = (self.totals, *self.costs, *self.notes)
        return "\n".join(
            ["| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |" for cells in lines]
            + ["", *(f"- {line}" for line in foot)]
        )

    def _repr_html_(self) -> str:
        from html import escape

        head, rows, right = self.table()
        sides = [f' style="text-align:{"right" if r else "left"}"' for r in right]
        top = "".join(f"<th{s}>{h}</th>" for s, h in zip(sides, head, strict=True))
        body = "".join(
            "<tr>" + "".join(f"<td{s}>{escape(c)}</td>" for s, c in zip(sides, row, strict=True)) + "</tr>"
            for row in rows
        )
        foot = "<br>".join(escape(line) for line in (self.totals, *self.costs, *self.notes))
        return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table><p>{foot}</p>"


def _cut(text: str, width: int, end: bool) -> str:
    """As much of a text as fits; of a path its end says more than its beginning."""
    if len(text) <= width:
        return text
    return text[: width - 1] + "…" if end else "…" + text[len(text) - width + 1 :]


def _listed(shape: Any) -> Any:
    return [_listed(s) for s in shape] if isinstance(shape, tuple) else shape


def _terminal() -> int | None:
    """The width of the terminal that is written to, or None where it is none."""
    stream = sys.stdout
    if stream is None or not hasattr(stream, "isatty") or not stream.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns
