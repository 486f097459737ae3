"""Boxes -> label maps: filled rectangles, inner boxes, agreement of label makers, and how good labels are.

A label map is ``uint8 (H, W)``: 0 background, 1..254 classes, 255 ignore (no label, so no training there).
A box is ``(x0, y0, x1, y1)`` in pixels, half open. The rules are those of Khoreva et al., "Simple Does It",
CVPR 2017, section 3: outside every box is background, and where boxes overlap the smaller is in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kit.checks import choice, number
from .label_map import BACKGROUND, IGNORE, checked_label_map


def fill_boxes(boxes: ArrayLike, classes: ArrayLike, size: Sequence[int]) -> NDArray[np.uint8]:
    """Every pixel of a box gets the box's class: the labels of the recipes Naive and Box.

    Args:
        boxes: ``(N, 4)``, N may be 0. Rounded to whole pixels (halves up) and clipped to the picture; what is
            empty then (no width, no height, outside) leaves no trace.
        classes: N whole numbers, 1..254.
        size: height and width of the picture.

    Returns:
        ``uint8 (H, W)``. Where boxes overlap, the one with less area inside the picture is in front; of equal
        areas the one with the smaller class, so the order of the list never matters.

    Raises:
        TypeError: classes that are not whole numbers.
        ValueError: shapes that do not fit, NaN, x1 < x0 or y1 < y0, classes outside 1..254, an empty size.

    Example:
        >>> fill_boxes([(0, 0, 3, 2), (1, 0, 2, 1)], [7, 9], (2, 4))
        array([[7, 9, 7, 0],
               [7, 7, 7, 0]], dtype=uint8)
    """
    boxes, classes = checked_boxes(boxes, classes, size)
    labels = np.full(size, BACKGROUND, np.uint8)
    for k in paint_order(boxes, classes):
        labels[window(boxes[k])] = classes[k]
    return labels


def inner_boxes(
    boxes: ArrayLike, classes: ArrayLike, size: Sequence[int], share: float = 0.2, of: str = "area"
) -> NDArray[np.uint8]:
    """The centre of each box gets its class, the rest of the box is ignored: the first labels of Box^i.

    Objects are roundish, so the centre of a box is the likeliest to be the object and its corners the least.

    Args:
        boxes: ``(N, 4)``, as in `fill_boxes`.
        classes: N whole numbers, 1..254.
        size: height and width of the picture.
        share: how much of the box is kept, 0 < share <= 1. The paper says "20 %".
        of: what the share is of. With ``"area"`` the kept rectangle has `share` of the box's area; with
            ``"side"`` it has `share` of its width and of its height, so 20 % a side is 4 % of the area. The
            paper can be read either way.

    Returns:
        ``uint8 (H, W)``. The kept rectangle has the proportions of the clipped box and its centre, up to
        rounding to whole pixels, and at least one pixel. A smaller box in front hides a larger one with its
        ignored pixels too.

    Raises:
        TypeError: classes that are not whole numbers.
        ValueError: share or of out of range; otherwise as `fill_boxes`.

    Example:
        >>> inner_boxes([(0, 0, 5, 1)], [7], (1, 6), share=0.6, of="side")
        array([[255,   7,   7,   7, 255,   0]], dtype=uint8)
    """
    choice("of", of, ("area", "side"))
    if number("share", share, 0, 1) == 0:
        raise ValueError(f"share must be above 0 and at most 1, got {share!r}")
    boxes, classes = checked_boxes(boxes, classes, size)
    inner = shrink(boxes, share**0.5 if of == "area" else share)
    labels = np.full(size, BACKGROUND, np.uint8)
    for k in paint_order(boxes, classes):
        labels[window(boxes[k])] = IGNORE
        labels[window(inner[k])] = classes[k]
    return labels


def paint_masks(
    masks: Sequence[ArrayLike] | NDArray,
    boxes: ArrayLike,
    classes: ArrayLike,
    size: Sequence[int],
    outside_label: int = IGNORE,
) -> NDArray[np.uint8]:
    """One mask a box -> one label map. GrabCut's and the proposals' labels are made here.

    Args:
        masks: N bool masks ``(H, W)``; only what lies inside its own box is used.
        boxes: ``(N, 4)``, as in `fill_boxes`.
        classes: N whole numbers, 1..254.
        size: height and width of the picture.
        outside_label: of the pixels of a box that its mask leaves out: 255 (nobody knows; they hide a larger
            object behind them too) or 0 (background, and then a larger object behind shows through).

    Returns:
        ``uint8 (H, W)``, smaller boxes in front.

    Raises:
        TypeError: classes that are not whole numbers.
        ValueError: another `outside_label`, masks of another number, shape or dtype; otherwise as
            `fill_boxes`.

    Example:
        >>> mask = np.array([[False, True, True, False]])
        >>> paint_masks([mask], [(0, 0, 3, 1)], [7], (1, 4))
        array([[255,   7,   7,   0]], dtype=uint8)
    """
    if outside_label not in (BACKGROUND, IGNORE):
        raise ValueError(f"outside_label must be 0 (background) or 255 (ignore), got {outside_label!r}")
    boxes, classes = checked_boxes(boxes, classes, size)
    if len(masks) != len(boxes):
        raise ValueError(f"masks must be one a box, got {len(masks)} masks and {len(boxes)} boxes")
    labels = np.full(size, BACKGROUND, np.uint8)
    for k in paint_order(boxes, classes):
        mask, part = _mask(masks[k], size)[window(boxes[k])], labels[window(boxes[k])]
        if outside_label == IGNORE:
            part[:] = IGNORE
        part[mask] = classes[k]
    return labels


def intersect_labels(a: ArrayLike, b: ArrayLike, boxes: ArrayLike | None = None) -> NDArray[np.uint8]:
    """Foreground where two label maps name the same class; ignored where they, or a box, claim more.

    The combination of M∩G+ (Khoreva et al., section 3): what two label makers with different faults agree
    on is less, and more often right.

    Args:
        a: label map ``uint8 (H, W)``.
        b: another of the same size.
        boxes: the boxes ``(N, 4)`` behind the labels. With them every pixel of a box that is not agreed
            foreground is ignored, as in the paper. Without them a pixel that both maps call background stays
            background, inside a box too.

    Returns:
        ``uint8 (H, W)``.

    Raises:
        TypeError: a map of another dtype.
        ValueError: a map of another shape, two sizes, or boxes that are none.

    Example:
        >>> a, b = np.array([[[7, 7, 0, 0]], [[7, 9, 9, 0]]], np.uint8)
        >>> intersect_labels(a, b)
        array([[  7, 255, 255,   0]], dtype=uint8)
    """
    a, b = checked_label_map(a, "a"), checked_label_map(b, "b")
    if a.shape != b.shape:
        raise ValueError(f"a and b must have one size, got {a.shape} and {b.shape}")
    claimed = (a != BACKGROUND) | (b != BACKGROUND)
    if boxes is not None:
        claimed |= fill_boxes(boxes, np.ones(len(np.asarray(boxes)), int), a.shape) != BACKGROUND
    agreed = (a == b) & (a != BACKGROUND)
    return np.where(agreed, a, np.where(claimed, IGNORE, BACKGROUND)).astype(np.uint8)


# ------------------------------------------------------------------ what the other label makers need as well


def checked_boxes(
    boxes: ArrayLike, classes: ArrayLike, size: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Boxes as whole numbers inside the picture and their classes.

    Args:
        boxes: ``(N, 4)``, as in `fill_boxes`.
        classes: N whole numbers, 1..254.
        size: height and width of the picture.

    Returns:
        Boxes ``int64 (N, 4)`` and classes ``int64 (N,)``.

    Raises:
        TypeError: classes that are not whole numbers.
        ValueError: as `fill_boxes`.
    """
    clipped, classes = clip_boxes(boxes, size), np.asarray(classes)
    if classes.shape != (len(clipped),):
        raise ValueError(f"classes must be one a box, got shape {classes.shape} for {len(clipped)} boxes")
    if len(classes) and not np.issubdtype(classes.dtype, np.integer):
        raise TypeError(f"classes must be whole numbers, got {classes.dtype}")
    if ((classes <= BACKGROUND) | (classes >= IGNORE)).any():
        raise ValueError(f"classes must lie in 1..254 (0 is background, 255 ignore), got {classes.tolist()}")
    return clipped, classes.astype(np.int64)


