"""Reads XLA's C header for foreign functions: where the members of its structs lie, and which version it is."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kedja.engines.kernels.handler import API_VERSION, LAYOUT

__all__ = ["fits", "offsets"]

SMALL = {"int": 4, "uint32_t": 4, "int32_t": 4, "XLA_FFI_Handler_TraitsBits": 4, "XLA_FFI_Handler_Traits": 4}
WIDE = ("size_t", "int64_t", "uint64_t")


def fits(header: str) -> bool:
    """Whether the header is of the version, and has the layout, for which handlers are written."""
    version = tuple(
        int(found.group(1))
        for name in ("MAJOR", "MINOR")
        if (found := re.search(rf"#define XLA_FFI_API_{name} (\d+)", header))
    )
    if version != API_VERSION:
        return False
    places = offsets(header)
    return all(places.get(member) == place for member, place in LAYOUT.items())


def offsets(header: str) -> Mapping[str, int]:
    """The place of each member of each struct whose types are understood, as {"struct.member": bytes}."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", header, flags=re.DOTALL)
    sizes = dict(SMALL) | dict.fromkeys(WIDE, 8)
    sizes |= dict.fromkeys(re.findall(r"typedef enum \{[^}]*\} (\w+);", text), 4)
    places: dict[str, int] = {}
    for found in re.finditer(r"struct (\w+) \{([^{}]*)\}", text):
        name, body = found.groups()
        at, widest = 0, 1
        for line in (part.strip() for part in body.split(";")):
            if not line:
                continue
            member, size = _member(line, sizes)
            if size == 0:  # of a type that is not known: nothing after it is either
                break
            align = min(size, 8)
            at = -(-at // align) * align
            places[f"{name}.{member}"] = at
            at, widest = at + size, max(widest, align)
        else:
            sizes[name] = -(-at // widest) * widest
    return places


def _member(line: str, sizes: Mapping[str, int]) -> tuple[str, int]:
    if field := re.fullmatch(r"_XLA_FFI_API_STRUCT_FIELD\((\w+)\)", line):
        return field.group(1), 8
    if function := re.search(r"\(\*(\w+)\)", line):
        return function.group(1), 8
    kind, member = line.rsplit(None, 1)
    if kind.endswith("*") or member.startswith("*"):
        return member.lstrip("*"), 8
    return member, sizes.get(kind.split()[-1], 0)
