"""How good is a map, a box or a mask? Measures of localisation, with the conventions of the literature."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import NamedTuple

import numpy as np
import scipy.stats
import torch
from torch import Tensor, nn

from .evidence.maps import check_maps, component_boxes, normalise
from .kit.networks import undisturbed
from .labels.label_map import IGNORE, checked_label_map

Array = np.ndarray | Tensor | Sequence


def iou(a: Array, b: Array) -> Tensor:
    """Intersection over union of two masks, two boxes, or a batch of either.

    Args:
        a, b: both bool masks ``(..., H, W)``, or both boxes ``(..., 4)`` as x0, y0, x1, y1, half open.
            Leading dimensions broadcast.

    Returns:
        Float tensor of the leading shape, 0..1; 0 where the union is empty.

    Raises:
        TypeError: one is a mask and the other is not, or a mask is not bool.
        ValueError: shapes that do not fit, or boxes that are not finite or have x1 < x0 or y1 < y0.
    """
    a, b = _tensor(a), _tensor(b)
    if (a.dtype == torch.bool) != (b.dtype == torch.bool):
        raise TypeError(f"a and b must both be bool masks or both be boxes, got {a.dtype} and {b.dtype}")
    if a.dtype == torch.bool:
        return _mask_iou(a, b)
    a, b = _boxes(a, "a"), _boxes(b, "b")
    _common_shape(a.shape[:-1], b.shape[:-1], "a and b")
    return _box_iou(a, b)


def pointing_game(maps: Tensor, truth: Array, tolerance: int = 0) -> Tensor:
    """Does the highest point of each map lie on the object? (Zhang et al., ECCV 2016, section 4.2.)

    Args:
        maps: float ``(..., H, W)``. Of several highest points the first in reading order counts; a flat map
            points nowhere and misses.
        truth: bool masks ``(..., H, W)`` of the same size as the maps, or boxes ``(..., 4)``, half open, in
            pixels of the maps.
        tolerance: a hit within this many pixels (Euclidean) of the object counts; the paper takes 15.

    Returns:
        bool ``(...)``. Its mean is the pointing-game accuracy.
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, Integral) or tolerance < 0:
        raise ValueError(f"tolerance must be a whole number of pixels, at least 0, got {tolerance!r}")
    height, width = check_maps(maps).shape[-2:]
    flat = maps.flatten(-2)
    peak = flat.argmax(-1)
    y, x = peak // width, peak % width
    points = flat.amax(-1) > flat.amin(-1)
    return points & (_distance(x, y, _tensor(truth, maps.device), (height, width)) <= tolerance)


