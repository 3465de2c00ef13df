"""Each method against PyTorch: the same network, its gradients by autograd and its maps by a hook."""

import numpy as np
import pytest
import torch
from torch import nn

import kedja as kj

torch.set_num_threads(1)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 12, 10, 2)).astype(np.float32)
TARGETS = [2, 0]


def pair(activation="relu", gap=True, dtype="float32"):
    """A small CNN with a global pool (or a flat head), and the same in PyTorch."""
    head = [kj.nn.GlobalAveragePool()] if gap else [kj.nn.MaxPool2D(2), kj.nn.Flatten()]
    ours = kj.Sequential(
        [kj.nn.Conv2D(5, 3, activation, padding="same"), kj.nn.MaxPool2D(2), kj.nn.Conv2D(4, 3, activation), *head,
         kj.nn.Dense(3, "softmax")], dtype=dtype,
    ).build((None, 12, 10, 2), seed=3)  # fmt: skip
    act = nn.ReLU if activation == "relu" else nn.Tanh

    class Channels(nn.Module):
        """The order in which kedja flattens: channels last."""

        def forward(self, x):
            return x.permute(0, 2, 3, 1).flatten(1)

    middle = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if gap else [nn.MaxPool2d(2), Channels()]
    theirs = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1), act(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3), act(), *middle,
        nn.Linear(4 if gap else 8, 3),
    ).to(torch.float64 if dtype == "float64" else torch.float32)  # fmt: skip
    weights = [torch.tensor(np.asarray(w)) for w in ours.get_weights()]
    with torch.no_grad():
        for p, w in zip(theirs.parameters(), weights, strict=True):
            p.copy_(w.permute(3, 2, 0, 1) if w.ndim == 4 else w.T if w.ndim == 2 else w)
    return ours, theirs


def channels_first(x):
    return torch.tensor(np.moveaxis(x, -1, 1).copy())


def gradient(theirs, x, target):
    """∂logit/∂x, channels last."""
    given = channels_first(x).requires_grad_()
    theirs(given)[:, target].sum().backward()
    return np.moveaxis(given.grad.numpy(), 1, -1)


def hooked(theirs, x, target, place=4):
    """A layer's maps and the gradient that comes back to them, by hooks."""
    kept = {}
    stay = theirs[place].register_forward_hook(lambda m, i, o: kept.update(maps=o) or o.retain_grad())
    theirs(channels_first(x))[:, target].sum().backward()
    stay.remove()
    return kept["maps"].detach(), kept["maps"].grad


@pytest.mark.parametrize("gap", [True, False])
@pytest.mark.parametrize("target", TARGETS)
def test_grad_cam_is_that_of_hooks(gap, target):
    """The map of the last convolution, before it is enlarged, and enlarged as torch's bilinear interpolation."""
    ours, theirs = pair(gap=gap)
    maps, back = hooked(theirs, X, target)
    expected = torch.relu((back.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True))
    found = kj.explain.heatmap(ours, X, target, layer="conv2d_2")
    assert found.raw["grad_cam"].shape == (3, 1, 4, 3)
    np.testing.assert_allclose(found.raw["grad_cam"][:, 0], expected[:, 0].numpy(), atol=1e-6)
    large = torch.nn.functional.interpolate(expected, (12, 10), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found.values, large[:, 0].numpy(), atol=1e-6)
    signed = kj.explain.heatmap(ours, X, target, layer="conv2d_2", signed=True)
    np.testing.assert_allclose(
        signed.raw["grad_cam"][:, 0], (back.mean((2, 3), keepdim=True) * maps).sum(1).numpy(), atol=1e-6
    )


@pytest.mark.parametrize("target", TARGETS)
def test_cam_weighs_the_maps_by_the_last_weights(target):
    """CAM of Zhou et al.: the rows of the Dense applied to every place; its mean and the bias are the logit."""
    ours, theirs = pair()
    maps, _ = hooked(theirs, X, target)
    expected = torch.einsum("k,nkhw->nhw", theirs[-1].weight[target], maps).detach().numpy()
    found = kj.explain.heatmap(ours, X, target, "cam")
    np.testing.assert_allclose(found.raw["cam"][:, 0], expected, atol=1e-5)
    bias = theirs[-1].bias[target].item()
    np.testing.assert_allclose(found.raw["cam"].mean((2, 3)) + bias, found.scores, atol=1e-5)
    both = kj.explain.heatmap(ours, X, target, ["cam", "grad_cam"]).full
    np.testing.assert_allclose(
        np.maximum(found.raw["cam"], 0) / 12, kj.explain.heatmap(ours, X, target).raw["grad_cam"], atol=1e-6
    )  # up to the 4·3 places
    assert both.shape == (2, 3, 1, 12, 10)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("gap", [True, False])
