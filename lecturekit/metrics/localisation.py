"""Do maps point at objects? The measures of weakly supervised localisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..evidence.maps import check_maps, component_boxes, normalise
from ..kit.checks import whole
from .overlap import Array, as_boxes, as_tensor, box_iou, common_shape


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

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: shapes that do not fit, or a tolerance below 0.

    Example:
        >>> maps = torch.tensor([[[0.0, 1.0, 3.0]]])
        >>> pointing_game(maps, [[0, 0, 2, 1]]), pointing_game(maps, [[0, 0, 2, 1]], tolerance=1)
        (tensor([False]), tensor([True]))
    """
    tolerance = whole("tolerance", tolerance)
    height, width = check_maps(maps).shape[-2:]
    flat = maps.flatten(-2)
    peak = flat.argmax(-1)
    y, x = peak // width, peak % width
    points = flat.amax(-1) > flat.amin(-1)
    return points & (_distance(x, y, as_tensor(truth, maps.device), (height, width)) <= tolerance)


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

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: a grid or cells that do not fit.

    Example:
        >>> grid_pointing(torch.tensor([[[3.0, 1.0]]]), [0], (1, 2))
        tensor([0.7500])
    """
    rows, columns = grid
    height, width = check_maps(maps).shape[-2:]
    if min(rows, columns) < 1 or height % rows or width % columns:
        raise ValueError(f"grid must cut maps of {height} x {width} into equal cells, got {rows} x {columns}")
    cells = as_tensor(cells, maps.device)
    if (
        cells.is_floating_point()
        or cells.dtype == torch.bool
        or ((cells < 0) | (cells >= rows * columns)).any()
    ):
        raise ValueError(f"cells must be whole numbers in 0..{rows * columns - 1}, got {cells.tolist()}")
    shape = common_shape(maps.shape[:-2], cells.shape, "maps and cells")
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
        thresholds: how many, evenly spaced from 0 to below 1. The published code takes 1000; 100 are ten
            times as fast and can miss the best one. As in that code, and unlike in the paper's text (at
            least), a pixel counts if it is above the threshold.

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: boxes that do not fit the maps, or no threshold.

    Example:
        >>> maps = torch.zeros(1, 4, 4)
        >>> maps[0, 1:3, 1:4] = 1
        >>> box_accuracy(maps, [[1, 1, 4, 3]], ious=(0.5, 0.9)).accuracy
        tensor([1., 1.])
    """
    check_maps(maps)
    if maps.ndim != 3 or len(maps) != len(boxes) or len(maps) == 0:
        raise ValueError(
            f"maps must be (B, H, W) with boxes for each, got {tuple(maps.shape)}, {len(boxes)} boxes"
        )
    truth = [as_boxes(as_tensor(b).reshape(-1, 4), "boxes") for b in boxes]
    thresholds = whole("thresholds", thresholds, 1)
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
    return box_iou(torch.tensor(found, dtype=torch.float32)[:, None], truth[None]).max().item()


def pixel_average_precision(maps: Tensor, masks: Tensor, ignore: Tensor | None = None) -> float:
    """PxAP of Choe et al., CVPR 2020: area under precision over recall of all pixels of all pictures.

    Each map is brought to 0..1 by its own minimum and maximum (upsample first), then one threshold sweeps
    over all of them. Computed exactly, at every value that occurs, where the paper's code takes a grid.

    Args:
        maps: float ``(B, H, W)``.
        masks: bool ``(B, H, W)``, True on the object.
        ignore: bool ``(B, H, W)``, True where a pixel does not count.

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: shapes that do not fit, or no pixel of an object.

    Example:
        >>> maps = torch.tensor([[[0.0, 1.0, 2.0, 3.0]]])
        >>> pixel_average_precision(maps, torch.tensor([[[False, True, False, True]]]))
        0.8333333333333333
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


def _distance(x: Tensor, y: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Euclidean distance in pixels from the points (x, y) to the masks or boxes; infinite to an empty one."""
    if truth.dtype == torch.bool:
        if truth.shape[-2:] != size:
            raise ValueError(
                f"truth has masks of {tuple(truth.shape[-2:])}, the maps are {size}; upsample the maps first"
            )
        common_shape(x.shape, truth.shape[:-2], "maps and truth")
        rows, columns = (torch.arange(n, device=truth.device) for n in size)
        squared = (rows[:, None] - y[..., None, None]) ** 2 + (columns - x[..., None, None]) ** 2
        return torch.where(truth, squared, torch.inf).amin((-2, -1)).sqrt()
    x0, y0, x1, y1 = as_boxes(truth, "truth").unbind(-1)
    common_shape(x.shape, x0.shape, "maps and truth")
    beside = torch.maximum(x0 - x, x - (x1 - 1)).clamp(min=0)
    above = torch.maximum(y0 - y, y - (y1 - 1)).clamp(min=0)
    empty = (x1 <= x0) | (y1 <= y0)
    return torch.where(empty, torch.inf, torch.hypot(beside, above))
