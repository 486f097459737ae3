"""Learn to segment from scribbles: labelled cells alone, and losses that speak for all the others.

Tang et al., "Normalized cut loss for weakly-supervised CNN segmentation", CVPR 2018, and "On regularized
losses for weakly-supervised CNN segmentation", ECCV 2018: instead of making labels of the scribbles first,
and teaching their mistakes, add to the loss what such a label maker would minimise.

A kernel is anything that multiplies ``(B, N, K)``: a matrix ``(B, N, N)`` from `affinity`, or a `pixels.crf`
`Pairwise`, whose lattice takes time linear in N. Cells are numbered row by row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from skimage.segmentation import random_walker
from torch import Tensor, nn

from ..datasets.scenes.strokes import drawn, stroke
from ..kit.checks import choice, number, whole
from ..kit.images import checked_image
from ..labels.boxes import checked_boxes
from ..labels.costs import COSTS
from ..labels.label_map import BACKGROUND, IGNORE, checked_label_map
from .points import candidates_loss, labelled_cells_loss, object_regions
from .training import Batch, Loss, cross_entropy


class Kernel(Protocol):
    """A symmetric matrix of affinities, or what multiplies like one."""

    def __matmul__(self, values: Tensor, /) -> Tensor:
        """``(B, N, K)`` -> ``(B, N, K)``."""
        ...


def partial_cross_entropy(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy over what is labelled; a cell without a label asks for nothing.

    Args:
        logits: ``(B, K, h, w)``.
        shares: ``(B, K, h, w)``: the share of each class among a cell's labelled pixels, all 0 where there
            are none, such as `label_shares` makes them.

    Returns:
        A scalar: the mean over the labelled cells, each by what its shares add up to; 0 for none.

    Example:
        >>> shares = torch.zeros(1, 2, 1, 2)
        >>> shares[0, 1, 0, 0] = 1
        >>> round(partial_cross_entropy(torch.zeros(1, 2, 1, 2), shares).item(), 4)
        0.6931
    """
    if logits.shape != shares.shape:
        raise ValueError(f"shares must be {tuple(logits.shape)} like the logits, got {tuple(shares.shape)}")
    return cross_entropy(logits, shares)


def affinity(
    features: Tensor, theta: float | Tensor = 1.0, inside: Tensor | None = None, own: bool = False
) -> Tensor:
    """``exp(-|f_i - f_j|^2 / 2 theta^2)`` of every pair of cells: ``(B, C, h, w)`` -> ``(B, h w, h w)``.

    Args:
        features: ``(B, C, h, w)``: colours, positions, a network's features, or several of them joined.
        theta: width, one number or one a channel ``(C,)``.
        inside: bool ``(B, h, w)``: cells beyond an image have no affinity. None: all are inside.
        own: keep a cell's affinity to itself, which is 1; it only ever favours what is already believed.
    """
    widths = torch.as_tensor(theta, dtype=features.dtype, device=features.device).reshape(-1, 1, 1)
    rows = (features / widths).flatten(2).mT  # (B, N, C)
    squares = rows.square().sum(2)
    kernel = (rows @ rows.mT - squares[:, :, None] / 2 - squares[:, None, :] / 2).clamp(max=0).exp()
    if inside is not None:
        kernel = kernel * (inside.flatten(1)[:, :, None] & inside.flatten(1)[:, None, :])
    return kernel if own else kernel * (1 - torch.eye(kernel.shape[1], device=kernel.device))


