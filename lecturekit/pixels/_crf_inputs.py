"""What the CRF is given, checked and brought into tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..labels.label_map import IGNORE

Array = np.ndarray | Tensor


def as_rows(maps: Tensor) -> Tensor:
    """``(K, H, W)`` or ``(B, K, H, W)`` -> ``(B, N, K)``."""
    return maps.flatten(-2).mT.reshape(-1, maps.shape[-2] * maps.shape[-1], maps.shape[-3])


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """``(..., H, W)`` -> bool ``(..., K, H, W)``."""
    return labels.unsqueeze(-3) == torch.arange(classes, device=labels.device)[:, None, None]


def wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def home(values: Tensor) -> Tensor:
    """The tensor where the sums are done: on its device, but for MPS, which lacks some of the operations."""
    return values.cpu() if values.device.type == "mps" else values


def as_tensor(value: Array, name: str) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array or a tensor, got {type(value).__name__}")
    return torch.tensor(np.ascontiguousarray(value))


def checked_pixels(image: Array | Sequence[Array]) -> Tensor:
    """One image, a batch or a list -> ``(B, H, W, 3)`` in 0..255, of the dtype it came in."""
    if isinstance(image, list | tuple):
        sizes = {tuple(np.shape(one)) for one in image}
        if len(sizes) != 1:
            raise ValueError(f"image must be a list of images of one size, got {sorted(sizes)}")
        image = torch.stack([as_tensor(one, "image") for one in image])
    images = home(as_tensor(cast(Array, image), "image")).detach()
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
        raise ValueError(f"image must be RGB, (H, W, 3) or (B, H, W, 3), got {tuple(images.shape)}")
    low, high = images.float().aminmax()
    if not 0 <= low <= high <= 255:  # also false for NaN
        raise ValueError(f"image must have values in 0..255 without NaN, got {low:g}..{high:g}")
    if images.is_floating_point() and 0 < high <= 1:
        raise ValueError(f"image must have values in 0..255, got 0..{high:g}: multiply it by 255")
    return images


def checked_unary(unary: Array) -> Tensor:
    energies = home(as_tensor(unary, "unary"))
    if not energies.is_floating_point():
        raise TypeError(
            f"unary must be floats, energies -log p, got {energies.dtype}; labels: unary_from_labels"
        )
    if energies.ndim not in (3, 4) or 0 in energies.shape:
        raise ValueError(f"unary must be (K, H, W) or (B, K, H, W), got {tuple(energies.shape)}")
    if not energies.isfinite().all():
        raise ValueError(
            "unary must be finite; unary_from_probabilities makes -log p of probabilities safely"
        )
    return wide(energies)


def checked_labels(labels: Array, classes: int, unknown: bool = True) -> Tensor:
    given = as_tensor(labels, "labels")
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise TypeError(f"labels must be integers, got {given.dtype}")
    given = given.long()
    if given.ndim < 2 or 0 in given.shape:
        raise ValueError(f"labels must be (H, W) or (B, H, W), got {tuple(given.shape)}")
    wrong = (given < 0) | (given >= classes)
    wrong = wrong & (given != IGNORE) if unknown else wrong
    if wrong.any():
        also = f" or {IGNORE}" if unknown else ""
        raise ValueError(f"labels must be in 0..{classes - 1}{also}, got {given[wrong][0]}")
    return given


def checked_compatibility(matrix: Array | None, unary: Tensor) -> Tensor | None:
    if matrix is None:
        return None
    costs = as_tensor(matrix, "compatibility")
    classes = unary.shape[-3]
    if costs.shape != (classes, classes) or not costs.isfinite().all() or not torch.equal(costs, costs.T):
        raise ValueError(f"compatibility must be finite and symmetric, ({classes}, {classes}), got {costs}")
    return costs.to(unary)
