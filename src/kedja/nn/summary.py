"""What a model is made of, as a table: its layers, the shapes that flow between them, its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from kedja.errors import GraphError, one_of
from kedja.graph.dtypes import get_default_dtype
from kedja.graph.node import Tensor, bind
from kedja.graph.trace import trace
from kedja.nn.layers.call import watching
from kedja.nn.layers.layer import Layer, trainable
from kedja.nn.losses import logits_of
from kedja.nn.model import Module, with_batch

__all__ = ["Row", "Summary", "summarised"]

HEAD = ("layer", "kind", "output", "parameters")


class Row(NamedTuple):
    """One layer: its path, its class, the shape it gives (None: the examples), its own parameters, those that learn."""

    name: str
    kind: str
    output: Any
    parameters: int
    trainable: int


class Summary:
    """The table that `model.summary()` gives: `rows`, totals, `notes`. It prints as text and shows as HTML.

    A shared layer stands there once, where it is first called. `layout="chw"` shows images as (N, C, H, W).

    >>> import kedja as kj
    >>> kj.Sequential([kj.nn.Dense(2, "softmax")]).summary((None, 3))
    layer    kind   output     parameters
    ─────────────────────────────────────
    dense_1  Dense  (None, 2)           8
    ─────────────────────────────────────
    8 parameters, all trainable
    A cross-entropy uses the pre-activation of the softmax (from_logits="auto").
    """

    def __init__(self, name: str, rows: Sequence[Row], parameters: int, trainable: int, notes: Sequence[str]) -> None:
        self.name, self.rows, self.notes = name, list(rows), list(notes)
        self.parameters, self.trainable, self.frozen = parameters, trainable, parameters - trainable

    @property
    def totals(self) -> str:
        """How many parameters there are, and how many of them learn."""
        word = "parameter" if self.parameters == 1 else "parameters"
        if not self.frozen:
            return f"{self.parameters:,} {word}, all trainable" if self.parameters else "no parameters"
        return f"{self.parameters:,} {word}: {self.trainable:,} trainable, {self.frozen:,} frozen"

    def _cells(self) -> list[tuple[str, str, str, str]]:
        return [
            (r.name, r.kind, str(r.output), f"{r.parameters:,}" + (" frozen" if r.trainable < r.parameters else ""))
            for r in self.rows
        ]

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(HEAD, *cells, strict=True)]
        lines = ["  ".join((a.ljust(w), b.ljust(x), c.ljust(y), d.rjust(z))) for a, b, c, d in (HEAD, *cells)
                 for w, x, y, z in (widths,)]  # fmt: skip
        rule = "─" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:], rule, self.totals, *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        left, right = ' style="text-align:left"', ' style="text-align:right"'
        sides = (left, left, left, right)
        head = "".join(f"<th{s}>{h}</th>" for s, h in zip(sides, HEAD, strict=True))
        body = "".join(
            "<tr>" + "".join(f"<td{s}>{escape(c)}</td>" for s, c in zip(sides, row, strict=True)) + "</tr>"
            for row in self._cells()
        )
        foot = "<br>".join(escape(line) for line in (self.totals, *self.notes))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{foot}</p>"


def summarised(model: Module, shapes: Sequence[Any], layout: str) -> Summary:
    """The Summary of a model for inputs of these shapes; a model not built yet is not built after it either."""
    if layout not in ("hwc", "chw"):
        raise one_of("layout", layout, ("chw", "hwc"))
    if model.built and model.input_shapes:
        shapes = model.input_shapes
    shapes = shapes or model.known_shapes()
    if not shapes:
        raise GraphError(
            f"{model.title} has not met its input yet: say its shape, as in net.summary((None, 784)), or fit it first"
        )
    own = model.state.of_kind("trainable", "statistic").values()
    dtype = next((v.dtype for v in own), model.dtype or get_default_dtype())
    sizes = [with_batch(s) for s in shapes]
    calls: dict[str, tuple[Layer, Any]] = {}

    def look(layer: Layer, path: str, inputs: Any, output: Any) -> None:
        calls.setdefault(path, (layer, output))

    undo = None if model.built else model.restore_point()
    try:
        with watching(look):
            graph = trace(lambda *xs: model(*xs), [(s, dtype) for s in sizes])
        learning = set(trainable(model).values())
        rows = [_row(path, layer, output, sizes[0][0], layout, learning) for path, (layer, output) in calls.items()
                if path and _shown(layer)]  # fmt: skip
        whole = {v for v in model.state.values() if v.kind == "trainable"}
        notes = _kept(model) + _notes(graph.outputs)
        if any(v.kind == "trainable" for n, v in model.members() if isinstance(v, Tensor)):
            rows.append(_row("(the model itself)", model, graph.outputs[0], sizes[0][0], layout, learning))
        parameters, learned = sum(v.size for v in whole), sum(v.size for v in whole & learning)
    finally:
        if undo is not None:
            undo()
    return Summary(model.name or type(model).__name__, rows, parameters, learned, notes)


def _shown(layer: Layer) -> bool:
    """Layers made of others are shown by these, unless they have variables of their own."""
    members = [value for _, value in layer.members()]
    return not any(isinstance(v, Layer) for v in members) or any(isinstance(v, Tensor) for v in members)


def _row(path: str, layer: Layer, output: Any, batch: int, layout: str, learning: set[Any]) -> Row:
    own = [v for _, v in layer.members() if isinstance(v, Tensor) and v.kind == "trainable"]
    shape = _shape(output, batch, layout)
    return Row(path, type(layer).__name__, shape, sum(v.size for v in own), sum(v.size for v in own if v in learning))


def _shape(output: Any, batch: int, layout: str) -> Any:
    if not isinstance(output, Tensor):
        return tuple(_shape(o, batch, layout) for o in output)
    shape = output.shape
    if layout == "chw" and len(shape) >= 4:
        shape = (shape[0], shape[-1], *shape[1:-1])
    return (None, *shape[1:]) if shape[:1] == (batch,) else shape


def _kept(model: Module) -> list[str]:
    """What it keeps besides parameters (batch norm's mean and variance), which peers count as not trainable."""
    kept = sum(v.size for v in model.state.of_kind("statistic").values())
    return [f"{kept:,} statistics are kept with them, which gradients do not change."] * bool(kept)


def _notes(outputs: Sequence[Tensor]) -> list[str]:
    words = {"sigmoid": "A binary cross-entropy", "softmax": "A cross-entropy"}
    return [
        f'{words[y.op.name]} uses the pre-activation of the {y.op.name} (from_logits="auto").'
        for y in outputs if logits_of(y) is not None
    ]  # fmt: skip


def _summary(model: Module, *shapes: Any, layout: str = "hwc") -> Summary:
    """A table of the layers: kind, output shape, parameters. Before the first call it needs the shape of the input.

    >>> import kedja as kj
    >>> print(kj.Sequential([kj.nn.Dense(100, "sigmoid"), kj.nn.Dense(10)]).summary((None, 784)))
    layer    kind   output       parameters
    ───────────────────────────────────────
    dense_1  Dense  (None, 100)      78,500
    dense_2  Dense  (None, 10)        1,010
    ───────────────────────────────────────
    79,510 parameters, all trainable
    """
    return summarised(model, shapes, layout)


bind(Module, summary=_summary)
