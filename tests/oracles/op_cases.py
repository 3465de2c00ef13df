"""One case per op and sample, drawn from the samples in the op's own stanza."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import kedja as kj
from kedja.ops.control import MANY, item, output_specs
from kedja.ops.op import OPS, Op, is_differentiable
from kedja.ops.samples import Sample


class Case(NamedTuple):
    """A sample of an op, as arrays of a chosen type."""

    op: Op
    number: int
    sample: Sample

    def __str__(self) -> str:
        return f"{self.op.name}-{self.number}" + (f"-{self.sample.label}" if self.sample.label else "")

    def arrays(self, dtype: str) -> list[np.ndarray]:
        """The inputs; the sample's float64 arrays stand for the type under test."""
        given = [np.asarray(a) for a in self.sample.args]
        return [a.astype(dtype) if a.dtype == np.float64 else a for a in given]

    def attrs(self, dtype: str) -> dict[str, Any]:
        """The attributes, which for a loop hold a body of the type under test."""
        attrs = self.sample.attrs
        return attrs(np.dtype(dtype)) if callable(attrs) else dict(attrs)

    def outputs(self, inputs: Sequence[kj.Tensor], dtype: str) -> list[kj.Tensor]:
        """The op's outputs as nodes (a loop has several)."""
        node = self.op(*inputs, **self.attrs(dtype))
        if node.dtype != MANY:
            return [node]
        return [item(node, index=i) for i in range(len(output_specs(node)))]

    def floats(self) -> list[int]:
        """Which inputs have a derivative."""
        return [i for i, a in enumerate(self.arrays("float64")) if a.dtype == np.float64]


def seeded(name: str) -> np.random.Generator:
    """The same numbers in every run, others for every name."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def samples_of(op: Op) -> list[Case]:
    """All cases of one op."""
    return [Case(op, i, sample) for i, sample in enumerate(op.samples(seeded(op.name)))]


def cases(keep: Callable[[Case], bool] = lambda case: True) -> Iterator[Case]:
    """All cases of all ops that `keep` keeps."""
    for name in sorted(OPS):
        yield from filter(keep, samples_of(OPS[name]))


def tolerance(case: Case, dtype: str) -> dict[str, float]:
    """How far values may lie apart: relative to their size at extremes, where 1e-30 must not pass for 0."""
    rtol = {"float32": 2e-5, "float64": 1e-11}[dtype]
    least = {"float32": 2e-38, "float64": 3e-308}[dtype]  # denormals count as 0
    return {"rtol": rtol, "atol": least if case.sample.label == "extremes" else rtol}


def smooth(case: Case) -> bool:
    """Whether the case has a derivative to compare."""
    return is_differentiable(case.op) and case.sample.smooth and bool(case.floats())


def constants(arrays: Sequence[np.ndarray]) -> list[kj.Tensor]:
    """Tensors that keep the types of the arrays."""
    return [kj.tensor(a, dtype=a.dtype) for a in arrays]


def weights(outputs: Sequence[kj.Tensor], name: str) -> list[np.ndarray | None]:
    """A random weight for every number of every output that can have a derivative."""
    rng = seeded("weights of " + name)
    return [rng.uniform(0.5, 1.5, y.shape).astype(y.dtype) if y.dtype.kind == "f" else None for y in outputs]


def weighted(outputs: Sequence[kj.Tensor], by: Sequence[np.ndarray | None]) -> kj.Tensor:
    """One number from all outputs, so that every one of them takes part in the gradient."""
    total = None
    for y, w in zip(outputs, by, strict=True):
        if w is not None:
            part = (y * kj.tensor(w, dtype=w.dtype)).sum()
            total = part if total is None else total + part
    assert total is not None
    return total
