"""Finished labels, as the annotator hands them over, and the pixels that they mark.

A label is a plain dict that JSON can hold::

    {"id": "3f2a", "kind": "polygon", "class_index": 2, "points": [[1.5, 2.0], ...], "milliseconds": 8120}

Coordinates are floats in pixels of the picture: pixel (0, 0) covers [0, 1) x [0, 1), so 0 <= x <= W and
0 <= y <= H. What ``points`` hold depends on the kind (`KINDS`). A scribble has a ``width`` in pixels as well.
A mask has ``size`` [H, W] and ``counts``: lengths of runs of zeros and ones in turn, zeros first, down the
columns, as in uncompressed COCO RLE. Two keys may stand in any label: ``group``, a whole number that the
parts of one object share, and ``crowd``, True where a label marks a group of objects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kit.checks import shortened, whole
from .boxes import clip_boxes, paint_order, window
from .label_map import BACKGROUND, IGNORE

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
MAX_WHOLE = 2**53 - 1


def checked(label: object, size: Sequence[int], classes: int) -> dict[str, Any]:
    """A clean copy of a label that may come from anywhere, with the keys of its kind only.

    Args:
        label: see the head of this module. A polygon's repeated first vertex is dropped.
        size: height and width of the picture.
        classes: how many classes there are, background aside: ``class_index`` lies in 1..classes.

    Raises:
        ValueError: whatever is missing, of a wrong type, not finite, outside the picture or over a limit,
            with what came and what was wanted.

    Example:
        >>> label = {"id": "a", "kind": "point", "class_index": 1, "points": [[3, 1]], "milliseconds": 900}
        >>> checked(label, (4, 6), classes=2)["points"]
        [[3.0, 1.0]]
        >>> checked(label | {"points": [[7, 1]]}, (4, 6), classes=2)
        Traceback (most recent call last):
        ...
        ValueError: x must be a number of 0..6, got 7
    """
    height, width = checked_size(size)
    whole("classes", classes, 1, IGNORE - 1)
    if not isinstance(label, dict):
        raise ValueError(f"label must be a dict, got {shortened(label)}")
    kind = label.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {shortened(kind)}")
    clean: dict[str, Any] = {
        "id": _name(label.get("id")),
        "kind": kind,
        "class_index": whole("class_index", label.get("class_index"), 1, classes),
        "points": _points(kind, label.get("points", []), height, width),
        "milliseconds": whole("milliseconds", label.get("milliseconds"), 0, MAX_WHOLE),
    }
    if kind == "scribble":
        clean["width"] = _coordinate("width", label.get("width"), 2 * max(height, width), above=0)
    if kind == "mask":
        clean |= _runs(label, (height, width))
    if label.get("group") is not None:
        clean["group"] = whole("group", label["group"], 0, MAX_WHOLE)
    if label.get("crowd") is True:
        clean["crowd"] = True
    return clean


def checked_size(size: object) -> tuple[int, int]:
    """Height and width, each at least 1 and together at most `MAX_PIXELS` pixels.

    Args:
        size: two whole numbers.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ValueError(f"size must be (height, width), got {shortened(size)}")
    height, width = (whole("height or width", side, 1, MAX_PIXELS) for side in size)
    if height * width > MAX_PIXELS:
        raise ValueError(f"size must be at most {MAX_PIXELS} pixels, got {height} x {width}")
    return height, width


