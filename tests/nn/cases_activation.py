"""Cases of the activations as layers: one for every entry of the table, and those that learn or draw."""

import torch
from torch.nn import functional as F

import kedja as kj
from nn.layer_cases import Case
from oracles.torch_activations import TORCH_ACTIVATIONS

TABLE = kj.activations.TABLE


def case_of(name: str) -> Case:
    """An activation without weights against PyTorch's; those of rows refuse a single number."""
    entry = TABLE[name]
    wrong = None if entry.elementwise else [()]
    return Case(getattr(kj.nn, entry.layer), (5, 4), lambda w, x: TORCH_ACTIVATIONS[name](x), wrong=wrong)


CASES = {entry.layer: [case_of(name)] for name, entry in TABLE.items()} | {
    "Activation": [
        Case(lambda: kj.nn.Activation("tanh"), (5, 3), lambda w, x: torch.tanh(x), wrong=None),
        Case(
            lambda: kj.nn.Activation("prelu"), (5, 3), lambda w, x: F.prelu(x, w["activation.slope"]),
            wrong=None,
        ),
    ],
    "PReLU": [
        Case(kj.nn.PReLU, (6, 3), lambda w, x: F.prelu(x, w["slope"]), wrong=None),
        Case(lambda: kj.nn.PReLU("all"), (6, 2, 3), lambda w, x: F.prelu(x, w["slope"].reshape(1)), wrong=None),
        Case(
            lambda: kj.nn.PReLU((1,)), (6, 2, 3), lambda w, x: F.prelu(x.movedim(2, 1), w["slope"]).movedim(1, 2),
            wrong=[(6,)],
        ),
    ],
    "RReLU": [Case(kj.nn.RReLU, (5, 4), lambda w, x: F.rrelu(x, training=False), training="random", wrong=None)],
}  # fmt: skip
