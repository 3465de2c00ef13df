"""Cases of the layers that change examples in training only: see `layer_cases.py`."""

import torch
from torch.nn import functional as F

import kedja as kj
from nn.layer_cases import Case


def as_it_is(w, x):
    """In inference nothing is done. What is done in training has tests of its own, `layers/augmentation/`."""
    return x


def in_the_middle(*size):
    """The window in the middle of an image, by slices."""

    def cut(w, x):
        for axis, s in enumerate(size, 1):
            x = torch.narrow(x, axis, (x.shape[axis] - s) // 2, s)
        return x

    return cut


def case(make, shape, oracle=as_it_is, **how):
    """A layer that draws; images and series have more axes than a matrix."""
    return Case(make, shape, oracle, training="random", **({"wrong": [(), (5, 3), (2, 3, 4, 5, 6)]} | how))


SERIES, IMAGES = (4, 7, 2), (3, 6, 5, 2)
ONLY_IMAGES = {"wrong": [(), (5, 3), SERIES]}
nn = kj.nn
CASES = {
    "Cutout": [
        case(lambda: nn.Cutout(0.5), IMAGES),
        case(lambda: nn.Cutout(0.4, rate=0.7, value=2.0), SERIES),
    ],
    "RandomAffine": [
        case(lambda: nn.RandomAffine(20, 0.1, 0.2, 15), IMAGES, **ONLY_IMAGES),
        case(lambda: nn.RandomAffine(180, 0.5, 1, 40, fill="reflect"), IMAGES, **ONLY_IMAGES),
    ],
    "RandomBrightness": [
        case(lambda: nn.RandomBrightness(0.3), (5, 4), wrong=[(), (3,)]),
        case(lambda: nn.RandomBrightness(0.3, limits=(-1, 1)), IMAGES, wrong=[(3,)], smooth=False),
    ],
    "RandomContrast": [
        case(lambda: nn.RandomContrast(0.3), IMAGES),
        case(lambda: nn.RandomContrast(1.0, limits=(0, 1)), SERIES, smooth=False),
    ],
    "RandomCrop": [
        case(lambda: nn.RandomCrop((4, 3)), IMAGES, in_the_middle(4, 3), wrong=[(), (5, 3), (2, 3, 4, 1), SERIES]),
        case(lambda: nn.RandomCrop(padding=2, value=1.0), SERIES),
        case(lambda: nn.RandomCrop(4, padding=3, fill="reflect"), IMAGES, in_the_middle(4, 4)),
        case(
            lambda: nn.RandomCrop((6, 8), padding=2, fill="nearest"), IMAGES,
            lambda w, x: F.pad(x.permute(0, 3, 1, 2), (1, 2, 0, 0), mode="replicate").permute(0, 2, 3, 1),
        ),
    ],
    "RandomFlip": [
        case(nn.RandomFlip, (7, 3, 4, 2), wrong=[(), (5, 3), SERIES]),
        case(lambda: nn.RandomFlip("time", rate=0.4), SERIES, wrong=[(), (5, 3), IMAGES]),
        case(lambda: nn.RandomFlip("both"), IMAGES, wrong=[SERIES]),
    ],
    "RandomGain": [
        case(lambda: nn.RandomGain(0.5), (5, 4), wrong=[(), (3,)]),
        case(lambda: nn.RandomGain(1.0, limits=(-1, 1)), SERIES, wrong=[(3,)], smooth=False),
    ],
    "RandomRotation": [
        case(lambda: nn.RandomRotation(30), IMAGES, **ONLY_IMAGES),
        case(lambda: nn.RandomRotation(180, fill="nearest"), IMAGES, **ONLY_IMAGES),
    ],
    "RandomShear": [case(lambda: nn.RandomShear(30, value=1.5), IMAGES, **ONLY_IMAGES)],
    "RandomShift": [
        case(lambda: nn.RandomShift(0.4), IMAGES),
        case(lambda: nn.RandomShift(0.3, fill="reflect"), SERIES),
        case(lambda: nn.RandomShift(0.3, axes=2), IMAGES, wrong=[SERIES]),
    ],
    "RandomZoom": [
        case(lambda: nn.RandomZoom(0.5), IMAGES),
        case(lambda: nn.RandomZoom(0.3, fill="nearest"), SERIES),
    ],
}  # fmt: skip
