"""Cases of the recurrent layers, attention and positions: see `layer_cases.py`. PyTorch computes, with our weights."""

import numpy as np
import torch

import kedja as kj
from nn.layer_cases import Case, masks, normal

# PyTorch's GRU has its gates as (r, z, n), ours as (z, r, n).
ORDERS = {"SimpleRNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}
PEERS = {"SimpleRNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}
N, STEPS, FEATURES, UNITS = 4, 5, 3, 2


def reordered(kind, w, bias=False):
    """A weight of ours as PyTorch has it: gates in its order, (out, in)."""
    parts = w.chunk(len(ORDERS[kind]), dim=-1)
    joined = torch.cat([parts[k] for k in ORDERS[kind]], dim=-1)
    return joined if bias else joined.T


def sequences(kind, w, x, prefix="", reverse=False):
    """All outputs of PyTorch's layer with these weights, each at its step; differentiable by the weights."""
    peer = PEERS[kind](x.shape[-1], w[f"{prefix}recurrent"].shape[0], batch_first=True).double()
    b = w[f"{prefix}bias"]
    given = {
        "weight_ih_l0": reordered(kind, w[f"{prefix}kernel"]),
        "weight_hh_l0": reordered(kind, w[f"{prefix}recurrent"]),
        "bias_ih_l0": reordered(kind, b, bias=True),
        "bias_hh_l0": reordered(kind, w.get(f"{prefix}recurrent_bias", torch.zeros_like(b)), bias=True),
    }
    y, _ = torch.func.functional_call(peer, given, (x.flip(1) if reverse else x,))
    return y.flip(1) if reverse else y


def last(kind):
    """The output of the last step."""
    return lambda w, x: sequences(kind, w, x)[:, -1]


def masked(kind):
    """Each row's output at its last real step, repeated over the padding that follows it."""

    def oracle(w, x, mask):
        y = sequences(kind, w, x)
        at = torch.minimum(torch.arange(x.shape[1])[None], mask.sum(1, keepdim=True) - 1)
        return torch.gather(y, 1, at[..., None].expand(y.shape))

    return oracle


def both_ways(w, x):
    """Forwards and backwards side by side."""
    ways = [sequences("LSTM", w, x, f"{p}.", reverse=p == "backwards") for p in ("forwards", "backwards")]
    return torch.cat(ways, -1)


def heads(w, x, memory=None, mask=None, causal=False):
    """PyTorch's multi_head_attention_forward; its masks say where not to look."""
    memory = x if memory is None else memory
    y, _ = torch.nn.functional.multi_head_attention_forward(
        *(t.transpose(0, 1) for t in (x, memory, memory)), x.shape[-1], 2, None,
        torch.cat([w["query_bias"], w["key_bias"], w["value_bias"]]), None, None, False, 0.0,
        w["output_kernel"].T, w["output_bias"], training=False,
        key_padding_mask=None if mask is None else ~mask,
        attn_mask=torch.ones(x.shape[1], memory.shape[1]).triu(1).bool() if causal else None,
        use_separate_proj_weight=True, q_proj_weight=w["query_kernel"].T, k_proj_weight=w["key_kernel"].T,
        v_proj_weight=w["value_kernel"].T,
    )  # fmt: skip
    return y.transpose(0, 1)


def written_waves(w, x):
    """The formula of the paper, entry by entry."""
    _, steps, d = x.shape
    table = np.zeros((steps, d))
    for t in range(steps):
        for i in range(0, d, 2):
            table[t, i] = np.sin(t / 10_000 ** (i / d))
            if i + 1 < d:
                table[t, i + 1] = np.cos(t / 10_000 ** (i / d))
    return x + torch.from_numpy(table)


def recurrent_cases(kind):
    """The last output; with masks; all outputs, read from the end."""
    cls = getattr(kj.nn, kind)
    wrong = [(N, STEPS), (STEPS,), [(N, STEPS, FEATURES), (N, STEPS + 1)]]
    x = (N, STEPS, FEATURES)
    return [
        Case(lambda: cls(UNITS, return_sequences=True), [x, (N, STEPS)], masked(kind), draws=[normal, masks], mask=1,
             wrong=wrong),
        Case(lambda: cls(UNITS), x, last(kind), wrong=[(N, FEATURES), (N, 2, STEPS, FEATURES)]),
        Case(lambda: cls(UNITS, reverse=True, return_sequences=True), x,
             lambda w, x: sequences(kind, w, x, reverse=True)),
    ]  # fmt: skip


IDLE = {"key_bias": "it adds the same to all scores of a query, which the softmax takes out again"}

CASES = {
    **{kind: recurrent_cases(kind) for kind in PEERS},
    "Bidirectional": [
        Case(lambda: kj.nn.Bidirectional(kj.nn.LSTM(UNITS, return_sequences=True)), (N, STEPS, FEATURES), both_ways,
             wrong=[(N, STEPS)]),
    ],
    "MultiHeadAttention": [
        Case(lambda: kj.nn.MultiHeadAttention(2), [(3, 4, 6), (3, 5, 2), (3, 5)], heads, draws=[normal, normal, masks],
             wrong=[(3, 6), [(3, 4, 6), (3, 5)], [(3, 4, 6), (2, 5, 2)], [(3, 4, 6), (3, 5, 2), (3, 4)], (3, 4, 5)],
             idle=IDLE),
        Case(lambda: kj.nn.MultiHeadAttention(2, causal=True), (3, 4, 6), lambda w, x: heads(w, x, causal=True),
             idle=IDLE),
        Case(lambda: kj.nn.MultiHeadAttention(2, dropout=0.5), (3, 4, 6), heads, training="random", idle=IDLE),
    ],
    "PositionalEncoding": [
        Case(kj.nn.PositionalEncoding, (2, 5, 6), written_waves, wrong=[(5, 6), (6,)], judge="the paper's formula"),
        Case(kj.nn.PositionalEncoding, (2, 3, 5), written_waves, judge="the paper's formula"),
    ],
    "LearnedPositionalEncoding": [
        Case(lambda: kj.nn.LearnedPositionalEncoding(5), (2, 5, 6),
             lambda w, x: x + torch.nn.functional.embedding(torch.arange(x.shape[1]), w["table"]),
             wrong=[(5, 6), (2, 6, 6)]),
    ],
}  # fmt: skip
