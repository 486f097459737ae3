"""Priors: what is known of objects before anyone labels them, and hints that say little and cost little.

"The key ingredients for weakly supervised learning are that you use priors": shape, size, contrast, motion,
class distribution, similarity across images. Each is a short function here that makes a stronger label out of
a weaker one, and each is wrong where its assumption is. Images are uint8 RGB ``(H, W, 3)``, label maps uint8
``(H, W)`` with 255 for ignore, boxes ``(x0, y0, x1, y1)`` half open. Nothing here is random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real

import cv2
import numpy as np
from skimage.color import rgb2lab

from ..labels.boxes import checked_boxes, clip_boxes, paint_masks, window
from ..labels.label_map import BACKGROUND, IGNORE
from .edges import checked_image

# ------------------------------------------------------------------------------------------------------ shape


def shape_prior(masks: Sequence[np.ndarray], boxes: Sequence, grid: int = 16) -> np.ndarray:
    """How often each place of a box belongs to the object, over objects whose masks are known.

    Args:
        masks: N bool masks ``(H, W)``, of any sizes.
        boxes: the box ``(4,)`` of each, not empty inside its picture.
        grid: rows and columns of the answer, at least 1.

    Returns:
        ``float32 (grid, grid)``, 0..1: mean share of object, every box stretched to the same square.
    """
    _whole("grid", grid, 1)
    if len(masks) == 0 or len(masks) != len(boxes):
        raise ValueError(f"masks must be at least one, one a box, got {len(masks)} and {len(boxes)} boxes")
    return np.mean([_in_box(mask, box, grid) for mask, box in zip(masks, boxes, strict=True)], 0)


def _in_box(mask: np.ndarray, box: Sequence, grid: int) -> np.ndarray:
    if np.ndim(mask) != 2 or np.asarray(mask).dtype != bool:
        raise TypeError(f"masks must be bool (H, W), got {np.asarray(mask).dtype} {np.shape(mask)}")
    (whole,) = clip_boxes([box], mask.shape)
    part = mask[window(whole)].astype(np.float32)
    if part.size == 0:
        raise ValueError(f"boxes must have pixels inside the picture, got {list(box)}")
    part = part.repeat(grid, 0).repeat(grid, 1)  # so that every cell is a whole number of samples
    return part.reshape(grid, part.shape[0] // grid, grid, part.shape[1] // grid).mean((1, 3))


def shaped_boxes(
    prior: np.ndarray,
    boxes: Sequence,
    classes: Sequence,
    size: tuple[int, int],
    share: float = 0.5,
    rest: int = BACKGROUND,
) -> np.ndarray:
    """Every box gets its class where objects are usually found in a box, and `rest` elsewhere.

    Args:
        prior: ``(h, w)``, 0..1, from `shape_prior`; stretched over each box.
        boxes, classes, size: as in `boxes.fill_boxes`.
        share: pixels where the prior is at least this belong to the object, 0..1.
        rest: label of the other pixels of a box, 0 or 255.

    Returns:
        Label map ``uint8 (H, W)``, smaller boxes in front.
    """
    prior = np.asarray(prior, np.float32)
    if prior.ndim != 2 or prior.size == 0 or not ((prior >= 0) & (prior <= 1)).all():
        raise ValueError(f"prior must be (h, w) in 0..1, got shape {prior.shape}")
    _number("share", share, 0, 1)
    whole, names = checked_boxes(boxes, classes, size)
    masks = []
    for box in whole:
        mask = np.zeros(size, bool)
        height, width = mask[window(box)].shape
        if height and width:
            mask[window(box)] = cv2.resize(prior, (width, height), interpolation=cv2.INTER_LINEAR) >= share
        masks.append(mask)
    return paint_masks(masks, whole, names, size, rest)


# ------------------------------------------------------------------------------------------------------- size


def boxes_round(clicks: Sequence, side: float | Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """A box of the size that is expected round each click, cut off at the picture's border.

    How a click becomes a box in Papadopoulos et al., "Training object class detectors with click supervision"
    (CVPR 2017), if all that is known of size is an average.

    Args:
        clicks: ``(N, 2)``, x and y of pixels.
        side: of the boxes, in pixels: one number, or width and height; above 0.
        size: height and width of the picture.

    Returns:
        ``float (N, 4)``.
    """
    spots = np.asarray(clicks, float).reshape(-1, 2) + 0.5  # the middle of the pixel
    sides = np.broadcast_to(np.asarray(side, float), (2,))
    if not (np.isfinite(sides) & (sides > 0)).all():
        raise ValueError(f"side must be above 0, got {side!r}")
    limit = np.array([size[1], size[0]], float)
    return np.concatenate([(spots - sides / 2).clip(0, limit), (spots + sides / 2).clip(0, limit)], 1)


# --------------------------------------------------------------------------------------------------- contrast


def contrast_map(image: np.ndarray, box: Sequence, bins: int = 8) -> np.ndarray:
    """Where colours are commoner inside the box than outside: log of the ratio, above 0 for object-like.

    One histogram of colours inside and one outside, which is the first step of GrabCut without its
    mixtures and without its cut.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        box: x0, y0, x1, y1. Without a pixel inside or outside, the map is 0.
        bins: of each of the three channels, 2..32.

    Returns:
        ``float32 (H, W)``.
    """
    checked_image(image)
    _whole("bins", bins, 2, 32)
    (whole,) = clip_boxes([box], image.shape[:2])
    inside = np.zeros(image.shape[:2], bool)
    inside[window(whole)] = True
    if inside.all() or not inside.any():
        return np.zeros(inside.shape, np.float32)
    cells = np.dot(image.astype(np.int64) * bins // 256, [bins * bins, bins, 1])
    shares = [(np.bincount(cells[part], minlength=bins**3) + 0.1) / part.sum() for part in (inside, ~inside)]
    return np.log(shares[0] / shares[1])[cells].astype(np.float32)


# ----------------------------------------------------------------------------------------------------- motion


def optical_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far each pixel of the first picture moves until the second: ``float32 (H, W, 2)``, dx and dy.

    OpenCV's DIS flow (Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016).

    Args:
        first, second: uint8 RGB ``(H, W, 3)`` of one size, at least 16 pixels a side.
    """
    if checked_image(first).shape != checked_image(second).shape or min(first.shape[:2]) < 16:
        raise ValueError(
            f"first and second must have one size of at least 16 pixels, got {first.shape} and {second.shape}"
        )
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (first, second)]
    finest = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    finest.setFinestScale(0 if max(first.shape) < 256 else 1)
    return finest.calc(*grey, None)


