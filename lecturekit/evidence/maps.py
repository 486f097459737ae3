"""Pure functions on maps of evidence: rectify, normalise, upsample, threshold, box_from_map.

A map is a float tensor ``(..., h, w)`` on any device; leading dimensions are a batch and each map is treated
alone. Maps stay raw and signed until one of these functions is called by name. A map without evidence (flat,
or nowhere positive) gives zeros, never NaN, in float16 too.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np
import torch
from torch import Tensor

from ..kit.checks import choice, whole
from ._answers import wide

UPSAMPLING = ("nearest", "bilinear", "bicubic")


def rectify(maps: Tensor) -> Tensor:
    """Keep the evidence for the class and drop the evidence against it: ``max(map, 0)``.

    Args:
        maps: float ``(..., h, w)``.

    Example:
        >>> rectify(torch.tensor([[1.0, -2.0]]))
        tensor([[1., 0.]])
    """
    return check_maps(maps).clamp(min=0)


def normalise(maps: Tensor, how: str = "max") -> Tensor:
    """Bring each map to a common scale.

    Args:
        maps: float ``(..., h, w)``.
        how: ``"max"`` divides by the map's maximum: the sign and the zero stay where they are, the largest
            value is 1. ``"minmax"`` moves the minimum to 0 and the maximum to 1: a picture for the eye, in
            which zero evidence has no fixed colour.

    Returns:
        Same shape and dtype, finite. A flat map, and with ``"max"`` a map that is nowhere positive, gives
        zeros.

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: maps that are not finite, or another `how`.

    Example:
        >>> normalise(torch.tensor([[4.0, -2.0]]))
        tensor([[ 1.0000, -0.5000]])
        >>> normalise(torch.tensor([[4.0, -2.0]]), "minmax")
        tensor([[1., 0.]])
    """
    choice("how", how, ("max", "minmax"))
    # Half the value in float32 or wider: neither the range of float16 nor max - min can overflow.
    values = wide(check_maps(maps)) / 2
    low, high = values.amin((-2, -1), keepdim=True), values.amax((-2, -1), keepdim=True)
    zero, scale = (low, high - low) if how == "minmax" else (torch.zeros_like(low), high)
    says_something = (high > low) & (scale > 0)
    scaled = (values - zero) / torch.where(says_something, scale, 1)
    # Far below a tiny maximum the quotient leaves the dtype's range: it stays at its end.
    return torch.where(says_something, scaled, 0).clamp(min=torch.finfo(maps.dtype).min).to(maps.dtype)


def upsample(maps: Tensor, size: int | tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Resize maps to `size`, with pixel areas (not pixel centres) at the corners aligned.

    Upsampling adds no evidence: a 7 x 7 map has 49 numbers at any size. ``"nearest"`` shows them as they are.

    Args:
        maps: float ``(..., h, w)``.
        size: height and width in pixels, or one number for a square.
        mode: ``"nearest"``, ``"bilinear"`` or ``"bicubic"`` (the last can leave the range of the map).

    Returns:
        Float ``(..., *size)`` of the same dtype.

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: maps that are not finite, or another size or mode.

    Example:
        >>> upsample(torch.tensor([[0.0, 1.0]]), (1, 4))
        tensor([[0.0000, 0.2500, 0.7500, 1.0000]])
    """
    height, width = height_and_width(size)
    choice("mode", mode, UPSAMPLING)
    flat = wide(check_maps(maps)).reshape(-1, 1, *maps.shape[-2:])  # (N, 1, h, w)
    # "nearest-exact" takes the centre of the target pixel; torch's "nearest" is off by half a pixel.
    exact, corners = ("nearest-exact", None) if mode == "nearest" else (mode, False)
    resized = torch.nn.functional.interpolate(flat, (height, width), mode=exact, align_corners=corners)
    return resized.reshape(*maps.shape[:-2], height, width).to(maps.dtype)