def crf_loss(logits: Tensor, kernel: Kernel, inside: Tensor | None = None) -> Tensor:
    """The dense CRF's pairwise energy, relaxed to probabilities: ``sum_k S_k' W (1 - S_k)`` over the cells.

    ``S_k`` is the probability of class k in each cell. What is torn apart though it is alike has to be paid
    for. For probabilities 0 and 1 it is the Potts energy, each pair counted twice.

    Args:
        logits: ``(B, K, h, w)``.
        kernel: W, ``(B, N, N)`` with N = h w, or a `Pairwise`.
        inside: bool ``(B, h, w)`` or None; what lies beyond an image pays nothing.

    Returns:
        A scalar: the mean over the cells.

    Example:
        >>> torn = torch.tensor([[[[50.0, -50.0]], [[-50.0, 50.0]]]])  # two cells, two classes, no doubt
        >>> crf_loss(torn, torch.tensor([[[0.0, 3.0], [3.0, 0.0]]])).item()  # 3 for each of the two
        3.0
    """
    rows, others = _rows(logits, inside)
    return (rows * (kernel @ others)).sum() / _count(logits, inside)


def normalised_cut_loss(logits: Tensor, kernel: Kernel, inside: Tensor | None = None) -> Tensor:
    """Normalised cut, relaxed to probabilities: ``sum_k S_k' W (1 - S_k) / (d' S_k)`` with ``d = W 1``.

    The cut divided by what hangs on the class at all, so that no class wins by being small. Shi and Malik,
    2000; as a loss Tang et al., CVPR 2018, equation 5. It lies between 0 and K.

    Args:
        logits: ``(B, K, h, w)``.
        kernel: W, ``(B, N, N)`` with N = h w, or a `Pairwise`.
        inside: bool ``(B, h, w)`` or None.

    Returns:
        A scalar: the mean over the images.

    Example:
        >>> torn = torch.tensor([[[[50.0, -50.0]], [[-50.0, 50.0]]]])
        >>> normalised_cut_loss(torn, torch.tensor([[[0.0, 3.0], [3.0, 0.0]]])).item()
        2.0
    """
    rows, others = _rows(logits, inside)
    degree = kernel @ (rows + others)[:, :, :1]  # W 1, only where there are cells
    cut = (rows * (kernel @ others)).sum(1)  # (B, K)
    return (cut / (degree * rows).sum(1).clamp(min=1e-6)).sum(1).mean()


def feature_kernel(
    x: Tensor, inside: Tensor | None = None, theta_feature: float = 6.0, theta_place: float = 2.0
) -> Tensor:
    """Affinity of cells whose frozen features are alike and which lie near each other, each row about 1.

    Divided by the square roots of both cells' row sums, so that a weight means the same in every image.

    Args:
        x: features ``(B, C, h, w)``.
        inside: bool ``(B, h, w)`` or None.
        theta_feature: width in the features' units.
        theta_place: width in cells.
    """
    rows, columns = torch.meshgrid(*(torch.arange(n, device=x.device) for n in x.shape[2:]), indexing="ij")
    places = torch.stack([rows, columns]).to(x).expand(len(x), -1, -1, -1)
    kernel = affinity(torch.cat([x / theta_feature, places / theta_place], 1), 1.0, inside)
    scale = kernel.sum(2).clamp(min=1e-3).rsqrt()
    return scale[:, :, None] * kernel * scale[:, None, :]


def scribble_supervision(
    regulariser: Callable[[Tensor, Kernel, Tensor], Tensor] | None = crf_loss,
    weight: float = 0.3,
    *,
    present: Tensor | None = None,
    present_weight: float = 1.0,
) -> Loss:
    """Partial cross-entropy and a regulariser, for ``train(features, labels, classes, loss=...)``.

    Args:
        regulariser: `crf_loss`, `normalised_cut_loss`, or None for the cross-entropy alone; its kernel is
            `feature_kernel` of the cells that a step looks at.
        weight: of the regulariser.
        present: bool ``(N, K)``, the image label of each training image, background included: no cell is of
            another class (`points.candidates_loss`). None leaves that out.
        present_weight: of that.
    """

    def loss(module: nn.Module, batch: Batch, targets: Tensor) -> Tensor:
        value = labelled_cells_loss(module, batch, targets)
        if regulariser is None and present is None:
            return value
        x, inside = batch.thinned(batch.inside)
        logits = module(x)
        if regulariser is not None:
            value = value + weight * regulariser(logits, feature_kernel(x, inside), inside)
        if present is not None:
            labels = present[batch.pictures].to(batch.device)
            value = value + present_weight * candidates_loss(logits, labels, inside)
        return value

    return loss