def move_boxes(boxes: Sequence, flow: np.ndarray) -> np.ndarray:
    """Each box moved by the median motion of the pixels inside it; its size stays.

    Args:
        boxes: ``(N, 4)``. A box without pixels in the picture stays where it is.
        flow: ``(H, W, 2)``, dx and dy from this frame to the next.

    Returns:
        ``float (N, 4)``; a box may leave the picture.
    """
    flow = _checked_flow(flow)
    moved = np.asarray(boxes, float).reshape(-1, 4).copy()
    for row, box in zip(moved, clip_boxes(boxes, flow.shape[:2]), strict=True):
        inside = flow[window(box)].reshape(-1, 2)
        if len(inside):
            row += np.tile(np.median(inside, 0), 2)
    return moved


def carry_labels(labels: np.ndarray, back: np.ndarray) -> np.ndarray:
    """A label map carried to another frame: every pixel takes the label of where it came from.

    Args:
        labels: uint8 ``(H, W)`` of the frame that is labelled.
        back: ``(H, W, 2)``: motion from the *other* frame to the labelled one, `optical_flow(other, this)`.

    Returns:
        uint8 ``(H, W)``; 255 where the way back leads out of the picture.
    """
    back = _checked_flow(back)
    if labels.shape != back.shape[:2] or labels.dtype != np.uint8:
        raise ValueError(f"labels must be uint8 {back.shape[:2]}, got {labels.dtype} {labels.shape}")
    height, width = labels.shape
    rows, columns = np.indices(labels.shape)
    x, y = (np.rint(axis + back[..., k]).astype(int) for k, axis in enumerate((columns, rows)))
    there = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.where(there, labels[y.clip(0, height - 1), x.clip(0, width - 1)], IGNORE).astype(np.uint8)


# ----------------------------------------------------------------------------------------- class distribution


