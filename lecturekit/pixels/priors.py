"""Priors: what is known of objects before anyone labels them, and hints that say little and cost little.

"The key ingredients for weakly supervised learning are that you use priors": shape, size, contrast, motion,
class distribution, similarity across images. Each is a short function here that makes a stronger label out of
a weaker one, and each is wrong where its assumption is. Images are uint8 RGB ``(H, W, 3)``, label maps uint8
``(H, W)`` with 255 for ignore, boxes ``(x0, y0, x1, y1)`` half open. Nothing here is random.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.color import rgb2lab

from ..kit.checks import number, whole
from ..kit.images import checked_image
from ..labels.boxes import checked_boxes, clip_boxes, paint_masks, window
from ..labels.label_map import BACKGROUND, IGNORE, checked_label_map

# ------------------------------------------------------------------------------------------------------ shape


def shape_prior(masks: Sequence[ArrayLike], boxes: ArrayLike, grid: int = 16) -> NDArray[np.float32]:
    """How often each place of a box belongs to the object, over objects whose masks are known.

    Args:
        masks: N bool masks ``(H, W)``, of any sizes.
        boxes: ``(N, 4)``, the box of each, not empty inside its image.
        grid: rows and columns of the answer, at least 1.

    Returns:
        ``float32 (grid, grid)``, 0..1: mean share of object, every box stretched to the same square.

    Raises:
        TypeError: masks of another dtype.
        ValueError: no masks, not one a box, or a box without pixels.

    Example:
        >>> shape_prior([np.eye(4, dtype=bool)], [(0, 0, 4, 4)], grid=2)
        array([[0.5, 0. ],
               [0. , 0.5]], dtype=float32)
    """
    grid = whole("grid", grid, 1)
    boxes = np.asarray(boxes, float)
    if len(masks) == 0 or len(masks) != len(boxes):
        raise ValueError(f"masks must be at least one, one a box, got {len(masks)} and {len(boxes)} boxes")
    shares = [_in_box(np.asarray(mask), box, grid) for mask, box in zip(masks, boxes, strict=True)]
    return np.stack(shares).mean(0)


def _in_box(mask: NDArray, box: NDArray, grid: int) -> NDArray[np.float32]:
    if mask.ndim != 2 or mask.dtype != bool:
        raise TypeError(f"masks must be bool (H, W), got {mask.dtype} {mask.shape}")
    (inside,) = clip_boxes([box], mask.shape)
    part = mask[window(inside)].astype(np.float32)  # (h, w)
    if part.size == 0:
        raise ValueError(f"boxes must have pixels inside the image, got {box.tolist()}")
    rows, columns = (_shares(n, grid) for n in part.shape)
    return rows @ part @ columns.T


def _shares(pixels: int, cells: int) -> NDArray[np.float32]:
    """How much of each cell each pixel fills, on a line cut into both: ``(cells, pixels)``."""
    cuts = np.arange(cells + 1) * pixels / cells
    start, end = cuts[:-1, None], cuts[1:, None]
    here = np.arange(pixels)
    overlap = np.minimum(end, here + 1) - np.maximum(start, here)
    return (overlap.clip(0) * cells / pixels).astype(np.float32)


def shaped_boxes(
    prior: ArrayLike,
    boxes: ArrayLike,
    classes: ArrayLike,
    size: Sequence[int],
    share: float = 0.5,
    outside_label: int = BACKGROUND,
) -> NDArray[np.uint8]:
    """Every box gets its class where objects are usually found in a box, and `outside_label` elsewhere.

    Args:
        prior: ``(h, w)``, 0..1, from `shape_prior`; stretched over each box.
        boxes: as in `boxes.fill_boxes`.
        classes: as in `boxes.fill_boxes`.
        size: height and width of the image.
        share: pixels where the prior is at least this belong to the object, 0..1.
        outside_label: label of the other pixels of a box, 0 or 255.

    Returns:
        Label map ``uint8 (H, W)``, smaller boxes in front.

    Raises:
        ValueError: a prior or share out of range; otherwise as `boxes.fill_boxes`.
    """
    shape = np.asarray(prior, np.float32)
    if shape.ndim != 2 or shape.size == 0 or not ((shape >= 0) & (shape <= 1)).all():
        raise ValueError(f"prior must be (h, w) in 0..1, got shape {shape.shape}")
    share = number("share", share, 0, 1)
    clipped, names = checked_boxes(boxes, classes, size)
    masks = np.zeros((len(clipped), *size), bool)
    for mask, box in zip(masks, clipped, strict=True):
        height, width = mask[window(box)].shape
        if height and width:
            mask[window(box)] = cv2.resize(shape, (width, height), interpolation=cv2.INTER_LINEAR) >= share
    return paint_masks(masks, clipped, names, size, outside_label)


# ------------------------------------------------------------------------------------------------------- size


def boxes_round(clicks: ArrayLike, side: ArrayLike, size: Sequence[int]) -> NDArray[np.float64]:
    """A box of the size that is expected round each click, cut off at the image's border.

    How a click becomes a box in Papadopoulos et al., "Training object class detectors with click supervision"
    (CVPR 2017), if all that is known of size is an average.

    Args:
        clicks: ``(N, 2)``, x and y of pixels.
        side: of the boxes, in pixels: one number, or width and height; above 0.
        size: height and width of the image.

    Returns:
        ``float (N, 4)``.

    Raises:
        ValueError: clicks that are not finite pairs, or a side that is not above 0.
    """
    spots = np.asarray(clicks, float)
    if spots.size and (spots.ndim != 2 or spots.shape[1] != 2 or not np.isfinite(spots).all()):
        raise ValueError(f"clicks must be finite numbers (N, 2), got shape {spots.shape}")
    spots = spots.reshape(-1, 2) + 0.5  # the middle of the pixel
    sides = np.asarray(side, float)
    if sides.shape not in ((), (2,)) or not (np.isfinite(sides) & (sides > 0)).all():
        raise ValueError(f"side must be above 0, got {side!r}")
    limit = np.array([size[1], size[0]], float)
    return np.concatenate([(spots - sides / 2).clip(0, limit), (spots + sides / 2).clip(0, limit)], 1)


# --------------------------------------------------------------------------------------------------- contrast


def contrast_map(image: NDArray[np.uint8], box: ArrayLike, bins: int = 8) -> NDArray[np.float32]:
    """Where colours are commoner inside the box than outside: log of the ratio, above 0 for object-like.

    One histogram of colours inside and one outside, which is the first step of GrabCut without its
    mixtures and without its cut.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        box: x0, y0, x1, y1. Without a pixel inside or outside, the map is 0.
        bins: of each of the three channels, 2..32.

    Returns:
        ``float32 (H, W)``.

    Raises:
        TypeError: no array.
        ValueError: an image, box or bins of another kind.

    Example:
        >>> image = np.zeros((6, 8, 3), np.uint8)
        >>> image[1:4, 1:4] = 200
        >>> (contrast_map(image, (1, 1, 5, 5)) > 0).sum()
        np.int64(9)
    """
    checked_image(image)
    bins = whole("bins", bins, 2, 32)
    (clipped,) = clip_boxes([box], image.shape[:2])
    inside = np.zeros(image.shape[:2], bool)
    inside[window(clipped)] = True
    if inside.all() or not inside.any():
        return np.zeros(inside.shape, np.float32)
    cells = np.dot(image.astype(np.int64) * bins // 256, [bins * bins, bins, 1])
    shares = [(np.bincount(cells[part], minlength=bins**3) + 0.1) / part.sum() for part in (inside, ~inside)]
    return np.log(shares[0] / shares[1])[cells].astype(np.float32)


# ----------------------------------------------------------------------------------------------------- motion


def optical_flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far each pixel of the first image moves until the second: ``float32 (H, W, 2)``, dx and dy.

    OpenCV's DIS flow (Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016).

    Args:
        first: uint8 RGB ``(H, W, 3)``, at least 16 pixels a side.
        second: the same, of the same size.

    Raises:
        TypeError: no array.
        ValueError: images of another kind, of two sizes or too small.
    """
    if (
        checked_image(first, "first").shape != checked_image(second, "second").shape
        or min(first.shape[:2]) < 16
    ):
        raise ValueError(
            f"first and second must have one size of at least 16 pixels, got {first.shape} and {second.shape}"
        )
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0 if max(first.shape) < 256 else 1)
    flow = dis.calc(grey[0], grey[1], np.zeros((*first.shape[:2], 2), np.float32))
    return np.asarray(flow, np.float32)