def _rows(logits: Tensor, inside: Tensor | None) -> tuple[Tensor, Tensor]:
    """S and 1 - S as ``(B, N, K)``, both 0 beyond an image."""
    rows = logits.softmax(1).flatten(2).mT
    if inside is None:
        return rows, 1 - rows
    known = inside.flatten(1)[:, :, None].to(rows.dtype)
    return rows * known, (1 - rows) * known


def _count(logits: Tensor, inside: Tensor | None) -> Tensor | int:
    return logits[:, 0].numel() if inside is None else inside.sum().clamp(min=1)


# ---------------------------------------------------------------------------------------- simulated scribbles


def simulate_scribbles(
    mask: ArrayLike,
    boxes: ArrayLike,
    classes: ArrayLike,
    *,
    strokes: int = 1,
    background_strokes: int = 1,
    length: float = 0.7,
    width: int = 3,
    side: int = 64,
) -> NDArray[np.uint8]:
    """Strokes through the objects and the background as an annotator would draw them, never over an edge.

    Args:
        mask: true classes, uint8 ``(H, W)``; 255 is drawn on by nobody.
        boxes: ``(N, 4)`` of the objects, as in `points.simulate_clicks`.
        classes: ``(N,)``, 1..254.
        strokes: on each object; a second one is drawn where the first ones have not been.
        background_strokes: on the background; 0 for none.
        length: share of the way through a region that is drawn, 0..1.
        width: of the pen, in pixels.
        side: strokes are found on a map of at most this many pixels a side: the way is the same, and short.

    Returns:
        uint8 ``(H, W)``: the class where something was drawn, 255 elsewhere.

    Example:
        >>> mask = np.zeros((12, 12), np.uint8)
        >>> mask[2:9, 2:9] = 7
        >>> drawn_on = simulate_scribbles(mask, [[2, 2, 9, 9]], [7], width=1)
        >>> sorted(set(drawn_on.ravel().tolist())), bool((drawn_on == 7)[mask != 7].any())
        ([0, 7, 255], False)
    """
    mask = checked_label_map(mask, "mask")
    for name, value in (("strokes", strokes), ("background_strokes", background_strokes)):
        whole(name, value, 0)
    number("length", length, 0, 1)
    whole("width", width, 1)
    boxes, classes = checked_boxes(boxes, classes, mask.shape)
    labels = np.full(mask.shape, IGNORE, np.uint8)
    regions = [(BACKGROUND, mask == BACKGROUND, background_strokes)]
    regions += [
        (int(c), r, strokes) for c, r in zip(classes, object_regions(mask, boxes, classes), strict=True)
    ]
    for c, region, count in regions:
        free = region
        for _ in range(count):
            if not free.any():
                break
            pen = drawn(_stroke(free, length, whole("side", side, 8)), mask.shape, width)
            labels[pen & region] = c
            # the next stroke keeps away from this one by a third of the region's own thickness
            gap = max(width, round(float(np.sqrt(region.sum())) / 3))
            free = free & ~cv2.dilate(pen.astype(np.uint8), np.ones((gap, gap), np.uint8)).astype(bool)
    return labels


