"""Layers that change examples in training only, each in its own way (scope 5): flips, geometry, colour, erasing."""

from kedja.nn.layers.augmentation import colour, crops, erasing, flips, geometry
from kedja.nn.layers.augmentation.colour import *  # noqa: F403
from kedja.nn.layers.augmentation.crops import *  # noqa: F403
from kedja.nn.layers.augmentation.erasing import *  # noqa: F403
from kedja.nn.layers.augmentation.flips import *  # noqa: F403
from kedja.nn.layers.augmentation.geometry import *  # noqa: F403

__all__: list[str] = []
__all__ += colour.__all__ + crops.__all__ + erasing.__all__ + flips.__all__ + geometry.__all__
__all__.sort()
