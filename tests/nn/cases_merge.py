"""Cases of the layers of several inputs, of Residual and Lambda, and of whole models: see `layer_cases.py`."""

import torch
from torch.nn import functional as F

import kedja as kj
from nn.layer_cases import Case

ROWS = [(3, 4), (3, 4), (3, 4)]
STRETCHED = [(2, 3, 4), (2, 1, 4)]
UNEQUAL = [[(3, 4), (3, 5)], [(3, 4), (1, 4)], [(3, 4), (3, 1, 4)]]


def functional():
    """A branch with arithmetic."""
    x = kj.Input((4,))
    return kj.Model(x, 2 * x - kj.nn.Dense(4, "tanh")(x))


CASES = {
    "Add": [
        Case(kj.nn.Add, ROWS, lambda w, a, b, c: a + b + c, wrong=UNEQUAL),
        Case(kj.nn.Add, STRETCHED, lambda w, a, b: a + b, wrong=None),
    ],
    "Arithmetic": [
        Case(lambda: kj.nn.functional.Arithmetic("add"), [(3, 4), (3, 4)], lambda w, a, b: a + b, wrong=None),
        Case(
            lambda: kj.nn.functional.Arithmetic("divide", number=2.0, swapped=True), (3, 4), lambda w, a: 2 / a,
            wrong=None, draws=lambda rng, shape: rng.uniform(1, 2, shape),
        ),
    ],
    "Average": [Case(kj.nn.Average, ROWS, lambda w, *xs: torch.stack(xs).mean(0), wrong=UNEQUAL)],
    "Concatenate": [
        Case(
            kj.nn.Concatenate, [(3, 4), (3, 2)], lambda w, *xs: torch.cat(xs, -1),
            wrong=[[(), ()], [(3,), (3,)], [(3, 4), (2, 4)], [(3, 4), (3, 4, 1)]],
        ),
        Case(lambda: kj.nn.Concatenate(axis=1), [(2, 1, 3), (2, 4, 3)], lambda w, *xs: torch.cat(xs, 1), wrong=None),
    ],
    "Dot": [Case(kj.nn.Dot, [(3, 4), (3, 4)], lambda w, a, b: torch.linalg.vecdot(a, b)[:, None], wrong=UNEQUAL)],
    "Lambda": [
        Case(lambda: kj.nn.Lambda("square"), (3, 4), lambda w, x: torch.square(x), wrong=None),
        Case(lambda: kj.nn.Lambda("arctan"), (3, 4), lambda w, x: torch.arctan(x), wrong=None),
    ],
    "Maximum": [Case(kj.nn.Maximum, ROWS, lambda w, *xs: torch.stack(xs).amax(0), wrong=UNEQUAL)],
    "Minimum": [Case(kj.nn.Minimum, ROWS, lambda w, *xs: torch.stack(xs).amin(0), wrong=UNEQUAL)],
    "Model": [
        Case(
            functional, (3, 4),
            lambda w, x: 2 * x - torch.tanh(F.linear(x, w["dense_1.kernel"].T, w["dense_1.bias"])), wrong=[(), (3, 5)],
        ),
    ],
    "Branches": [
        Case(
            lambda: kj.nn.Branches([kj.nn.Identity(), kj.nn.Dense(2, "tanh")]), (3, 4),
            lambda w, x: torch.cat([x, torch.tanh(F.linear(x, w["dense_1.kernel"].T, w["dense_1.bias"]))], -1),
        ),
        Case(
            lambda: kj.nn.Branches([kj.nn.Conv2D(2, 1), kj.nn.MaxPool2D(3, stride=1, padding=1)]), (2, 4, 5, 3),
            lambda w, x: torch.cat(
                [
                    x @ w["conv2d_1.kernel"][0, 0] + w["conv2d_1.bias"],
                    F.max_pool2d(x.movedim(-1, 1), 3, 1, 1).movedim(1, -1),
                ], -1,
            ),
        ),
    ],
    "Multiply": [Case(kj.nn.Multiply, ROWS, lambda w, *xs: torch.stack(xs).prod(0), wrong=UNEQUAL)],
    "Residual": [
        Case(
            lambda: kj.nn.Residual(kj.nn.Dense(4, "tanh")), (3, 4),
            lambda w, x: x + torch.tanh(F.linear(x, w["layer.kernel"].T, w["layer.bias"])),
        ),
        Case(
            lambda: kj.nn.Residual(kj.nn.Dense(2, use_bias=False), activation="sigmoid"), (3, 4),
            lambda w, x: torch.sigmoid(x @ w["layer.kernel"] + x @ w["projection.kernel"]),
        ),
        Case(
            lambda: kj.nn.Residual(kj.Sequential([kj.nn.Conv2D(3, 3, stride=2, padding=1)])), (2, 5, 6, 2),
            lambda w, x: (
                F.conv2d(
                    x.movedim(-1, 1), w["layer.conv2d_1.kernel"].movedim((-1, -2), (0, 1)),
                    w["layer.conv2d_1.bias"], 2, 1,
                )
                + F.conv2d(x.movedim(-1, 1), w["projection.kernel"].T[..., None, None], stride=2)
            ).movedim(1, -1),
        ),
    ],
    "Sequential": [
        Case(
            lambda: kj.Sequential([kj.nn.Dense(3, "tanh"), kj.nn.Dense(2)]), (4, 5),
            lambda w, x: F.linear(
                torch.tanh(F.linear(x, w["dense_1.kernel"].T, w["dense_1.bias"])),
                w["dense_2.kernel"].T, w["dense_2.bias"],
            ),
            wrong=None,
        ),
    ],
    "Subtract": [Case(kj.nn.Subtract, [(3, 4), (3, 4)], lambda w, a, b: a - b, wrong=UNEQUAL)],
}  # fmt: skip
CASES |= {
    "Denormalize": [
        Case(
            kj.nn.Denormalize, (3, 2), lambda w, x: torch.addcmul(w["mean"], x, w["std"]), wrong=None,
        ),
    ],
    "Normalize": [Case(kj.nn.Normalize, (3, 2), lambda w, x: (x - w["mean"]) / w["std"], wrong=None)],
}  # fmt: skip
