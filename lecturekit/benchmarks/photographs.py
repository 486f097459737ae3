"""A folder in VOC's layout as the benchmarks of hints see it: features of both lists, small label maps."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.voc import CLASSES, VOC, shrunk
from ..learning.features import Features, classifier_features, features
from ..pixels.edges import boundary_map
from ..pixels.grabcut import grabcut_boxes

#: Longer side of the label maps in pixels, and of the pictures as the network sees them.
SIDE, SEEN = 160, 384
#: GrabCut+ in each box.
GRABCUT = {"side": 64, "rounds": 2}


@dataclasses.dataclass(eq=False)
class Pictures:
    """One list of a folder: features of the pictures' own pixels, labels at `SIDE`."""

    features: Features
    images: list[NDArray[np.uint8]]
    masks: list[NDArray[np.uint8]]
    boxes: list[NDArray]
    classes: list[NDArray[np.int64]]
    whole: Sequence[NDArray[np.uint8]] = ()  #: the images at their own size

    @cached_property
    def last(self) -> Features:
        """The classifier's last features of the pictures' own pixels."""
        return classifier_features(self.whole or self.images, side=SEEN, device="cpu")

    @cached_property
    def cuts(self) -> list[NDArray[np.bool_]]:
        """What GrabCut+ makes of each picture's boxes, bool ``(boxes, H, W)``."""
        each = zip(self.images, self.boxes, strict=True)
        return [grabcut_boxes(i, list(b), boundary_map(i), **GRABCUT).masks for i, b in each]

    @property
    def present(self) -> Tensor:
        """The image labels, bool ``(N, K)``, background in all of them."""
        present = torch.zeros(len(self.masks), len(CLASSES), dtype=torch.bool)
        for row, mask in zip(present, self.masks, strict=True):
            row[torch.tensor([0, *(c for c in np.unique(mask).tolist() if c != 255)])] = True
        return present

    def grids(self) -> Iterator[NDArray[np.float32]]:
        """The features of each picture on its own cells, ``(C, h, w)``."""
        for k in range(len(self.masks)):
            yield self.features.batch([k])[0].numpy()


def pictures(
    root: str | Path, counts: tuple[int | None, int | None] = (None, None)
) -> tuple[Pictures, Pictures]:
    """The two lists of a folder, train and val.

    Args:
        root: of the folder.
        counts: how many pictures of each; None: all.
    """
    made: list[Pictures] = []
    for split, count in zip(("train", "val"), counts, strict=True):
        folder = VOC(root, split)
        whole = [folder[k] for k in range(len(folder))[:count]]
        small = [shrunk(picture, SIDE) for picture in whole]
        like = made[0].features if made else None
        grid = features([p.image for p in whole], side=SEEN, like=like, progress=True)
        made.append(
            Pictures(
                at_size(grid, [p.image for p in small]),
                [p.image for p in small],
                [p.mask for p in small],
                [p.boxes for p in small],
                [p.classes for p in small],
                [p.image for p in whole],
            )
        )
    return made[0], made[1]


def at_size(grid: Features, images: Sequence[NDArray[np.uint8]]) -> Features:
    """The same features for labels at another size: `images` are the pictures at that size."""
    small = copy.copy(grid.pictures)
    small.images = list(images)
    small.sizes = np.array([image.shape[:2] for image in images])
    return dataclasses.replace(grid, pictures=small)


def on_grid(maps: Sequence[NDArray], grid: Features, fill: float = 0) -> Tensor:
    """Maps ``(h, w)`` of each picture's own cells, in one tensor ``(N, h, w)``.

    Args:
        maps: one a picture.
        grid: the pictures' features.
        fill: beyond a picture's own cells.
    """
    full = np.full((len(maps), *grid.cells.max(0)), fill, maps[0].dtype)
    for place, one in zip(full, maps, strict=True):
        place[: one.shape[0], : one.shape[1]] = one
    return torch.from_numpy(full)
