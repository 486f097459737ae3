"""Labels from several witnesses: closed forms, the constraint on a box's share, and who learns from whom."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lecturekit.datasets import scenes
from lecturekit.labels.boxes import checked_boxes, fill_boxes
from lecturekit.learning import refine
from lecturekit.learning.bootstrap import bootstrap
from lecturekit.learning.data import BoxAnnotations, scenes_data
from lecturekit.learning.recipes import RECIPES
from lecturekit.learning.refine import filled_labels, filled_posterior, ignore_doubted
from lecturekit.learning.tricks import View, boxes_in_front
from lecturekit.metrics import label_quality
from lecturekit.pixels.edges import boundary_map

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:GrabCut fell back"),
]


def odds(q):
    return np.log(q / (1 - q))


def view(boxes, classes, first, background):
    """A student that knows classes 1 and 2, and where it says background."""
    first, background = np.array(first, np.uint8), np.array(background, np.float32)
    rest = (1 - background) / 2
    probabilities = np.stack([background, rest, rest])
    image = np.zeros((*first.shape, 3), np.uint8)
    return View(image, np.array(boxes, np.int64), np.array(classes, np.int64), first, probabilities)


@pytest.fixture(autouse=True)
def small_close_ups(monkeypatch):
    """Boxes of scenes need no 256 pixels."""
    monkeypatch.setattr(refine, "close_ups", partial(refine.close_ups, side=64, channels=16, device="cpu"))


# -------------------------------------------------------------------------------------------------- posterior


def test_the_same_evidence_everywhere_is_no_news():
    prior = np.linspace(0.05, 0.95, 12).reshape(3, 4)
    for evidence in (-7.0, 0.0, 3.0, 500.0, np.inf):
        np.testing.assert_allclose(filled_posterior(prior, np.full((3, 4), evidence)), prior, atol=1e-9)


def test_two_pixels_in_closed_form():
    """Equal priors of one half and evidence a, b: the shift is -(a + b) / 2, as the two q sum to 1."""
    q = filled_posterior([0.5, 0.5], [3.0, -1.0])
    np.testing.assert_allclose(q, [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))], atol=1e-9)


def test_a_box_can_be_as_full_as_is_asked():
    rng = np.random.default_rng(0)
    prior, evidence = rng.uniform(0.1, 0.9, (2, 7, 9))
    for share in (0.05, 0.4, 0.93):
        q = filled_posterior(prior, 5 * evidence, share=share)
        assert q.mean() == pytest.approx(share, abs=1e-6)
        shifts = odds(q) - odds(prior) - 5 * evidence
        np.testing.assert_allclose(shifts, shifts[0, 0], atol=1e-6)  # one shift for all
    with pytest.raises(ValueError, match="share must be a number between 0 and 1"):
        filled_posterior(prior, evidence, share=1)


def test_half_way_to_the_evidence_is_half_way_in_log_odds():
    """Prior one fifth everywhere, evidence four fifths everywhere: one half."""
    prior, everywhere = np.full((4, 4), 0.2), np.ones((4, 4), bool)
    q = refine._joined(prior, np.full((4, 4), odds(0.8)), everywhere)
    np.testing.assert_allclose(q, 0.5, atol=1e-6)


def test_strong_evidence_puts_the_share_where_it_points():
    prior, evidence = np.full(10, 0.3), np.array([-200.0] * 7 + [200.0] * 3)
    np.testing.assert_allclose(filled_posterior(prior, evidence), [0] * 7 + [1] * 3, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0, 12))
def test_the_share_is_kept_and_the_rest_is_one_shift(seed, pixels, spread):
    rng = np.random.default_rng(seed)
    prior = rng.uniform(0.02, 0.98, pixels)
    evidence = rng.normal(0, spread, pixels)
    counts = rng.random(pixels) < 0.7
    counts[rng.integers(pixels)] = True
    q = filled_posterior(prior, evidence, counts)
    assert abs(q[counts].mean() - prior[counts].mean()) < 1e-7
    sure = (q > 1e-6) & (q < 1 - 1e-6)
    shift = (odds(q) - odds(prior) - evidence)[sure]
    assert np.ptp(shift) < 1e-6 if sure.any() else True


@pytest.mark.parametrize(
    ("prior", "evidence", "counts", "named"),
    [
        ([0.5], [0.0, 1.0], None, "shape"),
        ([0.0, 0.5], [0.0, 1.0], None, "prior"),
        ([0.5, 1.0], [0.0, 1.0], None, "prior"),
        ([0.5, 0.5], [0.0, 1.0], [False, False], "counts"),
    ],
)
def test_what_is_no_posterior_is_refused(prior, evidence, counts, named):
    with pytest.raises(ValueError, match=named):
        filled_posterior(prior, evidence, counts)


# ------------------------------------------------------------------------------------------------------ trick


def test_first_labels_that_the_student_finds_improbable_are_ignored():
    """One box: its object, its background, what is beside it, and what has no label already."""
    first = [[0, 1, 1, 0, 0, 255]]
    background = [[0.1, 0.72, 0.74, 0.26, 0.28, 0.0]]
    # class 2 has no box here: background and class 1 share what is there, as 2 : 1 of (1 - b) / 2
    share = np.array(background) / (np.array(background) + (1 - np.array(background)) / 2)
    own = np.where(np.array(first) == 1, 1 - share, share)[0]
    assert np.flatnonzero(own[1:5] < 0.27).tolist() == [0, 1]
    seen = view([(1, 0, 6, 1)], [1], first, background)
    assert ignore_doubted(seen.first, seen).tolist() == [[0, 255, 255, 0, 0, 255]]
    assert ignore_doubted(seen.first, seen, least=0.42).tolist() == [[0, 255, 255, 255, 0, 255]]
    assert ignore_doubted(seen.first, seen, least=0).tolist() == first
    assert ignore_doubted(seen.first, seen, least=1).tolist() == [[0, *[255] * 5]]


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_nothing_gets_another_label_and_more_doubt_ignores_more(seed, least):
    """By the definition, pixel by pixel; outside every box nothing happens."""
    rng = np.random.default_rng(seed)
    boxes = np.array([(0, 0, 4, 3), (2, 1, 6, 4)])
    first = rng.choice(np.uint8([0, 1, 2, 255]), (5, 7))
    probabilities = rng.dirichlet([1, 1, 1], (5, 7)).astype(np.float32).transpose(2, 0, 1)
    seen = View(np.zeros((5, 7, 3), np.uint8), boxes, np.array([1, 2]), first, probabilities)
    answer = ignore_doubted(first, seen, least=least)
    for y, x in np.ndindex(first.shape):
        here = [c for (x0, y0, x1, y1), c in zip(boxes, (1, 2), strict=True) if x0 <= x < x1 and y0 <= y < y1]
        known = here and first[y, x] != 255
        possible = probabilities[[0, *here], y, x].sum()
        own = probabilities[first[y, x], y, x] / possible if known and first[y, x] in [0, *here] else 0.0
        if known and abs(own - least) > 1e-6:
            assert answer[y, x] == (255 if own < least else first[y, x])
        elif not known:
            assert answer[y, x] == first[y, x]
    stricter = ignore_doubted(first, seen, least=min(1, least + 0.2))
    assert (stricter[answer == 255] == 255).all()


def test_no_box_and_boxes_without_a_pixel_do_no_harm():
    first = np.full((3, 3), 1, np.uint8)
    for boxes, classes in ((np.zeros((0, 4)), []), ([(2, 2, 2, 2)], [1])):
        seen = view(boxes, classes, first, np.full((3, 3), 0.9))
        np.testing.assert_array_equal(ignore_doubted(first, seen), first)


@pytest.mark.parametrize("least", [-0.1, 1.5, np.nan])
def test_numbers_out_of_range_are_named(least):
    seen = view([(0, 0, 1, 1)], [1], [[0]], [[0.5]])
    with pytest.raises(ValueError, match="least"):
        ignore_doubted(seen.first, seen, least=least)


# ----------------------------------------------------------------------------------------------- first labels


@pytest.fixture(scope="module")
def few():
    """Scenes and their boundary maps; one scene has no box and one an empty one."""
    data = scenes_data(6, 1, size=48).train
    boxes = [np.asarray(b, float) for b in data.boxes]
    boxes[3], boxes[4] = np.zeros((0, 4)), boxes[4][:, [0, 1, 0, 1]]
    classes = [c[: len(b)] for b, c in zip(boxes, data.classes, strict=True)]
    data = BoxAnnotations(data.images, boxes, classes)
    edges = [boundary_map(image).astype(np.float32) for image in data.images]
    return data, edges


def test_first_labels_lie_in_their_boxes_and_find_more_than_the_box(few):
    data, edges = few
    truth = scenes_data(6, 1, size=48).train_masks
    found = list(filled_labels(data, edges, folds=3, runs=4))
    for labels, boxes, classes in zip(found, data.boxes, data.classes, strict=True):
        inside = boxes_in_front(*checked_boxes(boxes, classes, labels.shape), labels.shape) > 0
        assert not labels[~inside].any()
        assert set(np.unique(labels)) <= {0, 255, *np.asarray(classes).tolist()}
    kept = [0, 1, 2, 5]
    filled = [fill_boxes(data.boxes[k], data.classes[k], truth[k].shape) for k in kept]
    ours = label_quality([found[k] for k in kept], [truth[k] for k in kept], len(scenes.CLASSES))
    box = label_quality(filled, [truth[k] for k in kept], len(scenes.CLASSES))
    assert np.nanmean(ours.precision) > np.nanmean(box.precision) + 0.1


def test_a_head_answers_for_boxes_it_did_not_learn_from(few):
    """What GrabCut says of picture 0 changes the evidence for the other folds and not for its own."""
    data, _ = few
    places = [checked_boxes(b, c, z)[0] for b, c, z in zip(data.boxes, data.classes, data.sizes, strict=True)]
    priors = [[np.full((y1 - y0, x1 - x0), 0.3) for x0, y0, x1, y1 in some] for some in places]
    spoilt = [[1 - p for p in priors[0]], *priors[1:]]
    one, two = (refine._mask_answers(p, places, data.sizes, data.images, folds=3) for p in (priors, spoilt))
    for k in range(6):
        for a, b in zip(one[k], two[k], strict=True):
            assert (a == b).all() == (k % 3 == 0 or a.size == 0)


def test_one_picture_has_no_other_to_learn_from():
    data = scenes_data(1, 1, size=48).train
    edges = [np.zeros((48, 48), np.float32)]
    (labels,) = filled_labels(data, edges, runs=2)
    assert labels.shape == (48, 48)


# ----------------------------------------------------------------------------------------------------- recipe


def test_no_picture_is_labelled_by_a_student_that_learned_from_it(monkeypatch, tmp_path):
    """Labels of one picture, spoilt, change the next labels of the others and not its own."""
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    data = scenes_data(6, 2, size=32)
    options = {"side": 64, "epochs": 3, "head": "linear", "device": "cpu", "cache": False, "keep": 6}
    seen = []

    def remember(labels, view):
        seen.append(view.probabilities.copy())
        return labels

    truth = list(data.train_masks)
    for first in (truth, [np.full_like(truth[0], 2), *truth[1:]]):
        bootstrap(data, "filled", 2, tricks=(remember,), first=first, **options)
    np.testing.assert_array_equal(seen[0], seen[6])
    assert all((seen[k] != seen[6 + k]).any() for k in (1, 2, 3, 5))  # of another fold than picture 0
    np.testing.assert_array_equal(seen[4], seen[10])  # of the same


def test_the_recipe_runs_on_scenes_and_gives_the_same_again(monkeypatch, tmp_path):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    data = scenes_data(8, 3, size=48)
    options = {"side": 96, "epochs": 3, "device": "cpu", "cache": False}
    runs = [bootstrap(data, "filled", **options) for _ in range(2)]
    assert len(runs[0]) == RECIPES["filled"].rounds == 2
    assert [r.fingerprint for r in runs[0].rounds] == [r.fingerprint for r in runs[1].rounds]
    for labels, boxes, classes in zip(
        runs[0][-1].train_labels, data.train.boxes, data.train.classes, strict=False
    ):
        inside = boxes_in_front(*checked_boxes(boxes, classes, labels.shape), labels.shape) > 0
        assert not labels[~inside].any()
        assert set(np.unique(labels)) <= {0, 255, *classes.tolist()}
