"""Region hierarchies and proposals: pictures with known regions, and a search through all combinations."""

import itertools

import numpy as np
import pytest

pytest.importorskip("higra", reason="higra has no wheels for this machine")

from lecturekit.labels.boxes import fill_boxes, window
from lecturekit.metrics import iou
from lecturekit.pixels.edges import gradients
from lecturekit.pixels.proposals import (
    EXPECTED,
    SLENDER,
    STRENGTH,
    best_proposal,
    object_probability,
    proposal_labels,
    proposals,
)


def patches(seed=0, size=(60, 80)):
    """Four flat patches on a grey ground, with a little noise, and which pixel is which (0 ground, 1..4)."""
    random = np.random.default_rng(seed)
    number = np.zeros(size, int)
    number[15:45, 20:35], number[15:30, 35:50], number[30:45, 35:50], number[5:12, 60:75] = 1, 2, 3, 4
    colours = np.array([(120, 120, 120), (220, 60, 60), (60, 200, 60), (60, 60, 220), (230, 220, 60)])
    image = colours[number] + random.normal(0, 4, (*size, 3))
    return image.clip(0, 255).astype(np.uint8), number


@pytest.fixture(scope="module")
def hierarchy():
    return proposals(patches()[0])


def test_nodes_form_a_tree_over_the_finest_regions(hierarchy):
    n, nodes = len(hierarchy.extents), len(hierarchy.parents)
    assert nodes == 2 * n - 1
    assert (hierarchy.parents[:-1] > np.arange(nodes - 1)).all()
    assert hierarchy.parents[-1] == nodes - 1
    assert (hierarchy.altitudes[hierarchy.parents] >= hierarchy.altitudes).all()
    np.testing.assert_array_equal(hierarchy.leaves[:n], np.eye(n, dtype=bool))
    assert hierarchy.leaves[nodes - 1].all()
    for node, parent in enumerate(hierarchy.parents[:-1]):
        assert not (hierarchy.leaves[node] & ~hierarchy.leaves[parent]).any()


def test_regions_are_listed_once_and_single_scales_add_some(hierarchy):
    assert len(np.unique(hierarchy.leaves, axis=0)) == len(hierarchy.leaves)
    assert len(hierarchy.leaves) > len(hierarchy.parents)


def test_extents_lengths_and_pairs_are_those_of_the_regions(hierarchy):
    regions = hierarchy.regions
    for k, (x0, y0, x1, y1) in enumerate(hierarchy.extents):
        rows, columns = np.nonzero(regions == k)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x0, y0, x1, y1)
    found = {}
    for a, b in ((regions[:, 1:], regions[:, :-1]), (regions[1:], regions[:-1])):
        for pair in zip(a[a != b], b[a != b], strict=True):
            found[tuple(sorted(map(int, pair)))] = found.get(tuple(sorted(map(int, pair))), 0) + 1
    listed = {tuple(sorted(map(int, p))): n for p, n in zip(hierarchy.pairs, hierarchy.lengths, strict=True)}
    assert listed == found


def test_segments_go_from_the_finest_regions_to_one(hierarchy):
    counts = []
    for altitude in (-1.0, 0.02, 0.1, 0.3, 1.0):
        segments = hierarchy.segments(altitude)
        counts.append(segments.max() + 1)
        assert segments.dtype == np.int32
        np.testing.assert_array_equal(np.unique(segments), np.arange(counts[-1]))
    assert counts[0] == len(hierarchy.extents)
    assert counts[-1] == 1
    assert counts == sorted(counts, reverse=True)


def test_a_coarser_cut_never_splits_a_segment(hierarchy):
    fine, coarse = hierarchy.segments(0.05), hierarchy.segments(0.2)
    pairs = np.unique(np.stack([fine.ravel(), coarse.ravel()], 1), axis=0)
    assert len(pairs) == fine.max() + 1


def test_a_patch_is_found_from_its_box(hierarchy):
    number = patches()[1]
    mask, score, ranked = best_proposal(hierarchy, (60, 5, 75, 12))
    assert iou(mask, number == 4) > 0.9
    assert ranked[0].score == score
    np.testing.assert_array_equal(hierarchy.mask(ranked[0].regions), mask)


def test_three_neighbouring_patches_are_combined(hierarchy):
    number = patches()[1]
    three = (number > 0) & (number < 4)
    assert iou(best_proposal(hierarchy, (20, 15, 50, 45)).mask, three) > 0.9


