"""Real textures as tiles that can be sampled anywhere, in whole numbers.

The pictures are lossless files in scikit-image's wheel (a JPEG decodes differently from one library to the
next, so none is used): brick and gravel (CC0, from CC0Textures), grass (CC0, linolafett), moon (NASA, public
domain), page (scikit-image), coffee (Rachel Michetti, CC0), chelsea (Stéfan van der Walt, CC0).
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import skimage.data

from ..photos import load_photo

#: Where in a file the texture lies: file, rows, columns.
_CROPS = {
    "brick": ("brick.png", slice(None), slice(None)),
    "grass": ("grass.png", slice(None), slice(None)),
    "gravel": ("gravel.png", slice(None), slice(None)),
    "moon": ("moon.png", slice(None), slice(None)),
    "page": ("page.png", slice(20, 190), slice(0, 384)),
    "table": ("coffee.png", slice(220, 400), slice(0, 78)),
    "fur": ("chelsea.png", slice(150, 300), slice(60, 210)),
}
TILES = tuple(_CROPS)
#: Standard deviation of a tile's values, and where they are cut off.
SPREAD, LIMIT = 32, 96
#: Coordinates of samples are whole multiples of 1 / POINT of a tile's pixel.
POINT = 256


def sample(name: str, x: np.ndarray, y: np.ndarray, step: float) -> np.ndarray:
    """The texture at the points (x, y), interpolated linearly; beyond its edges it goes on mirrored.

    Args:
        name: one of `TILES`.
        x: float, in pixels of the file, any shape.
        y: likewise.
        step: pixels of the file from one point to the next; of coarse steps the tile is averaged first.

    Returns:
        int64 of the same shape: how much lighter than the tile's mean, `SPREAD` on average, at most `LIMIT`.
    """
    level = max(0, min(3, math.frexp(step)[1] - 1))  # 2^level <= step
    values = tile(name, level)
    columns, dx = _split(x, level)
    rows, dy = _split(y, level)
    left, right = _mirrored(columns, values.shape[1]), _mirrored(columns + 1, values.shape[1])
    upper, lower = _mirrored(rows, values.shape[0]), _mirrored(rows + 1, values.shape[0])
    top = values[upper, left] * (POINT - dx) + values[upper, right] * dx
    bottom = values[lower, left] * (POINT - dx) + values[lower, right] * dx
    return (top * (POINT - dy) + bottom * dy) // POINT**2


def _split(x: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole pixels of the tile at this level and the rest in 1 / POINT, both int64."""
    fixed = np.rint(x * (POINT / 2**level)).astype(np.int64)
    return fixed // POINT, fixed % POINT


def _mirrored(index: np.ndarray, n: int) -> np.ndarray:
    index = index % (2 * n)
    return np.minimum(index, 2 * n - 1 - index)


@cache
def tile(name: str, level: int) -> np.ndarray:
    """A texture averaged over blocks of ``2^level`` pixels, less its mean, scaled to `SPREAD` (int64)."""
    file, rows, columns = _CROPS[name]
    rgb = load_photo(Path(skimage.data.__file__).parent / file)[rows, columns].astype(np.int64)
    grey = 299 * rgb[..., 0] + 587 * rgb[..., 1] + 114 * rgb[..., 2]
    block = 2**level
    height, width = grey.shape[0] // block, grey.shape[1] // block
    grey = (
        grey[: height * block, : width * block].reshape(height, block, width, block).sum((1, 3)) // block**2
    )
    grey -= grey.sum() // grey.size
    spread = math.isqrt(int((grey * grey).sum()) // grey.size)
    return np.clip(SPREAD * grey // spread, -LIMIT, LIMIT)
