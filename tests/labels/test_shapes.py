"""Labels and their pixels: against slow references, OpenCV, PIL and Matplotlib; bad labels are refused."""

import doctest
import json
import math
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from PIL import Image, ImageDraw

from lecturekit.labels import boxes, shapes
from lecturekit.labels.shapes import (
    KINDS,
    box_of,
    checked,
    decode_rle,
    encode_rle,
    label_map,
    rasterise,
    union_rle,
)

SIZE = (30, 40)
ROWS, COLUMNS = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5  # centres of the pixels


def label(kind, points=(), **more):
    return {"id": "a", "kind": kind, "class_index": 1, "points": points, "milliseconds": 5} | more


def pixels(kind, points=(), **more):
    return rasterise(checked(label(kind, points, **more), SIZE, 3), SIZE)


def coordinates(limit):
    """Floats, whole numbers and halves (where pixel centres and borders lie) of 0..limit."""
    return st.one_of(
        st.floats(0, limit), st.integers(0, limit).map(float), st.integers(0, 2 * limit).map(lambda n: n / 2)
    )


points = st.tuples(coordinates(SIZE[1]), coordinates(SIZE[0])).map(list)
polygons = st.lists(points, min_size=3, max_size=9)
masks = st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 1)).map(
    lambda seeded: np.random.default_rng(seeded[0]).random(SIZE) < seeded[1]
)


def distance(p, q):
    """From each pixel's centre to the piece of line from p to q, (H, W)."""
    (x, y), (dx, dy) = p, (q[0] - p[0], q[1] - p[1])
    length = dx * dx + dy * dy
    along = ((COLUMNS - x) * dx + (ROWS - y) * dy) / length if length > 1e-200 else np.zeros(SIZE)
    along = along.clip(0, 1)
    return np.hypot(COLUMNS - x - along * dx, ROWS - y - along * dy)


def to_outline(vertices):
    """From each pixel's centre to the nearest edge of a polygon, (H, W)."""
    return np.min([distance(p, q) for p, q in zip(vertices, vertices[1:] + vertices[:1], strict=True)], 0)


# ------------------------------------------------------------------ boxes and polygons