def with_class_prior(probabilities: np.ndarray, prior: Sequence[float], seen: Sequence[float]) -> np.ndarray:
    """Probabilities of a classifier, corrected for classes being as frequent as `prior` says.

    Bayes: what was learned where class k had the share ``seen[k]`` is multiplied by ``prior[k] / seen[k]``
    and brought back to sum 1 (Saerens, Latinne and Decaestecker, Neural Computation 2002, section 2.2).

    Args:
        probabilities: ``(..., K)``, not negative, each row with a sum above 0.
        prior: expected shares ``(K,)``, not negative; only their ratios matter.
        seen: shares among the training examples ``(K,)``, above 0.

    Returns:
        ``float (..., K)``. A row that the prior rules out altogether comes back as it was.
    """
    p = np.asarray(probabilities, float)
    prior, seen = (np.asarray(v, float) for v in (prior, seen))
    if p.ndim == 0 or prior.shape != p.shape[-1:] or seen.shape != prior.shape:
        raise ValueError(
            f"prior and seen must be one number a class {p.shape[-1:]}, got {prior.shape}, {seen.shape}"
        )
    if not ((p >= 0).all() and (p.sum(-1) > 0).all()):
        raise ValueError("probabilities must not be negative, and no row may be all 0")
    if not ((prior >= 0).all() and prior.sum() > 0 and (seen > 0).all()):
        raise ValueError("prior must not be negative or all 0, seen must be above 0")
    weighted = p * prior / seen
    weighted = np.where(weighted.sum(-1, keepdims=True) > 0, weighted, p)
    return weighted / weighted.sum(-1, keepdims=True)


# ---------------------------------------------------------------------------------- similarity across images


def most_similar(queries: np.ndarray, gallery: np.ndarray, count: int = 1) -> np.ndarray:
    """The pictures of a gallery that are most like each query, by the angle between their features.

    Args:
        queries: ``(Q, C)``, one feature vector a picture.
        gallery: ``(G, C)``; its mean is subtracted from both before they are compared.
        count: how many, 1..G.

    Returns:
        int ``(Q, count)``, the most similar first; of equals the one that comes first.
    """
    queries, gallery = (np.asarray(v, np.float64) for v in (queries, gallery))
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"queries and gallery must be (n, C), got {queries.shape} and {gallery.shape}")
    _whole("count", count, 1, len(gallery))
    q, g = (v - gallery.mean(0) for v in (queries, gallery))
    q, g = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (q, g))
    return np.argsort(-(q @ g.T), axis=1, kind="stable")[:, :count]


# ------------------------------------------------------------------------------------------------------ hints


def named_colours(
    image: np.ndarray, names: Sequence[str], palette: Mapping[str, Sequence[int]], reach: float = 30.0
) -> np.ndarray:
    """Pixels whose colour a caption names: nearest in the palette to one of `names`, and near enough.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        names: keys of `palette`.
        palette: RGB of every colour word that there is.
        reach: largest distance from the named colour in CIE Lab.

    Returns:
        bool ``(H, W)``.
    """
    unknown = [name for name in names if name not in palette]
    if unknown:
        raise ValueError(f"names must be of {', '.join(palette)}, got {unknown[0]!r}")
    _number("reach", reach, 0, 1000)
    colours = rgb2lab(np.array([list(palette.values())], np.uint8))[0]  # (P, 3)
    apart = np.linalg.norm(rgb2lab(checked_image(image))[:, :, None] - colours, axis=3)  # (H, W, P)
    wanted = [list(palette).index(name) for name in names]
    return np.isin(apart.argmin(2), wanted) & (apart.min(2) <= reach)


def allowed(scores: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """The best class of every pixel among those that the image label names, and background.

    Args:
        scores: ``(K, H, W)``, the higher the likelier.
        labels: numbers of the classes in the picture, 1..K-1.

    Returns:
        Label map uint8 ``(H, W)``.
    """
    scores = np.asarray(scores)
    if scores.ndim != 3 or not 1 <= len(scores) <= IGNORE:
        raise ValueError(f"scores must be (K, H, W) with K in 1..255, got {scores.shape}")
    kept = np.array(sorted({BACKGROUND, *(int(c) for c in labels)}))
    if kept[0] < 0 or kept[-1] >= len(scores):
        raise ValueError(f"labels must lie in 1..{len(scores) - 1}, got {sorted(labels)}")
    return kept[scores[kept].argmax(0)].astype(np.uint8)


def _checked_flow(flow: np.ndarray) -> np.ndarray:
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[2] != 2 or not np.isfinite(flow).all():
        raise ValueError(f"flow must be finite (H, W, 2), got {flow.shape}")
    return flow


def _whole(name: str, value: object, low: int, high: float = np.inf) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number of {low}..{high}, got {value!r}")


def _number(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, Real) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a number of {low}..{high}, got {value!r}")
