"""A small notation for writing kernels as LLVM IR: whole numbers with operators, loops and conditions as blocks.

    with k.loop(rows) as r:
        k.store(k.load(x, r * pitch), y, r)

Variables are places on the stack, which LLVM's passes turn into registers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from kedja.engines.kernels.target import Target

__all__ = ["I64", "PTR", "Builder", "Int", "Variable"]

I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
PTR, VOID = ir.PointerType(), ir.VoidType()


class Int:
    """A whole number of 64 bits that is known when the kernel runs."""

    def __init__(self, builder: ir.IRBuilder, value: Any) -> None:
        self.builder, self.value = builder, value

    def _of(self, other: int | Int) -> Any:
        return other.value if isinstance(other, Int) else ir.Constant(I64, other)

    def __rmul__(self, other: int) -> Int:
        return self * other

    def __add__(self, other: int | Int) -> Int:
        return Int(self.builder, self.builder.add(self.value, self._of(other)))

    def __sub__(self, other: int | Int) -> Int:
        return Int(self.builder, self.builder.sub(self.value, self._of(other)))

    def __mul__(self, other: int | Int) -> Int:
        return Int(self.builder, self.builder.mul(self.value, self._of(other)))

    def __floordiv__(self, other: int | Int) -> Int:
        """Towards zero: the numbers divided here are not negative."""
        return Int(self.builder, self.builder.sdiv(self.value, self._of(other)))

    def __mod__(self, other: int | Int) -> Int:
        return Int(self.builder, self.builder.srem(self.value, self._of(other)))

    def compare(self, how: str, other: int | Int) -> Any:
        """A bit: whether the comparison holds."""
        return self.builder.icmp_signed(how, self.value, self._of(other))

    def least(self, other: int | Int) -> Int:
        """The smaller of the two."""
        return Int(self.builder, self.builder.select(self.compare("<", other), self.value, self._of(other)))

    def most(self, other: int | Int) -> Int:
        """The larger of the two."""
        return Int(self.builder, self.builder.select(self.compare(">", other), self.value, self._of(other)))


class Variable:
    """Something that changes in a loop."""

    def __init__(self, builder: Builder, first: Any) -> None:
        self._ir, self._type = builder.ir, first.type
        with self._ir.goto_entry_block():
            self._place = self._ir.alloca(self._type)
        self.set(first)

    def get(self) -> Any:
        return self._ir.load(self._place, typ=self._type)

    def set(self, value: Any) -> None:
        self._ir.store(value, self._place)


class Builder:
    """Writes functions of one kernel for one target and one type of number."""

    def __init__(self, target: Target, dtype: str, module: ir.Module) -> None:
        self.target, self.module = target, module
        self.real = {"float32": ir.FloatType(), "float64": ir.DoubleType()}[dtype]
        self.itemsize = {"float32": 4, "float64": 8}[dtype]
        self.lanes = target.lanes(self.itemsize)
        self.vector = ir.VectorType(self.real, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self._suffix = f"v{self.lanes}f{8 * self.itemsize}"
        self.function: Any = None
        self.ir: Any = None

    # --- functions --------------------------------------------------------------------------------------------------
    @contextmanager
    def phase(self, name: str, fields: Sequence[str]) -> Iterator[tuple[Any, Any, Int]]:
        """A function (buffers, plan, chunk) → whether it could work; gives its buffers, plan's numbers and chunk."""
        kind = ir.FunctionType(I64, [PTR, PTR, I64])
        self.function = ir.Function(self.module, kind, name)
        self.function.linkage = "internal"
        self.ir = ir.IRBuilder(self.function.append_basic_block("entry"))
        body = self.function.append_basic_block("body")
        buffers, plan, chunk = self.function.args
        # The entry block is kept for variables: it ends in a branch, before which they are put.
        self.ir.branch(body)
        self.ir.position_at_end(body)
        yield (
            lambda i: self.ir.load(self.ir.gep(buffers, [ir.Constant(I64, i)], source_etype=PTR), typ=PTR),
            _Numbers(self, plan, fields),
            self.whole(chunk),
        )
        if not self.ir.block.is_terminated:
            self.ir.ret(ir.Constant(I64, 0))

    def declared(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        """A function from outside: an intrinsic, or one of C's library."""
        found = self.module.globals.get(name)
        return found or ir.Function(self.module, ir.FunctionType(result, list(arguments)), name)

    def declare_memory(self) -> None:
        """C's malloc and free."""
        self.declared("malloc", PTR, [I64])
        self.declared("free", VOID, [PTR])

    # --- numbers and flow -------------------------------------------------------------------------------------------
    def whole(self, value: Any) -> Int:
        return Int(self.ir, ir.Constant(I64, value) if isinstance(value, int) else value)

    def variable(self, first: Any) -> Variable:
        return Variable(self, first)

    @contextmanager
    def loop(self, count: int | Int) -> Iterator[Int]:
        """For i in 0 … count − 1."""
        before = self.ir.block
        head, body, done = (self.function.append_basic_block(n) for n in ("head", "loop", "done"))
        self.ir.branch(head)
        self.ir.position_at_end(head)
        i = self.ir.phi(I64)
        i.add_incoming(ir.Constant(I64, 0), before)
        self.ir.cbranch(self.whole(i).compare("<", count), body, done)
        self.ir.position_at_end(body)
        yield self.whole(i)
        i.add_incoming(self.ir.add(i, ir.Constant(I64, 1), flags=("nsw",)), self.ir.block)
        self.ir.branch(head)
        self.ir.position_at_end(done)

    @contextmanager
    def when(self, condition: Any) -> Iterator[None]:
        with self.ir.if_then(condition):
            yield

    def choose(self, condition: Any, yes: Int | int, no: Int | int) -> Int:
        a, b = (x.value if isinstance(x, Int) else ir.Constant(I64, x) for x in (yes, no))
        return self.whole(self.ir.select(condition, a, b))

    def opaque(self, i: Int, after: Sequence[Any] = ()) -> Int:
        """The same number, of which the optimiser knows nothing, or only that it comes after vectors were computed.

        Addresses are then base + number. Otherwise LLVM would keep a moving pointer for each of the many addresses of
        a tile, in memory, and move them all one by one. And it would load all numbers of a tile before the first
        product, for which there are not registers enough: hence `after`. No instruction is made of this.
        """
        kind = ir.FunctionType(I64, [I64, *(self.vector for _ in after)])
        asm = ir.InlineAsm(kind, "", ",".join(["=r,0", *(self.target.register for _ in after)]))
        return self.whole(self.ir.call(asm, [i.value, *after]))

    def in_turn(self, x: Any) -> Any:
        """The same vector. What is computed between two of these stays there; no instruction is made of it.

        Otherwise LLVM would begin with all vectors of a tile and end with all their divisions: a processor does those
        beside other work, which it then has none of, and there are not registers enough.
        """
        kind = ir.FunctionType(self.vector, [self.vector])
        asm = ir.InlineAsm(kind, "", f"={self.target.register},0", side_effect=True)
        return self.ir.call(asm, [x])

    # --- memory -----------------------------------------------------------------------------------------------------
    def at(self, base: Any, i: Int | int) -> Any:
        """Where number i after `base` lies."""
        return self.ir.gep(base, [self.whole(i).value if isinstance(i, int) else i.value], source_etype=self.real)

    def after(self, base: Any, count: Int) -> Any:
        """So many bytes after `base`."""
        return self.ir.gep(base, [count.value], source_etype=I8)

    def load_int(self, base: Any, i: Int) -> Int:
        return self.whole(self.ir.load(self.ir.gep(base, [i.value], source_etype=I64), typ=I64))

    def store_int(self, value: Int, base: Any, i: Int) -> None:
        self.ir.store(value.value, self.ir.gep(base, [i.value], source_etype=I64))

    def number(self, base: Any, i: Int) -> Any:
        return self.ir.load(self.at(base, i), typ=self.real, align=self.itemsize)

    def put(self, value: Any, base: Any, i: Int) -> None:
        self.ir.store(value, self.at(base, i), align=self.itemsize)

    def load(self, place: Any, mask: Any = None) -> Any:
        """The vector at a place; with a mask only the lanes it names, 0 in the others."""
        if mask is None:
            return self.ir.load(place, typ=self.vector, align=self.itemsize)
        kind = [PTR, I32, mask.type, self.vector]
        masked = self.declared(f"llvm.masked.load.{self._suffix}.p0", self.vector, kind)
        return self.ir.call(masked, [place, ir.Constant(I32, self.itemsize), mask, self.zero])

    def store(self, value: Any, place: Any, mask: Any = None) -> None:
        if mask is None:
            self.ir.store(value, place, align=self.itemsize)
            return
        kind = [self.vector, PTR, I32, mask.type]
        masked = self.declared(f"llvm.masked.store.{self._suffix}.p0", VOID, kind)
        self.ir.call(masked, [value, place, ir.Constant(I32, self.itemsize), mask])

    def prefetch(self, place: Any, write: bool = False) -> None:
        """Bring the cache line of a place nearer, for it will be wanted soon."""
        function = self.declared("llvm.prefetch.p0", VOID, [PTR, I32, I32, I32])
        self.ir.call(function, [place, ir.Constant(I32, int(write)), ir.Constant(I32, 3), ir.Constant(I32, 1)])

    def mask(self, count: Int) -> Any:
        """The first `count` lanes."""
        steps = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        return self.ir.icmp_signed("<", steps, self._spread(count.value, I64))

    def masks(self, count: Int, vectors: int, ragged: bool) -> list[Any]:
        """The lanes of each of so many vectors that hold one of `count` numbers; None where, not `ragged`, all do."""
        return [self.mask(count - v * self.lanes) if ragged else None for v in range(vectors)]

    def copy(self, target: Any, source: Any, count: Int) -> None:
        """`count` numbers from one place to another."""
        function = self.declared("llvm.memcpy.p0.p0.i64", VOID, [PTR, PTR, I64, I1])
        self.ir.call(function, [target, source, (count * self.itemsize).value, ir.Constant(I1, 0)])

    def clear(self, target: Any, count: Int) -> None:
        """`count` zeros."""
        function = self.declared("llvm.memset.p0.i64", VOID, [PTR, I8, I64, I1])
        self.ir.call(function, [target, ir.Constant(I8, 0), (count * self.itemsize).value, ir.Constant(I1, 0)])

    @contextmanager
    def scratch(self, size: Int) -> Iterator[Any]:
        """So many bytes for the length of the block; when there are none the function ends, returning 1."""
        place = self.ir.call(self.declared("malloc", PTR, [I64]), [(size + 64).value])
        with self.ir.if_then(self.ir.icmp_unsigned("==", place, ir.Constant(PTR, None)), likely=False):
            self.ir.ret(ir.Constant(I64, 1))
        # Aligned to a cache line.
        number = self.whole(self.ir.ptrtoint(place, I64))
        yield self.ir.inttoptr(((number + 63) // 64 * 64).value, PTR)
        self.ir.call(self.declared("free", VOID, [PTR]), [place])

    # --- vectors ----------------------------------------------------------------------------------------------------
    def _spread(self, value: Any, kind: Any) -> Any:
        vector = ir.VectorType(kind, self.lanes)
        one = self.ir.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(I32, 0))
        nought = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.ir.shuffle_vector(one, ir.Constant(vector, ir.Undefined), nought)

    def splat(self, value: Any) -> Any:
        """A number in all lanes."""
        return self._spread(value, self.real)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a·b + c, with one rounding where the processor can."""
        if not self.target.fma:
            return self.ir.fadd(self.ir.fmul(a, b), c)
        return self.ir.call(self.declared(f"llvm.fma.{self._suffix}", self.vector, [self.vector] * 3), [a, b, c])

    def everywhere(self, value: float) -> Any:
        """A number known now, in all lanes."""
        return ir.Constant(self.vector, [float(value)] * self.lanes)

    def sqrt(self, x: Any) -> Any:
        return self.ir.call(self.declared(f"llvm.sqrt.{self._suffix}", self.vector, [self.vector]), [x])

    def magnitude(self, x: Any) -> Any:
        return self.ir.call(self.declared(f"llvm.fabs.{self._suffix}", self.vector, [self.vector]), [x])

    def transposed(self, rows: Sequence[Any]) -> list[Any]:
        """A square of as many vectors as each has lanes, turned over: by halves, quarters and so on."""
        found, step = list(rows), 1
        while step < self.lanes:
            for i in range(self.lanes):
                if not i & step:
                    a, b = found[i], found[i + step]
                    low = [j if not j & step else self.lanes + j - step for j in range(self.lanes)]
                    high = [j + step if not j & step else self.lanes + j for j in range(self.lanes)]
                    found[i], found[i + step] = self._shuffled(a, b, low), self._shuffled(a, b, high)
            step *= 2
        return found

    def _shuffled(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        return self.ir.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, self.lanes), list(lanes)))


class _Numbers:
    """The plan's numbers by name, each read once, where the function begins."""

    def __init__(self, builder: Builder, plan: Any, fields: Sequence[str]) -> None:
        self._builder, self._plan, self._fields = builder, plan, list(fields)

    def __getattr__(self, name: str) -> Int:
        b = self._builder
        with b.ir.goto_entry_block():
            found = b.load_int(self._plan, b.whole(self._fields.index(name)))
        self.__dict__[name] = found
        return found
