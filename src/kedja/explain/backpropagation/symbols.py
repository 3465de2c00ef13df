"""Which nodes of a step are shown, and what they are called: x, W⁽¹⁾, net⁽¹⁾, o⁽¹⁾, …, E."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from kedja.explain.backpropagation.backward import substituted
from kedja.explain.backpropagation.calls import Call, pre_activation
from kedja.explain.backpropagation.named import Named
from kedja.explain.backpropagation.record import Record
from kedja.explain.show.naming import Notation, Symbol, symbol_of
from kedja.explain.show.writing import inlined, seen_through
from kedja.explain.words import _
from kedja.graph.dtypes import is_float
from kedja.graph.node import CONSTANT, Tensor, ancestors
from kedja.graph.variables import Variable
from kedja.nn.layers.activation import Activation
from kedja.ops import log, softmax
from kedja.ops import sum as total
from kedja.ops.control import MANY

__all__ = ["Cast", "dependent"]

PARAMETERS = {"kernel": "W", "bias": "b", "gamma": "γ", "beta": "β", "recurrent_kernel": "U", "table": "T"}
UNWEIGHTED = {"pool": "p", "dropout": "d", "norm": "n", "flatten": "f", "reshape": "f", "noise": "d", "embedding": "e"}


def dependent(order: Iterable[Tensor], on: Iterable[Tensor]) -> set[Tensor]:
    """The nodes that depend on one of these, themselves included."""
    found = set(on)
    for node in order:
        if not found.isdisjoint(node.inputs):
            found.add(node)
    return found


class Cast(Named):
    """The names of a step's nodes: x, W⁽¹⁾, net⁽¹⁾, o⁽¹⁾ by the layers, and the lecturer's letters."""

    def __init__(self, record: Record, notation: Notation, level: str) -> None:
        super().__init__(level)
        self.record, self.notation = record, notation
        self.hidden: set[Tensor] = set()
        self.taken: set[Symbol] = set()
        self.marks: dict[str, str] = {}
        for node in record.inputs:
            self.call_it(node, symbol_of(node.name or "x"))
        self.target()
        self.error = Symbol(notation.error)
        self.calls = [c for c in record.calls if c.output in set(record.order)]
        self.drawn = self.random()
        self.layers()
        self.formulas()
        self.end = seen_through(record.aim)  # the mean over one example is that example
        self.end = record.aim if self.end.is_leaf or self.end in self.names else self.end
        if self.end is not record.aim and record.aim in self.written:
            self.written[self.end] = self.written.pop(record.aim)
        self.call_it(self.end, self.error)
        self.shown = [n for n in record.order if self.is_shown(n)]
        self.small_steps()

    # --- naming -----------------------------------------------------------------------------------------------------
    def call_it(self, node: Tensor, symbol: Symbol) -> None:
        """Give a node a name that nobody has yet."""
        if node in self.names:
            return
        while symbol in self.taken:
            symbol = Symbol(symbol.stem, symbol.mark + "'" if symbol.mark else "'", symbol.below)
        self.taken.add(symbol)
        self.names[node] = symbol

    def target(self) -> None:
        """The targets as the loss takes them: as they are, or one-hot."""
        record = self.record
        symbol = Symbol(self.notation.target)
        only = dependent(record.order, [record.target]) - dependent(
            record.order, [*record.inputs, record.key, *(n for n in record.order if isinstance(n, Variable))]
        )
        users = {x for n in record.order if n not in only for x in n.inputs if x in only}
        ends = [n for n in record.order if n in users and is_float(n.dtype) and n.ndim > 1]
        if len({seen_through(n) for n in ends}) == 1:
            self.names[ends[0]] = symbol
            for n in ends[1:]:
                self.names[n] = symbol
            self.taken.add(symbol)
            self.hidden |= only - set(ends)
            if seen_through(ends[0]) is not record.target:
                self.rules[ends[0]] = _("the targets as the loss takes them: 1 at the label, 0 elsewhere")
                self.names[record.target] = Symbol("label")
        self.names.setdefault(record.target, symbol)

    def random(self) -> set[Tensor]:
        """The nodes that depend on the random key alone and that others use: masks, noise."""
        order = self.record.order
        leaves = [n for n in order if n.is_leaf and n.op is not CONSTANT and n is not self.record.key]
        only = dependent(order, [self.record.key]) - dependent(order, leaves)
        return {x for n in order if n not in only for x in n.inputs if x in only and not x.is_leaf}

    def layers(self) -> None:
        """Weights, pre-activations and outputs, numbered by the layers that have matrices."""
        weighted = [c for c in self.calls if any(v.ndim >= 2 for v in c.variables.values())]
        paths = list(dict.fromkeys(c.path for c in weighted))
        self.marks = {path: str(i + 1) if len(paths) > 1 else "" for i, path in enumerate(paths)}
        mark = ""
        for i, call in enumerate(self.calls):
            mark = self.marks.get(call.path, mark)
            for name, variable in call.variables.items():
                given = PARAMETERS.get(name)
                self.call_it(variable, Symbol(given, mark) if given else Symbol(symbol_of(name).stem, mark))
            self.layer(call, mark, self.calls[i + 1 :])
        for path, variable in self.record.model.state.items():
            self.call_it(variable, symbol_of(path))

    def layer(self, call: Call, mark: str, following: Sequence[Call]) -> None:
        """The output of one layer, and what stands before its activation."""
        for node in call.inside:
            if node.is_leaf:
                continue
            self.layer_of.setdefault(node, call.path)
            if node in self.drawn:
                self.call_it(node, Symbol("m", mark))
                self.rules[node] = _("drawn at random")
        if seen_through(call.output) in self.names or call.output in self.names:
            return
        net, out = Symbol(self.notation.net, mark), Symbol(self.notation.out, mark)
        if call.path not in self.marks:
            self.call_it(call.output, out if is_activation(call) else Symbol(kind_of(call), mark))
            return
        before = pre_activation(call)
        if before is not call.output:
            self.call_it(before, net)
            self.call_it(call.output, out)
        else:
            upto = list(takewhile(lambda c: c.path not in self.marks, following))
            self.call_it(call.output, net if any(is_activation(c) for c in upto) else out)

    def formulas(self) -> None:
        """Cross-entropy of logits z is computed so that nothing overflows; it is shown as −Σ t ln a, and a − t."""
        record, z = self.record, self.record.uses_logits
        if z is None or record.aim is record.each or z not in record.backward.totals:
            return
        t = next((n for n, s in self.names.items() if s == Symbol(self.notation.target) and n.shape == z.shape), None)
        inner = set(ancestors([record.each], [z])) - {z}
        if t is None or z.ndim != 2 or {u.node for u in record.backward.into(z)} - inner:
            return
        a = record.output if record.output is not z else softmax(z)
        n = z.shape[0] if self.record.loss.reduction == "mean" else 1
        self.written[record.aim] = substituted(record.aim, {record.each: -total(t * log(a), 1)})
        self.slopes[z] = (a - t) / float(n) if n > 1 else a - t
        self.hidden |= {n for n in inner if n not in self.names}

    # --- what is shown ----------------------------------------------------------------------------------------------
    def is_shown(self, node: Tensor) -> bool:
        """Whether a node has a line of its own."""
        if node.is_leaf or node.dtype == MANY or seen_through(node) is self.record.target:
            return False
        if node in self.hidden or node.op.name == "transpose":
            return node in self.names
        if node in self.names:
            return True
        if self.level == "layer" or not is_float(node.dtype) or inlined(node):
            return False
        return node in self.flowing

    @property
    def flowing(self) -> set[Tensor]:
        """The nodes that depend on an example or a weight."""
        if "_flowing" not in self.__dict__:
            leaves = [*self.record.inputs, *(n for n in self.record.order if isinstance(n, Variable))]
            self._flowing = dependent(self.record.order, leaves)
        return self._flowing

    def small_steps(self) -> None:
        """Names for the steps between: u₁, u₂, …; t − o is the error e."""
        record = self.record
        count = 0
        for node in self.shown:
            if node in self.names:
                continue
            pair = (record.target, seen_through(record.output))
            if node.op.name == "subtract" and all(seen_through(x) is p for x, p in zip(node.inputs, pair, strict=True)):
                self.call_it(node, Symbol("e"))
                continue
            count += 1
            self.call_it(node, Symbol("u", "", str(count)))


# --- layers as they are ----------------------------------------------------------------------------------------------
def is_activation(call: Call) -> bool:
    """Whether a layer applies an activation."""
    return type(call.layer).__module__ == Activation.__module__


def kind_of(call: Call) -> str:
    """The letter for the output of a layer without a matrix."""
    name = type(call.layer).__name__.lower()
    return next((letter for part, letter in UNWEIGHTED.items() if part in name), "h")