def clip_boxes(boxes: ArrayLike, size: Sequence[int]) -> NDArray[np.int64]:
    """Boxes rounded to whole pixels and clipped to the picture.

    Args:
        boxes: ``(N, 4)``.
        size: height and width of the picture.

    Returns:
        ``int64 (N, 4)``. A box that is empty, or lies outside, comes back with x0 = x1 or y0 = y1.

    Raises:
        ValueError: other shapes, NaN, infinite values, x1 < x0 or y1 < y0, and a size that is not two
            positive numbers.

    Example:
        >>> clip_boxes([(-2, 0.4, 3.5, 9)], (5, 6)).tolist()
        [[0, 0, 4, 5]]
    """
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (height, width), both at least 1, got {tuple(size)}")
    boxes = np.asarray(boxes, float)
    if boxes.shape[:1] == (0,):
        boxes = boxes.reshape(-1, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have shape (N, 4), got {boxes.shape}")
    if not np.isfinite(boxes).all():
        raise ValueError("boxes must be finite, got NaN or infinite values")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError(f"boxes must have x0 <= x1 and y0 <= y1, got {boxes.tolist()}")
    height, width = size
    return np.floor(boxes + 0.5).clip(0, [width, height, width, height]).astype(np.int64)


def paint_order(boxes: NDArray[np.int64], classes: NDArray[np.int64]) -> list[int]:
    """The order in which boxes are painted: the smallest last, whatever the order of the list.

    Args:
        boxes: ``(N, 4)``; empty ones are left out.
        classes: ``(N,)``; of equal areas the smaller class comes last.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return sorted(
        (k for k in range(len(boxes)) if areas[k] > 0),
        key=lambda k: (areas[k], classes[k], *boxes[k]),
        reverse=True,
    )


def window(box: Sequence[SupportsIndex] | NDArray[np.int64]) -> tuple[slice, slice]:
    """The pixels of a whole-number box: ``image[window(box)]``.

    Args:
        box: x0, y0, x1, y1.

    Example:
        >>> window((1, 0, 4, 2))
        (slice(0, 2, None), slice(1, 4, None))
    """
    x0, y0, x1, y1 = box
    return slice(y0, y1), slice(x0, x1)


def shrink(boxes: NDArray[np.int64], factor: float) -> NDArray[np.int64]:
    """Boxes scaled about their centres, at least one pixel a side.

    Args:
        boxes: ``int64 (N, 4)``.
        factor: above 0, at most 1.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    inner = np.minimum(np.maximum(np.floor(sides * factor + 0.5), 1), sides).astype(np.int64)
    corner = boxes[:, :2] + (sides - inner) // 2
    return np.concatenate([corner, corner + inner], 1)


def tighten(boxes: ArrayLike, loose: float, size: Sequence[int]) -> NDArray[np.int64]:
    """Boxes that were drawn with room round their objects, brought to the size that the objects have.

    Args:
        boxes: ``(N, 4)``, each side `loose` times the object's width or height outside the object.
        loose: that share, at least 0. Sides that lie on the border of the picture stay: there the object may
            go on outside.
        size: height and width of the picture.

    Returns:
        ``int64 (N, 4)``, clipped as by `clip_boxes`; a side of at least a pixel keeps one.

    Raises:
        ValueError: as `clip_boxes`, or a share below 0.

    Example:
        >>> tighten([(4, 6, 16, 18), (0, 6, 11, 18)], loose=0.1, size=(40, 40)).tolist()
        [[5, 7, 15, 17], [0, 7, 10, 17]]
    """
    loose = number("loose", loose, 0)
    clipped = clip_boxes(boxes, size)
    inner = inside_picture(clipped, size)
    sides = clipped[:, 2:] - clipped[:, :2]
    moved = (
        sides * loose / (1 + loose * (inner[:, :2].astype(int) + inner[:, 2:]))
    )  # of objects drawn tightly
    start = np.floor(clipped[:, :2] + inner[:, :2] * moved + 0.5).astype(np.int64)
    end = np.floor(clipped[:, 2:] - inner[:, 2:] * moved + 0.5).astype(np.int64)
    start = np.minimum(start, np.maximum(clipped[:, 2:] - 1, clipped[:, :2]))
    return np.concatenate([start, np.maximum(end, start + (sides > 0))], 1)


def inside_picture(clipped: NDArray[np.int64], size: Sequence[int]) -> NDArray[np.bool_]:
    """Which sides of clipped boxes do not lie on the picture's border: ``(N, 4)``."""
    height, width = size
    return clipped != [0, 0, width, height]


def _mask(mask: ArrayLike, size: Sequence[int]) -> NDArray[np.bool_]:
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != tuple(size):
        raise ValueError(f"masks must be bool {tuple(size)}, got {mask.dtype} {mask.shape}")
    return mask
