"""Cases of the layers that stand before what learns: see `layer_cases.py`."""

import numpy as np
import torch
from torch.nn import functional as F

import kedja as kj
from nn.layer_cases import Case

DAYS = ["2020-01-01", "2020-06-01", "2021-03-01", "2021-12-01"]


def with_gaps(rng, shape):
    """Numbers of which some are missing."""
    x = rng.normal(size=shape)
    x[rng.random(shape) < 0.3] = np.nan
    return x


def codes(below):
    """Whole numbers that are stored as floats, as rows of a model are."""
    return lambda rng, shape: rng.integers(0, below, shape).astype(float)


def filled(w, x):
    """Missing values filled in, by PyTorch."""
    return torch.where(torch.isnan(x), w["values"], x)


def columns():
    """Two numbers, one with gaps, a category and a date."""
    table = {"a": [1.0, 2.0, None, 4.0], "b": [5.0, 5.5, 9.0, 7.0], "c": ["x", "y", "x", "y"], "d": DAYS}
    return kj.nn.Columns().adapt(table)


def rows(rng, shape):
    """Rows of codes for `columns`."""
    n, _ = shape
    x = rng.normal(size=shape)
    x[::2, 0] = np.nan
    x[:, 2] = rng.integers(0, 3, n)
    x[:, 3:] *= 100
    return x


def by_columns(w, x):
    """What `columns` makes of codes, by PyTorch."""
    amounts = torch.where(torch.isnan(x[:, [0, 1, 3]]), w["impute.values"], x[:, [0, 1, 3]])
    angle = 2 * np.pi / 365.2425 * amounts[:, 2:]
    hot = F.one_hot(x[:, 2].long(), 3)[:, 1:].to(x.dtype)
    scaled = (amounts - w["scale.mean"]) / w["scale.std"]
    parts = [scaled, torch.isnan(x[:, :1]), torch.sin(angle), torch.cos(angle), hot]
    return torch.cat([p.to(x.dtype) for p in parts], 1)


CASES = {
    "CategoryEmbedding": [
        Case(
            lambda: kj.nn.CategoryEmbedding([1, 2, 3], 2), (9, 2),
            lambda w, x: w["table"][x.long()].flatten(1), draws=codes(4), smooth=False, wrong=[(), (2, 3, 4)],
        ),
        Case(
            lambda: kj.nn.CategoryEmbedding([1, 2, 3]), (9,), lambda w, x: w["table"][x.long()], draws=codes(4),
            smooth=False, wrong=None,
        ),
    ],
    "CategoryEncoding": [
        Case(
            lambda: kj.nn.CategoryEncoding([1, 2, 3]), (6, 2),
            lambda w, x: F.one_hot(x.long(), 4).flatten(1).double(), draws=codes(4), smooth=False,
            wrong=[(), (2, 3, 4)],
        ),
        Case(
            lambda: kj.nn.CategoryEncoding([1, 2, 3], unknown="zeros"), (6,),
            lambda w, x: F.one_hot(x.long(), 4)[:, 1:].double(), draws=codes(4), smooth=False, wrong=None,
        ),
        Case(
            lambda: kj.nn.CategoryEncoding([1, 2, 3], "multi_hot"), (6, 3),
            lambda w, x: F.one_hot(x.long(), 4).amax(1).double(), draws=codes(4), smooth=False, wrong=None,
        ),
        Case(
            lambda: kj.nn.CategoryEncoding([1, 2, 3], "count"), (6, 3),
            lambda w, x: F.one_hot(x.long(), 4).sum(1).double(), draws=codes(4), smooth=False, wrong=None,
        ),
        Case(
            lambda: kj.nn.CategoryEncoding([1, 2, 3], "ordinal"), (6, 3), lambda w, x: 1.0 * x, draws=codes(4),
            smooth=False, wrong=None,
        ),
    ],
    "Columns": [Case(columns, (6, 4), by_columns, draws=rows, smooth=False, wrong=[(), (4,), (6, 3)])],
    "Impute": [
        Case(kj.nn.Impute, (5, 3), filled),
        Case(kj.nn.Impute, (5, 3), filled, draws=with_gaps, smooth=False),
        Case(
            lambda: kj.nn.Impute("constant", fill=-1.0, indicator=[0, 2]), (5, 3),
            lambda w, x: torch.cat([filled(w, x), torch.isnan(x[:, ::2]).to(x.dtype)], 1), draws=with_gaps,
            smooth=False, wrong=[(), (5, 2)],
        ),
        Case(
            lambda: kj.nn.Impute(indicator=True), (2, 4, 3),
            lambda w, x: torch.cat([filled(w, x), torch.isnan(x).to(x.dtype)], -1), draws=with_gaps,
            smooth=False,
        ),
    ],
    "OneHot": [
        Case(
            lambda: kj.nn.OneHot(4), (6, 2), lambda w, x: F.one_hot(x.long(), 4).flatten(1).double(), draws=codes(4),
            smooth=False, wrong=[(), (2, 3, 4)],
        ),
    ],
    "Rescale": [
        Case(
            lambda: kj.nn.Rescale(0.5, -2.0), (4, 3),
            lambda w, x: torch.addcmul(torch.tensor(-2.0), x, torch.tensor(0.5)), wrong=None,
        ),
    ],
}  # fmt: skip
