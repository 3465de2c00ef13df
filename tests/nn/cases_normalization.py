"""Cases of dropout, noise and normalisation: see `layer_cases.py`."""

from torch.nn import functional as F

import kedja as kj
from nn.layer_cases import Case


def first(x):
    """Channels first, as PyTorch wants them; copied, since its group norm has no gradient for some strided inputs."""
    return x.movedim(-1, 1).contiguous()


def last(x):
    """Channels last, as ours are."""
    return x.movedim(1, -1)


def as_it_is(w, x):
    """In inference nothing happens (the judge is PyTorch's dropout)."""
    return F.dropout(x, 0.5, training=False)


def batch(w, x, training=False):
    """PyTorch's batch norm; its momentum is 1 minus ours."""
    how = {"training": training, "momentum": 0.1, "eps": 1e-5}
    mean, variance = w["mean"].clone(), w["variance"].clone()
    return last(F.batch_norm(first(x), mean, variance, w.get("gamma"), w.get("beta"), **how))


def trained(w, x):
    """In training."""
    return batch(w, x, training=True)


def group(n):
    """PyTorch's group norm."""
    return lambda w, x: last(F.group_norm(first(x), n, w.get("gamma"), w.get("beta"), 1e-5))


CASES = {
    "AlphaDropout": [Case(lambda: kj.nn.AlphaDropout(0.3), (6, 5), as_it_is, training="random", wrong=None)],
    "BatchNorm": [
        Case(kj.nn.BatchNorm, (6, 3), batch, training="batch", trained=trained, wrong=[(), (3,)]),
        Case(kj.nn.BatchNorm, (3, 4, 2), batch, training="batch", trained=trained),
        Case(kj.nn.BatchNorm, (2, 3, 4, 3), batch, training="batch", trained=trained),
        Case(lambda: kj.nn.BatchNorm(center=False), (2, 2, 3, 2, 3), batch, training="batch", trained=trained),
        Case(lambda: kj.nn.BatchNorm(scale=False), (5, 3), batch, training="batch", trained=trained),
        Case(
            lambda: kj.nn.BatchNorm(axis=1), (3, 4, 2), lambda w, x: first(batch(w, last(x))), training="batch",
            trained=lambda w, x: first(trained(w, last(x))),
        ),
    ],
    "Dropout": [
        Case(lambda: kj.nn.Dropout(0.5), (6, 5), as_it_is, training="random", wrong=None),
        Case(lambda: kj.nn.Dropout(0.5, shared_axes=(1, 2)), (3, 2, 2, 5), as_it_is, training="random", wrong=[(3,)]),
    ],
    "GaussianDropout": [Case(lambda: kj.nn.GaussianDropout(0.2), (6, 5), as_it_is, training="random", wrong=None)],
    "GaussianNoise": [Case(lambda: kj.nn.GaussianNoise(0.2), (6, 5), as_it_is, training="random", wrong=None)],
    "GroupNorm": [
        Case(lambda: kj.nn.GroupNorm(2), (3, 4), group(2), wrong=[(), (4,), (3, 5)]),
        Case(lambda: kj.nn.GroupNorm(3), (2, 4, 3, 6), group(3)),
        Case(lambda: kj.nn.GroupNorm(1, center=False, scale=False), (2, 4, 3), group(1)),
    ],
    "InstanceNorm": [
        Case(
            kj.nn.InstanceNorm, (2, 4, 3, 2),
            lambda w, x: last(F.instance_norm(first(x), weight=w["gamma"], bias=w["beta"])), wrong=[(), (2, 3)],
        ),
    ],
    "LayerNorm": [
        Case(kj.nn.LayerNorm, (4, 3), lambda w, x: F.layer_norm(x, (3,), w["gamma"], w["beta"])),
        Case(
            lambda: kj.nn.LayerNorm(axis=(1, -1), epsilon=1e-3), (2, 4, 3),
            lambda w, x: F.layer_norm(x, (4, 3), w["gamma"], w["beta"], 1e-3), wrong=[(), (3,)],
        ),
        Case(lambda: kj.nn.LayerNorm(center=False), (2, 4, 3), lambda w, x: F.layer_norm(x, (3,), w["gamma"])),
    ],
    "RMSNorm": [
        Case(kj.nn.RMSNorm, (4, 3), lambda w, x: F.rms_norm(x, (3,), w["gamma"], 1e-5)),
        Case(lambda: kj.nn.RMSNorm(1e-2, scale=False), (2, 2, 3), lambda w, x: F.rms_norm(x, (3,), None, 1e-2)),
    ],
}  # fmt: skip
