"""Boxes -> label maps: closed forms, a brute-force painter, and the definitions of label quality."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lecturekit.labels.boxes import (
    checked_boxes,
    clip_boxes,
    fill_boxes,
    inner_boxes,
    intersect_labels,
    paint_masks,
    paint_order,
    tighten,
)
from lecturekit.metrics import label_quality

SIZE = (12, 17)
corners = st.tuples(*[st.integers(-6, 22)] * 4)
boxes = st.lists(corners, max_size=6).map(
    lambda found: [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in found]
)
label_maps = st.lists(st.sampled_from([0, 1, 2, 255]), min_size=12, max_size=12).map(
    lambda values: np.array(values, np.uint8).reshape(3, 4)
)


def with_classes(found):
    return found, [1 + k % 3 for k in range(len(found))]


def brute_force(found, classes):
    """Pixel by pixel: of the boxes that hold it, the least area in the picture, then the least class."""
    labels = np.zeros(SIZE, np.uint8)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            holding = []
            for (x0, y0, x1, y1), c in zip(found, classes, strict=True):
                if x0 <= x < x1 and y0 <= y < y1:
                    wide = min(x1, SIZE[1]) - max(x0, 0)
                    holding.append((wide * (min(y1, SIZE[0]) - max(y0, 0)), c))
            if holding:
                labels[y, x] = min(holding)[1]
    return labels


@given(boxes)
@settings(deadline=None)
def test_filled_boxes_are_the_brute_force_ones(found):
    found, classes = with_classes(found)
    np.testing.assert_array_equal(fill_boxes(found, classes, SIZE), brute_force(found, classes))


@given(boxes, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_list_does_not_matter(found, random):
    pairs = list(zip(*with_classes(found), strict=True))
    shuffled = random.sample(pairs, len(pairs))
    for make in (fill_boxes, inner_boxes):
        one = make([b for b, _ in pairs], [c for _, c in pairs], SIZE)
        other = make([b for b, _ in shuffled], [c for _, c in shuffled], SIZE)
        np.testing.assert_array_equal(one, other)


@given(boxes)
@settings(deadline=None)
def test_the_whole_of_every_box_is_the_filled_box(found):
    found, classes = with_classes(found)
    for of in ("area", "side"):
        np.testing.assert_array_equal(
            inner_boxes(found, classes, SIZE, share=1, of=of), fill_boxes(found, classes, SIZE)
        )


def test_smaller_box_is_in_front_and_equal_ones_have_a_rule():
    labels = fill_boxes([(0, 0, 4, 4), (2, 2, 4, 4)], [5, 7], (4, 5))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, [[5, 5, 5, 5, 0]] * 2 + [[5, 5, 7, 7, 0]] * 2)
    np.testing.assert_array_equal(fill_boxes([(0, 0, 3, 1), (1, 0, 4, 1)], [9, 4], (1, 4)), [[9, 4, 4, 4]])


def test_area_is_measured_inside_the_picture():
    # 10 x 10 outside, but only 2 x 2 of it can be seen: it is in front of the 3 x 3 box
    labels = fill_boxes([(0, 0, 3, 3), (-8, -8, 2, 2)], [1, 2], (4, 4))
    assert (labels[:2, :2] == 2).all()
    assert (labels == 1).sum() == 5


@pytest.mark.parametrize("box", [(3, 3, 3, 8), (3, 3, 8, 3), (-9, 0, 0, 5), (17, 0, 30, 5), (0, 12, 4, 40)])
def test_empty_and_outside_boxes_leave_no_trace(box):
    assert not fill_boxes([box], [1], SIZE).any()
    assert not inner_boxes([box], [1], SIZE).any()


def test_no_boxes_and_three_hundred():
    assert not fill_boxes([], [], SIZE).any()
    assert not fill_boxes(np.zeros((0, 4)), np.zeros(0, int), SIZE).any()
    many = [(k % 17, k % 12, k % 17 + 1 + k % 5, k % 12 + 1 + k % 3) for k in range(300)]
    classes = [1 + k % 254 for k in range(300)]
    np.testing.assert_array_equal(fill_boxes(many, classes, SIZE), brute_force(many, classes))


def test_inner_boxes_keep_a_share_of_the_area_or_of_the_side():
    area = inner_boxes([(10, 20, 110, 70)], [3], (100, 200), share=0.25, of="area")
    side = inner_boxes([(10, 20, 110, 70)], [3], (100, 200), share=0.2, of="side")
    assert (area == 3).sum() == 50 * 25
    assert (side == 3).sum() == 20 * 10
    assert ((area == 255).sum(), (side == 255).sum()) == (5000 - 1250, 5000 - 200)
    ys, xs = np.nonzero(side == 3)
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == (50, 70, 40, 50)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 1), st.sampled_from(["area", "side"]))
@settings(deadline=None)
def test_inner_box_is_centred_and_never_empty(width, height, share, of):
    labels = inner_boxes([(2, 3, 2 + width, 3 + height)], [1], (48, 48), share, of)
    ys, xs = np.nonzero(labels == 1)
    factor = share**0.5 if of == "area" else share
    for values, start, side in ((xs, 2, width), (ys, 3, height)):
        before, inside = values.min() - start, values.max() + 1 - values.min()
        after = start + side - values.max() - 1
        assert 0 <= after - before <= 1
        assert abs(inside - max(1, side * factor)) <= 0.5
    assert (labels != 0).sum() == width * height


def test_the_ignored_ring_of_the_box_in_front_hides_the_one_behind():
    labels = inner_boxes([(0, 0, 10, 10), (3, 3, 7, 7)], [1, 2], (10, 10), share=0.25)
    assert (labels[3:7, 3:7] == np.pad(np.full((2, 2), 2), 1, constant_values=255)).all()


def test_masks_are_painted_inside_their_own_boxes():
    masks = np.ones((2, 4, 6), bool)
    masks[1, 1, 1] = False
    found, classes = [(0, 0, 4, 4), (1, 1, 3, 3)], [1, 2]
    ignore = paint_masks(masks, found, classes, (4, 6))
    background = paint_masks(masks, found, classes, (4, 6), outside_label=0)
    assert ignore[1, 1] == 255
    assert background[1, 1] == 1  # the larger object shows through
    assert (ignore[:, 4:] == 0).all()
    np.testing.assert_array_equal(
        paint_masks(np.ones((2, 4, 6), bool), found, classes, (4, 6)), fill_boxes(found, classes, (4, 6))
    )


def test_agreement():
    a = np.array([[0, 1, 1, 2, 255, 255, 0, 0]], np.uint8)
    b = np.array([[0, 1, 2, 0, 255, 1, 0, 0]], np.uint8)
    np.testing.assert_array_equal(intersect_labels(a, b), [[0, 1, 255, 255, 255, 255, 0, 0]])
    np.testing.assert_array_equal(
        intersect_labels(a, b, [(1, 0, 7, 1)]), [[0, 1, 255, 255, 255, 255, 255, 0]]
    )


@given(label_maps, label_maps)
def test_agreement_is_symmetric_and_careful(a, b):
    both = intersect_labels(a, b)
    np.testing.assert_array_equal(both, intersect_labels(b, a))
    np.testing.assert_array_equal(intersect_labels(a, a), a)
    foreground = (both != 0) & (both != 255)
    assert (a[foreground] == b[foreground]).all()
    assert ((both == 0) == ((a == 0) & (b == 0))).all()


@given(label_maps, label_maps)
def test_quality_is_its_definition(labels, truth):
    quality = label_quality(labels, truth, classes=3)
    for c in range(3):
        known = truth != 255
        given_c, is_c = (labels == c) & known, (truth == c) & known
        right = (given_c & is_c).sum()
        expected = [
            (right, given_c.sum()),
            (right, is_c.sum()),
            ((is_c & (labels != 255)).sum(), is_c.sum()),
            (right, (given_c | is_c).sum()),
        ]
        for met, (above, below) in zip((array[c] for array in quality), expected, strict=True):
            assert np.isnan(met) if below == 0 else met == above / below


def test_quality_is_counted_over_all_pictures_together():
    first = (np.array([[1, 1, 0]], np.uint8), np.array([[1, 0, 0]], np.uint8))
    second = (np.array([[255, 1], [0, 0]], np.uint8), np.array([[1, 1], [1, 255]], np.uint8))
    quality = label_quality([first[0], second[0]], [first[1], second[1]])
    assert quality.precision.tolist() == [0.5, 2 / 3]
    assert quality.recall.tolist() == [0.5, 0.5]
    assert quality.coverage.tolist() == [1, 0.75]
    assert quality.iou.tolist() == [1 / 3, 2 / 5]
    assert quality.mean_iou == pytest.approx((1 / 3 + 2 / 5) / 2)


def test_perfect_labels_with_absent_classes():
    truth = np.array([[0, 3, 255]], np.uint8)
    quality = label_quality(truth, truth)
    assert quality.iou[[0, 3]].tolist() == [1, 1]
    assert np.isnan(quality.iou[[1, 2]]).all()
    assert quality.mean_iou == 1


def test_careful_labels_have_a_poor_iou_and_a_perfect_precision():
    truth = fill_boxes([(0, 0, 10, 10)], [1], (10, 20))
    quality = label_quality(inner_boxes([(0, 0, 10, 10)], [1], (10, 20), share=0.04), truth)
    assert (quality.precision[1], quality.recall[1], quality.coverage[1], quality.iou[1]) == (
        1,
        0.04,
        0.04,
        0.04,
    )


def test_boxes_are_rounded_halves_up_and_clipped():
    np.testing.assert_array_equal(clip_boxes([(0.5, 1.4, 3.5, 99)], (5, 6)), [[1, 1, 4, 5]])


@given(st.integers(20, 60), st.integers(20, 60), st.integers(20, 40), st.integers(20, 40), st.floats(0, 0.3))
def test_a_loosened_box_is_brought_back(width, height, x, y, loose):
    box = np.array([x, y, x + width, y + height], float)
    room = loose * np.array([-width, -height, width, height])
    assert np.abs(tighten([box + room], loose, (200, 200)) - box).max() <= 1  # both are rounded
    assert tighten([box + room], 0, (200, 200)).tolist() == clip_boxes([box + room], (200, 200)).tolist()


def test_sides_on_the_border_of_the_picture_stay_when_boxes_are_tightened():
    boxes = [(0, 4, 22, 26), (0, 0, 30, 30), (5, 5, 5, 9), (3, 3, 4, 4)]
    assert tighten(boxes, 0.1, (30, 30)).tolist() == [
        [0, 6, 20, 24],  # one side of two moves by a tenth of 20, both by a tenth of 22 / 1.2
        [0, 0, 30, 30],
        [5, 5, 5, 9],
        [3, 3, 4, 4],
    ]
    assert tighten([(3, 3, 5, 5)], 50, (30, 30)).tolist() == [[4, 4, 5, 5]]  # a pixel is left


def test_paint_order_drops_what_cannot_be_seen():
    found, classes = checked_boxes([(0, 0, 2, 2), (0, 0, 9, 9), (4, 4, 4, 9)], [1, 1, 1], (9, 9))
    assert paint_order(found, classes) == [1, 0]


@pytest.mark.parametrize(
    ("error", "name", "call"),
    [
        (ValueError, "boxes", lambda: fill_boxes([(5, 0, 2, 2)], [1], SIZE)),
        (ValueError, "boxes", lambda: fill_boxes([(0, 0, np.nan, 2)], [1], SIZE)),
        (ValueError, "boxes", lambda: fill_boxes([(0, 0, 2)], [1], SIZE)),
        (ValueError, "classes", lambda: fill_boxes([(0, 0, 2, 2)], [0], SIZE)),
        (ValueError, "classes", lambda: fill_boxes([(0, 0, 2, 2)], [255], SIZE)),
        (ValueError, "classes", lambda: fill_boxes([(0, 0, 2, 2)], [1, 2], SIZE)),
        (TypeError, "classes", lambda: fill_boxes([(0, 0, 2, 2)], [1.5], SIZE)),
        (ValueError, "size", lambda: fill_boxes([], [], (0, 4))),
        (ValueError, "share", lambda: inner_boxes([(0, 0, 2, 2)], [1], SIZE, share=0)),
        (ValueError, "share", lambda: inner_boxes([(0, 0, 2, 2)], [1], SIZE, share=float("nan"))),
        (ValueError, "of", lambda: inner_boxes([(0, 0, 2, 2)], [1], SIZE, of="height")),
        (ValueError, "outside_label", lambda: paint_masks([], [], [], SIZE, outside_label=7)),
        (ValueError, "masks", lambda: paint_masks([], [(0, 0, 2, 2)], [1], SIZE)),
        (ValueError, "masks", lambda: paint_masks([np.ones((3, 3), bool)], [(0, 0, 2, 2)], [1], SIZE)),
        (TypeError, "a must", lambda: intersect_labels(np.zeros((2, 2)), np.zeros((2, 2), np.uint8))),
        (
            ValueError,
            "one size",
            lambda: intersect_labels(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)),
        ),
        (TypeError, "truth", lambda: label_quality(np.zeros((2, 2), np.uint8), np.zeros((2, 2), int))),
        (ValueError, "sizes", lambda: label_quality(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))),
        (ValueError, "0..1", lambda: label_quality(*[np.full((2, 2), 7, np.uint8)] * 2, classes=2)),
    ],
)
def test_bad_input_is_named(error, name, call):
    with pytest.raises(error, match=name):
        call()