def test_the_list_is_ranked_without_repetition_and_of_touching_disjoint_regions(hierarchy):
    ranked = best_proposal(hierarchy, (18, 13, 52, 47), keep=40).ranked
    scores = [p.score for p in ranked]
    assert scores == sorted(scores, reverse=True)
    assert len({tuple(sorted(p.regions)) for p in ranked}) == len(ranked) == 40
    touching = {tuple(sorted(p)) for p in hierarchy.pairs.tolist()}
    for proposal in ranked:
        assert 1 <= len(proposal.regions) <= 4
        parts = hierarchy.leaves[list(proposal.regions)]
        assert (parts.sum(0) <= 1).all()
        if len(parts) == 2:
            inside = itertools.product(*(np.flatnonzero(part).tolist() for part in parts))
            assert any(tuple(sorted(p)) in touching for p in inside)


def score_by_definition(hierarchy, regions, box):
    leaves = hierarchy.leaves[list(regions)].any(0)
    mask = leaves[hierarchy.regions]
    rows, columns = np.nonzero(mask)
    own = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    outline = leaves[hierarchy.pairs[:, 0]] != leaves[hierarchy.pairs[:, 1]]
    length = hierarchy.lengths[outline].sum()
    strength = (hierarchy.lengths * hierarchy.strengths)[outline].sum() / max(length, 1)
    likely = np.zeros(mask.shape)
    likely[window(box)] = object_probability(hierarchy, np.array(box))
    expected = likely[mask].sum() / (mask.sum() + likely[~mask].sum())
    score = iou(own, box).item() + EXPECTED * expected + STRENGTH * strength
    return score - SLENDER * length / mask.sum() ** 0.5


def test_scores_are_their_definition(hierarchy):
    box = (19, 14, 51, 44)
    for proposal in best_proposal(hierarchy, box, keep=60).ranked:
        expected = score_by_definition(hierarchy, proposal.regions, box)
        assert proposal.score == pytest.approx(expected, abs=1e-4)


def test_no_pair_of_neighbours_is_better_when_the_search_is_wide(hierarchy):
    box = (20, 15, 50, 30)
    best = best_proposal(hierarchy, box, max_regions=2, width=10**6, keep=10**6)
    nodes = [k for k in range(len(hierarchy.leaves)) if hierarchy.leaves[k].sum() <= 8]
    inside = hierarchy.regions[15:30, 20:50]
    area, within = (
        np.bincount(r.ravel(), minlength=len(hierarchy.extents)) for r in (hierarchy.regions, inside)
    )
    fits = [
        k
        for k in nodes
        if (hierarchy.leaves[k] @ within) >= 0.6 * (hierarchy.leaves[k] @ area)
        and (hierarchy.leaves[k] @ within) >= 0.01 * inside.size
    ]
    listed = {tuple(sorted(p.regions)) for p in best.ranked}
    assert {(k,) for k in fits} <= listed
    assert max(score_by_definition(hierarchy, (k,), box) for k in fits) <= best.score + 1e-6


def test_combinations_help():
    image, number = patches(3)
    hierarchy = proposals(image)
    three = (number > 0) & (number < 4)
    alone = best_proposal(hierarchy, (20, 15, 50, 45), max_regions=1)
    together = best_proposal(hierarchy, (20, 15, 50, 45), max_regions=4)
    assert together.score >= alone.score
    assert iou(together.mask, three) >= iou(alone.mask, three)


def test_larger_pictures_are_segmented_small_and_enlarged():
    image, number = patches()
    large = np.kron(image, np.ones((4, 4, 1), np.uint8))
    hierarchy = proposals(large, side=80)
    assert hierarchy.regions.shape == (240, 320)
    mask = best_proposal(hierarchy, (240, 20, 300, 48)).mask
    assert iou(mask, np.kron(number, np.ones((4, 4), int)) == 4) > 0.85


def test_other_boundary_maps_can_be_given():
    image, number = patches()
    exact = np.zeros(number.shape, np.float32)
    for shift, axis in itertools.product((-1, 1), (0, 1)):
        exact = np.maximum(exact, number != np.roll(number, shift, axis))
    hierarchy = proposals(image, [exact])
    assert len(hierarchy.extents) == 5
    assert iou(best_proposal(hierarchy, (60, 5, 75, 12)).mask, number == 4) > 0.8
    default = proposals(image)
    same = proposals(image, [gradients(image, s)[0] for s in ((1.5, 3), (3, 6), (6, 12))])
    np.testing.assert_array_equal(default.regions, same.regions)
    np.testing.assert_array_equal(default.leaves, same.leaves)