def move_boxes(boxes: ArrayLike, flow: ArrayLike) -> NDArray[np.float64]:
    """Each box moved by the median motion of the pixels inside it; its size stays.

    Args:
        boxes: ``(N, 4)``. A box without pixels in the image stays where it is.
        flow: ``(H, W, 2)``, dx and dy from this frame to the next.

    Returns:
        ``float (N, 4)``; a box may leave the image.

    Raises:
        ValueError: boxes or flow of another shape, or not finite.
    """
    flow = _checked_flow(flow)
    clipped = clip_boxes(boxes, flow.shape[:2])
    moved = np.array(boxes, float).reshape(-1, 4)
    for row, box in zip(moved, clipped, strict=True):
        inside = flow[window(box)].reshape(-1, 2)
        if len(inside):
            row += np.tile(np.median(inside, 0), 2)
    return moved


def carry_labels(labels: ArrayLike, back: ArrayLike) -> NDArray[np.uint8]:
    """A label map carried to another frame: every pixel takes the label of where it came from.

    Motion is rounded to whole pixels. Over several frames these roundings add up: carry shares there, and
    take the largest at the end (`carry_shares`).

    Args:
        labels: uint8 ``(H, W)`` of the frame that is labelled.
        back: ``(H, W, 2)``: motion from the *other* frame to the labelled one, `optical_flow(other, this)`.

    Returns:
        uint8 ``(H, W)``; 255 where the way back leads out of the image.

    Raises:
        TypeError: labels of another dtype.
        ValueError: shapes that do not fit, or a flow that is not finite.
    """
    labels = checked_label_map(labels)
    x, y = (np.rint(axis).astype(int) for axis in _origins(back, labels.shape))
    height, width = labels.shape
    there = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.where(there, labels[y.clip(0, height - 1), x.clip(0, width - 1)], IGNORE).astype(np.uint8)


