"""The rates of a run as PyTorch's and Keras's schedules give them."""

import os
import warnings

import numpy as np
import torch


def by_torch(name: str, rate: float, steps: int, **options: object) -> np.ndarray:
    """The learning rate before each step of torch.optim.lr_scheduler.<name>."""
    rule = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    schedule = getattr(torch.optim.lr_scheduler, name)(rule, **options)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it asks for rule.step(), which changes no rate
        for _ in range(steps):
            found.append(rule.param_groups[0]["lr"])
            schedule.step()
    return np.array(found)


def by_keras(name: str, steps: int, **options: object) -> np.ndarray:
    """keras.optimizers.schedules.<name> at each step."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    schedule = getattr(keras.optimizers.schedules, name)(**options)
    return np.array([float(keras.ops.convert_to_numpy(schedule(k))) for k in range(steps)])
