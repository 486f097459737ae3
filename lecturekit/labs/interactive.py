"""Scribble where it is wrong: a person's strokes as labels, a student of one image, and a simulated person.

In these label maps 255 is where nobody has drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..datasets.scenes.strokes import drawn
from ..datasets.scenes.strokes import stroke as way_through
from ..kit.cache import content_key
from ..kit.checks import number, whole
from ..labels.label_map import IGNORE, checked_label_map
from ..labels.shapes import rasterise
from ..learning.features import Features
from ..learning.scribbles import scribble_supervision
from ..learning.student import Student
from ..learning.training import train

#: How the student of one image is trained: a fraction of a second.
STUDENT: dict[str, Any] = {"head": "two_layer", "hidden": 64, "epochs": 60, "lr": 5e-3, "batch": 1}


def stroke(class_index: int, points: Sequence[Sequence[float]], width: float = 8.0) -> dict[str, Any]:
    """A stroke as the annotator would hand it over, for an example that runs without a person.

    Args:
        class_index: number of the class, from 1 on as in the annotator.
        points: x and y of the places it goes through, in pixels.
        width: of the pen.

    Example:
        >>> stroke(2, [(3, 4), (9, 4)])["points"]
        [[3.0, 4.0], [9.0, 4.0]]
    """
    path = [[float(x), float(y)] for x, y in points]
    name = f"example {content_key(class_index, path, width)[:16]}"
    kind = {"kind": "scribble", "class_index": class_index, "points": path, "width": float(width)}
    return {"id": name, "milliseconds": 0} | kind


def strokes_as_labels(labels: Sequence[dict[str, Any]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """What was drawn with an annotator whose first class is the background, as a label map.

    Unlike `labels.shapes.label_map` it goes by time: where two strokes cross, the later one counts, so that
    a stroke can correct another.

    Args:
        labels: the annotator's, oldest first, with ``class_index`` from 1 on.
        size: height and width of the image.

    Returns:
        uint8 ``(H, W)``: 0 for the annotator's first class, 1 for its second, ..., 255 elsewhere.

    Example:
        >>> pair = [stroke(1, [(0, 0.5), (4, 0.5)], 1), stroke(3, [(2.5, 0.5)], 1)]
        >>> strokes_as_labels(pair, (2, 4)).tolist()
        [[0, 0, 2, 0], [255, 255, 255, 255]]
    """
    found = np.full(size, IGNORE, np.uint8)
    for label in labels:
        found[rasterise(label, size)] = label["class_index"] - 1
    return found


def learn_strokes(
    seen: Features, strokes: ArrayLike, classes: int, seed: int = 0, **settings: Any
) -> Student:
    """A student that knows one image, and of it what was drawn.

    Args:
        seen: features of the image.
        strokes: uint8 ``(H, W)``, 255 where nobody has drawn.
        classes: how many, background included.
        seed: of the training.
        **settings: of `learning.training.Settings`, over `STUDENT`.

    Raises:
        ValueError: there is no stroke, or features of more than one image.
    """
    strokes = checked_label_map(strokes, "strokes")
    if len(seen) != 1:
        raise ValueError(f"seen must be the features of one image, got {len(seen)}")
    if (strokes == IGNORE).all():
        raise ValueError("strokes must hold at least one pixel that is not 255, got none")
    loss = scribble_supervision(None)
    return train(seen, [strokes], classes, seed=seed, loss=loss, **(STUDENT | settings))


def correction(
    predicted: ArrayLike, truth: ArrayLike, *, length: float = 0.7, width: int = 3
) -> NDArray[np.uint8]:
    """What a patient person draws next: a stroke of the right class through the largest mistake.

    A mistake is a connected region of one true class of which the prediction says something else.

    Args:
        predicted: label map ``(H, W)``.
        truth: the true classes ``(H, W)``; 255 is no mistake.
        length: share of the way through the mistake that is drawn, 0..1.
        width: of the pen in pixels.

    Returns:
        uint8 ``(H, W)``: the stroke, nowhere beyond the mistake, and 255 elsewhere. All 255 where nothing is
        wrong.

    Example:
        >>> truth = np.array([[1, 1, 1, 0, 2]], np.uint8)
        >>> correction([[0, 0, 0, 0, 1]], truth, length=1.0, width=1).tolist()
        [[1, 1, 1, 255, 255]]
    """
    predicted, truth = checked_label_map(np.asarray(predicted, np.uint8), "predicted"), np.asarray(truth)
    if predicted.shape != truth.shape:
        raise ValueError(f"truth must be {predicted.shape} like predicted, got {truth.shape}")
    number("length", length, 0, 1)
    whole("width", width, 1)
    found = np.full(truth.shape, IGNORE, np.uint8)
    largest = np.zeros(truth.shape, bool)
    for c in np.unique(truth[(truth != predicted) & (truth != IGNORE)]):
        regions, count = ndimage.label((truth == c) & (predicted != c))
        sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
        if sizes.max() > largest.sum():
            largest = regions == 1 + sizes.argmax()
            found[:] = IGNORE
            found[largest & drawn(way_through(largest, length), truth.shape, width)] = c
    return found
