"""A photograph as the array a model takes: turned upright, cut to its form, scaled."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kedja.data.image_folder import CHANNELS, DEEP, pillow
from kedja.errors import DataError, ShapeError
from kedja.explain.heatmaps.asking import form_of
from kedja.explain.pictures.layouts import channels_first
from kedja.explain.pictures.passing import as_model
from kedja.graph.node import Array
from kedja.train.evaluation import input_shapes, model_dtype

__all__ = ["photograph", "pixels"]


def photograph(path: str | os.PathLike[str], model: Any, shape: Sequence[int] | None = None) -> Array:
    """The file as one image of the model's input: as the model says in info["preprocess"], else from 0 to 1."""
    model = as_model(model, "heatmap")
    model.expect_weights()
    if model.info.get("preprocess") and shape is None:
        found: Array = model.preprocess(path)[0]
        return found.astype(model_dtype(model))
    expected = tuple(input_shapes(model)[0][1:])
    form = form_of(model, expected, shape, channels_first(model, expected, model_dtype(model)))
    if len(form) != 3:
        raise ShapeError(f"heatmap: the model takes examples of shape {form}, and {path} is an image")
    return (pixels(path, form) / 255).astype(model_dtype(model))


def pixels(path: str | os.PathLike[str], form: Sequence[Any]) -> Array:
    """An image file as (height, width, channels) of 0 to 255, scaled to `form`; sizes that are None stay.

    What would be squeezed is cut to the same proportions first, around the middle. Raises DataError, with the file,
    where there is none or it is damaged.
    """
    path = Path(path)
    height, width, channels = form
    mode = next((m for m, c in CHANNELS.items() if c == channels), None)
    if mode is None:
        raise ShapeError(f"heatmap: the model takes images of {channels} channels, and a file has 1, 3 or 4")
    open_, faults = pillow()
    if not path.is_file():
        raise DataError(f"there is no image {path}" if not path.exists() else f"{path} is no image but a folder")
    from PIL import ImageOps

    try:
        with open_(path) as image:
            if image.mode in DEEP:
                raise DataError(f"{path} has more than 8 bits a channel ({image.mode}): save it with 8.")
            image.load()
            shown = ImageOps.exif_transpose(image).convert(mode)
            if height is not None and width is not None and shown.size != (width, height):
                scale = min(shown.size[0] / width, shown.size[1] / height)
                kept = max(round(scale * width), 1), max(round(scale * height), 1)
                left, top = ((whole - part) // 2 for whole, part in zip(shown.size, kept, strict=True))
                shown = shown.crop((left, top, left + kept[0], top + kept[1])).resize((width, height), 2)  # 2: bilinear
    except DataError:
        raise
    except faults as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error
    return np.asarray(shown, np.uint8).reshape(shown.size[1], shown.size[0], channels)
