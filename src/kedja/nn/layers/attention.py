"""Attention: each query looks at all keys and takes the mean of their values, weighted by how well they fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kedja.errors import ShapeError
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.numbers import Number, as_rate_or_none
from kedja.ops import arange, random, softmax, transpose, where
from kedja.ops.shaping import swap_last

__all__ = ["MultiHeadAttention", "scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention, softmax(Q Kᵀ / √d) V, and the weights, softmax(Q Kᵀ / √d).

    Shapes: query (…, n, d), key (…, m, d), value (…, m, v) → (…, n, v) and (…, n, m). mask: true where a query may
    look, of a shape that broadcasts to (…, n, m). A query that may look nowhere gets zeros, and passes no gradient on.
    Source: Vaswani et al. 2017.

    >>> import kedja as kj
    >>> values = kj.tensor([[1.0], [2.0], [3.0], [6.0]])
    >>> y, weights = scaled_dot_product_attention(kj.zeros((1, 2)), kj.zeros((4, 2)), values)
    >>> y.tolist(), weights.tolist()
    ([[3.0]], [[0.25, 0.25, 0.25, 0.25]])
    """
    weights = look(query @ swap_last(key) / math.sqrt(query.shape[-1]), mask)
    return weights @ value, weights


def look(scores: Tensor, mask: Tensor | None) -> Tensor:
    """The softmax of the scores over the places that may be seen; zeros where there are none."""
    if mask is None:
        return softmax(scores)
    # The lowest finite number, not −∞: a row of −∞ alone would be ∞ − ∞ in the softmax.
    lowest = float(np.finfo(np.float16 if scores.dtype.itemsize < 4 else scores.dtype).min)
    return where(mask, softmax(where(mask, scores, lowest)), 0.0)


