"""Which tensors of a file belong to which variables of a model: by name where names agree, else by order and shape."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from numpy.typing import NDArray

from kedja.formats import keras, torch
from kedja.formats.pieces import Piece, Unit, units
from kedja.nn.model import Module

__all__ = ["Match", "matched"]

Array = NDArray[Any]
Groups = Mapping[str, Mapping[str, Array]]
Shapes = Mapping[str, tuple[int, ...]]


class Match(NamedTuple):
    """A piece, the paths of its variables in the model, and the names of its tensors in the file."""

    piece: Piece
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


def matched(
    model: Module, tensors: Mapping[str, Array], layout: str, known: Mapping[str, str] | None = None
) -> tuple[list[Match], str]:
    """Every variable of the model with the names its numbers should have in the file, and how that was found out.

    `known`: the prefix of each layer's tensors, by its path, where the file says so itself.
    """
    if layout == "kedja":
        own = model.state.of_kind("trainable", "statistic")
        return [Match(Piece.one(p, p), (p,), (p,)) for p in own], "by name"
    if layout == "torch" and "network" in model.info:
        return _of_zoo(model, tensors), "by name"
    dialect: ModuleType = torch if layout == "torch" else keras
    groups: Groups = dialect.groups_of(tensors)
    every = units(model)
    pieces = {unit.path: dialect.pieces_of(unit) for unit in every}
    named = sum(unit.path in groups for unit in every)
    pairs: dict[str, str | None] = {unit.path: (known or {}).get(unit.path) for unit in every}
    if known is not None:
        how = "by name"
    elif layout == "torch" and 2 * named >= max(len(every), 1):
        pairs = {unit.path: unit.path for unit in every}
        how = "by name"
    else:
        pairs, how = _in_order(every, pieces, groups, layout), "in order"
    full = torch.joined if layout == "torch" else _inside
    found = []
    for unit in every:
        prefix = pairs.get(unit.path)
        for piece in pieces[unit.path]:
            theirs = tuple(full(prefix, t) for t in piece.theirs) if prefix is not None else ()
            found.append(Match(piece, tuple(unit.path_of(o) for o in piece.ours), theirs))
    return found, how


def _of_zoo(model: Module, tensors: Mapping[str, Array]) -> list[Match]:
    """A network of kj.zoo knows its names in PyTorch's world, in that style of which the file has most."""
    from kedja.formats.names import rules_of, torch_names

    styles = [torch_names(model, style) for style in rules_of(model.info["network"], model)]  # type: ignore[arg-type]
    best = max(styles, key=lambda names: sum(place.name in tensors for place in names.values()))
    return [
        Match(Piece.one(path, p.name, p.layout.from_torch, p.layout.to_torch), (path,), (p.name,))
        for path, p in best.items()
    ]


def _inside(prefix: str, leaf: str) -> str:
    """The name in a Keras file of a tensor that `groups_of` has put into a group."""
    *around, number = leaf.split("/")
    return "/".join([prefix, *around, "vars", number])


# --- in order -------------------------------------------------------------------------------------------------------
def _in_order(
    every: list[Unit], pieces: Mapping[str, list[Piece]], groups: Groups, layout: str
) -> dict[str, str | None]:  # fmt: skip
    """The path of each layer of ours with the prefix of its tensors, or None where the file has none for it."""
    order = list(groups)
    if layout == "torch" and all(p.partition(".")[0].partition(":")[0].isdigit() for p in order):
        order.sort(key=lambda p: [(len(part), part) for part in p.replace(":", ".").split(".")])
    wanted = [(unit.path, _shapes(unit, pieces[unit.path])) for unit in every]
    there = [(prefix, {leaf: a.shape for leaf, a in groups[prefix].items()}) for prefix in order]
    if layout == "torch" or not all(prefix.startswith(keras.COUNTED) for prefix in order):
        return _aligned(wanted, there)
    pairs: dict[str, str | None] = {}  # Keras counts the layers of each class by themselves
    kinds = {unit.path: _kind(unit) for unit in every}
    for kind in dict.fromkeys(kinds.values()):
        some = [(path, shapes) for path, shapes in wanted if kinds[path] == kind]
        pairs |= _aligned(some, [(p, shapes) for p, shapes in there if keras.kind_of(p) == kind])
    return pairs


def _kind(unit: Unit) -> str:
    return keras.KINDS.get(type(unit.layer).__name__, type(unit.layer).__name__.lower())


def _shapes(unit: Unit, pieces: list[Piece]) -> Shapes:
    found: dict[str, tuple[int, ...]] = {}
    for piece in pieces:
        found |= zip(piece.theirs, piece.shapes(*(unit.variable(o).shape for o in piece.ours)), strict=True)
    return found


def _aligned(wanted: Sequence[tuple[str, Shapes]], there: Sequence[tuple[str, Shapes]]) -> dict[str, str | None]:
    """The two rows laid beside each other: one by one if there are as many, else so that most shapes do.

    What is then between two that fit is taken in pairs when it is of the same kind of layer, so that a layer of the
    wrong size is told of as that; the rest has no partner.

    >>> dense, wide = {"weight": (2, 3)}, {"weight": (2, 4)}
    >>> _aligned([("a", dense), ("b", dense)], [("0", wide), ("2", dense)])
    {'a': '0', 'b': '2'}
    """
    if len(wanted) == len(there) and all(a.keys() & b.keys() for (_, a), (_, b) in zip(wanted, there, strict=True)):
        return {path: prefix for (path, _), (prefix, _) in zip(wanted, there, strict=True)}
    pairs: dict[str, str | None] = {path: None for path, _ in wanted}
    matcher = difflib.SequenceMatcher(None, [_key(s) for _, s in wanted], [_key(s) for _, s in there], autojunk=False)
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        free = list(range(j, j_end))
        for at in range(i, i_end):
            path, shapes = wanted[at]
            if tag == "equal":
                pairs[path] = there[j + at - i][0]
                continue
            alike = [k for k in free if shapes.keys() == there[k][1].keys()]
            k = next(iter(alike or [k for k in free if shapes.items() & there[k][1].items()]), None)
            if k is not None:
                pairs[path] = there[k][0]
                free = [f for f in free if f > k]
    return pairs


def _key(shapes: Shapes) -> tuple[Any, ...]:
    return tuple(sorted(shapes.items()))
