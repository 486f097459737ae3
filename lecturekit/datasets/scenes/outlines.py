"""Outlines of things as polygons, and how much of each pixel a polygon covers, exactly.

An outline is a list of float arrays ``(n, 2)`` of x, y with y downwards, of any scale. Polygons that turn the
same way add up, one that turns the other way is a hole. Only ``+ - * /`` and square roots are used, which
are the same on every platform; sine and cosine come from a rounded table. The functions that draw an outline
take `stout`, from 0, thin, to 1, broad.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .draws import Draws

Outline = list[np.ndarray]

#: Angles are whole steps of a turn; their cosines are rounded to 2^-14, so that no platform's last bit shows.
TURN = 1024
_COSINE = np.rint(np.cos(np.arange(TURN) * (2 * np.pi / TURN)) * 2**14) / 2**14

#: Vertices are whole multiples of 1 / UNIT pixel; SUB x SUB points are looked at in each pixel.
UNIT = 256
SUB = 4
FULL = SUB * SUB


def cosine(steps: ArrayLike) -> np.ndarray:
    """Cosine of an angle given in whole steps of a `TURN`."""
    return _COSINE[np.asarray(steps) % TURN]


def sine(steps: ArrayLike) -> np.ndarray:
    """Sine of an angle given in whole steps of a `TURN`."""
    return _COSINE[(np.asarray(steps) - TURN // 4) % TURN]


def rotate(points: np.ndarray, steps: int) -> np.ndarray:
    """Points ``(..., 2)`` turned about the origin, clockwise on the screen where y points downwards."""
    c, s = cosine(steps), sine(steps)
    x, y = points[..., 0], points[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], -1)


def coverage(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> tuple[slice, slice, np.ndarray]:
    """How many of the `FULL` sample points of each pixel lie inside the polygons (nonzero winding rule).

    Args:
        polygons: float ``(n, 2)`` in pixels, x then y; pixel (0, 0) reaches from 0 to 1. They are rounded to
            1 / `UNIT` pixel, from where on all is whole numbers.
        shape: height and width of the picture, which cuts the polygons off.

    Returns:
        Rows and columns of the smallest window round the polygons, and int64 counts 0..`FULL` inside it; the
        window is empty where they lie outside the picture.
    """
    corners = [np.rint(polygon * UNIT).astype(np.int64) for polygon in polygons]
    everything = np.concatenate(corners)
    ends = np.stack([everything.min(0) // UNIT, -(-everything.max(0) // UNIT)])
    (x0, y0), (x1, y1) = np.minimum(np.maximum(ends, 0), (shape[1], shape[0])).tolist()
    winding = np.zeros((SUB * (y1 - y0), SUB * (x1 - x0) + 1), np.int16)
    if y1 > y0 and x1 > x0:
        for polygon in corners:
            winding += _crossings(polygon - np.array([x0, y0]) * UNIT, winding.shape)
    inside = (winding.cumsum(1, dtype=np.int16)[:, :-1] != 0).view(np.uint8)
    lines = sum(inside[k::SUB] for k in range(SUB))
    return slice(y0, y1), slice(x0, x1), sum(lines[:, k::SUB] for k in range(SUB)).astype(np.int64)


def _crossings(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """For each row of sample points +1 or -1 at the first point right of an edge that goes down or up."""
    step = UNIT // SUB
    (xa, ya), (xb, yb) = polygon.T[:, :, None], _next(polygon).T[:, :, None]  # each (edges, 1)
    y = np.arange(shape[0]) * step + step // 2  # (rows,)
    crossed = (np.minimum(ya, yb) <= y) & (y < np.maximum(ya, yb))  # (edges, rows)
    edge, row = np.nonzero(crossed)
    xa, ya, xb, yb = (v[edge, 0] for v in (xa, ya, xb, yb))
    # an edge is crossed at xa + (y - ya)(xb - xa) / (yb - ya); the points lie at column * step + step / 2
    sign = np.sign(yb - ya)
    above = ((xa - step // 2) * (yb - ya) + (y[row] - ya) * (xb - xa)) * sign
    column = np.minimum(np.maximum(-(-above // (step * abs(yb - ya))), 0), shape[1] - 1)
    counts = np.bincount(row * shape[1] + column, sign, shape[0] * shape[1])  # sums of +-1 are exact
    return counts.astype(np.int16).reshape(shape)


def five_arms(draws: Draws, stout: float) -> Outline:
    """Five pointed arms, none quite like the next."""
    waist = 0.32 + 0.44 * stout
    radii = [draws.uniform(0.88, 1.0) * (waist if k % 2 else 1.0) for k in range(10)]
    turns = [round(TURN * k / 10) + draws.below(24) - 12 for k in range(10)]
    return [np.stack([cosine(turns), sine(turns)], -1) * np.array(radii)[:, None]]


def blade(draws: Draws, stout: float) -> Outline:
    """A blade that narrows to a tip, on a stalk, both bent the same way."""
    width, belly, bend = 0.3 + 0.8 * stout, draws.uniform(-0.3, 0.3), draws.uniform(-0.45, 0.45)
    t = np.arange(13) / 12
    side = 2 * t * (1 - t)
    right = np.stack([side * width, 2 * t - 1 + side * belly], -1)  # a quadratic curve from (0, -1) to (0, 1)
    left = (right * [-1, 1])[::-1]
    stalk = np.array([[0.05, 0.8], [0.04, 1.2], [0.03, 1.5], [-0.03, 1.5], [-0.04, 1.2], [-0.05, 0.8]])
    parts = [np.concatenate([right, left]), stalk]
    return [part + np.stack([bend * part[:, 1] * part[:, 1], 0 * part[:, 1]], -1) for part in parts]


def boat(draws: Draws, stout: float) -> Outline:
    """A hull, a mast, a sail behind it and mostly one before it."""
    bow, stern, height = draws.uniform(0.85, 1.1), draws.uniform(0.75, 1.0), draws.uniform(0.8, 1.2)
    keel = 0.55 + 0.45 * stout
    hull = [[-stern, 0.3], [bow, 0.3], [0.65 * bow, keel], [-0.8 * stern, keel]]
    mast = [[-0.05, -height], [0.05, -height], [0.05, 0.35], [-0.05, 0.35]]
    main = [[0.1, -0.95 * height], [0.85 * bow, 0.18], [0.1, 0.18]]
    jib = [[-0.1, -0.75 * height], [-0.1, 0.18], [-0.7 * stern, 0.18]]
    parts = [hull, mast, main, jib] if draws.chance(0.7) else [hull, mast, main]
    return [clockwise(np.array(part)) for part in parts]


def snake(draws: Draws, stout: float) -> Outline:
    """A winding body, thin, with a thicker head and a tail that runs out."""
    waves, height = draws.uniform(0.9, 1.5), draws.uniform(0.35, 0.6)
    start, thick = draws.below(TURN), 0.08 + 0.14 * stout
    t = np.arange(33) / 32
    spine = np.stack([2 * t - 1, height * sine(start + np.rint(waves * TURN * t).astype(np.int64))], -1)
    along = np.diff(spine, axis=0, prepend=2 * spine[:1] - spine[1:2])
    normal = np.stack([-along[:, 1], along[:, 0]], -1) / np.sqrt((along * along).sum(-1, keepdims=True))
    width = thick * np.minimum(1.0, 0.15 + 3 * (1 - t)) * np.where(t < 0.1, 1.25, 1.0)
    offset = normal * width[:, None]
    nose = spine[:1] - along[:1] * (thick / 0.06)
    return [clockwise(np.concatenate([nose, spine - offset, (spine + offset)[::-1]]))]


def ring(draws: Draws, stout: float) -> Outline:
    """A ring: its hole belongs to what lies behind."""
    turns = np.arange(0, TURN, TURN // 32)
    circle = np.stack([cosine(turns), sine(turns)], -1)
    return [circle, circle[::-1] * (0.82 - 0.4 * stout)]


def pebble(draws: Draws, stout: float) -> Outline:
    """A rounded lump without arms or hole."""
    turns = [round(TURN * k / 8) + draws.below(60) - 30 for k in range(8)]
    radii = np.array([draws.uniform(0.8, 1.0) for _ in range(8)])
    return [np.stack([cosine(turns), sine(turns)], -1) * radii[:, None]]


def block(draws: Draws, stout: float) -> Outline:
    """A plate or a brick."""
    half = 0.4 + 0.6 * stout
    return [np.array([[-1, -half], [1, -half], [1, half], [-1, half]])]


def wedge(draws: Draws, stout: float) -> Outline:
    """A triangle."""
    return [np.array([[-1.0, 0.6], [draws.uniform(-0.6, 0.6), -0.8], [1.0, 0.6]])]


def stick(draws: Draws, stout: float) -> Outline:
    """A long thin bar."""
    half = 0.04 + 0.06 * stout
    return [np.array([[-1, -half], [1, -half], [1, half], [-1, half]])]


def _next(polygon: np.ndarray) -> np.ndarray:
    """For each corner the one after it."""
    return np.concatenate([polygon[1:], polygon[:1]])


def signed_area(polygon: np.ndarray) -> float:
    """Area of a polygon ``(n, 2)``, negative where it runs against the clock on the screen."""
    (x, y), (next_x, next_y) = polygon.T, _next(polygon).T
    return math.fsum(x * next_y - next_x * y) / 2  # exact, whatever the order


def clockwise(polygon: np.ndarray) -> np.ndarray:
    """The polygon, turned round if it runs against the clock on the screen, so that parts add up."""
    return polygon if signed_area(polygon) >= 0 else polygon[::-1]


#: Outlines of things that belong to no class.
CLUTTER: tuple[Callable[[Draws, float], Outline], ...] = (pebble, block, wedge, stick)


def posed(outline: Outline, squash: float, steps: int, mirrored: bool) -> Outline:
    """The outline flattened, mirrored and turned, with its box about the origin and of area 1."""
    flip = -1.0 if mirrored else 1.0
    turned = [rotate(polygon * [flip, squash], steps) for polygon in outline]
    turned = [polygon[::-1] for polygon in turned] if mirrored else turned
    low, high = np.concatenate(turned).min(0), np.concatenate(turned).max(0)
    side = math.sqrt((high[0] - low[0]) * (high[1] - low[1]))
    return [(polygon - (low + high) / 2) / side for polygon in turned]
