"""What writers write with: names, nodes, initialisers; and the table of writers, one for each op of kedja's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx.defs import SchemaError, get_schema

from kedja.errors import FormatError
from kedja.formats.onnx.exporting.sites import Site
from kedja.formats.onnx.exporting.sizes import Dim, Size

__all__ = ["WRITERS", "Node", "Subgraph", "Write", "Writer", "reached", "writes"]

Array = np.ndarray[Any, Any]
Write = Callable[["Writer", Site], str]
WRITERS: dict[str, Write] = {}
"""By the name of the op: a function (writer, site) → the name of the value it wrote."""


def writes(*ops: str) -> Callable[[Write], Write]:
    """Enter a writer for these ops.

    >>> "conv" in WRITERS or writes("conv") is not None
    True
    """

    def enter(write: Write) -> Write:
        WRITERS.update(dict.fromkeys(ops, write))
        return write

    return enter


@dataclass
class Node:
    """An ONNX node that is not fixed yet."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass
class Subgraph:
    """The body of a loop: (name, site) of its inputs and outputs, and nodes."""

    name: str
    inputs: list[tuple[str, Site]]
    outputs: list[tuple[str, Site]]
    nodes: list[Node]


class Shared:
    """What all graphs of a model have in common."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.taken: set[str] = set()
        self.initialisers: dict[str, Array] = {}
        self.constants: dict[Any, str] = {}
        self.ranks: dict[str, int] = {}


class Writer:
    """Writes the nodes of one graph; the bodies of loops have writers of their own, which see what is around them."""

    def __init__(self, opset: int, around: Writer | None = None) -> None:
        self.around = around
        self.shared: Shared = around.shared if around else Shared(opset)
        self.nodes: list[Node] = []
        self.names: dict[Site, str] = {}
        self.many: dict[Site, dict[int, str]] = {}
        self.batches: dict[Dim, str] = {}
        self.used: dict[Site, set[int]] = around.used if around else {}
        self.first: str = around.first if around else ""  # the input whose first axis is the batch
        self.scope = ""

    @property
    def opset(self) -> int:
        """The version of the operators."""
        return self.shared.opset

    def fresh(self, stem: str) -> str:
        """A name nobody has, this one if it is free."""
        name, k = stem, 2
        while name in self.shared.taken:
            name, k = f"{stem}_{k}", k + 1
        self.shared.taken.add(name)
        return name

    def add(self, op: str, *inputs: str, **attrs: Any) -> str:
        """A node with one output, whose name is returned."""
        return self.add_many(op, inputs, 1, **attrs)[0]

    def add_many(self, op: str, inputs: Sequence[str], outputs: int, **attrs: Any) -> list[str]:
        """A node with so many outputs."""
        self._expect(op)
        stem = f"{self.scope}/{op}" if self.scope else op
        names = [self.fresh(stem) for _ in range(outputs)]
        self.nodes.append(Node(op, list(inputs), names, {k: v for k, v in attrs.items() if v is not None}))
        return names

    def _expect(self, op: str) -> None:
        try:
            get_schema(op, self.opset, "")
        except SchemaError:
            raise FormatError(
                f'the layer "{self.scope}" needs the ONNX operator {op}, which opset {self.opset} does not have. '
                "Leave opset out to get the newest."
            ) from None

    # --- values -----------------------------------------------------------------------------------------------------
    def of(self, site: Site) -> str:
        """The name of a value: written already here or around, or an initialiser."""
        here: Writer | None = self
        while here is not None:
            if site in here.names:
                return here.names[site]
            here = here.around
        if site.op == "variable":
            name = self.weight(site.attrs["value"], site.attrs["path"])
        elif site.op == "constant":
            name = self.constant(site.attrs["value"])
        else:
            raise FormatError(f"{site!r} is read before it is written")
        self.root.names[site] = name
        return name

    @property
    def root(self) -> Writer:
        """The writer of the whole graph."""
        here = self
        while here.around is not None:
            here = here.around
        return here

    def weight(self, value: Array, path: str) -> str:
        """An initialiser named by a variable's path, once for each layout it is needed in."""
        key = ("weight", path, value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).digest())
        if key not in self.shared.constants:
            self.shared.constants[key] = name = self.fresh(path)
            self.shared.initialisers[name] = np.array(value, order="C")
        return self.shared.constants[key]

    def constant(self, value: Any, dtype: Any = None) -> str:
        """An initialiser for a constant; equal ones are one."""
        array = np.array(value, dtype=dtype, order="C")
        key = (array.dtype, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self.shared.constants:
            self.shared.constants[key] = name = self.fresh("constant")
            self.shared.initialisers[name] = array
        return self.shared.constants[key]

    def whole(self, *numbers: int) -> str:
        """A vector of whole numbers."""
        return self.constant(numbers, np.int64)

    def sizes(self, shape: Iterable[Dim]) -> str:
        """A shape as a vector, worked out from the batch where it depends on it."""
        dims = list(shape)
        if all(isinstance(n, int) for n in dims):
            return self.constant(dims, np.int64)
        root = self.root
        parts = [root.size(n) if isinstance(n, Size) else self.whole(n) for n in dims]
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=0)

    def size(self, n: Size) -> str:
        """One size that depends on the batch, as a vector of one number."""
        if n not in self.batches:
            scope, self.scope = self.scope, ""
            if n == Size(1, 0):
                name = self.add("Shape", self.first, start=0, end=1)
            else:
                name = self.size(Size(1, 0))
                name = name if n.times == 1 else self.add("Mul", name, self.whole(n.times))
                name = name if not n.plus else self.add("Add", name, self.whole(n.plus))
            self.batches[n], self.scope = name, scope
        return self.batches[n]

    # --- writing ----------------------------------------------------------------------------------------------------
    def write(self, outputs: Sequence[Site]) -> list[str]:
        """Write everything the outputs need; their names."""
        order = reached(outputs)
        for site in order:
            if site.op == "item":
                self.used.setdefault(site.inputs[0], set()).add(site.attrs["index"])
        for site in order:
            if site in self.names or site.op in ("variable", "constant") or self._is_around(site):
                continue
            if site.op not in WRITERS:
                raise _refusal(site)
            self.scope = site.layer
            self.names[site] = name = WRITERS[site.op](self, site)
            self.shared.ranks[name] = site.ndim
        return [self.of(site) for site in outputs]

    def _is_around(self, site: Site) -> bool:
        here = self.around
        while here is not None:
            if site in here.names:
                return True
            here = here.around
        return False