def grid_pointing(maps: Tensor, cells: Array, grid: tuple[int, int]) -> Tensor:
    """Share of a map's positive evidence that falls into the right cell of a grid of pictures.

    The grid pointing game of Böhle et al., CVPR 2021, section 4.2: pictures of different classes side by
    side, one class asked for. An uninformed map scores ``1 / (rows * columns)``.

    Args:
        maps: float ``(..., h, w)``; h must be divisible by the rows and w by the columns of the grid.
        cells: whole numbers ``(...)``: the cell of the class asked for, counted in reading order from 0.
        grid: rows and columns.

    Returns:
        Float ``(...)``, 0..1; 0 where a map has no positive evidence.
    """
    rows, columns = grid
    height, width = check_maps(maps).shape[-2:]
    if min(rows, columns) < 1 or height % rows or width % columns:
        raise ValueError(f"grid must cut maps of {height} x {width} into equal cells, got {rows} x {columns}")
    cells = _tensor(cells, maps.device)
    whole = not cells.is_floating_point() and cells.dtype != torch.bool
    if not whole or ((cells < 0) | (cells >= rows * columns)).any():
        raise ValueError(f"cells must be whole numbers in 0..{rows * columns - 1}, got {cells.tolist()}")
    shape = _common_shape(maps.shape[:-2], cells.shape, "maps and cells")
    wide = maps.to(torch.promote_types(maps.dtype, torch.float32)).clamp(min=0)
    # As shares of the maximum, so that no sum overflows.
    wide = wide / wide.amax((-2, -1), keepdim=True).clamp(min=torch.finfo(wide.dtype).tiny)
    # (..., rows, h/rows, columns, w/columns) -> evidence a cell (..., rows * columns)
    parts = wide.unflatten(-1, (columns, width // columns)).unflatten(-3, (rows, height // rows))
    evidence = parts.sum((-3, -1)).flatten(-2).expand(*shape, -1)
    total = evidence.sum(-1)
    right = evidence.gather(-1, cells.long().expand(shape).unsqueeze(-1)).squeeze(-1)
    return torch.where(total > 0, right / torch.where(total > 0, total, 1), 0)


class BoxAccuracy(NamedTuple):
    """Accuracy of boxes drawn round maps, at the best threshold.

    Attributes:
        accuracy: for each IoU wanted, the share of pictures whose box reaches it, ``(n,)``.
        threshold: the share of the map's range at which that was reached, ``(n,)``.
        curve: accuracy at every threshold tried, ``(thresholds, n)``.
    """

    accuracy: Tensor
    threshold: Tensor
    curve: Tensor

    @property
    def mean(self) -> float:
        """Mean of `accuracy`: the one number of MaxBoxAccV2."""
        return self.accuracy.mean().item()


def box_accuracy(
    maps: Tensor,
    boxes: Sequence[Array],
    ious: Sequence[float] = (0.5,),
    all_regions: bool = False,
    thresholds: int = 100,
) -> BoxAccuracy:
    """MaxBoxAcc of Choe et al., "Evaluating weakly supervised object localization methods right", CVPR 2020.

    A picture counts as found at a threshold if the box round the map's largest region above it has the IoU
    wanted with one of the picture's true boxes. The threshold is one for all pictures, and the best one: it
    measures what a method could do, and must be chosen on pictures other than those reported, if at all.
    Upsample the maps first: each is brought to 0..1 by its own minimum and maximum after that, as in the
    paper. MaxBoxAccV2 is ``ious=(0.3, 0.5, 0.7), all_regions=True`` and `BoxAccuracy.mean`.

    Args:
        maps: float ``(B, H, W)`` of the pictures' size.
        boxes: for each picture its true boxes ``(n, 4)`` or one box ``(4,)``, half open, in pixels.
        ious: the IoU a box must reach, each 0..1.
        all_regions: take the best of the boxes round every region, not that round the largest.
        thresholds: how many, evenly spaced from 0 to below 1.
    """
    check_maps(maps)
    if maps.ndim != 3 or len(maps) != len(boxes) or len(maps) == 0:
        raise ValueError(
            f"maps must be (B, H, W) with boxes for each, got {tuple(maps.shape)}, {len(boxes)} boxes"
        )
    truth = [_boxes(_tensor(b).reshape(-1, 4), "boxes") for b in boxes]
    levels = torch.arange(thresholds) / thresholds
    unit = normalise(maps, "minmax").float().cpu().numpy()
    best = torch.tensor(
        [
            [_best_iou(m > t, b, all_regions) for t in levels.tolist()]
            for m, b in zip(unit, truth, strict=True)
        ]
    )
    curve = (best[..., None] >= torch.tensor(ious)).float().mean(0)  # (B, thresholds, n) -> (thresholds, n)
    accuracy, at = curve.max(0)
    return BoxAccuracy(accuracy, levels[at], curve)


def _best_iou(mask: np.ndarray, truth: Tensor, all_regions: bool) -> float:
    """Largest IoU of any true box with the box of the largest region (or any region) of a mask."""
    found = component_boxes(mask)[: None if all_regions else 1]
    if not found or len(truth) == 0:
        return 0.0
    return _box_iou(torch.tensor(found, dtype=torch.float32)[:, None], truth[None]).max().item()


def pixel_average_precision(maps: Tensor, masks: Tensor, ignore: Tensor | None = None) -> float:
    """PxAP of Choe et al., CVPR 2020: area under precision over recall of all pixels of all pictures.

    Each map is brought to 0..1 by its own minimum and maximum (upsample first), then one threshold sweeps
    over all of them. Computed exactly, at every value that occurs, where the paper's code takes a grid.

    Args:
        maps: float ``(B, H, W)``.
        masks: bool ``(B, H, W)``, True on the object.
        ignore: bool ``(B, H, W)``, True where a pixel does not count.
    """
    check_maps(maps)
    if masks.dtype != torch.bool or masks.shape != maps.shape:
        raise ValueError(f"masks must be bool {tuple(maps.shape)}, got {masks.dtype} {tuple(masks.shape)}")
    counts = torch.ones_like(masks) if ignore is None else ~ignore
    values, truth = normalise(maps, "minmax")[counts], masks[counts]
    if not truth.any():
        raise ValueError("masks must hold at least one pixel of the object that counts")
    values, order = values.sort(descending=True)
    hits = truth[order].double().cumsum(0)
    # only the last pixel of a run of equal values is a threshold
    last = torch.cat([values[1:] != values[:-1], torch.ones(1, dtype=torch.bool, device=values.device)])
    precision = (hits / torch.arange(1, len(hits) + 1, device=hits.device))[last]
    recall = torch.cat([hits.new_zeros(1), hits[last] / hits[-1]])
    return ((recall[1:] - recall[:-1]) * precision).sum().item()


def deletion(model: nn.Module, images: Tensor, maps: Tensor, classes: Array, steps: int = 32) -> Tensor:
    """How fast the class's probability falls when the best pixels go first (Petsiuk et al., RISE, BMVC 2018).

    Pixels are replaced by 0, the mean of preprocessed images, highest value of the map first.

    Args:
        model: float ``(B, C, H, W)`` -> logits ``(B, K)``; it is run in eval mode, without a graph.
        images: preprocessed ``(B, C, H, W)``.
        maps: float ``(B, H, W)`` of the images' size.
        classes: one class an image, ``(B,)``.
        steps: equal parts in which the pixels go.

    Returns:
        Probabilities ``(B, steps + 1)``, from the whole picture to none. Their mean over the second axis is
        the area under the curve: lower is better, and it rewards whatever breaks the network fastest.
    """
    return _revealing(model, images, maps, classes, steps, delete=True)


def insertion(model: nn.Module, images: Tensor, maps: Tensor, classes: Array, steps: int = 32) -> Tensor:
    """How fast the probability rises when the best pixels come first; as `deletion`, but higher is better."""
    return _revealing(model, images, maps, classes, steps, delete=False)


def _revealing(
    model: nn.Module, images: Tensor, maps: Tensor, classes: Array, steps: int, delete: bool
) -> Tensor:
    check_maps(maps)
    if maps.shape != (len(images), *images.shape[-2:]):
        raise ValueError(
            f"maps must be {(len(images), *images.shape[-2:])}, got {tuple(maps.shape)}; upsample"
        )
    classes = _tensor(classes, images.device).long().reshape(len(images), 1)
    order = torch.sort(maps.flatten(1), dim=1, descending=True, stable=True).indices
    rank = order.argsort(1)  # 0 is the best pixel
    rank = rank.reshape(maps.shape)[:, None]
    curve = []
    with torch.no_grad(), undisturbed(model) as network:
        for step in range(steps + 1):
            touched = rank < round(step / steps * maps[0].numel())
            shown = torch.where(touched == delete, 0, images)
            curve.append(network(shown).softmax(1).gather(1, classes))
    return torch.cat(curve, 1)


def randomisation_check(
    model: nn.Module, explain: Callable[[nn.Module], Tensor], seeds: Sequence[int] = (0, 1, 2)
) -> Tensor:
    """Does a map depend on what the network has learned? (Adebayo et al., "Sanity checks", NeurIPS 2018.)

    The weights of a copy of the model are shuffled within each tensor, which keeps their distribution and
    destroys what they know; then the maps before and after are compared. A map that stays alike shows the
    picture and not the network. Small maps are noisy: average over many images and seeds.

    Args:
        model: any module; it is not changed.
        explain: makes maps ``(B, h, w)`` with the model it is given, for classes that it holds fixed.
        seeds: one shuffle each.

    Returns:
        Spearman's rank correlation of the absolute maps, ``(seeds, B)``; 0 for a flat map.
    """
    before = explain(model).abs().flatten(1)
    return torch.stack(
        [_spearman(before, explain(_shuffled(model, seed)).abs().flatten(1)) for seed in seeds]
    )


def _shuffled(model: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for weight in copied.parameters():
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].reshape(weight.shape))
    return copied


def _spearman(a: Tensor, b: Tensor) -> Tensor:
    """Rank correlation of the rows of two ``(B, n)`` tensors; equal values share their mean rank."""
    ranks = [torch.from_numpy(scipy.stats.rankdata(x.double().cpu().numpy(), axis=1)) for x in (a, b)]
    a, b = (r - r.mean(1, keepdim=True) for r in ranks)
    size = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(size > 0, (a * b).sum(1) / torch.where(size > 0, size, 1), 0)


def _tensor(values: Array, device: torch.device | None = None) -> Tensor:
    """`values` as a tensor; a read-only array is copied, because torch would warn of it."""
    return torch.as_tensor(
        np.require(values, requirements="W") if isinstance(values, np.ndarray) else values, device=device
    )


def _common_shape(a: torch.Size, b: torch.Size, names: str) -> torch.Size:
    """The shape to which two leading shapes broadcast, or ``ValueError``."""
    try:
        return torch.Size(np.broadcast_shapes(a, b))  # torch's own imports sympy, which takes seconds
    except ValueError as error:
        raise ValueError(f"{names} must fit, got leading shapes {tuple(a)} and {tuple(b)}") from error


def _mask_iou(a: Tensor, b: Tensor) -> Tensor:
    if a.ndim < 2 or b.ndim < 2 or a.shape[-2:] != b.shape[-2:]:
        raise ValueError(f"a and b must be masks of one size, got {tuple(a.shape)} and {tuple(b.shape)}")
    _common_shape(a.shape[:-2], b.shape[:-2], "a and b")
    common, union = (a & b).sum((-2, -1)), (a | b).sum((-2, -1))
    return common / union.clamp(min=1)


def _box_iou(a: Tensor, b: Tensor) -> Tensor:
    overlap = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    common = overlap.clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - common
    return torch.where(union > 0, common / torch.where(union > 0, union, 1), 0)


def _boxes(boxes: Tensor, name: str) -> Tensor:
    if boxes.dtype == torch.uint8:
        raise TypeError(f"{name} must be boxes or bool masks, got uint8 (mask > 0 makes a bool mask)")
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise ValueError(f"{name} must be boxes (..., 4) or bool masks, got shape {tuple(boxes.shape)}")
    if not (boxes.isfinite().all() and (boxes[..., 2:] >= boxes[..., :2]).all()):
        raise ValueError(f"{name} must be finite with x0 <= x1 and y0 <= y1, got {boxes.tolist()}")
    return boxes.to(torch.promote_types(boxes.dtype, torch.float32))


def _distance(x: Tensor, y: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Euclidean distance in pixels from the points (x, y) to the masks or boxes; infinite to an empty one."""
    if truth.dtype == torch.bool:
        if truth.shape[-2:] != size:
            raise ValueError(
                f"truth has masks of {tuple(truth.shape[-2:])}, the maps are {size}; upsample the maps first"
            )
        _common_shape(x.shape, truth.shape[:-2], "maps and truth")
        rows, columns = (torch.arange(n, device=truth.device) for n in size)
        squared = (rows[:, None] - y[..., None, None]) ** 2 + (columns - x[..., None, None]) ** 2
        return torch.where(truth, squared, torch.inf).amin((-2, -1)).sqrt()
    x0, y0, x1, y1 = _boxes(truth, "truth").unbind(-1)
    _common_shape(x.shape, x0.shape, "maps and truth")
    beside = torch.maximum(x0 - x, x - (x1 - 1)).clamp(min=0)
    above = torch.maximum(y0 - y, y - (y1 - 1)).clamp(min=0)
    empty = (x1 <= x0) | (y1 <= y0)
    return torch.where(empty, torch.inf, torch.hypot(beside, above))


class LabelQuality(NamedTuple):
    """How good labels are, one number a class; `label_quality` says what each means."""

    precision: np.ndarray
    recall: np.ndarray
    coverage: np.ndarray
    iou: np.ndarray

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur in the labels or in the truth, background included."""
        return float(np.nanmean(self.iou))


def label_quality(
    labels: np.ndarray | Sequence, truth: np.ndarray | Sequence, classes: int | None = None
) -> LabelQuality:
    """Precision, recall, coverage and IoU of labels, class by class, over all pixels of all pictures.

    With L the pixels labelled c and T the pixels that are c, both without those whose truth is 255 (void):

    - precision = |L ∩ T| / |L|: how much of what the labels say is right. A student learns from it.
    - recall = |L ∩ T| / |T|: how much of the class is labelled as the class; an ignored pixel is not.
    - coverage = |T without ignored| / |T|: how much of the class has any label, right or wrong.
    - iou = |L ∩ T| / |L ∪ T|, an ignored pixel being missed, so 1 / iou = 1 / precision + 1 / recall - 1.

    IoU alone misleads for labels with ignored pixels: careful labels that leave a lot out score badly in it
    and teach well, and if ignored pixels were left out of it, labels of one right pixel would score 1.
    For that other reading hand over ``np.where(labels == 255, 255, truth)`` as the truth.

    Args:
        labels, truth: label maps ``uint8 (H, W)``, or as many of both in a list (sizes may differ) or in an
            array ``(N, H, W)``.
        classes: number of classes with background, at most 255. None: the largest label that occurs, plus 1.

    Returns:
        Four float arrays ``(classes,)``, index 0 for background; NaN where nothing is to be divided by.
    """
    counts = _counts(_stack(labels, "labels"), _stack(truth, "truth"))
    known = counts[:, :IGNORE]  # (label, truth) without void
    if classes is None:
        found = np.flatnonzero(counts.sum(0)[:IGNORE] + counts.sum(1)[:IGNORE])
        classes = int(found.max(initial=0)) + 1
    elif known.sum() != known[[*range(classes), IGNORE], :classes].sum():
        raise ValueError(f"labels and truth must be 0..{classes - 1} or 255, got larger ones")
    right = np.diag(known)[:classes].astype(float)
    labelled, true = known.sum(1)[:classes], known.sum(0)[:classes]
    with np.errstate(invalid="ignore"):
        return LabelQuality(
            right / labelled,
            right / true,
            (true - known[IGNORE, :classes]) / true,
            right / (labelled + true - right),
        )


def _stack(maps: np.ndarray | Sequence, name: str) -> list[np.ndarray]:
    """One label map, or several, as a list."""
    several = isinstance(maps, list | tuple) or np.ndim(maps) == 3
    return [checked_label_map(m, name) for m in (maps if several else [maps])]


def _counts(labels: list[np.ndarray], truth: list[np.ndarray]) -> np.ndarray:
    """How often each label meets each truth: ``int64 (256, 256)``."""
    if [m.shape for m in labels] != [m.shape for m in truth]:
        raise ValueError(
            f"labels and truth must have the same sizes, got {[m.shape for m in labels]} "
            f"and {[m.shape for m in truth]}"
        )
    pairs = (given.astype(np.int64) * 256 + true for given, true in zip(labels, truth, strict=True))
    return sum((np.bincount(p.ravel(), minlength=65536) for p in pairs), np.zeros(65536, np.int64)).reshape(
        256, 256
    )
