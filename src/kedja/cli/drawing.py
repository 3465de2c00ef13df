"""The network as a picture: units as circles, weights as lines; and arrays of numbers as small PNG images."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from kedja.errors import ShapeError
from kedja.explain.pictures.network_scene import NetworkLayer, network_scene

__all__ = ["draw_network", "png", "png_uri"]


def draw_network(
    weights: Sequence[tuple[np.ndarray, np.ndarray | None]],
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    layers: Sequence[str] = (),
) -> str:
    """A chain of dense layers as SVG, from (kernel, bias) pairs; a kernel has shape (in, out).

    Blue lines are positive weights, orange ones negative, and the thicker the larger; a circle is filled by its bias
    in the same way. Of a wide layer the units with the strongest weights are shown, in their order, around a "⋮".
    `inputs` and `outputs` label the first and last units, `layers` names the layers after the input.

    >>> svg = draw_network([(np.array([[1.0], [-2.0]]), np.array([0.5]))], inputs=["x", "y"])
    >>> svg.count('<circle class="unit'), "weight −2" in svg
    (3, True)
    """
    names = dict(enumerate(layers))
    columns = [NetworkLayer("", 0)]
    columns += [NetworkLayer(names.get(i, ""), 0, kernel, bias) for i, (kernel, bias) in enumerate(weights)]
    scene = network_scene(columns, inputs, outputs)
    # On a phone the drawing scrolls sideways rather than becoming too small to read.
    return scene.svg("network", f"min-width:{min(scene.width, 640):.0f}px;max-width:{scene.width:.0f}px")


def png(image: np.ndarray) -> bytes:
    """A PNG file of an image (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    Whole numbers are taken as 0…255. Other numbers between 0 and 1 are scaled from there; if any lies outside, from
    the image's own smallest to its largest.

    >>> png(np.zeros((2, 2)))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise ShapeError(f"an image has shape (H, W), or (H, W, C) with 1, 3 or 4 channels; got {np.shape(image)}.")
    if pixels.dtype.kind in "ui":
        pixels = pixels.clip(0, 255)
    else:
        pixels = np.nan_to_num(pixels.astype(float), nan=0.0, posinf=0.0, neginf=0.0)
        low, high = min(pixels.min(), 0.0), max(pixels.max(), 1.0)
        if low < 0 or high > 1:
            low, high = pixels.min(), pixels.max()
        pixels = np.rint((pixels - low) / (high - low or 1.0) * 255)
    pixels = pixels.astype(np.uint8)
    height, width, channels = pixels.shape
    colour_type = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.zeros((height, 1 + width * channels), dtype=np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def png_uri(image: np.ndarray) -> str:
    """The same PNG as a ``data:`` address, to stand in a page.

    >>> png_uri(np.zeros((1, 1)))[:22]
    'data:image/png;base64,'
    """
    return "data:image/png;base64," + base64.b64encode(png(image)).decode("ascii")
