"""What an image goes through before a pretrained network sees it: a part of it is cut out, resized, and scaled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.data.image_folder import DEEP, pillow
from kedja.errors import DataError, GraphError
from kedja.graph.node import bind
from kedja.nn.model import Module

__all__ = ["PYTORCH", "TENSORFLOW", "cut", "plainly", "preprocess", "scaled"]

# The centre 7/8 of the shorter side, resized bicubically; (x − 127) / 128. Source: Tan and Le 2019, their code.
TENSORFLOW = {"crop": 0.875, "resize": None, "resample": "bicubic", "mean": [127.0] * 3, "std": [128.0] * 3}
# The shorter side to 8/7 of the size, the centre of that; mean and deviation of ImageNet. Source: torchvision.
PYTORCH = {
    "crop": None, "resize": 8 / 7, "resample": "bilinear", "mean": [123.675, 116.28, 103.53],
    "std": [58.395, 57.12, 57.375],
}  # fmt: skip
SAMPLING = {"bilinear": 2, "bicubic": 3}  # Pillow's numbers


def preprocess(model: Module, images: Any) -> NDArray[np.float32]:
    """Images as the network learned to see them, (N, height, width, 3) float32: for `net.predict`.

    `images` is a path, an image of Pillow, an array (height, width, 3) of 0 to 255, or a list of such. How, a model of
    `kj.zoo` with pretrained weights knows itself (`net.info["preprocess"]`, saved with it). Needs Pillow.

    Raises GraphError for a model that does not say how, DataError for what is no image.
    """
    how = model.info.get("preprocess")
    if not how:
        raise GraphError(
            f"{model.title} does not say what its images go through (info['preprocess']): networks of kj.zoo with "
            "pretrained weights do"
        )
    some = list(images) if isinstance(images, list | tuple) else [images]
    # With a new head the model is not built yet, and says its shapes itself.
    shape = next(iter(model.input_shapes or model.known_shapes()), None)
    if not some or shape is None or len(shape) != 4:
        raise DataError(f"preprocess takes images for a model of images; got {len(some)} and a model for {shape}")
    return scaled(np.stack([cut(image, (shape[1], shape[2]), how) for image in some]), how)


def plainly(channels: int) -> dict[str, Any]:
    """How images are seen by a network that begins from nothing: the whole middle square, from −1 to 1."""
    return {"crop": 1.0, "resize": None, "resample": "bilinear", "mean": [127.5] * channels, "std": [127.5] * channels}


def cut(image: Any, size: tuple[int, int], how: Mapping[str, Any]) -> NDArray[np.uint8]:
    """One image, cut and resized: (height, width, channels) of 0 to 255."""
    picture = opened(image, "L" if len(how["mean"]) == 1 else "RGB")
    width, height = picture.size
    if how["crop"]:
        tall, wide = (size[0] / max(size), size[1] / max(size))
        side = min(width / wide, height / tall) * how["crop"]
        part = (max(round(side * wide), 1), max(round(side * tall), 1))
        left, top = (width - part[0] + 1) // 2, (height - part[1] + 1) // 2
        picture = picture.resize(
            size[::-1],
            SAMPLING[how["resample"]],
            box=(left, top, min(left + part[0], width), min(top + part[1], height)),
        )
    else:
        scale = how["resize"] * max(size[0] / height, size[1] / width)
        larger = (max(round(width * scale), size[1]), max(round(height * scale), size[0]))
        picture = picture.resize(larger, SAMPLING[how["resample"]])
        left, top = (larger[0] - size[1]) // 2, (larger[1] - size[0]) // 2
        picture = picture.crop((left, top, left + size[1], top + size[0]))
    return np.asarray(picture, np.uint8).reshape(*size, len(how["mean"]))


def scaled(pixels: NDArray[Any], how: Mapping[str, Any]) -> NDArray[np.float32]:
    """(x − m) / s, channel by channel."""
    mean, std = (np.asarray(how[name], np.float32) for name in ("mean", "std"))
    found: NDArray[np.float32] = (pixels.astype(np.float32) - mean) / std
    return found


def opened(image: Any, mode: str = "RGB") -> Any:
    """An image of Pillow in colours (or "L": greys), from a file or an array."""
    open_, faults = pillow()
    from PIL import Image

    if isinstance(image, str | os.PathLike):
        try:
            with open_(image) as found:
                if found.mode in DEEP:
                    raise DataError(f"{image} has more than 8 bits a channel ({found.mode}): save it with 8.")
                return found.convert(mode)
        except DataError:
            raise
        except faults as error:
            raise DataError(f"{image} cannot be read as an image: {error}") from error
    if isinstance(image, Image.Image):
        return image.convert(mode)
    array = np.asarray(image)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=-1)
    if array.ndim != 3 or array.shape[2] not in (3, 4) or array.dtype.kind not in "uif" or not array.size:
        raise DataError(f"an image is (height, width, 3) of 0 to 255; got {array.shape} of {array.dtype}")
    if array.dtype.kind == "f" and 0 < array.max() <= 1:
        raise DataError("the image has numbers from 0 to 1; preprocess takes pixels from 0 to 255: image * 255")
    return Image.fromarray(np.clip(array[..., :3], 0, 255).round().astype(np.uint8)).convert(mode)


bind(Module, preprocess=preprocess)
