"""A run at one moment: plain facts and arrays, as one safetensors file whose header holds the facts as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kedja.errors import FormatError

__all__ = ["Snapshot", "differences", "put_away", "taken_out"]

FORMAT, VERSION = "kedja checkpoint", 1
ARRAY, FLOAT = "(array)", "(float)"  # keys no fact uses: what JSON does not have

Array = np.ndarray[Any, Any]


@dataclass
class Snapshot:
    """Facts (plain data) and arrays by name; every number comes back with the same bits.

    >>> snapshot = Snapshot({"best": math.inf, "kept": [1, 0.1]}, {"w": np.float32([1, 2])})
    >>> again = Snapshot.from_bytes(snapshot.to_bytes())
    >>> again.facts == snapshot.facts, again.arrays["w"].tolist()
    (True, [1.0, 2.0])
    """

    facts: dict[str, Any]
    arrays: dict[str, Array] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file."""
        from safetensors.numpy import save as packed

        arrays: dict[str, Array] = {}
        facts = put_away(self.facts, arrays, "facts")
        arrays.update({f"array.{name}": np.array(array, order="C") for name, array in self.arrays.items()})
        said = json.dumps({"version": VERSION, "facts": facts}, ensure_ascii=False, allow_nan=False)
        return bytes(packed(arrays, metadata={"format": FORMAT, "run": said}))

    @classmethod
    def from_bytes(cls, blob: bytes) -> Snapshot:
        """Read what `to_bytes` wrote. Raises FormatError on anything else."""
        from safetensors import SafetensorError
        from safetensors.numpy import load as unpacked

        try:
            size = int.from_bytes(blob[:8], "little")
            header = json.loads(blob[8 : 8 + size])["__metadata__"]
            if header["format"] != FORMAT:
                raise FormatError("it is no checkpoint of kedja")
            said = json.loads(header["run"])
            if said["version"] != VERSION:
                raise FormatError(
                    f"it has version {said['version']!r}; this kedja reads version {VERSION}. Update kedja."
                )
            arrays = unpacked(blob)
            facts = taken_out(said["facts"], arrays)
            own = {name.removeprefix("array."): a for name, a in arrays.items() if name.startswith("array.")}
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"it is damaged: {type(error).__name__} {error}") from error
        return cls(facts, own)

    def under(self, prefix: str) -> dict[str, Array]:
        """The arrays whose names begin so, without the prefix."""
        return {name.removeprefix(prefix): a for name, a in self.arrays.items() if name.startswith(prefix)}


def put_away(value: Any, arrays: dict[str, Array], name: str) -> Any:
    """`value` as JSON has it; arrays and numbers that are not finite are replaced by where or what they are.

    >>> arrays = {}
    >>> put_away({"w": np.ones(2), "best": math.nan, "n": 3}, arrays, "a"), list(arrays)
    ({'w': {'(array)': 'a.w'}, 'best': {'(float)': 'nan'}, 'n': 3}, ['a.w'])
    """
    if isinstance(value, np.ndarray):
        arrays[name] = np.array(value, order="C")
        return {ARRAY: name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else {FLOAT: repr(value)}
    if isinstance(value, Mapping):
        return {str(key): put_away(item, arrays, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [put_away(item, arrays, f"{name}.{i}") for i, item in enumerate(value)]
    if value is None or isinstance(value, str | int):
        return value
    raise FormatError(
        f"{name} is {value!r}, and a checkpoint holds numbers, strings, None, lists, dicts and NumPy arrays only"
    )


def taken_out(value: Any, arrays: Mapping[str, Array]) -> Any:
    """What `put_away` put away."""
    if isinstance(value, dict):
        if set(value) == {ARRAY}:
            return np.array(arrays[value[ARRAY]])
        if set(value) == {FLOAT}:
            return float(value[FLOAT])
        return {key: taken_out(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [taken_out(item, arrays) for item in value]
    return value


def differences(then: Any, now: Any, where: Sequence[str] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Where two plain things differ, down to the leaves: the place, and what stands there in each.

    >>> list(differences({"a": [1, 2], "b": 3}, {"a": [1, 5], "c": 3}))
    [('a[1]', 2, 5), ('b', 3, None), ('c', None, 3)]
    """
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*then, *now]):
            yield from differences(then.get(key), now.get(key), [*where, f".{key}" if where else key])
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for i, (a, b) in enumerate(zip(then, now, strict=True)):
            yield from differences(a, b, [*where, f"[{i}]"])
    elif then != now:
        yield "".join(where), then, now
