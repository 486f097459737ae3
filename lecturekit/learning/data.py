"""What an experiment needs: training pictures with boxes, validation pictures, and masks to measure by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..datasets import scenes
from ..datasets.voc import CLASSES as VOC_CLASSES
from ..datasets.voc import VOC
from ..kit.checks import whole
from ..labels.boxes import checked_boxes


@dataclass(frozen=True, eq=False)
class BoxAnnotations:
    """Pictures with their boxes: all that a student and the tricks get to see.

    Attributes:
        images: uint8 RGB ``(H, W, 3)`` each, any sizes.
        boxes: ``(N, 4)`` a picture, half open, in pixels; N may be 0.
        classes: ``(N,)`` a picture, whole numbers 1..K-1.
    """

    images: Sequence[NDArray[np.uint8]]
    boxes: Sequence[NDArray]
    classes: Sequence[NDArray[np.int64]]

    def __post_init__(self):
        if not len(self.images) == len(self.boxes) == len(self.classes) > 0:
            raise ValueError(
                "images, boxes and classes must be one a picture and not empty, got "
                f"{len(self.images)}, {len(self.boxes)} and {len(self.classes)}"
            )
        for image, boxes, classes in zip(self.images, self.boxes, self.classes, strict=True):
            checked_boxes(boxes, classes, image.shape[:2])

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each picture."""
        return [(image.shape[0], image.shape[1]) for image in self.images]

    def part(self, chosen: slice) -> BoxAnnotations:
        """Some of the pictures."""
        return BoxAnnotations(list(self.images)[chosen], list(self.boxes)[chosen], list(self.classes)[chosen])

    def shrunk(self, side: int | None) -> BoxAnnotations:
        """The pictures with their longer side at most `side` pixels, and their boxes; None: as they are."""
        if side is None or max(max(size) for size in self.sizes) <= whole("side", side, 1):
            return self
        images, boxes = [], []
        for image, some, (height, width) in zip(self.images, self.boxes, self.sizes, strict=True):
            scale = min(1.0, side / max(height, width))
            size = max(1, round(width * scale)), max(1, round(height * scale))
            images.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
            boxes.append(some * np.tile(np.divide(size, (width, height)), 2))
        return BoxAnnotations(images, boxes, self.classes)


@dataclass(frozen=True, eq=False)
class Data:
    """What an experiment needs.

    Attributes:
        train: the training pictures and their boxes.
        train_masks: their masks, uint8 ``(H, W)``, 255 void: for measuring, and for the recipe ``full``.
        val: other pictures and their boxes, on which students are measured.
        val_masks: masks of those.
        names: of the classes, that of background first.
    """

    train: BoxAnnotations
    train_masks: Sequence[NDArray[np.uint8]]
    val: BoxAnnotations
    val_masks: Sequence[NDArray[np.uint8]]
    names: tuple[str, ...]

    def __post_init__(self):
        for name in ("train", "val"):
            if [m.shape for m in getattr(self, f"{name}_masks")] != getattr(self, name).sizes:
                raise ValueError(f"{name}_masks must be one mask a picture, of its size")
        largest = max((c for part in (self.train, self.val) for one in part.classes for c in one), default=0)
        if largest >= len(self.names):
            raise ValueError(f"names must name every class, got {len(self.names)} names and class {largest}")

    def tuning(self, share: float = 0.25) -> Data:
        """The training pictures alone, the last `share` of them in the place of the validation pictures.

        Settings are chosen on this, so that the validation pictures stay unseen until the end.
        """
        cut = len(self.train) - max(1, round(share * len(self.train)))
        if not 0 < cut < len(self.train):
            raise ValueError(f"share must leave pictures on both sides, got {share!r}")
        return Data(
            self.train.part(slice(cut)),
            self.train_masks[:cut],
            self.train.part(slice(cut, None)),
            self.train_masks[cut:],
            self.names,
        )

    def fewer(self, train: int, val: int) -> Data:
        """The first pictures of each part."""
        return Data(
            self.train.part(slice(train)),
            self.train_masks[:train],
            self.val.part(slice(val)),
            self.val_masks[:val],
            self.names,
        )


def scenes_data(train: int = 100, val: int = 50, seed: int = 0, **parameters: Any) -> Data:
    """Generated scenes.

    Args:
        train: how many training scenes.
        val: how many others.
        seed: of the scenes.
        **parameters: of `scenes.scene`, such as ``size=64``.

    Example:
        >>> data = scenes_data(2, 1, size=32)
        >>> len(data.train), data.val_masks[0].shape, data.names[:2]
        (2, (32, 32), ('background', 'star'))
    """
    parts = []
    for split, count in (("train", train), ("val", val)):
        images, masks, boxes, classes = scenes.Scenes(split, count, seed, **parameters).arrays()
        parts += [BoxAnnotations(list(images), boxes, classes), list(masks)]
    return Data(*parts, scenes.CLASSES)


def voc_data(root: str | Path, splits: tuple[str, str] = ("train", "val")) -> Data:
    """Photographs of a folder in VOC's layout, at their own size.

    Args:
        root: the folder, as `datasets.voc.VOC` takes it.
        splits: lists in ImageSets/Segmentation: training and validation pictures.

    Raises:
        FileNotFoundError: a part of the layout is missing, by name.
    """
    parts = []
    for split in splits:
        voc = VOC(root, split)
        pictures = [voc[k] for k in range(len(voc))]
        boxes, classes = [p.boxes for p in pictures], [p.classes for p in pictures]
        parts += [BoxAnnotations([p.image for p in pictures], boxes, classes), [p.mask for p in pictures]]
    return Data(*parts, VOC_CLASSES)
