"""From a box to the mask inside it: instance segmentation in miniature, taught by GrabCut+ or by masks.

A small head looks at the frozen features inside a box and answers with a mask of 28 x 28, whatever the class.
It is the mask branch of Mask R-CNN (He et al., ICCV 2017) with the boxes given. Khoreva et al. (CVPR 2017,
section 5) teach such a network from boxes alone: what GrabCut+ makes of each box is its truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..kit.checks import number, whole
from ..kit.optimisers import AdamW
from ..labels.boxes import clip_boxes, window
from ..labels.label_map import IGNORE, checked_label_map

#: Cells each way that the head sees of a box, and pixels each way of the mask it answers with.
SEEN, ANSWER = 14, 28


def place_in_box(cells: int) -> Tensor:
    """How far each cell lies from the middle of its box, 0 to 1 sideways and upright, float32 ``(2, n, n)``.

    Args:
        cells: n, of a box each way.
    """
    at = torch.linspace(-1, 1, cells).abs()
    return torch.stack([at.expand(cells, cells), at[:, None].expand(cells, cells)])


class BoxMaskHead(nn.Module):
    """Features of a box ``(N, C, 14, 14)`` and where in the box each cell lies -> logits ``(N, 28, 28)``.

    Args:
        channels: C, of the frozen features.
        hidden: width of its layers.
    """

    def __init__(self, channels: int = 128, hidden: int = 64):
        super().__init__()
        self.register_buffer("place", place_in_box(SEEN))
        self.layers = nn.Sequential(
            nn.Conv2d(channels + 2, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(hidden, hidden // 2, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(hidden // 2, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, 14, 14)`` -> logits ``(N, 28, 28)``."""
        place = self.get_buffer("place").to(x.dtype).expand(len(x), -1, -1, -1)
        return self.layers(torch.cat([x, place], 1))[:, 0]


def box_features(features: ArrayLike, boxes: ArrayLike, size: tuple[int, int], cells: int = SEEN) -> Tensor:
    """What the grid of features holds of each box, by RoIAlign: bilinear, nothing is rounded.

    Args:
        features: float ``(C, h, w)`` of one image, its own cells alone.
        boxes: ``(N, 4)``, half open, in pixels.
        size: height and width of the image in pixels.
        cells: how many each way are read of a box.

    Returns:
        Float32 ``(N, C, cells, cells)``.

    Example:
        >>> ramp = np.arange(28.0)[None, None].repeat(28, 1)  # each cell holds its column
        >>> box_features(ramp, [[7, 0, 21, 28]], (28, 28))[0, 0, 0, :3].tolist()
        [7.0, 8.0, 9.0]
    """
    grid = torch.from_numpy(np.ascontiguousarray(features, np.float32))[None]
    boxes = torch.from_numpy(np.asarray(boxes, np.float64).reshape(-1, 4))
    at = (torch.arange(2 * cells) + 0.5) / (2 * cells)  # two samples a cell each way
    spots = boxes[:, None, :2] + at[:, None] * (boxes[:, 2:] - boxes[:, :2])[:, None]  # (N, 2 cells, 2): x, y
    x, y = (2 * spots / torch.tensor([size[1], size[0]]) - 1).float().unbind(2)
    where = torch.stack([x[:, None].expand(-1, 2 * cells, -1), y[:, :, None].expand(-1, -1, 2 * cells)], 3)
    read = F.grid_sample(grid, where.flatten(0, 1)[None], padding_mode="border", align_corners=False)
    return F.avg_pool2d(read[0].unflatten(1, (len(boxes), 2 * cells)).transpose(0, 1), 2)


def box_target(labels: ArrayLike, box: Sequence[int] | NDArray, c: int) -> NDArray[np.float32]:
    """What the head should answer for a box.

    Args:
        labels: uint8 ``(H, W)``; 255 where nothing is known.
        box: x0, y0, x1, y1 in whole pixels, not empty.
        c: the box's class; every other class counts as not the object.

    Returns:
        ``(2, 28, 28)``: the share of each place that is the object, and the share that is known; the first is
        never more than the second.

    Example:
        >>> labels = np.zeros((4, 4), np.uint8)
        >>> labels[:, :2] = 5
        >>> box_target(labels, (0, 0, 4, 4), 5)[0].mean()
        np.float32(0.5)
    """
    part = checked_label_map(labels)[window(box)]
    if part.size == 0:
        raise ValueError(f"box must hold pixels of the labels, got {list(box)}")
    return np.stack([_shrunk(part == c), _shrunk(part != IGNORE)])