def carry_shares(shares: ArrayLike, back: ArrayLike) -> NDArray[np.float32]:
    """Shares of classes carried to another frame, each pixel's read between the pixels where it came from.

    Args:
        shares: ``(K, H, W)``: how much of a pixel belongs to each class, at first 0 or 1.
        back: as in `carry_labels`.

    Returns:
        ``float32 (K, H, W)``, bilinear. What comes from outside the image is 0 for every class.

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.

    Example:
        >>> shares = np.zeros((1, 1, 4), np.float32)
        >>> shares[0, 0, 2:] = 1
        >>> carry_shares(shares, np.full((1, 4, 2), (0.5, 0))).tolist()
        [[[0.0, 0.5, 1.0, 0.5]]]
    """
    planes = np.asarray(shares, np.float32)
    if planes.ndim != 3 or not np.isfinite(planes).all():
        raise ValueError(f"shares must be finite (K, H, W), got shape {planes.shape}")
    x, y = (axis.astype(np.float32) for axis in _origins(back, planes.shape[1:]))
    carried = [cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) for plane in planes]
    return np.array(carried, np.float32).reshape(planes.shape)


def _origins(back: ArrayLike, size: Sequence[int]) -> tuple[NDArray, NDArray]:
    """x and y, each ``(H, W)``, of where every pixel came from."""
    flow = _checked_flow(back)
    if flow.shape[:2] != tuple(size):
        raise ValueError(f"labels must be uint8 {flow.shape[:2]} as the flow, got {tuple(size)}")
    rows, columns = np.indices(flow.shape[:2])
    return columns + flow[..., 0], rows + flow[..., 1]


# ----------------------------------------------------------------------------------------- class distribution


def with_class_prior(probabilities: ArrayLike, prior: ArrayLike, seen: ArrayLike) -> NDArray[np.float64]:
    """Probabilities of a classifier, corrected for classes being as frequent as `prior` says.

    Bayes: what was learned where class k had the share ``seen[k]`` is multiplied by ``prior[k] / seen[k]``
    and brought back to sum 1 (Saerens, Latinne and Decaestecker, Neural Computation 2002, section 2.2).

    Args:
        probabilities: ``(..., K)``, finite, not negative, each row with a sum above 0.
        prior: expected shares ``(K,)``, finite, not negative; only their ratios matter.
        seen: shares among the training examples ``(K,)``, finite, above 0.

    Returns:
        ``float (..., K)``. A row that the prior rules out altogether comes back as it was.

    Raises:
        ValueError: shapes that do not fit, or values out of range.

    Example:
        >>> with_class_prior([0.5, 0.5], prior=[0.9, 0.1], seen=[0.5, 0.5])
        array([0.9, 0.1])
    """
    p = np.asarray(probabilities, float)
    wanted, learned = np.asarray(prior, float), np.asarray(seen, float)
    if p.ndim == 0 or wanted.shape != p.shape[-1:] or learned.shape != wanted.shape:
        raise ValueError(
            f"prior and seen must be one number a class {p.shape[-1:]}, got {wanted.shape}, {learned.shape}"
        )
    if not (np.isfinite(p).all() and (p >= 0).all() and (p.sum(-1) > 0).all()):
        raise ValueError("probabilities must be finite and not negative, and no row may be all 0")
    if not (np.isfinite([wanted, learned]).all() and (wanted >= 0).all() and (learned > 0).all()):
        raise ValueError("prior must be finite and not negative, seen must be above 0 and finite")
    if wanted.sum() == 0:
        raise ValueError("prior must not be all 0")
    weighted = p * wanted / learned
    weighted = np.where(weighted.sum(-1, keepdims=True) > 0, weighted, p)
    return weighted / weighted.sum(-1, keepdims=True)


