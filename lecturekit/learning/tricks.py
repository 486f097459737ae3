"""What mends a student's labels between two rounds: boxes know more than the student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..labels.boxes import paint_order, window
from ..labels.label_map import BACKGROUND
from ..pixels import crf


@dataclass(frozen=True, eq=False)
class View:
    """One training picture between two rounds, as the tricks see it.

    Attributes:
        image: uint8 RGB ``(H, W, 3)``.
        boxes: int64 ``(N, 4)``, clipped to the picture, half open.
        classes: int64 ``(N,)``.
        first: uint8 ``(H, W)``, the labels that the recipe made for the first round.
        probabilities: float32 ``(K, H, W)``, the student's.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.int64]
    classes: NDArray[np.int64]
    first: NDArray[np.uint8]
    probabilities: NDArray[np.float32]

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Where there is a box: bool ``(H, W)``."""
        return self.owner > 0

    @property
    def owner(self) -> NDArray[np.int64]:
        """Number 1..N of the box in front at each pixel, 0 outside all: int ``(H, W)``."""
        return boxes_in_front(self.boxes, self.classes, self.first.shape)


def boxes_in_front(
    boxes: NDArray[np.int64], classes: NDArray[np.int64], size: tuple[int, ...]
) -> NDArray[np.int64]:
    """Number 1..N of the box in front at each pixel, 0 outside all: int ``(H, W)``.

    Args:
        boxes: ``(N, 4)``, inside the picture, half open.
        classes: ``(N,)``.
        size: height and width of the picture.
    """
    owner = np.zeros(size, np.int64)
    for k in paint_order(boxes, classes):
        owner[window(boxes[k])] = k + 1
    return owner


#: Labels of a picture in, labels of it out: uint8 ``(H, W)``.
Trick = Callable[[NDArray[np.uint8], View], NDArray[np.uint8]]


def allowed_classes(view: View) -> NDArray[np.bool_]:
    """Background everywhere, and each class in its boxes: bool ``(K, H, W)``.

    Args:
        view: of the picture.
    """
    allowed = np.zeros(view.probabilities.shape, bool)
    allowed[BACKGROUND] = True
    for box, c in zip(view.boxes, view.classes, strict=True):
        allowed[(c, *window(box))] = True
    return allowed


def drop_wrong_class(labels: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """In a box, only background and the classes of the boxes there.

    The lecture: "Because you have the bounding boxes, you can be sure that within that bounding box it's
    unlikely to have a very different class." A pixel of a class that has no box there gets, of those that
    have one and background, the most probable class.
    """
    allowed = allowed_classes(view)
    second = np.where(allowed, view.probabilities, -1).argmax(0).astype(np.uint8)
    known = labels < len(allowed)
    rows, columns = np.indices(labels.shape)
    wrong = known & ~allowed[np.where(known, labels, 0), rows, columns] & view.inside
    return np.where(wrong, second, labels)


def clear_outside(labels: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """Outside every box is background.

    The lecture: "you can also essentially remove all the predictions that are outside the bounding box. They
    are probably not accurate." Khoreva et al., section 3.1, cue C1.
    """
    return np.where(view.inside, labels, BACKGROUND).astype(np.uint8)


def reset_small(labels: NDArray[np.uint8], view: View, min_share: float = 0.5) -> NDArray[np.uint8]:
    """A box of which less than the share `min_share` has its class goes back to its first labels.

    The lecture: "you can also check if it's less than a certain percentage of the box area, it's probably
    also not an accurate label." Khoreva et al. take 50 %. Only the part of a box that no smaller box hides
    is looked at, and reset.
    """
    labels, owner = labels.copy(), view.owner
    for k, c in enumerate(view.classes):
        mine = owner == k + 1
        if mine.any() and (labels[mine] == c).mean() < min_share:
            labels[mine] = view.first[mine]
    return labels


def crf_boundaries(
    labels: NDArray[np.uint8],
    view: View,
    theta_alpha: float = 0.16,
    iterations: int = 5,
    confidence: float = 0.7,
) -> NDArray[np.uint8]:
    """Boundaries move to where the colours change: a fully connected CRF (`crf.refine`).

    The lecture: "We essentially run a kind of traditional segmentation approach to refine the boundary using
    edge information."

    Args:
        labels: uint8 ``(H, W)``.
        view: of the picture.
        theta_alpha: width of the appearance kernel, as a share of the picture's longer side.
        iterations: of mean field.
        confidence: probability that a label is right.
    """
    if (labels == labels.flat[0]).all():
        return labels
    width = theta_alpha * max(labels.shape)
    options = {"confidence": confidence, "iterations": iterations, "theta_alpha": width}
    return np.asarray(crf.refine(labels, view.image, **options))


#: The tricks of the lecture, in its order.
TRICKS: tuple[Trick, ...] = (drop_wrong_class, clear_outside, reset_small, crf_boundaries)


def trick_name(trick: Trick) -> str:
    """A name for a trick and its settings, for a partial as well."""
    if isinstance(trick, partial):
        settings = [*map(repr, trick.args), *(f"{k}={v!r}" for k, v in sorted(trick.keywords.items()))]
        return f"{trick_name(trick.func)}({', '.join(settings)})"
    name = f"{getattr(trick, '__module__', '')}.{getattr(trick, '__qualname__', repr(trick))}"
    return name.removeprefix(f"{__name__}.")