@given(points, points)
def test_a_box_marks_what_the_course_fills_for_it_and_so_does_its_polygon(p, q):
    (x0, x1), (y0, y1) = sorted((p[0], q[0])), sorted((p[1], q[1]))
    if x0 == x1 or y0 == y1:
        return
    wanted = boxes.fill_boxes([(x0, y0, x1, y1)], [1], SIZE) == 1
    assert np.array_equal(pixels("box", [[x0, y0], [x1, y1]]), wanted)
    assert np.array_equal(pixels("polygon", [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), wanted)
    clicks = [[x0, y1], [x1, y0], [x1, y0], [x0, y1]]
    assert np.array_equal(pixels("extreme", clicks), wanted)
    assert box_of(checked(label("extreme", clicks), SIZE, 1)) == (x0, y0, x1, y1)


def test_a_box_of_whole_numbers_is_exact():
    mask = pixels("box", [[3, 5], [7, 6]])
    assert mask.sum() == 4
    assert mask[5, 3:7].all()


@settings(max_examples=60)
@given(polygons)
def test_a_polygon_holds_the_centres_inside_it_by_the_even_odd_rule(vertices):
    inside = np.zeros(SIZE, bool)
    for (xa, ya), (xb, yb) in zip(vertices, vertices[1:] + vertices[:1], strict=True):
        crosses = (ya < ROWS) != (yb < ROWS)
        where = np.divide((ROWS - ya) * (xb - xa), yb - ya, out=np.zeros(SIZE), where=crosses)
        inside ^= crosses & (xa + where < COLUMNS)
    sure = to_outline(vertices) > 1e-6
    assert np.array_equal(pixels("polygon", vertices)[sure], inside[sure])


def star(seed, corners=9):
    """A polygon that does not cross itself."""
    rng = np.random.default_rng(seed)
    angles, radii = np.sort(rng.random(corners)) * 2 * np.pi, rng.uniform(3, 14, corners)
    return np.stack([20 + radii * np.cos(angles), 15 + radii * np.sin(angles)], 1).tolist()


@pytest.mark.parametrize("seed", range(12))
def test_polygons_agree_with_opencv_pil_and_matplotlib(seed):
    vertices = star(seed)
    mine, edge = pixels("polygon", vertices), to_outline(vertices)
    centres = np.stack([COLUMNS, ROWS], -1).reshape(-1, 2)
    assert np.array_equal(mine, Outline(vertices).contains_points(centres).reshape(SIZE))

    shifted = np.rint((np.array(vertices) - 0.5) * 256).astype(np.int32)  # their pixel centres are whole
    theirs = cv2.fillPoly(np.zeros(SIZE, np.uint8), [shifted], 1, shift=8) == 1
    assert not (mine & ~theirs).any()  # OpenCV paints the pixels under the outline too
    assert (edge[mine != theirs] < 1.0).all()

    drawing = Image.new("1", SIZE[::-1])
    ImageDraw.Draw(drawing).polygon([(x - 0.5, y - 0.5) for x, y in vertices], fill=1)
    assert (edge[mine != np.array(drawing)] < 1.5).all()


@pytest.mark.parametrize("seed", range(8))
def test_the_pieces_of_a_cut_polygon_share_no_pixel_and_lose_none(seed):
    vertices = star(seed)
    centre = [20.0, 15.0]
    pieces = [
        pixels("polygon", [centre, p, q])
        for p, q in zip(vertices, vertices[1:] + vertices[:1], strict=True)
        if (p[0] - 20) * (q[1] - 15) > (p[1] - 15) * (q[0] - 20)  # a gap of over half a turn is left out
    ]
    assert (np.sum(pieces, 0) <= 1).all()
    if len(pieces) == len(vertices):
        assert np.array_equal(np.any(pieces, 0), pixels("polygon", vertices))


def test_area_of_a_large_polygon():
    angles = np.arange(500) / 500 * 2 * np.pi
    circle = np.stack([200 + 150 * np.cos(angles), 200 + 150 * np.sin(angles)], 1).tolist()
    mask = rasterise(checked(label("polygon", circle), (400, 400), 1), (400, 400))
    assert mask.sum() == pytest.approx(math.pi * 150**2, rel=1e-3)


# ------------------------------------------------------------------ strokes, points, masks


@settings(max_examples=60)
@given(st.lists(points, min_size=1, max_size=6), st.floats(0.1, 15))
def test_a_scribble_has_round_ends_and_its_width(way, width):
    ends = [way[0]] if len(way) == 1 else way[:-1]
    away = np.min([distance(p, q) for p, q in zip(ends, way[1:] or way, strict=True)], 0)
    mine = pixels("scribble", way, width=width)
    sure = abs(away - width / 2) > 1e-6
    under = np.zeros(SIZE, bool)
    for x, y in way:
        under[min(int(y), SIZE[0] - 1), min(int(x), SIZE[1] - 1)] = True
    assert np.array_equal(mine[sure], ((away < width / 2) | under)[sure])


@given(points)
def test_a_point_marks_the_pixel_it_lies_in(point):
    mask = pixels("point", [point])
    ((row, column),) = np.argwhere(mask)
    assert column <= point[0] <= column + 1
    assert row <= point[1] <= row + 1


def test_a_class_of_an_image_has_no_place():
    assert not pixels("image_class").any()
    with pytest.raises(ValueError, match="no box"):
        box_of(checked(label("image_class"), SIZE, 1))


def by_hand(mask):
    """Runs, one pixel after the other."""
    runs, last = [0], False
    for pixel in (bool(mask[r, c]) for c in range(mask.shape[1]) for r in range(mask.shape[0])):
        if pixel != last:
            runs.append(0)
        runs[-1] += 1
        last = pixel
    return runs


@given(masks)
def test_runs_are_cocos_and_give_the_mask_back(mask):
    counts = encode_rle(mask)
    assert counts == by_hand(mask)
    assert np.array_equal(decode_rle(counts, list(SIZE)), mask)
    given = label("mask", size=list(SIZE), counts=counts)
    assert np.array_equal(rasterise(checked(given, SIZE, 1), SIZE), mask)
    if mask.any():
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        assert box_of(given) == (x, y, x + width, y + height)


def test_the_boxes_of_the_other_kinds():
    assert box_of(label("polygon", [[1, 2], [5, 2.5], [3, 9]])) == (1, 2, 5, 9)
    assert box_of(label("point", [[1.5, 2]])) == (1.5, 2, 1.5, 2)
    assert box_of(label("scribble", [[4, 4], [6, 5]], width=3)) == (2.5, 2.5, 7.5, 6.5)


# ------------------------------------------------------------------ label maps


def test_the_smaller_label_is_in_front_whatever_the_order():
    large, small = label("box", [[0, 0], [20, 20]]), label("box", [[5, 5], [9, 9]], class_index=2)
    one, other = label_map([large, small], SIZE), label_map([small, large], SIZE)
    assert np.array_equal(one, other)
    assert one[6, 6] == 2
    assert one[1, 1] == 1
    assert one[25, 30] == 0
    assert one.dtype == np.uint8


def test_a_larger_label_shows_through_the_holes_of_a_smaller_one():
    triangle = label("polygon", [[5, 5], [15, 5], [5, 15]], class_index=2)
    painted = label_map([label("box", [[0, 0], [20, 20]]), triangle], SIZE)
    assert painted[14, 14] == 1
    assert painted[6, 6] == 2


def test_label_maps_of_clicks_say_nothing_about_the_rest():
    painted = label_map([label("point", [[3, 4]]), label("image_class")], SIZE, outside_label=255)
    assert painted[4, 3] == 1
    assert (painted == 255).sum() == painted.size - 1
    assert (label_map([], SIZE) == 0).all()
    with pytest.raises(ValueError, match="outside_label must be 0"):
        label_map([], SIZE, outside_label=3)


# ------------------------------------------------------------------ what is refused


@st.composite
def labels(draw):
    """Any label that is in order."""
    kind = draw(st.sampled_from(list(KINDS)))
    least, most = KINDS[kind]
    given = draw(st.lists(points, min_size=least, max_size=min(most, 12)))
    if kind in ("box", "extreme"):
        low, high = np.min(given, 0), np.max(given, 0)
        low, high = np.minimum(low, [SIZE[1] - 1, SIZE[0] - 1]), np.maximum(high, low + 0.5)
        given = [low.tolist(), high.tolist()] * (1 if kind == "box" else 2)
    more = {"width": draw(st.floats(0.1, 20))} if kind == "scribble" else {}
    if kind == "mask":
        more = {"size": list(SIZE), "counts": encode_rle(draw(masks))}
    identity = draw(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=20))
    milliseconds, index = draw(st.integers(0, 2**53 - 1)), draw(st.integers(1, 7))
    return label(kind, given, id=identity, milliseconds=milliseconds, class_index=index) | more