class MultiHeadAttention(Layer):
    """Attention from several points of view at once: each head has its own projections, and what they see is joined.

    yₕ = softmax(Qₕ Kₕᵀ / √head_units) Vₕ with Q = x Wq + bq, K = m Wk + bk, V = m Wv + bv;  y = [y₁ … y_heads] Wo + bo.
    Inputs: x, the query (N, queries, features); m, the memory (N, keys, features′), by default x itself; then a mask,
    (N, keys) or (N, queries, keys), 1 where a query may look. With `causal` none looks at what comes after it. A query
    that may look nowhere gets zeros in every head. Self-attention with a mask is `layer(x, x, mask)`.
    Output: (N, queries, features); with `return_weights` also the weights, (N, heads, queries, keys).
    `head_units` is features / heads where it is not given, `value_units` is head_units. `dropout` is the probability
    with which a weight is dropped in training; None leaves it out.
    Parameters: query_kernel (features, heads · head_units), key_kernel, value_kernel, output_kernel, and their biases.
    Derivative: by the chain rule through both products and the softmax s of each head, ∂sᵢ/∂zⱼ = sᵢ (δᵢⱼ − sⱼ).
    Raises ShapeError for inputs that are no sequences, heads that do not divide, masks that do not fit.
    Source: scope 2.2; Vaswani et al. 2017.

    >>> import kedja as kj
    >>> layer = MultiHeadAttention(2)
    >>> layer(kj.zeros((5, 7, 4))).shape, layer.count_parameters()
    ((5, 7, 4), 80)
    """

    dropout = Number(as_rate_or_none)

    @property
    def scalars(self) -> tuple[str, ...]:  # type: ignore[override]
        """A number of the run only where there is one."""
        return () if self.dropout is None else ("dropout",)

    def __init__(
        self,
        heads: int,
        head_units: int | None = None,
        value_units: int | None = None,
        *,
        use_bias: bool = True,
        causal: bool = False,
        dropout: float | None = None,
        return_weights: bool = False,
        init: Any = "glorot_uniform",
        bias_init: Any = "zeros",
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        for what, value in (("heads", heads), ("head_units", head_units), ("value_units", value_units)):
            given = value is not None or what == "heads"
            if given and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
                raise ShapeError(f"MultiHeadAttention: {what} is a whole number ≥ 1; got {value!r}")
        self.heads, self.head_units, self.value_units = int(heads), head_units, value_units
        self.use_bias, self.causal, self.dropout, self.return_weights = use_bias, causal, dropout, return_weights
        self.init, self.bias_init, self.regularizer, self.constraint = init, bias_init, regularizer, constraint

    @property
    def gives(self) -> int | None:  # type: ignore[override]
        """The output and the weights, with `return_weights`; else one tensor."""
        return 2 if self.return_weights else None

    def build(self, x: Shape, memory: Shape | None = None, *others: Shape) -> None:
        memory = x if memory is None else memory
        self._expect_sequences(x, memory)
        features = x[-1]
        if self.head_units is None and features % self.heads:
            raise ShapeError(
                f"{self.heads} heads do not divide {features} features: {features} = {self.heads} · "
                f"{features // self.heads} + {features % self.heads}. Take a number of heads that does, or say "
                "head_units=."
            )
        units = self.head_units or features // self.heads
        values = self.value_units or units
        self.n_in = (features, memory[-1])
        self.query_kernel, self.query_bias = self._projection("query", features, self.heads * units)
        self.key_kernel, self.key_bias = self._projection("key", memory[-1], self.heads * units)
        self.value_kernel, self.value_bias = self._projection("value", memory[-1], self.heads * values)
        self.output_kernel, self.output_bias = self._projection("output", self.heads * values, features)

    def _projection(self, what: str, n_in: int, n_out: int) -> tuple[Any, Any]:
        kernel = self.parameter(
            f"{what}_kernel", (n_in, n_out), self.init, regularizer=self.regularizer, constraint=self.constraint
        )
        return kernel, self.parameter(f"{what}_bias", (n_out,), self.bias_init) if self.use_bias else None

    def call(self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None, *, training: bool) -> Any:
        memory = x if memory is None else memory
        self._expect(x, memory)
        q = self._split(x, self.query_kernel, self.query_bias)
        k = self._split(memory, self.key_kernel, self.key_bias)
        v = self._split(memory, self.value_kernel, self.value_bias)
        scores = q @ swap_last(k) / math.sqrt(q.shape[-1])
        weights = look(scores, self._seen(x.shape, memory.shape, mask))
        kept = self._dropped(weights) if training and self.dropout is not None else weights
        joined = transpose(kept @ v, (0, 2, 1, 3)).reshape((*x.shape[:2], self.heads * v.shape[-1]))
        y = joined @ self.output_kernel
        y = y if self.output_bias is None else y + self.output_bias
        return (y, weights) if self.return_weights else y

    def _split(self, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        """The projection of x, a head at a time: (N, heads, steps, units)."""
        z = x @ kernel
        z = z if bias is None else z + bias
        return transpose(z.reshape((*x.shape[:2], self.heads, z.shape[-1] // self.heads)), (0, 2, 1, 3))

    def _seen(self, x: Shape, memory: Shape, mask: Tensor | None) -> Tensor | None:
        """Who may look where, of a shape that broadcasts to (N, heads, queries, keys)."""
        n, queries, keys = x[0], x[1], memory[1]
        seen: Tensor | None = None
        if mask is not None:
            if mask.shape not in ((n, keys), (n, queries, keys)):
                raise ShapeError(
                    f"got a mask of shape {mask.shape}; {queries} queries and {keys} keys in a batch of {n} need one "
                    f"of shape {(n, keys)} or {(n, queries, keys)}, 1 where a query may look and 0 elsewhere."
                )
            seen = mask if mask.dtype == np.bool_ else mask != 0
            seen = seen.reshape((n, 1, *((1, keys) if mask.ndim == 2 else (queries, keys))))
        if self.causal:
            before = arange(queries).reshape((queries, 1)) >= arange(keys)
            seen = before if seen is None else seen & before
        return seen

    def _dropped(self, weights: Tensor) -> Tensor:
        rate = self.scalar("dropout", weights.dtype)
        keep = random.bernoulli(self.key("dropout"), 1.0 - rate, weights.shape)
        return where(keep, weights / (1.0 - rate), 0.0)

    def _expect_sequences(self, *shapes: Shape) -> None:
        for what, shape in zip(("query", "memory"), shapes, strict=True):
            if len(shape) != 3:
                raise ShapeError(f"needs a {what} of shape (N, steps, features) and got one of shape {shape}.")
        if shapes[0][0] != shapes[1][0]:
            raise ShapeError(f"got {shapes[0][0]} queries and {shapes[1][0]} memories: one memory for each is needed.")

    def _expect(self, x: Tensor, memory: Tensor) -> None:
        self._expect_sequences(x.shape, memory.shape)
        if (x.shape[-1], memory.shape[-1]) != self.n_in:
            raise ShapeError(
                f"was built for {self.n_in[0]} features in the query and {self.n_in[1]} in the memory, and got inputs "
                f"of shapes {x.shape} and {memory.shape}."
            )
