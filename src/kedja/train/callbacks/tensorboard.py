"""Event files for TensorBoard, written by the package tensorboardX."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, KedjaError
from kedja.train.callbacks.cadence import cadence
from kedja.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from kedja.train.run import Run

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Write figures, histograms of weights and images for TensorBoard into `folder` (scope 5).

    Scalars go under their own names, against epochs, or steps where `every` asks for steps. `histograms=True` adds the
    values of every parameter after an epoch, as "weights/dense_1.kernel". `gradients=(x, y)` adds the gradient of the
    loss on these rows, "gradients/dense_1.kernel"; keep them few. `images` is a dict by name of pictures, (H, W, C) or
    (N, H, W, C), uint8 or from 0 to 1, or of functions of the model that make one, or a matplotlib figure. A run that
    is resumed hides what it is to write again. Look at it with `tensorboard --logdir folder`.

    Needs ``pip install "kedja[tensorboard]"``.
    """

    def __init__(
        self, folder: str | os.PathLike[str], every: Any = "epoch", *, histograms: bool = False, gradients: Any = None,
        images: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise DataError(f"TensorBoard: folder is a path, such as 'logs/run-1'; got {folder!r}")
        if not isinstance(histograms, bool | np.bool_):
            raise DataError(f"TensorBoard: histograms is True or False, got {histograms!r}. How often is every=")
        if gradients is not None and not (isinstance(gradients, tuple | list) and len(gradients) == 2):
            raise DataError("TensorBoard: gradients is a pair (x, y) of a few rows")
        if images is not None and not isinstance(images, Mapping):
            raise DataError("TensorBoard: images is a dict from names to pictures, or to functions of the model")
        self.folder = self.writes = Path(folder)
        self.every, self.unit = every, cadence(every, "TensorBoard").unit
        self.histograms, self.gradients, self.images = bool(histograms), gradients, dict(images or {})
        self.hindsight = not (histograms or gradients or images)
        self.writer: Any = None

    def before_fit(self, run: Run) -> None:
        try:
            from tensorboardX import SummaryWriter  # type: ignore[import-untyped, import-not-found, unused-ignore]
        except ImportError as error:
            raise KedjaError(
                'TensorBoard() writes with tensorboardX, which is missing: pip install "kedja[tensorboard]"'
            ) from error
        done = run.training.epochs
        if self.unit == "step":
            done = done * run.course.spe + sum(map(len, run.pending))
        suffix = f".{time.time_ns()}"  # files are named by the second: a second one must not replace the first
        self.writer = SummaryWriter(str(self.folder), purge_step=done + 1 if done else None, filename_suffix=suffix)

    def after_step(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        self.write(run, figures, step)

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        if self.unit == "epoch":
            self.write(run, figures, epoch)

    def after_fit(self, run: Run) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def write(self, run: Run, figures: Mapping[str, float], number: int) -> None:
        """All that is asked for, under one number."""
        for name, value in figures.items():
            if math.isfinite(value):
                self.writer.add_scalar(name, value, number)
        if self.histograms:
            for path, variable in run.model.state.of_kind("trainable").items():
                self.writer.add_histogram(f"weights/{path}", np.asarray(variable.value), number)
        if self.gradients is not None:
            for path, array in gradients(run, *self.gradients).items():
                self.writer.add_histogram(f"gradients/{path}", array, number)
        for name, picture in self.images.items():
            made = picture(run.model) if callable(picture) else picture
            if hasattr(made, "savefig"):
                self.writer.add_figure(name, made, number, close=False)
            else:
                self.writer.add_images(name, pictures(name, made), number, dataformats="NHWC")
        self.writer.flush()


def gradients(run: Run, x: Any, y: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The gradient of the mean loss over these rows, in inference, with respect to every parameter that learns."""
    from kedja.diff import grad
    from kedja.graph.node import tensor
    from kedja.nn.layers.layer import trainable
    from kedja.ops import mean
    from kedja.train.evaluation import as_inputs, as_targets, output_shape
    from kedja.train.step import losses_of

    inputs = as_inputs(run.model, x)
    targets = as_targets(run.model, y, len(inputs[0]), run.loss, output_shape(run.model, inputs))
    output = run.model(*(tensor(a) for a in inputs))
    parameters = trainable(run.model)
    found = grad(mean(losses_of(run.model, run.loss, tensor(targets), output)), list(parameters.values()))
    return {path: np.asarray(g.numpy()) for path, g in zip(parameters, found, strict=True)}


def pictures(name: str, made: Any) -> np.ndarray[Any, Any]:
    """One picture or several as (N, H, W, C), with 1 or 3 channels."""
    array = np.asarray(made)
    array = array[..., None] if array.ndim == 2 else array
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.shape[-1] not in (1, 3):
        raise DataError(
            f"TensorBoard: image {name!r} is (H, W, C) or (N, H, W, C) with 1 or 3 channels, got {np.shape(made)}"
        )
    return array if array.dtype == np.uint8 else np.clip(array, 0.0, 1.0).astype(np.float32)
