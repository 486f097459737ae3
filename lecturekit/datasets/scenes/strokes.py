"""Where a person would click on a region or draw a stroke through it; whole numbers, no dice."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def depth(mask: np.ndarray) -> np.ndarray:
    """King's moves from each pixel of a mask to the nearest one outside it or beyond the picture."""
    return ndimage.distance_transform_cdt(np.pad(mask, 1), "chessboard")[1:-1, 1:-1].astype(np.int64)


def deepest(mask: np.ndarray) -> tuple[int, int]:
    """x and y of the pixel deepest inside a mask; the first in reading order of several."""
    row, column = _largest(depth(mask))
    return column, row


def _largest(values: np.ndarray) -> tuple[int, int]:
    """Row and column of the largest value, the first in reading order."""
    row, column = divmod(int(values.argmax()), values.shape[1])
    return row, column


def steps_from(mask: np.ndarray, start: tuple[int, int]) -> np.ndarray:
    """King's moves inside the mask from `start` (row, column) to each pixel; -1 where none lead."""
    steps = np.pad(np.where(mask, -1, -2), 1, constant_values=-2)
    flat = steps.ravel()
    width = steps.shape[1]
    around = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    front = np.array([(start[0] + 1) * width + start[1] + 1])
    flat[front] = 0
    count = 0
    while len(front):  # only the newest pixels are looked at, not the picture
        count += 1
        near = (front[:, None] + around).ravel()
        front = np.unique(near[flat[near] == -1])
        flat[front] = count
    return np.maximum(steps[1:-1, 1:-1], -1)


def stroke(mask: np.ndarray, share: float = 0.7) -> np.ndarray:
    """A line through a region, from one far end towards another, along its middle.

    The ends are found by walking as far as the region allows, twice; the way between them is a shortest one
    that prefers deep pixels. Of a region in several parts the part with the deepest pixel is taken.

    Args:
        mask: bool ``(H, W)`` with at least one true pixel.
        share: how much of the way is drawn, about its middle, 0 to 1.

    Returns:
        int64 ``(n, 2)`` of rows and columns, n at least 1, each a neighbour of the one before.
    """
    inside = depth(mask)
    middle = _largest(inside)
    steps = steps_from(mask, _largest(steps_from(mask, middle)))
    here = _largest(steps)
    way = [here]
    while steps[here] > 0:
        here = _next(here, steps, inside)
        way.append(here)
    spare = int(len(way) * (1 - share) / 2)
    return np.array(way[spare : len(way) - spare] or [middle], np.int64)


def _next(here: tuple[int, int], steps: np.ndarray, inside: np.ndarray) -> tuple[int, int]:
    """The neighbour one step nearer to the start that lies deepest inside."""
    r, c = here
    near = [(i, j) for i in (r - 1, r, r + 1) for j in (c - 1, c, c + 1)]
    near = [p for p in near if 0 <= p[0] < steps.shape[0] and 0 <= p[1] < steps.shape[1]]
    return max((p for p in near if steps[p] == steps[here] - 1), key=lambda p: inside[p])


def drawn(way: np.ndarray, shape: tuple[int, int], width: int) -> np.ndarray:
    """Pixels, bool, under a square pen of `width` pixels led along a way, as far as the picture goes."""
    lines = np.zeros(shape, bool)
    kept = way[((way >= 0) & (way < shape)).all(1)]
    lines[tuple(kept.T)] = True
    return ndimage.binary_dilation(lines, np.ones((width, width), bool))


def scribble(mask: np.ndarray, instances: np.ndarray, width: int = 3, share: float = 0.7) -> np.ndarray:
    """A stroke in each object and one in the background, nowhere over their edges.

    Args:
        mask: ``(H, W)``, class numbers, 0 outside objects.
        instances: ``(H, W)``, object numbers, 0 outside objects.
        width: of the pen, pixels.
        share: of the way through each region.

    Returns:
        uint8 ``(H, W)``: the class where something was drawn, 255 elsewhere.
    """
    labels = np.full(mask.shape, 255, np.uint8)
    for k in np.unique(instances):
        region = instances == k
        labels[drawn(stroke(region, share), mask.shape, width) & region] = mask[region][0]
    return labels