def _shrunk(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Share of each of 28 x 28 places that is true, exact: a place takes parts of pixels."""
    wide = torch.from_numpy(mask[None, None].astype(np.float32))
    height, width = mask.shape
    wide = F.interpolate(wide, (height * ANSWER, width * ANSWER)) if mask.size < 64**2 else wide
    return F.adaptive_avg_pool2d(wide, ANSWER)[0, 0].numpy()


def box_mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy over what is known.

    Args:
        logits: ``(N, 28, 28)``.
        targets: ``(N, 2, 28, 28)``, from `box_target`.

    Returns:
        A scalar: the mean over the known places, each by its share.

    Example:
        >>> round(box_mask_loss(torch.zeros(1, 28, 28), torch.ones(1, 2, 28, 28)).item(), 4)
        0.6931
    """
    true, known = targets.float().unbind(1)
    # a place of which only a part is known: its known part should be answered
    share = true / known.clamp(min=1e-6)
    losses = F.binary_cross_entropy_with_logits(logits, share, reduction="none")
    return (known * losses).sum() / known.sum().clamp(min=1e-6)


def train_box_masks(
    seen: Tensor,
    targets: Tensor,
    *,
    epochs: int = 5,
    lr: float = 2e-3,
    weight_decay: float = 0.01,
    batch: int = 32,
    hidden: int = 64,
    seed: int = 0,
    kind: Callable[[int, int], nn.Module] = BoxMaskHead,
) -> nn.Module:
    """A head taught by the boxes of all training images together, each seen as it is or mirrored.

    Args:
        seen: ``(N, C, 14, 14)``, from `box_features`, or what another kind of head takes.
        targets: ``(N, 2, 28, 28)``, from `box_target`.
        epochs: how often every box is seen.
        lr: highest learning rate of AdamW; it falls along a cosine.
        weight_decay: of AdamW.
        batch: boxes a step.
        hidden: width of the head's layers.
        seed: of weights, order and mirroring.
        kind: of head: channels and hidden -> a module from `seen` to logits ``(N, 28, 28)``.
    """
    if len(seen) != len(targets) or len(seen) == 0:
        raise ValueError(f"seen and targets must be one a box, got {len(seen)} and {len(targets)}")
    for name, value in (("epochs", epochs), ("batch", batch), ("hidden", hidden)):
        whole(name, value, 1)
    number("lr", lr, 0, open_=True)
    number("weight_decay", weight_decay, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(whole("seed", seed))
        head = kind(seen.shape[1], hidden)
        optimiser = AdamW(head.parameters(), lr=lr, weight_decay=weight_decay)
        steps = epochs * -(-len(seen) // batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(epochs):
            for some in torch.randperm(len(seen)).split(batch):
                x, wanted = seen[some].float(), targets[some]
                if torch.rand(()) < 0.5:
                    x, wanted = x.flip(-1), wanted.flip(-1)
                loss = box_mask_loss(head(x), wanted)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return head.eval()


@torch.no_grad()
def predict_masks(
    head: nn.Module, features: ArrayLike, boxes: ArrayLike, size: tuple[int, int], threshold: float = 0.5
) -> NDArray[np.bool_]:
    """The mask in each box of one image, bool ``(N, H, W)``.

    Args:
        head: from `train_box_masks`.
        features: float ``(C, h, w)``, the image's own cells.
        boxes: ``(N, 4)``, half open, in pixels; of an empty one the mask is empty.
        size: height and width of the image.
        threshold: least probability of an object's pixel.
    """
    number("threshold", threshold, 0, 1)
    clipped = clip_boxes(boxes, size)
    masks = np.zeros((len(clipped), *size), bool)
    answers = head(box_features(features, clipped, size)).sigmoid().numpy() if len(clipped) else []
    for mask, box, answer in zip(masks, clipped, answers, strict=True):
        width, height = (box[2:] - box[:2]).tolist()
        if width and height:
            way = cv2.INTER_LINEAR if min(width, height) > ANSWER else cv2.INTER_AREA
            mask[window(box)] = cv2.resize(answer, (width, height), interpolation=way) >= threshold
    return masks


def mask_ious(
    masks: ArrayLike, labels: ArrayLike, boxes: ArrayLike, classes: ArrayLike
) -> NDArray[np.float64]:
    """IoU of each box's mask with the pixels of its class in the box; void pixels (255) do not count.

    The truth of a class map: two objects of one class whose boxes overlap are not told apart.

    Args:
        masks: bool ``(N, H, W)``.
        labels: true classes, uint8 ``(H, W)``.
        boxes: ``(N, 4)``, half open.
        classes: ``(N,)``.

    Returns:
        ``(N,)``; NaN for a box without a pixel of its class.
    """
    labels, masks = checked_label_map(labels), np.asarray(masks, bool)
    ious = np.full(len(masks), np.nan)
    each = zip(masks, clip_boxes(boxes, labels.shape), np.asarray(classes), strict=True)
    for k, (mask, box, c) in enumerate(each):
        part, true = mask[window(box)], labels[window(box)]
        found = part[true != IGNORE]
        truth = true[true != IGNORE] == c
        if truth.any():
            ious[k] = (found & truth).sum() / (found | truth).sum()
    return ious
