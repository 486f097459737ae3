"""Finished labels, as the annotator hands them over, and the pixels that they mark.

A label is a plain dict that JSON can hold::

    {"id": "3f2a", "kind": "polygon", "class_index": 2, "points": [[1.5, 2.0], ...], "milliseconds": 8120}

Coordinates are floats in pixels of the picture: pixel (0, 0) covers [0, 1) x [0, 1), so 0 <= x <= W and
0 <= y <= H. What ``points`` hold depends on the kind (`KINDS`). A scribble has a ``width`` in pixels as well.
A mask has ``size`` [H, W] and ``counts``: lengths of runs of zeros and ones in turn, zeros first, down the
columns, as in uncompressed COCO RLE.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .boxes import BACKGROUND, IGNORE, clip_boxes, paint_masks, window

#: Kinds of label, and the least and most points of one.
KINDS: dict[str, tuple[int, int]] = {
    "image_class": (0, 0),
    "point": (1, 1),
    "scribble": (1, 10_000),  # along the stroke
    "box": (2, 2),  # upper left and lower right corner, half open
    "extreme": (4, 4),  # leftmost, topmost, rightmost, lowest point
    "polygon": (3, 10_000),  # vertices, the first not repeated at the end
    "mask": (0, 0),
}
#: No picture of more pixels is dealt with: a number in a file must not fill the memory.
MAX_PIXELS = 5 * 10**7
#: The largest whole number that JavaScript holds exactly.
_MAX_WHOLE = 2**53 - 1


def checked(label: dict, size: tuple[int, int], classes: int) -> dict:
    """A clean copy of a label that may come from anywhere, with the keys of its kind only.

    Args:
        label: see the head of this module. A polygon's repeated first vertex is dropped.
        size: height and width of the picture.
        classes: how many classes there are, background aside: ``class_index`` lies in 1..classes.

    Raises:
        ValueError: whatever is missing, of a wrong type, not finite, outside the picture or over a limit,
            with what came and what was wanted.
    """
    height, width = checked_size(size)
    _whole("classes", classes, 1, IGNORE - 1)
    if not isinstance(label, dict):
        raise ValueError(f"a label must be a dict, got {shortened(label)}")
    kind = label.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {shortened(kind)}")
    clean = {
        "id": _name(label.get("id")),
        "kind": kind,
        "class_index": _whole("class_index", label.get("class_index"), 1, classes),
        "points": _points(kind, label.get("points", []), height, width),
        "milliseconds": _whole("milliseconds", label.get("milliseconds"), 0, _MAX_WHOLE),
    }
    if kind == "scribble":
        clean["width"] = _coordinate("width", label.get("width"), 2 * max(height, width), above=0)
    if kind == "mask":
        clean |= _runs(label, (height, width))
    return clean


def checked_size(size: Sequence[int]) -> tuple[int, int]:
    """Height and width, each at least 1 and together at most `MAX_PIXELS` pixels, or ``ValueError``."""
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ValueError(f"size must be (height, width), got {shortened(size)}")
    height, width = (_whole("height or width", side, 1, MAX_PIXELS) for side in size)
    if height * width > MAX_PIXELS:
        raise ValueError(f"size must be at most {MAX_PIXELS} pixels, got {height} x {width}")
    return height, width


def box_of(label: dict) -> tuple[float, float, float, float]:
    """The box x0, y0, x1, y1 round what a checked label marks, half open.

    A point has a box without width and height; the pen of a scribble may reach beyond the picture.

    Raises:
        ValueError: the label has no place: an image's class, a mask of no pixel.
    """
    if label["kind"] == "mask":
        mask = decode_rle(label["counts"], label["size"])
        if mask.any():
            return tuple(map(float, _tight(mask)))
    elif label["points"]:
        pen = label.get("width", 0.0) / 2
        (x0, y0), (x1, y1) = (
            f(axis=0) for f in (np.array(label["points"]).min, np.array(label["points"]).max)
        )
        return float(x0 - pen), float(y0 - pen), float(x1 + pen), float(y1 + pen)
    raise ValueError(f"a label of kind {label['kind']!r} that marks no pixel has no box")


# ------------------------------------------------------------------ pixels


def rasterise(label: dict, size: tuple[int, int]) -> np.ndarray:
    """The pixels that a checked label marks, bool ``(H, W)``.

    A pixel belongs to a box or polygon if its centre lies inside (even-odd rule where outlines cross
    themselves). A centre right on an edge counts on the right and lower edges, not on the left and upper
    ones: shapes that share an edge share no pixel. A scribble marks the pixels whose centres are at most
    half its width away, and those that its points lie in. A point marks its pixel, four extreme points their
    box, an image's class nothing.

    Raises:
        ValueError: a size that is none, or not that of the mask.
    """
    size = checked_size(size)
    kind, points = label["kind"], np.array(label["points"], float).reshape(-1, 2)
    if kind in ("box", "extreme"):
        return _box_mask(box_of(label), size)
    if kind == "polygon":
        return _polygon_mask(points, size)
    if kind == "mask":
        if tuple(label["size"]) != size:
            raise ValueError(f"size must be that of the mask, {label['size']}, got {list(size)}")
        return decode_rle(label["counts"], size)
    mask = np.zeros(size, bool)
    if kind == "scribble":
        mask = _stroke_mask(points, label["width"] / 2, size)
    columns, rows = np.minimum(points.astype(int), np.array(size[::-1]) - 1).T
    mask[rows, columns] = True
    return mask


def label_map(labels: Sequence[dict], size: tuple[int, int], rest: int = BACKGROUND) -> np.ndarray:
    """All labels of a picture in one label map, uint8 ``(H, W)``; the one with the smaller box in front.

    Args:
        labels: checked labels.
        size: height and width.
        rest: what pixels without a label become: 0 (background) or 255 (ignore, right for clicks and
            scribbles, which say nothing about the rest).
    """
    if rest not in (BACKGROUND, IGNORE):
        raise ValueError(f"rest must be 0 (background) or 255 (ignore), got {rest!r}")
    masks = [(rasterise(label, size), label["class_index"]) for label in labels]
    masks = [(mask, c) for mask, c in masks if mask.any()]
    boxes, classes = [_tight(mask) for mask, _ in masks], np.array([c for _, c in masks], int)
    painted = paint_masks([mask for mask, _ in masks], boxes, classes, checked_size(size), BACKGROUND)
    return np.where(painted == BACKGROUND, np.uint8(rest), painted)


def encode_rle(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of a bool mask ``(H, W)`` down its columns, zeros first: COCO's uncompressed RLE.

    >>> encode_rle(np.array([[False, True], [True, True]]))
    [1, 3]
    """
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"mask must be bool (H, W), got {mask.dtype} {mask.shape}")
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def decode_rle(counts: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """The bool mask ``(H, W)`` of runs as `encode_rle` makes them.

    Raises:
        ValueError: the counts are no whole numbers of at least 0, or do not add up to the picture's pixels.
    """
    height, width = checked_size(size)
    counts = _checked_counts(counts, height * width)
    bits = np.arange(len(counts)) % 2 == 1
    return np.repeat(bits, counts).reshape((height, width), order="F")


def _box_mask(box: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[window(clip_boxes([box], size)[0])] = True
    return mask


def _polygon_mask(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Each edge turns the pixels right of it over, row by row; after all edges the inside is turned."""
    turned = np.zeros((size[0], size[1] + 1), bool)
    for p, q in zip(points, np.roll(points, -1, axis=0), strict=True):
        rows, x = _crossings(p, q, size[0])  # no row twice
        turned[rows, np.floor(x + 0.5).clip(0, size[1]).astype(int)] ^= True
    return np.logical_xor.accumulate(turned, axis=1)[:, :-1]


def _crossings(p: np.ndarray, q: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose middle line an edge crosses, and where: x ``(n,)``; the same from p to q as from q to p."""
    (xa, ya), (xb, yb) = sorted([p.tolist(), q.tolist()], key=lambda point: point[::-1])
    # the rows r with ya < r + 0.5 <= yb
    rows = np.arange(max(0, math.floor(ya + 0.5)), min(height, math.floor(yb + 0.5)))
    return rows, xa + (rows + 0.5 - ya) * ((xb - xa) / (yb - ya) if yb > ya else 0.0)


def _stroke_mask(points: np.ndarray, radius: float, size: tuple[int, int]) -> np.ndarray:
    """Pixels whose centres are at most `radius` from the line through the points."""
    covers = np.zeros((size[0], size[1] + 1), np.int16)  # a stroke has fewer pieces than that holds
    for p, q in pairwise(points) if len(points) > 1 else [(points[0], points[0])]:
        low, high = _spans(p, q, radius, size[0])
        first = np.ceil(low - 0.5).clip(0, size[1])
        last = np.floor(high + 0.5).clip(0, size[1])  # half open
        rows = np.flatnonzero(last > first)
        covers[rows, first[rows].astype(int)] += 1  # no row twice
        covers[rows, last[rows].astype(int)] -= 1
    return np.cumsum(covers, axis=1, dtype=np.int16)[:, :-1] > 0


def _spans(p: np.ndarray, q: np.ndarray, radius: float, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each row's middle line enters and leaves a piece of a stroke with round ends, x ``(H,)`` each."""
    low, high = np.full(height, np.inf), np.full(height, -np.inf)
    for x, y in (p, q):  # the round ends
        inside = radius**2 - (np.arange(height) + 0.5 - y) ** 2
        reach = np.where(inside >= 0, np.sqrt(np.maximum(inside, 0)), -np.inf)
        low, high = np.minimum(low, x - reach), np.maximum(high, x + reach)
    length = math.hypot(*(q - p))
    across = np.array([p[1] - q[1], q[0] - p[0]]) * (radius / length if length > 1e-9 else 0.0)
    corners = [p + across, q + across, q - across, p - across]
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):  # the rectangle between them
        rows, x = _crossings(a, b, height)
        low[rows], high[rows] = np.minimum(low[rows], x), np.maximum(high[rows], x)
    return low, high


def _tight(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The half-open box round the true pixels of a mask that has some."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


# ------------------------------------------------------------------ checks


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isprintable():
        raise ValueError(f"id must be a printable text of 1 to 64 characters, got {shortened(value)}")
    return value


def _whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number of {low}..{high}, got {shortened(value)}")
    return int(value)


def _coordinate(name: str, value: object, most: float, above: float = -1.0) -> float:
    """A finite number of 0..most (NaN is refused because it compares with nothing), more than `above`."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= value <= most or not value > above:
        wanted = f"0..{most}" if above < 0 else f"more than {above} and at most {most}"
        raise ValueError(f"{name} must be a number of {wanted}, got {shortened(value)}")
    return float(value)


def _points(kind: str, points: object, height: int, width: int) -> list[list[float]]:
    least, most = KINDS[kind]
    if not isinstance(points, list | tuple) or not least <= len(points) <= most:
        met = f"{len(points)} points" if isinstance(points, list | tuple) else shortened(points)
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise ValueError(f"points of a {kind} must be a list of {wanted} pairs, got {met}")
    clean = [_pair(point, height, width) for point in points]
    while kind == "polygon" and len(clean) > least and clean[0] == clean[-1]:
        clean.pop()
    if kind in ("box", "extreme"):
        (x0, y0), (x1, y1) = ([f(p[k] for p in clean) for k in (0, 1)] for f in (min, max))
        if not (x0 < x1 and y0 < y1) or (kind == "box" and clean[0] != [x0, y0]):
            raise ValueError(f"points of a {kind} must have x0 < x1 and y0 < y1, got {clean}")
    return clean


def _pair(point: object, height: int, width: int) -> list[float]:
    if not isinstance(point, list | tuple) or len(point) != 2:
        raise ValueError(f"a point must be a pair [x, y], got {shortened(point)}")
    return [_coordinate("x", point[0], width), _coordinate("y", point[1], height)]


def _runs(label: dict, size: tuple[int, int]) -> dict:
    """Size and counts of a mask."""
    if checked_size(label.get("size")) != size:
        raise ValueError(f"size of the mask must be that of the picture, {list(size)}, got {label['size']}")
    return {"size": list(size), "counts": _checked_counts(label.get("counts"), size[0] * size[1])}


def _checked_counts(counts: object, pixels: int) -> list[int]:
    if not isinstance(counts, list | tuple) or not 1 <= len(counts) <= pixels + 1:
        met = f"{len(counts)} of them" if isinstance(counts, list | tuple) else shortened(counts)
        raise ValueError(f"counts must be a list of 1 to {pixels + 1} lengths of runs, got {met}")
    clean = [_whole("a run's length", count, 0, pixels) for count in counts]
    if sum(clean) != pixels:
        raise ValueError(f"counts must add up to the picture's {pixels} pixels, got {sum(clean)}")
    return clean


def shortened(value: object) -> str:
    """What came, in a message of bounded length."""
    if isinstance(value, list | tuple | dict | set) and len(value) > 8:
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and abs(value) > 10**18:
        return "a huge whole number"
    text = repr(value[:60] if isinstance(value, str | bytes) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