def reached(outputs: Sequence[Site]) -> list[Site]:
    """All sites the outputs need, inputs before users; of loops not what is inside them."""
    order: list[Site] = []
    done: set[Site] = set()
    stack = [(site, False) for site in reversed(outputs)]
    while stack:
        site, ready = stack.pop()
        if site in done:
            continue
        if ready:
            done.add(site)
            order.append(site)
        else:
            stack.append((site, True))
            stack.extend((above, False) for above in reversed(site.inputs))
    return order


NEAREST = {
    "random_bits": "a model that draws random numbers in inference cannot be saved",
    "fold_key": "a model that draws random numbers in inference cannot be saved",
    "unit_interval": "a model that draws random numbers in inference cannot be saved",
    "conv_kernel": "it belongs to gradients; save the model itself, not its derivative",
    "max_pool_pick": "it belongs to gradients; save the model itself, not its derivative",
    "max_pool_scatter": "it belongs to gradients; save the model itself, not its derivative",
}


def _refusal(site: Site) -> FormatError:
    import difflib

    near = difflib.get_close_matches(site.op, WRITERS, n=1, cutoff=0.4)
    hint = NEAREST.get(site.op) or (f"the nearest that has one is {near[0]!r}" if near else "use other ops there")
    source = f"\n  at {site.node.source}" if site.node.source else ""
    where = f'the layer "{site.layer}"' if site.layer else "the model"
    return FormatError(f"{where} uses the op {site.op!r}, which cannot be written as ONNX: {hint}.{source}")