def test_maps_of_the_input_are_those_of_autograd(gap, target):
    """Saliency and gradient × input, of three images at once and of each alone."""
    ours, theirs = pair(gap=gap)
    slope = gradient(theirs, X, target)
    found = kj.explain.heatmap(ours, X, target, ["saliency", "gradient_times_input"])
    np.testing.assert_allclose(found.values[0], np.abs(slope).max(-1), atol=1e-6)
    np.testing.assert_allclose(found.values[1], (slope * X).sum(-1), atol=1e-6)
    alone = kj.explain.heatmap(ours, X[1], target, "saliency")
    np.testing.assert_allclose(alone.values, found.values[0, 1], atol=1e-6)


def test_guided_backprop_is_that_of_backward_hooks():
    """PyTorch's ReLU with a hook that lets only positive gradients pass."""
    ours, theirs = pair()
    for m in theirs:
        if isinstance(m, nn.ReLU):
            m.register_full_backward_hook(lambda m, grad_in, grad_out: (torch.relu(grad_in[0]),))
    expected = np.abs(gradient(theirs, X, 1)).max(-1)
    found = kj.explain.heatmap(ours, X, 1, "guided_backprop").values
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - kj.explain.heatmap(ours, X, 1, "saliency").values).max() > 1e-3


def test_integrated_gradients_are_the_integral_of_autograd():
    """In float64, with the same sixty points on the way, from black, from grey and from another image."""
    ours, theirs = pair("tanh", dtype="float64")
    x = X.astype(np.float64)
    for start, given in ((np.zeros_like(x), None), (np.full_like(x, 0.3), 0.3), (x[::-1].copy()[:1], x[2])):
        begin = np.broadcast_to(start, x.shape)
        slopes = np.mean(
            [gradient(theirs, begin + (i + 0.5) / 60 * (x - begin), 2) for i in range(60)], axis=0
        )  # fmt: skip
        found = kj.explain.heatmap(ours, x, 2, "integrated_gradients", baseline=given, steps=60)
        np.testing.assert_allclose(found.values, ((x - begin) * slopes).sum(-1), atol=1e-5)


def test_occlusion_is_what_the_score_loses():
    """Patches laid on by hand in PyTorch, the mean over those that cover a place; a last one reaches the edge."""
    ours, theirs = pair()
    logit = theirs(channels_first(X))[:, TARGETS].detach().numpy()
    total, counts = np.zeros((3, 2, 12, 10)), np.zeros((12, 10))
    for i in (0, 3, 6, 8):
        for j in (0, 3, 6, 7):
            covered = X.copy()
            covered[:, i : i + 4, j : j + 3] = 0.5
            lost = logit - theirs(channels_first(covered))[:, TARGETS].detach().numpy()
            total[:, :, i : i + 4, j : j + 3] += lost[..., None, None]
            counts[i : i + 4, j : j + 3] += 1
    found = kj.explain.heatmap(ours, X, TARGETS, "occlusion", patch=(4, 3), stride=3, baseline=0.5)
    np.testing.assert_allclose(found.values, total / counts, atol=1e-5)


def test_smooth_grad_is_the_mean_of_noisy_gradients():
    """With the noise of the seed, PyTorch's gradients average to the same map; another seed gives another."""
    ours, theirs = pair()
    noise = kj.random.normal(kj.random.key(5), (6, 12, 10, 2)).numpy()
    spread = 0.2 * (X[0].max() - X[0].min())
    expected = np.mean([gradient(theirs, X[:1] + spread * n, 2)[0] for n in noise], axis=0)
    how = {"samples": 6, "noise": 0.2}
    found = kj.explain.heatmap(ours, X[0], 2, "smooth_grad", seed=5, **how).values
    np.testing.assert_allclose(found, np.abs(expected).max(-1), atol=1e-6)
    again, other = (kj.explain.heatmap(ours, X, 2, "smooth_grad", seed=s, **how).values[0] for s in (5, 6))
    np.testing.assert_allclose(again, found, atol=1e-6)
    assert np.abs(other - found).max() > 1e-4


def test_probability_is_differentiated_when_asked_for():
    """score="probability" goes through the softmax; the logit does not."""
    ours, theirs = pair()
    given = channels_first(X).requires_grad_()
    torch.softmax(theirs(given), 1)[:, 1].sum().backward()
    expected = given.grad.abs().amax(1).numpy()
    found = kj.explain.heatmap(ours, X, 1, "saliency", score="probability")
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    assert "probability" in str(found) and "logit" in str(kj.explain.heatmap(ours, X, 1, "saliency"))
