"""Labels as a person would give them: made from the truth, with the mistakes that people make.

The same annotator overlooks the same objects and mistakes the same classes in every kind of label, and a less
careful one makes all these mistakes and more (the dice do not depend on how careful they are). So one kind of
label can be compared with another, and noise itself can be turned up step by step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...kit.checks import number, whole
from . import captions, strokes
from .draws import BELL, Draws
from .generate import Scene
from .kinds import CLASSES
from .world import VERSION


@dataclass(frozen=True)
class Annotator:
    """Who labels, and how carefully; as it stands, without any mistake.

    Attributes:
        box_jitter: standard deviation of each side of a box, as a share of its width or height.
        missed: how likely any object is overlooked.
        missed_small: an object of size s < missed_small is overlooked with probability 1 - s / missed_small,
            where s is the root of its box's share of the picture.
        wrong_class: how likely an object is taken for one of another class.
        off_centre: how far a click or stroke lies off, as a share of the object's width and height (standard
            deviation); it may then fall beside the object.
        seed: another seed is another person.

    Raises:
        ValueError: for a value that is no number or out of its range.
    """

    box_jitter: float = 0.0
    missed: float = 0.0
    missed_small: float = 0.0
    wrong_class: float = 0.0
    off_centre: float = 0.0
    seed: int = 0

    def __post_init__(self):
        for name in ("box_jitter", "missed", "missed_small", "wrong_class", "off_centre"):
            number(name, getattr(self, name), 0, 1)
        whole("seed", self.seed, 0)


CAREFUL = Annotator()


def weak_labels(scene: Scene, annotator: Annotator = CAREFUL) -> set[int]:
    """The image-level label: numbers of the classes noticed."""
    return set(noticed(scene, annotator)[1].tolist())


def weak_boxes(scene: Scene, annotator: Annotator = CAREFUL) -> tuple[np.ndarray, np.ndarray]:
    """Boxes int64 ``(n, 4)``, half open, not empty, inside the picture, and their classes ``(n,)``."""
    found, classes = noticed(scene, annotator)
    error = _errors(scene, annotator, 4, annotator.box_jitter)[found]
    moved = np.rint(scene.boxes[found] + error).astype(np.int64)
    limit = np.array(scene.mask.shape[::-1])
    low = np.clip(np.minimum(moved[:, :2], moved[:, 2:]), 0, limit - 1)
    high = np.clip(np.maximum(moved[:, :2], moved[:, 2:]), low + 1, limit)
    return np.concatenate([low, high], 1), classes


def weak_clicks(scene: Scene, annotator: Annotator = CAREFUL) -> tuple[np.ndarray, np.ndarray]:
    """A click on each object noticed, int64 ``(n, 2)`` of x, y inside the picture, and its class ``(n,)``."""
    found, classes = noticed(scene, annotator)
    error = _errors(scene, annotator, 2, annotator.off_centre)[found]
    spots = np.rint(scene.clicks[found] + error).astype(np.int64)
    return np.clip(spots, 0, np.array(scene.mask.shape[::-1]) - 1), classes


def weak_scribbles(
    scene: Scene, annotator: Annotator = CAREFUL, width: int = 3, share: float = 0.7
) -> np.ndarray:
    """A stroke along each object noticed and one on the background.

    Args:
        width: of the pen, pixels.
        share: how much of the way through a region is drawn, 0 to 1.

    Returns:
        uint8 ``(H, W)``: class where something was drawn, 255 elsewhere. A stroke that is not off centre
        stays inside its object.
    """
    whole("width", width, 1)
    number("share", share, 0, 1)
    found, classes = noticed(scene, annotator)
    errors = _errors(scene, annotator, 2, annotator.off_centre)
    labels = np.full(scene.mask.shape, 255, np.uint8)
    background = scene.instances == 0
    if background.any():
        labels[strokes.drawn(strokes.stroke(background, share), labels.shape, width) & background] = 0
    for k, c in zip(found, classes, strict=True):
        region = scene.instances == k + 1
        off = np.rint(errors[k][::-1]).astype(np.int64)  # x, y -> row, column
        pen = strokes.drawn(strokes.stroke(region, share) + off, labels.shape, width)
        labels[pen if annotator.off_centre else pen & region] = c
    return labels


def weak_caption(scene: Scene, annotator: Annotator = CAREFUL) -> str:
    """A caption of the objects noticed, as the classes they were taken for."""
    found, classes = noticed(scene, annotator)
    colours = [scene.colours[k] for k in found]
    return captions.describe(scene.background, classes.tolist(), colours, scene.boxes[found])


def noticed(scene: Scene, annotator: Annotator = CAREFUL) -> tuple[np.ndarray, np.ndarray]:
    """Places in ``scene.boxes`` of the objects noticed, and the classes they are taken for, ``(n,)``."""
    draws = _dice(scene, annotator, 0)
    area = (scene.boxes[:, 2] - scene.boxes[:, 0]) * (scene.boxes[:, 3] - scene.boxes[:, 1])
    sizes = np.sqrt(area / scene.mask.size)
    found, classes = [], []
    for k, (size, c) in enumerate(zip(sizes, scene.classes.tolist(), strict=True)):
        overlooked, mistaken, other = draws.uniform(), draws.uniform(), 1 + draws.below(len(CLASSES) - 2)
        small = 1 - size / annotator.missed_small if size < annotator.missed_small else 0.0
        if overlooked >= 1 - (1 - annotator.missed) * (1 - small):
            found.append(k)
            classes.append(other + (other >= c) if mistaken < annotator.wrong_class else c)
    return np.array(found, np.int64), np.array(classes, np.int64)


def _errors(scene: Scene, annotator: Annotator, columns: int, spread: float) -> np.ndarray:
    """Errors in pixels ``(N, columns)``, x and y in turn, `spread` times each object's width and height."""
    bells = _dice(scene, annotator, columns).bells(len(scene.boxes), columns)
    sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
    return bells * (spread / BELL) * np.tile(sides, columns // 2)


def _dice(scene: Scene, annotator: Annotator, stream: int) -> Draws:
    return Draws(VERSION, annotator.seed, scene.seed, scene.index, 10 + stream)