# ---------------------------------------------------------------------------------- similarity across images


def most_similar(queries: ArrayLike, gallery: ArrayLike, count: int = 1) -> NDArray[np.int64]:
    """The images of a gallery that are most like each query, by the angle between their features.

    Args:
        queries: ``(Q, C)``, one finite feature vector an image.
        gallery: ``(G, C)``, finite; its mean is subtracted from both before they are compared.
        count: how many, 1..G.

    Returns:
        int ``(Q, count)``, the most similar first; of equals the one that comes first.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or a count out of range.
    """
    asked, known = np.asarray(queries, np.float64), np.asarray(gallery, np.float64)
    if asked.ndim != 2 or known.ndim != 2 or asked.shape[1] != known.shape[1]:
        raise ValueError(f"queries and gallery must be (n, C), got {asked.shape} and {known.shape}")
    if not (np.isfinite(asked).all() and np.isfinite(known).all()):
        raise ValueError("queries and gallery must be finite, got NaN or infinite values")
    count = whole("count", count, 1, len(known))
    q, g = (v - known.mean(0) for v in (asked, known))
    q, g = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (q, g))
    return np.argsort(-(q @ g.T), axis=1, kind="stable")[:, :count]


# ------------------------------------------------------------------------------------------------------ hints


def named_colours(
    image: NDArray[np.uint8],
    names: Sequence[str],
    palette: Mapping[str, Sequence[int]],
    max_distance: float = 30.0,
) -> NDArray[np.bool_]:
    """Pixels whose colour a caption names: nearest in the palette to one of `names`, and near enough.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        names: keys of `palette`.
        palette: RGB of every colour word that there is.
        max_distance: largest distance from the named colour in CIE Lab, 0..1000.

    Returns:
        bool ``(H, W)``.

    Raises:
        TypeError: no array.
        ValueError: an image, name or distance of another kind.
    """
    unknown = [name for name in names if name not in palette]
    if unknown:
        raise ValueError(f"names must be of {', '.join(palette)}, got {unknown[0]!r}")
    max_distance = number("max_distance", max_distance, 0, 1000)
    lab = rgb2lab(checked_image(image))
    distances = [
        np.linalg.norm(lab - rgb2lab(np.array(colour, np.uint8)[None, None]), axis=2)
        for colour in palette.values()
    ]  # P maps (H, W)
    nearest, closest = np.argmin(distances, 0), np.min(distances, 0)
    return np.isin(nearest, [list(palette).index(name) for name in names]) & (closest <= max_distance)


def allowed(scores: ArrayLike, labels: Iterable[int]) -> NDArray[np.uint8]:
    """The best class of every pixel among those that the image label names, and background.

    Args:
        scores: ``(K, H, W)``, the higher the likelier; minus infinity rules a class out, NaN is refused.
        labels: numbers of the classes in the image, 1..K-1.

    Returns:
        Label map uint8 ``(H, W)``.

    Raises:
        ValueError: scores of another shape or NaN, or labels out of range.
    """
    maps, named = np.asarray(scores), [int(c) for c in labels]
    if maps.ndim != 3 or not 1 <= len(maps) <= IGNORE:
        raise ValueError(f"scores must be (K, H, W) with K in 1..255, got {maps.shape}")
    if np.isnan(maps).any():
        raise ValueError("scores must be numbers, got NaN")
    kept = np.array(sorted({BACKGROUND, *named}))
    if kept[0] < 0 or kept[-1] >= len(maps):
        raise ValueError(f"labels must lie in 1..{len(maps) - 1}, got {sorted(named)}")
    return kept[maps[kept].argmax(0)].astype(np.uint8)


def _checked_flow(flow: ArrayLike) -> NDArray:
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[2] != 2 or not np.isfinite(flow).all():
        raise ValueError(f"flow must be finite (H, W, 2), got {flow.shape}")
    return flow