def threshold(maps: Tensor, share: float = 0.2) -> Tensor:
    """Where each map is above `share` of its own maximum, and positive.

    Args:
        maps: float ``(..., h, w)``.
        share: 0 <= share < 1. Zhou et al., CVPR 2016, section 3.1, take 0.2 for CAM; Selvaraju et al., ICCV
            2017, take 0.15 for Grad-CAM.

    Returns:
        bool, same shape; all False for a flat map and for one that is nowhere positive.

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: maps that are not finite, or another share.

    Example:
        >>> threshold(torch.tensor([[5.0, 1.0, 2.0]]))
        tensor([[ True, False,  True]])
    """
    share = _share(share)
    values = wide(check_maps(maps))
    low, high = values.amin((-2, -1), keepdim=True), values.amax((-2, -1), keepdim=True)
    return (values > share * high.clamp(min=0)) & (high > low)


def box_from_map(maps: Tensor, share: float = 0.2, connectivity: int = 8) -> Tensor:
    """The box round the largest connected region in which a map is above `share` of its maximum.

    The rule of Zhou et al., CVPR 2016, section 3.1. Upsample first if the box is wanted in image pixels. Of
    regions of equal size, the one whose first pixel comes first in reading order is taken.

    Args:
        maps: float ``(..., h, w)``.
        share: as in `threshold`.
        connectivity: 8 (diagonal neighbours touch) or 4.

    Returns:
        int64 ``(..., 4)`` on the maps' device: x0, y0, x1, y1, half open, so that ``map[y0:y1, x0:x1]`` is
        the box. Four zeros where nothing is above the threshold.

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: maps that are not finite, or another share or connectivity.

    Example:
        >>> box_from_map(torch.tensor([[0.0, 5.0, 2.0], [0.0, 1.0, 0.0]]))
        tensor([1, 0, 3, 1])
    """
    choice("connectivity", connectivity, (4, 8))
    masks = threshold(maps, share)
    flat = masks.reshape(-1, *maps.shape[-2:]).cpu().numpy()
    nothing = [(0, 0, 0, 0)]
    boxes = np.array([(component_boxes(mask, connectivity) or nothing)[0] for mask in flat], np.int64)
    return torch.from_numpy(boxes.reshape(*maps.shape[:-2], 4)).to(maps.device)


def component_boxes(mask: np.ndarray, connectivity: int = 8) -> list[tuple[int, int, int, int]]:
    """Boxes (x0, y0, x1, y1), half open, of the connected regions of a bool mask ``(h, w)``, largest first.

    Of the largest, if there are several, the one whose first pixel comes first in reading order leads.
    """
    import cv2  # here, since it takes a tenth of a second that most maps do not need

    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity
    )
    if count == 1:  # the background alone
        return []
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = 1 + np.argsort(-areas, kind="stable")
    ties = np.count_nonzero(areas == areas.max())
    if ties > 1:  # OpenCV numbers components in an order of its own
        order[:ties] = sorted(order[:ties], key=lambda label: np.argmax(labels == label))
    x, y, width, height = stats[order, :4].T
    return list(zip(x.tolist(), y.tolist(), (x + width).tolist(), (y + height).tolist(), strict=True))


def check_maps(maps: Tensor) -> Tensor:
    """The maps, if they are finite floats ``(..., h, w)``; else ``TypeError`` or ``ValueError``."""
    if not isinstance(maps, Tensor) or not maps.is_floating_point():
        met = f"{maps.dtype} tensor" if isinstance(maps, Tensor) else type(maps).__name__
        raise TypeError(f"maps must be a float tensor, got {met}")
    if maps.ndim < 2 or 0 in maps.shape[-2:]:
        raise ValueError(f"maps must have shape (..., h, w) with at least one pixel, got {tuple(maps.shape)}")
    if not maps.isfinite().all():
        raise ValueError("maps must be finite, got NaN or infinite values")
    return maps


def _share(share: float) -> float:
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share < 1:
        raise ValueError(f"share must be a number with 0 <= share < 1, got {share!r}")
    return float(share)


def height_and_width(size: int | Sequence[int]) -> tuple[int, int]:
    """Pixels in both directions, which `size` names as one number or as two; else ``ValueError``."""
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2:
        raise ValueError(f"size must be one whole number or two, got {size!r}")
    return whole("size", pair[0], 1), whole("size", pair[1], 1)