@settings(max_examples=60)
@given(labels())
def test_checking_changes_nothing_that_is_in_order_and_survives_json(given):
    once = checked(given, SIZE, 7)
    assert checked(json.loads(json.dumps(once)), SIZE, 7) == once
    assert {k: v for k, v in once.items() if k != "points"} == {
        k: v for k, v in given.items() if k != "points"
    }
    assert rasterise(once, SIZE).shape == SIZE


def test_unknown_keys_and_a_repeated_vertex_are_dropped():
    clean = checked(label("polygon", [[1, 1], [5, 1], [5, 5], [1, 1]], secret="x" * 99), SIZE, 1)
    assert clean["points"] == [[1, 1], [5, 1], [5, 5]]
    assert set(clean) == {"id", "kind", "class_index", "points", "milliseconds"}


NAN, INFINITE = float("nan"), float("inf")
BAD = {
    "no dict": (["box"], "label must be a dict"),
    "no kind": ({"id": "a"}, "kind must be one of"),
    "unknown kind": (label("circle"), "kind must be one of"),
    "kind a list": (label(["box"]), "kind must be one of"),
    "no id": (label("point", [[1, 1]], id=None), "id must be"),
    "long id": (label("point", [[1, 1]], id="a" * 65), "id must be"),
    "line break in id": (label("point", [[1, 1]], id="a\nb"), "id must be"),
    "class 0": (label("point", [[1, 1]], class_index=0), r"class_index must be a whole number in 1\.\.3"),
    "class too large": (label("point", [[1, 1]], class_index=4), "class_index"),
    "class true": (label("point", [[1, 1]], class_index=True), "class_index"),
    "class 1.0": (label("point", [[1, 1]], class_index=1.0), "class_index"),
    "negative time": (label("point", [[1, 1]], milliseconds=-1), "milliseconds"),
    "time NaN": (label("point", [[1, 1]], milliseconds=NAN), "milliseconds"),
    "endless time": (label("point", [[1, 1]], milliseconds=10**400), "milliseconds.*huge"),
    "no time": ({"id": "a", "kind": "point", "class_index": 1, "points": [[1, 1]]}, "milliseconds"),
    "no points": (label("box", None), "points of a box must be a list of 2 pairs, got None"),
    "three corners": (label("box", [[1, 1]] * 3), "got 3 points"),
    "two vertices": (label("polygon", [[1, 1], [2, 2]]), "3 to 10000 pairs"),
    "a million vertices": (label("polygon", [[1, 1]] * 10**6), "got 1000000 points"),
    "points for a class": (label("image_class", [[1, 1]]), "must be a list of 0 pairs"),
    "a triple": (label("point", [[1, 1, 1]]), r"a pair \[x, y\]"),
    "a text": (label("point", ["11"]), r"a pair \[x, y\]"),
    "NaN": (label("point", [[NAN, 1]]), r"x must be a number of 0\.\.40, got nan"),
    "infinite": (label("point", [[1, INFINITE]]), "y must be a number"),
    "right of the picture": (label("point", [[40.01, 1]]), "x must be a number"),
    "below the picture": (label("point", [[1, 31]]), r"y must be a number of 0\.\.30"),
    "negative": (label("point", [[-0.1, 1]]), "x must be a number"),
    "huge": (label("point", [[10**400, 1]]), "x must be a number.*huge"),
    "true": (label("point", [[True, 1]]), "x must be a number"),
    "flat box": (label("box", [[1, 1], [9, 1]]), "x0 < x1 and y0 < y1"),
    "box upside down": (label("box", [[1, 9], [9, 1]]), "x0 < x1 and y0 < y1"),
    "extremes on a line": (label("extreme", [[1, 1], [1, 2], [1, 3], [1, 4]]), "x0 < x1"),
    "no width": (label("scribble", [[1, 1]]), "width must be a number of more than 0"),
    "width 0": (label("scribble", [[1, 1]], width=0), "width must be"),
    "width NaN": (label("scribble", [[1, 1]], width=NAN), "width must be"),
    "wide": (label("scribble", [[1, 1]], width=1e9), "width must be"),
    "mask without size": (label("mask", counts=[1200]), r"size must be \(height, width\)"),
    "mask of another size": (label("mask", size=[40, 30], counts=[1200]), "size of the mask"),
    "huge mask": (label("mask", size=[10**6, 10**6], counts=[10**12]), "at most"),
    "mask without counts": (label("mask", size=[30, 40]), "counts must be a list"),
    "counts too short": (label("mask", size=[30, 40], counts=[1199]), "add up to the picture's 1200"),
    "counts too long": (label("mask", size=[30, 40], counts=[1200, 1200]), "add up"),
    "negative count": (label("mask", size=[30, 40], counts=[1201, -1]), "a run's length"),
    "endless count": (label("mask", size=[30, 40], counts=[10**30]), "a run's length.*huge"),
    "too many counts": (label("mask", size=[30, 40], counts=[0] * 1300), "1 to 1201 lengths"),
    "counts a text": (label("mask", size=[30, 40], counts="abc"), "counts must be a list"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_labels_are_refused_with_what_came_and_what_was_wanted(name):
    given, message = BAD[name]
    with pytest.raises(ValueError, match=message) as caught:
        checked(given, SIZE, 3)
    assert len(str(caught.value)) < 300


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(10**400)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner)),
    max_leaves=10,
)


