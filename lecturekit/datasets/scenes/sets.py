"""Many scenes at once: splits that never overlap, a torch data set, plain arrays, and their statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...kit.checks import whole
from .generate import Scene, scene
from .kinds import CLASSES
from .world import Parameters

#: Scene number i of a split is scene 3 i, 3 i + 1 or 3 i + 2, so that splits of any length share none.
SPLITS = ("train", "val", "test")


def split_index(split: str, i: int) -> int:
    """Index of the i-th scene of a split; ``ValueError`` for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    return len(SPLITS) * whole("i", i, 0) + SPLITS.index(split)


class Scenes(Dataset):
    """Scenes of a split as a torch data set; each is made when it is asked for, in whatever worker.

    Args:
        split: "train", "val" or "test".
        length: how many scenes.
        seed: which set, as in `scene`.
        parameters: as in `scene`.

    An item is ``(image, target)``: image uint8 ``(3, H, W)``; target a dict of ``mask`` int64 ``(H, W)``,
    ``boxes`` float32 ``(N, 4)``, ``classes`` int64 ``(N,)``, and ``labels`` float32 ``(K,)``, 1 for each
    class of 1..K that is to be seen.
    """

    def __init__(self, split: str = "train", length: int = 300, seed: int = 0, **parameters):
        split_index(split, 0)
        Parameters(**parameters)
        self.split, self.length, self.seed = split, whole("length", length, 1), whole("seed", seed, 0)
        self.parameters = parameters

    def __len__(self) -> int:
        return self.length

    def scene(self, i: int) -> Scene:
        """The i-th scene and all its labels; ``IndexError`` outside ``-length .. length - 1``."""
        if not -self.length <= i < self.length:
            raise IndexError(f"there are {self.length} scenes, got number {i}")
        return scene(split_index(self.split, i % self.length), self.seed, **self.parameters)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        one = self.scene(index)
        target = {
            "mask": torch.from_numpy(one.mask).long(),
            "boxes": torch.from_numpy(one.boxes).float(),
            "classes": torch.from_numpy(one.classes),
            "labels": torch.from_numpy(multi_hot(one.labels)).float(),
        }
        return torch.from_numpy(one.image).permute(2, 0, 1).contiguous(), target

    def arrays(self) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Images uint8 ``(n, H, W, 3)``, masks uint8 ``(n, H, W)``, and lists of boxes and of classes."""
        made = [self.scene(i) for i in range(self.length)]
        images, masks = np.stack([s.image for s in made]), np.stack([s.mask for s in made])
        return images, masks, [s.boxes for s in made], [s.classes for s in made]


def collate(
    batch: Sequence[tuple[Tensor, dict[str, Tensor]]],
) -> tuple[Tensor, dict[str, Tensor | list[Tensor]]]:
    """For a ``DataLoader``: images, masks and labels stacked, boxes and classes as lists."""
    images, targets = zip(*batch, strict=True)
    stacked = {key: torch.stack([t[key] for t in targets]) for key in ("mask", "labels")}
    return torch.stack(images), stacked | {key: [t[key] for t in targets] for key in ("boxes", "classes")}


def multi_hot(labels: Iterable[int]) -> np.ndarray:
    """Image labels as bool ``(K,)``, entry c - 1 for class c of 1..K."""
    hot = np.zeros(len(CLASSES) - 1, bool)
    hot[[c - 1 for c in labels]] = True
    return hot


@dataclass(frozen=True)
class Statistics:
    """What a set of labelled pictures is like.

    Attributes:
        images: how many.
        background: mean share of pixels that are background (ignored pixels aside).
        fill: mean share of a box that its class fills; `fill_spread` its standard deviation.
        labels: classes an image.
        boxes: boxes an image.
        sizes: quantiles .05, .25, .5, .75, .95 of the root of a box's share of its picture.
        overlapping: share of images in which two boxes overlap.
        at_border: share of boxes within two pixels of the picture's border.
        frequencies: share of the boxes that each class has, the most frequent first.
    """

    images: int
    background: float
    fill: float
    fill_spread: float
    labels: float
    boxes: float
    sizes: tuple[float, ...]
    overlapping: float
    at_border: float
    frequencies: tuple[float, ...]


#: Measured with `statistics` on 400 pictures of PASCAL VOC 2012 with masks and its own boxes, rounded.
VOC = Statistics(
    images=400,
    background=0.732,
    fill=0.495,
    fill_spread=0.197,
    labels=1.565,
    boxes=2.368,
    sizes=(0.060, 0.166, 0.340, 0.572, 0.847),
    overlapping=0.463,
    at_border=0.388,
    frequencies=(
        *(0.231, 0.071, 0.059, 0.057, 0.053, 0.046, 0.045, 0.044, 0.040, 0.039),
        *(0.037, 0.036, 0.035, 0.034, 0.032, 0.031, 0.030, 0.030, 0.026, 0.024),
    ),
)


def statistics(pictures: Iterable) -> Statistics:
    """Statistics of scenes, or of anything with ``mask``, ``boxes`` and ``classes`` as a `Scene` has them.

    Pixels of value 255 are ignored in `background`; in `fill` they count as not filled.

    Raises:
        ValueError: there are no pictures, or none with a box.
    """
    pictures = [(np.asarray(p.mask), np.asarray(p.boxes), np.asarray(p.classes)) for p in pictures]
    boxed = [
        (mask, box, c) for mask, boxes, classes in pictures for box, c in zip(boxes, classes, strict=True)
    ]
    if not boxed:
        raise ValueError("pictures must hold at least one box, got none")
    fills = np.array([(mask[y0:y1, x0:x1] == c).mean() for mask, (x0, y0, x1, y1), c in boxed])
    sizes = [np.sqrt((x1 - x0) * (y1 - y0) / mask.size) for mask, (x0, y0, x1, y1), _ in boxed]
    counts = np.unique([c for *_, c in boxed], return_counts=True)[1]
    return Statistics(
        len(pictures),
        float(np.mean([(mask == 0).sum() / (mask != 255).sum() for mask, *_ in pictures])),
        float(fills.mean()),
        float(fills.std()),
        float(np.mean([len(np.unique(classes)) for *_, classes in pictures])),
        len(boxed) / len(pictures),
        tuple(float(q) for q in np.quantile(sizes, (0.05, 0.25, 0.5, 0.75, 0.95))),
        float(np.mean([_any_overlap(boxes) for _, boxes, _ in pictures])),
        float(np.mean([_at_border(mask.shape, box) for mask, box, _ in boxed])),
        tuple((np.sort(counts)[::-1] / len(boxed)).tolist()),
    )


def _any_overlap(boxes: np.ndarray) -> bool:
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    return int((high > low).all(-1).sum()) > len(boxes)  # each box overlaps itself


def _at_border(shape: tuple[int, int], box: np.ndarray) -> bool:
    return bool((box[:2] <= 2).any() or box[2] >= shape[1] - 2 or box[3] >= shape[0] - 2)
