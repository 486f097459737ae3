"""Intersection over union of masks and boxes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

Array = ArrayLike | Tensor


def iou(a: Array, b: Array) -> Tensor:
    """Intersection over union of two masks, two boxes, or a batch of either.

    Args:
        a: bool masks ``(..., H, W)``, or boxes ``(..., 4)`` as x0, y0, x1, y1, half open.
        b: the same as `a`; leading dimensions broadcast.

    Returns:
        Float tensor of the leading shape, 0..1; 0 where the union is empty.

    Raises:
        TypeError: one is a mask and the other is not, or a mask is not bool.
        ValueError: shapes that do not fit, or boxes that are not finite or have x1 < x0 or y1 < y0.

    Example:
        >>> iou([[0, 0, 2, 2], [0, 0, 4, 1]], [0, 0, 4, 2])
        tensor([0.5000, 0.5000])
    """
    a, b = as_tensor(a), as_tensor(b)
    if (a.dtype == torch.bool) != (b.dtype == torch.bool):
        raise TypeError(f"a and b must both be bool masks or both be boxes, got {a.dtype} and {b.dtype}")
    if a.dtype == torch.bool:
        return _mask_iou(a, b)
    a, b = as_boxes(a, "a"), as_boxes(b, "b")
    common_shape(a.shape[:-1], b.shape[:-1], "a and b")
    return box_iou(a, b)


def as_tensor(values: Array, device: torch.device | None = None) -> Tensor:
    """`values` as a tensor; a read-only array is copied, because torch would warn of it."""
    return torch.as_tensor(
        np.require(values, requirements="W") if isinstance(values, np.ndarray) else values, device=device
    )


def common_shape(a: tuple[int, ...], b: tuple[int, ...], names: str) -> torch.Size:
    """The shape to which two leading shapes broadcast, or ``ValueError``."""
    try:
        return torch.Size(np.broadcast_shapes(a, b))  # torch's own imports sympy, which takes seconds
    except ValueError as error:
        raise ValueError(f"{names} must fit, got leading shapes {tuple(a)} and {tuple(b)}") from error


def _mask_iou(a: Tensor, b: Tensor) -> Tensor:
    if a.ndim < 2 or b.ndim < 2 or a.shape[-2:] != b.shape[-2:]:
        raise ValueError(f"a and b must be masks of one size, got {tuple(a.shape)} and {tuple(b.shape)}")
    common_shape(a.shape[:-2], b.shape[:-2], "a and b")
    common, union = (a & b).sum((-2, -1)), (a | b).sum((-2, -1))
    return common / union.clamp(min=1)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of checked boxes ``(..., 4)`` that broadcast."""
    overlap = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    common = overlap.clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - common
    return torch.where(union > 0, common / torch.where(union > 0, union, 1), 0)


def as_boxes(boxes: Tensor, name: str) -> Tensor:
    """The boxes ``(..., 4)``, float32 or wider, if they are boxes."""
    if boxes.dtype == torch.uint8:
        raise TypeError(f"{name} must be boxes or bool masks, got uint8 (mask > 0 makes a bool mask)")
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise ValueError(f"{name} must be boxes (..., 4) or bool masks, got shape {tuple(boxes.shape)}")
    if not (boxes.isfinite().all() and (boxes[..., 2:] >= boxes[..., :2]).all()):
        raise ValueError(f"{name} must be finite with x0 <= x1 and y0 <= y1, got {boxes.tolist()}")
    return boxes.to(torch.promote_types(boxes.dtype, torch.float32))
