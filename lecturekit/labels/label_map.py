"""What a label map is: ``uint8 (H, W)``, 0 background, 1..254 classes, 255 ignore."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: A pixel that belongs to no class.
BACKGROUND = 0
#: A pixel without a label: nothing is trained and nothing is measured there.
IGNORE = 255


def checked_label_map(labels: ArrayLike, name: str = "labels") -> NDArray[np.uint8]:
    """The label map, if it is one.

    Args:
        labels: ``uint8 (H, W)``.
        name: of the argument, for the message.

    Raises:
        TypeError: another dtype.
        ValueError: another shape.

    Example:
        >>> checked_label_map(np.zeros((2, 3)))
        Traceback (most recent call last):
        ...
        TypeError: labels must be a uint8 label map, got float64
    """
    labels = np.asarray(labels)
    if labels.dtype != np.uint8:
        raise TypeError(f"{name} must be a uint8 label map, got {labels.dtype}")
    if labels.ndim != 2:
        raise ValueError(f"{name} must be a label map (H, W), got shape {labels.shape}")
    return labels
