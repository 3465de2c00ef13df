"""`kj.explain.heatmap`: which places of an image or a series speak for an answer of a network (scope 7, 8.6)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kedja.errors import DataError, ShapeError
from kedja.explain.heatmaps import covering, slopes, weighing
from kedja.explain.heatmaps.answers import Answer
from kedja.explain.heatmaps.asking import Asked, asked
from kedja.explain.heatmaps.found import HeatMap
from kedja.explain.heatmaps.options import Options
from kedja.explain.heatmaps.painting import drawable
from kedja.explain.heatmaps.photograph import photograph
from kedja.explain.heatmaps.targets import chosen
from kedja.explain.pictures.picture import returned
from kedja.graph.node import Array, Tensor

__all__ = ["METHODS", "heatmap"]

METHODS: Mapping[str, Callable[[Asked, Array, Options], Answer]] = {
    "cam": weighing.cam,
    "grad_cam": weighing.grad_cam,
    "gradient_times_input": slopes.gradient_times_input,
    "guided_backprop": slopes.guided_backprop,
    "integrated_gradients": slopes.integrated_gradients,
    "occlusion": covering.occlusion,
    "saliency": slopes.saliency,
    "smooth_grad": slopes.smooth_grad,
}


def heatmap(
    model: Any, image: Any, target: Any = None, method: str | Sequence[str] = "grad_cam", *, layer: Any = None,
    top: int | None = None, score: str = "logit", shape: Sequence[int] | None = None,
    names: Sequence[str] | None = None, picture: Any = None, signed: bool | None = None, steps: int | None = None,
    samples: int | None = None, noise: float | None = None, seed: int | None = None, baseline: Any = None,
    patch: Any = None, stride: Any = None, path: str | os.PathLike[str] | None = None,
) -> HeatMap:  # fmt: skip
    """Which places of an image speak for a class: a map of its size, over the image in the picture (scope 7, 8.6).

    `image`: one image (height, width, channels) or series (steps, channels) as the model takes it, several of them, or
    the file of a photograph. For models that take rows, such as a dense network on digits, `shape` says how a row lies
    as an image, where the model does not know. `target`: the number or the name of a class, or a list of classes; by
    default what the model says, with `top=3` the three likeliest. Asked is the score before softmax or sigmoid, with
    `score="probability"` the probability. `picture` is drawn under the map in place of the image.

    `method`, or several of them side by side:

    - "grad_cam": max(0, Σ_k α_k A_k) of the maps A_k of `layer` (by default the last with places), α_k the mean of
      ∂s/∂A_k over the places; with `signed=True` without the max. Selvaraju et al. 2017.
    - "cam": Σ_k w_k A_k, for models that end with GlobalAveragePool and a Dense with weights w. Zhou et al. 2016.
    - "saliency": max_c |∂s/∂x_c|. Simonyan et al. 2013.
    - "gradient_times_input": Σ_c x_c ∂s/∂x_c. Shrikumar et al. 2016.
    - "guided_backprop": saliency with another derivative of ReLU. Springenberg et al. 2014.
    - "smooth_grad": saliency of the mean gradient of `samples` noisy copies. Smilkov et al. 2017.
    - "integrated_gradients": (x − x′) · mean gradient on the way from `baseline` x′, at `steps` points; adds up to
      s(x) − s(x′). Sundararajan et al. 2017.
    - "occlusion": what the score loses when a `patch` that moves by `stride` covers a place with `baseline`. Zeiler
      and Fergus 2014.

    Raises UnknownNameError for a method, layer or class there is none of, ShapeError for an image or layer without the
    right axes, GraphError where a method does not fit the model (it says which does), DataError for bad options.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Conv2D(4, 3, "relu"), kj.nn.GlobalAveragePool(), kj.nn.Dense(3)])
    >>> found = heatmap(net.build((None, 8, 8, 1), seed=0), np.eye(8), target=2)
    >>> found.values.shape, found.target, found.layer
    ((8, 8), 2, 'conv2d_1')
    """
    methods = [method] if isinstance(method, str) else list(method)
    if not methods or len(set(methods)) < len(methods):
        raise DataError(f"heatmap: method is a name or a list of different ones; got {method!r}")
    given = {
        "layer": layer, "signed": signed, "steps": steps, "samples": samples, "noise": noise, "seed": seed,
        "baseline": baseline, "patch": patch, "stride": stride,
    }  # fmt: skip
    options = Options(methods, given)
    if isinstance(image, str | Path):
        image = photograph(image, model, shape)
    found, one_image = asked(model, image, shape, score, names)
    targets, one_class = chosen(found, target, top)
    answers = {m: METHODS[m](found, targets, options) for m in methods}
    result = HeatMap(found, answers, targets, (isinstance(method, str), one_image, one_class), _shown(found, picture))
    return returned(result, path)


def _shown(found: Asked, picture: Any) -> Array:
    """What is drawn under the maps, (n, *places, channels) from 0 to 1."""
    if picture is None:
        own = found.x.reshape(len(found.x), *found.form)
        if (how := found.model.info.get("preprocess")) and own.shape[-1] == len(how["mean"]):
            own = np.clip(own * np.array(how["std"]) + np.array(how["mean"]), 0, 255) / 255
        return drawable(own) if len(found.places) > 1 else own
    array = np.asarray(picture.numpy() if isinstance(picture, Tensor) else picture)
    rank = len(found.places)
    array = array[..., None] if array.shape[-rank:] == found.places else array
    array = array[None] if array.ndim == rank + 1 else array
    if array.shape[:-1] != (len(found.x), *found.places):
        raise ShapeError(
            f"heatmap: picture has shape {np.shape(picture)}; it is as large as the image, "
            f"({', '.join(map(str, found.places))}, channels)"
        )
    return drawable(array) if rank > 1 else array