@given(labels(), st.sampled_from(["id", "kind", "class_index", "points", "milliseconds", "width"]), anything)
def test_whatever_comes_is_checked_or_refused(given, key, value):
    try:
        clean = checked(given | {key: value}, SIZE, 7)
    except ValueError:
        return
    rasterise(clean, SIZE)


@pytest.mark.parametrize("size", [None, (30,), (0, 40), (30, -1), (30.0, 40), (True, 40), (10**5, 10**5)])
def test_sizes_that_are_none_are_refused(size):
    for refuse in (
        lambda: checked(label("image_class"), size, 1),
        lambda: rasterise(label("image_class"), size),
        lambda: decode_rle([0], size),
    ):
        with pytest.raises(ValueError, match="must be"):
            refuse()


def test_a_mask_of_another_size_is_not_drawn():
    with pytest.raises(ValueError, match="that of the mask"):
        rasterise(label("mask", size=[2, 2], counts=[4]), SIZE)
    with pytest.raises(ValueError, match="mask must be bool"):
        encode_rle(np.zeros((3, 3)))


def test_examples():
    assert doctest.testmod(shapes, extraglobs={"np": np}).failed == 0


# ------------------------------------------------------------------ only the box of a label is looked at


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.floats(0, 1), st.integers(1, 7), st.integers(1, 7))
def test_runs_are_those_of_a_walk_down_the_columns(seed, share, height, width):
    mask = np.random.default_rng(seed).random((height, width)) < share
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = not value
        runs[-1] += 1
    assert encode_rle(mask) == runs
    assert np.array_equal(decode_rle(runs, mask.shape), mask)
    found = {"kind": "mask", "size": list(mask.shape), "counts": runs, "points": []}
    if mask.any():
        rows, columns = np.nonzero(mask)
        wanted = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert box_of(found) == wanted


