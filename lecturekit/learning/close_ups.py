"""Boxes seen from near: each is enlarged, the backbone sees it alone, and a head finds the object's pixels.

Where the backbone sees whole pictures, a small box has a few cells of features. From near, all boxes have the
same number of cells, and what is small has an outline, too. Crops are taken of the pictures' own pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..kit.checks import number, whole
from ..kit.images import checked_images
from ..labels.boxes import clip_boxes, window
from .box_masks import ANSWER, box_features, place_in_box
from .features import SAMPLE, features

#: Longer side of a box with its room as the network sees it, in pixels.
SIDE = 256
#: Room on each side of a box, as a share of its width or height: the surroundings tell what is object.
ROOM = 0.2
#: Boxes whose features are in memory together, beside the answer's.
BATCH = 256


class CloseUpHead(nn.Module):
    """Features of a box ``(N, C, 28, 28)`` and where in the box each cell lies -> logits ``(N, 28, 28)``.

    Args:
        channels: C, of the frozen features.
        hidden: width of its layers.
    """

    def __init__(self, channels: int = 128, hidden: int = 64):
        super().__init__()
        self.register_buffer("place", place_in_box(ANSWER))
        self.mix = nn.Conv2d(channels + 2, hidden, 1)
        self.near = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.far = nn.Conv2d(hidden, hidden, 3, padding=2, dilation=2)
        self.drop = nn.Dropout2d(0.1)
        self.answer = nn.Conv2d(hidden, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, 28, 28)`` -> logits ``(N, 28, 28)``."""
        place = self.get_buffer("place").to(x.dtype).expand(len(x), -1, -1, -1)
        x = F.relu(self.mix(torch.cat([x, place], 1)))
        x = x + F.relu(self.near(x))
        x = x + F.relu(self.far(x))
        return self.answer(self.drop(x))[:, 0]


def close_ups(
    images: Sequence[NDArray[np.uint8]],
    boxes: Sequence[ArrayLike],
    *,
    side: int = SIDE,
    room: float = ROOM,
    channels: int = 128,
    device: str | torch.device | None = None,
) -> Tensor:
    """Frozen features of every box from near, one picture's boxes after the other's.

    Args:
        images: uint8 RGB ``(H, W, 3)``, any sizes.
        boxes: ``(N, 4)`` a picture, half open, in its pixels; one without a pixel is left out.
        side: longer side of a box with its room as the network sees it, in pixels, at least 32.
        room: on each side of a box, as a share of its width or height; what lies beyond the picture is not
            there.
        channels: how many principal components are kept, at most.
        device: where to compute; None lets `pick_device` choose.

    Returns:
        Float16 ``(M, C, 28, 28)`` of the M boxes that have pixels: the box alone, without its room.

    Raises:
        TypeError: images that are no arrays.
        ValueError: images, boxes or numbers of another kind, or no box at all.

    Example:
        >>> image = np.zeros((40, 60, 3), np.uint8)
        >>> close_ups([image], [[(5, 5, 25, 35)]], side=64, channels=8, device="cpu").shape[2:]
        torch.Size([28, 28])
    """
    images = checked_images(images)
    whole("channels", channels, 1)
    whole("side", side, 32)
    number("room", room, 0)
    if len(boxes) != len(images):
        raise ValueError(f"boxes must be one array a picture ({len(images)}), got {len(boxes)}")
    crops = list(_crops(images, boxes, room))
    if not crops:
        raise ValueError("boxes must hold at least one pixel of a picture, got none that does")
    sample = np.unique(np.linspace(0, len(crops) - 1, SAMPLE).astype(int))
    like = features([crops[k][0] for k in sample], side=side, channels=channels, device=device, cache=False)
    found = []
    for start in range(0, len(crops), BATCH):
        part = crops[start : start + BATCH]
        seen = features([crop for crop, _ in part], like=like, device=device, cache=False)
        for values, (height, width), (crop, box) in zip(seen.values, seen.cells.tolist(), part, strict=True):
            grid = values[:, :height, :width]
            found.append(box_features(grid, box[None], crop.shape[:2], ANSWER).half())
    return torch.cat(found)


def _crops(
    images: Sequence[NDArray[np.uint8]], boxes: Sequence[ArrayLike], room: float
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Each box with its room, and where in that it lies."""
    for image, some in zip(images, boxes, strict=True):
        size = image.shape[:2]
        for box in clip_boxes(some, size):
            if (box[2:] > box[:2]).all():
                margin = np.tile(np.ceil(room * (box[2:] - box[:2])).astype(int) + 4, 2)
                (outer,) = clip_boxes([box + margin * [-1, -1, 1, 1]], size)
                yield image[window(outer)], box - np.tile(outer[:2], 2)