def test_label_map(hierarchy):
    boxes, classes, size = [(60, 5, 75, 12), (20, 15, 50, 45)], [3, 9], (60, 80)
    labels = proposal_labels(hierarchy, boxes, classes)
    filled = fill_boxes(boxes, classes, size)
    assert set(np.unique(labels)) <= {0, 3, 9, 255}
    assert (labels[filled == 0] == 0).all()
    assert (labels[filled > 0] > 0).all()
    background = proposal_labels(hierarchy, boxes, classes, outside_label=0)
    np.testing.assert_array_equal(background, np.where(labels == 255, 0, labels))


def test_the_same_picture_gives_the_same_proposals():
    image = patches(5)[0]
    one, other = (best_proposal(proposals(image), (18, 13, 52, 47)) for _ in range(2))
    assert one.ranked == other.ranked
    np.testing.assert_array_equal(one.mask, other.mask)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (2, 2), (30, 40)])
def test_one_colour_is_one_region(shape):
    hierarchy = proposals(np.full((*shape, 3), 90, np.uint8))
    assert hierarchy.segments(0).max() == 0
    best = best_proposal(hierarchy, (0, 0, shape[1], shape[0]))
    assert best.mask.all()


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (99, 2, 120, 9)])
def test_empty_and_outside_boxes(hierarchy, box):
    mask, score, ranked = best_proposal(hierarchy, box)
    assert not mask.any()
    assert (score, ranked) == (0.0, [])
    assert not proposal_labels(hierarchy, [box], [1]).any()


def test_a_tiny_box_still_gets_a_region(hierarchy):
    mask = best_proposal(hierarchy, (30, 20, 31, 21)).mask
    assert mask[20, 30]


@pytest.mark.parametrize(
    ("error", "name", "call"),
    [
        (ValueError, "image", lambda h: proposals(np.zeros((5, 5, 3)))),
        (ValueError, "image", lambda h: proposals(np.zeros((1, 1, 3), np.uint8))),
        (ValueError, "side", lambda h: proposals(patches()[0], side=0)),
        (ValueError, "maps", lambda h: proposals(patches()[0], [])),
        (ValueError, "maps", lambda h: proposals(patches()[0], [np.zeros((3, 3))])),
        (ValueError, "maps", lambda h: proposals(patches()[0], [np.full((60, 80), np.nan)])),
        (ValueError, "max_regions", lambda h: best_proposal(h, (0, 0, 5, 5), max_regions=0)),
        (ValueError, "boxes", lambda h: best_proposal(h, (9, 0, 5, 5))),
        (ValueError, "classes", lambda h: proposal_labels(h, [(0, 0, 5, 5)], [0])),
    ],
)
def test_bad_input_is_named(hierarchy, error, name, call):
    with pytest.raises(error, match=name):
        call(hierarchy)


def test_a_region_that_fills_the_box_is_not_the_object_in_it():
    """A disc on speckled ground in a tight box: the ground fills the box as well as the disc does."""
    y, x = np.indices((80, 100))
    disc = np.hypot(x - 50, y - 40) <= 20
    rng = np.random.default_rng(0)
    image = np.where(disc[..., None], (60, 120, 160), (120, 120, 90)) + rng.normal(0, 6, (80, 100, 3))
    hierarchy = proposals(image.clip(0, 255).astype(np.uint8))
    box = np.array([30, 20, 71, 61])
    assert iou(best_proposal(hierarchy, box).mask, disc) > 0.9
    likely = object_probability(hierarchy, box)
    inside = disc[window(box)]
    assert likely[inside].mean() > 0.9
    assert likely[~inside].mean() < 0.2


def test_a_bay_of_the_ground_is_hardly_the_object():
    """A thick U: the bay lies in the middle of the box, and no contrast parts it from outside."""
    rng = np.random.default_rng(0)
    thing = np.zeros((70, 90), bool)
    thing[10:60, 20:70] = True
    thing[10:45, 36:54] = False
    image = np.where(thing[..., None], (170, 70, 60), (90, 120, 150)) + rng.normal(0, 3, (70, 90, 3))
    hierarchy = proposals(image.clip(0, 255).astype(np.uint8))
    likely = object_probability(hierarchy, np.array([20, 10, 70, 60]))
    inside = thing[10:60, 20:70]
    assert likely[inside].mean() > 0.9
    assert likely[~inside].mean() < 0.2
    assert iou(best_proposal(hierarchy, (20, 10, 70, 60)).mask, thing) > 0.95


def test_a_box_of_the_whole_picture_has_a_proposal(hierarchy):
    height, width = hierarchy.regions.shape
    likely = object_probability(hierarchy, np.array([0, 0, width, height]))
    assert np.isfinite(likely).all()
    assert best_proposal(hierarchy, (0, 0, width, height)).mask.any()