def test_pieces_and_holes_of_runs_that_stand_for_nothing():
    """Runs of no pixels are allowed in a file and mark nothing."""
    found = {"kind": "mask", "size": [3, 4], "counts": [1, 0, 3, 2, 0, 1, 5, 0], "points": []}
    assert np.array_equal(np.argwhere(rasterise(found, (3, 4)).T).tolist(), [[1, 1], [1, 2], [2, 0]])
    assert box_of(found) == (1, 0, 3, 3)


def test_several_outlines_are_one_mask():
    outlines = [[[0, 0], [4, 0], [4, 4], [0, 4]], [[2, 2], [6, 2], [6, 6], [2, 6]], [[9, 9], [9, 9], [9, 9]]]
    wanted = np.zeros((12, 16), bool)
    wanted[:4, :4] = wanted[2:6, 2:6] = True
    assert union_rle(outlines, (12, 16)) == encode_rle(wanted)
    assert union_rle(outlines[2:], (12, 16)) == [192]


def test_a_small_label_in_a_large_picture_touches_few_pixels():
    """A thousand outlines in a picture of 40 megapixels, none of which is worked out over the whole of it."""
    size, tracked = (5000, 8000), []
    tracemalloc.start()
    for k in range(1000):
        outline = [[k, k], [k + 30.5, k], [k + 30, k + 40]]
        tracked.append(union_rle([outline, outline], size))
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    assert all(sum(runs) == 4 * 10**7 for runs in tracked)


def test_what_may_stand_in_any_label():
    clean = checked(label("point", [[1, 1]]) | {"group": 7, "crowd": True, "colour": "red"}, SIZE, 3)
    assert (clean["group"], clean["crowd"], "colour" in clean) == (7, True, False)
    assert "group" not in checked(label("point", [[1, 1]]) | {"group": None, "crowd": 1}, SIZE, 3)
    with pytest.raises(ValueError, match="group must be a whole number"):
        checked(label("point", [[1, 1]]) | {"group": "a"}, SIZE, 3)