def _stroke(region: NDArray[np.bool_], length: float, side: int) -> NDArray[np.int64]:
    """`strokes.stroke` on a smaller map, its places joined up again: rows and columns ``(n, 2)``."""
    scale = max(1, round(max(region.shape) / side))
    small = region[scale // 2 :: scale, scale // 2 :: scale]
    if scale == 1 or not small.any():
        return stroke(region, length)
    way = stroke(small, length) * scale + scale // 2
    line = np.zeros(region.shape, np.uint8)
    cv2.polylines(line, [way[:, ::-1].astype(np.int32)], False, 1)
    return np.argwhere((line > 0) & region)


def scribble_seconds(objects: float, strokes: int = 1, background_strokes: int = 1) -> float:
    """What scribbles on one image cost: naming its classes, and every stroke, those on the background too.

    Args:
        objects: how many there are, or their mean number an image.
        strokes: on each of them.
        background_strokes: on the background.

    Example:
        >>> round(scribble_seconds(2, background_strokes=3), 1)  # 20 s, and five strokes of 3.6 s
        38.0
    """
    return COSTS["image_class"].seconds + COSTS["scribble"].seconds * (objects * strokes + background_strokes)


# -------------------------------------------------------------------------- the rival: labels made beforehand


def spread_labels(
    image: ArrayLike, scribbles: ArrayLike, method: str = "walker", **options
) -> NDArray[np.uint8]:
    """Labels for every pixel out of scribbles: what the regularised losses make unnecessary.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        scribbles: uint8 ``(H, W)``, 255 where nothing was drawn.
        method: ``"walker"``: the class whose scribble a random walk that avoids edges most likely meets first
            (Grady, PAMI 2006; scikit-image's), or ``"grabcut"``: OpenCV's GrabCut with the strokes as
            seeds, once for each class against all others; of several that claim a pixel the one drawn
            nearest.
        options: of `skimage.segmentation.random_walker` (such as ``beta``) or of ``cv2.grabCut``
            (``rounds``).

    Returns:
        uint8 ``(H, W)`` without 255, unless nothing was drawn.

    Example:
        >>> image = np.zeros((8, 8, 3), np.uint8)
        >>> image[:, 4:] = 255
        >>> strokes = np.full((8, 8), 255, np.uint8)
        >>> strokes[4, 1], strokes[4, 6] = 0, 3
        >>> spread_labels(image, strokes)[0].tolist()
        [0, 0, 0, 0, 3, 3, 3, 3]
    """
    image, labels = checked_image(image), checked_label_map(scribbles, "scribbles")
    if labels.shape != image.shape[:2]:
        raise ValueError(f"scribbles must be {image.shape[:2]} like the image, got {labels.shape}")
    names = np.unique(labels[labels != IGNORE])
    if len(names) < 2:
        return np.full(labels.shape, names[0] if len(names) else IGNORE, np.uint8)
    methods: dict[str, Callable[..., NDArray[np.uint8]]] = {"walker": _walked, "grabcut": _cut}
    return methods[choice("method", method, list(methods))](image, labels, names, **options)


def _walked(image: NDArray, labels: NDArray, names: NDArray, beta: float = 130.0) -> NDArray[np.uint8]:
    seeds = np.where(labels == IGNORE, 0, np.searchsorted(names, labels) + 1)
    with warnings.catch_warnings():
        # it is solved to a thousandth, and only the largest probability is looked at
        warnings.filterwarnings("ignore", "The probability range is outside")
        found = random_walker(image / 255.0, seeds, beta=beta, mode="cg_j", channel_axis=2)
    return names[np.asarray(found) - 1].astype(np.uint8)


def _cut(image: NDArray, labels: NDArray, names: NDArray, rounds: int = 3) -> NDArray[np.uint8]:
    near = [cv2.distanceTransform((labels != c).astype(np.uint8), cv2.DIST_L2, 5) for c in names]
    best, found = np.full(labels.shape, np.inf), np.full(labels.shape, BACKGROUND, np.uint8)
    for c, distance in zip(names, near, strict=True):
        if c == BACKGROUND:
            continue
        rest = np.min([d for other, d in zip(names, near, strict=True) if other != c], 0)
        state = np.where(distance < rest, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        state[labels != IGNORE] = cv2.GC_BGD
        state[labels == c] = cv2.GC_FGD
        cv2.setRNGSeed(0)
        models = np.zeros((2, 1, 65))
        nowhere = (0, 0, 0, 0)
        cv2.grabCut(image[:, :, ::-1].copy(), state, nowhere, *models, rounds, cv2.GC_INIT_WITH_MASK)
        mine = ((state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)) & (distance < best)
        found[mine], best[mine] = c, distance[mine]
    return np.where(labels == IGNORE, found, labels).astype(np.uint8)
