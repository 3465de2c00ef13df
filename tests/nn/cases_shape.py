"""Cases of the layers that move numbers and compute nothing: see `layer_cases.py`."""

import torch
from torch.nn import functional as F

import kedja as kj
from nn.layer_cases import Case

CASES = {
    "Crop": [
        Case(lambda: kj.nn.Crop(1), (2, 5, 4), lambda w, x: x[:, 1:-1], wrong=[(), (2, 5), (2, 2, 4)]),
        Case(lambda: kj.nn.Crop((1, (0, 2))), (2, 5, 4, 3), lambda w, x: x[:, 1:-1, :-2], wrong=[(2, 5, 4)]),
    ],
    "Flatten": [Case(kj.nn.Flatten, (2, 3, 4), lambda w, x: torch.flatten(x, 1))],
    "Pad": [
        Case(lambda: kj.nn.Pad(1), (2, 3, 4), lambda w, x: F.pad(x, (0, 0, 1, 1)), wrong=[(), (2, 3)]),
        Case(lambda: kj.nn.Pad(((1, 0), 2)), (2, 3, 4, 2), lambda w, x: F.pad(x, (0, 0, 2, 2, 1, 0)), wrong=[(2, 3)]),
        Case(lambda: kj.nn.Pad(2), (2, 1, 2, 3, 2), lambda w, x: F.pad(x, (0, 0, *(2,) * 6))),
    ],
    "Permute": [
        Case(lambda: kj.nn.Permute((2, 1)), (2, 3, 4), lambda w, x: x.transpose(1, 2), wrong=[(), (2, 3)]),
        Case(lambda: kj.nn.Permute((3, 1, 2)), (2, 3, 4, 5), lambda w, x: x.permute(0, 3, 1, 2)),
    ],
    "Reshape": [
        Case(lambda: kj.nn.Reshape((3, 2)), (4, 6), lambda w, x: torch.unflatten(x, 1, (3, 2)), wrong=[(), (4, 5)]),
    ],
    "Upsample": [
        Case(
            kj.nn.Upsample, (2, 3, 4), lambda w, x: F.interpolate(x.movedim(-1, 1), scale_factor=2).movedim(1, -1),
            wrong=[(), (2, 3)],
        ),
        Case(
            lambda: kj.nn.Upsample((2, 3)), (2, 3, 2, 2),
            lambda w, x: F.interpolate(x.movedim(-1, 1), scale_factor=(2, 3)).movedim(1, -1), wrong=[(2, 3, 4)],
        ),
    ],
}  # fmt: skip