def box_of(label: dict[str, Any]) -> tuple[float, float, float, float]:
    """The box x0, y0, x1, y1 round what a checked label marks, half open.

    Args:
        label: as `checked` gives it. A point has a box without width and height; the pen of a scribble may
            reach beyond the picture.

    Raises:
        ValueError: the label has no place: an image's class, a mask of no pixel.

    Example:
        >>> box_of({"kind": "polygon", "points": [[1.5, 2.0], [4.0, 2.5], [3.0, 7.0]]})
        (1.5, 2.0, 4.0, 7.0)
    """
    if label["kind"] == "mask" and any(label["counts"][1::2]):
        return _box_of_runs(label["counts"], label["size"][0])
    if label["points"]:
        points, pen = np.array(label["points"]), label.get("width", 0.0) / 2
        (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
        return x0 - pen, y0 - pen, x1 + pen, y1 + pen
    raise ValueError(f"a label of kind {label['kind']!r} that marks no pixel has no box")


def _box_of_runs(counts: Sequence[int], height: int) -> tuple[float, float, float, float]:
    """The box round the ones of runs down columns of `height` pixels."""
    ends = np.cumsum(counts)[1::2]
    starts = ends - counts[1::2]
    starts, last = starts[ends > starts], ends[ends > starts] - 1
    if (starts // height < last // height).any():  # a run that goes over into the next column
        top, bottom = 0, height - 1
    else:
        top, bottom = (starts % height).min(), (last % height).max()
    return float(starts[0] // height), float(top), float(last[-1] // height + 1), float(bottom + 1)


# ------------------------------------------------------------------ pixels


def rasterise(label: dict[str, Any], size: Sequence[int]) -> NDArray[np.bool_]:
    """The pixels that a checked label marks, bool ``(H, W)``.

    A pixel belongs to a box or polygon if its centre lies inside (even-odd rule where outlines cross
    themselves). A centre right on an edge counts on the right and lower edges, not on the left and upper
    ones: shapes that share an edge share no pixel. A scribble marks the pixels whose centres are at most
    half its width away, and those that its points lie in. A point marks its pixel, four extreme points their
    box, an image's class nothing.

    Args:
        label: as `checked` gives it.
        size: height and width of the picture.

    Raises:
        ValueError: a size that is none, or not that of the mask.

    Example:
        >>> corners = [[1, 0], [3, 0], [3, 2], [1, 2]]
        >>> rasterise({"kind": "polygon", "points": corners}, (3, 4)).astype(int)
        array([[0, 1, 1, 0],
               [0, 1, 1, 0],
               [0, 0, 0, 0]])
    """
    size = checked_size(size)
    box, mask = _patch(label, size)
    if mask.shape == size:
        return mask
    pixels = np.zeros(size, bool)
    pixels[window(box)] = mask
    return pixels


def label_map(
    labels: Sequence[dict[str, Any]], size: Sequence[int], outside_label: int = BACKGROUND
) -> NDArray[np.uint8]:
    """All labels of a picture in one label map, uint8 ``(H, W)``; the one with the smaller box in front.

    Args:
        labels: checked labels.
        size: height and width.
        outside_label: what pixels without a label become: 0 (background) or 255 (ignore, right for clicks
            and scribbles, which say nothing about the other pixels).

    Raises:
        ValueError: a size that is none or not that of a mask, or another `outside_label`.

    Example:
        >>> box = {"kind": "box", "class_index": 2, "points": [[0, 0], [2, 1]]}
        >>> label_map([box], (2, 3), outside_label=255)
        array([[  2,   2, 255],
               [255, 255, 255]], dtype=uint8)
    """
    if outside_label not in (BACKGROUND, IGNORE):
        raise ValueError(f"outside_label must be 0 (background) or 255 (ignore), got {outside_label!r}")
    size = checked_size(size)
    patches = [(*_patch(label, size), label["class_index"]) for label in labels]
    patches = [(_tightened(box, mask), index) for box, mask, index in patches if mask.any()]
    boxes = np.array([box for (box, _), _ in patches], int).reshape(-1, 4)
    painted = np.full(size, outside_label, np.uint8)
    for k in paint_order(boxes, np.array([index for _, index in patches])):
        (box, mask), index = patches[k]
        painted[window(box)][mask] = index
    return painted


def union_rle(outlines: Sequence[Sequence], size: Sequence[int]) -> list[int]:
    """Runs, as `encode_rle` makes them, of the pixels that any of several outlines encloses.

    Args:
        outlines: each the points of a polygon, inside the picture.
        size: height and width of the picture.
    """
    size = checked_size(size)
    spans = []
    for outline in outlines:
        ring = np.array(outline, float)
        box = _pixels_round(ring, size)
        spans.append(_spans_down(box, _polygon_mask(ring, box), size[0]))
    return _runs_of(np.concatenate(spans), size)


def encode_rle(mask: ArrayLike) -> list[int]:
    """Lengths of the runs of a mask down its columns, zeros first: COCO's uncompressed RLE.

    Args:
        mask: bool ``(H, W)``.

    Raises:
        ValueError: anything else.

    Example:
        >>> encode_rle(np.array([[False, True], [True, True]]))
        [1, 3]
    """
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"mask must be bool (H, W), got {mask.dtype} {mask.shape}")
    height, width = mask.shape
    return _runs_of(_spans_down((0, 0, width, height), mask, height), (height, width))


def decode_rle(counts: Sequence[int], size: Sequence[int]) -> NDArray[np.bool_]:
    """The bool mask ``(H, W)`` of runs as `encode_rle` makes them.

    Args:
        counts: lengths of the runs, zeros first.
        size: height and width.

    Raises:
        ValueError: the counts are no whole numbers of at least 0, or do not add up to the picture's pixels.

    Example:
        >>> decode_rle([1, 3], (2, 2)).astype(int)
        array([[0, 1],
               [1, 1]])
    """
    height, width = checked_size(size)
    counts = _checked_counts(counts, height * width)
    bits = np.arange(len(counts)) % 2 == 1
    return np.repeat(bits, counts).reshape((height, width), order="F")


# A patch is a box of whole pixels and a mask of the pixels inside it: where a label is small, nothing is done
# for the rest of the picture.
_Box = tuple[int, int, int, int]


def _patch(label: dict[str, Any], size: tuple[int, int]) -> tuple[_Box, NDArray[np.bool_]]:
    """The pixels that a checked label marks."""
    kind, points = label["kind"], np.array(label["points"], float).reshape(-1, 2)
    if kind in ("box", "extreme"):
        x0, y0, x1, y1 = clip_boxes([box_of(label)], size)[0].tolist()
        return (x0, y0, x1, y1), np.ones((y1 - y0, x1 - x0), bool)
    if kind == "mask":
        if tuple(label["size"]) != size:
            raise ValueError(f"size must be that of the mask, {label['size']}, got {list(size)}")
        return (0, 0, size[1], size[0]), decode_rle(label["counts"], size)
    if kind == "image_class":
        return (0, 0, 0, 0), np.zeros((0, 0), bool)
    box = _pixels_round(points, size, label.get("width", 0.0) / 2)
    if kind == "polygon":
        return box, _polygon_mask(points, box)
    mask = np.zeros((box[3] - box[1], box[2] - box[0]), bool)
    if kind == "scribble":
        mask = _stroke_mask(points, label["width"] / 2, box)
    columns, rows = np.minimum(points.astype(int), np.array(size[::-1]) - 1).T
    mask[rows - box[1], columns - box[0]] = True
    return box, mask


def _pixels_round(points: NDArray[np.float64], size: tuple[int, int], margin: float = 0.0) -> _Box:
    """The box of the pixels that points lie in, at least one, with a margin and clipped to the picture."""
    height, width = size
    (left, top), (right, bottom) = points.min(0) - margin, points.max(0) + margin
    x0 = min(max(math.floor(left), 0), width - 1)
    y0 = min(max(math.floor(top), 0), height - 1)
    return x0, y0, min(math.floor(right) + 1, width), min(math.floor(bottom) + 1, height)


def _tightened(box: _Box, mask: NDArray[np.bool_]) -> tuple[_Box, NDArray[np.bool_]]:
    """A patch without empty rows and columns round the marked pixels, of which there are some."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return (box[0] + x0, box[1] + y0, box[0] + x1, box[1] + y1), mask[y0:y1, x0:x1]


def _spans_down(box: _Box, mask: NDArray[np.bool_], height: int) -> NDArray[np.int64]:
    """Where the marked stretches of a patch's columns begin and end, ``(n, 2)``, counted as runs are."""
    padded = np.zeros((mask.shape[1], mask.shape[0] + 2), bool)
    padded[:, 1:-1] = mask.T
    turns = np.flatnonzero(padded[:, 1:] != padded[:, :-1])  # in each column in turn a begin and an end
    columns, rows = np.divmod(turns, mask.shape[0] + 1)
    return ((columns + box[0]) * height + rows + box[1]).reshape(-1, 2)


def _runs_of(spans: NDArray[np.int64], size: tuple[int, int]) -> list[int]:
    """Runs of a picture in which just these stretches are marked; they may overlap."""
    spans = spans[np.argsort(spans[:, 0])]
    first, last = spans[:, 0], np.maximum.accumulate(spans[:, 1])
    apart = first[1:] > last[:-1]  # else they touch, as at the foot of one column and the head of the next
    first = first[np.concatenate([[True], apart])[: len(first)]]
    last = last[np.concatenate([apart, [True]])[: len(last)]]
    borders = np.stack([first, last], 1).ravel()
    runs = np.diff(np.concatenate([[0], borders, [size[0] * size[1]]])).tolist()
    return runs[:-1] if len(runs) > 1 and runs[-1] == 0 else runs


#: Crossings of outlines with rows that are worked out at a time.
_AT_ONCE = 10**6


def _polygon_mask(points: NDArray[np.float64], box: _Box) -> NDArray[np.bool_]:
    """Each edge turns the pixels right of it over, row by row; after all edges the inside is turned."""
    x0, y0, x1, y1 = box
    turned = np.zeros((y1 - y0, x1 - x0 + 1), bool)
    ends = np.roll(points, -1, axis=0)
    # Each edge from its upper end, so that two outlines that share one cross each row at the same place.
    down = (points[:, 1] < ends[:, 1]) | ((points[:, 1] == ends[:, 1]) & (points[:, 0] <= ends[:, 0]))
    upper, lower = np.where(down[:, None], points, ends), np.where(down[:, None], ends, points)
    # The rows r with upper y < r + 0.5 <= lower y, from `first` until before `last`.
    first, last = (np.floor(end[:, 1] + 0.5).astype(int).clip(y0, y1) for end in (upper, lower))
    counts = last - first
    until = np.cumsum(counts)
    for start in range(0, int(until[-1]), _AT_ONCE):
        crossing = np.arange(start, min(start + _AT_ONCE, int(until[-1])))
        edge = np.searchsorted(until, crossing, side="right")
        rows = first[edge] + crossing - (until - counts)[edge]
        step = (lower - upper)[edge]  # (n, 2)
        x = upper[edge, 0] + (rows + 0.5 - upper[edge, 1]) * (step[:, 0] / step[:, 1])
        columns = np.floor(x + 0.5).astype(int).clip(x0, x1)
        places, times = np.unique((rows - y0) * (x1 - x0 + 1) + columns - x0, return_counts=True)
        turned.ravel()[places[times % 2 == 1]] ^= True
    return np.logical_xor.accumulate(turned, axis=1)[:, :-1]


def _crossings(p: NDArray, q: NDArray, low: int, high: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of low..high - 1 whose middle line an edge crosses, and the x where it does, ``(n,)`` each."""
    (xa, ya), (xb, yb) = sorted([p.tolist(), q.tolist()], key=lambda point: point[::-1])
    # the rows r with ya < r + 0.5 <= yb
    rows = np.arange(max(low, math.floor(ya + 0.5)), min(high, math.floor(yb + 0.5)))
    return rows, xa + (rows + 0.5 - ya) * ((xb - xa) / (yb - ya) if yb > ya else 0.0)


def _stroke_mask(points: NDArray[np.float64], radius: float, box: _Box) -> NDArray[np.bool_]:
    """Pixels whose centres are at most `radius` from the line through the points."""
    x0, y0, x1, y1 = box
    covers = np.zeros((y1 - y0, x1 - x0 + 1), np.int16)  # a stroke has fewer pieces than that holds
    for p, q in pairwise(points) if len(points) > 1 else [(points[0], points[0])]:
        top = max(y0, math.floor(min(p[1], q[1]) - radius))
        bottom = min(y1, math.ceil(max(p[1], q[1]) + radius) + 1)
        low, high = _spans(p, q, radius, top, bottom)
        first = np.ceil(low - 0.5).clip(x0, x1)
        last = np.floor(high + 0.5).clip(x0, x1)  # half open
        rows = np.flatnonzero(last > first)
        covers[rows + top - y0, first[rows].astype(int) - x0] += 1  # no row twice
        covers[rows + top - y0, last[rows].astype(int) - x0] -= 1
    return np.cumsum(covers, axis=1, dtype=np.int16)[:, :-1] > 0


def _spans(
    p: NDArray, q: NDArray, radius: float, top: int, bottom: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the middle lines of rows top..bottom - 1 enter and leave a piece of a stroke with round ends."""
    count = max(0, bottom - top)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    for x, y in (p, q):  # the round ends
        inside = radius**2 - (np.arange(top, top + count) + 0.5 - y) ** 2
        reach = np.where(inside >= 0, np.sqrt(np.maximum(inside, 0)), -np.inf)
        low, high = np.minimum(low, x - reach), np.maximum(high, x + reach)
    length = math.hypot(*(q - p))
    across = np.array([p[1] - q[1], q[0] - p[0]]) * (radius / length if length > 1e-9 else 0.0)
    corners = [p + across, q + across, q - across, p - across]
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):  # the rectangle between them
        rows, x = _crossings(a, b, top, bottom)
        low[rows - top], high[rows - top] = np.minimum(low[rows - top], x), np.maximum(high[rows - top], x)
    return low, high


# ------------------------------------------------------------------ checks


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isprintable():
        raise ValueError(f"id must be a printable text of 1 to 64 characters, got {shortened(value)}")
    return value


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
    x, y = point
    if type(x) is type(y) is float and 0 <= x <= width and 0 <= y <= height:  # nearly always, and soon seen
        return [x, y]
    return [_coordinate("x", x, width), _coordinate("y", y, height)]


def _runs(label: dict, size: tuple[int, int]) -> dict:
    """Size and counts of a mask."""
    if checked_size(label.get("size")) != size:
        raise ValueError(f"size of the mask must be that of the picture, {list(size)}, got {label['size']}")
    return {"size": list(size), "counts": _checked_counts(label.get("counts"), size[0] * size[1])}


def _checked_counts(counts: object, pixels: int) -> list[int]:
    if not isinstance(counts, list | tuple) or not 1 <= len(counts) <= pixels + 1:
        met = f"{len(counts)} of them" if isinstance(counts, list | tuple) else shortened(counts)
        raise ValueError(f"counts must be a list of 1 to {pixels + 1} lengths of runs, got {met}")
    if all(type(count) is int and 0 <= count <= pixels for count in counts):  # nearly always, and soon seen
        clean = list(counts)
    else:
        clean = [whole("a run's length", count, 0, pixels) for count in counts]
    if sum(clean) != pixels:
        raise ValueError(f"counts must add up to the picture's {pixels} pixels, got {sum(clean)}")
    return clean
