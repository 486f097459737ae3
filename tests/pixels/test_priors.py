"""Priors and hints: against closed forms, slow references and the scenes' exact truth."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lecturekit.datasets import scenes
from lecturekit.exercises import weak_supervision
from lecturekit.labels import boxes
from lecturekit.metrics import iou
from lecturekit.pixels import priors

SIDES = st.integers(1, 40)


# ------------------------------------------------------------------------------------------------------ shape


@given(SIDES, SIDES, st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_shape_prior_keeps_the_share_of_the_box_that_is_filled(height, width, grid, seed):
    mask = np.random.default_rng(seed).random((height + 4, width + 5)) < 0.4
    box = (2, 1, 2 + width, 1 + height)
    prior = priors.shape_prior([mask], [box], grid)
    assert prior.shape == (grid, grid)
    assert prior.mean() == pytest.approx(mask[boxes.window(box)].mean(), abs=1e-5)


def test_a_shape_prior_of_a_large_box_takes_little_memory():
    """One box of 4,000 x 3,000 pixels: 12 million cells of work, not 3 billion."""
    mask = np.zeros((3001, 4003), bool)
    mask[:1500] = True
    tracemalloc.start()
    prior = priors.shape_prior([mask], [(0, 0, 4003, 3001)], grid=16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(prior[:7], 1, atol=1e-5)
    assert prior.mean() == pytest.approx(mask.mean(), abs=1e-5)
    assert peak < 8 * mask.size


def test_shape_prior_of_known_shapes():
    half = np.zeros((8, 12), bool)
    half[:, :6] = True
    prior = priors.shape_prior([half, half[::-1]], [(0, 0, 12, 8)] * 2, grid=4)
    np.testing.assert_allclose(prior, np.tile([1, 1, 0, 0], (4, 1)))
    both = priors.shape_prior([half, ~half], [(0, 0, 12, 8)] * 2, grid=4)
    np.testing.assert_allclose(both, 0.5)


def test_the_middle_of_a_ring_is_a_hole_and_that_of_a_star_is_not():
    made = [scenes.scene(i, classes=["star", "ring"], objects=2, clutter=0.0) for i in range(12)]
    middle = {}
    for c in (1, 7):
        mine = [(s.instances == k + 1, s.boxes[k]) for s in made for k in np.flatnonzero(s.classes == c)]
        prior = priors.shape_prior([m for m, _ in mine], [b for _, b in mine])
        middle[c] = prior[6:10, 6:10].mean()
    assert middle[1] > 0.8
    assert middle[7] < 0.2


def test_a_shape_that_is_full_fills_the_boxes_and_an_empty_one_nothing():
    scene = scenes.scene(3)
    args = (scene.boxes, scene.classes, scene.mask.shape)
    np.testing.assert_array_equal(priors.shaped_boxes(np.ones((4, 4)), *args), boxes.fill_boxes(*args))
    ignored = priors.shaped_boxes(np.zeros((4, 4)), *args, outside_label=255)
    assert set(np.unique(ignored)) == {0, 255}
    assert (priors.shaped_boxes(np.zeros((4, 4)), *args) == 0).all()


def test_shaped_boxes_stretch_the_shape_over_each_box():
    quarter = np.zeros((2, 2))
    quarter[0, 1] = 1
    labels = priors.shaped_boxes(quarter, [(0, 0, 4, 20), (10, 0, 30, 4)], [1, 2], (24, 32), share=0.5)
    assert labels[2, 3] == 1
    assert labels[15, 3] == labels[2, 0] == 0
    assert labels[0, 29] == 2
    assert labels[3, 12] == 0
    outside = priors.shaped_boxes(quarter, [(40, 0, 44, 4)], [1], (24, 32))
    assert not outside.any()


# ------------------------------------------------------------------------------------------------------- size


def test_boxes_round_clicks():
    made = priors.boxes_round([(10, 20), (0, 0), (39, 29)], (6, 4), (30, 40))
    np.testing.assert_allclose(made, [[7.5, 18.5, 13.5, 22.5], [0, 0, 3.5, 2.5], [36.5, 27.5, 40, 30]])
    assert priors.boxes_round(np.zeros((0, 2)), 5, (30, 40)).shape == (0, 4)


# --------------------------------------------------------------------------------------------------- contrast


def slow_contrast(image, box, bins):
    """Pixel by pixel."""
    x0, y0, x1, y1 = box
    cells = {}
    for row, column in np.ndindex(image.shape[:2]):
        inside = y0 <= row < y1 and x0 <= column < x1
        key = tuple(int(v) * bins // 256 for v in image[row, column])
        cells.setdefault(key, [0, 0])[0 if inside else 1] += 1
    area = (x1 - x0) * (y1 - y0)
    rest = image.shape[0] * image.shape[1] - area
    value = {k: np.log(((a + 0.1) / area) / ((b + 0.1) / rest)) for k, (a, b) in cells.items()}
    out = np.zeros(image.shape[:2])
    for row, column in np.ndindex(out.shape):
        out[row, column] = value[tuple(int(v) * bins // 256 for v in image[row, column])]
    return out


@pytest.mark.parametrize("bins", [2, 5, 8])
def test_contrast_map_equals_a_slow_count(bins):
    image = np.random.default_rng(bins).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    np.testing.assert_allclose(
        priors.contrast_map(image, (2, 3, 7, 8), bins), slow_contrast(image, (2, 3, 7, 8), bins), rtol=1e-5
    )


def test_contrast_map_says_nothing_where_there_is_nothing_to_compare():
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    assert not priors.contrast_map(image, (0, 0, 11, 9)).any()
    assert not priors.contrast_map(image, (4, 4, 4, 9)).any()
    assert not priors.contrast_map(image, (20, 0, 30, 9)).any()


# ----------------------------------------------------------------------------------------------------- motion


def texture(height=60, width=80, seed=0):
    rough = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return np.kron(rough, np.ones((4, 4, 1), np.uint8))


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (-2, 2), (0, -4)])
def test_flow_of_a_shifted_picture_is_the_shift(dx, dy):
    first = texture()
    flow = priors.optical_flow(first, np.roll(first, (dy, dx), (0, 1)))
    assert flow.shape == (60, 80, 2)
    np.testing.assert_allclose(np.median(flow, (0, 1)), (dx, dy), atol=0.1)
    moved = priors.move_boxes([(20, 20, 40, 36), (90, 5, 95, 9)], flow)
    np.testing.assert_allclose(moved[0], np.add((20, 20, 40, 36), (dx, dy, dx, dy)), atol=0.2)
    np.testing.assert_array_equal(moved[1], (90, 5, 95, 9))


def test_flow_of_clips_is_near_the_true_motion():
    clip = scenes.clip(0, frames=2, clutter=1.0)
    error = np.linalg.norm(priors.optical_flow(*clip.images) - clip.flow[0], axis=2)
    assert np.median(error) < 0.3


def test_moved_boxes_follow_most_of_their_pixels():
    flow = np.zeros((20, 30, 2))
    flow[5:15, 5:14] = (4, -2)
    flow[5:8, 5:14] = (-9, 9)
    np.testing.assert_array_equal(priors.move_boxes([(5, 5, 14, 15)], flow), [[9, 3, 18, 13]])
    assert priors.move_boxes(np.zeros((0, 4)), flow).shape == (0, 4)


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 7)),
    st.integers(-10, 10),
    st.integers(-10, 10),
)
@settings(max_examples=60, deadline=None)
def test_carried_labels_equal_a_slow_lookup(labels, dx, dy):
    back = np.full((*labels.shape, 2), (dx, dy), np.float32)
    made = priors.carry_labels(labels, back)
    for row, column in np.ndindex(labels.shape):
        there = 0 <= row + dy < labels.shape[0] and 0 <= column + dx < labels.shape[1]
        assert made[row, column] == (labels[row + dy, column + dx] if there else 255)


def test_shares_stand_a_chain_of_frames_that_labels_do_not():
    """A disc that moves by 0.4 pixels a frame for 15 frames: whole pixels never move at all."""
    y, x = np.indices((40, 60))
    disc, moved = ((np.hypot(x - 20 - dx, y - 20) <= 9.5) for dx in (0.0, 6.0))
    back = np.full((40, 60, 2), (-0.4, 0.0))
    labels, shares = disc.astype(np.uint8), np.stack([~disc, disc])
    for _ in range(15):
        labels, shares = priors.carry_labels(labels, back), priors.carry_shares(shares, back)
    assert iou(shares.argmax(0) == 1, moved) > 0.93
    assert iou(labels == 1, moved) < 0.6


@given(st.integers(0, 2**32 - 1), st.integers(-4, 4), st.integers(-4, 4))
@settings(max_examples=30, deadline=None)
def test_shares_moved_by_whole_pixels_are_the_labels(seed, dx, dy):
    labels = np.random.default_rng(seed).integers(0, 3, (6, 7), dtype=np.uint8)
    back = np.full((6, 7, 2), (dx, dy), np.float32)
    carried = priors.carry_shares(labels == np.arange(3)[:, None, None], back)
    known = carried.sum(0) > 0
    np.testing.assert_array_equal(np.where(known, carried.argmax(0), 255), priors.carry_labels(labels, back))


# ----------------------------------------------------------------------------------------- class distribution


@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_class_prior_is_bayes(rows, classes, seed):
    rng = np.random.default_rng(seed)
    likelihood = rng.random((rows, classes)) + 0.01
    seen, prior = rng.dirichlet(np.ones(classes) * 5, 2) + 0.01
    seen, prior = seen / seen.sum(), prior / prior.sum()
    learned = likelihood * seen / (likelihood * seen).sum(1, keepdims=True)
    wanted = likelihood * prior / (likelihood * prior).sum(1, keepdims=True)
    made = priors.with_class_prior(learned, prior, seen)
    np.testing.assert_allclose(made, wanted, rtol=1e-9)
    np.testing.assert_allclose(priors.with_class_prior(made, seen, prior), learned, rtol=1e-9)
    np.testing.assert_allclose(priors.with_class_prior(learned, seen, seen), learned, rtol=1e-9)


def test_a_prior_that_rules_everything_out_is_not_obeyed():
    sure = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    made = priors.with_class_prior(sure, [0.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    np.testing.assert_allclose(made, [[1, 0, 0], [0, 1, 0]])


# ---------------------------------------------------------------------------------- similarity across images


def test_most_similar_is_the_smallest_angle_to_the_mean():
    rng = np.random.default_rng(0)
    gallery, queries = rng.normal(3, 1, (7, 5)), rng.normal(3, 1, (4, 5))
    centred, asked = gallery - gallery.mean(0), queries - gallery.mean(0)
    for row, found in zip(asked, priors.most_similar(queries, gallery, 7), strict=True):
        cosine = [row @ g / np.linalg.norm(row) / np.linalg.norm(g) for g in centred]
        assert found.tolist() == np.argsort(cosine)[::-1].tolist()
    np.testing.assert_array_equal(priors.most_similar(gallery, gallery)[:, 0], np.arange(7))


# ------------------------------------------------------------------------------------------------------ hints


def test_named_colours_are_the_nearest_of_the_palette():
    palette = {"red": (200, 40, 40), "blue": (40, 60, 200), "white": (230, 230, 230)}
    image = np.array(
        [[(200, 40, 40), (190, 50, 45), (40, 60, 200), (225, 228, 230), (20, 120, 20)]], np.uint8
    )
    made = {name: priors.named_colours(image, [name], palette)[0].tolist() for name in palette}
    assert made == {
        "red": [True, True, False, False, False],
        "blue": [False, False, True, False, False],
        "white": [False, False, False, True, False],
    }
    assert priors.named_colours(image, ["red", "blue"], palette)[0].tolist() == [True] * 3 + [False] * 2
    assert not priors.named_colours(image, [], palette).any()


@given(st.integers(0, 2**32 - 1), st.sets(st.integers(1, 5)))
@settings(max_examples=40, deadline=None)
def test_allowed_is_the_argmax_with_the_others_at_minus_infinity(seed, labels):
    scores = np.random.default_rng(seed).normal(size=(6, 4, 5))
    closed = scores.copy()
    closed[[c for c in range(1, 6) if c not in labels]] = -np.inf
    np.testing.assert_array_equal(priors.allowed(scores, labels), closed.argmax(0))


IMAGE, MASK = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), bool)
BAD = {
    "masks_none": (lambda: priors.shape_prior([], []), "masks must be at least one"),
    "masks_dtype": (lambda: priors.shape_prior([MASK.astype(int)], [(0, 0, 5, 5)]), "masks must be bool"),
    "masks_box": (lambda: priors.shape_prior([MASK], [(30, 0, 35, 5)]), "boxes must have pixels"),
    "grid": (lambda: priors.shape_prior([MASK], [(0, 0, 5, 5)], 0), "grid must be a whole number"),
    "prior": (lambda: priors.shaped_boxes(np.full((2, 2), 2.0), [], [], (9, 9)), "prior must be"),
    "share": (lambda: priors.shaped_boxes(np.ones((2, 2)), [], [], (9, 9), np.nan), "share must be"),
    "side": (lambda: priors.boxes_round([(1, 1)], 0, (9, 9)), "side must be above 0"),
    "image": (lambda: priors.contrast_map(IMAGE / 1, (0, 0, 5, 5)), "image must be uint8"),
    "bins": (lambda: priors.contrast_map(IMAGE, (0, 0, 5, 5), 1), "bins must be a whole number"),
    "clicks": (lambda: priors.boxes_round([(np.nan, 1)], 4, (9, 9)), "clicks must be finite"),
    "clicks_3": (lambda: priors.boxes_round([(1, 1, 1)], 4, (9, 9)), "clicks must be finite"),
    "side_inf": (lambda: priors.boxes_round([(1, 1)], np.inf, (9, 9)), "side must be above 0"),
    "shares": (
        lambda: priors.carry_shares(np.full((1, 5, 5), np.nan), np.zeros((5, 5, 2))),
        "shares must be",
    ),
    "shares_size": (lambda: priors.carry_shares(np.ones((1, 4, 5)), np.zeros((5, 5, 2))), "as the flow"),
    "p_nan": (lambda: priors.with_class_prior([[np.nan, 1]], [1, 1], [1, 1]), "probabilities must be finite"),
    "p_inf": (lambda: priors.with_class_prior([[np.inf, 1]], [1, 1], [1, 1]), "probabilities must be finite"),
    "prior_inf": (lambda: priors.with_class_prior([[0.5, 0.5]], [np.inf, 1], [1, 1]), "prior must be finite"),
    "seen_inf": (lambda: priors.with_class_prior([[0.5, 0.5]], [1, 1], [np.inf, 1]), "seen must be above 0"),
    "prior_0": (lambda: priors.with_class_prior([[0.5, 0.5]], [0, 0], [1, 1]), "prior must not be all 0"),
    "queries_nan": (lambda: priors.most_similar([[np.nan]], [[1.0]]), "queries and gallery must be finite"),
    "scores_nan": (lambda: priors.allowed(np.full((3, 4, 4), np.nan), [1]), "scores must be numbers"),
    "distance": (
        lambda: priors.named_colours(IMAGE, [], {"red": (1, 2, 3)}, np.nan),
        "max_distance must be a number",
    ),
    "sizes": (lambda: priors.optical_flow(IMAGE, IMAGE[:18]), "first and second must have one size"),
    "flow": (lambda: priors.move_boxes([(0, 0, 1, 1)], np.full((5, 5, 2), np.nan)), "flow must be finite"),
    "labels": (
        lambda: priors.carry_labels(IMAGE[..., 0], np.zeros((5, 5, 2))),
        "labels must be uint8 \\(5, 5\\)",
    ),
    "classes": (lambda: priors.with_class_prior([[0.5, 0.5]], [1], [1]), "one number a class"),
    "seen": (lambda: priors.with_class_prior([[0.5, 0.5]], [1, 1], [1, 0]), "seen must be above 0"),
    "row": (lambda: priors.with_class_prior([[0.0, 0.0]], [1, 1], [1, 1]), "no row may be all 0"),
    "features": (lambda: priors.most_similar(np.ones((2, 3)), np.ones((2, 4))), "queries and gallery"),
    "count": (lambda: priors.most_similar(np.ones((2, 3)), np.ones((2, 3)), 3), "count must be"),
    "names": (lambda: priors.named_colours(IMAGE, ["pink"], {"red": (1, 2, 3)}), "names must be of red"),
    "scores": (lambda: priors.allowed(np.ones((4, 4)), [1]), "scores must be"),
    "allowed": (lambda: priors.allowed(np.ones((3, 4, 4)), [3]), "labels must lie in 1..2"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_to_priors_is_refused_by_name(name):
    call, message = BAD[name]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


# --------------------------------------------------------------- the exercises say what the library does


@pytest.mark.parametrize(
    ("exercise", "same"),
    [
        (weak_supervision.moved_box, lambda box, flow: priors.move_boxes([box], flow)[0]),
        (weak_supervision.with_frequencies, priors.with_class_prior),
        (weak_supervision.only_named, priors.allowed),
        (weak_supervision.carried, priors.carry_labels),
    ],
    ids=["moved_box", "with_frequencies", "only_named", "carried"],
)
def test_exercise_and_library_agree(exercise, same):
    for arguments in exercise.cases():
        np.testing.assert_allclose(exercise.reference(*arguments), same(*arguments), rtol=1e-6)
